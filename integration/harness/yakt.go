package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout is generous: the machine may be building and running other things.
const startTimeout = 30 * time.Second

// Yakt is one controller: a data directory, an address, and usually a process.
type Yakt struct {
	Addr      string
	Dir       string
	ClusterID string
	args      []string
	prefix    []string   // of the command, when it is not run as it is
	life      testing.TB // the test that the process may not outlive
	process   *Process
}

// StartYakt runs `yakt server` with further arguments on a free port and an empty directory of its own, and returns when
// it is ready.
func StartYakt(t testing.TB, args ...string) *Yakt {
	t.Helper()
	y := &Yakt{Addr: FreeAddr(t), Dir: filepath.Join(TempDir(t), "yakt"), args: args, life: t}
	y.Start(t)
	return y
}

// StartWaiting is StartYakt for a server that waits to be let into a quorum: it is up, and serves no requests yet.
func StartWaiting(t testing.TB, args ...string) *Yakt {
	t.Helper()
	y := &Yakt{Addr: FreeAddr(t), Dir: filepath.Join(TempDir(t), "yakt"), args: args, life: t}
	y.Launch()
	y.WaitUp(t)
	return y
}

// Start runs the server, again after Kill or Stop, on the same directory and address, and returns when it is ready. It
// runs until the end of the test that StartYakt was called in, though t be one of its subtests.
func (y *Yakt) Start(t testing.TB) {
	t.Helper()
	y.Launch()
	y.WaitReady(t)
}

// With sets the arguments of the next start.
func (y *Yakt) With(args ...string) { y.args = args }

// Launch is Start without the wait, for a server that needs others to be ready.
func (y *Yakt) Launch() {
	y.process = startServer(y.life, y.prefix, append([]string{"-a", y.Addr, "-d", y.Dir}, y.args...)...)
}

// Attach takes over a server that was started with arguments of the test's own, and waits until it is ready.
func Attach(t testing.TB, p *Process, addr, dir string) *Yakt {
	t.Helper()
	y := &Yakt{Addr: addr, Dir: dir, life: t, process: p}
	y.WaitReady(t)
	return y
}

// WaitReady waits until the server says that it serves requests.
func (y *Yakt) WaitReady(t testing.TB) {
	t.Helper()
	y.WaitUp(t)
	Eventually(t, startTimeout, "yakt ready", y.Ready)
}

// WaitUp waits until the server has printed what it is.
func (y *Yakt) WaitUp(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	if err := y.process.Output().WaitFor(ctx, func(text string) bool { return BannerField(text, "cluster id") != "" }); err != nil {
		t.Fatalf("yakt printed no cluster id: %v\n%s", err, y.process.Output())
	}
	id := BannerField(y.process.Output().String(), "cluster id")
	if y.ClusterID != "" && id != y.ClusterID {
		t.Fatalf("the cluster id was %s and is %s after a restart", y.ClusterID, id)
	}
	y.ClusterID = id
}

// RunYakt runs another subcommand to its end and returns what it printed, errors included.
func RunYakt(t testing.TB, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*startTimeout)
	defer cancel()
	cmd := exec.Command(Binary(t), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := RunProcess(ctx, cmd)
	return out.String(), err
}

// StartServer runs `yakt server` with exactly these arguments and does not wait for anything. Whatever else the test
// looks at: the program may not panic, nor race in a build that would notice.
func StartServer(t testing.TB, args ...string) *Process {
	t.Helper()
	return startServer(t, nil, args...)
}

func startServer(t testing.TB, prefix []string, args ...string) *Process {
	t.Helper()
	command := append(append(slices.Clone(prefix), Binary(t), "server"), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = TempDir(t) // where a default data directory would go
	p := StartProcess(t, "yakt", cmd)
	t.Cleanup(func() {
		for _, sign := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
			if out := p.Output().String(); strings.Contains(out, sign) {
				t.Errorf("yakt says %q:\n%s", sign, lastLines(out, 80))
			}
		}
	})
	return p
}

// Process is the running server.
func (y *Yakt) Process() *Process { return y.process }

// Kill is kill -9.
func (y *Yakt) Kill() { y.process.Kill() }

// Stop is SIGTERM; the process has to end cleanly and with status 0.
func (y *Yakt) Stop(t testing.TB) {
	t.Helper()
	if err := y.process.Stop(15 * time.Second); err != nil {
		t.Fatalf("yakt after SIGTERM: %v\n%s", err, lastLines(y.process.Output().String(), 20))
	}
}

// Ready asks /readyz.
func (y *Yakt) Ready() error {
	_, err := y.Get("/readyz")
	return err
}

// Get is the body of a GET that succeeded.
func (y *Yakt) Get(path string) ([]byte, error) {
	body, err := y.get(path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// get opens the body of a GET that succeeded.
func (y *Yakt) get(path string) (io.ReadCloser, error) {
	response, err := web.Get("http://" + y.Addr + path)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, err := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, errors.Join(fmt.Errorf("GET %s: %s: %s", path, response.Status, text), err)
	}
	return response.Body, nil
}

// web keeps no connections: a test that has killed the server is not to meet the old one.
var web = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// BannerField reads a line `  name  value` of what the server prints at its start.
func BannerField(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"  "); ok && strings.HasSuffix(line, "\n") {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// FreeAddr finds a loopback port that nobody uses. It stays below the range from which the kernel takes ports for
// outgoing connections, so that a server's port is not taken by one of its own clients while the server is down.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(15000+rand.IntN(17000)))
		l, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		return addr
	}
	t.Fatal("there is no free port")
	return ""
}

// Binary is the path of the program, built at the first call in this test process. YAKT_TEST_RACE=1 builds it with the
// race detector, YAKT_TEST_TAGS with build tags.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var buildOnce = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "yakt-binary-")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "yakt")
	args := []string{"build", "-o", path}
	if os.Getenv("YAKT_TEST_RACE") == "1" {
		args = append(args, "-race")
	}
	if tags := os.Getenv("YAKT_TEST_TAGS"); tags != "" {
		args = append(args, "-tags", tags)
	}
	cmd := exec.Command("go", append(args, "./cmd/yakt")...)
	cmd.Dir = root
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/yakt: %w\n%s", err, output)
	}
	return path, nil
})

// builtIn is the directory of the binary, once there is one.
var builtIn string

// Main runs a package's tests and removes the binary afterwards; call it from TestMain.
func Main(m *testing.M) int {
	defer func() {
		if builtIn != "" {
			os.RemoveAll(builtIn)
		}
	}()
	return m.Run()
}

// moduleRoot is where go.mod is, above the package under test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no go.mod above the working directory")
		}
		dir = parent
	}
}

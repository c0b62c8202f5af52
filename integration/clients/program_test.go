package clients

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"yakt/integration/harness"
)

// propertiesFile writes lines for --config.
func propertiesFile(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// refused runs a server that has to end by itself, with a message that has all the fragments.
func refused(t *testing.T, fragments []string, args ...string) {
	t.Helper()
	refusedWith(t, 1, fragments, args...)
}

// refusedWith is refused with a status of its own.
func refusedWith(t *testing.T, status int, fragments []string, args ...string) {
	t.Helper()
	p := harness.StartServer(t, args...)
	if err := p.Wait(20 * time.Second); err == nil || err.Error() != fmt.Sprintf("exit status %d", status) {
		t.Errorf("it ended with %v", err)
	}
	for _, fragment := range fragments {
		if !strings.Contains(p.Output().String(), fragment) {
			t.Errorf("it does not say %q:\n%s", fragment, p.Output())
		}
	}
}

func TestSecondOwnerOfADirectoryIsRefused(t *testing.T) {
	y := harness.StartYakt(t)
	refusedWith(t, 2, []string{"another process", y.Dir}, "-a", harness.FreeAddr(t), "-d", y.Dir)
	if err := y.Ready(); err != nil {
		t.Errorf("the first owner suffered: %v", err)
	}
}

func TestTakenPortIsRefused(t *testing.T) {
	y := harness.StartYakt(t)
	refused(t, []string{y.Addr, "in use", "-a"}, "-a", y.Addr, "-d", t.TempDir())
}

func TestClusterIDIsKept(t *testing.T) {
	const id = "MkU3OEVBNTcwNTJENDM2Qk"
	y := harness.StartYakt(t, "--cluster-id", id)
	if y.ClusterID != id {
		t.Errorf("started with %s and printed %s", id, y.ClusterID)
	}
	if !strings.Contains(y.Process().Output().String(), "new history") {
		t.Errorf("nothing says that a new history begins:\n%s", y.Process().Output())
	}
	y.Stop(t)
	refused(t, []string{id, "AAAAAAAAAAAAAAAAAAAAFQ"}, "-a", y.Addr, "-d", y.Dir, "--cluster-id", "AAAAAAAAAAAAAAAAAAAAFQ")
	refused(t, []string{"node 1", "node-id"}, "-a", y.Addr, "-d", y.Dir, "-i", "2")
	y.Start(t) // which compares the id
}

func TestGeneratedClusterIDIsKept(t *testing.T) {
	y := harness.StartYakt(t)
	if len(y.ClusterID) != 22 {
		t.Errorf("cluster id %q", y.ClusterID)
	}
	y.Kill()
	y.Start(t)
}

func TestSIGTERMStopsCleanly(t *testing.T) {
	y := harness.StartYakt(t)
	y.Stop(t) // sees the exit status
	if out := y.Process().Output().String(); !strings.Contains(out, "stopped") || strings.Contains(out, "level=ERROR") {
		t.Errorf("it says:\n%s", out)
	}
	if l, err := net.Listen("tcp", y.Addr); err != nil {
		t.Errorf("the port is not free: %v", err)
	} else {
		l.Close()
	}
	y.Start(t)
}

func TestSIGINTStopsCleanly(t *testing.T) {
	y := harness.StartYakt(t)
	if err := y.Process().Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := y.Process().Wait(15 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestApachesDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"meta.properties":      "version=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\nnode.id=1\ndirectory.id=ruRyuZ-yR8SS4MQsXNvZHw\n",
		"bootstrap.checkpoint": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, []string{"belongs to Apache Kafka", dir}, "-a", harness.FreeAddr(t), "-d", dir)
}

func TestPortZeroIsTakenAndPrinted(t *testing.T) {
	p := harness.StartServer(t, "-a", "127.0.0.1:0", "-d", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
	defer cancel()
	if err := p.Output().WaitFor(ctx, func(text string) bool { return strings.Contains(text, "get_metadata") }); err != nil {
		t.Fatalf("%v\n%s", err, p.Output())
	}
	addr := harness.BannerField(p.Output().String(), "address")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("%q is printed as the address: %v", addr, err)
	}
	conn.Close()
	if !strings.Contains(p.Output().String(), "controller.quorum.bootstrap.servers="+addr) {
		t.Errorf("the line for brokers has another address:\n%s", p.Output())
	}
}

func TestAdvertisedAddressIsTold(t *testing.T) {
	addr := harness.FreeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	y := harness.StartYakt(t, "--advertise", net.JoinHostPort("localhost", port))
	client, ctx := admin(t, y)
	m, err := client.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Brokers) != 1 || m.Brokers[0].Host != "localhost" || fmt.Sprint(m.Brokers[0].Port) != port {
		t.Errorf("nodes %+v, and localhost:%s was asked for", m.Brokers, port)
	}
}

func TestHTTPAndKafkaShareThePort(t *testing.T) {
	y := harness.StartYakt(t)
	for _, path := range []string{"/livez", "/readyz", "/get_metadata"} {
		if _, err := y.Get(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := y.Get("/nowhere"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("/nowhere: %v", err)
	}
}

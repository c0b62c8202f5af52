// Package harness runs the built program, and whatever else a test needs around it, from outside.
//
//	process.go    any program: started in a group of its own, its output kept, gone when the test is
//	yakt.go       the yakt binary, built once per test process; kill, stop and restart on the same port
//	quorum.go     three of them that are one
//	network.go    a network of namespaces for them, to cut
//	metadata.go   GET /get_metadata as tests read it
//	conn.go       one plain connection that speaks kmsg, for requests that no client library sends
//	standin.go    a broker without data: it registers and heartbeats, so that topics can be placed
//	observer.go   a follower of the metadata log that notes whatever must never happen
//
// Only tests import it.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Process is a program that a test started. Its methods may be called from any goroutine.
type Process struct {
	name   string
	cmd    *exec.Cmd
	output *Output
	exited chan struct{}
	err    error       // how it ended; read after exited is closed
	ended  atomic.Bool // by the test's own wish
}

// StartProcess starts a program and sees to its end: when the test ends the process is killed, and when the test
// process itself dies without a word (a panic elsewhere, a timeout) the kernel kills it where it can. When the test has
// failed, the output is shown of processes that it did not end itself.
func StartProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, output: newOutput(), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.output, p.output
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = ownGroup()
	if err := startOnLastingThread(cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		p.output.close()
		close(p.exited)
	}()
	t.Cleanup(func() {
		wanted := p.ended.Load()
		p.Kill()
		if t.Failed() && !wanted {
			t.Logf("the last lines of %s (%v):\n%s", name, p.err, lastLines(p.output.String(), 60))
		}
	})
	return p
}

// Output is what the process has written so far, to either stream.
func (p *Process) Output() *Output { return p.output }

// Exited is closed once the process is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the process and its children without a chance to say goodbye, and returns when it is gone.
func (p *Process) Kill() {
	p.ended.Store(true)
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // fails when it is gone already
	<-p.exited
}

// Stop asks the process to end (SIGTERM) and kills it after a while. The error tells how it ended, nil for exit 0.
func (p *Process) Stop(within time.Duration) error {
	p.ended.Store(true)
	syscall.Kill(p.cmd.Process.Pid, syscall.SIGTERM) // fails when it is gone already
	return p.Wait(within)
}

// Wait waits for the process to end by itself and kills it when it does not.
func (p *Process) Wait(within time.Duration) error {
	select {
	case <-p.exited:
		return p.err
	case <-time.After(within):
		p.Kill()
		p.ended.Store(false) // its output is worth reading
		return fmt.Errorf("%s had not ended after %v and was killed", p.name, within)
	}
}

// Signal sends one signal to the process.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(p.cmd.Process.Pid, s) }

// Freeze stops the process without its knowledge, until it is thawed.
func (p *Process) Freeze() (thaw func() error, err error) {
	return func() error { return p.Signal(syscall.SIGCONT) }, p.Signal(syscall.SIGSTOP)
}

// starts hands commands to a goroutine that keeps its thread for ever: the kernel counts a child's parent as dead when
// the thread that started it ends.
var starts = sync.OnceValue(func() chan func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range work {
			start()
		}
	}()
	return work
})

func startOnLastingThread(cmd *exec.Cmd) error {
	result := make(chan error)
	starts() <- func() { result <- cmd.Start() }
	return <-result
}

// Output collects what a process writes and wakes those who wait for it. Safe for any goroutine.
type Output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	ended   bool
	changed chan struct{} // closed and replaced at every change
}

func newOutput() *Output { return &Output{changed: make(chan struct{})} }

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	o.wake()
	return len(b), nil
}

func (o *Output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	o.wake()
}

func (o *Output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// String is everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Len is the number of bytes so far, to tell later output from earlier.
func (o *Output) Len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Len()
}

// Since is what was written after Len said from.
func (o *Output) Since(from int) string { return o.String()[from:] }

// WaitFor waits until enough says so of the text. It fails when the process ends before, or ctx does.
func (o *Output) WaitFor(ctx context.Context, enough func(text string) bool) error {
	for {
		o.mu.Lock()
		text, ended, changed := o.text.String(), o.ended, o.changed
		o.mu.Unlock()
		if enough(text) {
			return nil
		}
		if ended {
			return errors.New("the process ended first")
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Eventually asks again and again until f returns nil, and fails the test with f's last error when it never does.
// It is for the state of other processes, which have no channel to wait on.
func Eventually(t testing.TB, within time.Duration, what string, f func() error) {
	t.Helper()
	if err := Poll(within, f); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// Poll is Eventually for goroutines other than the test's.
func Poll(within time.Duration, f func() error) error {
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-tick.C
	}
}

// TempDir is like t.TempDir, but its removal does not fail the test: a JVM killed in the middle of its work may leave
// files that appear while the directory is being removed.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "yakt-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// RunProcess runs a program to its end, or kills it when ctx ends first. Like StartProcess it leaves nobody behind.
func RunProcess(ctx context.Context, cmd *exec.Cmd) error {
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = ownGroup()
	if err := startOnLastingThread(cmd); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }) // fails when it is gone already
	defer stop()
	if err := cmd.Wait(); err != nil {
		return errors.Join(err, ctx.Err())
	}
	return nil
}

package apache

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yakt/integration/harness"
)

// StartController formats a directory and starts Apache's own controller on it, a quorum of one with node id 1 and
// everything else as it comes. It returns the controller's address once that serves.
func StartController(t testing.TB, tools *Toolbox, clusterID string) string {
	t.Helper()
	addr, dir := harness.FreeAddr(t), harness.TempDir(t)
	file := filepath.Join(dir, "controller.properties")
	lines := []string{
		"process.roles=controller",
		"node.id=1",
		"listeners=CONTROLLER://" + addr,
		"controller.listener.names=CONTROLLER",
		"controller.quorum.bootstrap.servers=" + addr,
		"log.dirs=" + filepath.Join(dir, "data"),
	}
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tools.MustRun(t, storageTool, "format", "--standalone", "-t", clusterID, "-c", file)
	process := harness.StartProcess(t, "Apache's controller", java(t, Current, brokerHeap, brokerLogLevel, logToStdout, brokerMain, file))
	ctx, cancel := context.WithTimeout(t.Context(), runningTimeout)
	defer cancel()
	if err := process.Output().WaitFor(ctx, func(text string) bool { return strings.Contains(text, "Kafka Server started") }); err != nil {
		t.Fatalf("Apache's controller: %v", err)
	}
	return addr
}

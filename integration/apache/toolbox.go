package apache

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"yakt/integration/harness"
)

// Toolbox is one JVM that runs Kafka's tools one after the other, for tests of so many that their JVMs' starts would take
// longer than everything else. It is for one goroutine.
type Toolbox struct {
	process *harness.Process
	input   io.Writer
}

// Ran is how one run of a tool went. What the logger said is among the errors.
type Ran struct {
	Out, Err string
	Status   int
}

// OpenToolbox starts the JVM. It is gone when the test is. The logger keeps to errors, because clients that a tool has not
// closed warn in the middle of the next one.
func OpenToolbox(t testing.TB) *Toolbox {
	t.Helper()
	cmd := java(t, Current, toolHeap, "error", logToStderr, shortLivedFlags, filepath.Join("testdata", "Tools.java"))
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return &Toolbox{process: harness.StartProcess(t, "Kafka's tools", cmd), input: input}
}

// Run runs a tool, whose failure may be what the test expects.
func (b *Toolbox) Run(t testing.TB, class string, args ...string) Ran {
	t.Helper()
	output := b.process.Output()
	from := output.Len()
	if _, err := io.WriteString(b.input, class+"\t"+strings.Join(args, "\t")+"\n"); err != nil {
		t.Fatalf("Kafka's tools take no more: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), toolTimeout)
	defer cancel()
	ended := func(text string) bool {
		return strings.HasSuffix(text, "\n") && strings.Contains("\n"+text[from:], "\nend|")
	}
	if err := output.WaitFor(ctx, ended); err != nil {
		t.Fatalf("%s %s: %v", class, strings.Join(args, " "), err)
	}
	ran, err := parseRan(output.Since(from))
	if err != nil {
		t.Fatalf("%s %s: %v", class, strings.Join(args, " "), err)
	}
	return ran
}

// MustRun is Run of a tool that has to succeed.
func (b *Toolbox) MustRun(t testing.TB, class string, args ...string) string {
	t.Helper()
	ran := b.Run(t, class, args...)
	if ran.Status != 0 {
		t.Fatalf("%s %s: status %d\n%s\n%s", class, strings.Join(args, " "), ran.Status, ran.Out, ran.Err)
	}
	return ran.Out
}

// parseRan reads what testdata/Tools.java writes of one tool.
func parseRan(answer string) (Ran, error) {
	var ran Ran
	for line := range strings.Lines(answer) {
		kind, text, _ := strings.Cut(line, "|")
		switch kind {
		case "out":
			ran.Out += text
		case "err":
			ran.Err += text
		case "end":
			status, err := strconv.Atoi(strings.TrimSpace(text))
			ran.Status = status
			return ran, err
		default:
			return ran, fmt.Errorf("the line %q is none of an answer", line)
		}
	}
	return ran, fmt.Errorf("the answer does not end: %q", answer)
}

package apache

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// toolTimeout is for one run of a tool, most of which is the start of its JVM on a busy machine.
const toolTimeout = 2 * time.Minute

// The classes behind Kafka's scripts.
const (
	topicsTool      = "org.apache.kafka.tools.TopicCommand"
	producerTool    = "org.apache.kafka.tools.ConsoleProducer"
	consumerTool    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	perfProducer    = "org.apache.kafka.tools.ProducerPerformance"
	dumpTool        = "org.apache.kafka.tools.DumpLogSegments"
	metadataShell   = "org.apache.kafka.shell.MetadataShell"
	storageTool     = "kafka.tools.StorageTool"
	brokerMain      = "kafka.Kafka"
	logToStdout     = "SYSTEM_OUT"
	logToStderr     = "SYSTEM_ERR"
	brokerHeap      = "-Xmx384m"
	toolHeap        = "-Xmx256m"
	brokerLogLevel  = "info"
	toolLogLevel    = "warn"
	shortLivedFlags = "-XX:TieredStopAtLevel=1" // a tool is over before the optimizing compiler pays
)

// java is a command that runs a class of Kafka's. Without a configured logger Kafka would say nothing at all,
// and with this one it leaves out the hundreds of lines that list its own configuration.
func java(t testing.TB, version, heap, level, stream string, args ...string) *exec.Cmd {
	t.Helper()
	path := classpath(t, version)
	config := filepath.Join(harness.TempDir(t), "log4j2.xml")
	content := fmt.Sprintf(`<Configuration status="ERROR"><Appenders><Console name="C" target="%s"><PatternLayout pattern="%%d %%p %%c{1} %%m%%n"/></Console></Appenders>`+
		`<Loggers><Logger name="org.apache.kafka.common.config" level="warn"/><Logger name="kafka.server.KafkaConfig" level="warn"/><Root level="%s"><AppenderRef ref="C"/></Root></Loggers></Configuration>`, stream, level)
	if err := os.WriteFile(config, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return exec.Command("java", append([]string{heap, "-XX:+UseSerialGC", "-Dlog4j2.configurationFile=" + config, "-cp", path}, args...)...)
}

// Tool runs one of Kafka's tools to its end and returns what it printed to standard output. The tool has to succeed.
func Tool(t testing.TB, version, class string, args ...string) string {
	t.Helper()
	return ToolWithInput(t, version, "", class, args...)
}

// ToolWithInput is Tool with something on standard input.
func ToolWithInput(t testing.TB, version, input, class string, args ...string) string {
	t.Helper()
	out, errs, err := runTool(t, version, input, class, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", class, strings.Join(args, " "), err, out, errs)
	}
	return out
}

// runTool runs a tool whose failure may be what the test expects.
func runTool(t testing.TB, version, input, class string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolTimeout)
	defer cancel()
	cmd := java(t, version, toolHeap, toolLogLevel, logToStderr, append([]string{shortLivedFlags, class}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errs
	err = harness.RunProcess(ctx, cmd)
	return out.String(), errs.String(), err
}

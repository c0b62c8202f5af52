package apache

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"yakt/integration/harness"
)

// clients are tried with the cluster of the tools.
func clients(t *testing.T, y *harness.Yakt, broker *Broker) {
	t.Run("GoInAClassicGroup", func(t *testing.T) { goGroup(t, y, "classic") })
	t.Run("GoInAConsumerGroup", func(t *testing.T) {
		goGroup(t, y, "consumer", kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	})
	t.Run("Librdkafka", func(t *testing.T) {
		python := pythonWithLibrdkafka(t)
		librdkafka(t, python, broker.Addr, "by-broker")
		librdkafka(t, python, y.Addr, "by-yakt")
	})
}

// goGroup has kgo, which knows YAKt's address only, produce, and consume in a group of either protocol: the classic one, or
// the one of KIP-848 where the coordinator assigns.
func goGroup(t *testing.T, y *harness.Yakt, protocol string, options ...kgo.Opt) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	name := "go-" + protocol
	connect := func(options ...kgo.Opt) *kgo.Client {
		client, err := kgo.NewClient(append(options, kgo.SeedBrokers(y.Addr), kgo.MetadataMinAge(50*time.Millisecond))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		return client
	}
	producer := connect()
	admin := kadm.NewClient(producer)
	if _, err := admin.CreateTopic(ctx, 4, 1, nil, name); err != nil {
		t.Fatal(err)
	}
	produce(t, ctx, producer, name, 1000)
	options = append(options, kgo.ConsumerGroup(name), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	member := connect(options...)
	consume(t, ctx, member, 1000)
	if err := member.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	groups, err := admin.ListGroupsByType(ctx, []string{protocol})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := groups[name]; !ok {
		t.Errorf("the groups of the type %s are %v", protocol, groups.Groups())
	}
	member.Close()
	next := connect(options...)
	produce(t, ctx, producer, name, 500)
	if values := consume(t, ctx, next, 500); len(values) != 500 {
		t.Errorf("%d records after the committed ones", len(values))
	}
	if _, err := admin.DeleteTopics(ctx, name); err != nil {
		t.Error(err)
	}
}

// librdkafkaVersion is that of confluent-kafka for Python, which brings librdkafka along.
const librdkafkaVersion = "2.16.1"

// librdkafka runs testdata/librdkafka.py, which is told one address only and fails at the first thing that is not as it should be.
func librdkafka(t *testing.T, python, bootstrap, name string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out strings.Builder
	cmd := exec.Command(python, filepath.Join("testdata", "librdkafka.py"), bootstrap, name)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := harness.RunProcess(ctx, cmd); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
}

// pythonWithLibrdkafka returns a Python that has confluent-kafka, from an environment that is made once and kept beside Kafka.
func pythonWithLibrdkafka(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("YAKT_REQUIRE_APACHE") == "1" {
			t.Fatalf("YAKT_REQUIRE_APACHE=1, and there is no python3: %v", err)
		}
		t.Skip("librdkafka is not tried here: there is no python3")
	}
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(cache, "confluent-kafka-"+librdkafkaVersion)
	python := filepath.Join(home, "bin", "python")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(home+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close() // and with it the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatalf("lock %s: %v", lock.Name(), err)
	}
	if exec.Command(python, "-c", "import confluent_kafka").Run() == nil {
		return python
	}
	ctx, cancel := context.WithTimeout(t.Context(), fetchTimeout)
	defer cancel()
	for _, args := range [][]string{
		{"python3", "-m", "venv", "--clear", home},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "confluent-kafka==" + librdkafkaVersion},
	} {
		if output, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
	return python
}

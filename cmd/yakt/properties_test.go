package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"yakt/controller/configs"
	"yakt/raftlog"
)

// stockFile has the keys and values of a controller's properties file as people get it with Apache Kafka 4.3.
const stockFile = `
# a comment
process.roles=controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=CONTROLLER://:9093
advertised.listeners=CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-controller-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`

func TestStockControllerFileStarts(t *testing.T) {
	s := mustSettings(t, stockFile)
	if s.Addr != ":9093" || s.Advertise != "localhost:9093" || s.DataDir != "/tmp/kraft-controller-logs" || s.MaxFrameBytes != 104857600 {
		t.Errorf("%+v", s)
	}
	want := []string{"log.retention.check.interval.ms", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir",
		"offsets.topic.replication.factor", "socket.receive.buffer.bytes", "socket.send.buffer.bytes",
		"transaction.state.log.min.isr", "transaction.state.log.replication.factor"}
	if !slices.Equal(s.Ignored, want) {
		t.Errorf("named as without effect: %q, want %q", s.Ignored, want)
	}
}

func TestEveryAppliedKeySetsItsSetting(t *testing.T) {
	tests := map[string]struct {
		value string
		got   func(Settings) any
		want  any
	}{
		"node.id":                        {"17", func(s Settings) any { return s.NodeID }, int32(17)},
		"process.roles":                  {"controller", func(s Settings) any { return nil }, nil},
		"controller.quorum.voters":       {"1@127.0.0.1:5010", func(s Settings) any { return len(s.quorum.voters) }, 1},
		"broker.session.timeout.ms":      {"2500", func(s Settings) any { return s.BrokerSessionTimeout }, 2500 * time.Millisecond},
		"num.partitions":                 {"12", func(s Settings) any { return s.NumPartitions }, int32(12)},
		"default.replication.factor":     {"3", func(s Settings) any { return s.DefaultReplicationFactor }, int16(3)},
		"min.insync.replicas":            {"2", func(s Settings) any { return s.MinInSyncReplicas }, int32(2)},
		"unclean.leader.election.enable": {"TRUE", func(s Settings) any { return s.UncleanLeaderElection }, true},
		"auto.leader.rebalance.enable":   {"false", func(s Settings) any { return s.AutoLeaderRebalance }, false},
		"socket.request.max.bytes":       {"4096", func(s Settings) any { return s.MaxFrameBytes }, int32(4096)},
		"max.connections":                {"5", func(s Settings) any { return s.MaxConnections }, 5},
		"connections.max.idle.ms":        {"60000", func(s Settings) any { return s.IdleTimeout }, time.Minute},

		"leader.imbalance.check.interval.seconds":         {"30", func(s Settings) any { return s.LeaderImbalanceInterval }, 30 * time.Second},
		"controller.quorum.bootstrap.servers":             {"127.0.0.1:5010", func(s Settings) any { return len(s.quorum.bootstrap) }, 1},
		"metadata.log.max.record.bytes.between.snapshots": {"1000", func(s Settings) any { return s.SnapshotBytes }, int64(1000)},
		"controller.quorum.fetch.timeout.ms":              {"2000", func(s Settings) any { return s.LeaderTimeout }, 2 * time.Second},
		"metadata.log.max.snapshot.interval.ms":           {"0", func(s Settings) any { return s.SnapshotInterval }, time.Duration(0)},
	}
	for key, test := range tests {
		t.Run(key, func(t *testing.T) {
			s := mustSettings(t, key+" = "+test.value+" ") // Kafka trims values, Java's properties do not
			if got := test.got(s); got != test.want {
				t.Errorf("%s=%s gives %v, want %v", key, test.value, got, test.want)
			}
			if len(s.Ignored) > 0 {
				t.Errorf("named as without effect: %q", s.Ignored)
			}
		})
	}
	for key := range maps.Keys(applied) {
		if _, ok := tests[key]; !ok {
			t.Errorf("no test sees the effect of %s", key)
		}
	}
}

func TestKeysThatAreReliedUponAreRefused(t *testing.T) {
	for _, line := range []string{
		"ssl.keystore.location=/k",
		"listener.name.controller.ssl.keystore.location=/k",
		"sasl.enabled.mechanisms=PLAIN",
		"sasl.mechanism.controller.protocol=PLAIN",
		"listener.name.controller.plain.sasl.jaas.config=x",
		"connections.max.reauth.ms=1000",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:admin",
		"allow.everyone.if.no.acl.found=true",
		"delegation.token.secret.key=x",
		"delegation.token.max.lifetime.ms=1",
		"principal.builder.class=x.Y",
		"security.providers=x.Y",
		"security.inter.broker.protocol=SSL",
		"create.topic.policy.class.name=x.Y",
		"alter.config.policy.class.name=x.Y",
		"client.quota.callback.class=x.Y",
		"config.providers=file",
		"config.providers.file.class=x.Y",
		"listener.security.protocol.map=CONTROLLER:SSL",
		"listener.security.protocol.map=CONTROLLER:sasl_plaintext",
	} {
		key, value, _ := strings.Cut(line, "=")
		t.Run(key, func(t *testing.T) {
			_, err := settingsOf(t, line)
			checkRefused(t, err, key)
			if _, err := settingsOf(t, key+"="); err != nil {
				t.Errorf("%s without a value asks for nothing, unlike %q, and is refused: %v", key, value, err)
			}
		})
	}
}

func TestListenerThatIsAProtocolIsRefused(t *testing.T) {
	_, err := settingsOf(t, "controller.listener.names=SSL\nlisteners=SSL://127.0.0.1:9093")
	checkRefused(t, err, "the listener SSL is SSL", "PLAINTEXT")
}

func TestValuesOutOfRangeAreRefused(t *testing.T) {
	for line, says := range map[string]string{
		"node.id=one":                                       "not a whole number",
		"node.id=-1":                                        "at least 0",
		"num.partitions=0":                                  "at least 1",
		"num.partitions=":                                   "no value",
		"default.replication.factor=32768":                  "at most 32767",
		"broker.session.timeout.ms=0":                       "at least 1",
		"leader.imbalance.check.interval.seconds=0":         "at least 1",
		"unclean.leader.election.enable=yes":                "neither true nor false",
		"process.roles=broker,controller":                   "process.roles=broker",
		"listeners=127.0.0.1:9093":                          "NAME://HOST:PORT",
		"listeners=CONTROLLER://127.0.0.1":                  "NAME://HOST:PORT",
		"listeners=CONTROLLER://h:1,CONTROLLER://h:2":       "given twice",
		"listeners=PLAINTEXT://127.0.0.1:9092":              "not the controller listener",
		"advertised.listeners=PLAINTEXT://127.0.0.1:9092":   "CONTROLLER is not among them",
		"controller.listener.names=A,B":                     "serves one",
		"listener.security.protocol.map=CONTROLLER":         "LISTENER:PROTOCOL",
		"controller.quorum.voters=1/127.0.0.1:5010":         "ID@HOST:PORT",
		"controller.quorum.bootstrap.servers=127.0.0.1":     "HOST:PORT",
		"metadata.log.max.record.bytes.between.snapshots=0": "at least 1",
		"log.retention.ms=abc":                              `cannot be "abc": it must be a whole number of 64 bits, -1 or more`,
		"log.retention.ms=":                                 "no value",
		"log.retention.hours=4294967296":                    "a whole number of 32 bits, -1 or more",
		"log.roll.hours=0":                                  "1 or more",
		"log.segment.bytes=-5":                              "1048576 or more",
		"log.cleanup.policy=delet":                          "a list of any of compact, delete",
		"compression.type=zip":                              "one of uncompressed",
	} {
		t.Run(line, func(t *testing.T) {
			key, _, _ := strings.Cut(line, "=")
			_, err := settingsOf(t, line)
			checkRefused(t, err, key, says)
		})
	}
}

// TestTopicDefaultsAreChecked, all of them, and may be what Kafka takes.
func TestTopicDefaultsAreChecked(t *testing.T) {
	for _, key := range topicDefaults {
		if configs.CheckProperty(key, "?") == "" {
			t.Errorf("%s takes everything", key)
		}
	}
	mustSettings(t, "log.retention.hours=-1\nlog.retention.minutes=-1\nlog.roll.hours=168\nlog.segment.bytes=1073741824\nlog.cleanup.policy=compact, delete\n"+
		"log.cleaner.min.cleanable.ratio=0.5\nlog.preallocate=TRUE\nlog.flush.interval.messages=10000\n")
}

func TestQuorumOfThisNodeAloneIsAccepted(t *testing.T) {
	for _, line := range []string{
		"controller.quorum.voters=1@localhost:5010",
		"controller.quorum.bootstrap.servers=localhost:5010",
	} {
		if s := mustSettings(t, line); s.Voters != nil || s.Peers != nil {
			t.Errorf("%s: voters %v, peers %v", line, s.Voters, s.Peers)
		}
	}
	mustSettings(t, "controller.quorum.voters=3@k3.example.net:5010", "-i", "3", "-a", ":5010", "--advertise", "K3.example.net:5010")
}

func TestListedVotersAreTaken(t *testing.T) {
	const file = "controller.quorum.voters=1@localhost:5010, 2@k2.example.net:5010,3@k3.example.net:5010\ncontroller.quorum.bootstrap.servers=k9.example.net:5010\n"
	want := []peer{{1, "localhost:5010"}, {2, "k2.example.net:5010"}, {3, "k3.example.net:5010"}}
	if s := mustSettings(t, file); !slices.Equal(s.Voters, want) || s.Peers != nil || s.checkBeginning() != nil {
		t.Errorf("voters %v, peers %v, %v", s.Voters, s.Peers, s.checkBeginning())
	}
	// With -e the node joins, and no list is needed.
	if s := mustSettings(t, file, "-e", "2/k2.example.net:5010"); s.Voters != nil || !slices.Equal(s.Peers, want[1:2]) {
		t.Errorf("with -e: voters %v, peers %v", s.Voters, s.Peers)
	}
}

// TestBeginnerHasToBeOnTheList; one with data starts, wherever it is and whatever the list says.
func TestBeginnerHasToBeOnTheList(t *testing.T) {
	for line, says := range map[string]string{
		"controller.quorum.voters=2@127.0.0.1:5020":                  "add 1@127.0.0.1:5010",
		"controller.quorum.voters=2@127.0.0.1:5020,3@127.0.0.1:5030": "does not name this node",
		"controller.quorum.voters=1@127.0.0.1:6000,2@127.0.0.1:5020": "node 1 is reached at 127.0.0.1:6000, and it says itself 127.0.0.1:5010",
	} {
		s := mustSettings(t, line)
		checkRefused(t, s.checkBeginning(), "controller.quorum.voters", says)
	}
	alone := mustSettings(t, "")
	if err := alone.checkBeginning(); err != nil {
		t.Error("without a list:", err)
	}
}

func TestBootstrapServersArePeers(t *testing.T) {
	s := mustSettings(t, "controller.quorum.bootstrap.servers=localhost:5010,k2.example.net:5010,k3.example.net:5010")
	if want := []peer{{raftlog.AnyNode, "k2.example.net:5010"}, {raftlog.AnyNode, "k3.example.net:5010"}}; !slices.Equal(s.Peers, want) {
		t.Errorf("peers %v", s.Peers)
	}
}

func TestListsThatCannotBeAreRefused(t *testing.T) {
	for line, says := range map[string]string{
		"controller.quorum.voters=1@127.0.0.1:6000":                  "make the two agree",
		"controller.quorum.voters=1@127.0.0.1:5010,1@127.0.0.1:5020": "node 1 twice",
		"controller.quorum.voters=1@127.0.0.1:5010,2@127.0.0.1:5010": "127.0.0.1:5010 twice",
	} {
		_, err := settingsOf(t, line)
		checkRefused(t, err, "controller.quorum.voters", says)
	}
}

func TestDataDirectoryKeysInKafkasOrder(t *testing.T) {
	for file, want := range map[string]string{
		"log.dir=/a":                                  "/a",
		"log.dir=/a\nlog.dirs=/b, /c":                 "/b",
		"log.dirs=/b\nmetadata.log.dir=/m\nlog.dir=/": "/m",
	} {
		if s := mustSettings(t, file); s.DataDir != want {
			t.Errorf("%q puts the data into %q, want %q", file, s.DataDir, want)
		}
	}
}

func TestDollarBracesAreNotExpanded(t *testing.T) {
	t.Setenv("YAKT_TEST_DIR", "expanded")
	if s := mustSettings(t, "log.dirs=/data/${YAKT_TEST_DIR}"); s.DataDir != "/data/${YAKT_TEST_DIR}" {
		t.Errorf("data directory %q", s.DataDir)
	}
}

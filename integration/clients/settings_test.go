package clients

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

// withProperties starts a controller on a properties file.
func withProperties(t *testing.T, lines ...string) *harness.Yakt {
	t.Helper()
	return harness.StartYakt(t, "--config", propertiesFile(t, lines...))
}

func TestNumPartitionsAndReplicationFactorAreDefaults(t *testing.T) {
	y := withProperties(t, "num.partitions=5", "default.replication.factor=2")
	harness.StartStandIn(t, y, 101)
	harness.StartStandIn(t, y, 102)
	client, ctx := admin(t, y)
	created, err := client.CreateTopic(ctx, -1, -1, nil, "by-default")
	if err != nil {
		t.Fatal(err)
	}
	if created.NumPartitions != 5 || created.ReplicationFactor != 2 {
		t.Errorf("created %+v", created)
	}
}

func TestSessionTimeoutFences(t *testing.T) {
	y := withProperties(t, "broker.session.timeout.ms=700")
	broker := harness.StartStandIn(t, y, 101)
	broker.Stop()
	start := time.Now()
	harness.Eventually(t, 5*time.Second, "the silent broker fenced (a session is 9 s by default)", func() error {
		m, err := y.Metadata()
		if err == nil && m.Unfenced(101) {
			err = errors.New("it is unfenced")
		}
		return err
	})
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("it was fenced after %v", took)
	}
}

// TestTopicDefaultsAreAnswered sees the controller's own properties in the configs of a new topic.
func TestTopicDefaultsAreAnswered(t *testing.T) {
	y := withProperties(t, "min.insync.replicas=2", "unclean.leader.election.enable=true", "log.retention.ms=86400000")
	harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	created, err := client.CreateTopic(ctx, 1, 1, nil, "by-default")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "true", "retention.ms": "86400000"}
	for key, value := range want {
		if got := created.Configs[key]; got.Value == nil || *got.Value != value {
			t.Errorf("%s is %q, want %q", key, got.MaybeValue(), value)
		}
	}
}

func TestSnapshotIsTakenAfterSoManyBytes(t *testing.T) {
	y := withProperties(t, "metadata.log.max.record.bytes.between.snapshots=500")
	harness.StartStandIn(t, y, 101)
	client, ctx := admin(t, y)
	for i := range 10 {
		if _, err := client.CreateTopic(ctx, 3, 1, nil, fmt.Sprintf("topic-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	waitForSnapshot(t, y)
	before := y.MustMetadata(t)
	y.Kill()
	y.Start(t)
	if after := y.MustMetadata(t); len(after.Topics) != len(before.Topics) {
		t.Errorf("%d topics came back of %d", len(after.Topics), len(before.Topics))
	}
}

func TestSnapshotIsTakenForItsAge(t *testing.T) {
	waitForSnapshot(t, withProperties(t, "metadata.log.max.snapshot.interval.ms=500"))
}

func waitForSnapshot(t *testing.T, y *harness.Yakt) {
	t.Helper()
	harness.Eventually(t, clientTimeout, "a snapshot", func() error {
		files, err := filepath.Glob(filepath.Join(y.Dir, "__cluster_metadata-0", "*.checkpoint"))
		if err == nil && len(files) == 0 {
			err = errors.New("there is none")
		}
		return err
	})
}

// closedByPeer reads until the other end closes.
func closedByPeer(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := io.Copy(io.Discard, conn); errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the connection stays open")
	}
}

func apiVersions() kmsg.Request {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(0)
	return req
}

func dial(t *testing.T, y *harness.Yakt) *harness.Conn {
	t.Helper()
	conn, err := harness.DialKafka(t.Context(), y.Addr, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestLongerRequestThanAllowedEndsItsConnection(t *testing.T) {
	y := withProperties(t, "socket.request.max.bytes=1024")
	conn := dial(t, y)
	if _, err := conn.Request(apiVersions()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte{0, 0, 4, 1}); err != nil { // the length alone: 1025
		t.Fatal(err)
	}
	closedByPeer(t, conn)
}

func TestMoreConnectionsThanAllowedAreClosed(t *testing.T) {
	y := withProperties(t, "max.connections=1")
	first := dial(t, y)
	if _, err := first.Request(apiVersions()); err != nil {
		t.Fatal(err)
	}
	second := dial(t, y)
	if _, err := second.Request(apiVersions()); err == nil {
		t.Error("a second connection is served")
	}
	if _, err := first.Request(apiVersions()); err != nil {
		t.Errorf("the first one suffered: %v", err)
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	y := withProperties(t, "connections.max.idle.ms=200")
	conn := dial(t, y)
	if _, err := conn.Request(apiVersions()); err != nil {
		t.Fatal(err)
	}
	closedByPeer(t, conn)
}

// TestFileNamesTheNode starts from a file alone.
func TestFileNamesTheNode(t *testing.T) {
	addr, dir := harness.FreeAddr(t), filepath.Join(t.TempDir(), "data")
	p := harness.StartServer(t, "--config", propertiesFile(t,
		"process.roles=controller", "node.id=7", "controller.listener.names=CTRL", "listeners=CTRL://"+addr,
		"controller.quorum.voters=7@"+addr, "log.dirs="+dir, "num.network.threads=3", "auto.create.topics.enable=false"))
	y := harness.Attach(t, p, addr, dir)
	m := y.MustMetadata(t)
	if m.ControllerID != 7 {
		t.Errorf("controller %d", m.ControllerID)
	}
	if len(m.Voters) != 1 || m.Voters[0].VoterID != 7 || m.Voters[0].Endpoints[0].Name != "CTRL" {
		t.Errorf("voters %+v: brokers look for their controller.listener.names there", m.Voters)
	}
	if out := p.Output().String(); strings.Count(out, "level=WARN") != 1 || !strings.Contains(out, "auto.create.topics.enable,num.network.threads") {
		t.Errorf("the keys without effect are not named in one warning:\n%s", out)
	}
}

func TestMetadataVersionIsOfTheFirstStart(t *testing.T) {
	y := harness.StartYakt(t, "--metadata-version", "4.0-IV3")
	level := func() int16 {
		client, ctx := admin(t, y)
		versions, err := client.ApiVersions(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var found int16
		versions.Each(func(v kadm.BrokerApiVersions) {
			for _, f := range v.Raw().FinalizedFeatures {
				if f.Name == "metadata.version" {
					found = f.MaxVersionLevel
				}
			}
		})
		return found
	}
	if got := level(); got != 25 {
		t.Errorf("metadata.version is %d", got)
	}
	y.Stop(t)
	p := harness.StartServer(t, "-a", y.Addr, "-d", y.Dir) // without the flag, which is 4.3-IV0
	y = harness.Attach(t, p, y.Addr, y.Dir)
	if got := level(); got != 25 {
		t.Errorf("metadata.version is %d after a restart with another default", got)
	}
}

package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"yakt/integration/harness"
)

const (
	// livesSession is how long a broker may be silent.
	livesSession = 3 * time.Second
	// livesLag is how long a leader counts on a follower that was in sync, for as long as the follower's broker is unfenced,
	// even though the controller has taken the follower out. It looks again when somebody tries to produce: a record that was
	// on its way when a follower lost its directory waits for the client's own timeout.
	livesLag = 5 * time.Second
	// defaultLives is for how long brokers are killed in turn; YAKT_LIVES=10m is for a release.
	defaultLives = 20 * time.Second
	// livesPartitions gives every broker four to lead, of twelve replicas in two directories.
	livesPartitions = 12
	// restored is from anything that happens to a broker until every replica is in sync again and leads where it should.
	restored = 2 * time.Minute
	// aFew acknowledgements show that the producer goes on.
	aFew = 20
)

// lives are three brokers, each in a rack of its own and with two log directories, and a producer that needs two of them.
type lives struct {
	y       *harness.Yakt
	brokers []*Broker
	clients []*kgo.Client         // one a broker
	dirs    map[*Broker][2]string // the metadata log is in the first
	steady  *steadyProducer
}

// TestLivesOfThreeBrokers takes three brokers through everything that becomes of brokers, beneath an idempotent producer.
// YAKt knows every time who leads what, and in the end every acknowledged record is there once and in its order.
func TestLivesOfThreeBrokers(t *testing.T) {
	l := startLives(t)
	for _, step := range []struct {
		name string
		run  func(*lives, *testing.T, *Broker)
		who  int
	}{
		{"Spread", (*lives).spread, 0},
		{"StoppedAndStarted", (*lives).stoppedAndStarted, 1},
		{"Killed", (*lives).killed, 2},
		{"Frozen", (*lives).frozen, 0},
		{"Wiped", (*lives).wiped, 1},
		{"DirectoryLost", (*lives).directoryLost, 2},
		{"KilledInTurn", (*lives).killedInTurn, 0},
		{"ReadBack", (*lives).readBack, 2},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			l.steady.pause()
			began := time.Now()
			step.run(l, t, l.brokers[step.who])
			t.Logf("%.1f s; the producer waited up to %.2f s", time.Since(began).Seconds(), l.steady.pause().Seconds())
		})
		if !ok {
			return // what follows begins with three healthy brokers
		}
	}
	for _, b := range l.brokers {
		b.CheckUp(t)
		b.Stop(t)
	}
}

func startLives(t *testing.T) *lives {
	t.Helper()
	l := &lives{dirs: map[*Broker][2]string{}}
	l.y = harness.StartYakt(t, "--config", propertiesFile(t,
		fmt.Sprintf("broker.session.timeout.ms=%d", livesSession.Milliseconds()),
		"min.insync.replicas=2",
		"leader.imbalance.check.interval.seconds=1",
		"metadata.log.max.record.bytes.between.snapshots=4000")) // a broker that lost all is to find a snapshot
	for i := range 3 {
		dir := harness.TempDir(t)
		dirs := [2]string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
		b := StartBroker(t, Current, int32(101+i), l.y, ByBootstrapServers(l.y),
			"log.dirs="+dirs[0]+","+dirs[1],
			fmt.Sprintf("broker.rack=r%d", i+1),
			"broker.heartbeat.interval.ms=500",
			fmt.Sprintf("replica.lag.time.max.ms=%d", livesLag.Milliseconds()),
			"replica.high.watermark.checkpoint.interval.ms=500") // how often a broker writes to each directory, and learns that it is gone
		l.brokers, l.clients, l.dirs[b] = append(l.brokers, b), append(l.clients, b.Client(t)), dirs
	}
	for _, b := range l.brokers {
		b.WaitUnfenced(t)
	}
	l.steady = startSteadyProducer(t, l.brokers[0], livesPartitions, 3)
	return l
}

// spread: every partition has a replica in every rack, every broker leads its share, and uses both of its directories.
func (l *lives) spread(t *testing.T, _ *Broker) {
	m := l.waitWhole(t)
	for i, b := range l.brokers {
		registered, _ := m.Broker(b.ID)
		if want := fmt.Sprintf("r%d", i+1); registered.Rack != want {
			t.Errorf("broker %d is in rack %q, not in %q", b.ID, registered.Rack, want)
		}
		if led := l.led(m, b); len(led) != livesPartitions/3 {
			t.Errorf("broker %d leads %d of %d partitions", b.ID, len(led), livesPartitions)
		}
		used := map[string]int{}
		for _, p := range l.partitions(m) {
			used[directoryOf(p, b)]++
		}
		for _, dir := range l.dirs[b] {
			if n := used[directoryID(t, dir)]; n != livesPartitions/2 {
				t.Errorf("broker %d has %d of %d replicas in %s", b.ID, n, livesPartitions, dir)
			}
		}
	}
}

// stoppedAndStarted: a broker that is told to stop leads nothing when it goes, and is let in as soon as it is back.
func (l *lives) stoppedAndStarted(t *testing.T, b *Broker) {
	b.Stop(t)
	if led := l.led(l.y.MustMetadata(t), b); len(led) > 0 {
		t.Errorf("it has gone and leads %+v", led)
	}
	if !strings.Contains(b.Log(), "The controller has asked us to exit controlled shutdown") {
		t.Errorf("it went before YAKt had let it:\n%s", b.Log())
	}
	l.steady.waitFor(t, aFew)
	l.start(t, b)
	l.waitWhole(t)
	if strings.Contains(b.Log(), "DUPLICATE_BROKER_REGISTRATION") {
		t.Errorf("it was not let in at once:\n%s", b.Log())
	}
}

// killed: a broker that is silent is fenced when its session ends, and with that leads nothing and is in sync nowhere.
func (l *lives) killed(t *testing.T, b *Broker) {
	at := time.Now()
	b.Kill()
	l.waitFenced(t, b, at)
	l.steady.waitFor(t, aFew)
	l.start(t, b)
	l.waitWhole(t)
}

// frozen: a broker that was not heard of for longer than its session goes on where it was, with the same registration.
func (l *lives) frozen(t *testing.T, b *Broker) {
	before, _ := l.y.MustMetadata(t).Broker(b.ID)
	at := time.Now()
	if err := b.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	l.waitFenced(t, b, at)
	thawed := time.Now()
	if err := b.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.WaitUnfenced(t)
	t.Logf("unfenced %.2f s after it was let go on", time.Since(thawed).Seconds())
	m := l.waitWhole(t)
	if after, _ := m.Broker(b.ID); after.BrokerEpoch != before.BrokerEpoch {
		t.Errorf("its epoch was %d and is %d", before.BrokerEpoch, after.BrokerEpoch)
	}
}

// wiped: a broker whose directories are new, metadata and all, gets everything from the others before it counts.
func (l *lives) wiped(t *testing.T, b *Broker) {
	before, _ := l.y.MustMetadata(t).Broker(b.ID)
	b.Kill()
	for _, dir := range l.dirs[b] {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	b.Format(t)
	l.start(t, b)
	m := l.waitWhole(t) // with every replica in a directory that is registered
	after, _ := m.Broker(b.ID)
	for _, id := range before.LogDirs {
		if slices.Contains(after.LogDirs, id) {
			t.Errorf("the directory %s was wiped and is registered still", id)
		}
	}
	if !strings.Contains(b.Log(), "after downloading snapshot") {
		t.Errorf("it has not fetched a snapshot of the metadata:\n%s", b.Log())
	}
}

// directoryLost: a broker that loses one of two directories leads on in the other. It has the lost one back when it is
// started again.
func (l *lives) directoryLost(t *testing.T, _ *Broker) {
	m := l.y.MustMetadata(t)
	leadsFromSecond := slices.IndexFunc(l.brokers, func(b *Broker) bool {
		second := directoryID(t, l.dirs[b][1])
		return slices.ContainsFunc(l.led(m, b), func(p harness.Partition) bool { return directoryOf(p, b) == second })
	})
	if leadsFromSecond < 0 {
		t.Fatalf("nobody leads anything from its second directory: %+v", l.partitions(m))
	}
	b := l.brokers[leadsFromSecond]
	dir := l.dirs[b][1]
	kept := directoryID(t, l.dirs[b][0])
	at := time.Now()
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, restored, "the directory is offline", func() error {
		m, err := l.y.Metadata()
		if err != nil {
			return err
		}
		if registered, _ := m.Broker(b.ID); registered.Fenced || !slices.Equal(registered.LogDirs, []string{kept}) {
			return fmt.Errorf("broker %+v", registered)
		}
		for _, p := range l.partitions(m) {
			in := directoryOf(p, b)
			if inSync := slices.Contains(p.ISR, b.ID); inSync != (in == kept) || (p.Leader == b.ID) != (in == kept && p.Replicas[0] == b.ID) {
				return fmt.Errorf("partition %+v", p)
			}
		}
		return nil
	})
	t.Logf("its replicas were out %.2f s after the directory was", time.Since(at).Seconds())
	l.steady.waitFor(t, aFew)
	b.CheckUp(t)
	b.Stop(t)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	l.start(t, b)
	l.waitWhole(t)
}

// killedInTurn: one broker after another dies for as long as YAKT_LIVES says, each when the one before is in sync again.
func (l *lives) killedInTurn(t *testing.T, _ *Broker) {
	d := defaultLives
	if text := os.Getenv("YAKT_LIVES"); text != "" {
		var err error
		if d, err = time.ParseDuration(text); err != nil {
			t.Fatalf("YAKT_LIVES: %v", err)
		}
	}
	kills := 0
	for end := time.Now().Add(d); time.Now().Before(end); kills++ {
		b := l.brokers[kills%len(l.brokers)]
		b.Kill()
		l.start(t, b)
		l.waitWhole(t)
	}
	t.Logf("%d kills", kills)
}

// readBack: what was acknowledged is there, each record once and in its order, and nothing else is.
func (l *lives) readBack(t *testing.T, b *Broker) {
	sent := l.steady.stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	client := b.Client(t, kgo.ConsumeTopics(l.steady.topic))
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, l.steady.topic)
	if err != nil {
		t.Fatal(err)
	}
	there := int64(0)
	ends.Each(func(o kadm.ListedOffset) { there += o.Offset })
	if err := ends.Error(); err != nil || there != int64(sent) {
		t.Errorf("%d records were acknowledged, and the partitions hold %d: %v", sent, there, err)
	}
	seen, last := map[int]bool{}, map[int32]int{}
	for _, r := range consumeRecords(t, ctx, client, sent) {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil || n < 0 || n >= sent || seen[n] {
			t.Fatalf("record %q of %d, at offset %d of partition %d, was not sent or came before", r.Value, sent, r.Offset, r.Partition)
		}
		if before, ok := last[r.Partition]; ok && n < before {
			t.Fatalf("record %d comes after %d in partition %d", n, before, r.Partition)
		}
		seen[n], last[r.Partition] = true, n
	}
	t.Logf("%d records", len(seen))
}

// start starts a broker that was down and says how long it took to be in service. Its session may not have ended yet.
func (l *lives) start(t *testing.T, b *Broker) {
	t.Helper()
	before, _ := l.y.MustMetadata(t).Broker(b.ID)
	at := time.Now()
	b.Start(t)
	harness.Eventually(t, runningTimeout, fmt.Sprintf("broker %d registered anew and unfenced", b.ID), func() error {
		b.CheckUp(t)
		m, err := l.y.Metadata()
		if err != nil {
			return err
		}
		if now, _ := m.Broker(b.ID); now.Fenced || now.BrokerEpoch == before.BrokerEpoch {
			return fmt.Errorf("it was %+v and is %+v", before, now)
		}
		return nil
	})
	t.Logf("broker %d unfenced %.2f s after its start", b.ID, time.Since(at).Seconds())
}

// waitFenced waits for the end of a session whose broker fell silent at that time, and looks at what ends with it.
func (l *lives) waitFenced(t *testing.T, b *Broker, at time.Time) {
	t.Helper()
	var m harness.Metadata
	harness.Eventually(t, time.Minute, fmt.Sprintf("broker %d fenced", b.ID), func() (err error) {
		if m, err = l.y.Metadata(); err == nil && m.Unfenced(b.ID) {
			return fmt.Errorf("brokers: %+v", m.Brokers)
		}
		return err
	})
	took := time.Since(at)
	t.Logf("broker %d fenced %.2f s after it fell silent", b.ID, took.Seconds())
	if took > livesSession+time.Second {
		t.Errorf("broker %d was fenced %v after it fell silent; its session is %v", b.ID, took, livesSession)
	}
	for _, p := range l.partitions(m) {
		if p.Leader < 0 || p.Leader == b.ID || slices.Contains(p.ISR, b.ID) {
			t.Errorf("broker %d is fenced, and partition %d is %+v", b.ID, p.PartitionID, p)
		}
	}
}

// waitWhole waits until every replica is in sync, each in a directory that its broker has, the first one leads, the
// brokers say the same to their clients, and the producer goes on.
func (l *lives) waitWhole(t *testing.T) harness.Metadata {
	t.Helper()
	var m harness.Metadata
	harness.Eventually(t, restored, "every replica in sync, and the first one leading", func() (err error) {
		if m, err = l.y.Metadata(); err != nil {
			return err
		}
		if n := len(l.partitions(m)); n != livesPartitions {
			return fmt.Errorf("%d partitions", n)
		}
		for _, p := range l.partitions(m) {
			if len(p.Replicas) != len(l.brokers) || len(p.ISR) != len(l.brokers) || p.Leader != p.Replicas[0] {
				return fmt.Errorf("partition %+v", p)
			}
			for i, id := range p.Replicas {
				if b, _ := m.Broker(id); !slices.Contains(b.LogDirs, p.Directories[i]) {
					return fmt.Errorf("partition %+v, and broker %+v", p, b)
				}
			}
		}
		return nil
	})
	for i, b := range l.brokers {
		harness.Eventually(t, time.Minute, fmt.Sprintf("the same from broker %d", b.ID), func() error {
			b.CheckUp(t)
			return l.says(t.Context(), l.clients[i], l.partitions(m))
		})
	}
	l.steady.waitFor(t, aFew)
	return m
}

// says asks the one broker that a client was given, and no other, and compares.
func (l *lives) says(ctx context.Context, client *kgo.Client, partitions []harness.Partition) error {
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(l.steady.topic)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, client.SeedBrokers()[0])
	if err != nil {
		return err
	}
	told := resp.Topics[0].Partitions
	if len(told) != len(partitions) {
		return fmt.Errorf("it has %d partitions: %w", len(told), kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	}
	for _, is := range told {
		p := partitions[is.Partition]
		if is.Leader != p.Leader || len(is.ISR) != len(p.ISR) || len(is.OfflineReplicas) > 0 {
			return fmt.Errorf("partition %+v, and the broker says %+v", p, is)
		}
	}
	return nil
}

func (l *lives) partitions(m harness.Metadata) []harness.Partition {
	topic, _ := m.Topic(l.steady.topic)
	return topic.Partitions
}

// led are the partitions that a broker leads.
func (l *lives) led(m harness.Metadata, b *Broker) []harness.Partition {
	return slices.DeleteFunc(slices.Clone(l.partitions(m)), func(p harness.Partition) bool { return p.Leader != b.ID })
}

// directoryOf is where a broker has its replica of a partition.
func directoryOf(p harness.Partition, b *Broker) string {
	return p.Directories[slices.Index(p.Replicas, b.ID)]
}

package apache

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yakt/integration/harness"
)

const quorumTool = "org.apache.kafka.tools.MetadataQuorumCommand"

// TestControllersComeAndGoThroughKafkasTool, asked for at a controller and through a broker, the leader's own removal included. The tool is
// given the addresses of all three, whether they are in the quorum or not: which of them it asks first is a matter of chance, and
// with two of three outside it is most often one of those.
func TestControllersComeAndGoThroughKafkasTool(t *testing.T) {
	one := harness.StartYakt(t, "-i", "1")
	q := &harness.Quorum{Nodes: []*harness.Yakt{one}}
	for i := 2; i <= 3; i++ {
		q.Nodes = append(q.Nodes, harness.StartWaiting(t, "-i", fmt.Sprint(i), "-e", "1/"+one.Addr, "--wait"))
	}
	all := strings.Join([]string{one.Addr, q.Nodes[1].Addr, q.Nodes[2].Addr}, ",")
	b := StartBroker(t, Current, 101, one, "controller.quorum.bootstrap.servers="+all)
	b.WaitRunning(t)

	add := func(i int, through ...string) {
		t.Helper()
		y := q.Nodes[i-1]
		config := filepath.Join(harness.TempDir(t), "controller.properties")
		text := fmt.Sprintf("node.id=%d\nprocess.roles=controller\nlisteners=CONTROLLER://%s\ncontroller.listener.names=CONTROLLER\nlog.dirs=%s\n", i, y.Addr, y.Dir)
		if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out := Tool(t, Current, quorumTool, append(through, "--command-config", config, "add-controller")...)
		if !strings.Contains(out, fmt.Sprintf("Added controller %d with directory id ", i)) {
			t.Errorf("add-controller says\n%s", out)
		}
		q.WaitVoters(t, i)
	}
	add(2, "--bootstrap-controller", all)
	add(3, "--bootstrap-server", b.Addr)

	p, err := q.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status := Tool(t, Current, quorumTool, "--bootstrap-controller", all, "describe", "--status")
	for _, want := range []string{"ClusterId:              " + one.ClusterID, fmt.Sprintf("LeaderId:               %d\n", p.LeaderID)} {
		if !strings.Contains(status, want) {
			t.Errorf("describe --status has no %q:\n%s", want, status)
		}
	}
	for i, y := range q.Nodes {
		if want := fmt.Sprintf(`{"id": %d, "directoryId": "%s", "endpoints": ["CONTROLLER://%s"]}`, i+1, directoryID(t, y.Dir), y.Addr); !strings.Contains(status, want) {
			t.Errorf("describe --status has no voter %s:\n%s", want, status)
		}
	}

	id := directoryID(t, q.Nodes[p.LeaderID-1].Dir)
	out := Tool(t, Current, quorumTool, "--bootstrap-server", b.Addr, "remove-controller", "--controller-id", fmt.Sprint(p.LeaderID), "--controller-directory-id", id)
	if !strings.Contains(out, fmt.Sprintf("KRaft controller %d with directory id %s", p.LeaderID, id)) {
		t.Errorf("remove-controller says\n%s", out)
	}
	q.WaitVoters(t, 2)
	for _, through := range [][]string{{"--bootstrap-controller", all}, {"--bootstrap-server", b.Addr}} {
		out := Tool(t, Current, quorumTool, append(through, "describe", "--replication")...)
		if strings.Count(out, "Leader") != 1 || strings.Count(out, "Follower") != 1 || strings.Contains(out, id) {
			t.Errorf("describe --replication through %v:\n%s", through, out)
		}
	}
	_, errs, err := runTool(t, Current, "", quorumTool, "--bootstrap-controller", all, "remove-controller", "--controller-id", "9", "--controller-directory-id", id)
	if err == nil || !strings.Contains(errs, "The quorum has no member 9") {
		t.Errorf("remove-controller of a stranger: %v\n%s", err, errs)
	}
	b.CheckUp(t)
	b.Stop(t)
}

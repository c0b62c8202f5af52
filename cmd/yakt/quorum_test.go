package main

import (
	"bytes"
	"io"
	"math"
	"net"
	"strings"
	"testing"
)

// voters is a quorum led by node 1, of voters that had everything so many milliseconds ago, and a broker.
func voters(caughtUpAgo ...int64) *quorum {
	q := &quorum{Cluster: someClusterID, Leader: 1, Epoch: 3, End: 100}
	for i, ago := range caughtUpAgo {
		q.Members = append(q.Members, member{ID: int32(i + 1), Votes: true, Leads: i == 0, End: 100, CaughtAgo: ago, Directory: "d", Endpoints: []string{"CONTROLLER://k:1"}})
	}
	q.Members = append(q.Members, member{ID: 101, End: 90, Lag: 10, CaughtAgo: 60_000})
	q.judge()
	return q
}

// TestOnlyWhoIsNotNeededMayStop: without it, a majority of all voters is left that has everything.
func TestOnlyWhoIsNotNeededMayStop(t *testing.T) {
	for name, test := range map[string]struct {
		ago  []int64
		want string // y or n for each voter
	}{
		"one":                     {[]int64{0}, "n"},
		"two":                     {[]int64{0, 10}, "nn"},
		"three":                   {[]int64{0, 10, 4999}, "yyy"},
		"three, one behind":       {[]int64{0, 10, 5000}, "nny"},
		"three, one never there":  {[]int64{0, 10, -1}, "nny"},
		"three, two behind":       {[]int64{0, 9000, -1}, "nnn"},
		"four, one behind":        {[]int64{0, 10, 10, -1}, "nnny"},
		"five, one behind":        {[]int64{0, 10, 10, 10, -1}, "yyyyy"},
		"five, two of them":       {[]int64{0, 10, 10, 9000, -1}, "nnnyy"},
		"a leader's own age is 0": {[]int64{-1, 10, 10}, "yyy"},
	} {
		q := voters(test.ago...)
		got := ""
		for _, m := range q.Members[:len(test.ago)] {
			got += map[bool]string{true: "y", false: "n"}[m.MayStop]
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if observer := q.Members[len(test.ago)]; !observer.MayStop {
			t.Errorf("%s: a broker does not vote", name)
		}
	}
}

func TestStatusIsATable(t *testing.T) {
	var out bytes.Buffer
	if err := voters(0, 10, -1).print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cluster " + someClusterID + ", led by node 1 in epoch 3, log end 100\n",
		"1     leader    100      0    0s ago     no        d          CONTROLLER://k:1\n",
		"3     voter     100      0    never      yes       d          CONTROLLER://k:1\n",
		"101   observer  90       10   1m0s ago   yes",
		"may stop: no, because only 1 of 3 voters would be left that have caught up, and 2 are needed\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it has no %q:\n%s", want, out.String())
		}
	}
}

func TestMembersAreFoundByName(t *testing.T) {
	q := voters(0, 10)
	q.Members = append(q.Members, member{ID: 2, Directory: "e"})
	for name, want := range map[string]string{"1": "", "1/d": "", "2": "several directories", "2/e": "", "2/x": "knows no", "7": "knows no"} {
		parsed, err := parseMember(name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.named(parsed)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhoIsNotReachedIsNamed, after what can be said without asking anybody.
func TestWhoIsNotReachedIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // now nobody listens there
	flags := quorumFlags{Server: l.Addr().String()}
	transfer, remove, mistyped := &quorumTransferCmd{flags, -1}, &quorumRemoveCmd{flags, "1"}, &quorumRemoveCmd{flags, "x"}
	checkRefused(t, transfer.run(t.Context(), io.Discard), l.Addr().String(), "name one that runs (--server")
	checkRefused(t, remove.run(t.Context(), io.Discard), l.Addr().String(), "name one that runs (--server")
	checkRefused(t, mistyped.run(t.Context(), io.Discard), `"x" is neither ID nor ID/DIRECTORY`)
	if got := who("quorum add <ID/HOST:PORT>") + "," + who("server"); got != "yakt quorum add,yakt" {
		t.Error(got)
	}
}

func TestBuildIsKnown(t *testing.T) {
	if got := version(); !strings.HasPrefix(got, "yakt ") || !strings.Contains(got, "go1.") {
		t.Error(got)
	}
}

func TestSuggestedBrokerIDIsOne(t *testing.T) {
	for id, want := range map[int32]string{1: "node.id=101", math.MaxInt32: "node.id=2147483547"} {
		if got := (banner{nodeID: id}).brokerProperties(); got[1] != want {
			t.Errorf("%q", got)
		}
	}
}

func TestWaitBelongsToPeers(t *testing.T) {
	if s := mustSettings(t, "", "-i", "2", "-e", "1/127.0.0.1:5010", "--wait"); !s.Wait {
		t.Error("it does not wait")
	}
	_, err := settingsOf(t, "", "--wait")
	checkRefused(t, err, "--wait belongs to -e")
}

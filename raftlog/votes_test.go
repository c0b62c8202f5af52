package raftlog

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

// TestVoterThatLagsElectsWhomItKnowsAsANonVoter: the second of three is cut off while the third becomes a voter. Then the first is lost. The
// other two are the majority; the third has everything and needs the vote of the second, which has not heard that it votes.
func TestVoterThatLagsElectsWhomItKnowsAsANonVoter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := growing(t)
		l, lags := c.nodes[0], c.mustEnter(1, 0)
		c.voters(lags, 1, 2)
		next := c.waiting(2, 0)
		if err := l.add(next); err != nil {
			t.Fatal(err)
		}
		l.changing <- struct{}{} // before it has caught up
		if len(membersOf(l, raft.Nonvoter)) != 1 {
			t.Fatal("it votes already")
		}
		await(t, lags, "it knows a non-voter", func() bool { return len(membersOf(lags, raft.Nonvoter)) == 1 })
		c.net.isolate(address(1), true)
		<-l.changing
		c.voters(l, 1, 2, 3)
		l.set("a", "1")
		await(t, next, "the third has everything", func() bool { return next.machine.get("a") == "1" })
		c.net.isolate(address(0), true)
		c.net.mend(address(1), address(2))
		c.net.mend(address(2), address(1))
		next = c.leader(2)
		next.set("a", "2")
		await(t, lags, "who lagged follows", func() bool { return lags.machine.get("a") == "2" })
	})
}

// TestStrangerIsJudgedByItsLog: whoever this node does not know for a voter gets its vote if its log is as long as this node's. Else it is
// refused before it can raise this node's term, as is everybody while there is a leader.
func TestStrangerIsJudgedByItsLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := threeVoters(t)
		n := c.nodes[2]
		last, term := n.raft.LastIndex(), n.raft.CurrentTerm()
		stranger := serverID(7, records.UUID{7})
		granted := func(index, of uint64) (preVote, vote bool) {
			t.Helper()
			header := raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(stranger), Addr: n.transport.EncodePeer(stranger, "node7:9093")}
			ask := func(request any) any {
				answer := make(chan raft.RPCResponse, 1)
				n.transport.incoming(request)
				n.transport.rpcs <- raft.RPC{RespChan: answer, Command: request}
				a := <-answer
				if a.Error != nil {
					t.Error(a.Error)
				}
				return a.Response
			}
			before := n.raft.CurrentTerm()
			pre := ask(&raft.RequestPreVoteRequest{RPCHeader: header, Term: before + 1, LastLogIndex: index, LastLogTerm: of}).(*raft.RequestPreVoteResponse)
			real := ask(&raft.RequestVoteRequest{RPCHeader: header, Term: before + 1, LastLogIndex: index, LastLogTerm: of}).(*raft.RequestVoteResponse)
			if now := n.raft.CurrentTerm(); !real.Granted && now != before {
				t.Errorf("it is refused, and term %d became %d", before, now)
			}
			return pre.Granted, real.Granted
		}
		if pre, vote := granted(last+1, term); pre || vote {
			t.Error("there is a leader, and the stranger got", pre, vote)
		}
		for _, i := range []int{0, 1} {
			c.stop(i)
		}
		last, term = n.raft.LastIndex(), n.raft.CurrentTerm()
		if i, of := n.lastEntry(); i != last || of > term {
			t.Errorf("the last entry is %d of term %d, not %d of %d", i, of, last, term)
		}
		_, of := n.lastEntry()
		time.Sleep(10 * time.Second) // virtual: the leader is forgotten
		for _, test := range []struct {
			index, of uint64
			want      bool
		}{{last - 1, of, false}, {last + 9, of - 1, false}, {last, of, true}, {last + 1, of, true}, {1, of + 1, true}} {
			if pre, vote := granted(test.index, test.of); pre != test.want || vote != test.want {
				t.Errorf("entry %d of term %d, this node has %d of %d: pre-vote %v, vote %v", test.index, test.of, last, of, pre, vote)
			}
		}
	})
}

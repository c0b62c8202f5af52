package raftlog

import (
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"yakt/records"
)

func TestCrowdPutsOutWhoHasBeenInLongest(t *testing.T) {
	c := crowd{most: 2}
	var out []int
	enter := func(i int) (leave func()) { return c.enter(func() { out = append(out, i) }) }
	first := enter(1)
	enter(2)()
	second := enter(3)
	enter(4)
	if !slices.Equal(out, []int{1}) {
		t.Fatal(out)
	}
	first()
	second()
	second()
	enter(5)
	if !slices.Equal(out, []int{1}) {
		t.Fatal(out)
	}
	enter(6)
	if !slices.Equal(out, []int{1, 4}) {
		t.Fatal(out)
	}
}

// TestSilentStrangersHoldUpNobody: however many connect, begin as raft or as joiners do and say no more, members get through and so does
// who wants to join.
func TestSilentStrangersHoldUpNobody(t *testing.T) {
	for what, hi := range map[string]string{
		"the first bytes":   handshakeMagic,
		"a joiner's hello":  string(appendHello(nil, "", "", "")),
		"half of a request": string(append(appendHello(nil, "", "", ""), joinVersion)),
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t)
				l := c.leader(0, 1, 2)
				member := c.nodes[c.others(l)[0]]
				for range 3 * (maxOpening + maxJoining) {
					conn, err := c.net.dialer("stranger")(t.Context(), address(c.index(l)))
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					go func() { // and never reads the answer to a hello to its end
						conn.Write([]byte(hi[:len(hi)-1]))
						conn.Write([]byte(hi[len(hi)-1:]))
						conn.Read(make([]byte, 1))
					}()
				}
				synctest.Wait()
				start := time.Now()
				conn, err := member.streams.Dial(target(l.self, raft.ServerAddress(address(c.index(l)))), handshakeTimeout)
				if err != nil {
					t.Fatal("a member:", err)
				}
				conn.Close()
				conn, err = c.net.dialer("joiner")(t.Context(), address(c.index(l)))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if a := askMember(t, conn, member.self); a.outcome != joinDone {
					t.Fatal("a joiner:", a)
				}
				if waited := time.Since(start); waited > 0 {
					t.Fatal("after", waited)
				}
			})
		})
	}
}

// askMember asks over conn whether who is a member.
func askMember(t *testing.T, conn net.Conn, who raft.ServerID) joinAnswer {
	t.Helper()
	if _, _, err := joinHandshake(conn, hello{cluster: records.UUID{9}.String(), from: who}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(joinRequest{what: joinMember, address: "node9:9093"}.append(nil)); err != nil {
		t.Fatal(err)
	}
	a, err := readJoinAnswer(conn)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestStrangersAreComplainedOfOnceASecond: a line for each connection would fill the disk.
func TestStrangersAreComplainedOfOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		s := newStreams(nil, nil, hello{}, nil, nil, slog.New(slog.NewTextHandler(&log, nil)))
		defer s.Close()
		for range 1000 {
			s.complain("refused")
		}
		time.Sleep(time.Second) // virtual
		s.complain("refused")
		if text := log.text.String(); strings.Count(text, "refused") != 2 || !strings.Contains(text, "more=999") {
			t.Error(text)
		}
	})
}

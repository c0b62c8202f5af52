package raftlog

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// A raft connection opens with one message each way, before raft's own. Strings are a length byte and their bytes.
//
//	who connects:   "YAKtraft" │ version u8 = 1 │ cluster id │ its own server id │ the server id it wants
//	who is asked:   "YAKtraft" │ version u8 = 1 │ cluster id │ its own server id │ reason to refuse; empty: welcome
//
// Who wants to join a quorum does not know whom it will meet: it wants "", may leave the cluster id empty, and may then
// do nothing but join (joinmessage.go). Who is asked leaves it empty while its own directory is empty (begin.go).
//
// A server id is "<node id>:<directory id>". Both sides check, and a mismatch ends the connection. raft alone would know
// a peer by its address only: a node whose disk was emptied, or another cluster's node at a reused address, would then
// answer and vote under the name of one that held data, and what that one had acknowledged would be lost.
const (
	handshakeMagic   = "YAKtraft"
	handshakeVersion = 1

	reasonYourself = "this is yourself"
)

// hello is what one side says about itself and whom it wants.
type hello struct {
	cluster string // "": not of one yet
	from    raft.ServerID
	to      raft.ServerID
}

// joins says that the one side wants to be let into the quorum and not to speak raft.
func (h hello) joins() bool { return h.to == "" }

// dialHandshake says hello over c and checks who answers.
func dialHandshake(c net.Conn, hi hello) error {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	if _, err := c.Write(appendHello(nil, hi.cluster, string(hi.from), string(hi.to))); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	cluster, from, reason, err := readHello(c)
	switch {
	case err != nil:
		return fmt.Errorf("handshake: %w", err)
	case reason != "":
		return errRefused{"refused: " + reason}
	case cluster != hi.cluster:
		return errRefused{fmt.Sprintf("belongs to cluster %s, this node to %s", cluster, hi.cluster)}
	case raft.ServerID(from) != hi.to:
		return errRefused{fmt.Sprintf("node %s answers there", from)}
	}
	return c.SetDeadline(time.Time{})
}

// acceptHandshake reads a hello from c and answers it. The error is the reason it was refused.
func acceptHandshake(c net.Conn, self hello) (peer hello, err error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return peer, err
	}
	cluster, from, to, err := readHello(c)
	if err != nil {
		return peer, fmt.Errorf("handshake: %w", err)
	}
	peer = hello{cluster: cluster, from: raft.ServerID(from), to: raft.ServerID(to)}
	reason := ""
	switch {
	case self.cluster == "" && !peer.joins():
		reason = "the directory here is empty"
	case self.cluster != "" && cluster != self.cluster && !(peer.joins() && cluster == ""):
		reason = fmt.Sprintf("this node belongs to cluster %s, not %s", self.cluster, cluster)
	case !peer.joins() && peer.to != self.from:
		reason = fmt.Sprintf("this is node %s, not %s", self.from, to)
	case peer.from == self.from:
		reason = reasonYourself
	}
	if _, err := c.Write(appendHello(nil, self.cluster, string(self.from), reason)); err != nil {
		return peer, fmt.Errorf("handshake: %w", err)
	}
	if reason != "" {
		return peer, fmt.Errorf("%s", reason)
	}
	return peer, c.SetDeadline(time.Time{})
}

func appendHello(b []byte, parts ...string) []byte {
	b = append(b, handshakeMagic...)
	return appendStrings(append(b, handshakeVersion), parts...)
}

func appendStrings(b []byte, parts ...string) []byte {
	for _, p := range parts {
		p = p[:min(len(p), 255)]
		b = append(append(b, byte(len(p))), p...)
	}
	return b
}

func readHello(r io.Reader) (cluster, from, third string, err error) {
	var head [len(handshakeMagic) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", "", "", err
	}
	if string(head[:len(handshakeMagic)]) != handshakeMagic {
		return "", "", "", fmt.Errorf("not a raft connection: it begins with %x", binary.BigEndian.Uint64(head[:]))
	}
	if v := head[len(handshakeMagic)]; v != handshakeVersion {
		return "", "", "", fmt.Errorf("version %d of the handshake; this program speaks version %d", v, handshakeVersion)
	}
	err = readStrings(r, &cluster, &from, &third)
	return cluster, from, third, err
}

func readStrings(r io.Reader, parts ...*string) error {
	for _, s := range parts {
		var n [1]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return err
		}
		text := make([]byte, n[0])
		if _, err := io.ReadFull(r, text); err != nil {
			return err
		}
		*s = string(text)
	}
	return nil
}

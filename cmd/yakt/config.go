package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"yakt/raftlog"
	"yakt/records"
)

// Settings is what one run of `yakt server` is to be, after flags, properties file and defaults were put together
// (a flag wins over the file, the file over the default). It is a plain value and not changed once the server runs.
type Settings struct {
	NodeID          int32
	Addr            string // where to listen, host:port; port 0 takes a free one
	Advertise       string // where others reach this node; empty: the address that is really listened on
	ListenerName    string
	DataDir         string
	ClusterID       string                  // empty: the stored one, or a new one in an empty directory
	MetadataVersion records.MetadataVersion // used at the first start only
	VersionAsked    bool                    // MetadataVersion was asked for, and is no default
	HTTP            string                  // httpOff, httpRead or httpFull
	ListController  bool                    // brokers' clients are told of the active controller, and to send their changes to it

	BrokerSessionTimeout     time.Duration
	NumPartitions            int32
	DefaultReplicationFactor int16
	MinInSyncReplicas        int32
	UncleanLeaderElection    bool
	AutoLeaderRebalance      bool // whether preferred leaders are restored
	LeaderImbalanceInterval  time.Duration

	LeaderTimeout time.Duration // how long the leader may be silent before another node stands for election

	SnapshotBytes    int64         // a snapshot after this many bytes of records
	SnapshotInterval time.Duration // and at least this often while there are new records; 0: never for its age

	MaxFrameBytes  int32
	MaxConnections int
	IdleTimeout    time.Duration

	// Properties is the file as it was written, for the keys by which Kafka's controller answers for a
	// topic's defaults (log.retention.ms and its like).
	Properties map[string]string
	// Ignored names the keys of the file that have no effect in this process.
	Ignored []string

	// Peers are members of a quorum that this node joins when its directory is empty, unless it is to wait to be added by
	// hand. Voters, where there are no peers, are all of a quorum that it begins together with them or joins. With data, none
	// of these matters.
	Peers  []peer
	Wait   bool
	Voters []peer

	quorum quorumKeys
	own    string // this node's address as -e has it, if it does
}

// What is served by HTTP.
const (
	httpOff  = "off"
	httpRead = "read" // what is known, and health
	httpFull = "full" // changes, too
)

// quorumKeys is how the file names the controllers. It is compared with the node's own address after the flags have been
// applied, since a flag may change that address.
type quorumKeys struct {
	voters    []peer
	bootstrap []string
}

// peer is one controller of the quorum.
type peer struct {
	id   int32 // raftlog.AnyNode where only the address is known
	addr string
}

// defaultSettings are Apache Kafka's defaults where Kafka has the key, and the address `go run ./cmd/yakt` is known by.
func defaultSettings() Settings {
	return Settings{
		NodeID:                   1,
		Addr:                     "127.0.0.1:5010",
		ListenerName:             "CONTROLLER",
		MetadataVersion:          records.LatestMetadataVersion,
		HTTP:                     httpFull,
		ListController:           true,
		BrokerSessionTimeout:     9 * time.Second,
		NumPartitions:            1,
		DefaultReplicationFactor: 1,
		MinInSyncReplicas:        1,
		AutoLeaderRebalance:      true,
		LeaderImbalanceInterval:  5 * time.Minute,
		LeaderTimeout:            2 * time.Second,
		SnapshotBytes:            20 << 20,
		SnapshotInterval:         time.Hour,
		// Kafka takes 100 MiB, for produce requests. No request to a controller is near 8 MiB, and a decoder's memory is a
		// multiple of the frame.
		MaxFrameBytes:  8 << 20,
		MaxConnections: 4096,
		IdleTimeout:    10 * time.Minute,
		Properties:     map[string]string{},
	}
}

// settings puts flags, file and defaults together and checks the result. All that is wrong is reported at once.
func (c *serverCmd) settings() (Settings, error) {
	s := defaultSettings()
	var problems []error
	if c.Config != "" {
		if err := s.load(c.Config); err != nil {
			problems = append(problems, err)
		}
	}
	if c.NodeID != nil {
		s.NodeID = *c.NodeID
	}
	for _, f := range []struct{ flag, setting *string }{
		{c.Addr, &s.Addr}, {c.Advertise, &s.Advertise}, {c.ListenerName, &s.ListenerName}, {c.DataDir, &s.DataDir},
		{c.ClusterID, &s.ClusterID}, {c.HTTP, &s.HTTP},
	} {
		if f.flag != nil {
			*f.setting = *f.flag
		}
	}
	if c.ListController != nil {
		s.ListController = *c.ListController
	}
	if c.MetadataVersion != nil {
		v, err := records.ParseMetadataVersion(*c.MetadataVersion)
		if err == nil && v > records.LatestMetadataVersion {
			err = fmt.Errorf("%v is not released yet", v)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("--metadata-version %q cannot be had: name a level from %v to %v, the newest that all brokers know: %w",
				*c.MetadataVersion, records.MinMetadataVersion, records.LatestMetadataVersion, err))
		}
		s.MetadataVersion, s.VersionAsked = v, true
	}
	if s.DataDir == "" {
		s.DataDir = filepath.Join("yakt-data", strconv.Itoa(int(s.NodeID)))
	}
	problems = append(problems, s.check()...)
	if c.Peers != nil {
		problems = append(problems, s.checkPeers(*c.Peers))
	} else {
		problems = append(problems, s.checkQuorum()...)
	}
	if s.Wait = c.Wait; s.Wait && len(s.Peers) == 0 && c.Peers == nil {
		problems = append(problems, errors.New("--wait belongs to -e: name members of the quorum that this node is to be added to"))
	}
	if err := errors.Join(problems...); err != nil {
		return Settings{}, err
	}
	return s, nil
}

// check finds what cannot work, in sentences that say what to do.
func (s *Settings) check() []error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if s.NodeID < 0 {
		refuse("node id %d is negative: give -i (node.id) a number from 0 up that no broker has", s.NodeID)
	}
	host, _, err := splitAddr(s.Addr, true)
	switch {
	case err != nil:
		refuse("the address %q given with -a (listeners) is not HOST:PORT: %w", s.Addr, err)
	case s.Advertise == "" && wildcard(host):
		refuse("the address %q listens on every interface, so others cannot be told it: say where they reach this node with --advertise HOST:PORT (advertised.listeners)", s.Addr)
	}
	if s.Advertise != "" {
		host, _, err := splitAddr(s.Advertise, false)
		switch {
		case err != nil:
			refuse("the address %q given with --advertise (advertised.listeners) is not HOST:PORT: %w", s.Advertise, err)
		case wildcard(host):
			refuse("--advertise %q (advertised.listeners) is a wildcard: give the one host name or address by which brokers and clients reach this node", s.Advertise)
		}
	}
	if s.ListenerName == "" || strings.ContainsAny(s.ListenerName, " \t,:/@") {
		refuse("the listener name %q is not a plain word: give --listener-name the first of the brokers' controller.listener.names", s.ListenerName)
	}
	if s.HTTP != httpOff && s.HTTP != httpRead && s.HTTP != httpFull {
		refuse("--http %q is none of off, read and full", s.HTTP)
	}
	if s.ClusterID != "" {
		if err := checkClusterID(s.ClusterID); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// checkQuorum turns the keys of the file that name the controllers into Voters or Peers. One voter that is this node, or
// nobody but this node to join, is a quorum of its own.
func (s *Settings) checkQuorum() []error {
	var problems []error
	refuse := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	ids, addrs := map[int32]bool{}, map[string]bool{}
	for _, v := range s.quorum.voters {
		switch {
		case ids[v.id]:
			refuse("controller.quorum.voters names node %d twice", v.id)
		case addrs[v.addr]:
			refuse("controller.quorum.voters names the address %s twice", v.addr)
		}
		ids[v.id], addrs[v.addr] = true, true
	}
	own := s.ownAddr()
	switch v := s.quorum.voters; {
	case len(v) == 1 && v[0].id == s.NodeID && !sameAddr(v[0].addr, own):
		refuse("controller.quorum.voters says this node is reached at %s, and it says itself %s: brokers would be sent to both; make the two agree", v[0].addr, own)
	case len(v) == 1 && v[0].id == s.NodeID:
	case len(v) > 0:
		s.Voters = v
	default:
		for _, addr := range s.quorum.bootstrap {
			if !sameAddr(addr, own) {
				s.Peers = append(s.Peers, peer{raftlog.AnyNode, addr})
			}
		}
	}
	return problems
}

// checkBeginning sees that this node is on the list of those who begin a quorum together, and that there is somebody else whom it
// is to join. Only an empty directory needs that.
func (s *Settings) checkBeginning() error {
	own := s.ownAddr()
	switch {
	case s.own != "" && !sameAddr(s.own, own):
		return fmt.Errorf("-e says that node %d is reached at %s, and this node, which is to be node %d, at %s: give it another id with -i, or correct -e", s.NodeID, s.own, s.NodeID, own)
	case s.own != "" && len(s.Peers) == 0:
		return fmt.Errorf("-e names nobody but node %d, which is this node, and its directory is empty: name other members of the quorum, or leave -e out to begin a new one", s.NodeID)
	}
	for _, v := range s.Voters {
		switch {
		case v.id == s.NodeID && !sameAddr(v.addr, own):
			return fmt.Errorf("controller.quorum.voters says that node %d is reached at %s, and it says itself %s: make the two agree before it begins with the others", v.id, v.addr, own)
		case v.id == s.NodeID:
			return nil
		}
	}
	if len(s.Voters) > 0 {
		return fmt.Errorf("controller.quorum.voters does not name this node: add %d@%s, the same in the files of all, or name members of a quorum to join with -e", s.NodeID, own)
	}
	return nil
}

// ownAddr is where others reach this node, as far as it is known before the port is open.
func (s *Settings) ownAddr() string {
	if s.Advertise != "" {
		return s.Advertise
	}
	return s.Addr
}

// checkPeers reads -e. All nodes of a quorum may be given the same list, so this node's own entry does not count.
func (s *Settings) checkPeers(flag string) error {
	peers, err := parsePeers(flag)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if p.id == s.NodeID {
			s.own = p.addr
		} else {
			s.Peers = append(s.Peers, p)
		}
	}
	return nil
}

// parsePeers reads ID/HOST:PORT,….
func parsePeers(text string) ([]peer, error) {
	var peers []peer
	seen := map[int32]bool{}
	for entry := range strings.SplitSeq(text, ",") {
		p, err := parsePeer(entry, "/")
		if err != nil {
			return nil, fmt.Errorf("-e: %q is not ID/HOST:PORT: %w", entry, err)
		}
		if seen[p.id] {
			return nil, fmt.Errorf("-e: node id %d is given twice", p.id)
		}
		seen[p.id] = true
		peers = append(peers, p)
	}
	return peers, nil
}

// parsePeer reads one `id<sep>host:port`.
func parsePeer(entry, sep string) (peer, error) {
	id, addr, ok := strings.Cut(strings.TrimSpace(entry), sep)
	if !ok {
		return peer{}, fmt.Errorf("there is no %q", sep)
	}
	n, err := strconv.ParseInt(id, 10, 32)
	if err != nil || n < 0 {
		return peer{}, fmt.Errorf("%q is not a node id", id)
	}
	host, _, err := splitAddr(addr, false)
	if err != nil {
		return peer{}, err
	}
	if wildcard(host) {
		return peer{}, fmt.Errorf("%q names no host", addr)
	}
	return peer{int32(n), addr}, nil
}

// splitAddr checks host:port. Port 0, "any free one", makes sense only for listening.
func splitAddr(addr string, listening bool) (host string, port uint16, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, errors.New("write it like 127.0.0.1:5010, or [::1]:5010")
	}
	if strings.ContainsAny(host, " \t/") {
		return "", 0, fmt.Errorf("%q is not a host", host)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 && !listening {
		return "", 0, fmt.Errorf("%q is not a port number", text)
	}
	return host, uint16(n), nil
}

// wildcard tells whether a host stands for every interface.
func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// sameAddr compares two addresses as written; all names of the loopback count as one, since properties files say
// localhost where flags say 127.0.0.1.
func sameAddr(a, b string) bool {
	canonical := func(addr string) string {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return addr
		}
		if ip := net.ParseIP(host); strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback() {
			host = "localhost"
		}
		return strings.ToLower(host) + ":" + port
	}
	return canonical(a) == canonical(b)
}

// checkClusterID accepts what kafka-storage random-uuid prints: 16 bytes as 22 characters of URL-safe base64.
func checkClusterID(id string) error {
	if raw, err := base64.RawURLEncoding.DecodeString(id); err != nil || len(raw) != 16 {
		return fmt.Errorf("--cluster-id %q is not 22 characters of a Kafka uuid, such as kafka-storage.sh random-uuid prints: correct it, or leave it out and one is made", id)
	}
	return nil
}

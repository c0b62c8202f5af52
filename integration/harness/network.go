package harness

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Network is a bridge on this machine and, on it, one network namespace for each node, so that a node can be cut off from
// others as by a broken cable or switch, while its process knows nothing of it.
//
//	test process ── bridge .254 ──┬── namespace of node 0, .1
//	                              ├── namespace of node 1, .2
//	                              └── namespace of node 2, .3
//
// It needs root and the ip command of Linux. Names hold the test process's id: whatever a dead test has left behind is
// removed by the next one. Its methods belong to one goroutine.
type Network struct {
	subnet string // "198.18.7."
	nodes  int
}

// nowhere is a hardware address that nobody on the bridge has.
const nowhere = "02:00:00:00:00:99"

// StartNetwork makes a network for so many nodes. The error says why there can be none here.
func StartNetwork(t testing.TB, nodes int) (*Network, error) {
	t.Helper()
	if err := removeLeftovers(); err != nil {
		return nil, err
	}
	n := &Network{nodes: nodes}
	t.Cleanup(func() {
		if err := n.remove(); err != nil {
			t.Errorf("the test's network is left behind: %v", err)
		}
	})
	var err error
	if n.subnet, err = freeSubnet(); err != nil {
		return nil, err
	}
	commands := []string{
		"link add " + bridgeName(os.Getpid()) + " type bridge",
		"addr add " + n.subnet + "254/24 dev " + bridgeName(os.Getpid()),
		"link set " + bridgeName(os.Getpid()) + " up",
	}
	for i := range nodes {
		space, cable := spaceName(os.Getpid(), i), cableName(os.Getpid(), i)
		commands = append(commands,
			"netns add "+space,
			"link add "+cable+" type veth peer name eth0 netns "+space,
			"link set "+cable+" master "+bridgeName(os.Getpid())+" up",
			"-n "+space+" addr add "+n.subnet+strconv.Itoa(i+1)+"/24 dev eth0",
			"-n "+space+" link set eth0 up",
			"-n "+space+" link set lo up",
		)
	}
	for _, c := range commands {
		if err := ip(c); err != nil {
			return nil, errors.Join(err, n.remove())
		}
	}
	return n, nil
}

// StartQuorum is the function of this name, with each node in its namespace and further arguments for all.
func (n *Network) StartQuorum(t testing.TB, args ...string) *Quorum {
	t.Helper()
	return startQuorum(t, func(i int) *Yakt {
		return &Yakt{Addr: n.addr(i) + ":5010", prefix: []string{"ip", "netns", "exec", spaceName(os.Getpid(), i)}, args: args}
	})
}

func (n *Network) addr(i int) string { return n.subnet + strconv.Itoa(i+1) }

// Drop loses, from now on, every packet that one node sends to another. The other direction is left alone, and so is
// what the test process sends and receives.
func (n *Network) Drop(from, to int) error {
	return ip(fmt.Sprintf("-n %s neigh replace %s lladdr %s dev eth0 nud permanent", spaceName(os.Getpid(), from), n.addr(to), nowhere))
}

// Cut loses what a node sends to the other nodes, what they send to it, or both. The test process still reaches all of them.
func (n *Network) Cut(i int, sent, received bool) error {
	var errs []error
	for other := range n.nodes {
		if other == i {
			continue
		}
		if sent {
			errs = append(errs, n.Drop(i, other))
		}
		if received {
			errs = append(errs, n.Drop(other, i))
		}
	}
	return errors.Join(errs...)
}

// Unplug cuts a node off from everybody, the test process too.
func (n *Network) Unplug(i int) error { return ip("link set " + cableName(os.Getpid(), i) + " down") }

// Slow lets a node send so many kilobits a second and no more; what waits longer than two seconds is lost. The error may say that this kernel cannot.
func (n *Network) Slow(i, kilobits int) error {
	return run("tc", "-n", spaceName(os.Getpid(), i), "qdisc", "replace", "dev", "eth0", "root", "tbf",
		"rate", strconv.Itoa(kilobits)+"kbit", "burst", "4kb", "latency", "2s")
}

// Heal ends whatever was done to the network.
func (n *Network) Heal() error {
	var errs []error
	for i := range n.nodes {
		space := spaceName(os.Getpid(), i)
		errs = append(errs, ip("link set "+cableName(os.Getpid(), i)+" up"), ip("-n "+space+" neigh flush dev eth0 nud permanent"))
		run("tc", "-n", space, "qdisc", "del", "dev", "eth0", "root") // fails when there is none
	}
	return errors.Join(errs...)
}

// remove removes what is there of it.
func (n *Network) remove() error { return removeNetwork(os.Getpid()) }

func spaceName(pid, i int) string { return fmt.Sprintf("yakt-%d-%d", pid, i) }
func cableName(pid, i int) string { return fmt.Sprintf("yk%dn%d", pid, i) } // at most 15 bytes
func bridgeName(pid int) string   { return fmt.Sprintf("yk%dbr", pid) }

// removeNetwork removes the network of a test process: with a namespace go its ends of cables, once no process is in it.
func removeNetwork(pid int) error {
	var errs []error
	spaces, err := filepath.Glob(fmt.Sprintf("/run/netns/yakt-%d-*", pid))
	errs = append(errs, err)
	for _, s := range spaces {
		errs = append(errs, ip("netns del "+filepath.Base(s)))
	}
	links, err := net.Interfaces()
	errs = append(errs, err)
	for _, l := range links {
		own, found := strings.CutPrefix(l.Name, fmt.Sprintf("yk%d", pid))
		if found && (own == "br" || strings.HasPrefix(own, "n")) {
			if err := ip("link del " + l.Name); err != nil && exists(l.Name) {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// exists tells whether there is still an interface: one that goes with its namespace may be on its way.
func exists(name string) bool {
	_, err := net.InterfaceByName(name)
	return err == nil
}

// removeLeftovers removes the networks of test processes that are gone.
func removeLeftovers() error {
	spaces, err := filepath.Glob("/run/netns/yakt-*-*")
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range spaces {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(s), "yakt-"), "-")
		pid, err := strconv.Atoi(number)
		if err != nil {
			continue // not ours
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); errors.Is(err, os.ErrNotExist) {
			errs = append(errs, removeNetwork(pid))
		}
	}
	return errors.Join(errs...)
}

// freeSubnet finds a network that this machine has no address in, within the range that is set aside for tests of
// networks (RFC 2544) and never seen outside of them.
func freeSubnet() (string, error) {
	used, err := net.InterfaceAddrs()
	if err != nil {
		return "", err
	}
	for i := range 512 {
		n := (os.Getpid() + i) % 512
		subnet := fmt.Sprintf("198.%d.%d.", 18+n/256, n%256)
		taken := false
		for _, a := range used {
			taken = taken || strings.HasPrefix(a.String(), subnet)
		}
		if !taken {
			return subnet, nil
		}
	}
	return "", errors.New("every network of 198.18.0.0/15 is taken")
}

// ip runs one ip command.
func ip(args string) error { return run("ip", strings.Fields(args)...) }

func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

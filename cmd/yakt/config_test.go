package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"yakt/records"
)

const someClusterID = "MkU3OEVBNTcwNTJENDM2Qk"

// settingsOf runs the command line as far as the settings. A properties file is written when there is text for one.
func settingsOf(t *testing.T, file string, args ...string) (Settings, error) {
	t.Helper()
	if file != "" {
		name := filepath.Join(t.TempDir(), "server.properties")
		if err := os.WriteFile(name, []byte(file), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", name)
	}
	var line commandLine
	parser, err := newParser(&line)
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		t.Fatal(err)
	}
	if command.Command() != "server" {
		t.Fatalf("%q is the command %q", args, command.Command())
	}
	return line.Server.settings()
}

func mustSettings(t *testing.T, file string, args ...string) Settings {
	t.Helper()
	s, err := settingsOf(t, file, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkRefused sees that the start fails with a message that has all the fragments.
func checkRefused(t *testing.T, err error, fragments ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	for _, fragment := range fragments {
		if !strings.Contains(err.Error(), fragment) {
			t.Errorf("the message does not say %q:\n%v", fragment, err)
		}
	}
}

func TestNoArgumentsAreTheDocumentedOnes(t *testing.T) {
	bare := mustSettings(t, "")
	spelled := mustSettings(t, "", "server", "-i", "1", "-a", "127.0.0.1:5010", "-d", "yakt-data/1")
	if !reflect.DeepEqual(bare, spelled) {
		t.Errorf("yakt alone is %+v,\nspelled out it is %+v", bare, spelled)
	}
	if bare.MetadataVersion != records.LatestMetadataVersion || bare.ListenerName != "CONTROLLER" || bare.ClusterID != "" || bare.Advertise != "" || !bare.ListController {
		t.Errorf("defaults: %+v", bare)
	}
}

func TestFlagsWorkWithoutNamingTheSubcommand(t *testing.T) {
	if s := mustSettings(t, "", "-i", "7", "-a", "127.0.0.1:0"); s.NodeID != 7 || s.Addr != "127.0.0.1:0" {
		t.Errorf("%+v", s)
	}
}

func TestDataDirectoryFollowsTheNodeID(t *testing.T) {
	if s := mustSettings(t, "", "-i", "7"); s.DataDir != filepath.Join("yakt-data", "7") {
		t.Errorf("data directory %q", s.DataDir)
	}
}

func TestFlagWinsOverFileWinsOverDefault(t *testing.T) {
	const file = `
node.id=5
listeners=CTRL://127.0.0.1:6000
advertised.listeners=CTRL://example.net:6001
controller.listener.names=CTRL
log.dirs=/data/from/file
`
	s := mustSettings(t, file)
	if s.NodeID != 5 || s.Addr != "127.0.0.1:6000" || s.Advertise != "example.net:6001" || s.ListenerName != "CTRL" || s.DataDir != "/data/from/file" {
		t.Errorf("from the file alone: %+v", s)
	}
	if s.MetadataVersion.String() != "4.3-IV0" || s.BrokerSessionTimeout != 9*time.Second {
		t.Errorf("defaults beside a file: %+v", s)
	}
	s = mustSettings(t, file, "-i", "6", "-a", "127.0.0.1:7000", "--advertise", "example.org:7001", "--listener-name", "FLAG",
		"-d", "/data/from/flag", "--cluster-id", someClusterID, "--metadata-version", "4.0-IV3", "--list-controller=false")
	if s.NodeID != 6 || s.Addr != "127.0.0.1:7000" || s.Advertise != "example.org:7001" || s.ListenerName != "FLAG" ||
		s.DataDir != "/data/from/flag" || s.ClusterID != someClusterID || s.MetadataVersion.String() != "4.0-IV3" || s.ListController {
		t.Errorf("with flags: %+v", s)
	}
}

func TestWhatCannotWorkIsRefusedWithWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		says []string
	}{
		"wildcard address":            {[]string{"-a", "0.0.0.0:5010"}, []string{"--advertise HOST:PORT"}},
		"wildcard address, IPv6":      {[]string{"-a", "[::]:5010"}, []string{"--advertise HOST:PORT"}},
		"empty host":                  {[]string{"-a", ":5010"}, []string{"--advertise HOST:PORT"}},
		"no port":                     {[]string{"-a", "127.0.0.1"}, []string{"not HOST:PORT", "127.0.0.1:5010"}},
		"port out of range":           {[]string{"-a", "127.0.0.1:70000"}, []string{`"70000" is not a port`}},
		"advertised wildcard":         {[]string{"--advertise", "0.0.0.0:5010"}, []string{"is a wildcard"}},
		"advertised port 0":           {[]string{"--advertise", "localhost:0"}, []string{`"0" is not a port`}},
		"negative node id":            {[]string{"--node-id=-3"}, []string{"negative"}},
		"listener name":               {[]string{"--listener-name", "A,B"}, []string{"plain word"}},
		"empty listener name":         {[]string{"--listener-name", ""}, []string{"plain word"}},
		"cluster id too short":        {[]string{"--cluster-id", "abc"}, []string{"random-uuid"}},
		"cluster id not base64":       {[]string{"--cluster-id", "MkU3OEVBNTcwNTJENDM2Q!"}, []string{"random-uuid"}},
		"unknown metadata version":    {[]string{"--metadata-version", "9.9-IV9"}, []string{"9.9-IV9", "4.3-IV0"}},
		"metadata version before 3.3": {[]string{"--metadata-version", "3.0-IV0"}, []string{"3.0-IV0"}},
		"unreleased metadata version": {[]string{"--metadata-version", "4.4-IV0"}, []string{"not released"}},
		"peers: not an id":            {[]string{"-e", "x/127.0.0.1:5011"}, []string{"ID/HOST:PORT", `"x" is not a node id`}},
		"peers: no port":              {[]string{"-e", "2/127.0.0.1"}, []string{"ID/HOST:PORT"}},
		"peers: twice":                {[]string{"-e", "2/127.0.0.1:5011,2/127.0.0.1:5012"}, []string{"node id 2 is given twice"}},
		"peers: wildcard":             {[]string{"-e", "2/:5011"}, []string{"names no host"}},
		"peers: empty":                {[]string{"-e", ""}, []string{"ID/HOST:PORT"}},
		"http, but how":               {[]string{"--http", "on"}, []string{`--http "on"`, "off, read and full"}},
		"missing file":                {[]string{"--config", "/nowhere/server.properties"}, []string{"/nowhere/server.properties"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settingsOf(t, "", test.args...)
			checkRefused(t, err, test.says...)
		})
	}
}

func TestPeersAreKept(t *testing.T) {
	s := mustSettings(t, "", "-i", "3", "-a", "127.0.0.1:5030", "-e", "1/127.0.0.1:5010,2/k2.example.net:5020")
	if want := []peer{{1, "127.0.0.1:5010"}, {2, "k2.example.net:5020"}}; !slices.Equal(s.Peers, want) {
		t.Errorf("%+v", s.Peers)
	}
}

// TestOneListOfPeersIsForAllNodes: the own entry does not count, and matters to an empty directory only.
func TestOneListOfPeersIsForAllNodes(t *testing.T) {
	const list = "1/127.0.0.1:5010,2/localhost:5020"
	s := mustSettings(t, "", "-i", "2", "-a", "127.0.0.1:5020", "-e", list)
	if want := []peer{{1, "127.0.0.1:5010"}}; !slices.Equal(s.Peers, want) {
		t.Errorf("%+v", s.Peers)
	}
	if err := s.checkBeginning(); err != nil {
		t.Error(err)
	}
	for says, args := range map[string][]string{
		"give it another id":      {"-i", "2", "-a", "127.0.0.1:5030", "-e", list},
		"names nobody but node 1": {"-e", "1/127.0.0.1:5010"},
		"leave -e out":            {"-e", "1/127.0.0.1:5010", "--wait"},
	} {
		s := mustSettings(t, "", args...)
		checkRefused(t, s.checkBeginning(), says)
	}
}

func TestWildcardAddressWithAnAdvertisedOne(t *testing.T) {
	if s := mustSettings(t, "", "-a", "0.0.0.0:5010", "--advertise", "k1.example.net:5010"); s.Advertise != "k1.example.net:5010" {
		t.Errorf("%+v", s)
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	_, err := settingsOf(t, "num.partitions=none\nssl.keystore.location=/k", "--node-id=-1", "-a", "nonsense")
	checkRefused(t, err, "num.partitions", "ssl.keystore.location", "node id -1", "nonsense")
}

func TestUnknownKeysAreNamed(t *testing.T) {
	s := mustSettings(t, "num.partition=3\nauto.create.topics.enable=false\nnum.partitions=3\nlog.retention.ms=1000\n")
	if want := []string{"auto.create.topics.enable", "num.partition"}; !slices.Equal(s.Ignored, want) {
		t.Errorf("named: %q, want %q", s.Ignored, want)
	}
	if s.NumPartitions != 3 {
		t.Errorf("the known key beside them: %d", s.NumPartitions)
	}
	if s.Properties["log.retention.ms"] != "1000" {
		t.Errorf("a topic's default is kept as %q", s.Properties["log.retention.ms"])
	}
}

// Command yakt is a Kafka controller: `yakt server` runs one, `yakt quorum` looks after several, `yakt dump` shows what they write.
// main.go has the command line, config.go and properties.go what a server is told, and every subcommand its own file.
// This is the only package that knows all the others and puts them together.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"yakt/raftlog"
	"yakt/records"
)

// commandLine is what the program understands. Without a subcommand it is a server.
type commandLine struct {
	Server serverCmd `cmd:"" default:"withargs" help:"Run a controller (this is what yakt does when no command is named)."`
	Dump   dumpCmd   `cmd:"" help:"Print a stopped node's log, log segments, snapshots or single record values as JSON."`
	Export exportCmd `cmd:"" help:"Write a stopped node's log and snapshots the way Apache Kafka lays them out."`
	Quorum quorumCmd `cmd:"" help:"Look after the quorum of controllers."`

	Version kong.VersionFlag `help:"Print what this program was built from, and stop."`
}

func main() {
	var line commandLine
	parser, err := newParser(&line)
	if err != nil {
		panic(err) // the struct above is wrong, whatever the user typed
	}
	command, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	if err := command.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", who(command.Command()), err)
		os.Exit(exitCode(err))
	}
}

// who is whose error a line is: `yakt quorum add`, say.
func who(command string) string {
	who := "yakt"
	if strings.HasPrefix(command, "quorum ") {
		for _, word := range strings.Fields(command)[:2] {
			who += " " + word
		}
	}
	return who
}

// version says what the program was built from, as far as that is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "yakt, built without modules"
	}
	text := "yakt " + info.Main.Version
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			text += ", commit " + setting.Value
		case setting.Key == "vcs.time":
			text += " of " + setting.Value
		case setting.Key == "vcs.modified" && setting.Value == "true":
			text += ", with changes"
		}
	}
	return fmt.Sprintf("%s, %s, metadata.version up to %v", text, info.GoVersion, records.LatestMetadataVersion)
}

// exitCode is 2 for a directory that a running node has: a script can then stop that one first, or ask it instead.
func exitCode(err error) int {
	if errors.Is(err, raftlog.ErrInUse) {
		return 2
	}
	return 1
}

// newParser is apart from main so that tests parse what users type.
func newParser(line *commandLine) (*kong.Kong, error) {
	return kong.New(line,
		kong.Name("yakt"),
		kong.Description("A Kafka controller: Apache Kafka brokers keep their metadata here instead of in Apache's KRaft controllers."),
		kong.UsageOnError(),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

// Command yakt is a Kafka controller: `yakt server` runs one, `yakt quorum` looks after several, `yakt dump` shows what they write.
// main.go has the command line, config.go and properties.go what a server is told, and every subcommand its own file.
// This is the only package that knows all the others and puts them together.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"yakt/raftlog"
)

// commandLine is what the program understands. Without a subcommand it is a server.
type commandLine struct {
	Server serverCmd `cmd:"" default:"withargs" help:"Run a controller (this is what yakt does when no command is named)."`
	Dump   dumpCmd   `cmd:"" help:"Print a stopped node's log, log segments, snapshots or single record values as JSON."`
	Export exportCmd `cmd:"" help:"Write a stopped node's log and snapshots the way Apache Kafka lays them out."`
	Quorum quorumCmd `cmd:"" help:"Look after the quorum of controllers."`
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
		fmt.Fprintf(os.Stderr, "yakt: %v\n", err)
		os.Exit(exitCode(err))
	}
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
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}

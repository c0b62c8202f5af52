// Command yakt is a Kafka controller: `yakt server` runs one, the other subcommands look at what controllers write.
// main.go has the command line, config.go and properties.go what a server is told, and every subcommand its own file.
// This is the only package that knows all the others and puts them together.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

// commandLine is what the program understands. Without a subcommand it is a server.
type commandLine struct {
	Server serverCmd `cmd:"" default:"withargs" help:"Run a controller (this is what yakt does when no command is named)."`
	Dump   dumpCmd   `cmd:"" help:"Print log segments, snapshots or single record values as JSON."`
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
		os.Exit(1)
	}
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

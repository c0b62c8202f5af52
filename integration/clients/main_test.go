// Package clients has Go clients and bare requests talk straight to the built program, without any JVM.
//
//	clients_test.go   kgo and kadm against YAKt's own address, with a broker and with none alive
//	settings_test.go  every key of the properties file that applies, by its effect
//	program_test.go   the command: start, stop, refuse, keep
package clients

import (
	"os"
	"testing"

	"yakt/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

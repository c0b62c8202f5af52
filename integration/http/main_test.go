// Package http has people and scripts talk to the built program over HTTP, while clients of Kafka's talk to it, too.
//
//	docs_test.go      the commands of docs/http.md and of the README, as they stand there
//	routes_test.go    wrong input to every route, a node that only reads, one without HTTP
//	together_test.go  what one side does the other sees at once
//	changes_test.go   who replays broker_mgmt and client_mgmt has what get_metadata has
//	kill_test.go      what was answered is there after kill -9
//	bench_test.go     mixed reads and writes of 64 clients
package http

import (
	"os"
	"testing"

	"yakt/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// Command report makes `go test -json` readable again: the usual lines, the output of tests that failed, and a count of
// the tests that really ran where one is expected. Tests that are skipped, renamed away or never found pass silently with
// `go test`; here they are missed.
//
//	go test -json ./... | go run .ci/report.go -expect yakt/integration/apache=15
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// event is one line of test2json.
type event struct {
	Action, Package, Test, Output string
}

// test names one test of one package.
type test struct{ pkg, name string }

func main() {
	expect := flag.String("expect", "", "PACKAGE=N: how many tests of a package have to pass, subtests counted, none skipped")
	flag.Parse()
	wanted, text, _ := strings.Cut(*expect, "=")
	least, err := strconv.Atoi(text)
	if *expect != "" && err != nil {
		fmt.Fprintf(os.Stderr, "-expect %s: %v\n", *expect, err)
		os.Exit(2)
	}

	output := map[test]*strings.Builder{} // of tests that have not ended
	passed, failed, packages := 0, false, 0
	var skipped []string
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text()) // the go command itself
			continue
		}
		id := test{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			if e.Test == "" {
				if e.Output != "PASS\n" {
					fmt.Print(e.Output)
				}
				break
			}
			if output[id] == nil {
				output[id] = new(strings.Builder)
			}
			output[id].WriteString(e.Output)
		case "fail", "build-fail":
			failed = true
			if e.Test != "" {
				show(output[id])
			} else { // whatever was running when the package died
				for id, o := range output {
					if id.pkg == e.Package {
						show(o)
					}
				}
			}
			delete(output, id)
		case "pass", "skip":
			delete(output, id)
			if e.Test == "" {
				packages++
			} else if e.Package == wanted && e.Action == "pass" {
				passed++
			} else if e.Package == wanted {
				skipped = append(skipped, e.Test)
			}
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		failed = true
	}
	switch {
	case failed:
		fmt.Println("there are failures")
	case packages == 0:
		fmt.Println("no package was tested")
		failed = true
	case wanted != "" && (passed < least || len(skipped) > 0):
		fmt.Printf("%s: %d tests passed and %d are expected; skipped: %q\n", wanted, passed, least, skipped)
		failed = true
	case wanted != "":
		fmt.Printf("%s: %d tests ran and passed\n", wanted, passed)
	}
	if failed {
		os.Exit(1)
	}
}

func show(output *strings.Builder) {
	if output != nil {
		fmt.Print(output.String())
	}
}

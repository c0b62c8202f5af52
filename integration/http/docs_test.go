package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"yakt/integration/harness"
)

// documented is the address in the documents.
const documented = "127.0.0.1:5010"

// TestDocumentedCommandsAnswerAsDocumented runs docs/http.md from top to bottom against a new cluster.
func TestDocumentedCommandsAnswerAsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := parseExamples(string(text))
	if err != nil {
		t.Fatal(err)
	}
	y := harness.StartYakt(t)
	c := comparison{learned: map[string]string{}}
	_, port, err := net.SplitHostPort(y.Addr)
	if err != nil {
		t.Fatal(err)
	}
	c.learned["5010"] = port
	seen := map[string]bool{}
	for _, e := range examples {
		seen[e.method+" "+route(e.url)] = true
		a, err := ask(t.Context(), nil, e.method, strings.Replace(c.translate(e.url), documented, y.Addr, 1), c.translate(e.body))
		if err != nil {
			t.Fatalf("line %d: %v", e.line, err)
		}
		if a.Status != e.status {
			t.Fatalf("line %d: the document says %d, and the answer is %v", e.line, e.status, a)
		}
		if e.answer == nil {
			continue
		}
		actual, err := decode(a.Body)
		if err != nil {
			t.Fatalf("line %d: %v in %s", e.line, err, a.Body)
		}
		c.differences = nil
		c.compare("", e.answer, actual)
		for _, d := range c.differences {
			t.Errorf("line %d: %s", e.line, d)
		}
		if len(c.differences) > 0 {
			t.Logf("line %d: the answer is %s", e.line, a.Body)
		}
	}
	for _, r := range []string{
		"GET get_metadata", "POST register_broker", "GET get_all_brokers", "GET get_broker", "PUT delete_broker", "POST create_topic", "GET get_topic",
		"POST create_partition", "GET get_partitions", "POST register_producer", "GET get_producer_ids", "PUT broker_registration_change",
		"GET broker_mgmt", "GET client_mgmt", "GET readyz",
	} {
		if !seen[r] {
			t.Errorf("no command shows %s", r)
		}
	}
}

// route is the first part of a URL's path.
func route(url string) string {
	_, path, _ := strings.Cut(url, documented+"/")
	if i := strings.IndexAny(path, "/?"); i >= 0 {
		path = path[:i]
	}
	return path
}

// TestTourOfTheReadmeWorks runs the commands of README's section "Use it by hand". Each of them has to succeed.
func TestTourOfTheReadmeWorks(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Use it by hand\n")
	if !ok {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	y := harness.StartYakt(t)
	commands := 0
	for line := range strings.Lines(section) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		c, err := parseCurl(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		commands++
		a, err := ask(t.Context(), nil, c.method, strings.Replace(c.url, documented, y.Addr, 1), c.body)
		if err != nil || a.Status/100 != 2 {
			t.Errorf("%s: %v %v", line, a, err)
		}
	}
	if commands < 7 {
		t.Errorf("only %d commands were found", commands)
	}
}

// example is one command of a document with what it is said to answer.
type example struct {
	curl
	line   int
	status int
	answer any // nil: not JSON
}

// parseExamples finds every block ```sh with a curl command, the `status` in the line after it, and the block that shows the answer.
func parseExamples(text string) ([]example, error) {
	var all []example
	lines := strings.Split(text, "\n")
	block := func(i int) (string, int) { // the block that begins in line i, and where it ends
		end := i + 1 + slices.Index(lines[i+1:], "```")
		return strings.Join(lines[i+1:end], "\n"), end
	}
	for i := 0; i < len(lines); i++ {
		if lines[i] != "```sh" {
			continue
		}
		e := example{line: i + 2}
		command, end := block(i)
		var err error
		if e.curl, err = parseCurl(strings.ReplaceAll(command, "\\\n", " ")); err != nil {
			return nil, fmt.Errorf("line %d: %w", e.line, err)
		}
		status, _, _ := strings.Cut(strings.TrimPrefix(lines[end+1], "`"), " ")
		if e.status, err = strconv.Atoi(status); err != nil {
			return nil, fmt.Errorf("line %d: %q is no status", end+2, lines[end+1])
		}
		shown, last := block(end + 2)
		switch lines[end+2] {
		case "```json":
			if e.answer, err = decode([]byte(shown)); err != nil {
				return nil, fmt.Errorf("line %d: %w", end+3, err)
			}
		case "```text":
		default:
			return nil, fmt.Errorf("line %d: there is no answer", end+3)
		}
		all = append(all, e)
		i = last
	}
	if len(all) == 0 {
		return nil, errors.New("there are no commands")
	}
	return all, nil
}

// curl is a command line, as far as the documents need curl.
type curl struct{ method, url, body string }

func parseCurl(line string) (curl, error) {
	words, err := shellWords(line)
	if err != nil {
		return curl{}, err
	}
	if len(words) == 0 || words[0] != "curl" {
		return curl{}, fmt.Errorf("%q is no curl", line)
	}
	var c curl
	for i := 1; i < len(words); i++ {
		switch {
		case words[i] == "-X" && i+1 < len(words):
			i++
			c.method = words[i]
		case words[i] == "-d" && i+1 < len(words):
			i++
			c.body = words[i]
		case strings.HasPrefix(words[i], "http://") && c.url == "":
			c.url = words[i]
		default:
			return curl{}, fmt.Errorf("%q is not expected here", words[i])
		}
	}
	switch {
	case c.url == "":
		return curl{}, errors.New("there is no URL")
	case c.method == "" && c.body != "":
		c.method = "POST"
	case c.method == "":
		c.method = "GET"
	}
	return c, nil
}

// shellWords splits a line as a shell would that knows quotes and nothing else.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun, quote := false, rune(0)
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			begun, quote = true, r
		case r == ' ' || r == '\n':
			if begun || word.Len() > 0 {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		case strings.ContainsRune(`$\|&;<>*?(){}`, r):
			return nil, fmt.Errorf("a shell would make something else of %q", r)
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote does not end")
	}
	if begun || word.Len() > 0 {
		words = append(words, word.String())
	}
	return words, nil
}

// elided stands for what a document leaves out: the rest of a list, or the other fields of an object.
const elided = "…"

// comparison compares shown answers with real ones. What differs from run to run has the same name in all of them: the
// first time it is seen the real value is learned, later it has to be that one.
type comparison struct {
	learned     map[string]string // shown → real
	differences []string
}

// various are the fields whose values nobody can know before.
var various = []string{"clusterId", "topicId", "voterDirectoryId", "timestamp"}

// placed are the fields that say which of the brokers has what, which is for the controller to choose: only their form counts.
var placed = []string{"leader", "leaderEpoch", "replicas", "isr"}

func (c *comparison) compare(at string, shown, actual any) {
	switch shown := shown.(type) {
	case map[string]any:
		object, ok := actual.(map[string]any)
		if !ok {
			c.differ(at, shown, actual)
			return
		}
		for name, value := range shown {
			if name == elided {
				continue
			}
			real, ok := object[name]
			if !ok {
				c.differences = append(c.differences, fmt.Sprintf("%s.%s is not in the answer", at, name))
				continue
			}
			if slices.Contains(various, name) || name == "port" && fmt.Sprint(value) == "5010" {
				c.learn(at+"."+name, fmt.Sprint(value), fmt.Sprint(real))
				continue
			}
			if slices.Contains(placed, name) {
				value = like(value, real)
			}
			c.compare(at+"."+name, value, real)
		}
		if _, ok := shown[elided]; ok {
			return
		}
		for name := range object {
			if _, ok := shown[name]; !ok {
				c.differences = append(c.differences, fmt.Sprintf("%s.%s is not in the document", at, name))
			}
		}
	case []any:
		list, ok := actual.([]any)
		if !ok {
			c.differ(at, shown, actual)
			return
		}
		open := len(shown) > 0 && shown[len(shown)-1] == elided
		if open {
			shown = shown[:len(shown)-1]
		}
		if len(list) < len(shown) || len(list) > len(shown) && !open {
			c.differences = append(c.differences, fmt.Sprintf("%s has %d elements, not %d", at, len(list), len(shown)))
			return
		}
		for i := range shown {
			c.compare(fmt.Sprintf("%s[%d]", at, i), shown[i], list[i])
		}
	default:
		if shown != actual {
			c.differ(at, shown, actual)
		}
	}
}

// like is the real value if it has the form of the shown one, a number or a list of as many, and else the shown one.
func like(shown, actual any) any {
	list, ok := shown.([]any)
	if real, is := actual.([]any); ok && is && len(real) == len(list) {
		return real
	}
	if _, is := actual.(json.Number); !ok && is {
		return actual
	}
	return shown
}

func (c *comparison) differ(at string, shown, actual any) {
	c.differences = append(c.differences, fmt.Sprintf("%s is %v in the document and %v in the answer", at, shown, actual))
}

func (c *comparison) learn(at, shown, actual string) {
	if known, ok := c.learned[shown]; ok && known != actual {
		c.differences = append(c.differences, fmt.Sprintf("%s: %s was %s before and is %s now", at, shown, known, actual))
	}
	c.learned[shown] = actual
}

// translate puts what was learned into a command.
func (c *comparison) translate(text string) string {
	for shown, actual := range c.learned {
		if len(shown) > 4 { // not the port: the address is replaced as a whole
			text = strings.ReplaceAll(text, shown, actual)
		}
	}
	return text
}

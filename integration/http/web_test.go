package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"yakt/integration/harness"
)

// webTimeout is for one request: the machine may be busy with other things.
const webTimeout = 30 * time.Second

// answer is what came back.
type answer struct {
	Status int
	Type   string
	Body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.Status, a.Body) }

// ask sends one request. Without a client it is sent on a connection of its own.
func ask(ctx context.Context, client *http.Client, method, url, body string) (answer, error) {
	if client == nil {
		client = lonely
	}
	ctx, cancel := context.WithTimeout(ctx, webTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Content-Type"), text}, err
}

// lonely keeps no connections: a test that has killed the server is not to meet the old one.
var lonely = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// must sends a request that has to succeed and reads the answer.
func must[T any](t testing.TB, y *harness.Yakt, method, path, body string) T {
	t.Helper()
	a, err := ask(t.Context(), nil, method, "http://"+y.Addr+path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.Status/100 != 2 {
		t.Fatalf("%s %s %s: %v", method, path, body, a)
	}
	var v T
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, a.Body)
	}
	return v
}

// registerBrokers registers brokers by hand.
func registerBrokers(t testing.TB, y *harness.Yakt, ids ...int) {
	t.Helper()
	for _, id := range ids {
		must[any](t, y, "POST", "/register_broker", fmt.Sprintf(`{"brokerId":%d,"brokerHost":"127.0.0.1","brokerPort":%d}`, id, 20000+id))
	}
}

// decode reads JSON with its numbers as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

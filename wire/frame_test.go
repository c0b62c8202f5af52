package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The bytes are those of a real 4.3.0 controller.
func TestUnknownApiVersionsVersionIsAnsweredInVersion0(t *testing.T) {
	_, addr := start(t, Config{Handler: answers()})
	nc := dial(t, addr)
	send(t, nc, unhex(t, "00000018 0012 0009 00000007 0005 70726f6265 00 01 01 00 ffffffff00"))
	correlation, rest := receive(t, nc)
	if got, want := hex.EncodeToString(rest), "0023"+"00000001"+"0012"+"0000"+"0004"; correlation != 7 || got != want {
		t.Errorf("correlation id %d, got %s, want %s", correlation, got, want)
	}
	send(t, nc, request(kmsg.NewPtrApiVersionsRequest(), 3, 8)) // the second attempt, on the same connection
	if correlation, _ := receive(t, nc); correlation != 8 {
		t.Errorf("correlation id %d", correlation)
	}
}

func TestBadRequestsEndTheConnectionWithOneLoggedReason(t *testing.T) {
	versions := hex.EncodeToString(request(kmsg.NewPtrApiVersionsRequest(), 4, 1))
	for _, test := range []struct{ name, bytes, reason string }{
		{"unknown API", "0000000a 03e7 0000 00000001 ffff", "API 999 is not served"},
		{"negative API", "0000000a ffff 0000 00000001 ffff", "API -1 is not served"},
		{"API not in the table", "0000000a 0010 0000 00000001 ffff", "ListGroups is not served"},
		{"version too low", "0000000a 0013 0001 00000001 ffff", "CreateTopics version 1 is not served, only 2 to 7"},
		{"version too high", "0000000a 003a 0001 00000001 ffff", "Envelope version 1 is not served"},
		{"negative version", "0000000a 003a ffff 00000001 ffff", "Envelope version -1 is not served"},
		{"length 0", "00000000", "frame length 0"},
		{"length 7", "00000007 00120000000000", "frame length 7"},
		{"negative length", "ffffffff", "frame length -1"},
		{"smallest length", "80000000", "frame length -2147483648"},
		{"largest length", "7fffffff", "frame length 2147483647 is above the limit of 8388608"},
		{"one byte too long", "00800001", "frame length 8388609 is above the limit of 8388608"},
		{"no client id", "00000008 0012 0000 00000001", "ends before the client id"},
		{"half a client id", "0000000b 0012 0000 00000001 0002 41", "client id of 2 bytes"},
		{"no tags", "0000000a 0012 0003 00000001 ffff", "within its tags"},
		{"tag beyond the end", "0000000e 0012 0003 00000001 ffff 01 00 02 00", "within its tags"},
		{"four billion tags", "0000000f 0012 0003 00000001 ffff ffffffff0f", "within its tags"},
		{"overlong tag count", "00000010 0012 0003 00000001 ffff ffffffffff01", "within its tags"},
		{"body ends early", "0000000d 0013 0002 00000001 ffff 000000", "CreateTopics version 2 ends early"},
		{"array longer than the body", "0000000e 0013 0002 00000001 ffff 7fffffff", "CreateTopics version 2 ends early"},
		{"four billion tags in the body", "00000014 0040 0000 00000001 ffff 00 00000001 ffffffff0f", "UnregisterBroker version 0 ends early"},
		{"tag beyond the body", "00000014 0040 0000 00000001 ffff 00 00000001 01 05 7f 00 00", "UnregisterBroker version 0 ends early"},
		{"envelope of four billion tags", "00000027 003a 0000 00000001 ffff 00 15 0040 0000 00000001 ffff 00 00000001 ffffffff0f 00 05 7f000001 00", "Envelope of UnregisterBroker version 0 ends early"},
		{"bad after good", versions + "7fffffff", "above the limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var log logBuffer
			s, addr := start(t, Config{Handler: answers(), Logger: log.logger()})
			other := dial(t, addr)
			nc := dial(t, addr)
			send(t, nc, unhex(t, test.bytes))
			if strings.HasPrefix(test.bytes, versions) {
				receive(t, nc)
			}
			expectClosed(t, nc)

			send(t, other, request(kmsg.NewPtrApiVersionsRequest(), 0, 5)) // others are not affected
			receive(t, other)
			other.Close()
			shutdown(t, s)
			if got := log.String(); !strings.Contains(got, test.reason) || strings.Count(got, "\n") != 1 {
				t.Errorf("logged %q, want one line with %q", got, test.reason)
			}
			if m := s.Metrics(); m.Malformed != 1 {
				t.Errorf("%d malformed, want 1", m.Malformed)
			}
		})
	}
}

package image

import (
	"strings"
	"testing"
)

func TestCheckTopicName(t *testing.T) {
	for _, name := range []string{"a", "-", "_", "a.b", "...", "A-Z_0.9", strings.Repeat("x", 249), OffsetsTopic} {
		if err := CheckTopicName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00", "\xff", "a:b", strings.Repeat("x", 250), strings.Repeat("x", 1<<20)} {
		err := CheckTopicName(name)
		if err == nil {
			t.Errorf("%.20q is taken for a name", name)
		} else if len(err.Error()) > 1100 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
	}
}

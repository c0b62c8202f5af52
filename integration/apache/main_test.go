package apache

import (
	"os"
	"testing"

	"yakt/integration/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

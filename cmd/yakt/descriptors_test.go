package main

import (
	"log/slog"
	"strings"
	"testing"
)

func TestConnectionsLeaveDescriptorsForTheStore(t *testing.T) {
	const most = 4096
	for _, open := range []uint64{400, 1024, 4096, 13_000, 14_000, 1 << 20, 1 << 63} {
		d := share(open, most)
		if used := uint64(keptDescriptors + 3*d.connections + d.waiting); used > open {
			t.Errorf("%d may be open, and %+v can use %d", open, d, used)
		}
		if full := d == (descriptors{most, 1024}); full != (open > 13_568) {
			t.Errorf("of %d open files: %+v", open, d)
		}
	}
	for open, want := range map[uint64]descriptors{
		0:    {most, 1024}, // not known
		64:   {fewestConnections, fewestConnections},
		4096: {1120, 480},
	} {
		if got := share(open, most); got != want {
			t.Errorf("of %d open files: %+v, not %+v", open, got, want)
		}
	}
}

func TestLoweredLimitIsTold(t *testing.T) {
	var log strings.Builder
	s := defaultSettings()
	if waiting := s.fit(4096, slog.New(slog.NewTextHandler(&log, nil))); s.MaxConnections != 1120 || waiting != 480 || !strings.Contains(log.String(), "wanted=4096 limit=1120 files=4096") {
		t.Errorf("%d, %d waiting, log %s", s.MaxConnections, waiting, log.String())
	}
	log.Reset()
	if s.fit(4096, slog.New(slog.NewTextHandler(&log, nil))); s.MaxConnections != 1120 || log.Len() > 0 {
		t.Errorf("%d, log %s", s.MaxConnections, log.String())
	}
}

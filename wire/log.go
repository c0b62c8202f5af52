package wire

import (
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond bounds what strangers can make us write to the log.
const linesPerSecond = 10

// sparseLogger writes at most linesPerSecond warnings a second, and with the next one how many it left out.
// Several goroutines may use it.
type sparseLogger struct {
	*slog.Logger
	mu      sync.Mutex
	second  time.Time // when the current second began
	written int       // in this second
	leftOut int
}

func newSparseLogger(l *slog.Logger) *sparseLogger { return &sparseLogger{Logger: l} }

func (l *sparseLogger) warn(msg string, args ...any) {
	l.mu.Lock()
	if now := time.Now(); now.Sub(l.second) >= time.Second {
		l.second, l.written = now, 0
	}
	if l.written >= linesPerSecond {
		l.leftOut++
		l.mu.Unlock()
		return
	}
	l.written++
	if l.leftOut > 0 {
		args = append(args, "left_out", l.leftOut)
		l.leftOut = 0
	}
	l.mu.Unlock()
	l.Warn(msg, args...)
}

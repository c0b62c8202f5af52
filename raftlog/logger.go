package raftlog

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"runtime"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger hands raft's log lines to slog, one step quieter than raft means them: what raft calls an error, a peer that
// does not answer, is a warning here, and its running commentary is for debugging. What this package has to say about
// leadership and snapshots it says itself.
type raftLogger struct {
	to      *slog.Logger
	name    string
	implied []any
}

var _ hclog.Logger = (*raftLogger)(nil)

func newRaftLogger(to *slog.Logger) *raftLogger { return &raftLogger{to: to} }

func (l *raftLogger) log(level slog.Level, msg string, args []any) {
	if !l.to.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]any, 0, len(args))
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			if format, ok := f[0].(string); ok {
				a = fmt.Sprintf(format, f[1:]...)
			}
		}
		if i%2 == 0 {
			a = fmt.Sprint(a)
			if a == "error" {
				a = "err"
			}
		}
		attrs = append(attrs, a)
	}
	l.to.Log(context.Background(), level, "raft: "+msg, attrs...)
}

func (l *raftLogger) Trace(msg string, args ...any) { l.log(slog.LevelDebug-4, msg, args) }
func (l *raftLogger) Debug(msg string, args ...any) { l.log(slog.LevelDebug-4, msg, args) }
func (l *raftLogger) Info(msg string, args ...any)  { l.log(slog.LevelDebug, msg, args) }
func (l *raftLogger) Warn(msg string, args ...any)  { l.log(slog.LevelDebug, msg, args) }
func (l *raftLogger) Error(msg string, args ...any) { l.log(slog.LevelWarn, msg, args) }

func (l *raftLogger) Log(level hclog.Level, msg string, args ...any) {
	switch {
	case level >= hclog.Error:
		l.Error(msg, args...)
	case level == hclog.Info, level == hclog.Warn:
		l.Info(msg, args...)
	default:
		l.Debug(msg, args...)
	}
}

func (l *raftLogger) enabled(level slog.Level) bool { return l.to.Enabled(context.Background(), level) }

func (l *raftLogger) IsTrace() bool { return l.enabled(slog.LevelDebug - 4) }
func (l *raftLogger) IsDebug() bool { return l.enabled(slog.LevelDebug - 4) }
func (l *raftLogger) IsInfo() bool  { return l.enabled(slog.LevelDebug) }
func (l *raftLogger) IsWarn() bool  { return l.enabled(slog.LevelDebug) }
func (l *raftLogger) IsError() bool { return l.enabled(slog.LevelWarn) }

func (l *raftLogger) ImpliedArgs() []any { return l.implied }
func (l *raftLogger) Name() string       { return l.name }

func (l *raftLogger) With(args ...any) hclog.Logger {
	return &raftLogger{to: l.to.With(args...), name: l.name, implied: append(l.implied[:len(l.implied):len(l.implied)], args...)}
}

func (l *raftLogger) Named(name string) hclog.Logger {
	return &raftLogger{to: l.to, name: l.name + name, implied: l.implied}
}

func (l *raftLogger) ResetNamed(name string) hclog.Logger {
	return &raftLogger{to: l.to, name: name, implied: l.implied}
}

func (l *raftLogger) SetLevel(hclog.Level)                                  {}
func (l *raftLogger) GetLevel() hclog.Level                                 { return hclog.Debug }
func (l *raftLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
func (l *raftLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0)
}

// inALine is an error of Pebble's without what it says of itself on further lines.
func inALine(err error) error {
	text, _, more := strings.Cut(err.Error(), "\n")
	if !more {
		return err
	}
	return &shortened{text, err}
}

type shortened struct {
	text string
	error
}

// Error implements error.
func (s *shortened) Error() string { return s.text }

// Unwrap is for errors.Is.
func (s *shortened) Unwrap() error { return s.error }

// pebbleLogger hands Pebble's log lines to slog. Fatalf must not return: Pebble calls it when a write to its log or
// manifest failed and would go on as if it had not.
type pebbleLogger struct {
	to *slog.Logger
	of *store
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.to.Enabled(context.Background(), slog.LevelDebug-4) {
		l.to.Log(context.Background(), slog.LevelDebug-4, "pebble: "+fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.to.Warn("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("raftlog: the database failed: "+format, args...)
	l.of.fail(err)
	if !l.of.opened.Load() {
		panic(err) // Open recovers it
	}
	runtime.Goexit()
}

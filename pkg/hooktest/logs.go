package hooktest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// caseLabel leads the output of a hook to the run that it is of.
const caseLabel = "deskRun"

// LogLine is one line that a hook wrote, as the operator would log it (C-111, C-112).
type LogLine struct {
	Level  slog.Level
	Output string // stdout or stderr
	Text   string
}

func (l LogLine) String() string {
	return fmt.Sprintf("%-5s %s: %s", l.Level, l.Output, l.Text)
}

// logs is a handler that parts the output of runs.
type logs struct {
	rest slog.Handler

	mu   sync.Mutex
	runs map[string]*[]LogLine
}

func newLogs(rest slog.Handler) *logs { return &logs{rest: rest, runs: map[string]*[]LogLine{}} }

func (l *logs) open(id string) *[]LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := &[]LogLine{}
	l.runs[id] = lines
	return lines
}

func (l *logs) close(id string, lines *[]LogLine) []LogLine {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.runs, id)
	return *lines
}

// Enabled implements slog.Handler.
func (l *logs) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler: what belongs to no run goes on.
func (l *logs) Handle(ctx context.Context, r slog.Record) error {
	if !l.rest.Enabled(ctx, r.Level) {
		return nil
	}
	return l.rest.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *logs) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == caseLabel {
			return runLog{logs: l, id: a.Value.String()}
		}
	}
	return l.rest.WithAttrs(attrs)
}

// WithGroup implements slog.Handler.
func (l *logs) WithGroup(name string) slog.Handler { return l.rest.WithGroup(name) }

// runLog keeps the lines of one run.
type runLog struct {
	logs       *logs
	id, output string
}

// Enabled implements slog.Handler.
func (runLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l runLog) Handle(_ context.Context, r slog.Record) error {
	text := []string{r.Message}
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "proxyJsonLog" {
			text = append(text, strings.TrimPrefix(a.Key, "hook_")+"="+a.Value.String())
		}
		return true
	})
	l.logs.mu.Lock()
	defer l.logs.mu.Unlock()
	if lines, ok := l.logs.runs[l.id]; ok {
		*lines = append(*lines, LogLine{Level: r.Level, Output: l.output, Text: strings.Join(text, " ")})
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (l runLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "output" {
			l.output = a.Value.String()
		}
	}
	return l
}

// WithGroup implements slog.Handler.
func (l runLog) WithGroup(string) slog.Handler { return l }

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// lines logs one line whenever the phase or reason of a module changes.
type lines struct {
	log  func() *slog.Logger
	mu   sync.Mutex
	last map[string]string
}

func newLines(log func() *slog.Logger) *lines { return &lines{log: log, last: map[string]string{}} }

func (l *lines) progress(m status.Module) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := string(m.Phase) + " " + m.Reason
	if l.last[m.Name] == text || (l.last[m.Name] == "" && m.Phase == status.Disabled) {
		return
	}
	l.last[m.Name] = text
	args := []any{"module", m.Name, "phase", string(m.Phase), "reason", m.Reason}
	if msg := message(m); msg != "" {
		args = append(args, "message", msg)
	}
	l.log().Info("module status", args...)
}

// message is the sentence of the Ready condition.
func message(m status.Module) string {
	for _, c := range m.Conditions {
		if c.Type == status.Ready && !c.Status {
			return c.Message
		}
	}
	return ""
}

// table keeps a live table of the modules at the bottom of a terminal; log lines
// scroll above it.
type table struct {
	out io.Writer

	mu      sync.Mutex
	modules map[string]status.Module
	height  int
}

func newTable(out io.Writer) *table { return &table{out: out, modules: map[string]status.Module{}} }

// Write prints a log line above the table.
func (t *table) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b bytes.Buffer
	t.clear(&b)
	b.Write(line)
	t.draw(&b)
	_, err := t.out.Write(b.Bytes())
	return len(line), err
}

func (t *table) progress(m status.Module) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.modules[m.Name] = m
	var b bytes.Buffer
	t.clear(&b)
	t.draw(&b)
	_, _ = t.out.Write(b.Bytes()) // a terminal that is gone needs no table
}

func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.height = 0
}

// clear moves to the first line of the table and erases from there.
func (t *table) clear(b *bytes.Buffer) {
	if t.height > 0 {
		fmt.Fprintf(b, "\x1b[%dA\x1b[J", t.height)
	}
	t.height = 0
}

const maxRows, maxMessage = 30, 60

func (t *table) draw(b *bytes.Buffer) {
	var rows []status.Module
	for _, m := range t.modules {
		if m.Phase != status.Disabled {
			rows = append(rows, m)
		}
	}
	slices.SortFunc(rows, func(a, b status.Module) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	if len(rows) > maxRows { // the interesting ones
		rows = slices.DeleteFunc(rows, func(m status.Module) bool { return m.Phase == status.Deployed })
		rows = rows[:min(len(rows), maxRows)]
	}
	if len(rows) == 0 {
		return
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODULE\tPHASE\tREVISION\tREASON\tMESSAGE")
	for _, m := range rows {
		msg := strings.ReplaceAll(message(m), "\n", " ")
		if len(msg) > maxMessage {
			msg = msg[:maxMessage] + "…"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", m.Name, m.Phase, m.Revision, m.Reason, msg)
	}
	_ = w.Flush()
	t.height = bytes.Count(text.Bytes(), []byte("\n"))
	b.Write(text.Bytes())
}

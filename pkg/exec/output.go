package exec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	lineLimit     = 64 << 10
	longLineLimit = 1 << 20
	// valueLimit is the length in bytes from which values are cut (C-112).
	valueLimit = 10000
	// linesPerSecond of one output are logged; what a flood has above is counted and dropped.
	linesPerSecond = 1000
	bytesPerSecond = 1 << 20
	tailLines      = 20
	tailBytes      = 4 << 10
)

// readLines calls f for each line without its end; cut tells that more followed
// than limit bytes. It reads to the end whatever comes.
func readLines(r io.Reader, limit int, f func(line []byte, cut bool)) {
	b := bufio.NewReaderSize(r, 8<<10)
	var line []byte
	cut := false
	for {
		part, err := b.ReadSlice('\n')
		part, ended := bytes.CutSuffix(part, []byte{'\n'})
		room := max(0, limit-len(line))
		cut = cut || len(part) > room
		line = append(line, part[:min(room, len(part))]...)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if len(line) > 0 {
				f(line, cut)
			}
			return
		}
		if ended {
			f(bytes.TrimSuffix(line, []byte{'\r'}), cut)
			line, cut = line[:0], false
		}
	}
}

// lineLogger turns lines of one output into log records (C-111, C-112).
type lineLogger struct {
	log     *slog.Logger
	limit   int
	now     func() time.Time
	second  int64
	count   int
	bytes   int
	dropped int
}

func (l *lineLogger) line(line []byte, cut bool) {
	if !l.admit() {
		return
	}
	if !cut && len(line) > 0 && line[0] == '{' && l.jsonLine(line) {
		l.bytes += len(line)
		return
	}
	text := printable(line[:min(len(line), valueLimit)])
	if cut || len(line) > valueLimit || len(text) > valueLimit {
		text = strings.ToValidUTF8(text[:min(len(text), valueLimit)], "") + ":truncated"
	}
	l.bytes += len(text)
	l.log.Info(text)
}

// admit counts what is logged in a second.
func (l *lineLogger) admit() bool {
	if s := l.now().Unix(); s != l.second {
		l.flush()
		l.second, l.count, l.bytes = s, 0, 0
	}
	if l.count >= linesPerSecond || l.bytes >= bytesPerSecond {
		l.dropped++
		return false
	}
	l.count++
	return true
}

// flush says what was dropped.
func (l *lineLogger) flush() {
	if l.dropped > 0 {
		l.log.Warn("the hook writes too much; lines were dropped", "lines", l.dropped, "linesPerSecond", linesPerSecond, "bytesPerSecond", bytesPerSecond)
		l.dropped = 0
	}
}

// jsonLine logs a line that is a JSON object with its own level and message (C-112).
func (l *lineLogger) jsonLine(line []byte) bool {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil || m == nil {
		return false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return false
	}
	level, msg := slog.LevelInfo, "hook result"
	if text, ok := m["level"].(string); ok {
		level = levelOf(text)
	}
	if text, ok := m["msg"].(string); ok {
		msg = shorten(printable([]byte(text)))
	}
	attrs := []slog.Attr{slog.Bool("proxyJsonLog", true)}
	keys := make([]string, 0, len(m))
	for k := range m {
		if k != "level" && k != "msg" && k != "time" {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		attrs = append(attrs, slog.Any("hook_"+printable([]byte(k)), shortValue(m[k])))
	}
	l.log.LogAttrs(context.Background(), level, msg, attrs...)
	return true
}

func levelOf(text string) slog.Level {
	switch strings.ToLower(text) {
	case "trace", "debug":
		return slog.LevelDebug
	case "warn", "warning":
		return slog.LevelWarn
	case "error", "fatal", "panic":
		return slog.LevelError
	}
	return slog.LevelInfo
}

func shortValue(v any) any {
	switch v := v.(type) {
	case string:
		return shorten(v)
	case map[string]any, []any:
		text, _ := json.Marshal(v) // it was JSON a moment ago
		if len(text) > valueLimit {
			return shorten(string(text))
		}
	}
	return v
}

func shorten(s string) string {
	if len(s) <= valueLimit {
		return s
	}
	return strings.ToValidUTF8(s[:valueLimit], "") + ":truncated"
}

const hexDigits = "0123456789abcdef"

// printable escapes what a terminal or a log reader should not get.
func printable(line []byte) string {
	clean := true
	for _, b := range line {
		if b < ' ' && b != '\t' || b >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return string(line)
	}
	var out strings.Builder
	for len(line) > 0 {
		r, n := utf8.DecodeRune(line)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\t', r >= 0x7f && r < 0xa0:
			for _, b := range line[:n] {
				out.Write([]byte{'\\', 'x', hexDigits[b>>4], hexDigits[b&15]})
			}
		default:
			out.WriteRune(r)
		}
		line = line[n:]
	}
	return out.String()
}

// tail keeps the last lines of an output. What it is given costs a copy, whatever
// its amount; the rest is done when somebody asks.
type tail struct {
	lines [tailLines]tailLine
	count int
}

type tailLine struct {
	text []byte
	cut  bool
}

func (t *tail) line(line []byte, cut bool) {
	kept := &t.lines[t.count%tailLines]
	t.count++
	kept.cut = cut || len(line) > tailBytes/2
	kept.text = append(kept.text[:0], line[:min(len(line), tailBytes/2)]...)
}

// String is the last lines, as many as tailBytes hold, without blank lines at the ends.
func (t *tail) String() string {
	var lines []string
	room := tailBytes
	for i := t.count - 1; i >= max(0, t.count-tailLines); i-- {
		text := t.lines[i%tailLines].String()
		room -= len(text) + 1
		if room < 0 && len(lines) > 0 {
			break
		}
		lines = append(lines, text)
	}
	slices.Reverse(lines)
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func (l tailLine) String() string {
	text := printable(l.text)
	if l.cut || len(text) > tailBytes/2 {
		text = strings.ToValidUTF8(text[:min(len(text), tailBytes/2)], "") + "…"
	}
	return text
}

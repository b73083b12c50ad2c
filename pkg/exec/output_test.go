package exec

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

func TestReadLinesBoundsTheirLength(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":            {"", ""},
		"lines":              {"a\nb\r\n\nc", "a;b;;c;"},
		"a long line is cut": {"abcdefghij\nk\n", "abcde+;k;"},
		"exactly the limit":  {"abcde\nf\n", "abcde;f;"},
		"a long end":         {strings.Repeat("x", 100000), "xxxxx+;"},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			readLines(iotest.HalfReader(strings.NewReader(c.in)), 5, func(line []byte, cut bool) {
				got.Write(line)
				if cut {
					got.WriteByte('+')
				}
				got.WriteByte(';')
			})
			if got.String() != c.want {
				t.Errorf("got %q, want %q", got.String(), c.want)
			}
		})
	}
}

func logLines(now func() time.Time, lines ...string) string {
	var out bytes.Buffer
	noTime := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	l := &lineLogger{log: slog.New(slog.NewTextHandler(&out, noTime)), limit: lineLimit, now: now}
	for _, line := range lines {
		l.line([]byte(line), false)
	}
	l.flush()
	return out.String()
}

// C-112.
func TestJSONLinesBecomeRecords(t *testing.T) {
	now := func() time.Time { return time.Unix(1, 0) }
	for line, want := range map[string]string{
		`{"a":1}`: `level=INFO msg="hook result" proxyJsonLog=true hook_a=1`,
		`{"level":"ERROR","msg":"m","time":"t","b":[1],"a":null}`: `level=ERROR msg=m proxyJsonLog=true hook_a=<nil> hook_b=[1]`,
		`{"level":"debug","msg":"m"}`:                             `level=DEBUG msg=m proxyJsonLog=true`,
		`{"level":5,"msg":{}}`:                                    `level=INFO msg="hook result" proxyJsonLog=true`,
		`{not json`:                                               `level=INFO msg="{not json"`,
		`{} {}`:                                                   `level=INFO msg="{} {}"`,
		`{"a":1}}`:                                                `level=INFO msg="{\"a\":1}}"`,
		` {"a":1}`:                                                `level=INFO msg=" {\"a\":1}"`,
	} {
		if got := logLines(now, line); got != want+"\n" {
			t.Errorf("%s: got %s want %s", line, got, want)
		}
	}
	long := strings.Repeat("x", 20000)
	for _, line := range []string{`{"a":"` + long + `"}`, `{"a":["` + long + `"]}`, long} {
		if got := logLines(now, line); len(got) > 10200 || !strings.Contains(got, ":truncated") {
			t.Errorf("a record of %d bytes", len(got))
		}
	}
}

func TestAFloodIsCountedPerSecond(t *testing.T) {
	at := int64(0)
	lines := make([]string, linesPerSecond+5)
	got := logLines(func() time.Time { return time.Unix(at, 0) }, lines...)
	if n := strings.Count(got, "\n"); n != linesPerSecond+1 || !strings.Contains(got, "lines=5") {
		t.Errorf("%d records, ending in %s", n, got[len(got)-200:])
	}
	slow := logLines(func() time.Time { at++; return time.Unix(at, 0) }, lines...)
	if n := strings.Count(slow, "\n"); n != len(lines) {
		t.Errorf("%d of %d slow lines", n, len(lines))
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	var last tail
	for i := range 100 {
		last.line(fmt.Appendf(nil, "line %d", i), false)
	}
	if got := last.String(); !strings.HasPrefix(got, "line 80\n") || !strings.HasSuffix(got, "line 99") {
		t.Errorf("got %q", got)
	}
	last = tail{}
	for range 5 {
		last.line(bytes.Repeat([]byte("ä"), 40000), true)
	}
	if n := len(last.String()); n == 0 || n > tailBytes {
		t.Errorf("got %d bytes", n)
	}
}

func TestALogIsBoundedInBytesToo(t *testing.T) {
	for name, line := range map[string]string{"text": strings.Repeat("x", 9000), "binary": strings.Repeat("\xff", 9000), "JSON": `{"a":[` + strings.Repeat("1,", 8000) + `1]}`} {
		many := make([]string, 900)
		for i := range many {
			many[i] = line
		}
		if got := logLines(func() time.Time { return time.Unix(1, 0) }, many...); len(got) > bytesPerSecond*5/4 || !strings.Contains(got, "lines were dropped") {
			t.Errorf("%s: %d bytes in one second", name, len(got))
		}
	}
}

// What a hook prints, in any pieces, becomes lines within the limit, and a log within its own.
func FuzzOutput(f *testing.F) {
	for _, seed := range []string{
		"a\nb\r\n\n", `{"level":"warn","msg":"m","a":{"b":[1,null]}}` + "\n", `{"a":1}}` + "\n{} x\n{\n", "\x00\xff\x1b[31m\n", strings.Repeat("x", 20000), `{"msg":"` + strings.Repeat("ä", 9000) + `"}`,
	} {
		f.Add([]byte(seed), 100)
	}
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		limit = 1 + max(0, limit)%lineLimit
		var out bytes.Buffer
		var last tail
		l := &lineLogger{log: slog.New(slog.NewTextHandler(&out, nil)), limit: limit, now: func() time.Time { return time.Unix(1, 0) }}
		n := 0
		readLines(iotest.HalfReader(bytes.NewReader(text)), limit, func(line []byte, cut bool) {
			if len(line) > limit || bytes.IndexByte(line, '\n') >= 0 {
				t.Fatalf("a line of %d bytes, limit %d", len(line), limit)
			}
			n++
			l.line(line, cut)
			last.line(line, cut)
		})
		l.flush()
		if want := bytes.Count(text, []byte("\n")); n != want && n != want+1 {
			t.Errorf("%d lines of %d", n, want)
		}
		if records := bytes.Count(out.Bytes(), []byte("\n")); records > n+1 || records < min(n, 1) {
			t.Errorf("%d records of %d lines", records, n)
		}
		if len(last.String()) > tailBytes {
			t.Errorf("a tail of %d bytes", len(last.String()))
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("a\x00\xff\x1b[31m\u00e4\u0085"))
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, r := range printable(line) {
			if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
				t.Errorf("%q got through", r)
			}
		}
	})
}

// C-111, C-112: what people may not read is taken out before long lines are cut.
func TestLinesArePrintedAsTold(t *testing.T) {
	r, log := newRunner(t, func(c *Config) {
		c.Printed = func(line string) string { return strings.ReplaceAll(line, "hidden-value", "*****") }
	})
	long := strings.Repeat("x", tailBytes/2-5)
	_, err := bind(t, r, "echo plain hidden-value; echo '{\"msg\": \"json hidden-value\"}'; echo "+long+"hidden-value >&2; exit 1")(t.Context(), hook.Input{})
	if err == nil {
		t.Fatal("the hook did not fail")
	}
	for _, text := range []string{log.String(), err.Error()} {
		if strings.Contains(text, "hidde") || !strings.Contains(text, "***") {
			t.Errorf("it shows: %s", text)
		}
	}
}

package hook

import (
	"testing"
	"time"
)

func FuzzParseCrontab(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "1,2-30/7 */2 1 1-12 MON-FRI 0", "@every 1h30m", "TZ=Europe/Berlin 0 3 * * *", "@daily", "0 0 30 2 *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		schedule, err := ParseCrontab(text)
		if err != nil {
			return
		}
		at := time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC)
		for range 3 {
			next := schedule.Next(at)
			if next.IsZero() { // such as February 30th
				return
			}
			if !next.After(at) {
				t.Fatalf("%q: after %s comes %s", text, at, next)
			}
			at = next
		}
	})
}

// The programs are not run: what they may use is bounded, and that takes its time.
func FuzzCompileFilter(f *testing.F) {
	for _, s := range []string{".metadata.name", "def f(x): x | f(.); [.[] | select(.a?) // {b: $__loc__}]", "reduce .[] as [$a, {b: $c}] (0; . + 1)", `"\(1;2)" as $x | @base64 "a\($x)"`, "import \"a\" as b; .", "label $f | limit(1; repeat(.))"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, program string) {
		if filter, err := CompileFilter(program); err == nil && filter.String() != program {
			t.Errorf("%q became %q", program, filter)
		}
	})
}

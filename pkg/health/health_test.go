package health

import (
	"strings"
	"testing"
)

func TestExpressionsSayWhetherAnObjectIsHealthy(t *testing.T) {
	ready := map[string]any{"status": map[string]any{"replicas": int64(2), "conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}}
	for text, want := range map[string]string{
		`object.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`: "",
		`object.status.replicas >= 2`:                    "",
		`object.status.replicas > 2`:                     "check: not true yet: object.status.replicas > 2",
		`object.?status.?phase.orValue("") == "Bound"`:   "check: not true yet",
		`has(object.status) && size(object.status) == 2`: "",
		`object.status.phase == "Bound"`:                 "check: not yet: no such key: phase",
		`object.status.replicas`:                         "check: not yet: expected true or false",
	} {
		p, err := Compile(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := p.Says("check", ready); got != want && (want == "" || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: got %q, expected %q", text, got, want)
		}
	}
}

func TestExpressionsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	for text, want := range map[string]string{
		`object.status.`: "Syntax error",
		`unknown == 1`:   "undeclared reference",
		`"text"`:         "answers string",
		strings.Repeat("true && ", 2000) + "true": "up to",
	} {
		if _, err := Compile(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: got %v, expected %s", text, err, want)
		}
	}
}

func TestWhatAnEvaluationCostsIsBounded(t *testing.T) {
	many := make([]any, 1000)
	for i := range many {
		many[i] = "x"
	}
	p, err := Compile(`object.l.all(a, object.l.all(b, object.l.all(c, a == b && b == c)))`)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Healthy(map[string]any{"l": many}); err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("got %t, %v", ok, err)
	}
}

// FuzzCompile: no text panics.
func FuzzCompile(f *testing.F) {
	f.Add(`object.status.conditions.exists(c, c.type == "Ready")`)
	f.Add(`object.?a.orValue([1,2]).map(x, x*2)`)
	f.Fuzz(func(_ *testing.T, text string) {
		if p, err := Compile(text); err == nil {
			p.Says("x", map[string]any{"a": []any{int64(1)}})
		}
	})
}

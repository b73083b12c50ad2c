package settings

import (
	"errors"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// without is a section without the values named password, at any depth of objects.
func without(m values.Map) values.Map {
	out := values.Map{}
	for key, v := range m {
		if key == "password" {
			continue
		}
		if below, ok := v.(values.Map); ok {
			v = without(below)
		}
		out[key] = v
	}
	return out
}

func takenOut(text string) (string, error) {
	v, err := sectionOf(text)
	if err != nil {
		return "", err
	}
	return TakeOut(text, without(v))
}

func TestALeafIsTakenOutAndTheRestStaysAsItIs(t *testing.T) { // C-381
	for sentence, c := range map[string]struct{ text, want string }{
		"a line of its own":       {"# head\nz: 1 # why\npassword: x\na:   2\n", "# head\nz: 1 # why\na:   2\n"},
		"below an object":         {"b: 1\nauth:\n  user: u # me\n  password: x\n\n# end\na: 1\n", "b: 1\nauth:\n  user: u # me\n\n# end\na: 1\n"},
		"a text of several lines": {"password: |\n  a: b\n  # no comment\nz: 1\na: 1\n", "z: 1\na: 1\n"},
		"nothing of that kind":    {"z:   1\na: 2\n", "z:   1\na: 2\n"},
		"the last one":            {"# why\npassword: x\n", "# why\n{}\n"},
		"flow style":              {"{z: 1, password: x, a: 2}", "{z: 1, a: 2}\n"},
		"flow style in a block":   {"# head\nz: {y: 1, password: x, b: 2} # note\na: 1 # two\n", "# head\nz: {y: 1, b: 2} # note\na: 1 # two\n"},
		"an anchor that stays":    {"base: &base {z: 1, a: 2}\nmore: *base\npassword: x\n", "base: &base {z: 1, a: 2}\nmore: *base\n"},
	} {
		got, err := takenOut(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, expected %q (%v)", sentence, got, c.want, err)
		}
	}
}

func TestWhatAnAliasBringsCannotBeTakenOut(t *testing.T) {
	for sentence, text := range map[string]string{
		"a merge key":       "base: &base\n  password: x\n  user: u\nauth:\n  <<: *base\nlist: [*base]\n",
		"an alias of it":    "password: &p x\nother: *p\n",
		"an alias above it": "a: &a {password: x}\nb: *a\nl: [*a]\n",
	} {
		if got, err := takenOut(text); !errors.Is(err, ErrTangled) {
			t.Errorf("%s: got %q, %v", sentence, got, err)
		}
	}
}

func FuzzTakeOut(f *testing.F) {
	f.Add("# head\na: 1\npassword: x # secret\nb:\n  password: [1]\n  c: |\n    text\n")
	f.Add("{a: {password: 1, b: 2}, c: [1]}")
	f.Add("x: &a {b: 1}\ny: *a\npassword: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		have, err := sectionOf(text)
		if err != nil {
			return
		}
		out, err := takenOut(text)
		if err != nil {
			if errors.Is(err, ErrTangled) {
				return
			}
			t.Fatal(err)
		}
		if !means(out, without(have)) {
			t.Errorf("%q became %q", text, out)
		}
		if again, err := takenOut(out); err != nil || again != out {
			t.Errorf("%q taken out again is %q, %v", out, again, err)
		}
		if strings.Contains(text, "#") && strings.Count(out, "\n") > strings.Count(text, "\n")+3 {
			t.Errorf("%q grew to %q", text, out)
		}
	})
}

package webhook

import (
	"fmt"
	"slices"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// C-257.
func TestChainFindsTheShortestWay(t *testing.T) {
	rule := func(from, to string) hook.ConversionRule { return hook.ConversionRule{From: from, To: to} }
	line := []hook.ConversionRule{rule("v1alpha1", "v1beta1"), rule("v1beta1", "v1"), rule("v1", "v2")}
	for sentence, c := range map[string]struct {
		rules    []hook.ConversionRule
		from, to string
		want     []int // nil: no way
	}{
		"nothing is to be done":                           {line, "g/v1", "g/v1", []int{}},
		"one step":                                        {line, "g/v1beta1", "g/v1", []int{1}},
		"hop by hop":                                      {line, "g/v1alpha1", "g/v2", []int{0, 1, 2}},
		"there is no way back":                            {line, "g/v1", "g/v1alpha1", nil},
		"no rule at all":                                  {nil, "g/v1", "g/v2", nil},
		"an unknown version":                              {line, "g/v3", "g/v1", nil},
		"a direct rule is shorter than two":               {append(slices.Clone(line), rule("v1alpha1", "v1")), "g/v1alpha1", "g/v1", []int{3}},
		"full versions":                                   {[]hook.ConversionRule{rule("g/v1", "g/v2")}, "g/v1", "g/v2", []int{0}},
		"full and short versions meet":                    {[]hook.ConversionRule{rule("g/v1", "v2"), rule("g/v2", "v3")}, "g/v1", "g/v3", []int{0, 1}},
		"short to full":                                   {[]hook.ConversionRule{rule("v1", "g/v2"), rule("v2", "g/v3")}, "g/v1", "g/v3", []int{0, 1}},
		"an exact rule wins over a short one":             {[]hook.ConversionRule{rule("v1", "v2"), rule("g/v1", "g/v2")}, "g/v1", "g/v2", []int{1}},
		"the first of equal rules wins":                   {[]hook.ConversionRule{rule("v1", "v2"), rule("v1", "v2")}, "g/v1", "g/v2", []int{0}},
		"another group is no match":                       {[]hook.ConversionRule{rule("other/v1", "other/v2")}, "g/v1", "g/v2", nil},
		"a circle ends":                                   {[]hook.ConversionRule{rule("v1", "v2"), rule("v2", "v1")}, "g/v1", "g/v3", nil},
		"a rule onto itself leads nowhere":                {[]hook.ConversionRule{rule("v1", "v1")}, "g/v1", "g/v2", nil},
		"a longer way with exact rules is still a longer": {[]hook.ConversionRule{rule("g/v1", "g/v2"), rule("g/v2", "g/v3"), rule("v1", "v3")}, "g/v1", "g/v3", []int{2}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := chain(c.rules, c.from, c.to)
			if !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzChain compares with the lengths of the shortest ways by Floyd and Warshall:
// each pair of bytes is a rule between two of eight versions.
func FuzzChain(f *testing.F) {
	f.Add([]byte{0x01, 0x12, 0x23}, byte(0x03))
	f.Add([]byte{0x81, 0x19, 0x10, 0x9a}, byte(0x0a))
	f.Fuzz(func(t *testing.T, edges []byte, ask byte) {
		const n = 8
		name := func(v byte, full bool) string {
			if full {
				return fmt.Sprintf("g/v%d", v%n)
			}
			return fmt.Sprintf("v%d", v%n)
		}
		var rules []hook.ConversionRule
		var way [n][n]int
		for i := range way {
			for j := range way[i] {
				way[i][j] = 1000
			}
			way[i][i] = 0
		}
		for _, e := range edges[:min(len(edges), 64)] {
			from, to := e>>4, e&15
			rules = append(rules, hook.ConversionRule{From: name(from, from >= n), To: name(to, to >= n)})
			way[from%n][to%n] = min(way[from%n][to%n], 1)
		}
		for k := range n {
			for i := range n {
				for j := range n {
					way[i][j] = min(way[i][j], way[i][k]+way[k][j])
				}
			}
		}
		from, to := (ask>>4)%n, ask%n
		got := chain(rules, name(from, true), name(to, true))
		want := way[from][to]
		if (got == nil) != (want >= 1000) || got != nil && len(got) != want {
			t.Fatalf("from %d to %d by %v: got %v, want %d steps", from, to, rules, got, want)
		}
		at := name(from, true)
		for _, i := range got {
			if short(rules[i].From) != short(at) {
				t.Fatalf("step %d does not start at %s", i, at)
			}
			at = rules[i].To
		}
		if len(got) > 0 && short(at) != short(name(to, true)) {
			t.Fatalf("the way ends at %s", at)
		}
	})
}

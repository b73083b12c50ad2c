package webhook

import (
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// chain finds the rules that lead from one apiVersion to another, fewest first
// (C-257): the search widens hop by hop. It answers indexes of rules, in the order
// in which to run them; nil if there is no way, and none if nothing is to be done.
//
// All versions of a CRD have one group, so a rule may write a version short (v1) or
// full (group/v1). Of two rules for one step the one that is written like what is
// looked for wins, and then the one that comes first.
func chain(rules []hook.ConversionRule, from, to string) []int {
	if from == to {
		return []int{}
	}
	came := map[string]int{} // version > rule that led there
	before := map[string]string{}
	seen := map[string]bool{from: true}
	for level := []string{from}; len(level) > 0; {
		var next []string
		for _, at := range level {
			for _, exact := range []bool{true, false} {
				for i, r := range rules {
					target, ok := step(r, at, to, exact)
					if !ok || seen[target] {
						continue
					}
					seen[target], came[target], before[target] = true, i, at
					next = append(next, target)
				}
			}
		}
		if seen[to] {
			return path(came, before, from, to)
		}
		level = next
	}
	return nil
}

// step is where a rule leads from a full version. With exact, it must name its
// versions in full where it can.
func step(r hook.ConversionRule, at, to string, exact bool) (string, bool) {
	if r.From != at && (exact || r.From != short(at)) {
		return "", false
	}
	target := r.To
	switch {
	case target == short(to):
		target = to
	case !strings.Contains(target, "/"):
		target = group(at) + target
	}
	return target, !exact || r.To == target
}

func path(came map[string]int, before map[string]string, from, to string) []int {
	var out []int
	for at := to; at != from; at = before[at] {
		out = append([]int{came[at]}, out...)
	}
	return out
}

// short is the version without its group.
func short(apiVersion string) string {
	_, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return apiVersion
	}
	return version
}

// group is the group with its slash, or nothing.
func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g + "/"
}

package module

import "slices"

// Cycles returns the groups of modules that require each other in a circle, or
// themselves. Each group starts with its first name and follows the
// requirements; groups are ordered by their first name. Requirements on modules
// that are not among modules are passed over.
func Cycles(modules []*Descriptor) [][]string {
	t := &tarjan{edges: map[string][]string{}, index: map[string]int{}, low: map[string]int{}, on: map[string]bool{}}
	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
		for _, r := range m.Requires {
			t.edges[m.Name] = append(t.edges[m.Name], r.Module)
		}
	}
	slices.Sort(names)
	t.known = names
	for _, name := range names {
		if _, ok := t.index[name]; !ok {
			t.visit(name)
		}
	}
	for i, group := range t.groups {
		t.groups[i] = t.walk(group)
	}
	slices.SortFunc(t.groups, slices.Compare)
	return t.groups
}

// tarjan finds strongly connected components (R. Tarjan, 1972).
type tarjan struct {
	edges      map[string][]string
	known      []string // sorted
	index, low map[string]int
	stack      []string
	on         map[string]bool
	groups     [][]string
}

func (t *tarjan) visit(name string) {
	t.index[name] = len(t.index)
	t.low[name] = t.index[name]
	t.stack = append(t.stack, name)
	t.on[name] = true
	for _, next := range t.edges[name] {
		if _, ok := slices.BinarySearch(t.known, next); !ok {
			continue
		}
		if _, seen := t.index[next]; !seen {
			t.visit(next)
			t.low[name] = min(t.low[name], t.low[next])
		} else if t.on[next] {
			t.low[name] = min(t.low[name], t.index[next])
		}
	}
	if t.low[name] == t.index[name] {
		t.pop(name)
	}
}

// pop takes the component of its root off the stack and keeps it if it is a cycle.
func (t *tarjan) pop(root string) {
	at := slices.Index(t.stack, root)
	group := slices.Clone(t.stack[at:])
	t.stack = t.stack[:at]
	for _, name := range group {
		t.on[name] = false
	}
	if len(group) > 1 || slices.Contains(t.edges[root], root) {
		t.groups = append(t.groups, group)
	}
}

// walk orders a component along its requirements, from its first name.
func (t *tarjan) walk(group []string) []string {
	var out []string
	var follow func(string)
	follow = func(name string) {
		out = append(out, name)
		for _, next := range t.edges[name] {
			if slices.Contains(group, next) && !slices.Contains(out, next) {
				follow(next)
			}
		}
	}
	follow(slices.Min(group))
	return out
}

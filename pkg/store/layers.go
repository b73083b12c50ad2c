package store

import (
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// layers lays the section's layers on one another (C-298), config being the
// ConfigMap's. Each is told to note.
func (sec *Section) layers(config values.Map, note func(explain.Step)) values.Map {
	note(explain.Step{From: explain.FromStatic, After: sec.static, Set: sec.static})
	now := sec.schemas.Config.Default(sec.static)
	note(explain.Step{From: explain.FromConfigDefault, After: now})
	now = values.Merge(now, config)
	note(explain.Step{From: explain.FromConfig, After: now, Set: config})
	now = sec.schemas.Values.Default(now)
	note(explain.Step{From: explain.FromValuesDefault, After: now})
	return now
}

// effective is the section with everything on it.
func (sec *Section) effective(config values.Map) values.Map {
	sets := make([][]values.Stamped, 0, len(sec.sets))
	for _, name := range slices.Sorted(maps.Keys(sec.sets)) {
		sets = append(sets, sec.sets[name].ops)
	}
	now := sec.fold(sec.layers(config, func(explain.Step) {}), sets...)
	if sec.Owner.IsGlobal() {
		now = override(now)
	}
	return now
}

// fold lays what hooks wrote on a section.
func (sec *Section) fold(section values.Map, sets ...[]values.Stamped) values.Map {
	folded, _ := values.Fold(values.Map{sec.key: section}, sets...)[sec.key].(values.Map)
	return folded
}

// Origins says for every leaf of the effective section which layer or hook set it,
// and what that replaced. Secret values are masked.
func (sec *Section) Origins() []explain.Origin {
	var steps []explain.Step
	now := sec.layers(sec.config(), func(s explain.Step) { steps = append(steps, s) })
	for _, part := range sec.turns() {
		now = sec.fold(now, part.ops)
		steps = append(steps, explain.Step{From: part.from, After: now, Wrote: sec.pointers(part.ops)})
	}
	if sec.Owner.IsGlobal() {
		if over, ok := now["discoveryOverride"].(values.Map); ok {
			now = override(now)
			steps = append(steps, explain.Step{From: explain.FromOverride, After: now, Set: values.Map{"discovery": over}})
		}
	}
	return explain.Origins(steps, sec.Secret)
}

// turn is what one hook wrote before another one did.
type turn struct {
	from string
	ops  []values.Stamped
}

// turns are the operations of all hooks in the order in which they are folded.
func (sec *Section) turns() []turn {
	type one struct {
		from string
		op   values.Stamped
	}
	var all []one
	for _, name := range slices.Sorted(maps.Keys(sec.sets)) {
		st := sec.sets[name]
		for _, op := range st.ops {
			all = append(all, one{explain.FromHook(name, st.provisional && !slices.ContainsFunc(st.fresh, func(f values.Stamped) bool { return f.Path == op.Path })), op})
		}
	}
	slices.SortStableFunc(all, func(a, b one) int { return int(a.op.Seq - b.op.Seq) })
	var out []turn
	for _, o := range all {
		if n := len(out); n > 0 && out[n-1].from == o.from {
			out[n-1].ops = append(out[n-1].ops, o.op)
			continue
		}
		out = append(out, turn{o.from, []values.Stamped{o.op}})
	}
	return out
}

// pointers are the places below the section that adds write; an append writes its list.
func (sec *Section) pointers(ops []values.Stamped) []string {
	var out []string
	for _, op := range ops {
		if below, ok := strings.CutPrefix(op.Path, "/"+sec.key); ok && op.Op.Op == "add" {
			out = append(out, strings.TrimSuffix(below, "/-"))
		}
	}
	return out
}

// Secret says whether a JSON pointer below the section is at, above or below a secret leaf.
func (sec *Section) Secret(pointer string) bool { return sec.schemas.IsSecret(pointer) }

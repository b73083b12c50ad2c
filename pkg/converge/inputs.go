package converge

import (
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// view is the part of the published global section that a module sees: the
// paths of its `inputs`, or all of it.
func (l *Loop) view(name string, g *Published) values.Snapshot {
	if g == nil {
		return l.store.Section(hook.Global).Values
	}
	st := l.state(name)
	if st == nil {
		return g.Global
	}
	return l.viewOf(st.desc(), g)
}

func (l *Loop) viewOf(d *module.Descriptor, g *Published) values.Snapshot {
	switch {
	case g == nil:
		return l.store.Section(hook.Global).Values
	case d.Inputs == nil:
		return g.Global
	}
	return values.Must(values.Select(g.Global.Clone(), d.Inputs))
}

// exports are the values that modules it requires or wants show to a module, by their key.
func (l *Loop) exports(d *module.Descriptor) values.Map { return l.eyes().exports(d) }

// chartValues is what Helm gets (C-303) and the exports beside it.
func (l *Loop) chartValues(st *moduleState, g *Published) (values.Snapshot, error) {
	return l.eyes().chartValues(st, g)
}

// inputs is everything from outside that decides about a module: its artifact and its view of
// global, its section of the ConfigMap, and the exports it sees; each by digest.
type inputs struct{ fixed, config, exports string }

func (in inputs) digest() string {
	return values.Digest([]byte(in.fixed + "/" + in.config + "/" + in.exports))
}

func (l *Loop) inputs(st *moduleState, d *module.Descriptor, g *Published) inputs {
	st.mu.Lock()
	maintenance := st.maintenance
	st.mu.Unlock()
	return inputs{
		fixed:   d.Digest + maintenance + l.viewOf(d, g).Digest(),
		config:  l.store.Section(st.unit.Owner).ConfigValues.Digest(),
		exports: values.Must(l.exports(d)).Digest(),
	}
}

// refresh computes what is wanted for a module and wakes it when an attempt is due.
func (l *Loop) refresh(st *moduleState) {
	g := l.published.Load()
	if g == nil {
		return // the first publication looks at every module
	}
	d := st.wanted()
	if l.ledger.want(d.Name, d.Weight, st.on(), l.inputs(st, d, g).digest()) {
		l.keys.add(d.Name, becauseInputs)
	}
}

// wakeDependents looks again at the modules that see exports of a module.
func (l *Loop) wakeDependents(name string) {
	for _, st := range l.dependents(name) {
		l.refresh(st)
	}
}

func dependsOn(d *module.Descriptor, name string) bool {
	for _, r := range d.Requires {
		if r.Module == name {
			return true
		}
	}
	for _, w := range d.Wants {
		if w == name {
			return true
		}
	}
	return false
}

// withEnabled adds the list of enabled modules to a global section (C-302).
func withEnabled(global values.Snapshot, enabled []string) values.Snapshot {
	m := global.Clone()
	list := make([]any, len(enabled))
	for i, name := range enabled {
		list[i] = name
	}
	m["enabledModules"] = list
	return values.Must(m)
}

// ChartValues is what Helm would get for a module now.
func (l *Loop) ChartValues(name string) (values.Snapshot, error) {
	return l.chartValues(l.state(name), l.published.Load())
}

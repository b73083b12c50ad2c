package converge

import (
	"cmp"
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/enable"
	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/order"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/store"
)

// voices are those that were asked for the newest decision.
func (st *moduleState) voices() []enable.Voice {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.decision.Voices
}

// originCache spares computing who set what while a section stays.
type originCache struct {
	of     *store.Section
	values []status.ValueOrigin
	more   int
}

// maxOrigins bounds status.values; what nobody but the module's author has set goes first.
const maxOrigins = 64

func newOriginCache(sec *store.Section, key string) originCache {
	list := sec.Origins()
	more := 0
	if len(list) > maxOrigins {
		all := len(list)
		list = slices.DeleteFunc(list, explain.Origin.IsDefault)
		list = list[:min(maxOrigins, len(list))]
		more = all - len(list)
	}
	out := make([]status.ValueOrigin, len(list))
	for i, o := range explain.Prefixed(key, list) {
		out[i] = status.ValueOrigin{Path: o.Path, From: o.From}
	}
	return originCache{of: sec, values: out, more: more}
}

// summarize is the status of a module, with who decided, who set what, what is
// waited for and what the last pass did.
func (l *Loop) summarize(st *moduleState) status.Module {
	m := l.summary(st)
	l.why(st, &m)
	return m
}

// why adds to a status who decided, who set what, what is waited for and what the last pass did.
func (l *Loop) why(st *moduleState, m *status.Module) {
	chain := l.waits(st, nil)
	sec := l.store.Section(st.unit.Owner)
	st.mu.Lock()
	defer st.mu.Unlock()
	m.Decision = status.Decision{On: st.decision.On, By: st.decision.By, Why: st.decision.Why}
	for _, w := range chain {
		m.WaitsFor = append(m.WaitsFor, cmp.Or(w.For, w.Why))
	}
	m.LastPass = shownPass(st.history.last)
	if !st.decision.On || sec == nil {
		return
	}
	if st.history.origins.of != sec {
		st.history.origins = newOriginCache(sec, st.desc().Key)
	}
	m.Values, m.ValuesOmitted = st.history.origins.values, st.history.origins.more
}

// waits is the chain of what a module waits for now: the first link is its own, the
// next that of the module which the link before names.
func (l *Loop) waits(st *moduleState, seen []string) []explain.Wait {
	name := st.desc().Name
	if slices.Contains(seen, name) {
		return nil
	}
	link, ok := l.wait(st)
	if !ok {
		return nil
	}
	chain := []explain.Wait{link}
	if next := l.state(link.For); next != nil {
		chain = append(chain, l.waits(next, append(seen, name))...)
	}
	return chain
}

func (l *Loop) wait(st *moduleState) (explain.Wait, bool) {
	d := st.desc()
	if blockers := l.ledger.blockers(d.Name); len(blockers) > 0 {
		return explain.Wait{Module: d.Name, For: blockers[0].Name, Why: order.Describe(blockers)}, true
	}
	st.mu.Lock()
	waits, message := st.attempt == status.Waits, st.message
	st.mu.Unlock()
	if !waits {
		return explain.Wait{}, false
	}
	for _, r := range d.Requires {
		if unmet, _ := order.Unmet([]module.Requirement{r}, l.other); unmet != "" && st.isWaiting() {
			return explain.Wait{Module: d.Name, For: r.Module, Why: unmet}, true
		}
	}
	return explain.Wait{Module: d.Name, Why: message}, true
}

// Explain is everything about one module and why it is so; ok is false for one that
// is in no directory. Secret values are masked.
func (l *Loop) Explain(name string) (m explain.Module, ok bool) {
	st := l.state(name)
	if st == nil {
		return m, false
	}
	d, shown := st.desc(), l.summarize(st)
	m = explain.Module{Name: name, Version: d.Version, Namespace: shown.Namespace, Weight: d.Weight, Revision: shown.Revision,
		State: string(shown.Phase), Reason: shown.Reason, WaitsFor: l.waits(st, nil), Reads: l.reads(d), Asked: time.Now()}
	for _, c := range shown.Conditions {
		switch {
		case c.Type == status.Ready:
			m.Ready, m.Message = c.Status, c.Message
		case c.Status == (c.Type == status.Stalled):
			m.Problems = append(m.Problems, explain.Problem{Condition: c.Type, Reason: c.Reason, Message: c.Message})
		}
	}
	m.Values = explain.Prefixed(d.Key, l.store.Section(st.unit.Owner).Origins())
	st.mu.Lock()
	defer st.mu.Unlock()
	m.Decision = decisionOf(st.decision)
	m.LastPass, m.Checked = st.history.last, st.history.checked
	if !st.failing.IsZero() {
		m.Failure = &explain.Failure{Message: st.message, Since: st.failing, NextTry: st.nextTry}
	}
	return m, true
}

func decisionOf(d enable.Decision) explain.Decision {
	out := explain.Decision{On: d.On, By: d.By, Why: d.Why}
	for _, v := range d.Voices {
		out.Voices = append(out.Voices, explain.Opinion{Who: v.Who, Says: v.Says, Why: v.Why, Decided: v.Who == d.By})
	}
	return out
}

// reads are the declared inputs of a module with their values, and what others export to it.
func (l *Loop) reads(d *module.Descriptor) explain.Reads {
	r := explain.Reads{All: d.Inputs == nil}
	for _, path := range d.Inputs {
		r.Inputs = append(r.Inputs, "global."+path)
	}
	if len(d.Inputs) > 0 {
		global := l.GlobalOrigins()
		r.Values = explain.Prefixed("global", explain.Below(global, d.Inputs))
	}
	for _, other := range l.all() {
		o := other.desc()
		if !dependsOn(d, o.Name) || !other.on() || len(o.Exports) == 0 {
			continue
		}
		shown := explain.Below(l.store.Section(other.unit.Owner).Origins(), o.Exports)
		for _, v := range explain.Prefixed("modules."+o.Key, shown) {
			v.From = "module " + o.Name + ": " + v.From
			r.Values = append(r.Values, v)
		}
	}
	return r
}

// GlobalOrigins says who set each global value in force.
func (l *Loop) GlobalOrigins() []explain.Origin {
	return withEnabledOrigin(l.store.Section(hook.Global).Origins(), l.published.Load())
}

// withEnabledOrigin adds the list of enabled modules, which takes the place of any other.
func withEnabledOrigin(list []explain.Origin, g *Published) []explain.Origin {
	if g == nil {
		return list
	}
	enabled, _ := g.Global.Get("enabledModules")
	own := explain.Origin{Path: "enabledModules", Value: enabled, From: explain.FromOperator}
	at, found := slices.BinarySearchFunc(list, own.Path, func(o explain.Origin, p string) int { return cmp.Compare(o.Path, p) })
	if found {
		list[at] = own
		return list
	}
	return slices.Insert(list, at, own)
}

package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/enable"
	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/order"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrUndecided is the answer of Plan before the first global pass.
var ErrUndecided = errors.New("global hooks have not spoken yet, so nothing is decided; ask again when /readyz answers 200")

// Check says which keys of a reading would not be used as written, and which would be
// ignored. Nothing is put in force.
func (l *Loop) Check(next settings.Settings) (problems []explain.KeyProblem, warnings []string) {
	return l.preview(next).check()
}

// Plan says what a reading of the ConfigMap would do to every module, with the facts of
// now. Enabled scripts run and charts are rendered; hooks are not run, and nothing is
// put in force. An error is that the operator does not know enough yet, or ctx's.
func (l *Loop) Plan(ctx context.Context, next settings.Settings) (explain.Plan, error) {
	now := l.published.Load()
	if now == nil {
		return explain.Plan{}, ErrUndecided
	}
	v := l.preview(next)
	var p explain.Plan
	p.Problems, p.Warnings = v.check()
	v.now = now
	v.decide(ctx)
	p.Global = v.global()
	if len(p.Global) > 0 {
		p.GlobalHooks = l.global.Names(hook.BeforeAll, hook.AfterAll)
	}
	for _, st := range l.all() {
		m, touched, err := v.module(ctx, st)
		if err != nil {
			return p, err
		}
		if !touched {
			p.Untouched++
			continue
		}
		p.Modules = append(p.Modules, m)
	}
	p.Finish()
	return p, ctx.Err()
}

// preview is the loop's world as a reading of the ConfigMap would make it.
type preview struct {
	eyes       // of the scratch copy
	next       settings.Settings
	now, then  *Published
	beforehand settings.Settings
}

func (l *Loop) preview(next settings.Settings) *preview {
	v := &preview{next: next, beforehand: l.configured.newest()}
	v.eyes = eyes{l, l.store.Scratch(), func(st *moduleState) bool { return v.then != nil && v.then.Decisions[st.desc().Name].On }}
	return v
}

// check puts the reading in force in the scratch copy.
func (v *preview) check() (problems []explain.KeyProblem, warnings []string) {
	add := func(key string, err error) {
		if err != nil {
			problems = append(problems, explain.KeyProblem{Key: key, Message: err.Error()})
		}
	}
	for _, p := range v.next.Problems {
		problems = append(problems, explain.KeyProblem{Key: p.Key, Message: p.Message})
	}
	put := func(o hook.Owner, key string) {
		_, err := v.store.SetConfig(o, v.next.Sections[key], v.next.Revision)
		add(key, err)
	}
	put(hook.Global, hook.Global.Section())
	for _, st := range v.all() {
		put(st.unit.Owner, st.desc().Key)
	}
	for _, key := range v.unknown(v.next) {
		warnings = append(warnings, "key "+key+" names a module that is in no modules directory and was fetched from no ModuleSource yet; it would be ignored until then")
	}
	return problems, warnings
}

// decide asks the voices of C-335 for every module, as a global pass does.
func (v *preview) decide(ctx context.Context) {
	global := v.store.Section(hook.Global).Values
	v.then = &Published{Revision: v.now.Revision + 1, Decisions: map[string]enable.Decision{}}
	for _, st := range v.all() {
		d := st.desc()
		sofar := &Published{Global: withEnabled(global, v.then.Enabled), Enabled: slices.Clone(v.then.Enabled)}
		in := globalPass{v.Loop}.enableInput(ctx, st, v.next, false, func() *Published { return sofar })
		if in.Script != nil {
			in.Script = func() (bool, string, error) {
				vals, config := v.hookValues(st.unit.Owner, sofar)
				return v.executables.Enabled(ctx, d, vals, config)
			}
		}
		decision := enable.Decide(in)
		v.then.Decisions[d.Name] = decision
		if decision.On {
			v.then.Enabled = append(v.then.Enabled, d.Name)
		}
	}
	v.then.Global = withEnabled(global, v.then.Enabled)
}

func (v *preview) global() []explain.Change {
	sec := v.store.Section(hook.Global)
	return explain.Changes("global", v.now.Global.Clone(), v.then.Global.Clone(), withEnabledOrigin(sec.Origins(), v.then), sec.Secret)
}

// module compares what is with what would be.
func (v *preview) module(ctx context.Context, st *moduleState) (m explain.ModulePlan, touched bool, err error) {
	d := st.desc()
	then := v.then.Decisions[d.Name]
	m = explain.ModulePlan{Name: d.Name, On: then.On, WasOn: st.on(), By: then.By, Why: then.Why}
	if then.Err != nil {
		m.Notes = append(m.Notes, "its enabled script fails: "+then.Err.Error())
	}
	switch {
	case m.WasOn && m.On:
		return v.stays(ctx, st, m)
	case m.On:
		return v.turnsOn(ctx, st, m)
	case m.WasOn:
		return v.turnsOff(ctx, st, m)
	}
	return m, false, nil
}

func (v *preview) stays(ctx context.Context, st *moduleState, m explain.ModulePlan) (explain.ModulePlan, bool, error) {
	d := st.desc()
	m.Notes = append(m.Notes, v.settings(d.Key)...)
	before, err := v.Loop.chartValues(st, v.now)
	if err != nil {
		return m, true, err
	}
	after, err := v.chartValues(st, v.then)
	if err != nil {
		return m, true, err
	}
	if before.Digest() == after.Digest() {
		m.Effect = explain.SettingOnly
		return m, len(m.Notes) > 0, nil
	}
	m.Values, m.Inputs = v.changes(st, before, after)
	m.Hooks = st.unit.Names(hook.BeforeHelm, hook.AfterHelm)
	m.Effect = explain.SameObjects
	if !d.HasChart {
		return m, true, nil
	}
	v.render(ctx, st, &m, before, after)
	if m.Error != "" {
		m.Effect = explain.Fails
	} else if len(m.Objects) > 0 {
		m.Effect = explain.Upgrade
	}
	return m, true, nil
}

// changes are those of the module's own section, and of what it sees of others.
func (v *preview) changes(st *moduleState, before, after values.Snapshot) (own, inputs []explain.Change) {
	key := st.desc().Key
	part := func(s values.Snapshot, key string) values.Map {
		got, _ := s.Get(key)
		m, _ := got.(values.Map)
		return m
	}
	sec, global := v.store.Section(st.unit.Owner), v.store.Section(hook.Global)
	own = explain.Changes(key, part(before, key), part(after, key), sec.Origins(), sec.Secret)
	inputs = explain.Changes("global", part(before, "global"), part(after, "global"), withEnabledOrigin(global.Origins(), v.then), global.Secret)
	return own, append(inputs, explain.Changes("modules", part(before, "modules"), part(after, "modules"), nil, v.secretExport)...)
}

func (v *preview) turnsOn(ctx context.Context, st *moduleState, m explain.ModulePlan) (explain.ModulePlan, bool, error) {
	m.Effect = explain.Install
	m.Notes = append(m.Notes, v.settings(st.desc().Key)...)
	if unmet, missing := order.Unmet(st.desc().Requires, v.other); missing {
		m.Notes = append(m.Notes, "would wait: "+unmet)
	}
	if st.desc().HooksDir != "" {
		m.Notes = append(m.Notes, "its hooks have not run; they may set more values, or those that the chart needs")
	}
	after, err := v.chartValues(st, v.then)
	if err != nil {
		return m, true, err
	}
	if st.desc().HasChart {
		v.render(ctx, st, &m, values.Snapshot{}, after)
	}
	if m.Error != "" {
		m.Effect = explain.Fails
	}
	return m, true, nil
}

// other is a module as a requirement would see it.
func (v *preview) other(name string) order.Other {
	o := v.Loop.other(name)
	o.On = v.then.Decisions[name].On
	return o
}

func (v *preview) turnsOff(ctx context.Context, st *moduleState, m explain.ModulePlan) (explain.ModulePlan, bool, error) {
	m.Effect = explain.SwitchOff
	for _, other := range v.all() {
		for _, r := range other.desc().Requires {
			if r.Module == m.Name && v.on(other) {
				m.Notes = append(m.Notes, "module "+other.desc().Name+" requires it and stays on; it would wait with upgrades")
			}
		}
	}
	if !st.installedRelease().Exists() {
		return m, true, nil
	}
	m.Effect = explain.Uninstall
	before, err := v.Loop.chartValues(st, v.now)
	if err != nil {
		return m, true, err
	}
	v.render(ctx, st, &m, before, values.Snapshot{})
	m.Error = "" // what cannot be rendered is uninstalled all the same
	m.Hooks = st.unit.Names(hook.BeforeDeleteHelm, hook.AfterDeleteHelm)
	return m, true, nil
}

// settings are changes of how a module is treated.
func (v *preview) settings(key string) (notes []string) {
	if a, b := v.beforehand.Maintenance[key], v.next.Maintenance[key]; a != b {
		notes = append(notes, fmt.Sprintf("maintenance: %q → %q", a, b))
	}
	if a, b := v.beforehand.PausedUntil[key], v.next.PausedUntil[key]; !a.Equal(b) {
		notes = append(notes, "paused until: "+until(a)+" → "+until(b))
	}
	if a, b := v.beforehand.Choices[key], v.next.Choices[key]; a != b {
		notes = append(notes, fmt.Sprintf("release channel: %s → %s", a, b))
	}
	return notes
}

func until(t time.Time) string {
	if t.IsZero() {
		return "not paused"
	}
	return t.UTC().Format(time.RFC3339)
}

// render compares the objects that the chart gives before and after; values without
// content stand for no objects.
func (v *preview) render(ctx context.Context, st *moduleState, m *explain.ModulePlan, before, after values.Snapshot) {
	old, err := v.objects(ctx, st, before)
	if err != nil {
		m.Notes = append(m.Notes, "its chart cannot be rendered with the values of now: "+err.Error())
	}
	if m.On {
		if err := v.store.Section(st.unit.Owner).CheckHelm(); err != nil {
			m.Error = err.Error()
			return
		}
	}
	now, err := v.objects(ctx, st, after)
	if err != nil {
		m.Error = err.Error()
		return
	}
	m.Objects = explain.Objects(old, now, v.store.Redact)
}

func (v *preview) objects(ctx context.Context, st *moduleState, vals values.Snapshot) ([]explain.Object, error) {
	d := st.desc()
	if !d.HasChart || vals.Digest() == (values.Snapshot{}).Digest() {
		return nil, nil
	}
	if err := v.renders.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer v.renders.Release(1)
	r, err := v.cfg.Ports.Installer.Render(ctx, installed.Request{Module: d, Namespace: v.namespace(d), Values: vals, Maintenance: v.beforehand.Maintenance[d.Key] != ""})
	if err != nil {
		return nil, err
	}
	return explain.Manifest(r.Manifest)
}

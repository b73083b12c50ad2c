package converge

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// host is what runs of hooks get from a Loop and do to it.
type host struct {
	*Loop
}

// Loaded drops facts of hooks that are gone.
func (r host) Loaded(o hook.Owner, hooks []hook.Hook) error {
	names := make([]string, len(hooks))
	for i, h := range hooks {
		names[i] = h.Name
		r.meter.Bindings(h.ID, h.Spec.Bindings())
	}
	dropped, err := r.store.Keep(o, names)
	if dropped {
		r.facts.touch()
	}
	return err
}

// Settled ends a hook's provisional facts.
func (r host) Settled(id hook.ID) (moved bool, err error) {
	if moved, err = r.store.Settle(id); err == nil {
		r.facts.touch()
	}
	return moved, err
}

// Changed wakes an owner after a commit outside of its pass.
func (r host) Changed(o hook.Owner) { r.changed(o) }

// Ran counts a run. One outside of a pass shows in the status until it succeeds.
func (r host) Ran(run hookrun.Run) {
	r.meter.HookRun(run)
	if run.InPass {
		return // the pass reports it
	}
	line := ""
	if run.Err != nil && !run.AllowFailure {
		line = fmt.Sprintf("binding %s: %v", run.Binding, run.Err)
		r.cfg.Ports.Reporter.Event(run.ID.Owner.Module, true, status.ReasonHookFailed, line)
	}
	r.trouble(run.ID, run.Binding, hookTrouble{line: line})
}

// Lasts shows that a run outside of a pass does not end.
func (r host) Lasts(id hook.ID, binding string, since time.Time) {
	line := fmt.Sprintf("hook %s, binding %s, has run since %s", id.Name, binding, since.UTC().Format(time.TimeOnly))
	r.log.Warn("hook run lasts", "hook", id.String(), "binding", binding, "since", since.UTC().Format(time.TimeOnly))
	r.trouble(id, binding, hookTrouble{line: line, hangs: true})
}

// trouble notes how a hook does at a binding, and reports the module when that changed.
func (r host) trouble(id hook.ID, binding string, t hookTrouble) {
	st := r.state(id.Owner.Module)
	if st == nil {
		return
	}
	moved := false
	st.edit(func(st *moduleState) { moved = st.runs.set(id.Name+" "+binding, t) })
	if moved {
		r.report(st)
	}
}

// hookTrouble is a run that failed, or one that does not end; without a line there is none.
type hookTrouble struct {
	line  string
	hangs bool
}

// hookTroubles are those of a module's hooks by hook and binding.
type hookTroubles map[string]hookTrouble

func (h *hookTroubles) set(key string, t hookTrouble) (moved bool) {
	if (*h)[key] == t {
		return false
	}
	if *h == nil {
		*h = hookTroubles{}
	}
	(*h)[key] = t
	if t.line == "" {
		delete(*h, key)
	}
	return true
}

func (h hookTroubles) lines() (failing, hanging []string) {
	for _, key := range slices.Sorted(maps.Keys(h)) {
		if t := h[key]; t.hangs {
			hanging = append(hanging, t.line)
		} else {
			failing = append(failing, t.line)
		}
	}
	return failing, hanging
}

// Values are the newest texts of VALUES_PATH and CONFIG_VALUES_PATH (C-106).
func (r host) Values(o hook.Owner) (vals, config []byte) { return r.hookValues(o, r.published.Load()) }

// valuesAt are those of a pass, which sees one revision of the global values.
func (r host) valuesAt(g *Published) hookrun.ValuesFunc {
	if g == nil {
		return nil
	}
	return func(o hook.Owner) (vals, config []byte) { return r.hookValues(o, g) }
}

// hooksOf is a pass as the engine sees it.
func (l *Loop) hooksOf(why reason, g *Published, step func(string)) hookrun.Pass {
	return hookrun.Pass{Activation: why.String(), Values: host{l}.valuesAt(g), Step: step}
}

// hookValues are the texts of VALUES_PATH and CONFIG_VALUES_PATH (C-106).
func (r host) hookValues(o hook.Owner, g *Published) (vals, config []byte) {
	return r.eyes().hookValues(o, g)
}

func orNull(has bool, v values.Snapshot) []byte {
	if !has {
		return []byte("null")
	}
	return v.JSON()
}

// jsonObject writes a JSON object from keys and texts.
func jsonObject(pairs ...any) []byte {
	var b bytes.Buffer
	for i := 0; i < len(pairs); i += 2 {
		b.WriteByte("{,"[min(i, 1)])
		fmt.Fprintf(&b, "%q:", pairs[i])
		b.Write(pairs[i+1].([]byte))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// Apply checks the whole output first and performs it then: object operations,
// config patch, values commit, metric samples (C-108, C-109).
func (r host) Apply(ctx context.Context, h hook.Hook, out hook.Output) (hookrun.Effect, error) {
	plan, err := r.check(h.ID, out)
	if err != nil {
		return hookrun.Effect{}, &hook.RunError{Hook: h.ID, Reason: hook.ReasonPatch, Cause: err.Error(), Usage: out.Usage}
	}
	if len(out.Operations) > 0 {
		if err := r.objects.Execute(ctx, h.Account, out.Operations); err != nil {
			return hookrun.Effect{}, &hook.RunError{Hook: h.ID, Reason: hook.ReasonOperation, Cause: "object operations: " + err.Error(), Usage: out.Usage}
		}
	}
	var eff hookrun.Effect
	before := r.store.Section(h.Owner)
	defer func() {
		if eff.Values {
			r.changes.note(h.ID, before, r.store.Section(h.Owner), append(slices.Clip(plan.values), plan.config...), time.Now())
		}
	}()
	if len(plan.config) > 0 {
		moved, err := r.patchConfig(ctx, h, plan.config)
		eff.Values = moved
		if err != nil {
			return eff, err
		}
	}
	if len(plan.values) > 0 {
		moved, err := r.store.Commit(h.ID, h.Digest, plan.values)
		if err != nil {
			return eff, &hook.RunError{Hook: h.ID, Reason: hook.ReasonPatch, Cause: err.Error(), Usage: out.Usage}
		}
		eff.Values = eff.Values || moved
		if moved {
			r.facts.touch()
		}
	}
	for section, on := range plan.flags {
		eff.Flags = r.store.SetFlag(section, on, h.ID) || eff.Flags
	}
	if eff.Flags {
		r.facts.touch()
	}
	if err := r.meter.Samples(h.ID, out.Samples); err != nil { // such a sample is lost, and no more (C-223)
		r.log.Warn("metric of hook is lost", "hook", h.ID.String(), "error", err)
	}
	return eff, nil
}

// patchConfig writes a config patch and puts its result in force at once; the
// watch event that follows has the same content and wakes nobody (C-380).
func (r host) patchConfig(ctx context.Context, h hook.Hook, ops []values.Op) (moved bool, err error) {
	key := h.Owner.Section()
	if r.configMissed() {
		// Writing now would make a ConfigMap without the user's flags, which reads as "all off".
		return false, &hook.RunError{Hook: h.ID, Cause: "config values patch: there is no ConfigMap " + r.cfg.Instance +
			" although modules are installed; restore it first"}
	}
	before := r.store.Section(h.Owner).ConfigValues.Clone()
	now, err := r.settings.Patch(ctx, key, ops)
	if err != nil {
		return false, fmt.Errorf("hook %s: config values patch: %w", h.ID, err)
	}
	moved, err = r.store.SetConfigHiding(h.Owner, now.Sections[key], now.FromSecrets(key), now.Revision)
	if err != nil {
		return false, fmt.Errorf("hook %s: config values patch: %w", h.ID, err)
	}
	// The patch went onto the newest text. What the user changed there is theirs, and wakes the owner.
	expected, err := values.Apply(values.Map{key: before}, ops)
	own := err == nil && sameJSON(expected[key], now.Sections[key])
	if st := r.state(h.Owner.Module); st != nil {
		st.edit(func(st *moduleState) {
			st.ownConfig = ""
			if own {
				st.ownConfig = r.store.Section(h.Owner).ConfigValues.Digest()
			}
		})
	}
	if !own {
		r.changed(h.Owner)
	}
	return moved, nil
}

func sameJSON(a any, b values.Map) bool {
	left, _ := a.(values.Map)
	l, errL := values.New(left)
	r, errR := values.New(b)
	return errL == nil && errR == nil && l.Digest() == r.Digest()
}

// plan is a checked output, sorted by what it touches.
type plan struct {
	values []values.Op
	config []values.Op
	flags  hook.Flags
}

func (r host) check(id hook.ID, out hook.Output) (plan, error) {
	var p plan
	var err error
	var more hook.Flags
	if p.values, p.flags, err = hook.Sort(id.Owner, out.Values); err != nil {
		return p, fmt.Errorf("VALUES_JSON_PATCH_PATH: %w", err)
	}
	if p.config, more, err = hook.Sort(id.Owner, out.Config); err != nil {
		return p, fmt.Errorf("CONFIG_VALUES_JSON_PATCH_PATH: %w", err)
	}
	maps.Copy(p.flags, more)
	if len(p.values) > 0 {
		if err := r.store.Check(id, p.values); err != nil {
			return p, err
		}
	}
	if len(p.config) > 0 {
		return p, r.store.CheckConfig(id.Owner, p.config)
	}
	return p, nil
}

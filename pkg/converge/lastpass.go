package converge

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// history is what is remembered of a module's passes, to say what moved since.
type history struct {
	// applied are the inputs of the last pass that succeeded in this process, nil before it.
	applied *appliedInputs
	// last is the newest pass that changed something or failed.
	last *explain.Pass
	// checked is when a pass last ended.
	checked time.Time
	// origins are those of the newest section that they were asked for.
	origins originCache
}

// appliedInputs are the inputs of a pass as it ended. The snapshots are shared with the store.
type appliedInputs struct {
	artifact, version        string
	global, section, exports values.Snapshot
	// input is the digest of all that the render reads; "" when nothing was to be rendered.
	input string
}

// maxChanges and maxValue bound what is kept of one pass.
const (
	maxChanges = 50
	maxValue   = 200
)

// steps notes how long the steps of a pass last.
type steps struct {
	done  []explain.Took
	now   string
	since time.Time
}

// begin ends the step before.
func (s *steps) begin(what string, at time.Time) {
	s.end(at)
	s.now, s.since = what, at
}

func (s *steps) end(at time.Time) {
	if s.now != "" {
		s.done = append(s.done, explain.Took{Step: s.now, Seconds: seconds(at.Sub(s.since))})
	}
	s.now = ""
}

func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

// note remembers what the pass did, unless it changed nothing.
func (p *pass) note(err error) {
	var w *waiting
	if errors.As(err, &w) {
		return
	}
	now := time.Now()
	p.steps.end(now)
	have := p.appliedInputs()
	var before *appliedInputs
	var failed bool
	p.st.edit(func(st *moduleState) {
		before, failed = st.history.applied, st.history.last != nil && st.history.last.Error != ""
		st.history.checked = now
		if err == nil {
			st.history.applied = have
		}
	})
	did := &explain.Pass{Time: now, Took: now.Sub(p.started), Seconds: seconds(now.Sub(p.started)), Why: p.why.String(), Action: p.action, Steps: p.steps.done}
	p.moved(did, before, have)
	if err == nil && p.action == "" && !failed && (before == nil || len(did.Changed)+len(did.Other) == 0) {
		return
	}
	if err != nil {
		did.Error = err.Error()
	}
	if did.Action == "" {
		did.Action = p.inaction(err)
	}
	p.st.edit(func(st *moduleState) { st.history.last = did })
}

// inaction says why there was nothing to do.
func (p *pass) inaction(err error) string {
	switch {
	case err != nil:
		return "nothing was applied"
	case !p.st.desc().HasChart:
		return "hooks ran; there is no chart"
	case p.rendered:
		return "nothing to apply: the rendered objects are those applied"
	}
	return "nothing to apply: what the chart reads has not changed"
}

func (p *pass) appliedInputs() *appliedInputs {
	d := p.st.desc()
	return &appliedInputs{
		artifact: d.Digest, version: d.Version, input: p.input,
		global: p.view(d.Name, p.g), section: p.store.Section(p.st.unit.Owner).Values, exports: values.Must(p.exports(d)),
	}
}

// moved fills in which inputs differ.
func (p *pass) moved(did *explain.Pass, before, now *appliedInputs) {
	if before == nil {
		did.Other = append(did.Other, "the first pass since the operator started; what moved before is not known")
		return
	}
	did.Changed = p.movedValues(before, now)
	if n := len(did.Changed); n > maxChanges {
		did.Changed, did.More = did.Changed[:maxChanges:maxChanges], n-maxChanges
	}
	for i := range did.Changed {
		c := &did.Changed[i]
		c.Old, c.New = short(c.Old), short(c.New)
	}
	if before.artifact != now.artifact {
		did.Other = append(did.Other, fmt.Sprintf("the module's files changed (version %s → %s)", before.version, now.version))
	}
	if len(did.Changed)+len(did.Other) == 0 && before.input != now.input && before.input != "" && now.input != "" {
		did.Other = append(did.Other, "the capabilities of the cluster changed (its version, or the kinds that it serves)")
	}
}

func (p *pass) movedValues(before, now *appliedInputs) []explain.Change {
	var out []explain.Change
	if before.global.Digest() != now.global.Digest() {
		out = append(out, p.globalMoves.between(before.global, now.global, p.store.Section(hook.Global), p.g)...)
	}
	if before.section.Digest() != now.section.Digest() {
		own := p.store.Section(p.st.unit.Owner)
		out = append(out, explain.Changes(p.st.desc().Key, before.section.Clone(), now.section.Clone(), own.Origins(), own.Secret)...)
	}
	if before.exports.Digest() != now.exports.Digest() {
		out = append(out, explain.Changes("modules", before.exports.Clone(), now.exports.Clone(), nil, p.secretExport)...)
	}
	return out
}

// globalMoves spares computing for each module how the same two views of the global
// section differ.
type globalMoves struct {
	mu          sync.Mutex // held while it is computed: others want the same
	before, now string     // digests
	section     *store.Section
	g           *Published
	list        []explain.Change
}

func (m *globalMoves) between(before, now values.Snapshot, section *store.Section, g *Published) []explain.Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.section != section || m.g != g || m.before != before.Digest() || m.now != now.Digest() {
		m.before, m.now, m.section, m.g = before.Digest(), now.Digest(), section, g
		m.list = explain.Changes("global", before.Clone(), now.Clone(), withEnabledOrigin(section.Origins(), g), section.Secret)
	}
	return slices.Clone(m.list) // the caller shortens values
}

// secretExport says of a pointer below `modules` whether it is secret in the section that it is from.
func (l *Loop) secretExport(pointer string) bool {
	keys := values.Pointer(pointer)
	st := l.state(values.Name(keys[0]))
	return st == nil || l.store.Section(st.unit.Owner).Secret(pointer[1+len(keys[0]):])
}

// short keeps a long value as the beginning of its text.
func short(v any) any {
	text, err := json.Marshal(v)
	if err != nil || len(text) > maxValue {
		return explain.Brief(v)
	}
	return v
}

// noteRemoved remembers that the module was removed.
func (p *pass) noteRemoved() {
	now := time.Now()
	p.st.edit(func(st *moduleState) {
		st.history.applied, st.history.checked = nil, now
		st.history.last = &explain.Pass{Time: now, Took: now.Sub(p.started), Seconds: seconds(now.Sub(p.started)), Why: p.why.String(),
			Action: "uninstalled: " + st.decision.Why}
	})
}

// noteRepaired remembers what was brought back.
func (p *pass) noteRepaired() {
	if p.repaired == "" {
		return
	}
	now := time.Now()
	p.st.edit(func(st *moduleState) {
		st.history.last = &explain.Pass{Time: now, Took: now.Sub(p.started), Seconds: seconds(now.Sub(p.started)), Why: p.why.String(),
			Action: "repaired " + p.repaired}
	})
}

// shownPass is the last pass as the Module resource shows it: paths and no values.
func shownPass(last *explain.Pass) *status.Pass {
	if last == nil {
		return nil
	}
	out := &status.Pass{Time: last.Time, Duration: last.Took, Why: last.Why, Action: last.Action, Failed: last.Error != ""}
	for _, c := range last.Changed {
		out.Changed = append(out.Changed, c.Path)
	}
	if last.More > 0 {
		out.Changed = append(out.Changed, fmt.Sprintf("and %d more", last.More))
	}
	out.Changed = append(out.Changed, last.Other...)
	return out
}

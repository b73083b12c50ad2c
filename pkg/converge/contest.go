package converge

import (
	"fmt"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// errContested is a repair that somebody undoes again and again.
type errContested struct{ message string }

func (e *errContested) Error() string { return e.message }

// wayOut is what can be done about a contested field.
const wayOut = "or leave the field to it: drift.ignore in the module's module.yaml, or the annotation " + drift.Annotation + " on the object"

// contestOf says who undoes what.
func contestOf(d object.Drift) string {
	switch {
	case d.Rewritten:
		return fmt.Sprintf("%s: an admission policy or webhook gives %s another value than was written; take the object out of its rules, %s",
			d.Ref, d.Fields(), wayOut)
	case d.Gone:
		return fmt.Sprintf("%s is deleted again and again by %s; let one of the two give way", d.Ref, orUnknown(d.Manager))
	}
	if d.Manager == drift.Writer { // a field that was removed has no owner, and the last writer put it back
		d.Manager = ""
	}
	where := ""
	if len(d.Paths) > 0 {
		where = " at " + d.Fields()
	}
	return fmt.Sprintf("%s is changed back again and again%s by %s; stop that writer, %s", d.Ref, where, orUnknown(d.Manager), wayOut)
}

// drifted lists what is to be repaired, and says which objects are contested. What an
// admission policy changed is written once more, for the policy may be gone.
func (p *pass) drifted() (todo []object.Drift, contested []string) {
	now := time.Now()
	for _, d := range p.cfg.Ports.Tracker.Drift(p.st.desc().Name) {
		var again bool
		p.st.edit(func(st *moduleState) { again = st.repairs.contested(repairOf(d), now) })
		switch {
		case !again:
			todo = append(todo, d)
			if d.Gone {
				p.meter.ResourceAbsent(p.st.desc().Name, d.Namespace+"/"+d.Kind+"/"+d.Name)
			}
		case !d.Rewritten:
			contested = append(contested, contestOf(d))
		}
	}
	return todo, contested
}

// rewritten says of which objects the API server holds something else than what was
// just written, or was a short time ago.
func (p *pass) rewritten() (refs map[object.Ref]bool, contested []string) {
	refs = map[object.Ref]bool{}
	for _, d := range p.cfg.Ports.Tracker.Drift(p.st.desc().Name) {
		if d.Rewritten {
			refs[d.Ref] = true
			contested = append(contested, contestOf(d))
		}
	}
	return refs, contested
}

// announceRepairs tells which objects are as they should be again.
func (p *pass) announceRepairs(repairs []object.Drift, not map[object.Ref]bool) {
	var done []string
	for _, d := range repairs {
		if !not[d.Ref] {
			done = append(done, d.Ref.String())
		}
	}
	if len(done) == 0 {
		return
	}
	p.repaired = fmt.Sprint(done)
	p.log.Info("objects repaired", "module", p.st.desc().Name, "objects", done)
	p.cfg.Ports.Reporter.Event(p.st.desc().Name, false, "Repaired", "brought back "+strings.Join(done, ", "))
}

// leftDrift appoints a repair after an action that left drift: the tracker tells of
// news only, and what it told before the action was taken for settled by it.
func (p *pass) leftDrift() {
	if p.action != "" && len(p.cfg.Ports.Tracker.Drift(p.st.desc().Name)) > 0 {
		p.keys.add(p.st.desc().Name, becauseDrift)
	}
}

// settleRepair ends what a repair could not do: nothing is left of a contest, or an
// action has applied every object since.
func (p *pass) settleRepair() {
	over := false
	p.st.edit(func(st *moduleState) {
		over = st.healthReason == status.ReasonContested || st.healthReason != "" && p.action != ""
	})
	if over && len(p.cfg.Ports.Tracker.Drift(p.st.desc().Name)) == 0 {
		p.finishRepair(nil)
		for _, why := range []reason{becauseDrift, becauseVerify, becauseDrift | becauseVerify} {
			p.keys.succeeded(p.st.desc().Name, why)
		}
	}
}

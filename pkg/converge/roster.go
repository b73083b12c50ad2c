package converge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// roster is the modules that a Loop knows. It does not change; another one takes its place.
type roster struct {
	set     *module.Set
	byName  map[string]*moduleState
	byOrder []*moduleState // by weight and name
	// dependents are the modules that may require or want one, by its name and in order;
	// what they require changes with their files, so they are asked again.
	dependents map[string][]*moduleState
	// cycles are the circles of requirements, by module on one.
	cycles map[string]string
}

// Modules is the newest reading of the directories, with the last versions of modules
// that cannot be read.
func (l *Loop) Modules() *module.Set { return l.roster.Load().set }

// state is what is known of a module, nil when it is in no directory.
func (l *Loop) state(name string) *moduleState { return l.roster.Load().byName[name] }

// all are the modules by weight and name.
func (l *Loop) all() []*moduleState { return l.roster.Load().byOrder }

// newRoster takes states over from an earlier roster, which may be nil, and makes
// those that are missing.
func (l *Loop) newRoster(set *module.Set, before *roster) *roster {
	r := &roster{set: set, byName: map[string]*moduleState{}, dependents: map[string][]*moduleState{}, cycles: map[string]string{}}
	for _, d := range set.Modules {
		var st *moduleState
		if before != nil {
			st = before.byName[d.Name]
		}
		if st == nil {
			st = newModuleState(d)
			if on, ok := l.cfg.Facts.Decisions[d.Name]; ok {
				st.last, st.owes = &on, on || slices.Contains(l.cfg.Facts.Removing, d.Name)
			}
		}
		r.byName[d.Name] = st
		r.byOrder = append(r.byOrder, st)
		r.noteDependent(st, st.desc(), st.wanted(), d)
	}
	r.noteCycles(l)
	return r
}

// noteDependent notes whom the versions of a module depend on: it has one of them until
// another roster takes this one's place.
func (r *roster) noteDependent(st *moduleState, versions ...*module.Descriptor) {
	names := map[string]bool{}
	for _, d := range versions {
		for _, q := range d.Requires {
			names[q.Module] = true
		}
		for _, name := range d.Wants {
			names[name] = true
		}
	}
	for name := range names {
		r.dependents[name] = append(r.dependents[name], st)
	}
}

// dependents are the modules that require or want the given one.
func (l *Loop) dependents(name string) []*moduleState {
	var out []*moduleState
	for _, st := range l.roster.Load().dependents[name] {
		if dependsOn(st.desc(), name) {
			out = append(out, st)
		}
	}
	return out
}

// noteCycles marks the modules that require each other in a circle: none of them
// can be installed, and everybody else goes on.
func (r *roster) noteCycles(l *Loop) {
	for _, cycle := range module.Cycles(r.set.Modules) {
		text := strings.Join(append(cycle, cycle[0]), " > ")
		l.log.Error("modules require each other in a circle; none of them can be installed", "cycle", text)
		for _, name := range cycle {
			r.cycles[name] = text
		}
	}
}

// circular is the wait of a module on a cycle, nil for any other.
func (l *Loop) circular(name string) error {
	cycle := l.roster.Load().cycles[name]
	if cycle == "" {
		return nil
	}
	return &waiting{reason: status.ReasonRequirement,
		message: fmt.Sprintf("requires itself: %s; take one of these out of `requires` in its module.yaml", cycle)}
}

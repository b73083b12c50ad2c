package converge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// gone holds modules that are in no directory any more until their last pass.
type gone struct {
	mu sync.Mutex
	in map[string]*moduleState
}

func (g *gone) put(st *moduleState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = map[string]*moduleState{}
	}
	g.in[st.desc().Name] = st
}

func (g *gone) take(name string) *moduleState {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := g.in[name]
	delete(g.in, name)
	return st
}

func (g *gone) rest() []*moduleState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.in))
}

// Replace puts a newer reading of the modules' directories in force.
//
// A module that changed takes its new version at the beginning of its next pass,
// as a whole: chart, schemas, static values, and, when their files changed, its
// hooks, which start anew. A new module is decided upon like any other. One that
// cannot be read now keeps the version it has, and says why. One that is in no
// directory any more ends; its release stays, as after a restart.
//
// An error changes nothing.
func (l *Loop) Replace(ctx context.Context, set *module.Set) error {
	l.replacing.Lock()
	defer l.replacing.Unlock()
	before := l.roster.Load()
	set, problems := withLast(set, before)
	if len(problems) == 0 && l.sameAs(set, before) {
		return nil
	}
	after := l.newRoster(set, before)
	if err := l.observeNew(ctx, before, after); err != nil {
		return err
	}
	missing, err := l.observeBroken(ctx, before, after)
	if err != nil {
		return err
	}
	if err := l.store.Extend(set); err != nil {
		return err
	}
	if _, err := l.store.ReplaceGlobal(set); err != nil {
		return fmt.Errorf("static values of global: %w", err)
	}
	var changed []*moduleState
	for _, d := range set.Modules {
		st := after.byName[d.Name]
		switch {
		case before.byName[d.Name] == nil: // its section may be of an earlier version
			st.next.Store(d)
		case sameModule(st.wanted(), d):
			continue
		default:
			st.next.Store(d)
		}
		changed = append(changed, st)
	}
	l.roster.Store(after)
	if set.GlobalHooksDigest != before.set.GlobalHooksDigest || set.GlobalHooksDir != before.set.GlobalHooksDir ||
		set.GlobalOrigin.ServiceAccount != before.set.GlobalOrigin.ServiceAccount {
		l.trouble.renew()
		l.rehook.Store(true)
	}
	l.dismissMissing(before, after)
	l.tellFiles(after, problems)
	l.reportMissing(missing)
	l.configured.mu.Lock()
	if l.configured.read {
		l.applySettings(l.configured.now) // keys of modules that are new, schemas that are others
	}
	l.configured.mu.Unlock()
	for _, st := range changed {
		l.refresh(st)
		l.keys.add(st.desc().Name, becauseInputs)
	}
	l.convergence.begin(causeFiles)
	l.keys.add(globalKey, becauseInputs)
	return nil
}

// sameAs says whether a reading brings nothing new.
func (l *Loop) sameAs(set *module.Set, now *roster) bool {
	return set.GlobalDigest == now.set.GlobalDigest && set.GlobalHooksDir == now.set.GlobalHooksDir && set.GlobalOrigin == now.set.GlobalOrigin && set.GlobalHooksDigest == now.set.GlobalHooksDigest && set.Incomplete == now.set.Incomplete &&
		maps.EqualFunc(set.Broken, now.set.Broken, sameText) && len(set.Modules) == len(now.byOrder) &&
		!slices.ContainsFunc(set.Modules, func(d *module.Descriptor) bool {
			st := now.byName[d.Name]
			return st == nil || !sameModule(st.wanted(), d)
		})
}

func sameText(a, b error) bool { return a.Error() == b.Error() }

// withLast adds the last versions of modules that cannot be read now, and says why they cannot.
func withLast(set *module.Set, before *roster) (*module.Set, map[string]string) {
	problems := map[string]string{}
	next := *set
	next.Modules = slices.Clone(set.Modules)
	for _, st := range before.byOrder {
		name := st.desc().Name
		err := set.Broken[name]
		if set.Get(name) != nil || err == nil && !set.Incomplete {
			continue
		}
		problems[name] = "its directory cannot be read"
		if err != nil {
			problems[name] = err.Error()
		}
		next.Modules = append(next.Modules, st.wanted())
	}
	slices.SortStableFunc(next.Modules, func(a, b *module.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return &next, problems
}

// observeNew reads the releases of modules that were in no directory before.
func (l *Loop) observeNew(ctx context.Context, before, after *roster) error {
	for _, st := range after.byOrder {
		name := st.desc().Name
		if before.byName[name] != nil {
			continue
		}
		rel, err := l.cfg.Ports.Installer.Observe(ctx, name)
		if err != nil {
			return fmt.Errorf("read the release of the new module %s: %w", name, err)
		}
		st.edit(func(st *moduleState) { st.release, st.verify = rel, rel.Exists() })
	}
	return nil
}

// observeBroken reads the releases of modules that never could be read, and now cannot for another reason.
func (l *Loop) observeBroken(ctx context.Context, before, after *roster) ([]installed.Release, error) {
	var out []installed.Release
	for name, err := range after.set.Broken {
		was := before.set.Broken[name]
		if after.byName[name] != nil || before.byName[name] != nil || was != nil && sameText(was, err) {
			continue
		}
		rel, err := l.cfg.Ports.Installer.Observe(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read the release of module %s, which cannot be read: %w", name, err)
		}
		out = append(out, rel)
	}
	return out, nil
}

// sameModule says whether two readings of a module are one. The digest does not cover
// what the directory of modules says of it.
func sameModule(a, b *module.Descriptor) bool {
	return a.Digest == b.Digest && a.Dir == b.Dir && a.Origin == b.Origin && a.Weight == b.Weight &&
		reflect.DeepEqual(a.Static, b.Static) && reflect.DeepEqual(a.StaticEnabled, b.StaticEnabled)
}

// dismissMissing ends the modules that the new roster does not have.
func (l *Loop) dismissMissing(before, after *roster) {
	for _, st := range before.byOrder {
		if name := st.desc().Name; after.byName[name] == nil {
			l.gone.put(st)
			l.keys.add(name, becauseInputs)
		}
	}
}

// dismiss is the last pass of a module that is in no directory any more. Nothing is
// removed from the cluster: that the module is missing is no decision.
func (l *Loop) dismiss(st *moduleState) {
	name := st.desc().Name
	l.hooks.Stop(st.unit)
	st.stopStepTimer()
	l.ledger.remove(name)
	l.leaving.leave(name)
	l.cfg.Ports.Tracker.Forget(name)
	l.cfg.Ports.Prober.Forget(name)
	l.meter.Forget(st.unit.Owner)
	if err := l.store.Drop(st.unit.Owner); err != nil {
		l.log.Warn("facts of a module that is gone cannot be dropped", "module", name, "error", err)
	}
	l.facts.touch()
	if l.state(name) != nil { // it is back
		return
	}
	if rel := st.installedRelease(); l.ours(rel) {
		l.tellMissing(rel)
		return
	}
	l.log.Info("module is in no modules directory any more", "module", name)
	l.cfg.Ports.Reporter.Report(status.Module{Name: name, Gone: true})
}

// tellFiles notes at each module whether its directory could be read.
func (l *Loop) tellFiles(now *roster, problems map[string]string) {
	for _, st := range now.byOrder {
		name := st.desc().Name
		text := ""
		if p := problems[name]; p != "" {
			text = p + "; the version that was read before stays in force"
		}
		moved := false
		st.edit(func(st *moduleState) { moved, st.filesProblem = st.filesProblem != text, text })
		if !moved {
			continue
		}
		if text != "" {
			l.log.Error("module cannot be read anew", "module", name, "problem", text)
			l.cfg.Ports.Reporter.Event(name, true, status.ReasonModuleInvalid, text)
		}
		l.keys.add(name, becauseHealth)
	}
}

// adopt puts another version of the module in force before anything else of the pass.
func (p *pass) adopt(next *module.Descriptor) {
	before, owner := p.st.desc(), p.st.unit.Owner
	hooks := before.HooksDigest != next.HooksDigest || placeOf(before) != placeOf(next)
	if hooks {
		p.hooks.Stop(p.st.unit)
		p.st.unit.Move(placeOf(next))
		p.store.Doubt(owner)
	}
	p.st.artifact.Store(next)
	_, err := p.store.Replace(next)
	p.st.edit(func(st *moduleState) {
		st.fuse.reset()
		if before.Digest != next.Digest {
			st.attempts = attempts{}
		}
		if hooks {
			st.runs = nil
		}
		if err != nil {
			st.filesProblem = fmt.Sprintf("values.yaml: %v; the values that were read before stay in force", err)
		}
	})
	p.judgeAnew(p.st)
	if before == next {
		return
	}
	for _, w := range next.Warnings {
		p.log.Warn(w, "module", next.Name)
	}
	p.log.Info("module changed on disk", "module", next.Name, "version", next.Version, "hooksChanged", hooks)
	p.cfg.Ports.Reporter.Event(next.Name, false, "ModuleChanged", fmt.Sprintf("its files changed; version %s is put in force", next.Version))
}

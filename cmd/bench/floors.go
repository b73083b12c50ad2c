package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// helm measures the Helm floor of every change that Helm has a part in.
func (b *bench) helm(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "helm", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	f := &helmFloor{work: s.work, cluster: b.cluster, parallel: b.cfg.parallel}
	if err := b.floor(ctx, s, byHelm, firstConverge, s.work.everything(), f.installAll); err != nil {
		return err
	}
	s.changeFact()
	f.work = s.work
	if err := b.floor(ctx, s, byHelm, factChanged, s.work.shown(), f.upgradeAll); err != nil {
		return err
	}
	s.changeNote(editedModule)
	return b.floor(ctx, s, byHelm, moduleEdited, s.work.edited(editedModule), func(ctx context.Context) error {
		return f.upgrade(ctx, editedModule)
	})
}

// floor times one change of a floor, and waits until the cluster is at rest again.
func (b *bench) floor(ctx context.Context, s *scene, who contender, what measure, w wanted, do func(context.Context) error) error {
	took, err := s.timed(ctx, w, do)
	if err != nil {
		return fmt.Errorf("floor %q of %q: %w", who, what, err)
	}
	b.sheet.took(what, who, took)
	return b.cluster.settled(ctx, s.work.namespace)
}

// objects measures plain writes of the rendered objects.
func (b *bench) objects(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "objects", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	f := &objectFloor{work: s.work, cluster: b.cluster, parallel: b.cfg.parallel}
	all := b.modules.Modules
	writes := func(first, last int, do func(context.Context, []*unstructured.Unstructured) error) func(context.Context) error {
		f.work = s.work
		rendered, err := f.render(first, last)
		return func(ctx context.Context) error {
			if err != nil {
				return err
			}
			return do(ctx, rendered)
		}
	}
	if err := b.floor(ctx, s, byObjects, firstConverge, s.work.everything(), writes(0, all, f.create)); err != nil {
		return err
	}
	s.changeFact()
	if err := b.floor(ctx, s, byObjects, factChanged, s.work.shown(), writes(0, all, f.update)); err != nil {
		return err
	}
	s.changeNote(editedModule)
	if err := b.floor(ctx, s, byObjects, moduleEdited, s.work.edited(editedModule), writes(editedModule, editedModule+1, f.update)); err != nil {
		return err
	}
	return b.restoredPlainly(ctx, s, f)
}

// restoredPlainly creates the Deployment that somebody deleted.
func (b *bench) restoredPlainly(ctx context.Context, s *scene, f *objectFloor) error {
	rendered, err := f.render(restoredModule, restoredModule+1)
	if err != nil {
		return err
	}
	for _, o := range rendered {
		if o.GetKind() != "Deployment" {
			continue
		}
		if err := f.api(o).Delete(ctx, o.GetName(), metav1.DeleteOptions{}); err != nil {
			return err
		}
		want := wanted{}
		want.deployment(o.GetName())
		err := b.floor(ctx, s, byObjects, objectRestored, want, func(ctx context.Context) error {
			return f.create(ctx, []*unstructured.Unstructured{o})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hooks measures the hook commands alone.
func (b *bench) hooks(ctx context.Context, run int) error {
	work, err := newWorkload(b.cfg.tmp, fmt.Sprintf("bench-hooks-%d", run), "hooks-first", b.modules)
	if err != nil {
		return err
	}
	defer work.remove()
	f := &hookFloor{work: work, dir: work.sub("hooks")}
	if err := f.prepare(); err != nil {
		return err
	}
	all := b.modules.Modules
	for _, m := range []struct {
		what     measure
		commands []command
	}{
		{firstConverge, f.commands(0, all, true, true)},
		{noopRestart, f.commands(0, all, true, true)},
		{factChanged, f.commands(0, all, false, true)},
		{moduleEdited, f.commands(editedModule, editedModule+1, false, false)},
	} {
		began := time.Now()
		if err := f.run(ctx, m.commands); err != nil {
			return err
		}
		b.sheet.took(m.what, byHooks, time.Since(began))
	}
	return nil
}

// oneByOne runs each module's hook and installs its chart before it turns to the
// next module.
func (b *bench) oneByOne(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "one", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	hooks := &hookFloor{work: s.work, dir: s.work.sub("hooks")}
	if err := hooks.prepare(); err != nil {
		return err
	}
	charts := &helmFloor{work: s.work, cluster: b.cluster, parallel: 1}
	spent := map[contender]time.Duration{}
	clock := func(who contender, do func() error) error {
		began := time.Now()
		err := do()
		spent[who] += time.Since(began)
		return err
	}
	serially := func(commands []command) error {
		return clock(byHooks, func() error {
			for _, c := range commands {
				if err := hooks.call(ctx, c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := serially(hooks.commands(0, 0, true, true)); err != nil {
		return err
	}
	if err := clock(byHelm, charts.open); err != nil {
		return err
	}
	for i := range b.modules.Modules {
		if err := serially(hooks.commands(i, i+1, true, false)); err != nil {
			return err
		}
		if err := clock(byHelm, func() error { return charts.install(ctx, i) }); err != nil {
			return err
		}
	}
	for who, took := range spent {
		b.sheet.took(firstConverge, who, took)
	}
	return b.cluster.settled(ctx, s.work.namespace)
}

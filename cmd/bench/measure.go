package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// bench measures one set of modules on one cluster.
type bench struct {
	cfg     config
	cluster *cluster
	modules testkit.Synthetic
	sheet   sheet
}

// series is one contender's measurements of one run.
type series func(ctx context.Context, run int) error

// measureModules makes the table of n modules of equal weight.
func measureModules(ctx context.Context, cfg config, n int) (table, error) {
	b := &bench{cfg: cfg, modules: testkit.Synthetic{Modules: n, Replicas: 1}, sheet: sheet{}}
	if err := b.runs(ctx, fmt.Sprintf("%d modules", n), b.operator, b.helm, b.objects, b.hooks); err != nil {
		return table{}, err
	}
	return b.sheet.modules(n, cfg.idle), nil
}

// measureDistinct makes the table of modules that the operator takes one after the
// other, beside the same work done one by one.
func measureDistinct(ctx context.Context, cfg config) (table, error) {
	b := &bench{cfg: cfg, modules: testkit.Synthetic{Modules: cfg.distinct, Replicas: 1, DistinctWeights: true}, sheet: sheet{}}
	if err := b.runs(ctx, fmt.Sprintf("%d distinct weights", cfg.distinct), b.firstConverge, b.oneByOne); err != nil {
		return table{}, err
	}
	return b.sheet.distinct(cfg.distinct), nil
}

// runs repeats all series on a fresh cluster; every other run goes backwards, so
// that none always comes first.
func (b *bench) runs(ctx context.Context, title string, all ...series) error {
	c, err := startCluster(ctx)
	if err != nil {
		return err
	}
	defer c.Stop()
	b.cluster = c
	for run := range b.cfg.runs {
		fmt.Fprintf(b.cfg.progress, "%s: run %d of %d\n", title, run+1, b.cfg.runs)
		order := slices.Clone(all)
		if run%2 == 1 {
			slices.Reverse(order)
		}
		for _, s := range order {
			if err := s(ctx, run); err != nil {
				return err
			}
		}
	}
	return nil
}

// scene is what one series works with: its own namespace, directory and observer.
type scene struct {
	work workload
	seen *observer
	c    *cluster
}

func (b *bench) scene(ctx context.Context, who string, run int) (*scene, error) {
	work, err := newWorkload(b.cfg.tmp, fmt.Sprintf("bench-%s-%d", who, run), fmt.Sprintf("%s-%d-first", who, run), b.modules)
	if err != nil {
		return nil, err
	}
	if err := b.cluster.namespace(ctx, work.namespace); err != nil {
		work.remove()
		return nil, err
	}
	seen, err := observe(ctx, b.cluster, work.namespace)
	if err != nil {
		work.remove()
		return nil, err
	}
	return &scene{work: work, seen: seen, c: b.cluster}, nil
}

// close ends the scene; the directory stays when there is something to look into.
func (s *scene) close(ctx context.Context, failure error) error {
	s.seen.close()
	if ctx.Err() != nil {
		s.work.remove()
	}
	if failure != nil {
		return failure
	}
	s.work.remove()
	return s.c.clear(ctx, s.work.namespace)
}

// change is the new fact of the scene.
func (s *scene) changeFact() { s.work.fact += "-changed" }

func (s *scene) changeNote(i int) { s.work.notes[i] = "edited" }

// timed runs do, and answers how long it took until everything wanted was seen.
func (s *scene) timed(ctx context.Context, w wanted, do func(context.Context) error) (time.Duration, error) {
	s.seen.expect(w)
	began := time.Now()
	if err := do(ctx); err != nil {
		return 0, err
	}
	at, err := s.seen.wait(ctx, nil)
	return at.Sub(began), err
}

// watched is timed for the operator: do is the edit, and the clock starts with the
// API server's answer to it.
func (s *scene) watched(ctx context.Context, o *operator, w wanted, edit func(context.Context) error) (time.Duration, error) {
	s.seen.expect(w)
	if err := edit(ctx); err != nil {
		return 0, err
	}
	answered := time.Now()
	at, err := s.seen.wait(ctx, o.died)
	if err != nil {
		return 0, fmt.Errorf("%w; the operator's log: %s", err, o.log)
	}
	return max(0, at.Sub(answered)), nil
}

// Which module is edited, and which one loses its Deployment.
const editedModule, restoredModule = 0, 1

// operator measures everything that a table of modules shows of the operator.
func (b *bench) operator(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "operator", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	o, err := b.converged(ctx, s, run)
	if err != nil {
		return err
	}
	defer o.stop()
	for _, step := range []func(context.Context, *scene, *operator) error{b.idle, b.factChanged, b.moduleEdited, b.objectRestored, b.peak} {
		if err := step(ctx, s, o); err != nil {
			return err
		}
		if err := b.calm(ctx, s, o); err != nil {
			return err
		}
	}
	o.stop()
	return b.restart(ctx, s)
}

// firstConverge measures that alone.
func (b *bench) firstConverge(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "operator", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	o, err := b.converged(ctx, s, run)
	if err != nil {
		return err
	}
	o.stop()
	return nil
}

// converged starts an operator and measures its first converge.
func (b *bench) converged(ctx context.Context, s *scene, run int) (*operator, error) {
	if err := b.cluster.fact(ctx, s.work.fact); err != nil {
		return nil, err
	}
	if err := b.cluster.configMap(ctx, s.work.namespace, settingsName, nil); err != nil {
		return nil, err
	}
	s.seen.expect(s.work.everything())
	o, err := startOperator(b.place(s))
	if err != nil {
		return nil, err
	}
	profiled := b.profiled(ctx, o, run, "first-cpu")
	at, err := s.seen.wait(ctx, o.died)
	if err == nil {
		b.sheet.took(firstConverge, byOperator, at.Sub(o.started))
		_, err = o.ready(ctx)
	}
	if err == nil {
		err = errors.Join(b.spent(o, firstConverge), b.calm(ctx, s, o), <-profiled)
	}
	if err != nil {
		o.stop()
		return nil, fmt.Errorf("first converge: %w; the operator's log: %s", err, o.log)
	}
	return o, nil
}

func (b *bench) place(s *scene) place {
	return place{binary: b.cfg.operator, kubeconfig: b.cluster.Kubeconfig, dir: s.work.dir, namespace: s.work.namespace}
}

// profiled takes a CPU profile of the first run from now on, if profiles are
// wanted; the answer comes when it is written. More modules take more seconds.
func (b *bench) profiled(ctx context.Context, o *operator, run int, name string) <-chan error {
	done := make(chan error, 1)
	if b.cfg.profile == "" || run > 0 {
		done <- nil
		return done
	}
	seconds := 4 + b.modules.Modules/10
	go func() { done <- o.profile(ctx, b.profileFile(name), fmt.Sprintf("profile?seconds=%d", seconds)) }()
	return done
}

// spent tells the CPU time so far, which says more than the clock on a busy machine.
func (b *bench) spent(o *operator, what measure) error {
	self, hooks, err := o.cpu()
	if err != nil {
		return err
	}
	const ticks = 100 // a second
	fmt.Fprintf(b.cfg.progress, "  %s: CPU time of the operator %.2f s, of its hooks %.2f s\n", what, float64(self)/ticks, float64(hooks)/ticks)
	return nil
}

func (b *bench) profileFile(name string) string {
	return filepath.Join(b.cfg.profile, fmt.Sprintf("%d-%s.pprof", b.modules.Modules, name))
}

// calm returns when neither the operator nor the cluster have anything to do.
func (b *bench) calm(ctx context.Context, s *scene, o *operator) error {
	return errors.Join(b.cluster.settled(ctx, s.work.namespace), o.quiet(ctx))
}

func (b *bench) idle(ctx context.Context, _ *scene, o *operator) error {
	if len(b.sheet[idleMemory]) > 0 {
		return nil // once a table: it takes its time
	}
	if err := o.pause(ctx, b.cfg.idle); err != nil {
		return err
	}
	mb, err := o.memory("VmRSS")
	if err != nil {
		return err
	}
	b.sheet.add(idleMemory, byOperator, mb)
	if b.cfg.profile == "" {
		return nil
	}
	return o.profile(ctx, b.profileFile("idle-heap"), "heap")
}

func (b *bench) factChanged(ctx context.Context, s *scene, o *operator) error {
	s.changeFact()
	profiled := b.profiled(ctx, o, len(b.sheet[factChanged][byOperator]), "fact-cpu")
	took, err := s.watched(ctx, o, s.work.shown(), func(ctx context.Context) error { return b.cluster.fact(ctx, s.work.fact) })
	if err != nil {
		return fmt.Errorf("fact changed: %w", err)
	}
	b.sheet.took(factChanged, byOperator, took)
	return <-profiled
}

func (b *bench) moduleEdited(ctx context.Context, s *scene, o *operator) error {
	s.changeNote(editedModule)
	took, err := s.watched(ctx, o, s.work.edited(editedModule), func(ctx context.Context) error {
		return b.cluster.configMap(ctx, s.work.namespace, settingsName,
			map[string]string{s.work.modules.Name(editedModule): "note: " + s.work.note(editedModule) + "\n"})
	})
	if err != nil {
		return fmt.Errorf("module edited: %w", err)
	}
	b.sheet.took(moduleEdited, byOperator, took)
	return nil
}

func (b *bench) objectRestored(ctx context.Context, s *scene, o *operator) error {
	name := s.work.modules.Name(restoredModule)
	want := wanted{}
	want.deployment(name)
	took, err := s.watched(ctx, o, want, func(ctx context.Context) error {
		background := metav1.DeletePropagationBackground
		return b.cluster.typed.AppsV1().Deployments(s.work.namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &background})
	})
	if err != nil {
		return fmt.Errorf("deleted object: %w", err)
	}
	b.sheet.took(objectRestored, byOperator, took)
	return nil
}

func (b *bench) peak(_ context.Context, _ *scene, o *operator) error {
	mb, err := o.memory("VmHWM")
	if err != nil {
		return err
	}
	b.sheet.add(peakMemory, byOperator, mb)
	return nil
}

// restart measures a start with nothing to do, until /readyz says 200. Any
// release record that is new or changed is a failure.
func (b *bench) restart(ctx context.Context, s *scene) error {
	before, err := b.cluster.revisions(ctx, s.work.namespace)
	if err != nil {
		return err
	}
	o, err := startOperator(b.place(s))
	if err != nil {
		return err
	}
	defer o.stop()
	profiled := b.profiled(ctx, o, len(b.sheet[noopRestart][byOperator]), "restart-cpu")
	at, err := o.ready(ctx)
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	b.sheet.took(noopRestart, byOperator, at.Sub(o.started))
	if err := errors.Join(b.spent(o, noopRestart), b.calm(ctx, s, o), <-profiled); err != nil {
		return err
	}
	after, err := b.cluster.revisions(ctx, s.work.namespace)
	if err != nil {
		return err
	}
	if len(before) < b.modules.Modules || !maps.Equal(before, after) {
		return fmt.Errorf("restart: release records changed though nothing else did: %d before, %d after; the operator's log: %s",
			len(before), len(after), o.log)
	}
	return nil
}

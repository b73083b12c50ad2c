package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// The rows of a curve. CPU time, unlike the clock, hardly depends on what else the machine does.
const (
	// curveFirst is from exec until all is installed and the operator is at rest.
	curveFirst measure = "first converge"
	// curvePass, of the second process, is a new global value that no chart shows: every module's hook runs, every
	// chart is rendered, and nothing is applied.
	curvePass measure = "every module's pass, nothing to apply"
	// curveRestart is from exec of a second process until it is at rest: hooks run, nothing is rendered.
	curveRestart measure = "restart, nothing to do"
	// curveMemory is VmRSS at rest.
	curveMemory measure = "idle memory"
)

// mostGrowth is how much more the last point of a curve may cost per module than the first.
const mostGrowth = 1.2

// point is what was measured of one number of modules, in CPU seconds of the
// operator, CPU seconds of its hooks, and MB.
type point struct {
	modules     int
	self, hooks map[measure][]float64
	memory      []float64
}

// curve measures one number of modules.
type curve struct {
	*bench
	point point
}

// measureCurve makes the table of what a module costs as their number grows.
func measureCurve(ctx context.Context, cfg config) (table, error) {
	var points []point
	for _, n := range cfg.curve {
		b := &bench{cfg: cfg, modules: testkit.Synthetic{Modules: n}, sheet: sheet{}}
		c := &curve{bench: b, point: point{modules: n, self: map[measure][]float64{}, hooks: map[measure][]float64{}}}
		if err := b.runs(ctx, fmt.Sprintf("curve, %d modules", n), c.run); err != nil {
			return table{}, fmt.Errorf("%d modules: %w", n, err)
		}
		points = append(points, c.point)
	}
	return curveTable(points, cfg.idle), nil
}

// run measures once.
func (c *curve) run(ctx context.Context, run int) (err error) {
	s, err := c.scene(ctx, "curve", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	o, err := c.converged(ctx, s, run)
	if err != nil {
		return err
	}
	err = errors.Join(c.first(o), c.resting(ctx, o))
	o.stop()
	if err != nil {
		return err
	}
	if o, err = c.again(ctx, s); err != nil {
		return err
	}
	defer o.stop()
	return c.pass(ctx, s, o)
}

// took notes the CPU time since before.
func (c *curve) took(what measure, o *operator, self, hooks int64) error {
	nowSelf, nowHooks, err := o.cpu()
	if err != nil {
		return err
	}
	const ticks = 100 // a second
	took, tookHooks := float64(nowSelf-self)/ticks, float64(nowHooks-hooks)/ticks
	fmt.Fprintf(c.cfg.progress, "  %s: %.2f s of CPU time, hooks %.2f s\n", what, took, tookHooks)
	c.point.self[what] = append(c.point.self[what], took)
	c.point.hooks[what] = append(c.point.hooks[what], tookHooks)
	return nil
}

func (c *curve) first(o *operator) error { return c.took(curveFirst, o, 0, 0) }

func (c *curve) resting(ctx context.Context, o *operator) error {
	if len(c.point.memory) > 0 {
		return nil // once: it takes its time
	}
	if err := o.pause(ctx, c.cfg.idle); err != nil {
		return err
	}
	mb, err := o.memory("VmRSS")
	if err != nil {
		return err
	}
	fmt.Fprintf(c.cfg.progress, "  %s: %.0f MB\n", curveMemory, mb)
	c.point.memory = append(c.point.memory, mb)
	if c.cfg.profile == "" {
		return nil
	}
	return o.profile(ctx, c.profileFile("curve-heap"), "heap")
}

// pass changes a global value that no chart shows, and fails unless every module
// looked at it and no release moved.
func (c *curve) pass(ctx context.Context, s *scene, o *operator) error {
	releases, err := c.cluster.revisions(ctx, s.work.namespace)
	if err != nil {
		return err
	}
	self, hooks, err := o.cpu()
	if err != nil {
		return err
	}
	profiled := c.profiled(ctx, o, len(c.point.self[curvePass]), "curve-pass-cpu")
	err = c.cluster.configMap(ctx, s.work.namespace, settingsName, map[string]string{"global": "shownNowhere: 1\n"})
	if err != nil {
		return err
	}
	if err := c.cluster.passed(ctx, c.modules.Modules); err != nil {
		return fmt.Errorf("%w; the operator's log: %s", err, o.log)
	}
	if err := errors.Join(o.quiet(ctx), <-profiled); err != nil {
		return err
	}
	if err := c.took(curvePass, o, self, hooks); err != nil {
		return err
	}
	return c.unmoved(ctx, s, o, releases)
}

// again starts a second process, which finds nothing to do.
func (c *curve) again(ctx context.Context, s *scene) (*operator, error) {
	releases, err := c.cluster.revisions(ctx, s.work.namespace)
	if err != nil {
		return nil, err
	}
	o, err := startOperator(c.place(s))
	if err != nil {
		return nil, err
	}
	profiled := c.profiled(ctx, o, len(c.point.self[curveRestart]), "curve-restart-cpu")
	if _, err = o.readyWithin(ctx, time.Second); err == nil {
		err = errors.Join(o.quiet(ctx), <-profiled)
	}
	if err == nil {
		err = errors.Join(c.took(curveRestart, o, 0, 0), c.unmoved(ctx, s, o, releases))
	}
	if err != nil {
		o.stop()
		return nil, fmt.Errorf("restart: %w", err)
	}
	return o, nil
}

// unmoved fails when a release record is new or changed.
func (c *curve) unmoved(ctx context.Context, s *scene, o *operator, before map[string]string) error {
	after, err := c.cluster.revisions(ctx, s.work.namespace)
	if err != nil {
		return err
	}
	if len(before) < c.modules.Modules || !maps.Equal(before, after) {
		return fmt.Errorf("release records changed though nothing else did: %d before, %d after; the operator's log: %s",
			len(before), len(after), o.log)
	}
	return nil
}

// moduleResource is the operator's own.
var moduleResource = schema.GroupVersionResource{Group: "addon-operator.io", Version: "v1alpha1", Resource: "modules"}

// passed returns when all n modules show the second revision of the global values or a later one.
func (c *cluster) passed(ctx context.Context, n int) error {
	return c.until(ctx, "every module to see the new global value", func(ctx context.Context) (bool, error) {
		list, err := c.dynamic.Resource(moduleResource).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err
		}
		seen := 0
		for _, m := range list.Items {
			if revision, _, _ := unstructured.NestedInt64(m.Object, "status", "globalRevision"); revision > 1 {
				seen++
			}
		}
		return seen >= n, nil
	})
}

// perModule is the CPU time in milliseconds: the least of all runs, for others on the
// machine make the same work take more of it, and nothing makes it take less.
func (p point) perModule(of map[measure][]float64, what measure) float64 {
	if len(of[what]) == 0 {
		return 0
	}
	return slices.Min(of[what]) * 1000 / float64(p.modules)
}

// curveTable has a column per point, and how the last compares with the first.
func curveTable(points []point, idle time.Duration) table {
	heading := []string{"per module"}
	for _, p := range points {
		heading = append(heading, strconv.Itoa(p.modules))
	}
	t := table{
		title: fmt.Sprintf("Modules of 1 Deployment with 0 replicas, %d ConfigMaps and one bash hook; least CPU time of all runs; idle is %s after convergence", configMaps, idle),
		plain: [][]string{append(heading, "last / first", "target")},
	}
	first, last := points[0], points[len(points)-1]
	for _, what := range []measure{curveFirst, curvePass, curveRestart} {
		self, hooks := []string{string(what) + ": CPU of the operator"}, []string{string(what) + ": CPU of its hooks"}
		for _, p := range points {
			self = append(self, fmt.Sprintf("%.1f ms", p.perModule(p.self, what)))
			hooks = append(hooks, fmt.Sprintf("%.1f ms", p.perModule(p.hooks, what)))
		}
		growth := last.perModule(last.self, what) / first.perModule(first.self, what)
		verdict := fmt.Sprintf("≤ %g ok", mostGrowth)
		if growth > mostGrowth {
			verdict, t.missed = fmt.Sprintf("≤ %g over", mostGrowth), true
		}
		t.plain = append(t.plain, append(self, fmt.Sprintf("%.2f", growth), verdict))
		t.plain = append(t.plain, append(hooks, fmt.Sprintf("%.2f", last.perModule(last.hooks, what)/first.perModule(first.hooks, what)), ""))
	}
	memory := []string{"idle memory, all modules"}
	for _, p := range points {
		memory = append(memory, fmt.Sprintf("%.0f MB", median(p.memory)))
	}
	more := slices.Concat(memory, []string{fmt.Sprintf("%.0f KB for each more", slope(first, last)), ""})
	t.plain = append(t.plain, more)
	return t
}

// slope is the memory of one more module between two points in KB of 10^3 bytes.
func slope(a, b point) float64 {
	if a.modules == b.modules {
		return 0
	}
	return (median(b.memory) - median(a.memory)) * 1000 / float64(b.modules-a.modules)
}

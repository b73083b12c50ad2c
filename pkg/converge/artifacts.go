package converge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// attempts is what came of attempts with one version of a module's files.
type attempts struct {
	succeeded bool
	failures  int // in a row
}

// failuresThatCount is how many failures in a row say that it is the version's fault.
const failuresThatCount = 3

func (a *attempts) note(err error) {
	var w *waiting
	switch {
	case err == nil:
		a.succeeded, a.failures = true, 0
	case errors.As(err, &w), unreachable(err):
	default:
		a.failures++
	}
}

// Running says what a module does with the version in force; "global" are the global hooks.
func (l *Loop) Running(name string) source.Running {
	if name == hook.Global.Section() {
		return l.globalRunning()
	}
	st := l.state(name)
	if st == nil {
		return source.Running{}
	}
	d, settled := st.desc(), st.next.Load() == nil && !l.ledger.dirty(name)
	st.mu.Lock()
	defer st.mu.Unlock()
	undecided := !st.decided && st.decision.By == "" && st.decision.Why == ""
	return source.Running{Known: true, On: st.decision.On || undecided, Installed: st.release.Exists(), Artifact: d.Origin.Artifact, Version: d.Version,
		Applied: settled && st.attempts.succeeded, Failed: st.next.Load() == nil && st.attempts.failures >= failuresThatCount,
		Settled: settled, Ready: st.ready, Reason: st.reason, Message: st.why}
}

func (l *Loop) globalRunning() source.Running {
	set := l.Modules()
	l.trouble.mu.Lock()
	defer l.trouble.mu.Unlock()
	pending := l.rehook.Load()
	done := !pending && l.trouble.attempts.succeeded
	return source.Running{Known: true, On: true, Installed: true, Artifact: set.GlobalOrigin.Artifact, Applied: done, Settled: done,
		Failed: !pending && l.trouble.attempts.failures >= failuresThatCount, Ready: done && l.trouble.err == "", Message: l.trouble.err}
}

// Hold sets or, with nil, ends the hold of a module's section.
func (l *Loop) Hold(name string, h *source.Hold) {
	l.configured.mu.Lock()
	if l.configured.holds == nil {
		l.configured.holds = map[string]source.Hold{}
	}
	key := values.Key(name)
	if h == nil {
		delete(l.configured.holds, key)
	} else {
		l.configured.holds[key] = *h
	}
	l.configured.mu.Unlock()
	if st := l.state(name); st != nil {
		l.judgeAnew(st)
	}
}

// section is what is in force of the ConfigMap's section; the lock of configured is held.
func (c *configured) section(key string, s settings.Settings) values.Map {
	if h, held := c.holds[key]; held && settings.LayerDigest(s.Sections[key]) == h.While {
		return h.Layer
	}
	return s.Sections[key]
}

// Peer is a module as requirements of a version see it.
func (l *Loop) Peer(name string) channel.Peer {
	o := l.other(name)
	return channel.Peer{Exists: o.Exists, On: o.On, Ready: o.Ready, Version: o.Version, Why: o.Why}
}

// Show reports a module again.
func (l *Loop) Show(name string) {
	if l.state(name) != nil {
		l.keys.add(name, becauseHealth)
	}
}

// Fact reports whether a dotted path exists in the published global values, "global" first.
func (l *Loop) Fact(path string) bool {
	g := l.published.Load()
	keys := strings.Split(path, ".")
	if g == nil || len(keys) < 2 || keys[0] != hook.Global.Section() {
		return false
	}
	v, ok := g.Global.Get(keys[1:]...)
	return ok && v != nil
}

// Preflight tries a version of a module out without effect: the user's values against its
// schemas, its CRDs, its chart, and a dry run of every object. An error is what stands
// against it; source.ErrUnknown that it
// cannot be known yet.
//
// Hooks are not run. Where those of the version are others than those that run now, values they
// may set can be missing, and a chart that cannot be rendered is not held against it.
func (l *Loop) Preflight(ctx context.Context, d *module.Descriptor) error {
	g := l.published.Load()
	if g == nil {
		return fmt.Errorf("%w: %w", source.ErrUnknown, ErrUndecided)
	}
	err := l.preflight(ctx, d, g)
	if err != nil && passing(err) {
		return fmt.Errorf("%w: %w", source.ErrUnknown, err)
	}
	return err
}

// passing: an error of the API server, or of the way there, that may be another at the next try.
func passing(err error) bool {
	return unreachable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || apierrors.IsConflict(err)
}

func (l *Loop) preflight(ctx context.Context, d *module.Descriptor, g *Published) error {
	scratch := l.store.Scratch()
	if err := scratch.Extend(&module.Set{Modules: []*module.Descriptor{d}}); err != nil {
		return fmt.Errorf("static values: %w", err)
	}
	if _, err := scratch.Replace(d); err != nil {
		return fmt.Errorf("static values: %w", err)
	}
	l.configured.mu.Lock()
	section, revision := l.configured.section(d.Key, l.configured.now), l.configured.now.Revision
	l.configured.mu.Unlock()
	owner := hook.Owner{Module: d.Name}
	if _, err := scratch.SetConfig(owner, section, revision); err != nil {
		return fmt.Errorf("the section %s of the ConfigMap does not fit its schema: %w", d.Key, err)
	}
	if err := l.cfg.Ports.Cluster.CheckCRDs(ctx, d, l.cfg.CRDLabels); err != nil {
		return err
	}
	if !d.HasChart {
		return nil
	}
	trusted := d.HooksDir == ""
	if st := l.state(d.Name); st != nil && st.installedRelease().Exists() {
		trusted = trusted || st.desc().HooksDigest == d.HooksDigest
	}
	err := l.tryRender(ctx, d, eyes{l, scratch, (*moduleState).on}, g)
	if err != nil && !trusted && !isRefused(err) {
		l.log.Info("the preflight of a module cannot say whether its chart renders, for its hooks have not run", "module", d.Name, "version", d.Version, "error", err)
		return nil
	}
	return err
}

// refused is an error of the API server about an object, not of the chart.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func isRefused(err error) bool {
	var r refused
	return errors.As(err, &r)
}

func (l *Loop) tryRender(ctx context.Context, d *module.Descriptor, e eyes, g *Published) error {
	section := e.store.Section(hook.Owner{Module: d.Name})
	if err := section.CheckHelm(); err != nil {
		return err
	}
	vals, err := e.valuesOf(d, section.Values, g)
	if err != nil {
		return err
	}
	if err := l.renders.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.renders.Release(1)
	req := installed.Request{Module: d, Namespace: l.namespace(d), Values: vals}
	rendered, err := l.cfg.Ports.Installer.Render(ctx, req)
	if err != nil {
		return err
	}
	if err := l.cfg.Ports.Installer.Preflight(ctx, req, rendered); err != nil {
		return refused{err}
	}
	return nil
}

package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// check is the outcome of a preflight.
type check struct {
	values string // digest of the user's section that it was made with
	err    string
	again  time.Time // when the next is held, if this one was none
}

// look is one look at a module's pods.
type look struct {
	digest string // of the artifact that runs
	source.Pods
	next time.Time
}

// podsLook is the time between two looks at pods while a version is verified; a tenth of its timeout if that is less.
const podsLook = 20 * time.Second

// preflightRetry is the time between two preflights of which the first could not be held.
const preflightRetry = 5 * time.Second

// stepAll takes every module that channels are about as far as it can go now.
func (e *Engine) stepAll(ctx context.Context, now time.Time) (wake time.Time) {
	if e.loop == nil || !e.informed {
		return wake
	}
	offers := e.offers()
	for _, name := range e.names(offers) {
		// A step may open the way for the next one; it ends when it changes nothing.
		for range stepsAtOnce {
			again, next := e.step(ctx, name, offers, now)
			if !again {
				wake = earlier(wake, next)
				break
			}
		}
	}
	return wake
}

// stepsAtOnce bounds the transitions of one module in one round.
const stepsAtOnce = 8

// names are the modules that channels are about, "global" first: its hooks come before the
// modules of the same document.
func (e *Engine) names(offers []channel.Offer) []string {
	set := map[string]bool{}
	for name := range e.tracks {
		set[name] = true
	}
	for key, c := range e.settings.Choices {
		if c != (source.Choice{}) {
			set[nameOf(key)] = true
		}
	}
	for _, o := range offers {
		for _, d := range o.Documents {
			for name := range d.Modules {
				if !e.onDisk(name) && o.Names(name) {
					set[name] = true
				}
			}
			if d.Global != nil && o.Names(artifact.GlobalName) {
				set[artifact.GlobalName] = true
			}
		}
	}
	delete(set, artifact.GlobalName)
	out := slices.Sorted(maps.Keys(set))
	return append([]string{artifact.GlobalName}, out...)
}

// nameOf is the module of a section key; that of the global section is "global".
func nameOf(key string) string {
	if key == artifact.GlobalName {
		return key
	}
	return values.Name(key)
}

func keyOf(name string) string {
	if name == artifact.GlobalName {
		return name
	}
	return values.Key(name)
}

func (e *Engine) onDisk(name string) bool {
	return name == artifact.GlobalName && e.embedded.GlobalHooksDigest != "" || e.embedded.Get(name) != nil || e.embedded.Broken[name] != nil
}

func (e *Engine) embeddedVersion(name string) string {
	if d := e.embedded.Get(name); d != nil {
		return d.Version
	}
	return ""
}

// step asks for one step of a module and performs it. It reports whether something moved.
func (e *Engine) step(ctx context.Context, name string, offers []channel.Offer, now time.Time) (again bool, wake time.Time) {
	before := e.tracks[name]
	run := e.loop.Running(name)
	subject := e.subject(name, run, offers)
	target := channel.Choose(subject)
	e.tellNowhere(name, before, target)
	if e.unmanaged(name, before, target) {
		return false, wake
	}
	if !e.settings.Exists && before.Current == nil {
		return false, wake // what the user wants is not known
	}
	if subject.First && subject.Choice.Source == "" && e.unasked(name, offers) {
		return false, wake // another source may bring it too
	}
	s := e.situation(name, before, run, subject, target, now)
	step := channel.Next(s)
	if c := step.Track.Current; c != nil {
		if from, ok := e.source(c.Source); ok {
			step.Track.Account = from.ServiceAccountName
		}
	}
	moved := !reflect.DeepEqual(before, step.Track)
	if moved {
		e.tracks[name] = step.Track
		e.keepLayer(name, before, step.Track)
	}
	e.perform(ctx, step, s)
	e.tellFetch(before.Next, step.Track.Next)
	e.tellOrigin(name, step, target)
	wake = step.Wake
	if n := step.Track.Next; n != nil {
		wake = earlier(wake, e.checks[n.Name()].again)
	}
	return moved, wake
}

// tellNowhere says why a module that the user chooses is nowhere to be had: it has no resource that could.
func (e *Engine) tellNowhere(name string, t source.Track, target channel.Target) {
	chosen := e.settings.Choices[keyOf(name)] != (source.Choice{}) || target.Reason == channel.ReasonAmbiguousSource
	if !chosen || t.Current != nil || t.Next != nil || target.Reason == "" || e.onDisk(name) {
		target.Message = ""
	}
	e.once("nowhere "+name, target.Message, func() {
		if target.Message != "" {
			e.log.Warn("a module that the ConfigMap chooses cannot be had", "module", name, "reason", target.Reason, "message", target.Message)
			e.cfg.Ports.Reporter.Event("", true, target.Reason, target.Message)
		}
	})
}

// unasked: a source that may bring the module was not asked yet, so that nobody can say whether it is the only one.
func (e *Engine) unasked(name string, offers []channel.Offer) bool {
	for _, o := range offers {
		f := e.follows[feed{o.Source.Name, cmp.Or(e.settings.Choices[keyOf(name)].Channel, o.Source.Channel)}]
		if o.Names(name) && o.Source.URL != "" && !o.Source.Suspend && f != nil && f.reason == reasonPending {
			return true
		}
	}
	return false
}

// unmanaged modules lie on disk and are not asked for from elsewhere, or nowhere at all.
func (e *Engine) unmanaged(name string, t source.Track, target channel.Target) bool {
	return t.Current == nil && t.Next == nil && (target.Embedded || target.Source == "" && target.Reason == channel.ReasonSourceMissing && e.settings.Choices[keyOf(name)] == (source.Choice{}))
}

func (e *Engine) subject(name string, run source.Running, offers []channel.Offer) channel.Subject {
	s := channel.Subject{Module: name, Choice: e.settings.Choices[keyOf(name)], OnDisk: e.onDisk(name), Embedded: e.embeddedVersion(name),
		First: !run.Installed, Track: e.tracks[name], Metas: e.metas(name), Offers: offers}
	if name == artifact.GlobalName {
		s.First = !s.OnDisk && s.Track.Current == nil
	}
	if run.Installed && run.Artifact == "" {
		s.Installed = run.Version
	}
	return s
}

// metas are those of a module's artifacts that were fetched, by manifest digest.
func (e *Engine) metas(name string) map[string]artifact.Meta {
	out := map[string]artifact.Meta{}
	for at, p := range e.placed {
		if at.module == name && p.err == "" {
			out[at.digest] = p.meta
		}
	}
	return out
}

func (e *Engine) situation(name string, t source.Track, run source.Running, subject channel.Subject, target channel.Target, now time.Time) channel.Situation {
	s := channel.Situation{
		Now: now, Up: e.up, Module: name, Track: t, Target: target, First: subject.First, Installed: subject.Installed,
		On: run.On || !run.Known, Metas: subject.Metas, Values: e.layerDigest(name), Orders: e.inputs.Orders,
		Run: channel.Observed{Digest: run.Artifact, Applied: run.Applied, Failed: run.Failed,
			Ready: run.Ready, Restarts: e.pods[name].Restarts, Reason: run.Reason, Message: e.cfg.Print(e.withTrouble(name, run))},
	}
	if run.Settled {
		s.Run.Values = s.Values
	}
	if t.Current != nil {
		if from, ok := e.source(t.Current.Source); ok {
			s.Policy = from.Update
		}
	}
	s.Delays = channel.Delays(subject, target, channel.Around{Now: now, UID: e.cfg.ClusterUID, Orders: e.inputs.Orders,
		Kubernetes: e.cfg.Kubernetes(), Operator: e.cfg.Operator, Fact: e.loop.Fact, Peer: e.peer})
	if d, held := e.afterGlobal(name, target); held {
		s.Delays = append(s.Delays, d)
	}
	if n := t.Next; n != nil {
		p := e.placed[keyFor(*n)]
		s.Fetched = n.Embedded() || p != nil && p.err == ""
		if p != nil {
			s.FetchError = p.err
		}
		if c, ok := e.checks[n.Name()]; ok && c.values == s.Values {
			s.Checked, s.PreflightError = c.again.IsZero(), c.err
		}
	}
	if p := t.Previous; p != nil {
		s.Fallback = e.available(name, *p)
	}
	return s
}

// peer is another module as requirements see it, also one that a source is about to bring.
func (e *Engine) peer(name string) channel.Peer {
	p, n := e.loop.Peer(name), e.tracks[name].Next
	if p.Exists || n == nil {
		return p
	}
	why := strings.TrimSuffix(fmt.Sprintf("its version %s is %s: %s", n.Version, n.Phase, n.Message), ": ")
	return channel.Peer{Exists: true, On: true, Version: n.Version, Why: why}
}

// afterGlobal: global hooks of a document are applied before its modules.
func (e *Engine) afterGlobal(name string, target channel.Target) (channel.Delay, bool) {
	g := e.tracks[artifact.GlobalName]
	under := func(r *source.Release, phases ...source.Phase) bool {
		return r != nil && r.Source == target.Source && r.Doc == target.Seq && slices.Contains(phases, r.Phase)
	}
	if name == artifact.GlobalName || target.Embedded ||
		!under(g.Next, source.Pending, source.Scheduled, source.Preflight) && !under(g.Current, source.Applying, source.Verifying) {
		return channel.Delay{}, false
	}
	return channel.Delay{Reason: channel.ReasonBlocked, Message: "the global hooks of the same document come first, and they are not Deployed yet"}, true
}

// available says that a release's files can be had without a registry.
func (e *Engine) available(name string, r source.Release) bool {
	if r.Embedded() {
		return e.onDisk(name) && e.embeddedVersion(name) == r.Version
	}
	p := e.placed[keyFor(r)]
	if p == nil {
		p = e.fromCache(r)
	}
	return p != nil && p.err == ""
}

// perform does what a step asks for. What is to be in force, place hands over.
func (e *Engine) perform(ctx context.Context, step channel.Step, s channel.Situation) {
	for _, t := range step.Events {
		e.tellMove(ctx, t, s)
	}
	switch step.Prepare {
	case channel.Fetch:
		e.pin() // before it comes in, so that it is not evicted again
		e.fetch(ctx, *step.Track.Next)
	case channel.TryOut:
		e.tryOut(ctx, s.Module, *step.Track.Next, s.Values)
	}
	if c := step.Track.Current; c != nil && (c.Phase == source.Verifying || c.Phase == source.Applying) {
		e.lookAtPods(ctx, s.Module, c.Digest, s.Policy)
	}
}

// tryOut runs a preflight beside the engine.
func (e *Engine) tryOut(ctx context.Context, name string, r source.Release, digest string) {
	p := e.placed[keyFor(r)]
	d := e.embedded.Get(name)
	if !r.Embedded() {
		if p == nil || p.err != "" {
			return
		}
		d = p.module
	}
	if name == artifact.GlobalName || d == nil { // global hooks are tried by running them
		e.checks[r.Name()] = check{values: digest}
		return
	}
	work := "preflight " + r.Name()
	if c := e.checks[r.Name()]; c.values == digest && c.again.After(e.cfg.Now()) {
		return
	}
	if !e.busy[work] {
		delete(e.checks, r.Name()) // the outcome of a try before
	}
	e.async(ctx, work, func(ctx context.Context) func() {
		err := e.loop.Preflight(ctx, d)
		return func() {
			if ctx.Err() != nil {
				return
			}
			c := check{values: digest}
			if err != nil {
				c.err = e.cfg.Print(err.Error()) // it is remembered where everybody may read it
			}
			if errors.Is(err, source.ErrUnknown) {
				c.again = e.cfg.Now().Add(preflightRetry)
			}
			e.checks[r.Name()] = c
		}
	})
}

// tellFetch tells of an artifact that cannot be had, once for each reason.
func (e *Engine) tellFetch(before, now *source.Release) {
	if now == nil || now.Reason != channel.ReasonFetchFailed || before != nil && before.Name() == now.Name() && before.Reason == now.Reason && before.Message == now.Message {
		return
	}
	e.log.Error("artifact cannot be had; what runs keeps running", "module", now.Module, "version", now.Version, "digest", now.Digest, "source", now.Source, "error", now.Message)
	name := now.Module
	if name == artifact.GlobalName {
		name = ""
	}
	e.cfg.Ports.Reporter.Event(name, true, channel.ReasonFetchFailed, fmt.Sprintf("version %s of channel %s (source %s): %s", now.Version, now.Channel, now.Source, now.Message))
}

// lookAtPods looks at a module's pods every now and then.
func (e *Engine) lookAtPods(ctx context.Context, name, digest string, p source.Policy) {
	now := e.cfg.Now()
	last := e.pods[name]
	if e.cfg.Ports.Pods == nil || name == artifact.GlobalName || last.digest == digest && now.Before(last.next) {
		return
	}
	e.async(ctx, "pods of "+name, func(ctx context.Context) func() {
		seen, err := e.cfg.Ports.Pods.Look(ctx, name)
		return func() {
			if err != nil {
				seen = last.Pods
			}
			every := podsLook
			if p.Timeout > 0 {
				every = max(min(every, p.Timeout/10), time.Second)
			}
			e.pods[name] = look{digest, seen, now.Add(every)}
		}
	})
}

// withTrouble is the message of a module that is not Ready, with what its pods show.
func (e *Engine) withTrouble(name string, run source.Running) string {
	seen := e.pods[name]
	if run.Ready || seen.Trouble == "" || seen.digest != run.Artifact {
		return run.Message
	}
	return run.Message + "; " + seen.Trouble
}

// tellMove tells of a transition.
func (e *Engine) tellMove(ctx context.Context, t channel.Transition, s channel.Situation) {
	r := t.Release
	e.cfg.Ports.Meter.Moved(r, t.From)
	what := fmt.Sprintf("version %s of channel %s (source %s)", r.Version, r.Channel, r.Source)
	if r.Embedded() {
		what = fmt.Sprintf("the embedded version %s", r.Version)
	}
	warning := r.Phase == source.Failed || r.Phase == source.RollingBack || r.Phase == source.RolledBack
	line := strings.TrimSuffix(what+" is "+string(r.Phase)+": "+r.Message, ": ")
	if warning {
		e.log.Error("release "+string(r.Phase), "module", r.Module, "version", r.Version, "digest", r.Digest, "reason", r.Reason, "error", r.Message)
	} else {
		e.log.Info("release "+string(r.Phase), "module", r.Module, "version", r.Version, "source", r.Source, "channel", r.Channel, "why", r.Message)
	}
	switch r.Phase {
	case source.Pending, source.Scheduled, source.Preflight, source.Verifying:
		return // seen in the ModuleRelease; an Event each would bury the others
	}
	module := r.Module
	if module == artifact.GlobalName {
		module = ""
	}
	e.cfg.Ports.Reporter.Event(module, warning, string(r.Phase), line)
	if r.Phase == source.RolledBack && s.Policy.RollbackWebhook != "" {
		e.async(ctx, "webhook "+r.Name(), func(ctx context.Context) func() {
			err := e.cfg.Ports.Reporter.RolledBack(ctx, s.Policy.RollbackWebhook, r)
			return func() {
				if err != nil {
					e.log.Error("the webhook was not told of a rollback", "module", r.Module, "error", err)
				}
			}
		})
	}
}

// layerDigest is that of the section that the user wrote for a module.
func (e *Engine) layerDigest(name string) string {
	return settings.LayerDigest(e.settings.Sections[keyOf(name)])
}

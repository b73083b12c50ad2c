package rollout

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Config is what an Engine works with.
type Config struct {
	// Embedded are the modules on disk, Settings the ConfigMap as it was read at start.
	Embedded *module.Set
	Settings settings.Settings
	// Memory is what the last process left.
	Memory source.Memory
	// ClusterUID is that of the namespace kube-system; it decides about waves.
	ClusterUID string
	// Kubernetes and Operator are versions, for what artifacts require; Kubernetes is asked each time.
	Kubernetes func() string
	Operator   string
	Ports      Ports
	// Print takes secret values out of text that is shown and remembered; default: as it is.
	Print func(string) string
	// Now is the clock; default time.Now.
	Now    func() time.Time
	Logger *slog.Logger
}

// Ports are the effects that an Engine is given.
type Ports struct {
	Registry Registry
	Loader   Loader
	Reporter Reporter
	Meter    Meter
	Pods     Pods
	// Touch says that the memory changed: it is to be written with the facts.
	Touch func()
}

// Registry fetches from sources and from the cache.
type Registry interface {
	// Channel asks with one HEAD whether a channel moved on from the manifest digest known, and fetches it if so.
	Channel(ctx context.Context, s source.Source, channel, known string) (Fetched, error)
	// CachedChannel is a channel as it was fetched before, by its manifest digest.
	CachedChannel(manifest string) (Fetched, error)
	// Artifact is a module by its manifest digest: from the cache, or else from the source.
	Artifact(ctx context.Context, s source.Source, module, digest string) (artifact.Artifact, error)
	// Cached is one from the cache.
	Cached(digest string) (artifact.Artifact, error)
	// Pin replaces the set of digests that are never evicted.
	Pin(digests []string)
	// Absent says of an error that there is no such thing, Untrue that it was not what was asked for.
	Absent(err error) bool
	Untrue(err error) bool
}

// Fetched is the answer of a poll.
type Fetched struct {
	Unchanged           bool
	Manifest            string
	Document, Signature []byte
}

// Loader turns artifacts into modules.
type Loader interface {
	// Module unpacks a module, reads it and parses its chart.
	Module(a artifact.Artifact, origin module.Origin) (*module.Descriptor, error)
	// Global unpacks global hooks and answers their directory.
	Global(a artifact.Artifact, digest string) (dir string, err error)
	// WithGlobal is a set with other global hooks.
	WithGlobal(set *module.Set, dir string, origin module.Origin) (*module.Set, error)
	// Drop removes the files of an artifact that nobody uses any more.
	Drop(digest string)
}

// Loop is the part of the converging loop that an Engine steers and observes.
type Loop interface {
	Replace(ctx context.Context, set *module.Set) error
	Running(name string) source.Running
	Preflight(ctx context.Context, d *module.Descriptor) error
	Hold(name string, h *source.Hold)
	Peer(name string) channel.Peer
	Fact(path string) bool
	// Show reports a module again.
	Show(name string)
}

// Pods looks at the pods of a module's workloads.
type Pods interface {
	Look(ctx context.Context, module string) (source.Pods, error)
}

// Reporter shows people what happens. Calls without a context return at once.
type Reporter interface {
	ReportSource(s source.Status)
	ReportRelease(r source.Release)
	// KeepReleases deletes the ModuleRelease resources that are not named.
	KeepReleases(ctx context.Context, names map[string]bool) error
	// Event tells of something that happened to a module, EventOnSource to a source.
	Event(module string, warning bool, reason, message string)
	EventOnSource(source string, warning bool, reason, message string)
	// RolledBack tells the webhook of a policy, once.
	RolledBack(ctx context.Context, url string, r source.Release) error
}

// Meter counts and measures.
type Meter interface {
	Polled(source, channel string, at time.Time, err error)
	Followed(source, channel string, d catalog.Document)
	Moved(r source.Release, from source.Phase)
	YankedRuns(module string, yes bool)
}

// Inputs are the resources that users write.
type Inputs struct {
	Sources []source.Source
	// Orders are by name of ModuleRelease.
	Orders map[string]source.Order
}

// Engine follows channels. Make it with New, give it a loop with Drive; Run blocks until ctx ends.
type Engine struct {
	cfg  Config
	log  *slog.Logger
	loop Loop

	inbox inbox
	done  chan func()
	work  sync.WaitGroup

	// The rest is Run's alone, after New.
	embedded   *module.Set
	settings   settings.Settings
	inputs     Inputs
	informed   bool // inputs came in
	follows    map[feed]*follow
	placed     map[artifactOf]*placed
	busy       map[string]bool
	lines      map[string]chan struct{} // of fetches, by source
	checks     map[string]check         // outcomes of preflights by release name and digest of values
	pods       map[string]look
	tracks     map[string]source.Track
	marks      map[string]source.Mark
	layers     map[string]values.Map // sections that modules were well with
	inForce    string                // what was handed to the loop last
	retryAt    time.Time             // of handing over
	up         time.Time
	pinned     string
	shown      map[string]any
	origins    sync.Map    // module > status.Origin, for others
	managing   atomic.Bool // there is a track
	remembered remembered
}

// inbox is what others tell the engine.
type inbox struct {
	mu       sync.Mutex
	wake     chan struct{}
	embedded *module.Set
	settings *settings.Settings
	inputs   *Inputs
}

// remembered is the memory as others may read it.
type remembered struct {
	mu     sync.Mutex
	memory source.Memory
}

// New makes an Engine that has done nothing yet but to restore from the cache what was in force.
func New(cfg Config) *Engine {
	if cfg.Print == nil {
		cfg.Print = func(text string) string { return text }
	}
	if cfg.Ports.Meter == nil {
		cfg.Ports.Meter = noMeter{}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &Engine{
		cfg: cfg, log: cfg.Logger, done: make(chan func()), embedded: cfg.Embedded, settings: cfg.Settings,
		follows: map[feed]*follow{}, placed: map[artifactOf]*placed{}, busy: map[string]bool{}, lines: map[string]chan struct{}{}, checks: map[string]check{}, pods: map[string]look{},
		tracks: map[string]source.Track{}, marks: map[string]source.Mark{}, layers: map[string]values.Map{}, shown: map[string]any{},
	}
	e.inbox.wake = make(chan struct{}, 1)
	e.recall(cfg.Memory)
	e.pin() // before the cache is used, and makes room
	e.restore()
	return e
}

// Drive gives the engine its loop, before Run.
func (e *Engine) Drive(l Loop) {
	e.loop = l
	for name, t := range e.tracks {
		if t.Held != "" {
			l.Hold(name, &source.Hold{While: t.Held, Layer: e.layers[name]})
		}
	}
}

// Embedded hands over a newer reading of the modules' directories.
func (e *Engine) Embedded(set *module.Set) { e.tell(func(i *inbox) { i.embedded = set }) }

// Settings hands over a newer reading of the ConfigMap.
func (e *Engine) Settings(s settings.Settings) { e.tell(func(i *inbox) { i.settings = &s }) }

// Inputs hands over what users wrote into ModuleSources and ModuleReleases.
func (e *Engine) Inputs(in Inputs) { e.tell(func(i *inbox) { i.inputs = &in }) }

// ModuleChanged says that the status of a module moved.
func (e *Engine) ModuleChanged() {
	if e.managing.Load() {
		e.tell(func(*inbox) {})
	}
}

func (e *Engine) tell(f func(*inbox)) {
	e.inbox.mu.Lock()
	f(&e.inbox)
	e.inbox.mu.Unlock()
	select {
	case e.inbox.wake <- struct{}{}:
	default:
	}
}

// take empties the inbox.
func (e *Engine) take() {
	e.inbox.mu.Lock()
	defer e.inbox.mu.Unlock()
	if e.inbox.embedded != nil {
		e.embedded, e.inForce = e.inbox.embedded, ""
	}
	if s := e.inbox.settings; s != nil && (s.Exists || !e.settings.Exists) {
		e.settings = *s
	}
	if e.inbox.inputs != nil {
		e.inputs, e.informed = *e.inbox.inputs, true
	}
	e.inbox.embedded, e.inbox.settings, e.inbox.inputs = nil, nil, nil
}

// Run follows channels until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer e.work.Wait()
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.inbox.wake:
			e.take()
		case f := <-e.done:
			f()
		case <-timer.C:
		}
		wake := e.settle(ctx)
		if !wake.IsZero() {
			timer.Reset(max(time.Until(wake), minimalRest))
		}
	}
}

// minimalRest keeps the engine from spinning when a wake-up time is in the past.
const minimalRest = 50 * time.Millisecond

// settle takes every source and module as far as they can go now, and answers when to look again.
func (e *Engine) settle(ctx context.Context) time.Time {
	now := e.cfg.Now()
	wake := e.poll(ctx, now)
	wake = earlier(wake, e.stepAll(ctx, now))
	e.managing.Store(len(e.tracks) > 0)
	e.remember() // before anything is put in force: Helm acts after this was written
	wake = earlier(wake, e.place(ctx, now))
	e.show(ctx, now)
	return wake
}

// async runs f beside the engine, one at a time for a key; what f answers runs in the engine.
func (e *Engine) async(ctx context.Context, key string, f func(ctx context.Context) func()) {
	if e.busy[key] {
		return
	}
	e.busy[key] = true
	e.work.Go(func() {
		then := e.recovered(ctx, key, f)
		select {
		case e.done <- func() { delete(e.busy, key); then() }:
		case <-ctx.Done():
		}
	})
}

// recovered turns a panic, such as one about files of strangers, into a line in the log.
func (e *Engine) recovered(ctx context.Context, key string, f func(ctx context.Context) func()) (then func()) {
	defer func() {
		if r := recover(); r != nil {
			e.log.Error("work for a channel panicked; this is a bug", "work", key, "panic", r, "stack", string(debug.Stack()))
			then = func() {}
		}
	}()
	return f(ctx)
}

// earlier is the earlier of two times, zero being never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// noMeter is for an Engine without metrics.
type noMeter struct{}

func (noMeter) Polled(string, string, time.Time, error)   {}
func (noMeter) Followed(string, string, catalog.Document) {}
func (noMeter) Moved(source.Release, source.Phase)        {}
func (noMeter) YankedRuns(string, bool)                   {}

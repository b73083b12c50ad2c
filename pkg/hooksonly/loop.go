package hooksonly

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
)

// Config is what a Loop works with.
type Config struct {
	// Dir is the folder of hooks.
	Dir string
	// Patience is how long one hook's attempt at its start holds up the next hook's; default 15 s.
	Patience time.Duration
	// ShutdownGrace is how long running hooks may go on at shutdown; default 20 s.
	ShutdownGrace time.Duration
	Ports         Ports
	Logger        *slog.Logger
}

// Ports are the effects that a Loop is given. Webhooks may be nil.
type Ports struct {
	Executables hookrun.Executables
	Watcher     hookrun.Watcher
	Scheduler   hookrun.Scheduler
	Webhooks    hookrun.Webhooks
	Objects     Objects
	Meter       Meter
}

// Objects performs object operations of hooks, in order; all are attempted and the errors joined (C-206).
type Objects interface {
	Execute(ctx context.Context, ops []hook.Operation) error
}

// Meter counts and measures.
type Meter interface {
	// Samples publishes metrics of a hook (C-220); an error names a sample that cannot be.
	Samples(id hook.ID, samples []hook.Sample) error
	HookRun(r hookrun.Run)
	// Compacted is told when tasks of a hook were brought together in a long lane (C-169).
	Compacted(lane string, id hook.ID)
	// QueueAction is told how long an action on a lane took (C-501).
	QueueAction(lane, action string, took time.Duration)
	// MonitorMissing is told of a snapshot asked of a binding that is not watched.
	MonitorMissing(binding string)
	// BindingsStarted is told of each attempt to start a hook's monitors (C-506).
	BindingsStarted(id hook.ID, took time.Duration, err error)
}

// Loop runs the hooks. Make it with New; Run blocks until it has ended.
type Loop struct {
	cfg      Config
	log      *slog.Logger
	hooks    *hookrun.Engine
	webhooks *gathering
	starts   sync.WaitGroup
	ready    atomic.Bool

	mu    sync.Mutex // guards the rest
	state map[string]*Status
	units []*hookrun.Unit
}

// New makes a Loop that has done nothing yet.
func New(cfg Config) *Loop {
	if cfg.Patience <= 0 {
		cfg.Patience = 15 * time.Second
	}
	if cfg.ShutdownGrace <= 0 {
		cfg.ShutdownGrace = 20 * time.Second
	}
	l := &Loop{cfg: cfg, log: cfg.Logger, state: map[string]*Status{}}
	engine := hookrun.Config{
		Executables: cfg.Ports.Executables, Watcher: cfg.Ports.Watcher, Scheduler: cfg.Ports.Scheduler,
		Host: host{l}, Ticks: func() bool { return true }, Compacted: cfg.Ports.Meter.Compacted, Acted: cfg.Ports.Meter.QueueAction, Missing: cfg.Ports.Meter.MonitorMissing, Logger: cfg.Logger,
	}
	if cfg.Ports.Webhooks != nil {
		l.webhooks = &gathering{to: cfg.Ports.Webhooks}
		engine.Webhooks = l.webhooks
	}
	l.hooks = hookrun.New(engine)
	return l
}

// Run runs the hooks until ctx ends; running ones then get the grace period.
func (l *Loop) Run(ctx context.Context) error {
	work, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	l.hooks.Begin(ctx, work)
	conductor{l, work}.run(ctx)
	<-ctx.Done()
	l.hooks.End(&l.starts, l.cfg.ShutdownGrace, kill)
	l.mu.Lock()
	units := l.units
	l.mu.Unlock()
	for _, u := range units {
		l.hooks.Stop(u)
	}
	return nil
}

// Ready says whether the start of every hook has been attempted.
func (l *Loop) Ready() bool { return l.ready.Load() }

// Queues are the lanes in which hooks run.
func (l *Loop) Queues() []hookrun.Queue { return l.hooks.Queues() }

// Dump is Queues with the tasks of each.
func (l *Loop) Dump() []hookrun.Queue { return l.hooks.Dump() }

// Lanes are the names of all lanes that bindings of hooks use.
func (l *Loop) Lanes() []string {
	l.mu.Lock()
	units := l.units
	l.mu.Unlock()
	var out []string
	for _, u := range units {
		out = append(out, u.Lanes()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Snapshots is what the kubernetes bindings of a hook hold now, by binding. It
// reports false for a hook that is not known.
func (l *Loop) Snapshots(name string) (map[string]hook.Held, bool) {
	l.mu.Lock()
	units := l.units
	l.mu.Unlock()
	for _, u := range units {
		if s, ok := u.Snapshots()[name]; ok {
			return s, true
		}
	}
	return nil, false
}

// host is what runs of hooks get from a Loop and do to it: there are no values.
type host struct{ *Loop }

func (h host) Loaded(hook.Owner, []hook.Hook) error      { return nil }
func (h host) Values(hook.Owner) (values, config []byte) { return nil, nil }
func (h host) Settled(hook.ID) (bool, error)             { return false, nil }
func (h host) Changed(hook.Owner)                        {}

func (h host) Ran(r hookrun.Run) {
	h.cfg.Ports.Meter.HookRun(r)
	h.note(r.ID.Name, func(s *Status) {
		s.Runs++
		s.Since = time.Time{}
		s.LastRun = time.Now()
		s.LastError = ""
		if r.Err != nil {
			s.Failures++
			s.LastError = r.Err.Error()
		}
	})
}

// Lasts shows that a run does not end.
func (h host) Lasts(id hook.ID, binding string, since time.Time) {
	h.log.Warn("hook run lasts", "hook", id.Name, "binding", binding, "since", since.UTC().Format(time.TimeOnly))
	h.note(id.Name, func(s *Status) { s.Since = since })
}

// Apply performs object operations, then metric samples (C-109).
func (h host) Apply(ctx context.Context, k hook.Hook, out hook.Output) (hookrun.Effect, error) {
	for _, patch := range []string{"values", "config values"} {
		if patch == "values" && len(out.Values) > 0 || patch != "values" && len(out.Config) > 0 {
			return hookrun.Effect{}, &hook.RunError{Hook: k.ID, Reason: hook.ReasonPatch, Cause: fmt.Sprintf("a patch of %s: there are none without modules", patch), Usage: out.Usage}
		}
	}
	if len(out.Operations) > 0 {
		if err := h.cfg.Ports.Objects.Execute(ctx, out.Operations); err != nil {
			return hookrun.Effect{}, &hook.RunError{Hook: k.ID, Reason: hook.ReasonOperation, Cause: "object operations: " + err.Error(), Usage: out.Usage}
		}
	}
	if err := h.cfg.Ports.Meter.Samples(k.ID, out.Samples); err != nil { // such a sample is lost, and no more (C-223)
		h.log.Warn("metric of hook is lost", "hook", k.Name, "error", err)
	}
	return hookrun.Effect{}, nil
}

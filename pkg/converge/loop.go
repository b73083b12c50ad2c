package converge

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/addon-operator/addon-operator/pkg/enable"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Config is what a Loop works with. All fields are required unless they say otherwise.
type Config struct {
	Modules *module.Set
	Store   *store.Store
	// Settings is the ConfigMap as it was read at start.
	Settings settings.Settings
	// Facts are what the last process left.
	Facts settings.Facts
	// Channels is what is remembered of release channels, kept with the facts; may be nil.
	Channels func() source.Memory
	// GlobalHooksDir holds the global hooks.
	GlobalHooksDir string
	// Namespace is the operator's: release records, and objects of modules that name none.
	Namespace string
	// Instance is <namespace>.<configmap>.
	Instance string
	// CRDLabels are put on CRDs (C-347).
	CRDLabels map[string]string
	// IgnoreRelease is never purged (C-426); may be empty.
	IgnoreRelease string
	// OrderPatience bounds how long an attempt holds up modules of higher weight; default 15 s, negative
	// turns the order by weight off.
	OrderPatience time.Duration
	// ParallelRender and ParallelApply bound what runs at once; defaults: cores and 16.
	ParallelRender, ParallelApply int
	// StalledAfter is how long a row of failures lasts before it is Stalled; default 10 min.
	StalledAfter time.Duration
	// PurgeGrace is the time between the announcement of a purge and the purge; default 5 min.
	PurgeGrace time.Duration
	// ShutdownGrace is how long running hooks and Helm actions may go on at shutdown; default 20 s.
	ShutdownGrace time.Duration
	// Lost is closed when nothing may be done any more, as another operator acts: what
	// runs is killed without grace. May be nil.
	Lost   <-chan struct{}
	Ports  Ports
	Logger *slog.Logger
}

// Ports are the effects that a Loop is given.
type Ports struct {
	Executables Executables
	Watcher     hookrun.Watcher
	Scheduler   hookrun.Scheduler
	// Webhooks may be nil: then nobody answers reviews.
	Webhooks  Webhooks
	Objects   Objects
	Installer Installer
	Tracker   Tracker
	Prober    Prober
	Cluster   Cluster
	Settings  Settings
	Facts     FactsKeeper
	Reporter  Reporter
	Meter     Meter
}

// Published is one revision of the global values and of what is on. It does not change.
type Published struct {
	// Revision grows by one with every change of what follows.
	Revision int64
	// Global is the effective global section with enabledModules.
	Global values.Snapshot
	// Enabled lists the modules that are on, in order (C-302).
	Enabled []string
	// Decisions holds one for every module.
	Decisions map[string]enable.Decision
}

// Loop converges the cluster. Make it with New; Run blocks until it has ended.
type Loop struct {
	cfg    Config
	log    *slog.Logger
	store  *store.Store
	keys   *keys
	hooks  *hookrun.Engine
	ledger ledger
	facts  *factsKeeper

	executables Executables
	objects     Objects
	settings    Settings
	meter       Meter

	renders, applies *semaphore.Weighted
	shows            *rate.Limiter // of steps that last

	global    *hookrun.Unit
	roster    atomic.Pointer[roster]
	replacing sync.Mutex // one reading of the directories after another
	gone      gone
	// rehook: the files of global hooks changed; the next global pass starts them anew.
	rehook    atomic.Bool
	published atomic.Pointer[Published]
	converged atomic.Bool
	// configSeen: a ConfigMap was there, in this process or an earlier one.
	configSeen atomic.Bool
	// foundReleases: releases of ours were there at start.
	foundReleases bool
	leaving       leavers

	configured configured
	afterAll   afterAllState
	trouble    globalTrouble
	changes    changes
	// globalMoves is of the newest pass that saw other global values than the one before.
	globalMoves globalMoves
	scripts     sync.WaitGroup // of enabled scripts, which may outlast their pass
	// globalProblem is what is wrong with the global section of the ConfigMap; nil before the first reading.
	globalProblem atomic.Pointer[string]
	convergence   convergence
}

// configured is the newest reading of the ConfigMap.
type configured struct {
	mu   sync.Mutex
	now  settings.Settings
	read bool // now is a reading
	// globalRead: a reading of the global section came in; globalUnread: why none was valid yet.
	globalRead   bool
	globalUnread string
	// holds are by section key.
	holds map[string]source.Hold
}

// New makes a Loop that has done nothing yet.
func New(cfg Config) *Loop {
	setDefaults(&cfg)
	l := &Loop{
		cfg: cfg, log: cfg.Logger, store: cfg.Store, keys: newKeys(),
		executables: cfg.Ports.Executables,
		objects:     cfg.Ports.Objects, settings: cfg.Ports.Settings, meter: cfg.Ports.Meter,
		renders: semaphore.NewWeighted(int64(cfg.ParallelRender)),
		applies: semaphore.NewWeighted(int64(cfg.ParallelApply)),
		shows:   rate.NewLimiter(stepsShown, stepsShownAtOnce),
		global:  hookrun.NewUnit(hook.Global, hook.Place{Dir: cfg.GlobalHooksDir, Account: cfg.Modules.GlobalOrigin.ServiceAccount}),
	}
	engine := hookrun.Config{
		Executables: cfg.Ports.Executables, Watcher: cfg.Ports.Watcher, Scheduler: cfg.Ports.Scheduler,
		Host: host{l}, Compacted: l.meter.Compacted, Acted: l.meter.QueueAction, Missing: l.meter.MonitorMissing, Ticks: l.converged.Load, Logger: l.log,
	}
	if cfg.Ports.Webhooks != nil {
		engine.Webhooks = cfg.Ports.Webhooks
	}
	l.hooks = hookrun.New(engine)
	l.facts = newFactsKeeper(cfg.Ports.Facts, l.collectFacts, l.log)
	l.ledger.init(cfg.OrderPatience, func(m string) { l.keys.add(m, becauseRetry) })
	l.roster.Store(l.newRoster(cfg.Modules, nil))
	return l
}

// Run converges until ctx ends, then shuts down in order: no new keys, running
// hooks and Helm actions get the grace period, the rest is killed, facts are written.
func (l *Loop) Run(ctx context.Context) error {
	work, kill := context.WithCancelCause(context.WithoutCancel(ctx))
	defer kill(nil)
	l.hooks.Begin(ctx, work)

	keep, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	var background sync.WaitGroup
	background.Go(func() { l.facts.run(keep) })
	background.Go(func() { killWhen(keep, l.cfg.Lost, kill) })

	l.configSeen.Store(l.cfg.Facts.ConfigSeen)
	l.observeReleases(ctx)
	l.foundReleases = l.anyRelease()
	l.convergence.begin(causeStart)
	l.applyFirst(l.cfg.Settings)
	l.keys.add(globalKey, becauseInputs)
	background.Go(func() { purger{l}.run(ctx) })

	var passes sync.WaitGroup
	stopTaking := context.AfterFunc(ctx, l.keys.stop)
	defer stopTaking()
	for {
		key, why, ok := l.keys.take()
		if !ok {
			break
		}
		passes.Go(func() {
			defer l.keys.done(key)
			defer l.recovered(key)
			l.process(work, key, why)
		})
	}

	l.hooks.End(&passes, l.cfg.ShutdownGrace, kill)
	kill(hookrun.ErrShutdown)
	l.scripts.Wait()
	l.hooks.Stop(l.global)
	for _, st := range append(l.gone.rest(), l.all()...) {
		l.hooks.Stop(st.unit)
		st.stopStepTimer()
	}
	l.ledger.stop()
	l.facts.flushAtEnd(context.WithoutCancel(ctx))
	stopKeeping()
	background.Wait()
	return nil
}

// killWhen ends what runs when lost is closed before ctx has ended.
func killWhen(ctx context.Context, lost <-chan struct{}, kill context.CancelCauseFunc) {
	select {
	case <-lost:
		kill(hookrun.ErrShutdown)
	case <-ctx.Done():
	}
}

// observeReleases reads which releases exist; it goes on trying while the API server is away.
func (l *Loop) observeReleases(ctx context.Context) {
	for try := 1; ; try++ {
		rels, err := l.cfg.Ports.Installer.List(ctx)
		if err == nil {
			for _, r := range rels {
				if st := l.state(r.Name); st != nil {
					st.edit(func(st *moduleState) { st.release, st.verify = r, true })
				}
			}
			l.reportMissing(rels)
			return
		}
		l.log.Error("cannot list releases; trying again", "error", err)
		rest(ctx, hookrun.Backoff(try))
		if ctx.Err() != nil {
			return
		}
	}
}

// rest waits, but not longer than ctx lasts.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// recovered turns a panic of a pass into a failure of its key (C-182).
func (l *Loop) recovered(key string) {
	if r := recover(); r != nil {
		next := l.keys.retry(key, becauseRetry, time.Now())
		l.log.Error("a pass panicked; this is a bug", "key", key, "panic", r, "stack", string(debug.Stack()), "nextTry", next)
		l.cfg.Ports.Reporter.Event(moduleOf(key), true, "Panic", fmt.Sprintf("internal error, tried again: %v", r))
	}
}

// moduleOf is the module of a key, "" for the global one.
func moduleOf(key string) string {
	if key == globalKey {
		return ""
	}
	return key
}

// process runs the pass of one key and appoints its next try.
func (l *Loop) process(ctx context.Context, key string, why reason) {
	if key == globalKey {
		globalPass{l}.process(ctx, why)
		return
	}
	if st := l.gone.take(key); st != nil {
		l.dismiss(st)
	}
	if st := l.state(key); st != nil {
		newPass(l, st, why).process(ctx)
	}
}

// changed wakes an owner after a commit outside of its pass.
func (l *Loop) changed(o hook.Owner) {
	if o.IsGlobal() {
		l.convergence.begin(causeGlobal)
		l.keys.add(globalKey, becauseInputs)
		return
	}
	l.keys.add(o.Module, becauseInputs)
	l.wakeDependents(o.Module)
}

// ObjectsChanged is for the Tracker: the objects of a module's release moved.
func (l *Loop) ObjectsChanged(module string, drifted bool) {
	why := becauseHealth
	if drifted {
		why |= becauseDrift
	}
	l.keys.add(module, why)
}

// CapabilitiesChanged is for discovery: modules whose last render read the
// cluster's capabilities are rendered again, and what failed is tried again, for it
// may have missed a kind that is there now.
func (l *Loop) CapabilitiesChanged() {
	for _, st := range l.all() {
		if why := st.missesKind(); why != 0 {
			l.keys.add(st.desc().Name, why)
		}
		if st.rendersFromCluster() {
			l.keys.add(st.desc().Name, becauseInputs)
		}
	}
}

// CRDChanged is for discovery: a CRD was deleted or changed by somebody else. The
// module that brings it is looked at again.
func (l *Loop) CRDChanged(name string) {
	for _, st := range l.all() {
		if st.on() && slices.ContainsFunc(st.desc().CRDs, func(c module.CRD) bool { return c.Name == name }) {
			st.forgetCRDs()
			l.keys.add(st.desc().Name, becauseInputs)
		}
	}
}

// ours says that a release was made by this operator or by its predecessor (C-435).
func (l *Loop) ours(r installed.Release) bool { return owned(r, l.cfg.Instance) }

func owned(r installed.Release, instance string) bool {
	return r.Exists() && (r.Instance == instance || r.Instance == "" && r.PredecessorChecksum != "")
}

// configMissed says that there was a ConfigMap and is none now although modules
// are installed: silence must not be read as "off". Without a memory of it, any
// release found at start speaks for a ConfigMap.
func (l *Loop) configMissed() bool { return l.missed(l.configured.newest()) }

func (l *Loop) missed(s settings.Settings) bool {
	known := l.configSeen.Load() || len(l.cfg.Facts.Decisions) == 0 && l.foundReleases
	return known && !s.Exists && l.anyRelease()
}

// anyRelease says whether a release of ours is there.
func (l *Loop) anyRelease() bool {
	for _, st := range l.all() {
		if l.ours(st.installedRelease()) {
			return true
		}
	}
	return false
}

func (st *moduleState) installedRelease() installed.Release {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.release
}

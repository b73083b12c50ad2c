package hookrun

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Executables runs the files of hooks directories.
type Executables interface {
	// Load asks every executable at a place for its configuration. It returns the hooks that
	// answered even when others failed; the error names those.
	Load(ctx context.Context, owner hook.Owner, at hook.Place) ([]hook.Hook, error)
	// Bind makes a hook callable.
	Bind(h hook.Hook) hook.Func
}

// Watcher starts monitors of kubernetes bindings. Watch returns when the first
// list is cached.
type Watcher interface {
	Watch(ctx context.Context, id hook.ID, b hook.Kubernetes, h hook.WatchHandler) (hook.Watch, error)
}

// Scheduler calls tick by a crontab until remove is called.
type Scheduler interface {
	Add(crontab string, tick func()) (remove func(), err error)
}

// Webhooks answers reviews of the API server and tells it of the webhooks.
type Webhooks interface {
	// Register serves the bindings of an owner's hooks, in place of those that it had.
	Register(ctx context.Context, o hook.Owner, hooks []hook.Webhook) error
	// Unregister withdraws all webhooks of an owner, also those of an earlier process.
	Unregister(ctx context.Context, o hook.Owner) error
}

// ValuesFunc answers the texts of VALUES_PATH and CONFIG_VALUES_PATH (C-106), nil without values.
type ValuesFunc func(o hook.Owner) (vals, config []byte)

// Host owns the values of hooks and performs what runs ask for. Its methods are
// called from many goroutines.
type Host interface {
	// Loaded is told all hooks that an owner has now.
	Loaded(o hook.Owner, hooks []hook.Hook) error
	// Values are the newest.
	Values(o hook.Owner) (vals, config []byte)
	// Apply checks the whole output of a successful run, and performs it then. It returns what
	// moved even when a later step failed.
	Apply(ctx context.Context, h hook.Hook, out hook.Output) (Effect, error)
	// Settled is told when all start bindings of a hook have succeeded once.
	Settled(id hook.ID) (moved bool, err error)
	// Changed is told that a run outside of the owner's pass moved something.
	Changed(o hook.Owner)
	// Ran is told of every run that ended.
	Ran(r Run)
	// Lasts is told of a run outside of a pass that has not ended after a minute.
	Lasts(id hook.ID, binding string, since time.Time)
}

// Effect is what a run changed.
type Effect struct {
	Values bool // the owner's effective values moved
	Flags  bool // a dynamic enabled flag moved
}

// Run is one finished run of a hook.
type Run struct {
	ID             hook.ID
	Binding, Queue string
	// Activation is why it ran: Kubernetes, Schedule, Validating …, or the reason of the owner's pass.
	Activation string
	Usage      hook.Usage
	// Waited is how long its first context was in the queue.
	Waited       time.Duration
	Err          error
	AllowFailure bool
	// InPass: it ran by order, on behalf of a pass.
	InPass bool
}

// Pass is on whose behalf hooks are started or run by order. The zero value is nobody's.
type Pass struct {
	// Activation is told to hooks and metrics.
	Activation string
	// Values, if set, is the frozen view of the pass.
	Values ValuesFunc
	// Step, if set, is told what begins.
	Step func(string)
}

func (p Pass) step(what string) {
	if p.Step != nil {
		p.Step(what)
	}
}

// Config is what an Engine works with. Webhooks may be nil; bindings that need
// them are then warned about.
type Config struct {
	Executables Executables
	Watcher     Watcher
	Scheduler   Scheduler
	Webhooks    Webhooks
	Host        Host
	// Compacted, if set, is told when tasks of a hook were brought together in a long lane (C-169).
	Compacted func(lane string, id hook.ID)
	// Acted, if set, is told how long an action on a lane took: add or remove (C-501).
	Acted func(lane, action string, took time.Duration)
	// Missing, if set, is told of a snapshot asked of a binding that is not watched (C-503).
	Missing func(binding string)
	// Ticks says whether schedules run yet (C-190).
	Ticks  func() bool
	Logger *slog.Logger
}

// Engine runs the hooks of all units.
type Engine struct {
	cfg   Config
	log   *slog.Logger
	lanes *lanes

	runs    atomic.Int64 // numbers them in the log (C-111)
	answers sync.WaitGroup
	mu      sync.Mutex // guards closed, and answers against a late Add
	closed  bool
}

// New makes an Engine. Call Begin before anything else.
func New(cfg Config) *Engine {
	e := &Engine{cfg: cfg, log: cfg.Logger}
	e.lanes = newLanes(e.batch)
	e.lanes.compacted, e.lanes.acted = cfg.Compacted, cfg.Acted
	return e
}

// Begin opens the lanes: tasks are taken while open lasts, and run under work.
func (e *Engine) Begin(open, work context.Context) { e.lanes.begin(open, work) }

// End waits until what is under way has ended: others, and the engine's own runs. When
// the grace is over, kill is called, and the rest is waited for.
func (e *Engine) End(others *sync.WaitGroup, grace time.Duration, kill context.CancelCauseFunc) {
	ended := make(chan struct{})
	go func() {
		others.Wait()
		e.wait()
		close(ended)
	}()
	over := time.NewTimer(grace)
	defer over.Stop()
	select {
	case <-ended:
		return
	case <-over.C:
	}
	e.log.Warn("shutdown grace is over: what still runs is killed", "grace", grace)
	kill(ErrShutdown)
	<-ended
}

// wait returns when no run of a lane and no answer is under way any more; open must have ended.
func (e *Engine) wait() {
	e.lanes.wait()
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.answers.Wait()
}

// answering notes that an answer begins, unless the engine has ended.
func (e *Engine) answering() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.answers.Add(1)
	}
	return !e.closed
}

// Queues are the lanes with tasks, by name.
func (e *Engine) Queues() []Queue { return e.lanes.list() }

// Queue is a lane at one moment.
type Queue struct {
	Name   string
	Length int
	// Running is how many of the first tasks run now, as one run.
	Running int
	// Head is the hook of the first task, Binding and Type say what it is about.
	Head    hook.ID
	Binding string
	Type    hook.Type
	// Failures counts the attempts at the head that failed in a row, Error is the last one's.
	Failures int
	Error    string
	// Hooks is the number of tasks by hook.
	Hooks map[hook.ID]int
	// Tasks are all of them, where Dump was asked.
	Tasks []Task
}

// ErrShutdown ends what waits when the lanes are closed.
var ErrShutdown = errors.New("the operator shuts down")

package probe

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// Config is what a Prober works with.
type Config struct {
	// Hook runs the executable of a check for a module; required. nil is healthy, the
	// text of an error says why it is not. It must heed the end of ctx; Timeout of the
	// check is its business.
	Hook func(ctx context.Context, module string, c module.HealthCheck) error
	// Notify is told, by Run's goroutines and without locks held, that a result of a module changed; required.
	Notify func(module string)
	// Parallel is how many requests, and how many executables, run at once; default 8.
	Parallel int
}

const (
	defaultParallel = 8
	// again bounds the time to the next look while a check fails.
	again = 5 * time.Second
	// tellAgain is how long a failing check keeps its text: one with a time in it would be news at every look.
	tellAgain = 30 * time.Second
)

// Prober makes health checks. Its methods may be called from many goroutines.
type Prober struct {
	cfg  Config
	http requester
	wake chan struct{}

	mu      sync.Mutex
	modules map[string][]*check
	running map[kind]int
}

type kind int

const (
	byHTTP kind = iota
	byHook
)

// check is one check of a module.
type check struct {
	module.HealthCheck
	module string
	next   time.Time
	// cancel ends the look that is under way; nil while there is none.
	cancel context.CancelFunc
	stale  bool // what the look that is under way finds does not count

	looked  bool
	problem string
	told    time.Time // when problem was set
}

func (c *check) kind() kind {
	if c.Hook != "" {
		return byHook
	}
	return byHTTP
}

// New makes a Prober without checks.
func New(cfg Config) *Prober {
	if cfg.Parallel <= 0 {
		cfg.Parallel = defaultParallel
	}
	return &Prober{cfg: cfg, http: newRequester(), wake: make(chan struct{}, 1), modules: map[string][]*check{}, running: map[kind]int{}}
}

// Configure sets the checks of a module; those with CEL are passed over. A check
// that was there before keeps its result and its next look, another is looked at
// at once. The same again does nothing.
func (p *Prober) Configure(name string, checks []module.HealthCheck) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.modules[name]
	var next []*check
	for _, c := range checks {
		if c.CEL != "" {
			continue
		}
		i := slices.IndexFunc(old, func(o *check) bool { return o.HealthCheck == c })
		if i >= 0 {
			next = append(next, old[i])
			continue
		}
		next = append(next, &check{HealthCheck: c, module: name})
	}
	for _, o := range old {
		if !slices.Contains(next, o) {
			o.end()
		}
	}
	if len(next) == 0 {
		delete(p.modules, name)
	} else {
		p.modules[name] = next
	}
	p.signal()
}

// Renew looks at all checks of a module at once, for something of it was changed.
// Until then they have no result.
func (p *Prober) Renew(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.modules[name] {
		c.looked, c.problem, c.next, c.stale = false, "", time.Time{}, c.cancel != nil
	}
	p.signal()
}

// Forget ends the checks of a module.
func (p *Prober) Forget(name string) { p.Configure(name, nil) }

// Results are the newest results of a module's checks, in the order of module.yaml.
func (p *Prober) Results(name string) []status.Check {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []status.Check
	for _, c := range p.modules[name] {
		out = append(out, status.Check{Name: c.Name, Looked: c.looked, Problem: c.problem})
	}
	return out
}

// Run makes the checks until ctx ends. It returns nil when every look has ended.
func (p *Prober) Run(ctx context.Context) error {
	var looks sync.WaitGroup
	defer looks.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, wait := p.due(ctx, time.Now())
		for _, look := range due {
			looks.Go(look)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-timer.C:
		}
	}
}

// longest is how long Run sleeps when nothing is due.
const longest = time.Hour

// due takes the looks whose time has come, those that have waited longest first, as
// far as there is room, and says when the next one is.
func (p *Prober) due(ctx context.Context, now time.Time) (out []func(), wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = longest
	var ready []*check
	for _, checks := range p.modules {
		for _, c := range checks {
			switch {
			case c.cancel != nil:
			case c.next.After(now):
				wait = min(wait, c.next.Sub(now))
			default:
				ready = append(ready, c)
			}
		}
	}
	slices.SortFunc(ready, func(a, b *check) int { return a.next.Compare(b.next) })
	for _, c := range ready {
		if p.running[c.kind()] >= p.cfg.Parallel {
			continue // the end of a look wakes Run
		}
		p.running[c.kind()]++
		looking, cancel := context.WithCancel(ctx)
		c.cancel = cancel
		out = append(out, func() {
			defer cancel()
			p.note(ctx, c, p.look(looking, c))
		})
	}
	return out, wait
}

func (p *Prober) look(ctx context.Context, c *check) error {
	if c.kind() == byHook {
		return p.cfg.Hook(ctx, c.module, c.HealthCheck)
	}
	return p.http.get(ctx, c.HTTP, c.Timeout)
}

// note writes the result of a look down and appoints the next.
func (p *Prober) note(ctx context.Context, c *check, err error) {
	news := p.result(ctx, c, err, time.Now())
	p.signal()
	if news {
		p.cfg.Notify(c.module)
	}
}

func (p *Prober) result(ctx context.Context, c *check, err error, now time.Time) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[c.kind()]--
	c.cancel = nil
	if c.stale {
		c.stale = false
		return false
	}
	if ctx.Err() != nil || !slices.Contains(p.modules[c.module], c) {
		return false
	}
	wait, problem := c.Interval, ""
	if err != nil {
		wait, problem = min(wait, again), line(err.Error())
	}
	c.next = now.Add(jittered(wait))
	if c.looked && c.problem != "" && problem != "" && now.Sub(c.told) < tellAgain {
		return false
	}
	news = !c.looked || c.problem != problem
	c.looked, c.problem, c.told = true, problem, now
	return news
}

// jittered is d, more or less by a tenth, so that checks of many modules spread out.
func jittered(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5)
}

// end cancels the look that is under way.
func (c *check) end() {
	if c.cancel != nil {
		c.cancel()
	}
}

func (p *Prober) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

package leader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
)

// LeaseName is the name of the Lease, the predecessor's (C-450).
const LeaseName = "addon-operator-leader-election"

// lastWords is how long work may take to end after the leadership was lost. It can
// change nothing any more; its hooks are killed with the process at the latest.
const lastWords = 2 * time.Second

// Config is what an Elector needs. REST, Namespace, Identity and Logger are required.
type Config struct {
	// REST reaches the API server. It must not be fenced: the Lease itself is written with it.
	REST *rest.Config
	// Namespace and Name of the Lease; Name is LeaseName by default.
	Namespace, Name string
	// Identity of this replica; see the function Identity. No two processes may have the same.
	Identity string
	// Duration is how long others leave a Lease alone after its last renewal; whole seconds, default 10 s.
	Duration time.Duration
	// Deadline is how long this process acts after it sent its last renewal; default 0.7 of Duration.
	Deadline time.Duration
	// Renew is the time between renewals, and between looks of a standby whose watch is broken; default 0.2 of Duration.
	Renew  time.Duration
	Logger *slog.Logger
}

func (c *Config) complete() error {
	c.Name = cmp.Or(c.Name, LeaseName)
	c.Duration = cmp.Or(c.Duration, 10*time.Second)
	c.Deadline = cmp.Or(c.Deadline, c.Duration*7/10)
	c.Renew = cmp.Or(c.Renew, c.Duration/5)
	switch {
	case c.REST == nil || c.Namespace == "" || c.Identity == "" || c.Logger == nil:
		return errors.New("leader election: REST, Namespace, Identity and Logger are required")
	case c.Duration < time.Second || c.Duration%time.Second != 0:
		return fmt.Errorf("leader election: a lease of %s: the API counts whole seconds", c.Duration)
	case c.Deadline >= c.Duration || 2*c.Renew > c.Deadline:
		return fmt.Errorf("leader election: renewals every %s, deadline %s, lease %s: two renewals must fit into the deadline, and that into the lease",
			c.Renew, c.Deadline, c.Duration)
	}
	return nil
}

// Elector takes part in the election. Make it with New and call Run once.
type Elector struct {
	cfg   Config
	lease *lease
	fence *Fence
	lost  chan struct{}

	mu   sync.Mutex
	seen sighting
}

// sighting is the Lease as it was last seen.
type sighting struct {
	known bool                  // it was asked for
	lease *coordinationv1.Lease // nil when there is none
	// changed is when somebody was last seen to hold or renew it, on the monotonic
	// clock alone: one that counts too little makes a standby wait longer.
	changed time.Time
	holder  string
	lasts   time.Duration
}

// New makes an Elector; nothing is dialled yet.
func New(cfg Config) (*Elector, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	l, err := newLease(cfg)
	if err != nil {
		return nil, fmt.Errorf("leader election: %w", err)
	}
	return &Elector{cfg: cfg, lease: l, fence: newFence(cfg.Deadline, now), lost: make(chan struct{})}, nil
}

// Fence is up while this process leads.
func (e *Elector) Fence() *Fence { return e.fence }

// Lost is closed when the leadership was lost.
func (e *Elector) Lost() <-chan struct{} { return e.lost }

// Leader is the identity in the Lease as it was last seen, "" if nobody holds it.
func (e *Elector) Leader() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen.holder
}

// Run waits until this process leads, calls lead, and renews the Lease until lead
// has returned; then the Lease is released and lead's error returned. The context of
// lead ends with ctx, or when the leadership is lost. In that case Run waits two
// seconds for lead and returns ErrLost: the process has to end. When ctx ends
// before, Run returns nil and lead was not called.
func (e *Elector) Run(ctx context.Context, lead func(context.Context) error) error {
	e.cfg.Logger.Info("waiting for the leadership", "lease", e.cfg.Namespace+"/"+e.cfg.Name, "identity", e.cfg.Identity)
	if !e.await(ctx) {
		return nil
	}
	e.cfg.Logger.Info("this replica leads", "lease", e.cfg.Namespace+"/"+e.cfg.Name, "identity", e.cfg.Identity)
	work, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ended := make(chan error, 1)
	go func() { ended <- lead(work) }()
	err, over := e.hold(ended)
	if over {
		e.release(ctx)
		return err
	}
	close(e.lost)
	stop(err)
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case last := <-ended:
		if last != nil && !errors.Is(last, ErrLost) && !errors.Is(last, context.Canceled) {
			err = fmt.Errorf("%w (%w)", err, last)
		}
	case <-patience.C:
	}
	return fmt.Errorf("%w: this process ends, so that another replica can act; started again it is a standby", err)
}

// await returns true once this process holds the Lease, and false when ctx has ended.
func (e *Elector) await(ctx context.Context) bool {
	watching, stop := context.WithCancel(ctx)
	changes := make(chan *coordinationv1.Lease, 1)
	var watcher sync.WaitGroup
	watcher.Go(func() { e.lease.watch(watching, changes) })
	defer watcher.Wait()
	defer stop()
	var failed string
	for ctx.Err() == nil {
		held, err := e.attempt(ctx)
		if held {
			return true
		}
		if text := fmt.Sprint(err); err != nil && text != failed && ctx.Err() == nil {
			e.cfg.Logger.Warn("cannot look after the Lease; trying again", "error", err)
			failed = text
		}
		wait := time.NewTimer(e.untilNext())
		select {
		case <-ctx.Done():
		case <-wait.C:
		case l := <-changes:
			e.saw(l)
		}
		wait.Stop()
	}
	return false
}

// attempt looks at the Lease and takes it if it is free.
func (e *Elector) attempt(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Renew)
	defer cancel()
	if !e.free() { // when it is, what was seen must still be so: the write finds out
		l, err := e.lease.get(ctx)
		if err != nil {
			return false, err
		}
		e.saw(l)
		if !e.free() {
			return false, nil
		}
	}
	e.mu.Lock()
	before := e.seen.lease
	e.mu.Unlock()
	sent := now()
	l, err := e.lease.take(ctx, before)
	if err != nil {
		// Somebody was faster, or it is not known what became of the request: look anew.
		e.forget()
		return false, err
	}
	if l == nil {
		e.forget()
		return false, nil
	}
	e.saw(l)
	err = e.fence.renew(sent)
	return err == nil, err
}

// free says whether the Lease may be taken, as far as was seen.
func (e *Elector) free() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.seen
	// Also a Lease that was deleted is left alone for its time: its holder may not know yet.
	return s.known && (s.holder == "" || time.Since(s.changed) >= s.lasts)
}

// untilNext is how long to wait before the next attempt.
func (e *Elector) untilNext() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.seen; s.known && s.holder != "" {
		return max(time.Millisecond, min(e.cfg.Renew, s.lasts-time.Since(s.changed)))
	}
	return e.cfg.Renew
}

// forget makes the next attempt read the Lease; when it was last renewed stays known.
func (e *Elector) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen.known = false
}

// saw notes the Lease; nil is that there is none.
func (e *Elector) saw(l *coordinationv1.Lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &e.seen
	old := s.lease
	s.known, s.lease = true, l
	if l == nil {
		return
	}
	if old == nil || !sameSpec(old, l) {
		s.changed = time.Now()
	}
	s.holder, s.lasts = holderOf(l), lastsOf(l)
}

// hold renews until lead has ended (over, with its error) or the leadership is lost.
func (e *Elector) hold(ended <-chan error) (err error, over bool) { //nolint:revive // the error belongs to over
	wait := time.NewTimer(e.cfg.Renew)
	defer wait.Stop()
	for {
		select {
		case err := <-ended:
			return err, true
		case <-wait.C:
		}
		if err := e.renew(); err != nil {
			e.fence.drop(err)
			return err, false
		}
		next := e.cfg.Renew
		if left := e.fence.left(); left < e.cfg.Deadline-e.cfg.Renew { // the renewal failed
			next = min(next/2, max(left, time.Millisecond))
		}
		wait.Reset(next)
	}
}

// renew tries once to renew. The error is that the leadership is lost; anything
// else may be tried again while the fence is up.
func (e *Elector) renew() error {
	if err := e.fence.Write(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(e.cfg.Renew, e.fence.left()))
	defer cancel()
	e.mu.Lock()
	before := e.seen.lease
	e.mu.Unlock()
	sent := now()
	l, err := e.lease.renew(ctx, before)
	switch {
	case errors.Is(err, ErrLost):
		return err
	case err != nil:
		e.cfg.Logger.Warn("the Lease was not renewed; trying again", "error", err, "left", e.fence.left().Round(time.Millisecond))
		return e.fence.Write()
	}
	e.saw(l)
	return e.fence.renew(sent)
}

// release frees the Lease after everything has ended.
func (e *Elector) release(ctx context.Context) {
	if err := e.fence.Write(); err != nil {
		return // lost in the last moment
	}
	e.fence.drop(fmt.Errorf("%w: the Lease was released", ErrLost))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.Renew)
	defer cancel()
	if err := e.lease.release(ctx); err != nil {
		e.cfg.Logger.Warn("the Lease was not released; others wait until it has expired", "error", err, "expires", e.cfg.Duration)
		return
	}
	e.cfg.Logger.Info("leadership released", "lease", e.cfg.Namespace+"/"+e.cfg.Name)
}

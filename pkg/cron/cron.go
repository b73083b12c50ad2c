// Package cron calls functions at the times that crontabs name (C-040, C-041). It
// knows neither hooks nor queues: what a tick means is the caller's business.
package cron

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Config is what a Cron needs; the zero value will do.
type Config struct {
	// Now is the clock that schedules are reckoned by. Default time.Now.
	Now func() time.Time
	// Logger gets ticks that came too late to be kept. Default slog.Default().
	Logger *slog.Logger
}

// Cron keeps schedules. Functions may be added and removed at any time, before
// Run and during it. It is safe for concurrent use.
type Cron struct {
	cfg Config

	mu      sync.Mutex
	entries map[string]*entry
	moved   chan struct{} // has room for one: the set of entries changed
	running bool
}

// entry is one crontab with everything that is called at its ticks (C-189).
type entry struct {
	schedule cron.Schedule
	next     time.Time
	calls    []*call
}

type call struct{ fn func() }

// New makes a Cron without schedules.
func New(cfg Config) *Cron {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Cron{cfg: cfg, entries: map[string]*entry{}, moved: make(chan struct{}, 1)}
}

// Add calls fn at each tick of crontab while Run is running, until remove is
// called. Bindings with equal text share one entry, so that they tick at the same
// moment (C-189), in the order in which they were added. fn must return quickly;
// after remove returned it is not called anew, but a call may still be under way.
func (c *Cron) Add(crontab string, fn func()) (remove func(), err error) {
	schedule, err := hook.ParseCrontab(crontab)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[crontab]
	if !ok {
		e = &entry{schedule: schedule, next: schedule.Next(c.cfg.Now())}
		c.entries[crontab] = e
		c.wake()
	}
	added := &call{fn: fn}
	e.calls = append(e.calls, added)
	return func() { c.remove(crontab, added) }, nil
}

func (c *Cron) remove(crontab string, gone *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[crontab]
	if !ok {
		return
	}
	// A new list, for a tick may be walking the old one.
	e.calls = slices.DeleteFunc(slices.Clone(e.calls), func(other *call) bool { return other == gone })
	if len(e.calls) == 0 {
		delete(c.entries, crontab)
	}
}

func (c *Cron) wake() {
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// Run calls what is due until ctx ends. Ticks that passed while nothing ran, or
// while the machine slept, are not made up for: a schedule goes on with its next
// one. Run may be called again after it returned, and not twice at once.
func (c *Cron) Run(ctx context.Context) error {
	if err := c.begin(); err != nil {
		return err
	}
	defer c.end()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(c.untilNext())
		select {
		case <-ctx.Done():
			return nil
		case <-c.moved:
		case <-timer.C:
			for _, due := range c.due() {
				if ctx.Err() != nil {
					return nil
				}
				due()
			}
		}
	}
}

// begin takes schedules from now on: what was due before Run is not made up for.
func (c *Cron) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return errors.New("cron: Run is running already")
	}
	c.running = true
	now := c.cfg.Now()
	for _, e := range c.entries {
		e.next = e.schedule.Next(now)
	}
	return nil
}

func (c *Cron) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
}

// longest is how long the loop sleeps at most: a clock that was set is noticed then.
const longest = time.Minute

func (c *Cron) untilNext() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := longest
	now := c.cfg.Now()
	for _, e := range c.entries {
		// A schedule that never comes, such as February 30th, has a zero time.
		if !e.next.IsZero() {
			wait = min(wait, e.next.Sub(now))
		}
	}
	return max(wait, 0)
}

// due takes the calls whose time has come, by time and crontab, and moves their entries on.
func (c *Cron) due() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Now()
	type tick struct {
		at      time.Time
		crontab string
		calls   []*call
	}
	var ticks []tick
	for crontab, e := range c.entries {
		if e.next.IsZero() || e.next.After(now) {
			continue
		}
		if late := now.Sub(e.next); late > longest {
			c.cfg.Logger.Warn("schedule ticks late; ticks between are not made up for", "crontab", crontab, "late", late.Round(time.Second))
		}
		ticks = append(ticks, tick{e.next, crontab, e.calls})
		e.next = e.schedule.Next(now)
	}
	slices.SortFunc(ticks, func(a, b tick) int {
		if order := a.at.Compare(b.at); order != 0 {
			return order
		}
		if a.crontab < b.crontab {
			return -1
		}
		return 1
	})
	var out []func()
	for _, t := range ticks {
		for _, one := range t.calls {
			out = append(out, func() { c.callUnlessRemoved(t.crontab, one) })
		}
	}
	return out
}

func (c *Cron) callUnlessRemoved(crontab string, one *call) {
	c.mu.Lock()
	e, ok := c.entries[crontab]
	ok = ok && slices.Contains(e.calls, one)
	c.mu.Unlock()
	if ok {
		one.fn()
	}
}

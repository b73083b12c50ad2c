package converge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/settings"
)

// factsKeeper writes facts in the background, at most every factsInterval, and
// at once before an action that depends on them. Writers that wait share a write.
// A write takes time that grows with all modules, so the pause after it does too.
type factsKeeper struct {
	keeper  FactsKeeper
	collect func() settings.Facts
	log     *slog.Logger

	mu      sync.Mutex
	changed int64 // grows with every touch
	written int64 // the newest touch that is in the cluster
	wake    chan struct{}
	waiters []waiter
}

type waiter struct {
	at   int64
	done chan error
}

const (
	factsInterval = 500 * time.Millisecond
	// factsShare bounds the part of the time that is spent on writes which nobody waits for.
	factsShare = 20
	// mostFactsInterval bounds what a kill may lose; hooks find that out again.
	mostFactsInterval = 5 * time.Second
)

// pauseAfter is how long to rest after a write that took so long.
func pauseAfter(took time.Duration) time.Duration {
	return min(max(factsInterval, factsShare*took), mostFactsInterval)
}

func newFactsKeeper(k FactsKeeper, collect func() settings.Facts, log *slog.Logger) *factsKeeper {
	return &factsKeeper{keeper: k, collect: collect, log: log, wake: make(chan struct{}, 1)}
}

// touch says that facts changed.
func (f *factsKeeper) touch() {
	f.mu.Lock()
	f.changed++
	f.mu.Unlock()
	f.poke()
}

func (f *factsKeeper) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// flush returns when everything touched so far is in the cluster.
func (f *factsKeeper) flush(ctx context.Context) error {
	f.mu.Lock()
	if f.written >= f.changed {
		f.mu.Unlock()
		return nil
	}
	w := waiter{at: f.changed, done: make(chan error, 1)}
	f.waiters = append(f.waiters, w)
	f.mu.Unlock()
	f.poke()
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run writes until ctx ends.
func (f *factsKeeper) run(ctx context.Context) {
	var next time.Time // of a write that nobody waits for
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			f.answer(context.Cause(ctx), 0)
			return
		}
		for f.pending() && ctx.Err() == nil {
			if d := time.Until(next); d > 0 && !f.urgent() {
				f.waitUntilUrgent(ctx, d)
			}
			began := time.Now()
			if err := f.write(ctx); err != nil {
				f.log.Error("cannot save facts; trying again", "error", err)
				rest(ctx, firstRetry)
			}
			next = began.Add(pauseAfter(time.Since(began)))
		}
	}
}

func (f *factsKeeper) waitUntilUrgent(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for !f.urgent() {
		select {
		case <-t.C:
			return
		case <-f.wake:
		case <-ctx.Done():
			return
		}
	}
}

func (f *factsKeeper) pending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written < f.changed
}

func (f *factsKeeper) urgent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiters) > 0
}

func (f *factsKeeper) write(ctx context.Context) error {
	f.mu.Lock()
	at := f.changed
	f.mu.Unlock()
	err := f.keeper.SaveFacts(ctx, f.collect())
	if err == nil {
		f.mu.Lock()
		f.written = max(f.written, at)
		f.mu.Unlock()
	}
	f.answer(err, at)
	return err
}

// answer tells the waiters that a write of everything up to at ended; an error is for all.
func (f *factsKeeper) answer(err error, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []waiter
	for _, w := range f.waiters {
		if err == nil && w.at > at {
			left = append(left, w)
			continue
		}
		w.done <- err
	}
	f.waiters = left
}

// flushAtEnd is the last write of the process.
func (f *factsKeeper) flushAtEnd(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := f.flush(ctx); err != nil {
		f.log.Error("facts of the last moments are lost; hooks will find them again", "error", err)
	}
}

func (l *Loop) collectFacts() settings.Facts {
	facts := l.store.Facts()
	facts.Decisions, facts.ConfigSeen = map[string]bool{}, l.configSeen.Load()
	for _, st := range l.all() {
		st.mu.Lock()
		if st.last != nil {
			facts.Decisions[st.desc().Name] = *st.last
			if st.owes && !*st.last {
				facts.Removing = append(facts.Removing, st.desc().Name)
			}
		}
		st.mu.Unlock()
	}
	if l.cfg.Channels != nil {
		facts.Channels = l.cfg.Channels()
	}
	return facts
}

// Touch says that what is kept beside the facts changed: it is written with them, and before any
// Helm action that follows.
func (l *Loop) Touch() { l.facts.touch() }

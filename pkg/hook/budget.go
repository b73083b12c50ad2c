package hook

import (
	"context"
	"fmt"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// limits bound one run of a jq program.
type limits struct {
	time   time.Duration
	memory uint64 // bytes that the process may come to keep during a run
	// grace is how long a run is not looked after: nearly all end within it.
	grace, interval time.Duration
}

func defaultLimits() limits {
	return limits{time: 5 * time.Second, memory: 256 << 20, grace: 100 * time.Millisecond, interval: 10 * time.Millisecond}
}

// budget is the context of one run of a jq program. gojq asks for Done at every
// instruction, so that is a field; the guard costs a timer unless a run is long.
//
// A program cannot tell how much it keeps. What is compared is what the whole
// process keeps after a garbage collection: a run that lasts while that grows by
// the limit is ended, even should another one be to blame.
type budget struct {
	limits limits
	timer  *time.Timer
	over   chan struct{}
	ended  chan struct{}
	cause  atomic.Pointer[overrun]
}

// overrun says which limit a run of a jq program broke.
type overrun struct{ text string }

func (o *overrun) Error() string { return o.text }

func newBudget(l limits) *budget {
	b := &budget{limits: l, over: make(chan struct{}), ended: make(chan struct{})}
	b.timer = time.AfterFunc(l.grace, b.guard)
	return b
}

// end is called once, when the run is over.
func (b *budget) end() {
	if !b.timer.Stop() {
		close(b.ended)
	}
}

// guard ends the run when it breaks a limit.
func (b *budget) guard() {
	tick := time.NewTicker(b.limits.interval)
	defer tick.Stop()
	deadline := time.NewTimer(b.limits.time - b.limits.grace)
	defer deadline.Stop()
	before := live()
	for {
		select {
		case <-b.ended:
			return
		case <-deadline.C:
			b.stop(fmt.Sprintf("no result within %s: does the program end for this object?", b.limits.time))
			return
		case <-tick.C:
			if now := live(); now > before+b.limits.memory {
				b.stop(fmt.Sprintf("more than %d MB of memory were taken during the run: does the program end for this object?", b.limits.memory>>20))
				return
			}
		}
	}
}

func (b *budget) stop(text string) {
	b.cause.Store(&overrun{text})
	close(b.over)
}

// live is what the last garbage collection found in use, in bytes.
func live() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

var _ context.Context = (*budget)(nil)

// Deadline implements context.Context.
func (b *budget) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (b *budget) Done() <-chan struct{} { return b.over }

// Err implements context.Context.
func (b *budget) Err() error {
	if o := b.cause.Load(); o != nil {
		return o
	}
	return nil
}

// Value implements context.Context.
func (b *budget) Value(any) any { return nil }

package converge

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/order"
)

// ledger knows of every module which inputs are wanted and which were attempted
// last. A module is dirty while the two differ, else settled.
type ledger struct {
	patience time.Duration // how long a running attempt holds others up; 0 disables the soft order
	wake     func(module string)

	mu      sync.Mutex
	entries map[string]*entry
	queue   map[string]*entry // those that wait for their turn
}

type entry struct {
	weight    int
	on        bool
	wanted    string
	attempted string
	revision  int // grows with every change of wanted that came from outside
	since     time.Time
	timer     *time.Timer
}

func (l *ledger) init(patience time.Duration, wake func(module string)) {
	l.patience, l.wake, l.entries, l.queue = patience, wake, map[string]*entry{}, map[string]*entry{}
}

// want records the digest of the inputs wanted for a module and reports whether
// they moved so that an attempt is due. A module that is off is never dirty.
func (l *ledger) want(module string, weight int, on bool, digest string) (due bool) {
	l.mu.Lock()
	e := l.entries[module]
	if e == nil {
		e = &entry{}
		l.entries[module] = e
	}
	moved := e.wanted != digest || e.on != on
	if moved {
		e.revision++
	}
	if !on {
		e.attempted = "" // when it is on again, it is installed anew
	}
	e.weight, e.on, e.wanted = weight, on, digest
	due = moved && e.dirty()
	wake := l.startable(time.Now())
	l.mu.Unlock()
	l.wakeAll(wake)
	return due
}

// dirty says that another input is wanted than the last attempt saw.
func (l *ledger) dirty(module string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[module]
	return e != nil && e.dirty()
}

func (e *entry) dirty() bool { return e.on && e.wanted != e.attempted }

// seen is the revision of what is wanted for a module, for end.
func (l *ledger) seen(module string) (revision int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[module]; e != nil {
		return e.revision
	}
	return 0
}

// behind says that what is wanted for a module moved after seen answered revision,
// and was not attempted.
func (l *ledger) behind(module string, revision int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[module]
	return e != nil && e.dirty() && e.revision != revision
}

// begin asks to start an attempt. When modules of lower weight are dirty it
// returns them, and the module is woken when it may start: the wait is recorded
// before it is evaluated, so no wake-up is lost.
func (l *ledger) begin(module string, now time.Time) []order.Peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[module]
	if e == nil {
		return nil
	}
	l.queue[module] = e
	if l.patience > 0 && e.dirty() {
		if b := order.Blockers(e.weight, l.dirtyBelow(e.weight), now, l.patience); len(b) > 0 {
			return b
		}
	}
	delete(l.queue, module)
	if e.dirty() && e.since.IsZero() {
		e.since = now
		e.timer = time.AfterFunc(l.patience, l.overdue)
	}
	return nil
}

// end records that an attempt ended, in whatever way, and wakes the modules that
// may start now. digest is of the inputs that the attempt saw, its own config
// patches included; when what is wanted has not moved since seen answered
// revision, these are what is wanted.
func (l *ledger) end(module, digest string, revision int) {
	l.mu.Lock()
	e := l.entries[module]
	if e != nil {
		if e.revision == revision {
			e.wanted = digest
		}
		if e.on {
			e.attempted = digest
		}
		e.since = time.Time{}
		if e.timer != nil {
			e.timer.Stop()
			e.timer = nil
		}
	}
	wake := l.startable(time.Now())
	l.mu.Unlock()
	l.wakeAll(wake)
}

// blockers are those that a waiting module waits for now.
func (l *ledger) blockers(module string) []order.Peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[module]
	if e == nil || l.queue[module] == nil {
		return nil
	}
	return order.Blockers(e.weight, l.dirtyBelow(e.weight), time.Now(), l.patience)
}

// waiting lists the modules that wait for their turn.
func (l *ledger) waiting() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.queue))
}

func (l *ledger) overdue() {
	l.mu.Lock()
	wake := l.startable(time.Now())
	l.mu.Unlock()
	l.wakeAll(wake)
}

// startable lists waiting modules that no dirty module of lower weight holds up.
func (l *ledger) startable(now time.Time) []string {
	if len(l.queue) == 0 {
		return nil
	}
	lowest, found := 0, false
	for _, e := range l.entries {
		late := !e.since.IsZero() && now.Sub(e.since) >= l.patience
		if e.dirty() && !late && (!found || e.weight < lowest) {
			lowest, found = e.weight, true
		}
	}
	var out []string
	for name, e := range l.queue {
		if !found || e.weight <= lowest {
			delete(l.queue, name)
			out = append(out, name)
		}
	}
	return out
}

func (l *ledger) wakeAll(modules []string) {
	for _, m := range modules {
		l.wake(m)
	}
}

// dirtyBelow are the dirty modules of a lower weight, the only ones that may hold others up.
func (l *ledger) dirtyBelow(weight int) []order.Peer {
	var out []order.Peer
	for name, e := range l.entries {
		if e.weight < weight && e.dirty() {
			out = append(out, order.Peer{Name: name, Weight: e.weight, Dirty: true, Since: e.since})
		}
	}
	slices.SortFunc(out, func(a, b order.Peer) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// unsettled counts the enabled modules whose wanted inputs were not attempted.
func (l *ledger) unsettled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, e := range l.entries {
		if e.dirty() {
			n++
		}
	}
	return n
}

// forget makes the module dirty whatever was attempted before: it was removed.
func (l *ledger) forget(module string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[module]; e != nil {
		e.wanted, e.attempted = "", ""
	}
}

// remove takes out a module that is in no directory any more.
func (l *ledger) remove(module string) {
	l.mu.Lock()
	if e := l.entries[module]; e != nil && e.timer != nil {
		e.timer.Stop()
	}
	delete(l.entries, module)
	delete(l.queue, module)
	wake := l.startable(time.Now())
	l.mu.Unlock()
	l.wakeAll(wake)
}

// stop ends the timers.
func (l *ledger) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.timer != nil {
			e.timer.Stop()
		}
	}
}

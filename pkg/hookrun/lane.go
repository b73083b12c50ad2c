package hookrun

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// task is one context that waits in a lane for its hook to run.
type task struct {
	unit    *Unit
	hook    *boundHook
	context hook.Context
	queue   string
	// sync is set for a Synchronization: after success its monitor is unlocked.
	sync *monitor
	// tick: it is of a schedule.
	tick bool
	// waited: a pass waits for this Synchronization (C-187).
	waited       bool
	allowFailure bool
	pushed       time.Time
	// ended is called after each attempt, with nil after a success.
	ended func(error)
}

// lanes runs event, schedule and Synchronization contexts, one lane after
// another's order never mattering. A lane is serial, keeps order and combines
// adjacent contexts of one hook (C-165 … C-169). A failing run blocks its lane
// only. A lane has a goroutine while it has tasks.
type lanes struct {
	run func(ctx context.Context, batch []*task) error

	mu sync.Mutex
	//nolint:containedctx // the lifetimes of goroutines that push starts
	open, work context.Context // while open lasts, the next task is taken; work is of running tasks
	byName     map[string]*lane
	wg         sync.WaitGroup
	closed     bool
	compacted  func(lane string, id hook.ID)                 // may be nil
	acted      func(lane, action string, took time.Duration) // may be nil
}

type lane struct {
	name    string
	tasks   []*task
	busy    int // of the first tasks: they run now
	running bool
	// compacted is how long the lane was after it was compacted last.
	compacted int
	// failures and err are of the attempts at the head.
	failures int
	err      string
	// full is closed when there is room again; nil while nobody waits for that.
	full    chan struct{}
	changed chan struct{} // closed and renewed when tasks are removed
}

func newLanes(run func(ctx context.Context, batch []*task) error) *lanes {
	return &lanes{run: run, byName: map[string]*lane{}}
}

// begin is called once, before the first push.
func (l *lanes) begin(open, work context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open, l.work = open, work
}

// laneName: main is one lane per owner, any other queue one for the process; without
// modules there is one main (C-184).
func laneName(o hook.Owner, queue string) string {
	if o.IsStandalone() {
		return cmp.Or(queue, mainQueue)
	}
	if queue == "" || queue == mainQueue {
		return mainQueue + "/" + o.String()
	}
	return queue
}

const mainQueue = "main"

// push appends tasks to the lanes of their queues. Those pushed together are there
// before any of them runs, so that they combine.
func (l *lanes) push(tasks ...*task) {
	if l.acted != nil && len(tasks) > 0 {
		defer func(began time.Time) {
			l.acted(laneName(tasks[0].unit.Owner, tasks[0].queue), "add", time.Since(began))
		}(time.Now())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	for _, t := range tasks {
		l.append(t)
	}
}

func (l *lanes) append(t *task) {
	t.pushed = time.Now()
	name := laneName(t.unit.Owner, t.queue)
	ln := l.byName[name]
	if ln == nil {
		ln = &lane{name: name, changed: make(chan struct{})}
		l.byName[name] = ln
	}
	if !ln.merge(t) {
		ln.tasks = append(ln.tasks, t)
		if ln.compact(t.hook) && l.compacted != nil {
			l.compacted(name, t.hook.ID)
		}
	}
	if !ln.running {
		ln.running = true
		l.wg.Add(1)
		go l.serve(ln)
	}
}

// Bounds of compaction (C-169).
const (
	longLane  = 100
	longOfOne = 100
)

// What bounds memory in a burst: a lane takes no more events than fullLane; those that
// wait in the monitors meanwhile are merged by object. longBatch is how many contexts a
// run gets at most.
const (
	fullLane  = 1000
	longBatch = 1000
)

// room is nil while the lane takes more events; otherwise it is closed when it does again.
func (l *lanes) room(name string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.byName[name]
	if ln == nil || len(ln.tasks) < fullLane {
		return nil
	}
	if ln.full == nil {
		ln.full = make(chan struct{})
	}
	return ln.full
}

// shrunk tells those who wait for room, if there is some.
func (ln *lane) shrunk() {
	if ln.full != nil && len(ln.tasks) < fullLane {
		close(ln.full)
		ln.full = nil
	}
}

// merge leaves a Group out that is right behind the same Group (C-166).
func (ln *lane) merge(t *task) bool {
	n := len(ln.tasks)
	return n > ln.busy && sameGroup(ln.tasks[n-1], t)
}

// sameGroup says that b, pushed behind a, would be all that is left of both.
func sameGroup(a, b *task) bool {
	return a.context.Type == hook.TypeGroup && b.context.Type == hook.TypeGroup && a.sync == nil && b.sync == nil &&
		a.hook == b.hook && a.context.Group == b.context.Group && a.context.Binding == b.context.Binding
}

// compact brings the waiting tasks of one hook together when a lane has grown
// long by them: they follow the first of them, ungrouped ones in their order,
// then the last of each group (C-169). Synchronizations stay where they are.
func (ln *lane) compact(h *boundHook) bool {
	if len(ln.tasks) <= max(longLane, 2*ln.compacted) || h.Spec.Version == "v0" {
		return false
	}
	defer func() { ln.compacted = len(ln.tasks) }()
	movable := func(t *task) bool { return t.hook == h && t.sync == nil }
	waiting := ln.tasks[ln.busy:]
	first, count := -1, 0
	for i, t := range waiting {
		if movable(t) {
			if first < 0 {
				first = i
			}
			count++
		}
	}
	if count < longOfOne {
		return false
	}
	out := slices.Clone(ln.tasks[:ln.busy+first])
	last := map[string]*task{}
	var groups []string // in the order of their last task
	var rest []*task
	for _, t := range waiting[first:] {
		switch g := t.context.Group; {
		case !movable(t):
			rest = append(rest, t)
		case g == "":
			out = append(out, t)
		default:
			last[g] = t
			groups = append(slices.DeleteFunc(groups, func(have string) bool { return have == g }), g)
		}
	}
	for _, g := range groups {
		out = append(out, last[g])
	}
	ln.tasks = append(out, rest...)
	return true
}

// remove takes an owner's tasks out of every lane, and nobody else's (B-22).
func (l *lanes) remove(o hook.Owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.byName {
		before := len(ln.tasks)
		busy := slices.ContainsFunc(ln.tasks[:ln.busy], func(t *task) bool { return t.unit.Owner == o })
		ln.tasks = slices.DeleteFunc(ln.tasks, func(t *task) bool { return t.unit.Owner == o })
		if busy {
			ln.busy = 0 // a batch is of one hook
		}
		if len(ln.tasks) == before {
			continue
		}
		ln.shrunk()
		close(ln.changed)
		ln.changed = make(chan struct{})
	}
}

// list describes the lanes without copying their tasks.
func (l *lanes) list() []Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Queue, 0, len(l.byName))
	for name, ln := range l.byName {
		q := Queue{Name: name, Length: len(ln.tasks), Running: ln.busy, Failures: ln.failures, Error: ln.err, Hooks: map[hook.ID]int{}}
		for _, t := range ln.tasks {
			q.Hooks[t.hook.ID]++
		}
		if len(ln.tasks) > 0 {
			head := ln.tasks[0]
			q.Head, q.Binding, q.Type = head.hook.ID, head.context.Binding, head.context.Type
		}
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b Queue) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ended is closed when no more tasks are taken.
func (l *lanes) ended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open.Done()
}

// wait returns when every lane has stopped; open must have ended.
func (l *lanes) wait() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}

// serve runs a lane until it is empty or the process ends.
func (l *lanes) serve(ln *lane) {
	defer l.wg.Done()
	for l.open.Err() == nil {
		head, changed := l.head(ln)
		if head == nil {
			return
		}
		if !head.hook.waitForRate(l.open, head) {
			continue
		}
		batch := l.batch(ln, head)
		if len(batch) == 0 {
			continue // removed meanwhile
		}
		err := l.run(l.work, batch)
		for _, t := range batch {
			if t.ended != nil {
				t.ended(err)
			}
		}
		if err == nil || batch[0].allowFailure {
			l.drop(ln, batch)
			continue
		}
		pause(l.open, Backoff(l.rest(ln, err)), changed)
	}
	l.mu.Lock()
	ln.running = false
	l.mu.Unlock()
}

func (l *lanes) head(ln *lane) (*task, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(ln.tasks) == 0 {
		ln.running = false
		delete(l.byName, ln.name)
		return nil, nil
	}
	return ln.tasks[0], ln.changed
}

// batch is the head and the tasks that directly follow it and may run with it.
func (l *lanes) batch(ln *lane, head *task) []*task {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(ln.tasks) == 0 || ln.tasks[0] != head {
		return nil
	}
	n := 1
	for n < len(ln.tasks) && n < longBatch && combines(head, ln.tasks[n]) {
		n++
	}
	ln.busy = n
	return slices.Clone(ln.tasks[:n])
}

// combines says whether two adjacent tasks may share a run (C-165). Without modules
// a Synchronization without group runs alone (C-167).
func combines(a, b *task) bool {
	if a.sync != nil && a.unit.Owner.IsStandalone() && (a.context.Group == "" || b.context.Group == "") {
		return false
	}
	return a.hook == b.hook && a.hook.Spec.Version != "v0" && (a.sync != nil) == (b.sync != nil) && a.waited == b.waited
}

func (l *lanes) drop(ln *lane, batch []*task) {
	if l.acted != nil {
		defer func(began time.Time) { l.acted(ln.name, "remove", time.Since(began)) }(time.Now())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ln.busy == len(batch) { // nothing was removed meanwhile
		ln.tasks = slices.Delete(ln.tasks, 0, len(batch))
	}
	ln.busy = 0
	ln.shrunk()
	ln.compacted = min(ln.compacted, len(ln.tasks))
	ln.failures, ln.err = 0, ""
}

// rest says that no task of the lane runs for now, and how often the head has failed.
func (l *lanes) rest(ln *lane, err error) (failures int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.busy = 0
	ln.failures++
	ln.err = err.Error()
	return ln.failures
}

// Backoff is the pause after the n-th failure in a row: from 1 s to 32 s, with jitter.
func Backoff(n int) time.Duration {
	d := min(32*time.Second, time.Second<<min(n-1, 5))
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}

func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-ctx.Done():
	}
}

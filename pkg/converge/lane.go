package converge

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// task is one context that waits in a lane for its hook to run.
type task struct {
	unit    *unit
	hook    *boundHook
	context hook.Context
	queue   string
	// sync is set for a Synchronization: after success its monitor is unlocked.
	sync *monitor
	// waited: a pass waits for this Synchronization (C-187).
	waited       bool
	allowFailure bool
	// ended is called after each attempt, with nil after a success.
	ended func(error)
}

// lanes runs event, schedule and Synchronization contexts, one lane after
// another's order never mattering. A lane is serial, keeps order and combines
// adjacent contexts of one hook (C-165 … C-169). A failing run blocks its lane
// only. A lane has a goroutine while it has tasks.
type lanes struct {
	run func(ctx context.Context, batch []*task) error

	open context.Context // while it lasts, the next task is taken
	work context.Context // of running tasks

	mu     sync.Mutex
	byName map[string]*lane
	wg     sync.WaitGroup
	closed bool
}

type lane struct {
	name    string
	tasks   []*task
	running bool
	changed chan struct{} // closed and renewed when tasks are removed
}

func newLanes(open, work context.Context, run func(ctx context.Context, batch []*task) error) *lanes {
	return &lanes{run: run, open: open, work: work, byName: map[string]*lane{}}
}

// laneName: main is one lane per owner, any other queue one for the process (C-184).
func laneName(o hook.Owner, queue string) string {
	if queue == "" || queue == mainQueue {
		return mainQueue + "/" + o.String()
	}
	return queue
}

const mainQueue = "main"

// push appends a task to the lane of its queue.
func (l *lanes) push(t *task) {
	name := laneName(t.unit.owner, t.queue)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	ln := l.byName[name]
	if ln == nil {
		ln = &lane{name: name, changed: make(chan struct{})}
		l.byName[name] = ln
	}
	ln.tasks = append(ln.tasks, t)
	if !ln.running {
		ln.running = true
		l.wg.Add(1)
		go l.serve(ln)
	}
}

// remove takes an owner's tasks out of every lane, and nobody else's (B-22).
func (l *lanes) remove(o hook.Owner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.byName {
		ln.tasks = slices.DeleteFunc(ln.tasks, func(t *task) bool { return t.unit.owner == o })
		close(ln.changed)
		ln.changed = make(chan struct{})
	}
}

// length is the number of waiting tasks by lane, for metrics.
func (l *lanes) length() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for name, ln := range l.byName {
		out[name] = len(ln.tasks)
	}
	return out
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
	failures := 0
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
			failures = 0
			l.drop(ln, batch)
			continue
		}
		failures++
		pause(l.open, laneBackoff(failures), changed)
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
	for n < len(ln.tasks) && combines(head, ln.tasks[n]) {
		n++
	}
	return slices.Clone(ln.tasks[:n])
}

// combines says whether two adjacent tasks may share a run (C-165, C-167).
func combines(a, b *task) bool {
	return a.hook == b.hook && a.hook.Spec.Version != "v0" && (a.sync != nil) == (b.sync != nil) && a.waited == b.waited
}

func (l *lanes) drop(ln *lane, batch []*task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.tasks = slices.DeleteFunc(ln.tasks, func(t *task) bool { return slices.Contains(batch, t) })
}

// laneBackoff is the pause after the n-th failure in a row.
func laneBackoff(n int) time.Duration {
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

package kube

import "github.com/addon-operator/addon-operator/pkg/hook"

// crowded is how many calls of a handler may wait before events of one object
// merge. A handler that keeps up never sees a merged event.
const crowded = 1000

// pending is a queue of calls. With merge, events of one object take the place of
// those that wait, so that what waits is bounded by the number of objects. All
// operations take constant time.
type pending struct {
	first, last *waiting
	n           int
	newest      map[id]*waiting // the last event of an object
	failed      *waiting        // a Failed; only the last counts
	appeared    *waiting
}

// waiting is a call in the queue.
type waiting struct {
	notice
	before, after *waiting
	earlier       *waiting // an event of the same object that waits too, or waited
	out           bool     // not in the queue any more
}

// add appends a call, or merges it with those that wait.
func (q *pending) add(n notice, merge bool) {
	switch {
	case n.failed:
		q.drop(q.failed)
		q.failed = q.append(n)
	case n.appeared:
		q.drop(q.appeared)
		q.appeared = q.append(n)
	default:
		q.event(n, merge)
	}
}

// event adds an event. Of one object at most a Deleted and what came after it stay
// when merging: a deletion is never swallowed (C-145).
func (q *pending) event(n notice, merge bool) {
	last := q.newest[n.id]
	if last != nil && last.out {
		last = nil
	}
	switch {
	case !merge || last == nil || (n.event == hook.Added && last.event == hook.Deleted):
		w := q.append(n)
		w.earlier = last
		if q.newest == nil {
			q.newest = map[id]*waiting{}
		}
		q.newest[n.id] = w
	case n.event == hook.Deleted:
		for w := last; w != nil && !w.out; {
			w, last = w.earlier, w
			q.drop(last)
		}
		q.newest[n.id] = q.append(n)
	case last.event == hook.Added:
		last.item = n.item
	default:
		last.event, last.item = n.event, n.item
	}
}

func (q *pending) append(n notice) *waiting {
	w := &waiting{notice: n, before: q.last}
	if q.last == nil {
		q.first = w
	} else {
		q.last.after = w
	}
	q.last = w
	q.n++
	return w
}

// drop takes w out of the queue; nil and what is out already stay as they are.
func (q *pending) drop(w *waiting) {
	if w == nil || w.out {
		return
	}
	if w.before == nil {
		q.first = w.after
	} else {
		w.before.after = w.after
	}
	if w.after == nil {
		q.last = w.before
	} else {
		w.after.before = w.before
	}
	w.out, w.before, w.after, w.earlier = true, nil, nil, nil
	q.n--
}

// take removes the first call.
func (q *pending) take() (notice, bool) {
	w := q.first
	if w == nil {
		return notice{}, false
	}
	q.drop(w)
	if q.newest[w.id] == w {
		delete(q.newest, w.id)
	}
	if q.n == 0 {
		*q = pending{} // give the memory of a burst back
	}
	return w.notice, true
}

// clear drops everything.
func (q *pending) clear() { *q = pending{} }

// moveTo appends all that waits to another queue.
func (q *pending) moveTo(other *pending) {
	for n, ok := q.take(); ok; n, ok = q.take() {
		other.add(n, other.n >= crowded)
	}
}

package converge

import (
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// globalKey is the key of the global pass; no module can have this name's weight
// in the queue, for module names are checked against it when they are loaded.
const globalKey = "global"

// reason is why a key was added. It limits what the pass may do; reasons of one
// key add up until its pass takes them.
type reason uint

const (
	// becauseHealth: the status of an object changed; report only.
	becauseHealth reason = 1 << iota
	// becauseDrift: an object is gone or changed; repair, then report.
	becauseDrift
	// becauseVerify: compare every object with the stored manifest once.
	becauseVerify
	// becauseInputs: configuration, global revision, artifact or own values; run everything.
	becauseInputs
	// becauseRetry: the last attempt failed or waited.
	becauseRetry
	// becauseSettled (global only): every module is settled, afterAll is due.
	becauseSettled
)

const full = becauseInputs | becauseRetry

func (r reason) has(any reason) bool { return r&any != 0 }

// String is the activation label of metrics (C-511).
func (r reason) String() string {
	switch {
	case r.has(becauseInputs):
		return "Inputs"
	case r.has(becauseRetry):
		return "Retry"
	case r.has(becauseDrift):
		return "Drift"
	case r.has(becauseVerify):
		return "Verify"
	case r.has(becauseSettled):
		return "Settled"
	}
	return "Health"
}

// keys is the work queue: which keys are due and why. A key that is being worked
// on is handed out again only after done.
type keys struct {
	queue workqueue.TypedInterface[string]

	mu      sync.Mutex
	reasons map[string]reason
	timers  map[string]*time.Timer // a retry or a later look, one per key
	fails   map[string]int
	stopped bool
}

func newKeys() *keys {
	return &keys{
		queue:   workqueue.NewTyped[string](),
		reasons: map[string]reason{},
		timers:  map[string]*time.Timer{},
		fails:   map[string]int{},
	}
}

// add marks a key. New inputs end a backoff.
func (k *keys) add(key string, why reason) {
	k.mu.Lock()
	k.reasons[key] |= why
	if why.has(becauseInputs) {
		k.fails[key] = 0
		k.cancelTimer(key)
	}
	k.mu.Unlock()
	k.queue.Add(key)
}

// take blocks for the next key; ok is false after stop.
func (k *keys) take() (key string, why reason, ok bool) {
	key, shutdown := k.queue.Get()
	if shutdown {
		return "", 0, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	why = k.reasons[key]
	delete(k.reasons, key)
	return key, why, true
}

func (k *keys) done(key string) { k.queue.Done(key) }

// Backoff bounds of a failing key.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// retry adds the key again after its backoff and says when.
func (k *keys) retry(key string, now time.Time) time.Time {
	k.mu.Lock()
	n := k.fails[key]
	k.fails[key]++
	k.mu.Unlock()
	d := lastRetry
	if n < 9 {
		d = min(lastRetry, firstRetry<<n)
	}
	d += time.Duration(rand.Int64N(int64(d)/10 + 1))
	k.after(key, d, becauseRetry)
	return now.Add(d)
}

// succeeded ends a row of failures.
func (k *keys) succeeded(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fails[key] = 0
}

// after adds the key later; it takes the place of an earlier appointment.
func (k *keys) after(key string, d time.Duration, why reason) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	k.cancelTimer(key)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		k.mu.Lock()
		current := k.timers[key] == t
		if current {
			delete(k.timers, key)
		}
		k.mu.Unlock()
		if current {
			k.add(key, why)
		}
	})
	k.timers[key] = t
}

func (k *keys) cancelTimer(key string) {
	if t := k.timers[key]; t != nil {
		t.Stop()
		delete(k.timers, key)
	}
}

// stop ends take; keys in hand are finished by their passes.
func (k *keys) stop() {
	k.mu.Lock()
	k.stopped = true
	for key := range k.timers {
		k.cancelTimer(key)
	}
	k.mu.Unlock()
	k.queue.ShutDown()
}

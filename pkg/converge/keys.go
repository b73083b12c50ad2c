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
	// becausePause: a pause has ended; do what was put off.
	becausePause
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
	timers  map[appointment]*time.Timer
	fails   map[appointment]int
	stopped bool
	// For people who look on: since when a key is due or worked on and why, and when appointments are.
	pending, running map[string]begun
	dates            map[appointment]time.Time
}

// begun is since when something is as it is, and why.
type begun struct {
	since time.Time
	why   reason
}

// appointment is a later look at a key. A key has one for each reason, so that a
// repair that is put off does not put off the retry of an attempt.
type appointment struct {
	key string
	why reason
}

func newKeys() *keys {
	return &keys{
		queue:   workqueue.NewTyped[string](),
		reasons: map[string]reason{},
		timers:  map[appointment]*time.Timer{},
		fails:   map[appointment]int{},
		pending: map[string]begun{}, running: map[string]begun{}, dates: map[appointment]time.Time{},
	}
}

// add marks a key. New inputs end the backoff of a failed attempt.
func (k *keys) add(key string, why reason) {
	k.mu.Lock()
	k.reasons[key] |= why
	if _, ok := k.pending[key]; !ok {
		k.pending[key] = begun{since: time.Now()}
	}
	if why.has(becauseInputs) {
		delete(k.fails, appointment{key, becauseRetry})
		k.cancelTimer(appointment{key, becauseRetry})
	}
	k.mu.Unlock()
	k.queue.Add(key)
}

// due says whether a pass of a key is to come for one of the reasons.
func (k *keys) due(key string, any reason) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reasons[key].has(any)
}

// take blocks for the next key; ok is false after stop, whatever is left.
func (k *keys) take() (key string, why reason, ok bool) {
	key, shutdown := k.queue.Get()
	if shutdown {
		return "", 0, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		k.queue.Done(key)
		return "", 0, false
	}
	why = k.reasons[key]
	delete(k.reasons, key)
	delete(k.pending, key)
	k.running[key] = begun{since: time.Now(), why: why}
	return key, why, true
}

func (k *keys) done(key string) {
	k.mu.Lock()
	delete(k.running, key)
	k.mu.Unlock()
	k.queue.Done(key)
}

// Backoff bounds of a failing key.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// retry adds the key again after its backoff and says when. Each reason has a backoff of its own.
func (k *keys) retry(key string, why reason, now time.Time) time.Time {
	return k.retryWithin(key, why, now, lastRetry)
}

// retryWithin is retry with a bound of its own.
func (k *keys) retryWithin(key string, why reason, now time.Time, most time.Duration) time.Time {
	k.mu.Lock()
	a := appointment{key, why}
	n := k.fails[a]
	k.fails[a]++
	k.mu.Unlock()
	d := most
	if n < 9 {
		d = min(most, firstRetry<<n)
	}
	d += time.Duration(rand.Int64N(int64(d)/10 + 1))
	k.after(key, d, why)
	return now.Add(d)
}

// succeeded ends a row of failures.
func (k *keys) succeeded(key string, why reason) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.fails, appointment{key, why})
	k.cancelTimer(appointment{key, why})
}

// after adds the key later; it takes the place of an earlier appointment for the same reason.
func (k *keys) after(key string, d time.Duration, why reason) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	a := appointment{key, why}
	k.cancelTimer(a)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		k.mu.Lock()
		current := k.timers[a] == t
		if current {
			delete(k.timers, a)
			delete(k.dates, a)
		}
		k.mu.Unlock()
		if current {
			k.add(key, why)
		}
	})
	k.timers[a], k.dates[a] = t, time.Now().Add(d)
}

func (k *keys) cancelTimer(a appointment) {
	if t := k.timers[a]; t != nil {
		t.Stop()
		delete(k.timers, a)
		delete(k.dates, a)
	}
}

// stop ends take; keys in hand are finished by their passes.
func (k *keys) stop() {
	k.mu.Lock()
	k.stopped = true
	for a := range k.timers {
		k.cancelTimer(a)
	}
	k.mu.Unlock()
	k.queue.ShutDown()
}

package converge

import (
	"sync"
	"time"
)

// Causes of a convergence (C-511).
const (
	causeStart  = "OperatorStartup"
	causeConfig = "KubeConfigChanged"
	causeGlobal = "GlobalValuesChanged"
	causeFiles  = "ModulesChanged"
)

// convergence is the way from a change that concerns every module to the moment in which
// every enabled module is settled and afterAll hooks have run. What comes up on the way
// belongs to it.
type convergence struct {
	mu    sync.Mutex
	cause string // "" while there is none
	since time.Time
}

func (c *convergence) begin(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == "" {
		c.cause, c.since = cause, time.Now()
	}
}

// end is where nothing is left to do; ok is false when there was nothing before.
func (c *convergence) end() (cause string, took time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cause, took, ok = c.cause, time.Since(c.since), c.cause != ""
	c.cause = ""
	return cause, took, ok
}

// converges tells the meter of a convergence that has ended.
func (l *Loop) converges() {
	if cause, took, ok := l.convergence.end(); ok {
		l.meter.Converged(cause, took)
	}
}

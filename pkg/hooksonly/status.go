package hooksonly

import (
	"cmp"
	"slices"
	"time"
)

// State is how far a hook is.
type State string

const (
	Unreadable State = "Unreadable" // its configuration could not be read; tried again
	Starting   State = "Starting"
	Running    State = "Running" // its bindings are at work
)

// Status is one hook as people see it.
type Status struct {
	Name           string
	State          State
	Runs, Failures int
	LastRun        time.Time
	// Since is when a run began that has not ended for a minute; zero without one.
	Since time.Time
	// LastError is that of the newest attempt or run, empty after a success.
	LastError string
}

// note changes a hook's status.
func (l *Loop) note(name string, change func(*Status)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.state[name]
	if s == nil {
		s = &Status{Name: name}
		l.state[name] = s
	}
	change(s)
}

// Hooks lists all hooks of the folder by name.
func (l *Loop) Hooks() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Status, 0, len(l.state))
	for _, s := range l.state {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

package hookrun

import (
	"slices"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Task is one task of a lane as people see it.
type Task struct {
	Hook    hook.ID
	Binding string
	// Type is empty for schedules of a hook of v0.
	Type  hook.Type
	Group string
	// Event is what happened, of an Event.
	Event hook.WatchEvent
	// Since is when it came.
	Since time.Time
}

// Dump is Queues with the tasks of each.
func (e *Engine) Dump() []Queue {
	queues := e.lanes.list()
	for i := range queues {
		queues[i].Tasks = e.lanes.tasksOf(queues[i].Name)
		queues[i].Length = len(queues[i].Tasks)
	}
	return queues
}

func (l *lanes) tasksOf(name string) []Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.byName[name]
	if ln == nil {
		return nil // it has ended meanwhile
	}
	out := make([]Task, len(ln.tasks))
	for i, t := range ln.tasks {
		out[i] = Task{Hook: t.hook.ID, Binding: t.context.Binding, Type: t.context.Type, Group: t.context.Group,
			Event: t.context.WatchEvent, Since: t.pushed}
	}
	return out
}

// Lanes are the names of the lanes in which hooks of the unit run, sorted.
func (u *Unit) Lanes() []string {
	u.mu.Lock()
	hooks := u.hooks
	u.mu.Unlock()
	var out []string
	for _, h := range hooks {
		for _, b := range h.Spec.Kubernetes {
			out = append(out, laneName(u.Owner, b.Queue))
		}
		for _, b := range h.Spec.Schedules {
			out = append(out, laneName(u.Owner, b.Queue))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

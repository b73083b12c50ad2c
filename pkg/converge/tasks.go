package converge

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// Task is a key of the work queue as people see it: the global pass or that of a module.
type Task struct {
	// Module is "" for the global pass.
	Module string
	// Type is what the predecessor calls such a task: ConvergeModules, ModuleRun or ModuleDelete.
	Type string
	// Activation is why it is there (C-511).
	Activation string
	State      TaskState
	// At is since when it runs or is due, or when it will be.
	At time.Time
	// Step is what a running one does now.
	Step string
	// Failures counts attempts that failed in a row, Error is the last one's.
	Failures int
	Error    string
}

// TaskState is how far a task is.
type TaskState string

const (
	TaskRunning   TaskState = "Running"   // a pass works on it
	TaskDue       TaskState = "Due"       // its pass begins as soon as it may
	TaskAppointed TaskState = "Appointed" // it is due later, such as after a backoff
)

// globalTrouble is what the global pass does and how it ended.
type globalTrouble struct {
	mu   sync.Mutex
	step string
	err  string
	// attempts are those with the global hooks in force.
	attempts attempts
	silent   bool // the newest failure got no answer from the API server
}

func (g *globalTrouble) unreached() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.silent
}

// renew is for other global hooks.
func (g *globalTrouble) renew() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts = attempts{}
}

func (g *globalTrouble) doing(step string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.step = step
}

func (g *globalTrouble) note(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.step, g.err = "", ""
	g.attempts.note(err)
	g.silent = unreachable(err)
	if err != nil {
		g.err = err.Error()
	}
}

// Tasks are the keys of the work queue: those that are worked on, those that are due,
// and those appointed for later, each by age.
func (l *Loop) Tasks() []Task {
	out := l.keys.list()
	for i := range out {
		l.describe(&out[i])
	}
	return out
}

// Dump lists the lanes in which hooks run with their tasks; Lanes the names of all
// that bindings name.
func (l *Loop) Dump() []hookrun.Queue { return l.hooks.Dump() }

// Lanes are the names of all lanes that bindings of enabled modules and of global hooks use.
func (l *Loop) Lanes() []string {
	out := l.global.Lanes()
	for _, st := range l.all() {
		out = append(out, st.unit.Lanes()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// describe fills in what the queue does not know.
func (l *Loop) describe(t *Task) {
	if t.Module == "" {
		t.Type = "ConvergeModules"
		l.trouble.mu.Lock()
		defer l.trouble.mu.Unlock()
		t.Error = l.trouble.err
		if t.State == TaskRunning {
			t.Step = l.trouble.step
		}
		return
	}
	t.Type = "ModuleRun"
	st := l.state(t.Module)
	if st == nil {
		return
	}
	if st.leaves(l.cfg.Instance) {
		t.Type = "ModuleDelete"
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.attempt == status.Failed {
		t.Error = st.message
	}
	if t.State == TaskRunning {
		t.Step = st.step
	}
}

// list copies the queue.
func (k *keys) list() []Task {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Task
	add := func(key string, why reason, state TaskState, at time.Time) {
		t := Task{Module: moduleOf(key), Activation: why.String(), State: state, At: at}
		for a, n := range k.fails {
			if a.key == key {
				t.Failures = max(t.Failures, n)
			}
		}
		out = append(out, t)
	}
	for key, b := range k.running {
		add(key, b.why, TaskRunning, b.since)
	}
	for key, b := range k.pending {
		add(key, k.reasons[key], TaskDue, b.since)
	}
	for a, at := range k.dates {
		add(a.key, a.why, TaskAppointed, at)
	}
	rank := map[TaskState]int{TaskRunning: 0, TaskDue: 1, TaskAppointed: 2}
	slices.SortFunc(out, func(a, b Task) int {
		return cmp.Or(cmp.Compare(rank[a.State], rank[b.State]), a.At.Compare(b.At), cmp.Compare(a.Module, b.Module))
	})
	return out
}

// Snapshots is what kubernetes bindings hold, by hook and binding: of global hooks for
// "", else of a module's; empty while it is off or not known.
func (l *Loop) Snapshots(module string) map[string]map[string]hook.Held {
	if module == "" {
		return l.global.Snapshots()
	}
	if st := l.state(module); st != nil {
		return st.unit.Snapshots()
	}
	return nil
}

// GlobalHooks are the names of the global hooks, sorted; empty until they are loaded.
func (l *Loop) GlobalHooks() []string { return slices.Sorted(maps.Keys(l.global.Snapshots())) }

package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// mainQueue is the queue of passes; without modules that of hooks which name none.
const mainQueue = "main"

// queueRoutes answer what waits and runs (C-481). `main` is what the predecessor runs in
// its queue of this name: the passes, and the main lane of each owner.
func queueRoutes(list func() []web.Queue) []web.Route {
	return []web.Route{
		{Path: "/queue/list", Help: "tasks of all queues; ?showEmpty=true with the empty ones", Remote: true,
			Answer: func(_ context.Context, q web.Query) (any, error) {
				return web.Queues{Queues: list(), ShowEmpty: q.Is("showEmpty")}, nil
			}},
		{Path: "/queue/main", Help: "passes, and the main queue of each owner", Remote: true,
			Answer: func(_ context.Context, q web.Query) (any, error) {
				queues := slices.DeleteFunc(list(), func(x web.Queue) bool {
					return x.Name != mainQueue && !strings.HasPrefix(x.Name, mainQueue+"/")
				})
				return web.Queues{Queues: queues, ShowEmpty: true}, nil
			}},
	}
}

// queues are the work queue of passes and the lanes of hooks.
func (i *inspector) queues() []web.Queue {
	passes := web.Queue{Name: mainQueue}
	running, due, failing := 0, 0, false
	for _, t := range i.loop.Tasks() {
		failing = failing || t.Failures > 0
		passes.Tasks = append(passes.Tasks, describePass(t))
		switch t.State {
		case converge.TaskRunning:
			running++
		case converge.TaskDue:
			due++
		}
	}
	switch {
	case running > 0:
		passes.Status = fmt.Sprintf("%d running", running)
	case due > 0:
		passes.Status = "about to run"
	case failing:
		passes.Status = "waits for the next try"
	case len(passes.Tasks) > 0:
		passes.Status = "nothing due yet"
	}
	return append([]web.Queue{passes}, laneTable(i.loop.Dump(), i.loop.Lanes())...)
}

// passes is the work queue of passes as a metric shows it: without those appointed for later.
func passes(loop *converge.Loop) []hookrun.Queue {
	q := hookrun.Queue{Name: mainQueue}
	for _, t := range loop.Tasks() {
		if t.State == converge.TaskAppointed {
			continue
		}
		if q.Length == 0 {
			q.Head.Owner = hook.Global
			if t.Module != "" {
				q.Head.Owner = hook.Owner{Module: t.Module}
			}
		}
		q.Length++
	}
	return []hookrun.Queue{q}
}

// describePass is a task as C-481 writes it: <type>:<queue>:<what>[:failures N[:last error]].
func describePass(t converge.Task) string {
	name := t.Module
	if name == "" {
		name = "global"
	}
	text := fmt.Sprintf("%s:%s:%s:%s", t.Type, mainQueue, name, t.Activation)
	at := t.At.UTC().Format(time.TimeOnly)
	switch {
	case t.State == converge.TaskRunning && t.Step != "":
		text += fmt.Sprintf(" (%s, runs since %s)", t.Step, at)
	case t.State == converge.TaskRunning:
		text += " (runs since " + at + ")"
	case t.State == converge.TaskAppointed:
		text += " (due at " + at + ")"
	}
	return text + failureText(t.Failures, t.Error)
}

func failureText(failures int, last string) string {
	if failures == 0 {
		return ""
	}
	text := fmt.Sprintf(":failures %d", failures)
	if last != "" {
		text += ":" + strings.Join(strings.Fields(last), " ")
	}
	return text
}

// laneTable is the lanes with tasks, and those of the names that have none.
func laneTable(lanes []hookrun.Queue, names []string) []web.Queue {
	var out []web.Queue
	for _, q := range lanes {
		row := web.Queue{Name: q.Name, Status: "waits"}
		switch {
		case q.Running > 0:
			row.Status = fmt.Sprintf("runs %d of them", q.Running)
		case q.Failures > 0:
			row.Status = "waits for the next try"
		}
		for n, t := range q.Tasks {
			text := fmt.Sprintf("%s:%s:%s", taskType(t.Hook.Owner), q.Name, describeRun(t))
			if n == 0 {
				text += failureText(q.Failures, q.Error)
			}
			row.Tasks = append(row.Tasks, text)
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == q.Name })
		out = append(out, row)
	}
	for _, name := range names {
		out = append(out, web.Queue{Name: name})
	}
	slices.SortFunc(out, func(a, b web.Queue) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// describeRun says which hook a task is of, and what it is about.
func describeRun(t hookrun.Task) string {
	text := t.Hook.String() + ":" + t.Binding
	switch {
	case t.Group != "":
		text += ":group " + t.Group
	case t.Type == hook.TypeEvent:
		text += ":" + string(t.Event)
	case t.Type != "":
		text += ":" + string(t.Type)
	}
	return text
}

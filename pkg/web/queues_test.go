package web_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// C-481.
func TestQueuesInTheFormsOfTheContract(t *testing.T) {
	q := web.Queues{Queues: []web.Queue{
		{Name: "main", Status: "1 running", Tasks: []string{"ModuleRun:main:a:Inputs:failures 2:no", "ModuleRun:main:b:Inputs"}},
		{Name: "main/a"},
		{Name: "slow", Status: "runs 1 of them", Tasks: []string{"ModuleHookRun:slow:a/hooks/x.sh:pods:Added"}},
	}}
	text := `Queue 'main': length 2, status: '1 running'

 1. ModuleRun:main:a:Inputs:failures 2:no
 2. ModuleRun:main:b:Inputs

Queue 'slow': length 1, status: 'runs 1 of them'

 1. ModuleHookRun:slow:a/hooks/x.sh:pods:Added

`
	summary := `Summary:
- 'main' queue: 2 tasks.
- 2 other queues (1 active, 1 empty): 1 task.
- total: 3 tasks.
`
	if d := cmp.Diff(text+summary, q.Text()); d != "" {
		t.Error(d)
	}
	task := func(i int, text string) map[string]any {
		return map[string]any{"index": float64(i), "description": text}
	}
	want := map[string]any{
		"active": []any{
			map[string]any{"name": "main", "tasksCount": 2.0, "status": "1 running",
				"tasks": []any{task(1, "ModuleRun:main:a:Inputs:failures 2:no"), task(2, "ModuleRun:main:b:Inputs")}},
			map[string]any{"name": "slow", "tasksCount": 1.0, "status": "runs 1 of them", "tasks": []any{task(1, "ModuleHookRun:slow:a/hooks/x.sh:pods:Added")}},
		},
		"summary": map[string]any{"mainQueueTasks": 2.0, "otherQueues": map[string]any{"active": 1.0, "empty": 1.0, "tasks": 1.0}, "totalTasks": 3.0},
	}
	if d := cmp.Diff(want, decode(t, q)); d != "" {
		t.Error(d)
	}
	q.ShowEmpty = true
	want["empty"] = []any{map[string]any{"name": "main/a", "tasksCount": 0.0, "status": "", "tasks": []any{}}}
	if d := cmp.Diff(want, decode(t, q)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(text+"Queue 'main/a': length 0, status: ''\n\n"+summary, q.Text()); d != "" {
		t.Error(d)
	}
}

func decode(t *testing.T, v any) map[string]any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Queue is one queue of tasks as people see it.
type Queue struct {
	Name string
	// Status is what happens in it now, "" for nothing.
	Status string
	// Tasks are described in the order of their turns.
	Tasks []string
}

// Queues is the answer of /queue/list and /queue/main (C-481).
type Queues struct {
	Queues []Queue
	// ShowEmpty lists queues without tasks too.
	ShowEmpty bool
}

// mainQueue is the one that the summary counts by itself.
const mainQueue = "main"

type queueRow struct {
	Name       string    `json:"name"`
	TasksCount int       `json:"tasksCount"`
	Status     string    `json:"status"`
	Tasks      []taskRow `json:"tasks"`
}

type taskRow struct {
	Index       int    `json:"index"`
	Description string `json:"description"`
}

type queueSummary struct {
	MainQueueTasks int `json:"mainQueueTasks"`
	OtherQueues    struct {
		Active int `json:"active"`
		Empty  int `json:"empty"`
		Tasks  int `json:"tasks"`
	} `json:"otherQueues"`
	TotalTasks int `json:"totalTasks"`
}

func (q Queues) summary() queueSummary {
	var s queueSummary
	for _, x := range q.Queues {
		n := len(x.Tasks)
		s.TotalTasks += n
		switch {
		case x.Name == mainQueue:
			s.MainQueueTasks = n
		case n == 0:
			s.OtherQueues.Empty++
		default:
			s.OtherQueues.Active++
			s.OtherQueues.Tasks += n
		}
	}
	return s
}

// rows are the queues with tasks, or those without.
func (q Queues) rows(active bool) []queueRow {
	out := []queueRow{}
	for _, x := range q.Queues {
		if (len(x.Tasks) > 0) != active {
			continue
		}
		row := queueRow{Name: x.Name, TasksCount: len(x.Tasks), Status: x.Status, Tasks: []taskRow{}}
		for i, text := range x.Tasks {
			row.Tasks = append(row.Tasks, taskRow{i + 1, text})
		}
		out = append(out, row)
	}
	return out
}

// MarshalJSON is the form of C-481.
func (q Queues) MarshalJSON() ([]byte, error) {
	dump := struct {
		Active  []queueRow   `json:"active"`
		Empty   *[]queueRow  `json:"empty,omitempty"`
		Summary queueSummary `json:"summary"`
	}{Active: q.rows(true), Summary: q.summary()}
	if q.ShowEmpty {
		empty := q.rows(false)
		dump.Empty = &empty
	}
	return json.Marshal(dump)
}

// Text is the form for people.
func (q Queues) Text() string {
	var b strings.Builder
	for _, active := range []bool{true, false} {
		for _, x := range q.Queues {
			if (len(x.Tasks) > 0) != active || !active && !q.ShowEmpty {
				continue
			}
			fmt.Fprintf(&b, "Queue '%s': length %d, status: '%s'\n\n", x.Name, len(x.Tasks), x.Status)
			for i, text := range x.Tasks {
				fmt.Fprintf(&b, "%2d. %s\n", i+1, text)
			}
			if len(x.Tasks) > 0 {
				b.WriteByte('\n')
			}
		}
	}
	s := q.summary()
	b.WriteString("Summary:\n")
	if slices.ContainsFunc(q.Queues, func(x Queue) bool { return x.Name == mainQueue }) {
		fmt.Fprintf(&b, "- 'main' queue: %s.\n", tasks(s.MainQueueTasks))
	}
	fmt.Fprintf(&b, "- %d other queues (%d active, %d empty): %s.\n- total: %s.\n", s.OtherQueues.Active+s.OtherQueues.Empty,
		s.OtherQueues.Active, s.OtherQueues.Empty, tasks(s.OtherQueues.Tasks), tasks(s.TotalTasks))
	return b.String()
}

func tasks(n int) string {
	switch n {
	case 0:
		return "empty"
	case 1:
		return "1 task"
	}
	return fmt.Sprintf("%d tasks", n)
}

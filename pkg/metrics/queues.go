package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Queue is a queue of hook runs at one moment.
type Queue struct {
	Name   string
	Length int
	// Head is the first task; it does not count when the queue is empty.
	Head Task
	// Hooks is the number of tasks by hook.
	Hooks map[hook.ID]int
}

// Task is one task of a queue.
type Task struct {
	// Hook has no name for the pass of an owner.
	Hook hook.ID
	Type string // such as ModuleHookRun
}

// manyTasks is from how many tasks on a hook has a series of its own (C-501).
const manyTasks = 20

// queueMetrics are those of C-501 and tasks_queue_head_info of C-507.
type queueMetrics struct {
	actions   *prometheus.HistogramVec
	compacted *prometheus.CounterVec
}

func newQueueMetrics(f, withActions factory) queueMetrics {
	return queueMetrics{
		actions:   withActions.histogram("tasks_queue_action_duration_seconds", "Duration of an action on a queue.", fast(), "queue_name", "queue_action"),
		compacted: f.asTelemetry().counter("tasks_queue_compaction_operations_total", "Compactions of a queue because of a hook's many tasks.", "queue_name", "hook"),
	}
}

// QueueAction counts an action on a queue, such as add or remove.
func (s *Self) QueueAction(queue, action string, took time.Duration) {
	s.queues.actions.WithLabelValues(labels(queue, action)...).Observe(took.Seconds())
}

// Compacted counts a compaction of a queue because of a hook's tasks.
func (s *Self) Compacted(queue string, id hook.ID) {
	s.queues.compacted.WithLabelValues(labels(queue, id.Name)...).Inc()
}

// WatchQueues shows what read tells, asked at each scrape. Call it once.
func (s *Self) WatchQueues(read func() []Queue) {
	f := factory{prefix: s.prefix}
	c := queueCollector{
		read:   read,
		length: prometheus.NewDesc(f.name("tasks_queue_length"), "Tasks in a queue.", []string{"queue"}, nil),
		hooks: prometheus.NewDesc(f.asTelemetry().name("tasks_queue_compaction_tasks_by_hook"),
			"Tasks of a hook in a queue, of hooks with more than 20.", []string{"queue_name", "hook"}, nil),
	}
	if !s.standalone {
		c.head = prometheus.NewDesc(f.name("tasks_queue_head_info"), "1 for the first task of a queue.", []string{"queue", "module", "task_type", "hook"}, nil)
	}
	s.reg.MustRegister(c)
}

// queueCollector asks for the queues when somebody looks, so that no loop copies them meanwhile.
type queueCollector struct {
	read         func() []Queue
	length, head *prometheus.Desc // head is nil without modules
	hooks        *prometheus.Desc
}

func (c queueCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.length
	out <- c.hooks
	if c.head != nil {
		out <- c.head
	}
}

func (c queueCollector) Collect(out chan<- prometheus.Metric) {
	for _, q := range c.read() {
		gauge(out, c.length, q.Length, q.Name)
		if c.head != nil && q.Length > 0 {
			gauge(out, c.head, 1, q.Name, q.Head.Hook.Owner.Module, q.Head.Type, q.Head.Hook.Name)
		}
		// Hooks of two modules may have one name (B-03).
		byName := map[string]int{}
		for id, n := range q.Hooks {
			byName[label(id.Name)] += n
		}
		for name, n := range byName {
			if n > manyTasks {
				gauge(out, c.hooks, n, q.Name, name)
			}
		}
	}
}

func gauge(out chan<- prometheus.Metric, d *prometheus.Desc, value int, values ...string) {
	out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels(values...)...)
}

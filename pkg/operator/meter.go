package operator

import (
	"cmp"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/metrics"
)

// meter feeds the two kinds of metrics, the operator's own and those of hooks.
type meter struct {
	self      *metrics.Self
	hooks     *metrics.Hooks
	selfRegs  *prometheus.Registry
	hooksRegs *prometheus.Registry
	print     *printer
	outage    *outage
}

func newMeter(cfg Config, opts ...metrics.Option) meter {
	if os.Getenv("QUEUE_ACTIONS_METRICS") == "no" {
		opts = append(opts, metrics.WithoutQueueActions())
	}
	m := meter{print: &printer{}, outage: &outage{}, hooks: metrics.NewHooks(), selfRegs: prometheus.NewRegistry(), hooksRegs: prometheus.NewRegistry()}
	m.self = metrics.NewSelf(m.selfRegs, cfg.MetricsPrefix, opts...)
	m.self.WatchHookMetrics(m.hooks)
	m.hooksRegs.MustRegister(m.hooks)
	return m
}

// handlers are those of /metrics and /metrics/hooks.
func (m meter) handlers() (self, hooks http.Handler) {
	return promhttp.HandlerFor(m.selfRegs, promhttp.HandlerOpts{}), promhttp.HandlerFor(m.hooksRegs, promhttp.HandlerOpts{})
}

// observer counts what watches and requests do.
func (m meter) observer() kube.Observer {
	return kube.Observer{
		Objects: m.self.Objects, Stopped: m.self.Stopped, Filtered: m.self.Filtered, Handled: m.self.Handled,
		WatchFailed: m.self.WatchFailed, Requested: func(r kube.Request) {
			m.self.Requested(metrics.Request(r))
			m.outage.requested(r)
		},
		Throttled: m.self.Throttled,
	}
}

// clientOptions are how requests to the API server are bounded and observed.
func clientOptions(cfg Config, m meter) []kube.Option {
	o := m.observer()
	if cfg.LogRequests {
		count := o.Requested
		o.Requested = func(r kube.Request) {
			cfg.Logger.Info("request to the API server", "component", r.Component, "method", r.Method, "path", r.Path, "code", r.Code, "took", r.Took)
			count(r)
		}
	}
	return []kube.Option{kube.WithObserver(o), kube.WithRate(cfg.KubeQPS, cfg.KubeBurst), kube.WithOperationRate(cfg.OperationQPS, cfg.OperationBurst),
		kube.WithAccounts(cfg.Namespace), kube.WithOperationTimeout(cmp.Or(cfg.OperationTimeout, 10*time.Second))}
}

// watchQueues shows the lanes.
func (m meter) watchQueues(read func() []hookrun.Queue) {
	m.self.WatchQueues(func() []metrics.Queue {
		var out []metrics.Queue
		for _, q := range read() {
			out = append(out, metrics.Queue{Name: q.Name, Length: q.Length, Hooks: q.Hooks,
				Head: metrics.Task{Hook: q.Head, Type: headType(q)}})
		}
		return out
	})
}

// headType is the type of a queue's first task.
func headType(q hookrun.Queue) string {
	if q.Head.Name != "" {
		return taskType(q.Head.Owner)
	}
	if q.Head.Owner.IsGlobal() {
		return "ConvergeModules"
	}
	return "ModuleRun"
}

// taskType is what the predecessor calls a task that runs a hook (C-507).
func taskType(o hook.Owner) string {
	switch {
	case o.IsStandalone():
		return "HookRun"
	case o.IsGlobal():
		return "GlobalHookRun"
	}
	return "ModuleHookRun"
}

func (m meter) Samples(id hook.ID, samples []hook.Sample) error {
	return m.hooks.Apply(id, m.print.samples(samples))
}

func (m meter) Forget(o hook.Owner) {
	m.hooks.Forget(o)
	m.self.Forget(o)
}

func (m meter) HookRun(r hookrun.Run) {
	m.self.HookRun(metrics.Run{ID: r.ID, Binding: r.Binding, Queue: r.Queue, Activation: r.Activation, Usage: r.Usage,
		Waited: r.Waited, Failed: r.Err != nil, AllowFailure: r.AllowFailure, Reason: hook.ReasonOf(r.Err)})
}

func (m meter) Bindings(id hook.ID, n int) { m.self.Bindings(id, n) }

func (m meter) Compacted(lane string, id hook.ID) { m.self.Compacted(lane, id) }

func (m meter) QueueAction(lane, action string, took time.Duration) {
	m.self.QueueAction(lane, action, took)
}

func (m meter) BindingsStarted(id hook.ID, took time.Duration, err error) {
	m.self.BindingsStarted(id, took, err)
}

func (m meter) ResourceAbsent(module, resource string) { m.self.ResourceAbsent(module, resource) }

func (m meter) HelmOperation(module, activation, operation string, took time.Duration) {
	m.self.HelmOperation(module, activation, operation, took)
}

func (m meter) ModuleDeleteFailed(module string) { m.self.ModuleDeleteFailed(module) }

func (m meter) DiscoverFailed() { m.self.DiscoverFailed() }

func (m meter) Converged(activation string, took time.Duration) { m.self.Converged(activation, took) }

func (m meter) MonitorMissing(binding string) { m.self.MonitorMissing(binding) }

func (m meter) ModuleRun(r converge.ModuleRun) {
	m.self.ModuleRun(r.Module, r.Activation, r.Took, r.Helm, r.Action != "", r.Failed)
}

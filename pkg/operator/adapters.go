package operator

import (
	"time"

	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/metrics"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// reporter shows statuses in the cluster, in metrics and on the terminal.
type reporter struct {
	cluster  *report.Reporter
	self     *metrics.Self
	progress func(status.Module)
}

func (r reporter) Report(m status.Module) {
	r.cluster.Report(m)
	if m.Gone {
		return
	}
	r.self.Enabled(m.Name, m.Version, m.Enabled)
	if r.progress != nil {
		r.progress(m)
	}
}

func (r reporter) Event(module string, warning bool, reason, message string) {
	if reason == status.ReasonConfigInvalid {
		r.self.ConfigProblem()
	}
	r.cluster.Event(module, warning, reason, message)
}

// meter feeds the two kinds of metrics.
type meter struct {
	self  *metrics.Self
	hooks *metrics.Hooks
}

func (m meter) Samples(id hook.ID, samples []hook.Sample) error { return m.hooks.Apply(id, samples) }

func (m meter) Forget(o hook.Owner) { m.hooks.Forget(o) }

func (m meter) HookRun(r hookrun.Run) {
	m.self.HookRun(metrics.Run{ID: r.ID, Binding: r.Binding, Queue: r.Queue, Activation: r.Activation, Usage: r.Usage,
		Failed: r.Err != nil, AllowFailure: r.AllowFailure})
}

func (m meter) ModuleRun(r converge.ModuleRun) {
	m.self.ModuleRun(r.Module, r.Activation, r.Took, r.Helm, r.Action != "", r.Failed)
}

func (m meter) BindingsStarted(hook.ID, time.Duration, error) {}

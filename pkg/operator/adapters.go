package operator

import (
	"github.com/addon-operator/addon-operator/pkg/metrics"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/rollout"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// reporter shows statuses in the cluster, in metrics and on the terminal.
type reporter struct {
	cluster  *report.Reporter
	self     *metrics.Self
	progress func(status.Module)
	print    *printer
	channels *rollout.Engine
}

func (r reporter) Report(m status.Module) {
	m = r.print.status(m.From(r.channels.Origin(m.Name)))
	defer r.channels.ModuleChanged()
	r.cluster.Report(m)
	if m.Gone {
		r.self.ForgetModule(m.Name)
		return
	}
	r.self.Enabled(m.Name, m.Version, m.Enabled)
	r.self.Conditions(m)
	r.self.Checks(m)
	r.self.Maintenance(m.Name, m.Maintenance)
	r.self.Paused(m.Name, m.PausedUntil)
	if r.progress != nil {
		r.progress(m)
	}
}

func (r reporter) Event(module string, warning bool, reason, message string) {
	if reason == status.ReasonConfigInvalid {
		r.self.ConfigProblem()
	}
	r.cluster.Event(module, warning, reason, r.print.text(message))
}

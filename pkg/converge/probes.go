package converge

import (
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// probe has the health checks by HTTP and hook made while the module is on and
// something of it is in place; the first time at the end of an attempt, so that it
// is not Ready before they were looked at. What an action changed has to be looked at anew.
func (p *pass) probe() {
	d := p.st.desc()
	var probed, was bool
	p.st.edit(func(st *moduleState) {
		was = st.probed
		place := st.probed || st.tracked || st.attempt == status.Succeeded
		st.probed = st.decision.On && !st.removing && !st.gone && place
		probed = st.probed
	})
	switch {
	case probed:
		p.cfg.Ports.Prober.Configure(d.Name, p.checksOf(d))
		if was && p.action != "" && !p.renewed {
			p.renewed = true
			p.cfg.Ports.Prober.Renew(d.Name)
		}
	case was:
		p.cfg.Ports.Prober.Forget(d.Name)
	}
}

// checksOf are the checks of a module that are made in intervals, with its namespace put in.
func (l *Loop) checksOf(d *module.Descriptor) []module.HealthCheck {
	var out []module.HealthCheck
	for _, c := range d.Health {
		if c.CEL != "" {
			continue
		}
		c.HTTP = strings.ReplaceAll(c.HTTP, module.NamespaceVariable, l.namespace(d))
		out = append(out, c)
	}
	return out
}

// ChecksChanged is for the Prober: a result of a module moved.
func (l *Loop) ChecksChanged(module string) { l.keys.add(module, becauseHealth) }

// HookValues are the newest texts of VALUES_PATH and CONFIG_VALUES_PATH of a module (C-106).
func (l *Loop) HookValues(module string) (vals, config []byte) {
	return host{l}.Values(hook.Owner{Module: module})
}

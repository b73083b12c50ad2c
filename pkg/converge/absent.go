package converge

import (
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// reportMissing shows the releases of ours whose module cannot be read or is in no
// directory any more: they stay as they are.
func (l *Loop) reportMissing(rels []installed.Release) {
	for _, rel := range rels {
		if l.ours(rel) && l.state(rel.Name) == nil {
			l.tellMissing(rel)
		}
	}
}

// tellMissing shows one of them.
func (l *Loop) tellMissing(rel installed.Release) {
	message := "the module is in no modules directory; its release stays as it is"
	if err := l.Modules().Broken[rel.Name]; err != nil {
		message = "the module cannot be read, and its release stays as it is: " + err.Error()
	}
	l.log.Warn("module is missing", "module", rel.Name, "message", message)
	l.cfg.Ports.Reporter.Event(rel.Name, true, status.ReasonModuleMissing, message)
	l.cfg.Ports.Reporter.Report(status.Missing(rel.Name, rel.Revision, message))
}

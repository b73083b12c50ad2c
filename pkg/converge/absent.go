package converge

import (
	"fmt"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// noteCycles marks the modules that require each other in a circle: none of them
// can be installed, and everybody else goes on.
func (l *Loop) noteCycles() {
	for _, cycle := range module.Cycles(l.cfg.Modules.Modules) {
		text := strings.Join(append(cycle, cycle[0]), " > ")
		l.log.Error("modules require each other in a circle; none of them can be installed", "cycle", text)
		for _, name := range cycle {
			l.modules[name].cycle = text
		}
	}
}

// circular is the wait of a module on a cycle, nil for any other.
func (st *moduleState) circular() error {
	if st.cycle == "" {
		return nil
	}
	return &waiting{reason: status.ReasonRequirement,
		message: fmt.Sprintf("requires itself: %s; take one of these out of `requires` in its module.yaml", st.cycle)}
}

// reportMissing shows the releases of ours whose module cannot be read or is in no
// directory any more: they stay as they are.
func (l *Loop) reportMissing(rels []installed.Release) {
	for _, rel := range rels {
		if !l.ours(rel) || l.modules[rel.Name] != nil {
			continue
		}
		message := "the module is in no modules directory; its release stays as it is"
		if err := l.cfg.Modules.Broken[rel.Name]; err != nil {
			message = "the module cannot be read, and its release stays as it is: " + err.Error()
		}
		l.log.Warn("module is missing", "module", rel.Name, "message", message)
		l.cfg.Ports.Reporter.Event(rel.Name, true, status.ReasonModuleMissing, message)
		l.cfg.Ports.Reporter.Report(status.Missing(rel.Name, rel.Revision, message))
	}
}

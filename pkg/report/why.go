package report

import (
	"time"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// renderWhy adds who decided, who set which value, what is waited for and what the last
// pass did. A process that has changed nothing yet keeps what is shown of the last pass.
func renderWhy(out map[string]any, m status.Module, before map[string]any) {
	if m.Decision.By != "" {
		out["decision"] = map[string]any{"on": m.Decision.On, "by": m.Decision.By, "why": m.Decision.Why}
	}
	if len(m.Values) > 0 {
		list := make([]any, len(m.Values))
		for i, v := range m.Values {
			list[i] = map[string]any{"path": v.Path, "from": v.From}
		}
		out["values"] = list
	}
	if m.ValuesOmitted > 0 {
		out["valuesOmitted"] = int64(m.ValuesOmitted)
	}
	if len(m.WaitsFor) > 0 {
		out["waitsFor"] = texts(m.WaitsFor)
	}
	if old, ok := before["lastPass"]; ok && m.LastPass == nil {
		out["lastPass"] = old
	}
	if p := m.LastPass; p != nil {
		pass := map[string]any{"time": p.Time.UTC().Format(time.RFC3339), "duration": p.Duration.Round(time.Millisecond).String(),
			"why": p.Why, "action": p.Action, "failed": p.Failed}
		if len(p.Changed) > 0 {
			pass["changed"] = texts(p.Changed)
		}
		out["lastPass"] = pass
	}
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

package operator

import (
	"log/slog"
	"sync/atomic"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/store"
)

// printer takes secret values out of what people read. Until there is a store
// nothing is known that could be secret.
type printer struct{ store atomic.Pointer[store.Store] }

func (p *printer) text(text string) string {
	if s := p.store.Load(); s != nil {
		return s.Redact(text)
	}
	return text
}

func (p *printer) logger(log *slog.Logger) *slog.Logger {
	return slog.New(redact.Handler(log.Handler(), p.text))
}

func (p *printer) status(m status.Module) status.Module {
	conditions := make([]status.Condition, len(m.Conditions))
	for i, c := range m.Conditions {
		c.Message = p.text(c.Message)
		conditions[i] = c
	}
	m.Conditions = conditions
	m.Decision.Why = p.text(m.Decision.Why)
	m.WaitsFor = p.texts(m.WaitsFor)
	if m.LastPass != nil {
		pass := *m.LastPass
		pass.Action, pass.Changed = p.text(pass.Action), p.texts(pass.Changed)
		m.LastPass = &pass
	}
	return m
}

func (p *printer) texts(list []string) []string {
	out := make([]string, len(list))
	for i, text := range list {
		out[i] = p.text(text)
	}
	return out
}

// samples are those of a hook without secret values in labels.
func (p *printer) samples(samples []hook.Sample) []hook.Sample {
	out := make([]hook.Sample, len(samples))
	for i, s := range samples {
		labels := make(map[string]string, len(s.Labels))
		for name, v := range s.Labels {
			labels[name] = p.text(v)
		}
		if s.Labels != nil {
			s.Labels = labels
		}
		out[i] = s
	}
	return out
}

package operator

import (
	"context"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// explainRoutes answer why.
func (i *inspector) explainRoutes() []web.Route {
	return []web.Route{
		{Path: "/module/{name}/explain", Help: "why a module is as it is: who decided, who set its values, what its last pass did", Remote: true, Answer: i.explain},
		{Path: "/module/{name}/diff", Help: "objects that a module's chart gives now against those in the cluster", Answer: i.moduleDiff},
	}
}

func (i *inspector) explain(_ context.Context, q web.Query) (any, error) {
	m, ok := i.loop.Explain(q.Parts["name"])
	if !ok {
		return nil, noModule(q.Parts["name"])
	}
	if o := i.channels.Origin(m.Name); o != (status.Origin{}) {
		o.Message = i.store.Redact(o.Message)
		m.From = &explain.From{Source: o.Source, Channel: o.Channel, Available: o.Available, Reason: o.Reason, Message: o.Message}
	}
	return m, nil
}

func noModule(name string) error {
	return fmt.Errorf("module %q is in no modules directory: see `addon-operator module list`: %w", name, web.ErrNotFound)
}

package operator

import (
	"context"
	"fmt"
	"net/http"

	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// planRoute says what a ConfigMap would do.
func (w *wiring) planRoute() web.Route {
	return web.Route{Method: http.MethodPost, Path: "/plan", Answer: w.plan,
		Help: "what a ConfigMap would do; form: configmap, the object or its data as YAML or JSON, and diff=true for diffs of objects in the text"}
}

func (w *wiring) plan(ctx context.Context, q web.Query) (any, error) {
	data, namespace, name, err := settings.ParseDocument([]byte(q.Form.Get("configmap")))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", web.ErrBadRequest, err)
	}
	if name != "" && name != w.cfg.ConfigMap || namespace != "" && namespace != w.cfg.Namespace {
		return nil, fmt.Errorf("%w: ConfigMap %s/%s is not that of this operator, which is %s/%s", web.ErrBadRequest,
			namespace, name, w.cfg.Namespace, w.cfg.ConfigMap)
	}
	next, err := w.store.Preview(ctx, data)
	if err != nil {
		return nil, err
	}
	p, err := w.loop.Plan(ctx, next)
	p.Diff = q.Is("diff")
	return p, err
}

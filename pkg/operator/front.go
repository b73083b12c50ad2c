package operator

import (
	"context"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// front answers on the operator's ports for as long as the process lives. What is
// behind them changes: a start, a standby, the operator.
type front struct {
	ports
	http, debug, remote web.Switch
}

// openFront opens the ports; until it is told otherwise it answers as an operator that has begun nothing.
func openFront(ctx context.Context, cfg Config, m meter) (*front, error) {
	p, err := listen(ctx, cfg)
	if err != nil {
		return nil, err
	}
	f := &front{ports: p}
	self, hooks := m.handlers()
	f.http.To(web.Public(func() web.Progress { return web.Progress{} }, self, hooks))
	f.nothingToShow(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the operator has not read its settings yet; ask again", http.StatusServiceUnavailable)
	}))
	return f, nil
}

// show puts the operator behind the ports.
func (f *front) show(public http.Handler, routes []web.Route, redact func(string) string) {
	f.http.To(public)
	f.debug.To(debugSocket(routes, redact))
	f.remote.To(debugPort(routes, redact))
}

// nothingToShow has the debugging ports say why they show nothing.
func (f *front) nothingToShow(why http.Handler) {
	f.debug.To(why)
	f.remote.To(why)
}

// serveWhile serves until run has returned and returns its error; run's context ends when serving fails.
func (f *front) serveWhile(ctx context.Context, run func(context.Context) error) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.serveHandlers(serving, &f.http, &f.debug, &f.remote) })
	group.Go(func() error {
		defer stop()
		return run(ctx)
	})
	return group.Wait()
}

package operator

import (
	"context"
	"net"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// ports are where the operator answers.
type ports struct {
	public, socket net.Listener
	remote         net.Listener // nil without DebugAddress
}

// listen opens the HTTP port and the debug socket.
func listen(ctx context.Context, cfg Config) (p ports, err error) {
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.public, err = web.ListenTCP(ctx, cfg.ListenAddress, "--prometheus-listen-port"); err != nil {
		return p, err
	}
	if p.socket, err = web.ListenUnix(ctx, cfg.DebugSocket); err != nil {
		return p, err
	}
	if cfg.DebugAddress != "" {
		p.remote, err = web.ListenTCP(ctx, loopback(cfg.DebugAddress), "--debug-http-addr")
	}
	return p, err
}

// loopback puts the host of loopback before a port without one.
func loopback(address string) string {
	if port := strings.TrimPrefix(address, ":"); !strings.Contains(port, ":") {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}

func (p ports) close() {
	for _, l := range []net.Listener{p.public, p.socket, p.remote} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// serve answers on all ports until ctx ends. What the routes answer is shown as redact makes it.
func (p ports) serve(ctx context.Context, public http.Handler, routes []web.Route, redact func(string) string) error {
	return p.serveHandlers(ctx, public, debugSocket(routes, redact), debugPort(routes, redact))
}

func debugSocket(routes []web.Route, redact func(string) string) http.Handler {
	return web.Redacted(web.Debug("addon-operator debug socket", routes), redact)
}

func debugPort(routes []web.Route, redact func(string) string) http.Handler {
	return web.Redacted(web.Debug("addon-operator debug port", web.Remote(routes)), redact)
}

func (p ports) serveHandlers(ctx context.Context, public, socket, remote http.Handler) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return web.Serve(ctx, p.public, public) })
	group.Go(func() error { return web.Serve(ctx, p.socket, socket) })
	if p.remote != nil {
		group.Go(func() error { return web.Serve(ctx, p.remote, remote) })
	}
	return group.Wait()
}

// applySettings puts a reading of the ConfigMap in force, and logs it where that is asked for (C-383).
func (w *wiring) applySettings(s settings.Settings) {
	defer w.channels.engine.Settings(s)
	w.loop.ApplySettings(s)
	if !w.logConfig.Load() {
		return
	}
	for _, o := range w.owners() {
		sec := w.inspect.store.Section(o)
		if sec == nil || !sec.HasConfig {
			continue
		}
		text, err := yaml.Marshal(sec.MaskedConfig())
		if err != nil {
			continue
		}
		w.cfg.Logger.Info("ConfigMap section in force", "section", o.Section(), "values", string(text))
	}
	w.cfg.Logger.Info("ConfigMap flags in force", "enabled", s.Enabled, "maintenance", s.Maintenance, "problems", s.Problems)
}

// owners are those of all sections.
func (w *wiring) owners() []hook.Owner {
	out := []hook.Owner{hook.Global}
	for _, m := range w.loop.Modules().Modules {
		out = append(out, hook.Owner{Module: m.Name})
	}
	return out
}

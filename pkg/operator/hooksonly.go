package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/cron"
	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hooksonly"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/metrics"
	"github.com/addon-operator/addon-operator/pkg/web"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// hooksWiring is the assembled operator of hooks-only mode.
type hooksWiring struct {
	cfg      Config
	clients  *kube.Clients
	exec     *exec.Runner
	cron     *cron.Cron
	loop     *hooksonly.Loop
	meter    meter
	webhooks *webhook.Server

	parameters *parameters
}

// runHooks is Run for a folder of hooks.
func runHooks(ctx context.Context, cfg Config) error {
	rest, kubeconfig, err := clientConfig(cfg)
	if err != nil {
		return err
	}
	cfg.HooksDir = absolute(cfg.HooksDir)
	cfg.Logger.Info("addon-operator starts with hooks only", "hooksDir", cfg.HooksDir, "apiServer", rest.Host)
	m := newMeter(cfg, metrics.Standalone())
	clients, err := kube.NewClients(rest, clientOptions(cfg, m)...)
	if err != nil {
		return err
	}
	w := &hooksWiring{cfg: cfg, clients: clients, meter: m, cron: cron.New(cron.Config{Logger: cfg.Logger}),
		parameters: newParameters(cfg.LogLevel, cfg.Logger)}
	if w.exec, err = newRunner(cfg, kubeconfig, nil, nil, nil); err != nil {
		return err
	}
	if w.webhooks, err = newWebhooks(cfg, clients, m, func(hook.Owner, string) {}); err != nil {
		return err
	}
	w.loop = hooksonly.New(hooksonly.Config{
		Dir: cfg.HooksDir, Patience: max(0, cfg.OrderPatience), ShutdownGrace: cfg.ShutdownGrace, Logger: cfg.Logger,
		Ports: hooksonly.Ports{
			Executables: executables{w.exec, cfg.Hooks}, Watcher: kube.NewWatcher(clients, cfg.Logger), Scheduler: w.cron, Objects: clients,
			Webhooks: w.webhooks, Meter: m,
		},
	})
	m.watchQueues(w.loop.Queues)
	return w.run(ctx)
}

func (w *hooksWiring) run(ctx context.Context) error {
	ports, err := listen(ctx, w.cfg)
	if err != nil {
		return err
	}
	defer w.parameters.Close()
	edges, stopEdges := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEdges()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopEdges()
		return w.loop.Run(ctx)
	})
	group.Go(func() error {
		self, hooks := w.meter.handlers()
		return ports.serve(edges, web.Public(w.Progress, self, hooks), w.routes(), func(text string) string { return text })
	})
	group.Go(func() error { return ended(ctx, w.cron.Run(ctx)) })
	group.Go(func() error { return ended(ctx, w.webhooks.Run(ctx)) })
	group.Go(func() error { return ended(ctx, w.clients.WatchDiscovery(ctx, func() {}, func(string) {})) })
	err = group.Wait()
	return errors.Join(err, w.exec.Close())
}

// Progress is for the probes: ready is that the start of every hook was attempted.
func (w *hooksWiring) Progress() web.Progress {
	return web.Progress{Started: true, Done: w.loop.Ready()}
}

// routes are those of section 11.6 of the contract without modules.
func (w *hooksWiring) routes() []web.Route {
	return slices.Concat(queueRoutes(func() []web.Queue { return laneTable(w.loop.Dump(), w.loop.Lanes()) }), w.parameters.routes(), []web.Route{
		{Path: "/hook/list", Help: "hooks and their state", Remote: true,
			Answer: func(context.Context, web.Query) (any, error) { return w.hooks(), nil }},
		{Path: "/hook/{name...}/snapshots", Help: "what kubernetes bindings of a hook hold",
			Answer: func(_ context.Context, q web.Query) (any, error) { return w.snapshots(q.Parts["name"]) }},
	})
}

func (w *hooksWiring) hooks() any {
	rows := []map[string]any{}
	for _, h := range w.loop.Hooks() {
		row := map[string]any{"name": h.Name, "state": string(h.State), "runs": h.Runs, "failures": h.Failures}
		if h.LastError != "" {
			row["lastError"] = h.LastError
		}
		if !h.Since.IsZero() {
			row["runsSince"] = h.Since.UTC().Format(time.RFC3339)
		}
		if !h.LastRun.IsZero() {
			row["lastRun"] = h.LastRun.UTC().Format(time.RFC3339)
		}
		rows = append(rows, row)
	}
	return rows
}

// snapshots is C-482.
func (w *hooksWiring) snapshots(name string) (any, error) {
	held, ok := w.loop.Snapshots(name)
	if !ok {
		return nil, fmt.Errorf("hook %q is not known: see `addon-operator hook list`: %w", name, web.ErrNotFound)
	}
	return bindings(held)
}

package operator

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/addon-operator/addon-operator/pkg/config"
	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/cron"
	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hookrun"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/probe"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/store"
	"github.com/addon-operator/addon-operator/pkg/web"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// Run is the whole operator. It returns when ctx has ended and everything it
// started has stopped, or with the error that made going on impossible.
//
//  1. read flags and modules from disk
//  2. open the HTTP port and the debug socket
//  3. make the clients; nothing is dialled yet
//  4. of several replicas: wait until this one leads (ha.go)
//  5. apply the operator's own CRDs; read ConfigMap, Secret and facts
//  6. make the store and the edges
//  7. run everything: edges that watch, the reporter, the loop
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	if cfg.HooksDir != "" {
		return runHooks(ctx, cfg)
	}
	secrets := &printer{}
	cfg.Logger = secrets.logger(cfg.Logger)
	hooksDir, err := cfg.hooksDir()
	if err != nil {
		return err
	}
	mods, err := readModules(cfg)
	if err != nil {
		return err
	}
	logModules(cfg.Logger, mods)
	rest, kubeconfig, err := clientConfig(cfg)
	if err != nil {
		return err
	}
	cfg.Logger.Info("addon-operator starts", "namespace", cfg.Namespace, "configMap", cfg.ConfigMap, "modules", len(mods.Modules),
		"modulesDir", cfg.ModulesDir, "globalHooksDir", cfg.GlobalHooksDir, "apiServer", rest.Host)
	if err := cfg.joinElection(rest); err != nil {
		return err
	}
	m := newMeter(cfg)
	m.print = secrets
	clients, err := kube.NewClients(rest, append(clientOptions(cfg, m), cfg.fenced()...)...)
	if err != nil {
		return err
	}
	typed, err := kubernetes.NewForConfigAndClient(clients.REST, clients.HTTP)
	if err != nil {
		return err
	}
	f, err := openFront(ctx, cfg, m)
	if err != nil {
		return err
	}
	lead := func(ctx context.Context) error {
		if cfg.elector != nil { // a while ago
			mods = readAnew(cfg, mods)
		}
		w, err := newWiring(ctx, cfg, mods, hooksDir, kubeconfig, clients, typed, m)
		if err != nil {
			return ended(ctx, err)
		}
		return w.run(ctx, f)
	}
	return f.serveWhile(ctx, func(ctx context.Context) error {
		if cfg.elector == nil {
			return lead(ctx)
		}
		return standby{cfg: cfg, clients: clients, front: f, meter: m}.run(ctx, lead)
	})
}

// wiring is the assembled operator.
type wiring struct {
	cfg      Config
	clients  *kube.Clients
	tracker  *kube.Tracker
	helm     *helm.Client
	exec     *exec.Runner
	cron     *cron.Cron
	store    *config.Store
	reporter *report.Reporter
	loop     *converge.Loop
	inspect  *inspector
	meter    meter
	webhooks *webhook.Server
	channels *channels
	prober   *probe.Prober

	parameters *parameters
	logConfig  atomic.Bool // log.configmap.events
}

// routes are what the debug socket answers.
func (w *wiring) routes() []web.Route {
	return slices.Concat(w.inspect.routes(), w.inspect.explainRoutes(), []web.Route{w.planRoute()}, w.parameters.routes())
}

func newWiring(ctx context.Context, cfg Config, mods *module.Set, hooksDir, kubeconfig string, clients *kube.Clients, typed kubernetes.Interface, m meter) (*wiring, error) {
	w := &wiring{cfg: cfg, clients: clients, meter: m, parameters: newParameters(cfg.LogLevel, cfg.Logger)}
	w.parameters.addSwitch("log.configmap.events", "what each change of the ConfigMap puts in force is logged, secrets masked", w.logConfig.Load, w.logConfig.Store)
	extra, _ := parseLabels(cfg.CRDLabels) // validate has seen it

	w.store = config.New(config.Config{Client: typed, Namespace: cfg.Namespace, Name: cfg.ConfigMap, Logger: cfg.Logger,
		Schemas: schemasOf(func() *module.Set { return w.modules(mods) }),
		Notify:  func(key, reason, message string) { w.notify(key, reason, message) }})
	if err := patiently(ctx, cfg.Logger, "apply the operator's own CRDs", func() error { return w.ensureOwnCRDs(ctx) }); err != nil {
		return nil, err
	}
	var conf settings.Settings
	var facts settings.Facts
	err := patiently(ctx, cfg.Logger, "read the ConfigMap and facts", func() (err error) {
		if conf, err = w.store.Load(ctx); err != nil {
			return err
		}
		facts, err = w.store.LoadFacts(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if w.helm, err = helm.New(helm.Config{REST: clients.REST, Discovery: clients.Discovery, Mapper: clients.Mapper,
		Namespace: cfg.Namespace, Instance: cfg.instance(), Labels: extra, HistoryMax: cfg.HelmHistoryMax,
		Timeout: cfg.HelmTimeout, Spare: func(ctx context.Context, release string, ref object.Ref) []string {
			return w.tracker.Spared(ctx, release, ref)
		},
		Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	w.reporter = report.New(report.Config{Dynamic: clients.Dynamic, Client: typed, Namespace: cfg.Namespace, ConfigMap: cfg.ConfigMap, Logger: cfg.Logger})
	if w.channels, err = newChannels(ctx, cfg, mods, conf, facts.Channels, clients, typed, w.helm, w.reporter, m, func() { w.loop.Touch() }); err != nil {
		return nil, err
	}
	if mods, err = w.channels.engine.Set(); err != nil {
		return nil, err
	}
	values, err := store.New(mods, facts)
	if err != nil {
		return nil, err
	}
	m.print.store.Store(values)

	accounts, err := kube.NewKubeconfigs(clients, cfg.Namespace)
	if err != nil {
		return nil, err
	}
	if w.exec, err = newRunner(cfg, kubeconfig, accounts.Kubeconfig, m.print.text, func(o hook.Owner) []string { return probesOf(w.modules(mods), o) }); err != nil {
		return nil, err
	}
	w.cron = cron.New(cron.Config{Logger: cfg.Logger})
	w.tracker = kube.NewTracker(clients, labels.SelectorFromSet(extra), func(m string, drifted bool) { w.loop.ObjectsChanged(m, drifted) }, cfg.Logger)

	w.prober = probe.New(probe.Config{Hook: w.probe, Notify: func(m string) { w.loop.ChecksChanged(m) }})

	if w.webhooks, err = newWebhooks(cfg, clients, m, func(o hook.Owner, message string) {
		if o == validator() {
			o = hook.Global // an Event on the ConfigMap
		}
		w.reporter.Event(o.Module, true, "WebhookFailed", m.print.text(message))
	}); err != nil {
		return nil, err
	}
	w.loop = converge.New(converge.Config{
		Modules: mods, Store: values, Settings: conf, Facts: facts, GlobalHooksDir: cmp.Or(mods.GlobalHooks, hooksDir),
		Namespace: cfg.Namespace, Instance: cfg.instance(), CRDLabels: extra, IgnoreRelease: cfg.HelmIgnoreRelease,
		OrderPatience: cfg.OrderPatience, ParallelApply: cfg.ParallelApply, PurgeGrace: cfg.PurgeGrace, StalledAfter: cfg.StalledAfter, ShutdownGrace: cfg.ShutdownGrace,
		Lost: cfg.lost(), Channels: w.channels.engine.Memory, Logger: cfg.Logger,
		Ports: converge.Ports{
			Executables: executables{w.exec, cfg.Hooks}, Watcher: kube.NewWatcher(clients, cfg.Logger), Scheduler: w.cron, Objects: acting{clients},
			Installer: w.helm, Tracker: w.tracker, Cluster: acting{clients}, Settings: w.store, Facts: w.store,
			Webhooks: actingWebhooks{w.webhooks, clients}, Prober: w.prober,
			Reporter: reporter{w.reporter, m.self, cfg.Progress, m.print, w.channels.engine}, Meter: m,
		},
	})
	back := w.loop.ServerBack
	m.outage.back.Store(&back)
	w.channels.engine.Drive(driven{w.loop, w.store.Look})
	m.watchQueues(func() []hookrun.Queue { return append(passes(w.loop), w.loop.Queues()...) })
	m.self.WatchProgress(func() (bool, int) {
		_, converged, unsettled := w.loop.Progress()
		return converged, unsettled
	})
	w.inspect = &inspector{loop: w.loop, store: values, helm: w.helm, tracker: w.tracker, channels: w.channels.engine, namespace: cfg.Namespace}
	return w, nil
}

// newRunner makes what runs the executables of hooks.
func newRunner(cfg Config, kubeconfig string, as func(context.Context, string, time.Duration) ([]byte, error), printed func(string) string, probes func(hook.Owner) []string) (*exec.Runner, error) {
	env := os.Environ()
	if kubeconfig != "" {
		env = append(env, "KUBECONFIG="+kubeconfig)
	}
	return exec.New(exec.Config{Kubeconfig: as, TempDir: cfg.TempDir, Timeout: cfg.HookTimeout, KeepTempFiles: cfg.KeepTempFiles,
		Env: env, ProxyJSONLogs: cfg.ProxyJSONLogs, Limits: cfg.HookLimits, FilesLimit: cfg.HookFiles, Credential: cfg.HookUser, Printed: printed, Probes: probes, Allowed: cfg.allowed(), Logger: cfg.Logger})
}

// run starts every part and returns when all have ended.
func (w *wiring) run(ctx context.Context, f *front) error {
	defer w.parameters.Close()
	self, hooks := w.meter.handlers()
	f.show(web.Public(w.inspect.Progress, self, hooks), w.routes(), w.meter.print.text)
	// The reporter outlives the loop, so that its last words are heard.
	edges, stopEdges := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEdges()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer stopEdges()
		return w.loop.Run(ctx)
	})
	group.Go(func() error { return w.reporter.Run(edges) })
	group.Go(func() error {
		return ended(ctx, patiently(ctx, w.cfg.Logger, "remove Module resources of modules that are gone", func() error { return w.keepModules(ctx) }))
	})
	group.Go(func() error { return ended(ctx, w.store.Run(ctx, w.applySettings)) })
	group.Go(func() error { return ended(ctx, w.watchModules(ctx)) })
	group.Go(func() error { return ended(ctx, w.channels.run(ctx)) })
	group.Go(func() error { return ended(ctx, w.cron.Run(ctx)) })
	group.Go(func() error { return ended(ctx, w.webhooks.Run(ctx)) })
	group.Go(func() error { return ended(ctx, w.validateConfigMap(ctx)) })
	group.Go(func() error { return ended(ctx, w.tracker.Run(edges)) })
	group.Go(func() error { return ended(ctx, w.prober.Run(ctx)) })
	group.Go(func() error {
		return ended(ctx, w.clients.WatchDiscovery(ctx, func() {
			w.helm.Refresh()
			w.loop.CapabilitiesChanged()
		}, w.loop.CRDChanged))
	})
	err := group.Wait()
	return errors.Join(err, w.exec.Close())
}

// keepModules deletes the Module resources that earlier processes made for modules of
// which neither a directory nor a release is left.
func (w *wiring) keepModules(ctx context.Context) error {
	rels, err := w.helm.List(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, r := range rels {
		names[r.Name] = true
	}
	for _, m := range w.loop.Modules().Modules {
		names[m.Name] = true
	}
	for name := range w.loop.Modules().Broken {
		names[name] = true
	}
	return w.reporter.Keep(ctx, names)
}

// notify tells people about a key of the ConfigMap.
func (w *wiring) notify(key, reason, message string) {
	w.cfg.Logger.Warn(message, "key", key, "reason", reason)
	if w.reporter != nil {
		w.reporter.Event("", true, reason, w.meter.print.text(message))
	}
}

// ended turns the end of the context into no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// patiently goes on trying while the API server is away.
func patiently(ctx context.Context, log *slog.Logger, what string, try func() error) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := try()
		if err == nil {
			return nil
		}
		log.Error("cannot "+what+"; trying again", "error", err, "in", wait)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// ensureOwnCRDs applies the CRDs of Module, ModuleSource and ModuleRelease.
func (w *wiring) ensureOwnCRDs(ctx context.Context) error {
	crds, err := report.CRDs()
	if err != nil {
		return err
	}
	return w.clients.EnsureCRDs(ctx, crds, nil)
}

// modules are those that are in force, first while there is no loop yet.
func (w *wiring) modules(first *module.Set) *module.Set {
	if w.loop == nil {
		return first
	}
	return w.loop.Modules()
}

// schemasOf finds the schemas of a section: facts ask for every operation of every hook.
func schemasOf(modules func() *module.Set) func(section string) *schema.Set {
	type index struct {
		of        *module.Set
		bySection map[string]*schema.Set
	}
	var newest atomic.Pointer[index]
	return func(section string) *schema.Set {
		mods, known := modules(), newest.Load()
		if known == nil || known.of != mods {
			known = &index{mods, map[string]*schema.Set{hook.Global.Section(): &mods.GlobalSchema}}
			for _, m := range mods.Modules {
				known.bySection[m.Key] = &m.Schemas
			}
			newest.Store(known)
		}
		return known.bySection[section]
	}
}

func logModules(log *slog.Logger, mods *module.Set) {
	for _, m := range mods.Modules {
		for _, warning := range m.Warnings {
			log.Warn(warning, "module", m.Name)
		}
	}
	for name, err := range mods.Broken {
		log.Error("module cannot be read; its release, if any, is left alone", "module", name, "error", err)
	}
}

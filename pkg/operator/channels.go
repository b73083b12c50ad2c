package operator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/converge"
	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/rollout"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/sources"
)

// channels is what release channels need beside the engine.
type channels struct {
	engine   *rollout.Engine
	registry *registry.Registry
	sources  *sources.Sources
	loader   *loader
	meter    meter
	// credentials are by name of ModuleSource.
	credentials atomic.Pointer[map[string]sources.Credentials]
}

// newChannels makes the engine with what was in force last.
func newChannels(ctx context.Context, cfg Config, mods *module.Set, conf settings.Settings, memory source.Memory,
	clients *kube.Clients, typed kubernetes.Interface, charts *helm.Client, reporter *report.Reporter, m meter, touch func()) (*channels, error) {
	c := &channels{meter: m}
	var err error
	if c.registry, err = registry.New(registry.Config{Dir: cfg.CacheDir, MaxBytes: cfg.CacheSize, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	if c.loader, err = newLoader(cfg, charts); err != nil {
		return nil, err
	}
	var uid string
	err = patiently(ctx, cfg.Logger, "read the namespace kube-system", func() error {
		ns, err := typed.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err == nil {
			uid = string(ns.UID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	c.sources = sources.New(sources.Config{Dynamic: clients.Dynamic, Client: typed, Namespace: cfg.Namespace, Logger: cfg.Logger})
	c.engine = rollout.New(rollout.Config{
		Embedded: mods, Settings: conf, Memory: memory, ClusterUID: uid, Operator: cfg.Version, Kubernetes: kubernetesVersion(clients), Print: m.print.text, Logger: cfg.Logger,
		Ports: rollout.Ports{Registry: remotes{c}, Loader: c.loader, Reporter: releaseReporter{reporter, m}, Pods: pods{typed, charts, cfg}, Meter: m.self, Touch: touch},
	})
	return c, nil
}

// driven is the loop as the engine steers it.
type driven struct {
	*converge.Loop
	look func()
}

// Replace has the ConfigMap looked at again too: other leaves may be secret now.
func (d driven) Replace(ctx context.Context, set *module.Set) error {
	if err := d.Loop.Replace(ctx, set); err != nil {
		return err
	}
	d.look()
	return nil
}

// run watches ModuleSources and ModuleReleases and follows channels.
func (c *channels) run(ctx context.Context) error {
	defer c.loader.close()
	watched := make(chan error, 1)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		watched <- c.sources.Run(ctx, func(r sources.Reading) {
			c.credentials.Store(&r.Credentials)
			c.meter.keepSources(r.Sources)
			c.engine.Inputs(rollout.Inputs{Sources: r.Sources, Orders: r.Orders})
		})
		stop()
	}()
	err := c.engine.Run(ctx)
	stop()
	return errors.Join(err, <-watched)
}

// keepSources drops the series of sources that are gone.
func (m meter) keepSources(list []source.Source) {
	names := map[string]bool{}
	for _, s := range list {
		names[s.Name] = true
	}
	m.self.KeepSources(names)
}

// kubernetesVersion asks the API server, and goes on with the last answer while it is away.
func kubernetesVersion(clients *kube.Clients) func() string {
	var last atomic.Pointer[string]
	var at atomic.Int64
	return func() string {
		if known := last.Load(); known != nil && time.Since(time.Unix(at.Load(), 0)) < time.Minute {
			return *known
		}
		if v, err := clients.Discovery.ServerVersion(); err == nil {
			last.Store(&v.GitVersion)
			at.Store(time.Now().Unix())
		}
		if known := last.Load(); known != nil {
			return *known
		}
		return ""
	}
}

// remotes adds to sources what registries want to know of who asks.
type remotes struct{ *channels }

func (r remotes) remote(s source.Source) (registry.Remote, error) {
	out := registry.Remote{URL: s.URL, PlainHTTP: s.PlainHTTP, Timeout: s.Timeout}
	if all := r.credentials.Load(); all != nil {
		c := (*all)[s.Name]
		if c.Problem != "" {
			return out, errors.New(c.Problem)
		}
		out.Auth, out.CA = c.Auth, c.CA
	}
	return out, nil
}

func (r remotes) Channel(ctx context.Context, s source.Source, channel, known string) (rollout.Fetched, error) {
	remote, err := r.remote(s)
	if err != nil {
		return rollout.Fetched{}, err
	}
	f, err := r.registry.Channel(ctx, remote, channel, known)
	return rollout.Fetched(f), err
}

func (r remotes) CachedChannel(manifest string) (rollout.Fetched, error) {
	f, err := r.registry.CachedChannel(manifest)
	return rollout.Fetched(f), err
}

func (r remotes) Artifact(ctx context.Context, s source.Source, name, digest string) (artifact.Artifact, error) {
	remote, err := r.remote(s)
	if err != nil {
		return artifact.Artifact{}, err
	}
	return r.registry.Artifact(ctx, remote, name, digest)
}

func (r remotes) Cached(digest string) (artifact.Artifact, error) { return r.registry.Cached(digest) }
func (r remotes) Pin(digests []string)                            { r.registry.Pin(digests) }
func (r remotes) Absent(err error) bool                           { return registry.IsNotFound(err) }
func (r remotes) Untrue(err error) bool                           { return registry.IsIntegrity(err) }

// loader unpacks artifacts into a directory of this process.
type loader struct {
	cfg    Config
	charts *helm.Client
	dir    string
}

// runPrefix begins the names of the directories in which processes unpack artifacts; the pid follows.
const runPrefix = "run-"

func newLoader(cfg Config, charts *helm.Client) (*loader, error) {
	if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("--cache-dir: %w", err)
	}
	sweepRuns(cfg.CacheDir)
	dir, err := os.MkdirTemp(cfg.CacheDir, runPrefix+strconv.Itoa(os.Getpid())+"-")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // hooks may run as another user
	}
	if err != nil {
		return nil, fmt.Errorf("--cache-dir: %w", err)
	}
	return &loader{cfg: cfg, charts: charts, dir: dir}, nil
}

// sweepRuns removes what processes that are gone have unpacked.
func sweepRuns(dir string) {
	entries, _ := os.ReadDir(dir) // what is not read is not swept
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), runPrefix)
		id, _, _ := strings.Cut(name, "-")
		pid, err := strconv.Atoi(id)
		if ok && err == nil && (pid == os.Getpid() || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

func (l *loader) close() { _ = os.RemoveAll(l.dir) }

// unpack makes files of an artifact; each digest has a directory of its own.
func (l *loader) unpack(a artifact.Artifact, digest string) (string, error) {
	dir := filepath.Join(l.dir, strings.TrimPrefix(digest, "sha256:"))
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // hooks may run as another user
		return "", err
	}
	return artifact.Unpack(a, dir)
}

// Module implements rollout.Loader.
func (l *loader) Module(a artifact.Artifact, origin module.Origin) (*module.Descriptor, error) {
	dir, err := l.unpack(a, origin.Artifact)
	if err != nil {
		return nil, err
	}
	d, err := module.LoadOne(dir, module.LoadOptions{UnnumberedWeight: l.cfg.UnnumberedWeight, CRDFilterPrefixes: strings.Split(l.cfg.CRDFilters, ",")})
	if err != nil {
		return nil, err
	}
	d.Origin = origin
	return d, l.charts.Preload(d)
}

// Global implements rollout.Loader.
func (l *loader) Global(a artifact.Artifact, digest string) (string, error) {
	return l.unpack(a, digest)
}

// Drop implements rollout.Loader.
func (l *loader) Drop(digest string) {
	_ = os.RemoveAll(filepath.Join(l.dir, strings.TrimPrefix(digest, "sha256:"))) // what is left goes with the process
}

// WithGlobal implements rollout.Loader.
func (l *loader) WithGlobal(set *module.Set, dir string, origin module.Origin) (*module.Set, error) {
	return set.WithGlobal(dir, origin)
}

// releaseReporter shows sources and releases.
type releaseReporter struct {
	*report.Reporter
	meter meter
}

func (r releaseReporter) Event(module string, warning bool, reason, message string) {
	r.Reporter.Event(module, warning, reason, r.meter.print.text(message))
}

func (r releaseReporter) ReportRelease(s source.Release) {
	s.Message = r.meter.print.text(s.Message)
	r.meter.self.Release(s)
	r.Reporter.ReportRelease(s)
}

func (r releaseReporter) KeepReleases(ctx context.Context, names map[string]bool) error {
	r.meter.self.KeepReleases(names)
	return r.Reporter.KeepReleases(ctx, names)
}

// pods looks at those of a module's workloads.
type pods struct {
	client kubernetes.Interface
	charts *helm.Client
	cfg    Config
}

// podsOfOne bounds how many pods of a namespace are looked at.
const podsOfOne = 500

// Look implements rollout.Pods, with one list for each namespace that the module has workloads in.
func (p pods) Look(ctx context.Context, name string) (out source.Pods, err error) {
	objs, err := p.charts.Objects(ctx, name)
	if err != nil {
		return out, err
	}
	workloads, namespaces := map[string]bool{}, map[string]bool{}
	for _, o := range objs {
		switch o.Kind {
		case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
			workloads[o.Namespace+"/"+o.Name], namespaces[o.Namespace] = true, true
		}
	}
	var worst *corev1.Pod
	for namespace := range namespaces {
		list, err := p.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0", Limit: podsOfOne})
		if err != nil {
			return out, err
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if !workloads[namespace+"/"+workloadOf(pod)] {
				continue
			}
			out.Restarts += restartsOf(pod)
			if !podReady(pod) && pod.DeletionTimestamp == nil && (worst == nil || worst.CreationTimestamp.Before(&pod.CreationTimestamp)) {
				worst = pod
			}
		}
	}
	if worst != nil {
		out.Trouble = helm.DescribePod(worst)
	}
	return out, nil
}

func podReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// workloadOf is the workload that made a pod, by the names that controllers give.
func workloadOf(pod *corev1.Pod) string {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return ""
	}
	if hash := pod.Labels["pod-template-hash"]; owner.Kind == "ReplicaSet" && hash != "" {
		return strings.TrimSuffix(owner.Name, "-"+hash)
	}
	return owner.Name
}

func restartsOf(pod *corev1.Pod) (n int64) {
	for _, s := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		n += int64(s.RestartCount)
	}
	return n
}

package main

import (
	"context"
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/kube"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// helmFloor applies charts with the Helm SDK alone, as fast as that goes: one
// action.Configuration for each action, and one set of clients, one discovery
// cache and ready capabilities for all of them.
type helmFloor struct {
	work     workload
	cluster  *cluster
	parallel int
	getter   getter
	caps     *chartutil.Capabilities
	charts   []*chart.Chart
}

// getter gives Helm's clients what they share.
type getter struct {
	rest      *rest.Config
	discovery discovery.CachedDiscoveryInterface
	mapper    meta.RESTMapper
	namespace string
}

func (g getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.rest), nil }

func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: api.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*api.NewConfig(), overrides)
}

// open reads what every action needs: charts and discovery.
func (f *helmFloor) open() error {
	plain, err := discovery.NewDiscoveryClientForConfig(f.cluster.rest)
	if err != nil {
		return err
	}
	cached := memory.NewMemCacheClient(plain)
	f.getter = getter{
		rest: f.cluster.rest, discovery: cached,
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached), namespace: f.work.namespace,
	}
	version, err := cached.ServerVersion()
	if err != nil {
		return err
	}
	versions, err := action.GetVersionSet(cached)
	if err != nil {
		return err
	}
	f.caps = &chartutil.Capabilities{
		APIVersions: versions, HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
		KubeVersion: chartutil.KubeVersion{Version: version.GitVersion, Major: version.Major, Minor: version.Minor},
	}
	f.charts, err = f.work.charts()
	return err
}

// charts loads the chart of every module.
func (w workload) charts() ([]*chart.Chart, error) {
	out := make([]*chart.Chart, w.modules.Modules)
	for i := range out {
		var err error
		if out[i], err = loader.LoadDir(filepath.Join(w.dir, "modules", w.modules.Dir(i))); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *helmFloor) action() *action.Configuration {
	client := kube.New(f.getter)
	client.Namespace = f.work.namespace
	return &action.Configuration{
		RESTClientGetter: f.getter, KubeClient: client, Capabilities: f.caps, Log: func(string, ...any) {},
		Releases: storage.Init(driver.NewSecrets(f.cluster.typed.CoreV1().Secrets(f.work.namespace))),
	}
}

// each runs do for every module.
func (f *helmFloor) each(ctx context.Context, do func(context.Context, int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(f.parallel)
	for i := range f.charts {
		group.Go(func() error { return do(ctx, i) })
	}
	return group.Wait()
}

func (f *helmFloor) installAll(ctx context.Context) error {
	if err := f.open(); err != nil {
		return err
	}
	return f.each(ctx, f.install)
}

func (f *helmFloor) install(ctx context.Context, i int) error {
	install := action.NewInstall(f.action())
	install.ReleaseName, install.Namespace = f.work.modules.Name(i), f.work.namespace
	install.DisableOpenAPIValidation = true
	_, err := install.RunWithContext(ctx, f.charts[i], f.work.values(i))
	if err != nil {
		return fmt.Errorf("helm install %s: %w", f.work.modules.Name(i), err)
	}
	return nil
}

func (f *helmFloor) upgradeAll(ctx context.Context) error { return f.each(ctx, f.upgrade) }

func (f *helmFloor) upgrade(ctx context.Context, i int) error {
	upgrade := action.NewUpgrade(f.action())
	upgrade.Namespace, upgrade.MaxHistory = f.work.namespace, 10
	upgrade.DisableOpenAPIValidation = true
	_, err := upgrade.RunWithContext(ctx, f.work.modules.Name(i), f.charts[i], f.work.values(i))
	if err != nil {
		return fmt.Errorf("helm upgrade %s: %w", f.work.modules.Name(i), err)
	}
	return nil
}

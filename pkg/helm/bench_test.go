package helm

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// BenchmarkModules installs and upgrades 50 modules of one Deployment and eight
// ConfigMaps, four at a time, through this package and through Helm's action package.
func BenchmarkModules(b *testing.B) {
	var modules []*module.Descriptor
	for i := range 50 {
		text := strings.Replace(deployment, "name: web", fmt.Sprintf("name: web%d", i), 1)
		for n := range 8 {
			text += cm(fmt.Sprintf("m%d-%d", i, n), "{{ .Values.web.n }}")
		}
		modules = append(modules, aModule(b, fmt.Sprintf("m%d", i), files{
			"Chart.yaml":         fmt.Sprintf("apiVersion: v2\nname: m%d\nversion: 1.0.0\n", i),
			"templates/all.yaml": text,
		}))
	}
	b.Run("this package", func(b *testing.B) {
		for b.Loop() {
			p := benchPlace(b)
			p.both(b, modules, func(m *module.Descriptor, vals string) error {
				req, r := p.render(m, vals)
				_, err := p.Install(b.Context(), req, r)
				return err
			})
		}
	})
	b.Run("helm action", func(b *testing.B) {
		for b.Loop() {
			p := benchPlace(b)
			caps, _, err := p.caps.get()
			if err != nil {
				b.Fatal(err)
			}
			p.both(b, modules, func(m *module.Descriptor, vals string) error {
				return p.sdk(m, snapshot(b, vals).Clone(), caps)
			})
		}
	})
}

func benchPlace(b *testing.B) *place {
	b.Helper()
	b.StopTimer()
	defer b.StartTimer()
	return placeIn(b, testkit.Cluster(b))
}

func (p *place) both(b *testing.B, modules []*module.Descriptor, apply func(*module.Descriptor, string) error) {
	b.Helper()
	for _, vals := range []string{"web: {n: 1}", "web: {n: 2}"} {
		work := make(chan *module.Descriptor)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for m := range work {
					if err := apply(m, vals); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for _, m := range modules {
			work <- m
		}
		close(work)
		wg.Wait()
	}
}

func (p *place) sdk(m *module.Descriptor, vals map[string]any, caps *chartutil.Capabilities) error {
	l, err := p.charts.load(m)
	if err != nil {
		return err
	}
	cfg := &action.Configuration{}
	if err := cfg.Init(sharedGetter{p}, p.ops, "secret", func(string, ...any) {}); err != nil {
		return err
	}
	cfg.Capabilities = caps
	if rel, _ := p.Observe(p.t.Context(), m.Name); rel.Exists() {
		up := action.NewUpgrade(cfg)
		up.Namespace, up.DisableOpenAPIValidation, up.SkipCRDs, up.MaxHistory = p.apps, true, true, 10
		_, err = up.Run(m.Name, copyChart(l.chart), vals)
		return err
	}
	in := action.NewInstall(cfg)
	in.ReleaseName, in.Namespace, in.DisableOpenAPIValidation, in.SkipCRDs = m.Name, p.apps, true, true
	_, err = in.Run(copyChart(l.chart), vals)
	return err
}

// sharedGetter gives Helm the discovery and mapper that this package shares too.
type sharedGetter struct{ *place }

func (g sharedGetter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.rest), nil }

func (g sharedGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.cfg.Discovery, nil
}

func (g sharedGetter) ToRESTMapper() (meta.RESTMapper, error) { return g.cfg.Mapper, nil }

func (g sharedGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(api.Config{}, &clientcmd.ConfigOverrides{Context: api.Context{Namespace: g.apps}})
}

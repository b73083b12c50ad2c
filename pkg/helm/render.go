package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// digestVersion is raised when the same inputs are hashed or rendered in another
// way; an unknown version means "render and compare".
const digestVersion = "v1."

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s\n", len(p), p)
	}
	return digestVersion + hex.EncodeToString(h.Sum(nil))[:40]
}

// InputDigest is "v1." and 40 hex digits over everything that Render reads: chart, values,
// namespace, labels, the capabilities of the cluster where a template mentions them, and
// what lookup found there. Nothing is rendered: what the newest Render of this process
// looked up is asked for again; when there was none, the digest of a chart that mentions
// lookup fits no release, so that it is rendered and compared.
func (c *Client) InputDigest(ctx context.Context, m *module.Descriptor, namespace string, v values.Snapshot) (string, error) {
	defer c.observe(m.Name, "check-upgrade", time.Now())
	c, err := c.as(m.Origin.ServiceAccount)
	if err != nil {
		return "", err
	}
	l, err := c.charts.load(m)
	if err != nil {
		return "", err
	}
	d, err := c.ownDigest(l, m, namespace, v)
	if err != nil || !l.mentionsLookup {
		return d, err
	}
	questions, asked := c.questions.of(m)
	if !asked {
		return digest("not looked up", d), nil
	}
	answers, err := c.ask(ctx, questions)
	if err != nil {
		return "", fmt.Errorf("module %s: %w", m.Name, err)
	}
	return withAnswers(d, answers), nil
}

// ownDigest is over all inputs but what lookup finds.
func (c *Client) ownDigest(l *loadedChart, m *module.Descriptor, namespace string, v values.Snapshot) (string, error) {
	caps := ""
	if l.readsCapabilities || l.mentionsLookup {
		var err error
		if _, caps, err = c.caps.get(); err != nil {
			return "", err
		}
	}
	labels, err := json.Marshal(c.cfg.Labels)
	if err != nil {
		return "", err
	}
	return c.digestAs("input", m.Name, m.Digest, namespace, v.Digest(), string(labels), caps), nil
}

// digestAs is a digest that differs where another account acts, so that a release is applied
// anew, and says so, when its module gets another one.
func (c *Client) digestAs(parts ...string) string {
	if c.account != "" {
		parts = append(parts, "as "+c.account)
	}
	return digest(parts...)
}

// Render renders the chart in process (C-434): always as an upgrade of revision 1, so
// that the text does not depend on what is installed. Errors name the module and the
// template.
func (c *Client) Render(ctx context.Context, req installed.Request) (installed.Rendered, error) {
	defer c.observe(req.Module.Name, "template", time.Now())
	acting, err := c.as(req.Module.Origin.ServiceAccount)
	if err != nil {
		return installed.Rendered{}, fmt.Errorf("render module %s: %w", req.Module.Name, err)
	}
	out, err := acting.render(ctx, req)
	if err != nil {
		return installed.Rendered{}, fmt.Errorf("render module %s: %w", req.Module.Name, err)
	}
	return out, nil
}

func (c *Client) render(ctx context.Context, req installed.Request) (installed.Rendered, error) {
	l, err := c.charts.load(req.Module)
	if err != nil {
		return installed.Rendered{}, err
	}
	input, err := c.ownDigest(l, req.Module, req.Namespace, req.Values)
	if err != nil {
		return installed.Rendered{}, err
	}
	ctx, warned := withWarnings(ctx)
	files, look, err := c.execute(ctx, l, req)
	if err != nil {
		return installed.Rendered{}, err
	}
	if l.mentionsLookup {
		questions, answers := look.log()
		c.questions.note(req.Module, questions)
		input = withAnswers(input, answers)
	}
	objs, hooks, err := sortFiles(files)
	if err != nil {
		return installed.Rendered{}, err
	}
	kinds := c.kinds()
	for _, d := range slices.Concat(objs, hooks) {
		d.add("labels", c.cfg.Labels)
		if req.Maintenance {
			d.add("labels", map[string]string{installed.LabelMaintenance: ""})
			d.add("annotations", map[string]string{installed.LabelMaintenance: ""})
		}
		if err := kinds.fillNamespace(d, req.Namespace); err != nil {
			return installed.Rendered{}, err
		}
	}
	if err := checkUnique(objs); err != nil {
		return installed.Rendered{}, err
	}
	out := installed.Rendered{
		InputDigest:  input,
		ReadsCluster: l.readsCapabilities || look.called(),
		Warnings:     c.report(req.Module.Name, warned),
		Objects:      refs(objs),
	}
	if out.Manifest, err = writeDocuments(objs); err != nil {
		return installed.Rendered{}, err
	}
	if out.Hooks, err = writeDocuments(hooks); err != nil {
		return installed.Rendered{}, err
	}
	out.RenderDigest = c.digestAs("render", req.Namespace, out.Manifest, out.Hooks)
	return out, nil
}

func refs(docs []document) []object.Ref {
	out := make([]object.Ref, 0, len(docs))
	for _, d := range docs {
		out = append(out, d.ref())
	}
	return out
}

// execute runs the template engine and says what was looked up.
func (c *Client) execute(ctx context.Context, l *loadedChart, req installed.Request) (map[string]string, *lookups, error) {
	look := &lookups{ctx: ctx, client: c}
	caps, _, err := c.caps.get()
	if err != nil {
		return nil, nil, err
	}
	ch, vals := copyChart(l.chart), req.Values.Clone()
	if want := ch.Metadata.KubeVersion; want != "" && !chartutil.IsCompatibleRange(want, caps.KubeVersion.Version) {
		return nil, nil, fmt.Errorf("Chart.yaml wants kubeVersion %s, the cluster has %s", want, caps.KubeVersion.Version)
	}
	if err := chartutil.ProcessDependenciesWithMerge(ch, vals); err != nil {
		return nil, nil, err
	}
	opts := chartutil.ReleaseOptions{Name: req.Module.Name, Namespace: req.Namespace, Revision: 1, IsUpgrade: true}
	top, err := renderValues(ch, vals, opts, caps)
	if err != nil {
		return nil, nil, err
	}
	if c.lookup == nil {
		files, err := engine.Render(ch, top)
		return files, look, err
	}
	files, err := engine.RenderWithClientProvider(ch, top, look)
	return files, look, err
}

// renderValues is what templates see. Helm copies all values by reflection, which for the
// list of all enabled modules would take as long as the rest of a small chart, and would
// be done for each of them. Unless a schema or a subchart is to see it too, the list is
// kept out of the copy.
func renderValues(ch *chart.Chart, vals values.Map, opts chartutil.ReleaseOptions, caps *chartutil.Capabilities) (chartutil.Values, error) {
	const key = "enabledModules"
	global, _ := vals["global"].(values.Map)
	list, long := global[key].([]any)
	if !long || len(ch.Schema) > 0 || len(ch.Dependencies()) > 0 {
		return chartutil.ToRenderValuesWithSchemaValidation(ch, vals, opts, caps, false)
	}
	delete(global, key)
	top, err := chartutil.ToRenderValuesWithSchemaValidation(ch, vals, opts, caps, false)
	if err != nil {
		return nil, err
	}
	if shown, ok := top["Values"].(chartutil.Values); ok {
		if global, ok := shown["global"].(values.Map); ok {
			global[key] = list // it is a copy already
		}
	}
	return top, nil
}

// sortFiles splits rendered files into the release's objects in install order and its chart hooks.
func sortFiles(files map[string]string) (objs, hooks []document, err error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		base := path.Base(name)
		if strings.HasPrefix(base, "_") || strings.HasSuffix(base, "NOTES.txt") || strings.TrimSpace(files[name]) == "" {
			continue
		}
		docs, err := parseDocuments(name, files[name])
		if err != nil {
			return nil, nil, err
		}
		for _, d := range docs {
			if d.annotation(hookAnnotation) != "" {
				hooks = append(hooks, d)
			} else {
				objs = append(objs, d)
			}
		}
	}
	sortDocuments(objs, releaseutil.InstallOrder)
	sortDocuments(hooks, releaseutil.InstallOrder)
	return objs, hooks, nil
}

// parseHooks reads Rendered.Hooks into Helm's own hooks.
func parseHooks(stream string) ([]*release.Hook, error) {
	docs, err := parseDocuments("hooks", stream)
	if err != nil {
		return nil, err
	}
	var out []*release.Hook
	for _, d := range docs {
		one, err := writeDocuments([]document{d})
		if err != nil {
			return nil, err
		}
		h, _, err := releaseutil.SortManifests(map[string]string{d.source: one}, nil, releaseutil.InstallOrder)
		if err != nil {
			return nil, fmt.Errorf("chart hook %s: %w", d.ref(), err)
		}
		out = append(out, h...)
	}
	return out, nil
}

// kinds resolves kinds for one action, refreshing the shared mapper once at most.
type kinds struct {
	mapper  meta.RESTMapper
	renewed bool
}

func (c *Client) kinds() *kinds { return &kinds{mapper: c.cfg.Mapper} }

func (k *kinds) mapping(gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	m, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) && !k.renewed {
		k.renewed = true
		meta.MaybeResetRESTMapper(k.mapper)
		m, err = k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	return m, err
}

// fillNamespace writes metadata.namespace for namespaced kinds and removes it for
// others; kinds the cluster does not know are left as they are.
func (k *kinds) fillNamespace(d document, namespace string) error {
	if k.mapper == nil {
		return nil
	}
	m, err := k.mapping(d.gvk())
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("scope of %s: %w", d.ref(), err)
	}
	if m.Scope.Name() != meta.RESTScopeNameNamespace {
		delete(d.metadata(), "namespace")
	} else if d.ref().Namespace == "" {
		d.metadata()["namespace"] = namespace
	}
	return nil
}

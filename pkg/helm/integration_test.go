package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// place is a namespace for release records and one for objects, with a client that
// counts what it asks of the API server.
type place struct {
	*Client
	t       testing.TB
	rest    *rest.Config
	kube    kubernetes.Interface
	dynamic dynamic.Interface
	ops     string
	apps    string
	seen    *requests
}

// requests are those of one client.
type requests struct {
	mu   sync.Mutex
	list []string
	next http.RoundTripper
}

func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.list = append(r.list, req.Method+" "+req.URL.Path)
	r.mu.Unlock()
	return r.next.RoundTrip(req)
}

func (r *requests) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.list
	r.list = nil
	return out
}

func writes(reqs []string) []string {
	return slices.DeleteFunc(slices.Clone(reqs), func(s string) bool { return strings.HasPrefix(s, http.MethodGet) })
}

func newPlace(t *testing.T) *place {
	t.Helper()
	t.Parallel()
	return placeIn(t, testkit.Cluster(t))
}

func placeIn(t testing.TB, cfg *rest.Config) *place {
	t.Helper()
	p := &place{
		t: t, rest: cfg, seen: &requests{},
		kube: ok(kubernetes.NewForConfig(cfg))(t), dynamic: ok(dynamic.NewForConfig(cfg))(t),
	}
	for _, ns := range []*string{&p.ops, &p.apps} {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "helm-"}}
		*ns = ok(p.kube.CoreV1().Namespaces().Create(t.Context(), n, metav1.CreateOptions{}))(t).Name
	}
	disc := memory.NewMemCacheClient(p.kube.Discovery())
	counted := rest.CopyConfig(cfg)
	counted.Wrap(func(next http.RoundTripper) http.RoundTripper { p.seen.next = next; return p.seen })
	p.Client = ok(New(Config{
		REST: counted, Discovery: disc, Mapper: restmapper.NewDeferredDiscoveryRESTMapper(disc),
		Namespace: p.ops, Instance: p.ops + ".addons", HistoryMax: 3,
	}))(t)
	return p
}

func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (p *place) render(m *module.Descriptor, vals string) (installed.Request, installed.Rendered) {
	p.t.Helper()
	req := installed.Request{Module: m, Namespace: p.apps, Values: snapshot(p.t, vals)}
	req.InputDigest = ok(p.InputDigest(p.t.Context(), m, p.apps, req.Values))(p.t)
	return req, ok(p.Render(p.t.Context(), req))(p.t)
}

func (p *place) apply(m *module.Descriptor, vals string) installed.Result {
	p.t.Helper()
	req, r := p.render(m, vals)
	return ok(p.Install(p.t.Context(), req, r))(p.t)
}

func (p *place) observe(name string) installed.Release {
	p.t.Helper()
	return ok(p.Observe(p.t.Context(), name))(p.t)
}

// data is the data of a ConfigMap in the objects' namespace, nil when it is not there.
func (p *place) data(name string) map[string]string {
	p.t.Helper()
	cm, err := p.kube.CoreV1().ConfigMaps(p.apps).Get(p.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return ok(cm, err)(p.t).Data
}

// helm is Helm's own configuration on the same records.
func (p *place) helm() *action.Configuration {
	p.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.Namespace = &p.ops
	flags.WrapConfigFn = func(*rest.Config) *rest.Config { return rest.CopyConfig(p.rest) }
	cfg := &action.Configuration{}
	if err := cfg.Init(flags, p.ops, "secret", func(string, ...any) {}); err != nil {
		p.t.Fatal(err)
	}
	return cfg
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: {{ .Values.web.replicas | default 1 }}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.org/web:1", resources: {requests: {cpu: 1000m}}}]}
`

func cm(name, value string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {value: %q}\n", name, value)
}

func TestInstallMakesARevisionThatHelmItselfUnderstands(t *testing.T) { // C-431, C-433
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/all.yaml": deployment + cm("a", "{{ .Values.web.a }}")})
	p.seen.take()
	res := p.apply(m, "web: {a: one}")
	if got := p.observe("web"); got.Revision != 1 || got.Status != installed.Deployed || got.Instance != p.ops+".addons" ||
		got.InputDigest == "" || got.RenderDigest == "" || got.Labels[LabelOrigin] != OriginEmbedded {
		t.Errorf("observed %+v", got)
	}
	if len(res.Objects) != 2 {
		t.Fatalf("%d objects, want 2", len(res.Objects))
	}
	for _, o := range res.Objects {
		var live metav1.PartialObjectMetadata
		if err := json.Unmarshal(o.Live, &live); err != nil {
			t.Fatalf("%s: live: %v", o.Ref, err)
		}
		if live.UID == "" || live.Namespace != p.apps || live.Labels["heritage"] != "addon-operator" ||
			live.Annotations[releaseNameAnnotation] != "web" {
			t.Errorf("%s: live metadata %+v", o.Ref, live.ObjectMeta)
		}
	}

	h := p.helm()
	list := ok(action.NewList(h).Run())(t)
	if len(list) != 1 || list[0].Name != "web" || list[0].Namespace != p.apps {
		t.Errorf("helm list: %+v", list)
	}
	p.apply(m, "web: {a: two}")
	if hist := ok(action.NewHistory(h).Run("web"))(t); len(hist) != 2 {
		t.Errorf("helm history has %d revisions, want 2", len(hist))
	}
	if vals := ok(action.NewGetValues(h).Run("web"))(t); vals["web"].(map[string]any)["a"] != "two" {
		t.Errorf("helm get values: %v", vals)
	}
	back := action.NewRollback(h)
	back.Version = 1
	if err := back.Run("web"); err != nil {
		t.Fatal(err)
	}
	if got := p.data("a")["value"]; got != "one" {
		t.Errorf("after helm rollback the value is %q, want one", got)
	}
	p.apply(m, "web: {a: three}")
	if got := p.observe("web"); got.Revision != 4 || p.data("a")["value"] != "three" {
		t.Errorf("after a rollback: revision %d, value %v", got.Revision, p.data("a"))
	}
	un := action.NewUninstall(h)
	if _, err := un.Run("web"); err != nil {
		t.Fatal(err)
	}
	if got := p.observe("web"); got.Exists() || p.data("a") != nil {
		t.Errorf("after helm uninstall: %+v", got)
	}
}

func TestInstallAsksForNothingTwice(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/all.yaml": cm("a", "{{ .Values.web.a }}") + cm("b", "1")})
	req, r := p.render(m, "web: {a: one}")
	p.seen.take()
	ok(p.Install(t.Context(), req, r))(t)
	if got := p.seen.take(); len(got) != 5 { // list, record, two objects, record
		t.Errorf("install of 2 objects took %d requests:\n%s", len(got), strings.Join(got, "\n"))
	}
	req, r = p.render(m, "web: {a: two}")
	p.seen.take()
	ok(p.Upgrade(t.Context(), req, r))(t)
	got := p.seen.take()
	if len(got) != 8 { // list, old record, two objects read, record, one object, two records
		t.Errorf("upgrade of one of 2 objects took %d requests:\n%s", len(got), strings.Join(got, "\n"))
	}
	if w := writes(got); len(w) != 4 {
		t.Errorf("upgrade of one of 2 objects wrote %q", w)
	}
}

func TestUpgradeChangesAddsAndRemovesOnlyWhatDiffers(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.web.a }}") + cm("b", "1") +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n"})
	p.apply(m, "web: {a: one}")
	rv := func(name string) string {
		return ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), name, metav1.GetOptions{}))(t).ResourceVersion
	}
	b := rv("b")
	m = withFiles(t, m, files{"templates/a.yaml": cm("a", "{{ .Values.web.a }}") + cm("b", "1") + cm("c", "new")})
	res := p.apply(m, "web: {a: two}")
	if p.data("a")["value"] != "two" || p.data("c") == nil || rv("b") != b {
		t.Errorf("a=%v c=%v, b written: %v", p.data("a"), p.data("c"), rv("b") != b)
	}
	if len(res.Kept) != 1 || res.Kept[0].Name != "kept" || p.data("kept") == nil && len(p.data("kept")) != 0 {
		t.Errorf("kept %v", res.Kept)
	}
	m = withFiles(t, m, files{"templates/a.yaml": cm("a", "two")})
	p.apply(m, "")
	if p.data("b") != nil || p.data("c") != nil {
		t.Error("objects that are no longer rendered are still there")
	}
	for i := range 4 { // C-432: HistoryMax 3
		p.apply(m, fmt.Sprintf("{n: %d}", i))
	}
	if hist := ok(action.NewHistory(p.helm()).Run("web"))(t); len(hist) != 3 {
		t.Errorf("%d revisions kept, want 3", len(hist))
	}
}

func TestPendingRevisionOfADeadHolderIsRecovered(t *testing.T) { // C-437
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "1") + cm("b", "{{ .Values.web.b }}")})
	for _, first := range []bool{true, false} {
		// A holder that dies when it has created its first object.
		m = withFiles(t, m, files{"templates/c.yaml": cm("only-in-pending", fmt.Sprint(first))})
		req, r := p.render(m, fmt.Sprintf("web: {b: '%v'}", first))
		ctx, cancel := context.WithCancel(t.Context())
		dying := p.dyingAfter(cancel, "configmaps")
		if _, err := dying.Install(ctx, req, r); !errors.Is(err, context.Canceled) {
			t.Fatalf("first=%v: got %v, want the context's end", first, err)
		}
		pending := p.observe("web")
		if !pending.Status.Pending() {
			t.Fatalf("first=%v: status %s, want pending", first, pending.Status)
		}
		if _, err := p.Upgrade(t.Context(), req, r); !errors.Is(err, ErrPending) {
			t.Errorf("first=%v: upgrade over a pending revision: %v", first, err)
		}
		if err := p.Recover(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		if got := p.observe("web"); got.Status != installed.Failed || got.Revision != pending.Revision {
			t.Errorf("first=%v: recovered to %+v", first, got)
		}
		m = withFiles(t, m, files{"templates/c.yaml": ""})
		p.apply(m, "web: {b: end}")
		if got := p.observe("web"); got.Status != installed.Deployed || got.Revision != pending.Revision+1 {
			t.Errorf("first=%v: %+v", first, got)
		}
		if p.data("a") == nil || p.data("b")["value"] != "end" || p.data("only-in-pending") != nil {
			t.Errorf("first=%v: a=%v b=%v leftover=%v", first, p.data("a"), p.data("b"), p.data("only-in-pending"))
		}
	}
	if err := p.Recover(t.Context(), "web"); err != nil || p.observe("web").Status != installed.Deployed {
		t.Errorf("recover of a deployed release: %v, %+v", err, p.observe("web"))
	}
}

// dyingAfter is p's client whose context ends after its first write to resource.
func (p *place) dyingAfter(cancel context.CancelFunc, resource string) *Client {
	p.t.Helper()
	cfg := rest.CopyConfig(p.rest)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			res, err := next.RoundTrip(req)
			if req.Method != http.MethodGet && strings.Contains(req.URL.Path, "/"+resource) {
				cancel()
			}
			return res, err
		})
	})
	c := p.cfg
	c.REST, c.Parallel = cfg, 1
	return ok(New(c))(p.t)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRepairRestoresWithoutANewRevision(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/all.yaml": deployment + cm("a", "1") + cm("b", "1")})
	p.apply(m, "web: {}")
	deployments := p.kube.AppsV1().Deployments(p.apps)
	if err := deployments.Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := p.kube.CoreV1().ConfigMaps(p.apps).Patch(t.Context(), "a", types.MergePatchType,
		[]byte(`{"data":{"value":"drifted","added":"by a user"}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refs := []object.Ref{
		{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.apps, Name: "web"},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: p.apps, Name: "a"},
	}
	p.seen.take()
	res := ok(p.Repair(t.Context(), "web", refs))(t)
	if w := writes(p.seen.take()); len(w) != 2 {
		t.Errorf("repair wrote %q, want the Deployment and a", w)
	}
	looked := slices.DeleteFunc(slices.Clone(res.Objects), func(m installed.Manifested) bool { return m.Live == nil })
	if len(looked) != 2 || len(res.Objects) <= 2 || res.Release.Revision != 1 || p.observe("web").Revision != 1 {
		t.Errorf("result %+v, want all objects of the release and the live state of two", res)
	}
	ok(deployments.Get(t.Context(), "web", metav1.GetOptions{}))(t)
	if d := p.data("a"); d["value"] != "1" || d["added"] != "by a user" {
		t.Errorf("a = %v, want our field restored and the other's kept", d)
	}
	ok(p.Repair(t.Context(), "web", nil))(t)
	if w := writes(p.seen.take()); slices.ContainsFunc(w, func(s string) bool { return strings.Contains(s, "configmaps") }) {
		t.Errorf("repair of what is right wrote %q", w)
	}
	if _, err := p.Repair(t.Context(), "web", []object.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: p.apps, Name: "z"}}); err == nil {
		t.Error("repair of an object that is not in the release succeeded")
	}
}

func (p *place) crd(kind string) schema.GroupVersionResource {
	p.t.Helper()
	plural, group := strings.ToLower(kind)+"s", p.apps+".example.org"
	preserve := true
	crd := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: strings.ToLower(kind), Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &preserve,
				}},
			}},
		},
	}
	api := ok(apiextensions.NewForConfig(p.rest))(p.t).ApiextensionsV1().CustomResourceDefinitions()
	ok(api.Create(p.t.Context(), crd, metav1.CreateOptions{}))(p.t)
	gvr := schema.GroupVersionResource{Group: group, Version: "v1", Resource: plural}
	testkit.Eventually(p.t, func() bool {
		_, err := p.dynamic.Resource(gvr).Namespace(p.apps).List(p.t.Context(), metav1.ListOptions{})
		return err == nil
	}, func() string { return "CRD " + crd.Name + " is served" })
	return gvr
}

func TestCustomResourcesAreMergedThreeWay(t *testing.T) {
	p := newPlace(t)
	ok(p.cfg.Mapper.RESTMapping(schema.GroupKind{Kind: "Secret"}, "v1"))(t) // discovery is now older than the CRD
	m := aModule(t, "web", files{"templates/w.yaml": `
apiVersion: {{ .Release.Namespace }}.example.org/v1
kind: Widget
metadata: {name: w}
spec: {size: {{ .Values.web.size }}, colour: red}
`})
	req, r := p.render(m, "web: {size: 1}")
	if _, err := p.Install(t.Context(), req, r); err == nil || !strings.Contains(err.Error(), "no kind Widget") || !strings.Contains(err.Error(), "module web") {
		t.Fatalf("without the CRD: %v", err)
	}
	if p.observe("web").Exists() {
		t.Error("a chart that cannot be applied left a revision")
	}
	gvr := p.crd("Widget")
	p.apply(m, "web: {size: 1}")
	api := p.dynamic.Resource(gvr).Namespace(p.apps)
	drift := func() {
		ok(api.Patch(t.Context(), "w", types.MergePatchType, []byte(`{"spec":{"colour":"blue","extra":1}}`), metav1.PatchOptions{}))(t)
	}
	want := func(when, size string) {
		got := ok(api.Get(t.Context(), "w", metav1.GetOptions{}))(t)
		spec := fmt.Sprint(got.Object["spec"])
		if spec != "map[colour:red extra:1 size:"+size+"]" {
			t.Errorf("%s: spec %s", when, spec)
		}
	}
	drift()
	ok(p.Repair(t.Context(), "web", nil))(t)
	want("after repair", "1")
	drift()
	p.apply(m, "web: {size: 2}")
	want("after upgrade", "2")
}

func TestUninstallDeletesOursKeepsTheKeptAndIsRepeatable(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/all.yaml": deployment + cm("a", "1") +
		"---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, annotations: {helm.sh/resource-policy: keep}}\n"})
	p.apply(m, "web: {}")
	p.apply(m, "web: {replicas: 2}")

	// The first holder dies half way.
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := p.dyingAfter(cancel, "deployments").Uninstall(ctx, "web"); err == nil {
		t.Fatal("want the context's end")
	}
	if got := p.observe("web"); got.Status != installed.Uninstalling {
		t.Fatalf("status %s, want uninstalling", got.Status)
	}
	res := ok(p.Uninstall(t.Context(), "web"))(t)
	if len(res.Kept) != 1 || res.Kept[0].Name != "kept" {
		t.Errorf("kept %v", res.Kept)
	}
	if got := p.observe("web"); p.data("a") != nil || !got.Removed() {
		t.Errorf("objects are left, or the removal cannot be seen: %+v", got)
	}
	p.seen.take()
	ok(p.Uninstall(t.Context(), "web"))(t)
	if w := writes(p.seen.take()); len(w) != 0 {
		t.Errorf("a second uninstall wrote %q", w)
	}
	if err := p.Forget(t.Context(), "web"); err != nil || p.observe("web").Exists() {
		t.Errorf("forgotten: %v, %+v", err, p.observe("web"))
	}
	ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), "kept", metav1.GetOptions{}))(t)
	if _, err := p.Uninstall(t.Context(), "web"); err != nil {
		t.Errorf("uninstall of what is not there: %v", err)
	}
}

func TestObjectsOfNobodyAreAdoptedThoseOfOthersAreNot(t *testing.T) { // C-432, ifUnowned
	p := newPlace(t)
	ours := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"value": "old", "mine": "stays"}}
	ok(p.kube.CoreV1().ConfigMaps(p.apps).Create(t.Context(), ours, metav1.CreateOptions{}))(t)
	web := aModule(t, "web", files{"templates/a.yaml": cm("a", "1")})
	p.apply(web, "")
	if d := p.data("a"); d["value"] != "1" || d["mine"] != "stays" {
		t.Errorf("adopted: %v", d)
	}
	other := aModule(t, "other", files{"templates/a.yaml": cm("b", "1") + cm("a", "2")})
	req, r := p.render(other, "")
	for range 2 {
		_, err := p.Install(t.Context(), req, r)
		if err == nil || !strings.Contains(err.Error(), "belongs to release web") || !strings.Contains(err.Error(), "by release other") {
			t.Fatalf("got %v", err)
		}
	}
	if got := p.observe("other"); got.Status != installed.Failed || got.Revision != 1 {
		t.Errorf("a refused object made revisions: %+v", got)
	}
	ok(p.Uninstall(t.Context(), "other"))(t)
	if p.data("a")["value"] != "1" || p.data("b") != nil {
		t.Errorf("uninstall of the refused release: a=%v b=%v", p.data("a"), p.data("b"))
	}
}

func TestChartHooksRunAsInHelm(t *testing.T) { // C-441
	p := newPlace(t)
	hook := func(name, event, weight, policy string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, annotations: {helm.sh/hook: %s, helm.sh/hook-weight: %q, helm.sh/hook-delete-policy: %q}}\n", name, event, weight, policy)
	}
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.web.a }}") +
		hook("second", "pre-install", "2", "before-hook-creation") + hook("first", "pre-install", "1", "hook-succeeded") +
		hook("up", "post-upgrade", "0", "before-hook-creation") + hook("down", "pre-delete", "0", "before-hook-creation") + `
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-install}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: example.org/a}]}}}
`})
	p.seen.take()
	res := p.apply(m, "web: {a: 1}")
	var order []string
	for _, w := range p.seen.take() {
		if m, rest, _ := strings.Cut(w, " "); m == http.MethodPost || m == http.MethodDelete {
			order = append(order, m+" "+rest[strings.LastIndex(rest, "/")+1:])
		}
	}
	want := []string{"POST secrets", "POST jobs", "POST configmaps", "POST configmaps", "DELETE first", "POST configmaps"}
	if !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if len(res.Objects) != 1 {
		t.Errorf("chart hooks are in the result: %v", res.Objects)
	}
	job := ok(p.kube.BatchV1().Jobs(p.apps).Get(t.Context(), "migrate", metav1.GetOptions{}))(t)
	if job.Status.Succeeded != 1 {
		t.Errorf("the Job was not waited for: %+v", job.Status)
	}
	there := func(name string) bool {
		_, err := p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil
	}
	if !there("second") || there("first") || there("up") {
		t.Error("wrong hooks after install")
	}
	p.apply(m, "web: {a: 2}")
	p.apply(m, "web: {a: 3}")
	if !there("up") || there("down") {
		t.Error("wrong hooks after upgrade")
	}
	ok(p.Uninstall(t.Context(), "web"))(t)
	if !there("down") {
		t.Error("pre-delete hook did not run")
	}
}

func TestListReadsNoPayload(t *testing.T) {
	p := newPlace(t)
	for _, name := range []string{"web", "api"} {
		m := aModule(t, name, files{"templates/a.yaml": cm(name, "{{ .Values.a }}")})
		p.apply(m, "a: 1")
		p.apply(m, "a: 2")
	}
	p.seen.take()
	got := ok(p.List(t.Context()))(t)
	if len(got) != 2 || got[0].Name != "api" || got[0].Revision != 2 || got[1].Name != "web" || got[1].Status != installed.Deployed {
		t.Errorf("listed %+v", got)
	}
	if got := p.seen.take(); len(got) != 1 {
		t.Errorf("list took %q", got)
	}
	objs := ok(p.Objects(t.Context(), "web"))(t)
	if len(objs) != 1 || objs[0].Name != "web" || objs[0].Namespace != p.apps || objs[0].Live != nil || len(objs[0].Manifest) == 0 {
		t.Errorf("objects %+v", objs)
	}
}

func TestLookupReadsTheCluster(t *testing.T) { // C-440, deliberately also when comparing
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": strings.ReplaceAll(cm("a", "{{ dig 'data' 'value' 'none' (lookup 'v1' 'ConfigMap' .Release.Namespace 'source') }}")+
		cm("b", "{{ len (lookup 'nowhere.example.org/v1' 'Thing' '' '') }}"), "'", "`")})
	_, r := p.render(m, "")
	if !r.ReadsCluster || !strings.Contains(r.Manifest, "value: none") {
		t.Error(r.ReadsCluster, r.Manifest)
	}
	src := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "source"}, Data: map[string]string{"value": "found"}}
	ok(p.kube.CoreV1().ConfigMaps(p.apps).Create(t.Context(), src, metav1.CreateOptions{}))(t)
	if _, r := p.render(m, ""); !strings.Contains(r.Manifest, "value: found") {
		t.Error(r.Manifest)
	}
}

func TestWarningsOfTheAPIServerAreCollected(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "1") + "typo: x\n"})
	if res := p.apply(m, ""); len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "typo") {
		t.Errorf("warnings %q", res.Warnings)
	}
}

func TestFailedUpgradeIsRecordedAndSuperseded(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "1")})
	p.apply(m, "")
	bad := withFiles(t, m, files{"templates/b.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 0}]}\n"})
	req, r := p.render(bad, "")
	if _, err := p.Upgrade(t.Context(), req, r); err == nil || !strings.Contains(err.Error(), "Service/"+p.apps+"/b") {
		t.Fatalf("got %v", err)
	}
	if got := p.observe("web"); got.Status != installed.Failed || got.Revision != 2 {
		t.Errorf("observed %+v", got)
	}
	p.apply(withFiles(t, m, files{"templates/b.yaml": ""}), "")
	rel := ok(p.records.load(t.Context(), "web", 1))(t)
	if rel.Info.Status != release.StatusSuperseded || p.observe("web").Status != installed.Deployed {
		t.Errorf("revision 1 is %s, newest %+v", rel.Info.Status, p.observe("web"))
	}
}

func TestModulesAreAppliedAtOnce(t *testing.T) {
	p := newPlace(t)
	var wg sync.WaitGroup
	for i := range 6 {
		m := aModule(t, fmt.Sprintf("m%c", 'a'+i), files{"templates/a.yaml": cm(fmt.Sprintf("m%d", i), "{{ .Values.a }}")})
		wg.Go(func() {
			for n := range 3 {
				p.apply(m, fmt.Sprintf("a: %d", n))
			}
		})
	}
	wg.Wait()
	if got := ok(p.List(t.Context()))(t); len(got) != 6 || got[0].Revision != 3 {
		t.Errorf("listed %+v", got)
	}
}

package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// noise is text that does not compress well.
func noise(seed uint64, n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not for secrets
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// plainHelm is Helm's own configuration in a namespace, with a storage driver.
func (p *place) plainHelm(namespace, driver string) *action.Configuration {
	p.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.Namespace = &namespace
	flags.WrapConfigFn = func(*rest.Config) *rest.Config { return rest.CopyConfig(p.rest) }
	cfg := &action.Configuration{}
	if err := cfg.Init(flags, namespace, driver, func(string, ...any) {}); err != nil {
		p.t.Fatal(err)
	}
	return cfg
}

// install is helm install of a module's chart.
func (p *place) plainInstall(cfg *action.Configuration, m *module.Descriptor, namespace string) error {
	p.t.Helper()
	ch := ok(loader.LoadDir(m.Dir))(p.t)
	in := action.NewInstall(cfg)
	in.ReleaseName, in.Namespace = m.Name, namespace
	_, err := in.RunWithContext(p.t.Context(), ch, map[string]any{"web": map[string]any{"a": "helm"}})
	return err
}

func chartYAML(name string) string { return "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n" }

func TestAReleaseOfALargeChartIsStoredAndEveryHelmCommandWorks(t *testing.T) { // C-431
	p := newPlace(t)
	f := files{
		"Chart.yaml":            chartYAML("web"),
		"values.yaml":           "web: {a: none}\n",
		"templates/a.yaml":      cm("a", "{{ .Values.web.a }}"),
		"templates/_big.tpl":    "{{/* " + noise(1, 450<<10) + " */}}",
		"templates/_bigger.tpl": "{{/* " + noise(2, 450<<10) + " */}}",
		"dashboards/board.json": noise(3, 450<<10),
		"templates/hook.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: before, annotations: {helm.sh/hook: 'pre-upgrade,pre-rollback'}}\n" +
			"data: {value: '{{ .Values.web.a }}'}\n",
	}
	m := aModule(t, "web", f)
	if err := p.plainInstall(p.plainHelm(p.ops, "secret"), m, p.ops); err == nil || !strings.Contains(err.Error(), "Too long") {
		t.Fatalf("plain helm stores this chart, so it is no test: %v", err)
	}
	p.apply(m, "web: {a: one}")
	p.apply(m, "web: {a: two}")

	h := p.helm()
	if list := ok(action.NewList(h).Run())(t); len(list) != 1 || list[0].Chart.Metadata.Version != "1.0.0" {
		t.Errorf("helm list: %+v", list)
	}
	if hist := ok(action.NewHistory(h).Run("web"))(t); len(hist) != 2 {
		t.Errorf("helm history: %d revisions", len(hist))
	}
	got := ok(action.NewGet(h).Run("web"))(t)
	if !strings.Contains(got.Manifest, "value: two") || len(got.Hooks) != 1 || !strings.Contains(got.Hooks[0].Manifest, "name: before") {
		t.Errorf("helm get manifest and hooks: %s %+v", got.Manifest, got.Hooks)
	}
	if vals := ok(action.NewGetValues(h).Run("web"))(t); vals["web"].(map[string]any)["a"] != "two" {
		t.Errorf("helm get values: %v", vals)
	}
	if err := action.NewRollback(h).Run("web"); err != nil {
		t.Fatal(err)
	}
	if p.data("a")["value"] != "one" || p.data("before")["value"] != "one" {
		t.Errorf("after helm rollback: %v, hook %v", p.data("a"), p.data("before"))
	}
	got = ok(action.NewGet(h).Run("web"))(t)
	if got.Version != 3 || got.Info.Status != release.StatusDeployed || len(got.Chart.Templates) != 0 {
		t.Errorf("after helm rollback: revision %d is %s", got.Version, got.Info.Status)
	}
}

func TestWhatIsTooLargeIsRefusedBeforeAnythingIsApplied(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.web.a }}")})
	p.apply(m, "web: {a: one}")
	refused := func(what string, m *module.Descriptor, vals string, parts ...string) {
		t.Helper()
		req, r := p.render(m, vals)
		p.seen.take()
		_, err := p.Upgrade(t.Context(), req, r)
		for _, part := range parts {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Fatalf("%s: got %.600v, want %q", what, err, part)
			}
		}
		if w := writes(p.seen.take()); len(w) != 0 || p.observe("web").Revision != 1 {
			t.Errorf("%s: wrote %q", what, w)
		}
	}
	refused("values", m, "{web: {a: two, blob: "+noise(4, 1200<<10)+"}, global: {small: 1}}",
		"release is too large", "a Secret holds 1048576", "values web.blob with 1228802", "split the module")
	many := ""
	for i := range 4 {
		many += cm(fmt.Sprintf("big%d", i), noise(uint64(i), 400<<10))
	}
	refused("objects", withFiles(t, m, files{"templates/b.yaml": many}), "web: {a: two}",
		"release is too large", "ConfigMap/"+p.apps+"/big3 with 409", "ConfigMap/"+p.apps+"/big0")
	refused("one ConfigMap", withFiles(t, m, files{"templates/b.yaml": cm("huge", strings.Repeat("a", 1100<<10))}), "web: {a: two}",
		"ConfigMap/"+p.apps+"/huge has 1126400 bytes of data", "1048576 at most")
	// What only fits with the best compression, and leaves room for its end, is stored.
	p.apply(withFiles(t, m, files{"templates/b.yaml": ""}), "{web: {a: two, blob: "+noise(5, 700<<10)+"}}")
	if got := p.observe("web"); got.Status != installed.Deployed || p.data("a")["value"] != "two" {
		t.Errorf("a large release: %+v", got)
	}
}

func TestAdoption(t *testing.T) { // C-432
	p := newPlace(t)
	owner := ok(p.kube.CoreV1().ConfigMaps(p.apps).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{}))(t)
	owned := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: owner.UID}}
	const always, never, unowned = module.AdoptAlways, module.AdoptNever, module.AdoptUnowned
	n := 0
	for name, c := range map[string]struct {
		meta   metav1.ObjectMeta
		adopt  module.Adoption
		refuse []string // parts of the error, none when it is taken over
	}{
		"nobody's object is taken over":             {metav1.ObjectMeta{}, unowned, nil},
		"what a release left behind is nobody's":    {metav1.ObjectMeta{Labels: map[string]string{managedByLabel: "Helm"}}, unowned, nil},
		"another release's object is not":           {metav1.ObjectMeta{Annotations: map[string]string{releaseNameAnnotation: "theirs", releaseNamespaceAnnotation: "team"}}, unowned, []string{"belongs to release theirs of namespace team", "adopt: always"}},
		"a controlled object is not":                {metav1.ObjectMeta{OwnerReferences: owned}, unowned, []string{"belongs to ConfigMap owner", "adopt: always"}},
		"an object of another tool is not":          {metav1.ObjectMeta{Labels: map[string]string{managedByLabel: "kustomize"}}, unowned, []string{`managed by "kustomize"`}},
		"always takes another release's object":     {metav1.ObjectMeta{Annotations: map[string]string{releaseNameAnnotation: "theirs", releaseNamespaceAnnotation: "team"}}, always, nil},
		"always takes a controlled object":          {metav1.ObjectMeta{OwnerReferences: owned}, always, nil},
		"always takes what another tool made":       {metav1.ObjectMeta{Labels: map[string]string{managedByLabel: "kustomize"}}, always, nil},
		"never takes nothing that is there":         {metav1.ObjectMeta{}, never, []string{"is there already", "adopt: never"}},
		"never takes nothing of another release":    {metav1.ObjectMeta{Annotations: map[string]string{releaseNameAnnotation: "theirs", releaseNamespaceAnnotation: "team"}}, never, []string{"belongs to release theirs"}},
		"the same release name elsewhere is others": {metav1.ObjectMeta{Annotations: map[string]string{releaseNameAnnotation: "same", releaseNamespaceAnnotation: "team"}}, unowned, []string{"release same of namespace team"}},
	} {
		n++
		release, object := fmt.Sprintf("web%d", n), fmt.Sprintf("z%d", n)
		if c.meta.Annotations[releaseNameAnnotation] == "same" {
			release = "same"
		}
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t = t
			was := &corev1.ConfigMap{ObjectMeta: c.meta, Data: map[string]string{"value": "old", "mine": "stays"}}
			was.Name = object
			was = ok(p.kube.CoreV1().ConfigMaps(p.apps).Create(t.Context(), was, metav1.CreateOptions{}))(t)
			m := aModule(t, release, files{"templates/a.yaml": "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: " + object + "}\n" + cm(object, "new")})
			m.Adopt = c.adopt
			req, r := p.render(m, "")
			_, err := p.Install(t.Context(), req, r)
			if len(c.refuse) == 0 {
				if d := p.data(object); err != nil || d["value"] != "new" || d["mine"] != "stays" {
					t.Fatalf("%v, data %v", err, d)
				}
				return
			}
			for _, part := range append(c.refuse, "ConfigMap/"+p.apps+"/"+object) {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Fatalf("got %v, want %q", err, part)
				}
			}
			now := ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), object, metav1.GetOptions{}))(t)
			_, saErr := p.kube.CoreV1().ServiceAccounts(p.apps).Get(t.Context(), object, metav1.GetOptions{})
			if now.ResourceVersion != was.ResourceVersion || !apierrors.IsNotFound(saErr) {
				t.Errorf("a refused module left something: %v, %v", now.Data, saErr)
			}
			if _, err := p.Upgrade(t.Context(), req, r); err == nil || p.observe(release).Revision != 1 {
				t.Errorf("tried again: %v, %+v", err, p.observe(release))
			}
		})
	}
}

func TestReleasesOfPlainHelmAreTakenOver(t *testing.T) { // C-435, B-15
	p := newPlace(t)
	for name, c := range map[string]struct{ driver, records, objects string }{
		"in our place":                       {"secret", p.ops, p.ops},
		"in the namespace of the objects":    {"secret", p.apps, p.apps},
		"in ConfigMaps (HELM_DRIVER, C-431)": {"configmap", p.ops, p.ops},
		"in ConfigMaps of the objects":       {"configmap", p.apps, p.apps},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t, p.apps = t, c.objects
			release := c.driver + "-" + strings.TrimPrefix(c.records, "helm-")
			m := aModule(t, release, files{
				"Chart.yaml": chartYAML(release), "values.yaml": "web: {a: none}\n",
				"templates/a.yaml": cm(release, "{{ .Values.web.a }}") + cm(release+"-{{ .Values.web.a }}", "1"),
			})
			helm := p.plainHelm(c.records, c.driver)
			if err := p.plainInstall(helm, m, c.records); err != nil {
				t.Fatal(err)
			}
			was := ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), release, metav1.GetOptions{}))(t)
			p.apply(m, "web: {a: ours}")
			got := p.observe(release)
			if got.Revision != 2 || got.Status != installed.Deployed || got.Instance == "" {
				t.Errorf("observed %+v", got)
			}
			now := ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), release, metav1.GetOptions{}))(t)
			if now.UID != was.UID || now.Data["value"] != "ours" || p.data(release+"-helm") != nil || p.data(release+"-ours") == nil {
				t.Errorf("objects were not upgraded: %v", now.Data)
			}
			hist := ok(action.NewHistory(p.helm()).Run(release))(t)
			if len(hist) != 2 || hist[0].Info.Status.String() != "superseded" {
				t.Errorf("history %+v", hist)
			}
			if c.driver == "configmap" || c.records != p.ops {
				if left, err := helm.Releases.History(release); err == nil && len(left) > 0 {
					t.Errorf("the records are still where they were: %d", len(left))
				}
			}
		})
	}
}

func TestOldHistoryBlocksNothing(t *testing.T) { // C-437
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.a }}") + "{{ if .Values.b }}" + cm("b", "1") + "{{ end }}"})
	secrets := p.kube.CoreV1().Secrets(p.ops)
	patch := func(revision int, body string) {
		t.Helper()
		ok(secrets.Patch(t.Context(), recordName("web", revision), types.MergePatchType, []byte(body), metav1.PatchOptions{}))(t)
	}
	const garbage = `{"data":{"release":"Z2FyYmFnZQ=="}}`
	want := func(what, value string, revision int) {
		t.Helper()
		p.apply(m, "a: '"+value+"'")
		if got := p.observe("web"); got.Status != installed.Deployed || got.Revision != revision || p.data("a")["value"] != value {
			t.Fatalf("%s: %+v, %v", what, got, p.data("a"))
		}
		deployed := ok(secrets.List(t.Context(), metav1.ListOptions{LabelSelector: "name=web,status=deployed"}))(t)
		if len(deployed.Items) != 1 {
			t.Errorf("%s: %d revisions are called deployed", what, len(deployed.Items))
		}
	}
	p.apply(m, "{a: '0', b: true}")
	want("an object goes", "1", 2)
	patch(1, garbage)
	want("a garbled superseded revision", "2", 3)
	if err := secrets.Delete(t.Context(), recordName("web", 2), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want("a missing superseded revision", "3", 4)
	patch(3, `{"metadata":{"labels":{"status":"deployed"}}}`)
	want("two deployed revisions", "4", 5)
	patch(5, garbage)
	if objs := ok(p.Objects(t.Context(), "web"))(t); len(objs) != 0 {
		t.Errorf("objects of a release without a readable deployed revision: %v", objs)
	}
	want("a garbled deployed revision", "5", 6)
	patch(6, `{"metadata":{"labels":{"status":"pending-upgrade"}},"data":{"release":"Z2FyYmFnZQ=="}}`)
	if err := p.Recover(t.Context(), "web"); err != nil || p.observe("web").Status != installed.Failed {
		t.Fatalf("recover of a garbled pending revision: %v, %+v", err, p.observe("web"))
	}
	want("a garbled revision of a dead holder", "6", 7)
	patch(7, `{"metadata":{"labels":{"owner":null}}}`)
	p.apply(m, "a: '7'")
	if got := p.observe("web"); got.Status != installed.Deployed || got.Revision != 8 || p.data("a")["value"] != "7" {
		t.Errorf("a revision that lost its labels: %+v", got)
	}
	if hist := ok(action.NewHistory(p.helm()).Run("web"))(t); len(hist) == 0 {
		t.Error("helm history shows nothing")
	}
}

const invalidService = "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec: {ports: [{port: 0}]}\n"

func TestAFailedUpgradeIsRolledBackByPolicy(t *testing.T) { // C-432, C-438
	p := newPlace(t)
	hook := func(event string) string {
		return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, annotations: {helm.sh/hook: %s}}\ndata: {value: '{{ .Values.a }}'}\n", event, event)
	}
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.a }}") + cm("{{ .Values.a }}", "1") + hook("pre-rollback") + hook("post-rollback")})
	m.OnFailure = module.RollBack
	good := p.apply(m, "a: good")
	bad := withFiles(t, m, files{"templates/b.yaml": invalidService})
	req, r := p.render(bad, "a: bad")
	res, err := p.Upgrade(t.Context(), req, r)
	var back *installed.RolledBack
	if !errors.As(err, &back) || back.Failed != 2 || back.To != 1 || back.Digest != r.InputDigest || !strings.Contains(err.Error(), "Service/"+p.apps+"/b") {
		t.Fatalf("got %v", err)
	}
	got := p.observe("web")
	if got.Revision != 3 || got.Status != installed.Deployed || got.Rejected != r.InputDigest || got.InputDigest != good.Release.InputDigest ||
		res.Release.Revision != 3 || len(res.Objects) != 2 {
		t.Errorf("observed %+v", got)
	}
	if why := ok(p.RejectedBecause(t.Context(), "web"))(t); why != back.Error() {
		t.Errorf("because %q, want %q", why, back)
	}
	if p.data("a")["value"] != "good" || p.data("good") == nil || p.data("bad") != nil {
		t.Errorf("objects: a=%v good=%v bad=%v", p.data("a"), p.data("good"), p.data("bad"))
	}
	if p.data("pre-rollback")["value"] != "good" || p.data("post-rollback")["value"] != "good" {
		t.Error("the chart hooks of the rollback did not run with the values of before")
	}
	h := p.helm()
	if vals := ok(action.NewGetValues(h).Run("web"))(t); vals["a"] != "good" {
		t.Errorf("helm get values: %v", vals)
	}
	hist := ok(action.NewHistory(h).Run("web"))(t)
	var lines []string
	for _, e := range hist {
		lines = append(lines, fmt.Sprintf("%d %s %.13s", e.Version, e.Info.Status, e.Info.Description))
	}
	if want := []string{"1 superseded Superseded by", "2 failed Release \"web\"", "3 deployed Rollback to 1"}; !slices.Equal(lines, want) {
		t.Errorf("history %q, want %q", lines, want)
	}

	// An upgrade that works clears the mark.
	fixed := withFiles(t, bad, files{"templates/b.yaml": ""})
	p.apply(fixed, "a: better")
	if got := p.observe("web"); got.Rejected != "" || got.Status != installed.Deployed || p.data("good") != nil {
		t.Errorf("after the fix: %+v", got)
	}
	// A first install has nothing to go back to, and keep is the default.
	other := aModule(t, "other", files{"templates/b.yaml": strings.Replace(invalidService, "name: b", "name: c", 1)})
	other.OnFailure = module.RollBack
	req, r = p.render(other, "")
	if _, err := p.Install(t.Context(), req, r); err == nil || errors.As(err, &back) || p.observe("other").Status != installed.Failed {
		t.Errorf("a first install that failed: %v", err)
	}
}

func TestARollbackSurvivesADeathAndATransientFailureIsNone(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.a }}")})
	m.OnFailure = module.RollBack
	p.apply(m, "a: good")

	// The API server fails: the same may succeed a moment later.
	req, r := p.render(m, "a: better")
	down := p.answering(func(req *http.Request) bool {
		return req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/configmaps/a")
	})
	var back *installed.RolledBack
	if _, err := down.Upgrade(t.Context(), req, r); err == nil || errors.As(err, &back) {
		t.Fatalf("a transient failure: %v", err)
	}
	if got := p.observe("web"); got.Status != installed.Failed || got.Rejected != "" {
		t.Errorf("after a transient failure: %+v", got)
	}
	p.apply(m, "a: good")

	// The holder dies when the rollback has begun.
	bad := withFiles(t, m, files{"templates/b.yaml": invalidService})
	req, r = p.render(bad, "a: bad")
	ctx, cancel := context.WithCancel(t.Context())
	dying := p.dyingWhen(cancel, func(req *http.Request) bool {
		return req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/configmaps/a") && p.observe("web").Status == installed.PendingRollback
	})
	if _, err := dying.Upgrade(ctx, req, r); err == nil || errors.As(err, &back) {
		t.Fatalf("a death: %v", err)
	}
	got := p.observe("web")
	if got.Status != installed.PendingRollback || got.Rejected != r.InputDigest {
		t.Fatalf("after a death: %+v", got)
	}
	if err := p.Recover(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	why := ok(p.RejectedBecause(t.Context(), "web"))(t)
	ok(p.Rollback(t.Context(), "web", got.Rejected, why))(t)
	if now := p.observe("web"); now.Status != installed.Deployed || now.Rejected != r.InputDigest || p.data("a")["value"] != "good" || !strings.Contains(why, "rolled back to revision 3") {
		t.Errorf("finished: %+v, %v, %q", now, p.data("a"), why)
	}
	if _, err := p.Rollback(t.Context(), "nothing", "d", "why"); !errors.Is(err, errNoWayBack) {
		t.Errorf("rollback of nothing: %v", err)
	}
}

// answering is p's client that gets an internal error for some requests.
func (p *place) answering(fails func(*http.Request) bool) *Client {
	return p.through(func(next http.RoundTripper, req *http.Request) (*http.Response, error) {
		if !fails(req) {
			return next.RoundTrip(req)
		}
		body := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"InternalError","code":500,"message":"etcd is away"}`
		return &http.Response{StatusCode: http.StatusInternalServerError, Proto: "HTTP/1.1", Header: http.Header{"Content-Type": {"application/json"}},
			Body: readCloser{strings.NewReader(body)}, Request: req}, nil
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// dyingWhen is p's client whose context ends before some request.
func (p *place) dyingWhen(cancel context.CancelFunc, when func(*http.Request) bool) *Client {
	return p.through(func(next http.RoundTripper, req *http.Request) (*http.Response, error) {
		if when(req) {
			cancel()
			return nil, context.Canceled
		}
		return next.RoundTrip(req)
	})
}

func (p *place) through(f func(http.RoundTripper, *http.Request) (*http.Response, error)) *Client {
	p.t.Helper()
	cfg := rest.CopyConfig(p.rest)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) { return f(next, req) })
	})
	c := p.cfg
	c.REST = cfg
	return ok(New(c))(p.t)
}

// What is taken away between the reading and the patch is put back too (C-436): the answer
// to the patch becomes the baseline of drift, so nothing would find it later.
func TestAChangeBetweenReadingAndPatchIsNotLost(t *testing.T) {
	p := newPlace(t)
	p.apply(aModule(t, "web", files{"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {one: '1', two: '2'}\n"}), "web: {}")
	change := func(data string) {
		t.Helper()
		ok(p.kube.CoreV1().ConfigMaps(p.apps).Patch(t.Context(), "a", types.MergePatchType, []byte(`{"data":`+data+`}`), metav1.PatchOptions{}))(t)
	}
	patches := 0
	c := p.through(func(next http.RoundTripper, req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPatch && strings.HasSuffix(req.URL.Path, "/configmaps/a") {
			if patches++; patches <= 2 {
				change(fmt.Sprintf(`{"two":null,"theirs":"%d"}`, patches))
			}
		}
		return next.RoundTrip(req)
	})
	change(`{"one":"drifted"}`)
	ok(c.Repair(t.Context(), "web", []object.Ref{{APIVersion: "v1", Kind: "ConfigMap", Namespace: p.apps, Name: "a"}}))(t)
	if d := p.data("a"); patches != 3 || d["one"] != "1" || d["two"] != "2" || d["theirs"] != "2" {
		t.Errorf("after %d patches a is %v, expected both fields back and the other's kept", patches, d)
	}
}

// aJob is a Job whose pod finds no node, so that only the test decides how it ends.
func aJob(name, annotations, spec string) string {
	return fmt.Sprintf("---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: %s, annotations: {%s}}\n"+
		"spec: {backoffLimit: 0, %s, template: {spec: {restartPolicy: Never, nodeSelector: {nowhere: 'yes'}, containers: [{name: migrate, image: example.org/a}]}}}\n", name, annotations, spec)
}

func TestAChartHookThatDoesNotEndWellSaysWhatItsPodDid(t *testing.T) { // C-441
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "1") + aJob("migrate", "helm.sh/hook: pre-install, helm.sh/hook-delete-policy: hook-failed", "completions: 1")})
	req, r := p.render(m, "")

	// It fails.
	ended := make(chan error, 1)
	go func() {
		_, err := p.Install(t.Context(), req, r)
		ended <- err
	}()
	var pod *corev1.Pod
	testkit.Eventually(t, func() bool {
		list, err := p.kube.CoreV1().Pods(p.apps).List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			return false
		}
		pod = &list.Items[0]
		return true
	}, func() string { return "the Job has a pod" })
	failed := `{"status":{"phase":"Failed","containerStatuses":[{"name":"migrate","image":"a","imageID":"","ready":false,"restartCount":0,` +
		`"state":{"terminated":{"exitCode":3,"reason":"Error","message":"no such table"}}}]}}`
	ok(p.kube.CoreV1().Pods(p.apps).Patch(t.Context(), pod.Name, types.MergePatchType, []byte(failed), metav1.PatchOptions{}, "status"))(t)
	err := <-ended
	for _, part := range []string{"chart hook pre-install Job/migrate", "BackoffLimitExceeded", "container migrate ended with exit code 3 (Error): no such table", "kubectl logs -n " + p.apps + " job/migrate"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
	if _, err := p.kube.BatchV1().Jobs(p.apps).Get(t.Context(), "migrate", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("hook-failed did not delete the Job: %v", err)
	}
	if got := p.observe("web"); got.Status != installed.Failed || p.data("a") != nil {
		t.Errorf("after the hook failed: %+v, a=%v", got, p.data("a"))
	}

	// It does not end.
	c := p.cfg
	c.Timeout = time.Second
	_, err = ok(New(c))(t).Install(t.Context(), req, r)
	for _, part := range []string{"did not end within 1s", "Unschedulable"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
}

func TestAJobThatItsTTLRemovedIsNotBroughtBackUntilTheNextUpgrade(t *testing.T) { // C-436
	p := newPlace(t)
	job := strings.Replace(aJob("once", "a: b", "ttlSecondsAfterFinished: 0"), "nodeSelector: {nowhere: 'yes'}, ", "", 1)
	m := aModule(t, "web", files{"templates/a.yaml": cm("a", "{{ .Values.a }}") + job})
	res := p.apply(m, "a: '1'")
	if i := slices.IndexFunc(res.Objects, func(o installed.Manifested) bool { return o.Kind == "Job" }); i < 0 || !res.Objects[i].Ignored {
		t.Errorf("the Job counts for readiness: %+v", res.Objects)
	}
	gone := func() bool {
		_, err := p.kube.BatchV1().Jobs(p.apps).Get(t.Context(), "once", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}
	testkit.Eventually(t, gone, func() string { return "the TTL controller removed the Job" })
	p.seen.take()
	ok(p.Repair(t.Context(), "web", nil))(t)
	if w := writes(p.seen.take()); len(w) != 0 {
		t.Errorf("repair wrote %q", w)
	}
	p.seen.take()
	p.apply(m, "a: '2'")
	if w := writes(p.seen.take()); !slices.ContainsFunc(w, func(s string) bool { return strings.HasSuffix(s, "/jobs") }) {
		t.Errorf("an upgrade did not run the Job again: %q", w)
	}
}

func TestWhatLookupReadIsAnInput(t *testing.T) { // C-440
	p := newPlace(t)
	m := aModule(t, "web", files{"templates/a.yaml": strings.ReplaceAll(
		cm("a", "{{ dig 'data' 'value' 'none' (lookup 'v1' 'ConfigMap' .Release.Namespace 'source') }}")+
			cm("b", "{{ len (lookup 'v1' 'Secret' .Release.Namespace '').items }} {{ len (lookup 'none.example.org/v1' 'Thing' '' 'x') }}"), "'", "`")})
	digest := func(c *Client) string {
		t.Helper()
		return ok(c.InputDigest(t.Context(), m, p.apps, snapshot(t, "")))(t)
	}
	_, r := p.render(m, "")
	if d := digest(p.Client); d != r.InputDigest {
		t.Errorf("nothing moved, but the digest went from %s to %s", r.InputDigest, d)
	}
	sources := p.kube.CoreV1().ConfigMaps(p.apps)
	src := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "source"}, Data: map[string]string{"value": "one"}}
	src = ok(sources.Create(t.Context(), src, metav1.CreateOptions{}))(t)
	if digest(p.Client) == r.InputDigest {
		t.Error("an object that lookup asked for appeared, and the digest did not move")
	}
	_, r = p.render(m, "")
	src.Data["value"] = "two"
	ok(sources.Update(t.Context(), src, metav1.UpdateOptions{}))(t)
	if digest(p.Client) == r.InputDigest {
		t.Error("an object that lookup read changed, and the digest did not move")
	}
	_, r = p.render(m, "")
	sec := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "more"}}
	ok(p.kube.CoreV1().Secrets(p.apps).Create(t.Context(), sec, metav1.CreateOptions{}))(t)
	if digest(p.Client) == r.InputDigest {
		t.Error("a list that lookup read grew, and the digest did not move")
	}
	// Another process does not know what was asked: it renders and compares.
	other := ok(New(p.cfg))(t)
	if digest(other) == digest(p.Client) {
		t.Error("a process that looked nothing up knows the digest")
	}
	// A chart without lookup asks nothing.
	plain := aModule(t, "plain", files{"templates/a.yaml": cm("p", "1")})
	p.render(plain, "")
	p.seen.take()
	ok(p.InputDigest(t.Context(), plain, p.apps, snapshot(t, "")))(t)
	if got := p.seen.take(); len(got) != 0 {
		t.Errorf("the digest of a chart without lookup asked %q", got)
	}
}

func TestAnswersOfTheServerSayTheWayOut(t *testing.T) {
	p := newPlace(t)
	text := deployment
	m := aModule(t, "web", files{"templates/a.yaml": text})
	p.apply(m, "web: {}")
	moved := withFiles(t, m, files{"templates/a.yaml": strings.ReplaceAll(text, "app: web", "app: other")})
	req, r := p.render(moved, "web: {}")
	if _, err := p.Upgrade(t.Context(), req, r); err == nil || !strings.Contains(err.Error(), "field is immutable") || !strings.Contains(err.Error(), "delete the object and it is created anew") {
		t.Errorf("an immutable field: %v", err)
	}
	absent := aModule(t, "absent", files{"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: not-there}\n"})
	req, r = p.render(absent, "")
	if _, err := p.Install(t.Context(), req, r); err == nil || !strings.Contains(err.Error(), "ConfigMap/not-there/a") || !strings.Contains(err.Error(), "the namespace must exist") {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

func TestObservedTellsOfEveryOperation(t *testing.T) {
	p := newPlace(t)
	seen := map[string]int{}
	c := p.cfg
	c.Observed = func(module, operation string, took time.Duration) {
		if module == "web" && took >= 0 {
			seen[operation]++
		}
	}
	p.Client = ok(New(c))(t)
	p.apply(aModule(t, "web", files{"templates/a.yaml": cm("a", "1")}), "")
	if seen["template"] != 1 || seen["check-upgrade"] != 1 || seen["upgrade"] != 1 {
		t.Errorf("observed %v", seen)
	}
}

func TestSymlinksAndHelmignoreInCharts(t *testing.T) { // C-286
	t.Parallel()
	m := aModule(t, "web", files{
		"Chart.yaml":               chartYAML("web"),
		".helmignore":              "*.orig\ntemplates/skipped/\n# a remark\n",
		"templates/a.orig":         "{{ fail `ignored` }}",
		"templates/b.yaml":         cm("b", "{{ .Files.Get `shared.txt` }}"),
		"templates/skipped/c.yaml": cm("c", "1"),
	})
	above := filepath.Dir(m.Dir)
	files{"shared.txt": "from outside", "tpl/d.yaml": cm("d", "1")}.write(t, above)
	for link, to := range map[string]string{"shared.txt": filepath.Join(above, "shared.txt"), "templates/linked": filepath.Join(above, "tpl")} {
		if err := os.Symlink(to, filepath.Join(m.Dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	text := mustRender(t, offline(t), m, "").Manifest
	for _, part := range []string{"value: from outside", "name: d"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
	if strings.Contains(text, "name: c") {
		t.Error("an ignored directory was rendered")
	}
	if err := os.Symlink(m.Dir, filepath.Join(m.Dir, "templates", "loop")); err != nil {
		t.Fatal(err)
	}
	m.Digest += "x"
	if _, err := offline(t).Render(t.Context(), request(t, m, "")); err == nil || !strings.Contains(err.Error(), "symlink loop") {
		t.Errorf("a loop of symlinks: %v", err)
	}
}

// tgz packs files into a chart archive.
func tgz(t *testing.T, name string, f files) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, path := range slices.Sorted(maps.Keys(f)) {
		h := &tar.Header{Name: name + "/" + path, Mode: 0o600, Size: int64(len(f[path])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f[path]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestVendoredChartsFollowHelmsRules(t *testing.T) { // C-440
	t.Parallel()
	sub := func(name string) files {
		return files{
			"Chart.yaml":  chartYAML(name),
			"values.yaml": "size: 1\nname: " + name + "\nexports: {shared: {from: " + name + "}}\n",
			"templates/a.yaml": "{{ include `lib.cm` . }}\n---\napiVersion: v1\nkind: ConfigMap\n" +
				"metadata: {name: '{{ .Values.name }}-hook', annotations: {helm.sh/hook: post-install}}\n",
		}
	}
	f := files{
		"Chart.yaml": chartYAML("web") + "dependencies:\n" +
			"- {name: packed, version: 1.x}\n" +
			"- {name: dir, version: 1.0.0, alias: first}\n" +
			"- {name: dir, version: 1.0.0, alias: second, condition: second.enabled}\n" +
			"- {name: tagged, version: 1.0.0, tags: [extras]}\n" +
			"- {name: lib, version: 1.0.0}\n",
		"charts/lib/Chart.yaml": chartYAML("lib") + "type: library\n",
		"charts/lib/templates/_cm.tpl": "{{ define `lib.cm` }}apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Values.name }}'}\n" +
			"data: {size: '{{ .Values.size }}', zone: '{{ .Values.global.zone }}'}{{ end }}",
		"charts/lib/templates/never.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: of-library}\n",
		"charts/packed-1.2.3.tgz":         tgz(t, "packed", sub("packed")),
	}
	for path, text := range sub("dir") {
		f["charts/dir/"+path] = text
	}
	for path, text := range sub("tagged") {
		f["charts/tagged/"+path] = text
	}
	r := mustRender(t, offline(t), aModule(t, "web", f),
		"{global: {zone: z1}, packed: {size: 7}, first: {name: one}, second: {name: two, enabled: false}, tags: {extras: false}}")
	for _, part := range []string{"name: packed\n", "size: \"7\"", "name: one\n", "zone: z1", "# Source: web/charts/packed/templates/a.yaml", "# Source: web/charts/first/templates/a.yaml"} {
		if !strings.Contains(r.Manifest, part) {
			t.Errorf("%q is not in\n%s", part, r.Manifest)
		}
	}
	for _, part := range []string{"name: two", "name: tagged", "of-library"} {
		if strings.Contains(r.Manifest+r.Hooks, part) {
			t.Errorf("%q is in\n%s", part, r.Manifest)
		}
	}
	// C-433: the label is on every object, of subcharts and chart hooks too.
	if n, objs := strings.Count(r.Manifest, "heritage: addon-operator"), len(r.Objects); n != 2 || objs != 2 {
		t.Errorf("%d labels on %d objects", n, objs)
	}
	if n := strings.Count(r.Hooks, "heritage: addon-operator"); n != 2 || !strings.Contains(r.Hooks, "one-hook") {
		t.Errorf("%d labels on the chart hooks\n%s", n, r.Hooks)
	}
}

// An API server that goes away between the two last writes of an upgrade leaves one deployed
// revision in the end, and so does a kill there, once the release is looked at (C-437).
func TestOneRevisionIsDeployedInTheEnd(t *testing.T) {
	p := newPlace(t)
	m := func(v string) *module.Descriptor { return aModule(t, "web", files{"templates/a.yaml": cm("a", v)}) }
	p.apply(m("1"), "")
	refused := 0
	c := p.answering(func(r *http.Request) bool {
		fails := r.Method != http.MethodGet && strings.HasSuffix(r.URL.Path, "web.v1") && refused < 2
		if fails {
			refused++
		}
		return fails
	})
	req, r := p.render(m("2"), "")
	ok(c.Upgrade(t.Context(), req, r))(t)
	if got := p.deployed("web"); refused != 2 || got != "[2]" {
		t.Errorf("after %d refusals the revisions %s are deployed, expected the newest alone", refused, got)
	}
	list := ok(p.kube.CoreV1().Secrets(p.ops).List(t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,name=web,version=1"}))(t)
	list.Items[0].Labels["status"] = "deployed"
	ok(p.kube.CoreV1().Secrets(p.ops).Update(t.Context(), &list.Items[0], metav1.UpdateOptions{}))(t)
	ok(p.Repair(t.Context(), "web", nil))(t)
	if got := p.deployed("web"); got != "[2]" {
		t.Errorf("after a look the revisions %s are deployed, expected the newest alone", got)
	}
}

// deployed are the revisions of a release whose record says deployed.
func (p *place) deployed(name string) string {
	p.t.Helper()
	list := ok(p.kube.CoreV1().Secrets(p.ops).List(p.t.Context(), metav1.ListOptions{LabelSelector: "owner=helm,status=deployed,name=" + name}))(p.t)
	var out []string
	for _, s := range list.Items {
		out = append(out, s.Labels["version"])
	}
	return fmt.Sprint(out)
}

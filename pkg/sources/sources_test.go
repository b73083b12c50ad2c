package sources_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/sources"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// publicKey and authority are what sources name, in PEM.
func publicKey(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// bed runs Sources on a namespace and CRDs of their own.
type bed struct {
	t       *testing.T
	dynamic dynamic.Interface
	typed   kubernetes.Interface
	ns, key string

	mu       sync.Mutex
	readings []sources.Reading
}

func newBed(t *testing.T) *bed {
	t.Helper()
	cfg := rest.CopyConfig(testkit.Cluster(t))
	cfg.UserAgent = t.Name() // idle connections would look like leaks
	clients, err := kube.NewClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := report.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.EnsureCRDs(t.Context(), crds, nil); err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, dynamic: clients.Dynamic, typed: kubernetes.NewForConfigOrDie(cfg), key: publicKey(t)}
	ns, err := b.typed.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "sources-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.ns = ns.Name
	t.Cleanup(func() {
		for _, r := range []schema.GroupVersionResource{report.Sources, report.Releases} {
			if err := b.dynamic.Resource(r).DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

// start runs Sources; stop ends them.
func (b *bed) start() (stop func()) {
	s := sources.New(sources.Config{Dynamic: b.dynamic, Client: b.typed, Namespace: b.ns, Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil))})
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error)
	go func() {
		ended <- s.Run(ctx, func(r sources.Reading) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.readings = append(b.readings, r)
		})
	}()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func (b *bed) last() (r sources.Reading, count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readings) == 0 {
		return sources.Reading{}, 0
	}
	return b.readings[len(b.readings)-1], len(b.readings)
}

// until waits for a reading.
func (b *bed) until(what string, ok func(sources.Reading) bool) sources.Reading {
	b.t.Helper()
	testkit.Eventually(b.t, func() bool { r, n := b.last(); return n > 0 && ok(r) },
		func() string { r, n := b.last(); return fmt.Sprintf("%s; %d readings, the last: %+v", what, n, r) })
	r, _ := b.last()
	return r
}

// put makes or changes a ModuleSource.
func (b *bed) put(name, spec string) *unstructured.Unstructured {
	b.t.Helper()
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		b.t.Fatal(err)
	}
	s["verify"] = map[string]any{"keys": []any{b.key}}
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "addon-operator.io/v1alpha1", "kind": "ModuleSource", "metadata": map[string]any{"name": name}, "spec": s}}
	out, err := b.dynamic.Resource(report.Sources).Apply(b.t.Context(), name, obj, metav1.ApplyOptions{FieldManager: "test", Force: true})
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

func (b *bed) patch(r schema.GroupVersionResource, name, patch string, sub ...string) {
	b.t.Helper()
	if _, err := b.dynamic.Resource(r).Patch(b.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, sub...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) release(name string) {
	b.t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "addon-operator.io/v1alpha1", "kind": "ModuleRelease", "metadata": map[string]any{"name": name}}}
	if _, err := b.dynamic.Resource(report.Releases).Create(b.t.Context(), obj, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) secret(name, key, text string) {
	b.t.Helper()
	secrets := b.typed.CoreV1().Secrets(b.ns)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{key: []byte(text)}}
	if _, err := secrets.Create(b.t.Context(), s, metav1.CreateOptions{}); err == nil {
		return
	}
	if _, err := secrets.Update(b.t.Context(), s, metav1.UpdateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

func find(r sources.Reading, name string) source.Source {
	i := slices.IndexFunc(r.Sources, func(s source.Source) bool { return s.Name == name })
	if i < 0 {
		return source.Source{}
	}
	return r.Sources[i]
}

func TestTheFirstReadingIsCompleteAndASpecThatIsBadLeavesTheLastGoodOneInForce(t *testing.T) {
	b := newBed(t)
	leaks := goleak.IgnoreCurrent()
	b.secret("pull", corev1.DockerConfigJsonKey, `{"auths": {"host": {"auth": "x"}}}`)
	obj := b.put("a", "{url: 'oci://host/root', channel: ea, auth: {secretRef: {name: pull}}, modules: [m-*], update: {mode: Manual, soak: 0s, windows: [{cron: '0 2 * * 6', duration: 4h}]}}")
	b.put("b", "{url: 'oci-layout:///srv/b'}")
	b.release("m-1.0.0-01234567")
	b.patch(report.Releases, "m-1.0.0-01234567", `{"spec": {"approved": true}}`)
	stop := b.start()
	b.until("a reading", func(sources.Reading) bool { return true })
	b.mu.Lock()
	first := b.readings[0]
	b.mu.Unlock()
	want := source.Source{Name: "a", UID: string(obj.GetUID()), Generation: 1, URL: "oci://host/root", Auth: "pull", Interval: 5 * time.Minute, Timeout: 30 * time.Second,
		Channel: "ea", Keys: []string{b.key}, Modules: []string{"m-*"}, Update: source.Policy{Mode: source.Manual, Timeout: 15 * time.Minute,
			Windows: []source.Window{{Cron: "0 2 * * 6", Duration: 4 * time.Hour, TimeZone: "UTC"}}}}
	if diff := cmp.Diff(want, find(first, "a")); diff != "" {
		t.Error(diff)
	}
	if string(first.Credentials["a"].Auth) != `{"auths": {"host": {"auth": "x"}}}` || first.Credentials["a"].Problem != "" || len(first.Sources) != 2 {
		t.Errorf("%+v", first)
	}
	if diff := cmp.Diff(map[string]source.Order{"m-1.0.0-01234567": {Approved: true}}, first.Orders); diff != "" {
		t.Error(diff)
	}

	// What the API server cannot see: hours that do not exist, unknown zones.
	b.put("a", "{url: 'oci://other/root', update: {windows: [{cron: '0 25 * * 6', duration: 4h}, {cron: '0 2 * * 6', duration: 4h, timeZone: Europe/Nowhere}]}}")
	b.put("c", "{url: 'oci://host/c', update: {windows: [{cron: 'a b c d e', duration: 4h}]}}")
	r := b.until("the problems", func(r sources.Reading) bool { return find(r, "a").Problem != "" && find(r, "c").Problem != "" })
	a := find(r, "a")
	if !strings.Contains(a.Problem, `spec.update.windows[0]: cron`) || !strings.Contains(a.Problem, "Europe/Nowhere") || a.Generation != 2 {
		t.Errorf("%+v", a)
	}
	want.Problem, want.Generation = a.Problem, 2
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
	if c := find(r, "c"); c.URL != "" || c.UID == "" {
		t.Errorf("a source that never was good can be used: %+v", c)
	}
	// Another resource of the same name inherits nothing.
	if err := b.dynamic.Resource(report.Sources).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.put("a", "{url: 'oci://other/root', update: {windows: [{cron: '0 25 * * 6', duration: 4h}]}}")
	b.until("the new one is bad", func(r sources.Reading) bool {
		a := find(r, "a")
		return a.UID != want.UID && a.UID != "" && a.URL == ""
	})
	b.put("a", "{url: 'oci://other/root'}")
	b.until("the correction", func(r sources.Reading) bool {
		return find(r, "a").URL == "oci://other/root" && find(r, "a").Problem == ""
	})
	stop()
	goleak.VerifyNone(t, leaks, goleak.IgnoreAnyFunction("net/http/internal/http2.(*ClientConn).readLoop"), goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop"))
}

func TestOnlyWhatUsersWriteIsAReading(t *testing.T) {
	b := newBed(t)
	b.put("a", "{url: 'oci://host/root'}")
	defer b.start()()
	b.until("the first reading", func(r sources.Reading) bool { return len(r.Sources) == 1 })
	_, before := b.last()
	// All that the operator itself writes.
	b.patch(report.Sources, "a", `{"status": {"modules": 7}}`, "status")
	b.release("m-1.0.0-01234567")
	b.patch(report.Releases, "m-1.0.0-01234567", `{"status": {"phase": "Pending", "module": "m"}}`, "status")
	b.secret("other", "k", "v")
	// What users write, with nothing between that could have been lost.
	b.patch(report.Releases, "m-1.0.0-01234567", `{"spec": {"retry": "again"}}`)
	r := b.until("the order", func(r sources.Reading) bool { return r.Orders["m-1.0.0-01234567"].Retry == "again" })
	if _, n := b.last(); n != before+1 {
		t.Errorf("%d readings for one order", n-before)
	}
	if find(r, "a").Generation != 1 {
		t.Errorf("%+v", r.Sources)
	}
	if err := b.dynamic.Resource(report.Releases).Delete(t.Context(), "m-1.0.0-01234567", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("no order is left", func(r sources.Reading) bool { return len(r.Orders) == 0 })
	if err := b.dynamic.Resource(report.Sources).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("no source is left", func(r sources.Reading) bool { return len(r.Sources) == 0 && len(r.Credentials) == 0 })
}

func TestWhatASourceNamesIsFollowed(t *testing.T) {
	b := newBed(t)
	const spec = "{url: 'oci://host/root', auth: {secretRef: {name: pull}}, ca: {configMapRef: {name: authorities, key: root.pem}}}"
	b.put("a", spec)
	defer b.start()()
	problem := func(parts ...string) func(sources.Reading) bool {
		return func(r sources.Reading) bool {
			text := r.Credentials["a"].Problem
			return text != "" && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
		}
	}
	b.until("nothing is there", problem("Secret "+b.ns+"/pull does not exist", "ConfigMap "+b.ns+"/authorities does not exist"))
	b.secret("pull", "password", "hunter22")
	b.until("another key", problem("Secret pull has no key .dockerconfigjson"))
	b.secret("pull", corev1.DockerConfigJsonKey, "hunter22")
	if r := b.until("no JSON", problem("key .dockerconfigjson of Secret pull: expected")); strings.Contains(r.Credentials["a"].Problem, "hunter22") {
		t.Errorf("the Secret is quoted: %s", r.Credentials["a"].Problem)
	}
	b.secret("pull", corev1.DockerConfigJsonKey, `{"auths": {}}`)
	maps := b.typed.CoreV1().ConfigMaps(b.ns)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "authorities"}, Data: map[string]string{"root.pem": b.key}}
	if _, err := maps.Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("no certificate", problem("key root.pem of ConfigMap authorities: expected PEM blocks CERTIFICATE"))
	text := authority(t)
	cm.Data["root.pem"] = text + "\n" + authority(t)
	if _, err := maps.Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.until("both", func(r sources.Reading) bool {
		c := r.Credentials["a"]
		return c.Problem == "" && string(c.Auth) == `{"auths": {}}` && strings.HasPrefix(string(c.CA), text)
	})
	// What is named no more is not read any more.
	b.put("a", "{url: 'oci://host/root'}")
	b.until("neither", func(r sources.Reading) bool {
		c, ok := r.Credentials["a"]
		return ok && c.Auth == nil && c.CA == nil && c.Problem == ""
	})
	_, before := b.last()
	b.secret("pull", corev1.DockerConfigJsonKey, `{"auths": {"x": {}}}`)
	b.put("a", "{url: 'oci://host/root', channel: ea}")
	b.until("the channel", func(r sources.Reading) bool { return find(r, "a").Channel == "ea" })
	if _, n := b.last(); n != before+1 {
		t.Errorf("%d readings for one edit: somebody else's Secret is followed", n-before)
	}
}

package operator_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// shop is a bed with a registry, and what is needed to publish to it.
type shop struct {
	*bed
	*testkit.OCIRegistry
	key    *ecdsa.PrivateKey
	root   string // below the registry
	source string // name of the ModuleSource
	docs   map[string]catalog.Document
	before map[string]string // digest of the channel's newest document, by channel
}

func newShop(t *testing.T) *shop {
	t.Helper()
	b := newBed(t)
	return openShop(b, testkit.Registry(t), "shop", "corp-"+b.Namespace)
}

// rival is another source for the same operator: a root of its own in the same registry, with a key of its own.
func (s *shop) rival(name string) *shop {
	s.t.Helper()
	return openShop(s.bed, s.OCIRegistry, name, name+"-"+s.Namespace)
}

func openShop(b *bed, r *testkit.OCIRegistry, root, name string) *shop {
	b.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &shop{bed: b, OCIRegistry: r, key: key, root: root, source: name, docs: map[string]catalog.Document{}, before: map[string]string{}}
	b.t.Cleanup(func() {
		ctx := context.Background()
		_ = s.Dynamic.Resource(report.Sources).Delete(ctx, s.source, metav1.DeleteOptions{})
		_ = s.Dynamic.Resource(report.Releases).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		for _, d := range s.docs {
			for name := range d.Modules {
				_ = s.Dynamic.Resource(report.Resource).Delete(ctx, name, metav1.DeleteOptions{})
			}
		}
	})
	return s
}

func (s *shop) remote() registry.Remote {
	return registry.Remote{URL: "oci://" + s.Host + "/" + s.root, Timeout: 20 * time.Second}
}

// module writes a module's directory with one template and pushes it; more are further files.
func (s *shop) module(name, version, template string, more map[string]string) catalog.Ref {
	s.t.Helper()
	texts := map[string]string{
		"module.yaml":           "version: " + version + "\n",
		"Chart.yaml":            fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version),
		"templates/object.yaml": template,
	}
	for path, text := range more {
		texts[path] = text
	}
	return s.pushed("100-"+name, texts)
}

// global pushes a folder of global hooks; hooks are their texts by name.
func (s *shop) global(version string, hooks map[string]string) catalog.Ref {
	s.t.Helper()
	texts := map[string]string{"global.yaml": "version: " + version + "\n"}
	for name, text := range hooks {
		texts["hooks/"+name] = text
	}
	return s.pushed("global-hooks", texts)
}

// pushed writes a directory, packs and pushes it.
func (s *shop) pushed(name string, texts map[string]string) catalog.Ref {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), name)
	for path, text := range texts {
		at := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			s.t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			s.t.Fatal(err)
		}
	}
	a, err := artifact.Pack(dir, artifact.PackOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	digest, err := registry.PushModule(s.ctx, s.remote(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	return catalog.Ref{Version: a.Meta.Version, Digest: digest}
}

// promote publishes the next document of a channel, in which a module has this version; edit may
// change more of the entry.
func (s *shop) promote(channel, module string, ref catalog.Ref, edit func(*catalog.Document, *catalog.Entry)) {
	s.t.Helper()
	s.publish(channel, func(d *catalog.Document) {
		e := d.Modules[module]
		if e.Digest != "" && e.Digest != ref.Digest {
			e.Available = append([]catalog.Ref{e.Ref}, e.Available...)
		}
		e.Available = slices.DeleteFunc(e.Available, func(r catalog.Ref) bool { return r.Version == ref.Version })
		e.Ref, e.PromotedAt = ref, time.Now().UTC().Truncate(time.Second)
		if edit != nil {
			edit(d, &e)
		}
		d.Modules[module] = e
	})
}

// publish makes, signs and pushes the next document of a channel.
func (s *shop) publish(channel string, edit func(*catalog.Document)) {
	s.t.Helper()
	d, ok := s.docs[channel]
	if !ok {
		d = catalog.Document{Channel: channel, Modules: map[string]catalog.Entry{}}
	}
	d.Seq++
	d.CreatedAt = time.Now().UTC().Truncate(time.Second)
	edit(&d)
	s.docs[channel] = d
	s.push(d)
}

func (s *shop) push(d catalog.Document) {
	s.t.Helper()
	text, err := catalog.Encode(d)
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := catalog.Sign(text, s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.before[d.Channel], err = registry.PushChannel(s.ctx, s.remote(), d.Channel, d.Seq, text, signature, s.before[d.Channel]); err != nil {
		s.t.Fatal(err)
	}
}

// follow makes or replaces the ModuleSource; spec is YAML beside url, channel and key.
func (s *shop) follow(spec string) {
	s.t.Helper()
	public, err := catalog.EncodePublicKey(&s.key.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	indented := string(bytes.ReplaceAll(bytes.TrimSpace(public), []byte("\n"), []byte("\n        ")))
	text := fmt.Sprintf("apiVersion: addon-operator.io/v1alpha1\nkind: ModuleSource\nmetadata: {name: %s}\nspec:\n  url: oci://%s/%s\n  channel: stable\n  interval: 1s\n  timeout: 5s\n"+
		"  verify:\n    keys:\n      - |\n        %s\n%s", s.source, s.Host, s.root, indented, spec)
	u := s.object(text)
	api := s.Dynamic.Resource(report.Sources)
	s.eventually(func() bool {
		had, err := api.Get(s.ctx, s.source, metav1.GetOptions{})
		if err == nil {
			u.SetResourceVersion(had.GetResourceVersion())
			_, err = api.Update(s.ctx, u, metav1.UpdateOptions{})
		} else {
			_, err = api.Create(s.ctx, u, metav1.CreateOptions{})
		}
		if err != nil {
			s.t.Log(err)
		}
		return err == nil
	}, "the ModuleSource is written")
}

func (s *shop) object(text string) *unstructured.Unstructured {
	s.t.Helper()
	var fields map[string]any
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		s.t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: fields}
}

// release is the status of a ModuleRelease by module and version, nil without one.
func (s *shop) release(module, version string) map[string]any {
	list, err := s.Dynamic.Resource(report.Releases).List(s.ctx, metav1.ListOptions{LabelSelector: "addon-operator.io/module=" + module})
	if err != nil {
		return nil
	}
	for _, u := range list.Items {
		status, _, _ := unstructured.NestedMap(u.Object, "status")
		if status["version"] == version {
			status["name"] = u.GetName()
			return status
		}
	}
	return nil
}

// phase waits until the release of a version is in a phase, with texts in its reason and message.
func (s *shop) phase(module, version, phase string, texts ...string) {
	s.t.Helper()
	testkit.Eventually(s.t, func() bool {
		r := s.release(module, version)
		said := fmt.Sprint(r["reason"], " ", r["message"])
		for _, text := range texts {
			if !strings.Contains(said, text) {
				return false
			}
		}
		return r != nil && r["phase"] == phase
	}, func() string {
		return fmt.Sprintf("release %s %s is %s %v; it is %v; the source is %v", module, version, phase, texts, s.release(module, version), s.sourceStatus())
	})
}

func (s *shop) sourceStatus() any {
	u, err := s.Dynamic.Resource(report.Sources).Get(s.ctx, s.source, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return u.Object["status"]
}

// runs waits until a module is Ready in this version.
func (s *shop) runs(module, version string) {
	s.t.Helper()
	s.eventually(func() bool { return fmt.Sprint(s.field(module, "version")) == version }, "module %s is version %s", module, version)
	s.ready(module)
}

// deployed waits until a module runs a version, and its release says so.
func (s *shop) deployed(module, version string) {
	s.t.Helper()
	s.phase(module, version, "Deployed")
	s.runs(module, version)
}

// kept says that a module stays in a version, and why, in its condition UpToDate.
func (s *shop) kept(module, version, reason string, texts ...string) {
	s.t.Helper()
	s.wants(module, "UpToDate", "False "+reason, texts...)
	if got := fmt.Sprint(s.field(module, "version")); got != version {
		s.t.Errorf("module %s is version %s, expected %s to be kept", module, got, version)
	}
}

// sourceSays waits for a condition of the ModuleSource, "status reason message".
func (s *shop) sourceSays(condition, prefix string, texts ...string) {
	s.t.Helper()
	var said string
	testkit.Eventually(s.t, func() bool {
		status, _ := s.sourceStatus().(map[string]any)
		list, _ := status["conditions"].([]any)
		for _, e := range list {
			if c, ok := e.(map[string]any); ok && c["type"] == condition {
				said = fmt.Sprint(c["status"], " ", c["reason"], " ", c["message"])
			}
		}
		return strings.HasPrefix(said, prefix) && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(said, text) })
	}, func() string {
		return fmt.Sprintf("%s of the source is %q with %q; it is %q", condition, prefix, texts, said)
	})
}

// followed waits until the newest document of a channel was taken.
func (s *shop) followed(channel string) {
	s.t.Helper()
	want := fmt.Sprint(s.docs[channel].Seq)
	testkit.Eventually(s.t, func() bool {
		status, _ := s.sourceStatus().(map[string]any)
		list, _ := status["channels"].([]any)
		return slices.ContainsFunc(list, func(e any) bool {
			c, ok := e.(map[string]any)
			return ok && c["channel"] == channel && fmt.Sprint(c["seq"]) == want
		})
	}, func() string { return fmt.Sprintf("document %s is followed; the source is %v", want, s.sourceStatus()) })
}

// ask writes spec of the ModuleRelease of a version, as a client's user may.
func (s *shop) ask(client dynamic.Interface, module, version, spec string) error {
	s.t.Helper()
	var name string
	s.eventually(func() bool {
		name, _ = s.release(module, version)["name"].(string)
		return name != ""
	}, "there is a ModuleRelease of %s %s", module, version)
	_, err := client.Resource(report.Releases).Patch(s.ctx, name, types.MergePatchType, []byte(`{"spec":`+spec+`}`), metav1.PatchOptions{})
	return err
}

// clinic says of versions whether they are well: modules that it has looked after are Ready when it says so.
type clinic struct {
	*httptest.Server
	mu   sync.Mutex
	sick map[string]bool
}

func newClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{sick: map[string]bool{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sick[strings.TrimPrefix(r.URL.Path, "/")] {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *clinic) ails(version string, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sick[version] = yes
}

// definition is a module.yaml of a version that the clinic looks after; more are further keys.
func (c *clinic) definition(version, more string) map[string]string {
	return map[string]string{"module.yaml": fmt.Sprintf("version: %s\nhealth:\n  - {name: well, http: %q, interval: 1s}\n%s", version, c.URL+"/"+version, more)}
}

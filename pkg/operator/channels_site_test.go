package operator_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	source string // name of the ModuleSource
	docs   map[string]catalog.Document
	before map[string]string // digest of the channel's newest document, by channel
}

func newShop(t *testing.T) *shop {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{bed: newBed(t), OCIRegistry: testkit.Registry(t), key: key, docs: map[string]catalog.Document{}, before: map[string]string{}}
	s.source = "corp-" + s.Namespace
	t.Cleanup(func() {
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
	return registry.Remote{URL: "oci://" + s.Host + "/shop", Timeout: 20 * time.Second}
}

// module writes a module's directory with one template and pushes it; more are further files.
func (s *shop) module(name, version, template string, more map[string]string) catalog.Ref {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "100-"+name)
	texts := map[string]string{
		"module.yaml":           "version: " + version + "\n",
		"Chart.yaml":            fmt.Sprintf("apiVersion: v2\nname: %s\nversion: %s\n", name, version),
		"templates/object.yaml": template,
	}
	for path, text := range more {
		texts[path] = text
	}
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
	return catalog.Ref{Version: version, Digest: digest}
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
	text := fmt.Sprintf("apiVersion: addon-operator.io/v1alpha1\nkind: ModuleSource\nmetadata: {name: %s}\nspec:\n  url: oci://%s/shop\n  channel: stable\n  interval: 1s\n  timeout: 5s\n"+
		"  verify:\n    keys:\n      - |\n        %s\n%s", s.source, s.Host, indented, spec)
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

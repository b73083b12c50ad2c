package helm

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"
	"helm.sh/helm/v3/pkg/storage"
	"helm.sh/helm/v3/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

func aRelease() *release.Release {
	return &release.Release{
		Name: "web", Namespace: "apps", Version: 3, Manifest: "---\nkind: ConfigMap\n",
		Chart:  &chart.Chart{Metadata: &chart.Metadata{Name: "web", Version: "1.0.0"}},
		Config: map[string]any{"web": map[string]any{"size": "1"}},
		Info:   &release.Info{Status: release.StatusDeployed},
		Labels: map[string]string{LabelInstance: "ops.addons"},
	}
}

func TestHelmReadsOurRecordsAndWeReadHelms(t *testing.T) { // C-431
	t.Parallel()
	api := fake.NewClientset().CoreV1().Secrets("ops")
	ours, err := secretOf(aRelease(), "createdAt", maxRecordBytes, time.Unix(100, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.Create(t.Context(), ours, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	helms := storage.Init(driver.NewSecrets(api))
	got, err := helms.Get("web", 3)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(aRelease(), got, cmp.AllowUnexported(chart.Chart{})); d != "" {
		t.Errorf("Helm reads another release (-want +got):\n%s", d)
	}

	next := aRelease()
	next.Version = 4
	if err := helms.Create(next); err != nil {
		t.Fatal(err)
	}
	back, err := (&records{secrets: api}).load(t.Context(), "web", 4)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(next, back.Release, cmp.AllowUnexported(chart.Chart{})); d != "" {
		t.Errorf("we read another release than Helm wrote (-want +got):\n%s", d)
	}
}

func TestHeadsComeFromLabels(t *testing.T) {
	t.Parallel()
	head := func(name string, l map[string]string) (installed.Release, bool) {
		return headOf(&metav1.ObjectMeta{Name: name, Labels: l})
	}
	got, ok := head("sh.helm.release.v1.web.v12", map[string]string{
		"owner": "helm", "name": "web", "version": "12", "status": "pending-upgrade", "createdAt": "100", "modifiedAt": "200",
		LabelInstance: "ops.addons", LabelInputDigest: "v1.a", LabelRenderDigest: "v1.b", LabelPredecessor: "md5",
	})
	if !ok || got.Revision != 12 || !got.Status.Pending() || got.Updated.Unix() != 200 || got.Instance != "ops.addons" ||
		got.InputDigest != "v1.a" || got.RenderDigest != "v1.b" || got.PredecessorChecksum != "md5" || len(got.Labels) != 4 {
		t.Errorf("got %+v", got)
	}
	for why, l := range map[string]map[string]string{
		"no revision":            {"name": "web"},
		"revision is no number":  {"name": "web", "version": "x"},
		"name of another Secret": {"name": "api", "version": "12"},
	} {
		if r, ok := head("sh.helm.release.v1.web.v12", l); ok {
			t.Errorf("%s: taken for %+v", why, r)
		}
	}
}

func TestReleaseTooLargeForASecretIsAnErrorWithItsSize(t *testing.T) {
	t.Parallel()
	noise := make([]byte, maxRecordBytes)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	rel := aRelease()
	rel.Manifest = base64.StdEncoding.EncodeToString(noise)
	_, err := secretOf(rel, "createdAt", maxRecordBytes, time.Unix(100, 0))
	if err == nil || !strings.Contains(err.Error(), "1048576") || !strings.Contains(err.Error(), "split the module") {
		t.Errorf("got %v", err)
	}
}

func FuzzDecodeRelease(f *testing.F) {
	ok, err := encodeRelease(aRelease(), 6)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ok)
	f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(`{"name":"a","version":1}`))))
	f.Add([]byte("%%%"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rel, err := decodeRelease(data)
		if err == nil && (rel.Name == "" || rel.Info == nil) {
			t.Errorf("accepted %+v", rel)
		}
	})
}

func FuzzParseDocuments(f *testing.F) {
	f.Add("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n# nothing\n---\n[]")
	f.Add("kind: List\nitems: [1]\n")
	f.Add("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: A, metadata: {name: x, labels: 1}}]\n")
	f.Fuzz(func(t *testing.T, stream string) {
		docs, err := parseDocuments("fuzz", stream)
		if err != nil {
			return
		}
		for _, d := range docs {
			d.add("labels", map[string]string{"a": "b"})
			d.own("r", "n")
		}
		sortDocuments(docs, releaseutil.InstallOrder)
		text, err := writeDocuments(docs)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseDocuments("fuzz", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if d := cmp.Diff(refs(docs), refs(again)); d != "" {
			t.Errorf("written and read again:\n%s\n%q", d, bytes.TrimSpace([]byte(text)))
		}
	})
}

package publish

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf is a registry in this process with one root.
type shelf struct {
	*testkit.OCIRegistry
	remote registry.Remote
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	r := testkit.Registry(t)
	return &shelf{r, registry.Remote{URL: "oci://" + r.Host}}
}

// hook is called ahead of every request; when it answers true, the request fails.
func (s *shelf) hook(before func(method, path string) bool) {
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !before(r.Method, r.URL.Path) {
			return false
		}
		http.Error(w, "broken", http.StatusBadRequest)
		return true
	})
}

// tagged are the tags that were written, in order.
func (s *shelf) tagged() []string {
	var out []string
	for _, r := range s.Requests() {
		repo, ref, ok := strings.Cut(strings.TrimPrefix(r, "PUT /v2/"), "/manifests/")
		if ok && strings.HasPrefix(r, "PUT ") && !strings.HasPrefix(ref, "sha256:") {
			out = append(out, repo+":"+ref)
		}
	}
	return out
}

// request is one to a manifest, for what only an attacker or an accident does.
func (s *shelf) request(t *testing.T, method, manifest string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.Host+"/v2/"+manifest, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %v %s", method, manifest, resp.StatusCode, err, text)
	}
	return text
}

// move gives a tag the manifest of another repository or tag.
func (s *shelf) move(t *testing.T, from, to string) {
	t.Helper()
	s.request(t, http.MethodPut, to, s.request(t, http.MethodGet, from, nil))
}

// write puts any bytes under a channel's name, as somebody with push rights can.
func (s *shelf) write(t *testing.T, channel string, seq int64, document, signature []byte) {
	t.Helper()
	former := ""
	if f, err := registry.ReadChannel(t.Context(), s.remote, channel); err == nil {
		former = f.Manifest
	}
	if _, err := registry.PushChannel(t.Context(), s.remote, channel, seq, document, signature, former); err != nil {
		t.Fatal(err)
	}
}

// add packs and pushes a module; release is the rest of its module.yaml.
func (s *shelf) add(t *testing.T, name, version, release string) catalog.Ref {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "010-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "module.yaml"), []byte(fmt.Sprintf("version: %s\n%s", version, release)), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := artifact.Pack(dir, artifact.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := registry.PushModule(t.Context(), s.remote, a)
	if err != nil {
		t.Fatal(err)
	}
	return catalog.Ref{Version: version, Digest: digest}
}

package registry_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// module packs a module with one hook, that text.
func module(t testing.TB, name, version, text string) artifact.Artifact {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "010-"+name)
	err := os.MkdirAll(filepath.Join(dir, "hooks"), 0o755)
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "module.yaml"), []byte("version: "+version), 0o644))
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "hooks", "x"), []byte(text), 0o755))
	a, packErr := artifact.Pack(dir, artifact.PackOptions{})
	if err = errors.Join(err, packErr); err != nil {
		t.Fatal(err)
	}
	return a
}

func push(t testing.TB, remote registry.Remote, a artifact.Artifact) string {
	t.Helper()
	digest, err := registry.PushModule(t.Context(), remote, a)
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func at(r *testkit.OCIRegistry) registry.Remote {
	return registry.Remote{URL: "oci://" + r.Host + "/corp/addons"}
}

func open(t testing.TB, dir string, most int64) *registry.Registry {
	t.Helper()
	r, err := registry.New(registry.Config{Dir: dir, MaxBytes: most, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// both kinds of sources.
func remotes(t *testing.T) map[string]registry.Remote {
	return map[string]registry.Remote{"registry": at(testkit.Registry(t)), "layout": {URL: "oci-layout://" + filepath.Join(t.TempDir(), "layout")}}
}

func TestAModuleIsFetchedAsItWasPushed(t *testing.T) {
	for name, remote := range remotes(t) {
		t.Run(name, func(t *testing.T) {
			a := module(t, "web", "1.2.3+build.1", "one")
			digest := push(t, remote, a)
			if again, err := registry.Digest(a); err != nil || again != digest {
				t.Errorf("the digest was said to be %s (%v), and is %s", again, err, digest)
			}
			r := open(t, t.TempDir(), 0)
			if _, err := r.Cached(digest); !registry.IsNotFound(err) {
				t.Errorf("before it was fetched: %v", err)
			}
			got, err := r.Artifact(t.Context(), remote, "web", digest)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(a, got); d != "" {
				t.Error(d)
			}
			got, err = r.Cached(digest)
			if d := cmp.Diff(a, got); d != "" || err != nil {
				t.Error(d, err)
			}
			if resolved, err := registry.Resolve(t.Context(), remote, "web", "1.2.3+build.1"); err != nil || resolved != digest {
				t.Error(resolved, err)
			}
			meta, err := registry.ReadMeta(t.Context(), remote, "web", digest)
			if d := cmp.Diff(a.Meta, meta); d != "" || err != nil {
				t.Error(d, err)
			}
		})
	}
}

func TestAVersionIsNeverOverwritten(t *testing.T) {
	for name, remote := range remotes(t) {
		t.Run(name, func(t *testing.T) {
			digest := push(t, remote, module(t, "web", "1.0.0", "one"))
			if again := push(t, remote, module(t, "web", "1.0.0", "one")); again != digest {
				t.Error("pushing the same again gave another digest")
			}
			_, err := registry.PushModule(t.Context(), remote, module(t, "web", "1.0.0", "two"))
			if !registry.IsConflict(err) || !strings.Contains(err.Error(), "choose another version") {
				t.Errorf("got %v, expected a conflict", err)
			}
			if there, err := registry.Resolve(t.Context(), remote, "web", "1.0.0"); there != digest || err != nil {
				t.Error(there, err)
			}
		})
	}
}

func TestAChannelMovesAndKeepsItsHistory(t *testing.T) {
	for name, remote := range remotes(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r := open(t, t.TempDir(), 0)
			if _, err := r.Channel(ctx, remote, "stable", ""); name == "registry" && !registry.IsNotFound(err) {
				t.Errorf("got %v for a channel that is not there", err)
			}
			first, err := registry.PushChannel(ctx, remote, "stable", 1, []byte(`{"seq":1}`), []byte("sig1"), "")
			if err != nil {
				t.Fatal(err)
			}
			second, err := registry.PushChannel(ctx, remote, "stable", 12, []byte(`{"seq":12}`), []byte("sig2"), first)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Channel(ctx, remote, "stable", first)
			if d := cmp.Diff(registry.Fetched{Manifest: second, Document: []byte(`{"seq":12}`), Signature: []byte("sig2")}, got); d != "" || err != nil {
				t.Error(d, err)
			}
			if got, err = r.Channel(ctx, remote, "stable", second); err != nil || !got.Unchanged || got.Document != nil {
				t.Error(got, err)
			}
			if got, err = r.CachedChannel(second); err != nil || string(got.Document) != `{"seq":12}` {
				t.Error(got, err)
			}
			if got, err = r.ChannelAt(ctx, remote, "stable", 1); err != nil || string(got.Document) != `{"seq":1}` {
				t.Error(got, err)
			}
			if got, err = registry.ReadChannel(ctx, remote, "stable"); err != nil || got.Manifest != second {
				t.Error(got, err)
			}
			if _, err := registry.PushChannel(ctx, remote, "stable-x", 7, []byte(`{}`), nil, ""); err != nil {
				t.Fatal(err)
			}
			history, err := registry.History(ctx, remote, "stable")
			if d := cmp.Diff([]int64{12, 1}, history); d != "" || err != nil {
				t.Error(d, err)
			}
		})
	}
}

func TestALostRaceForAChannelIsNoticed(t *testing.T) {
	ctx := t.Context()
	server := testkit.Registry(t)
	remote := at(server)
	publish := func(seq int64, text, former string) (string, error) {
		return registry.PushChannel(ctx, remote, "ea", seq, []byte(text), []byte("s"), former)
	}
	first, err := publish(1, "one", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish(1, "another beginning", ""); !registry.IsConflict(err) {
		t.Errorf("a second beginning: %v", err)
	}
	second, err := publish(2, "two", first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish(3, "three", first); !registry.IsConflict(err) {
		t.Errorf("made from an old document: %v", err)
	}
	if _, err := publish(2, "another two", second); !registry.IsConflict(err) {
		t.Errorf("a number that is taken: %v", err)
	}
	// Another writer moves the tag in the moment after ours did.
	server.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/ea") {
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	if _, err := publish(3, "three", second); !registry.IsConflict(err) || !strings.Contains(err.Error(), "somebody else") {
		t.Errorf("a lost race: %v", err)
	}
}

func TestAPollWithNothingNewIsOneHead(t *testing.T) {
	ctx := t.Context()
	server := testkit.Registry(t)
	manifest, err := registry.PushChannel(ctx, at(server), "stable", 1, []byte("{}"), []byte("s"), "")
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, t.TempDir(), 0)
	server.Forget()
	for range 3 {
		if _, err := r.Channel(ctx, at(server), "stable", manifest); err != nil {
			t.Fatal(err)
		}
	}
	want := "HEAD /v2/corp/addons/channels/manifests/stable"
	if d := cmp.Diff([]string{want, want, want}, server.Requests()); d != "" {
		t.Error(d)
	}
}

func TestCopyMovesNoLayersInsideOneRegistry(t *testing.T) {
	ctx := t.Context()
	server := testkit.Registry(t)
	from, to := at(server), registry.Remote{URL: "oci://" + server.Host + "/other"}
	digest := push(t, from, module(t, "web", "1.0.0", "one"))
	server.Forget()
	for range 2 {
		if err := registry.Copy(ctx, from, to, "web", "1.0.0", digest); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Count("GET /v2/corp/addons/modules/web/blobs/"); n > 0 {
		t.Errorf("%d layers were fetched: %v", n, server.Requests())
	}
	if ok, err := registry.Exists(ctx, to, "web", digest); !ok || err != nil {
		t.Error(ok, err)
	}
	if ok, err := registry.Exists(ctx, to, "db", digest); ok || err != nil {
		t.Error(ok, err)
	}
	if _, err := open(t, t.TempDir(), 0).Artifact(ctx, to, "web", digest); err != nil {
		t.Error(err)
	}
	another := push(t, from, module(t, "web", "2.0.0", "two"))
	if err := registry.Copy(ctx, from, to, "web", "1.0.0", another); !registry.IsConflict(err) {
		t.Errorf("got %v, expected a conflict", err)
	}
	if err := registry.Copy(ctx, from, to, "web", "3.0.0", "sha256:"+strings.Repeat("0", 64)); !registry.IsNotFound(err) {
		t.Errorf("got %v, expected it not to be found", err)
	}
}

func TestCopyGoesBetweenRegistriesAndLayouts(t *testing.T) {
	ctx := t.Context()
	layout := registry.Remote{URL: "oci-layout://" + filepath.Join(t.TempDir(), "l")}
	first, second := at(testkit.Registry(t)), at(testkit.Registry(t))
	digest := push(t, first, module(t, "web", "1.0.0", "one"))
	for _, step := range [][2]registry.Remote{{first, layout}, {layout, second}} {
		if err := registry.Copy(ctx, step[0], step[1], "web", "1.0.0", digest); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, t.TempDir(), 0).Artifact(ctx, second, "web", digest); err != nil {
		t.Error(err)
	}
}

func TestURLsAreChecked(t *testing.T) {
	for url, ok := range map[string]bool{
		"oci://example.org/a/b": true, "oci://example.org:5000/a": true, "oci://example.org": true, "oci://127.0.0.1:1/a/": true, "oci-layout:///srv/a": true,
		"": false, "https://example.org/a": false, "oci:///a": false, "oci://user:secret@example.org/a": false, "oci://example.org/A": false,
		"oci://example.org/../a": false, "oci://example.org/a//b": false, "oci-layout://srv/a": false, "oci://example.org/a:tag": false, "oci://exa mple/a": false,
	} {
		if err := registry.ParseURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error shows a password: %v", url, err)
		}
	}
}

// Attacks: each is refused with a kind of error, and nothing of it is kept.
func TestARegistryThatLiesIsFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		// lie answers a GET in place of the registry.
		lie  func(w http.ResponseWriter, path string) bool
		kind func(error) bool
		want string
	}{
		"an altered manifest": {on("/manifests/", "{}"), registry.IsIntegrity, "expected content of digest"},
		"an altered layer":    {on("/blobs/", "x"), registry.IsIntegrity, "expected content of digest"},
		"a layer that never ends": {func(w http.ResponseWriter, path string) bool {
			return strings.Contains(path, "/blobs/") && flood(w)
		}, registry.IsIntegrity, "expected at most"},
		"a manifest that never ends": {func(w http.ResponseWriter, path string) bool {
			return strings.Contains(path, "/manifests/") && flood(w)
		}, registry.IsIntegrity, "expected at most"},
		"a manifest that says it is huge": {func(w http.ResponseWriter, path string) bool {
			w.Header().Set("Content-Length", "999999999999")
			w.WriteHeader(http.StatusOK)
			return true
		}, registry.IsIntegrity, "the registry has 999999999999"},
		"nothing there":          {status(http.StatusNotFound), registry.IsNotFound, "does not have it"},
		"no credentials":         {status(http.StatusUnauthorized), registry.IsDenied, "other credentials"},
		"no right":               {status(http.StatusForbidden), registry.IsDenied, "other credentials"},
		"an error of the server": {status(http.StatusInternalServerError), func(err error) bool { return !registry.IsNotFound(err) && !registry.IsIntegrity(err) }, "500"},
	} {
		t.Run(name, func(t *testing.T) {
			server := testkit.Registry(t)
			a := module(t, "web", "1.0.0", "one")
			digest := push(t, at(server), a)
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { return c.lie(w, r.URL.Path) })
			dir := t.TempDir()
			r := open(t, dir, 0)
			_, err := r.Artifact(t.Context(), at(server), "web", digest)
			if err == nil || !c.kind(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "modules/web@sha256:") {
				t.Errorf("got %v, expected %s", err, c.want)
			}
			if _, err := r.Cached(digest); !registry.IsNotFound(err) {
				t.Errorf("something of it is in the cache: %v", err)
			}
			server.Intercept(nil)
			if got, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil || !cmp.Equal(a, got) {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func on(part, answer string) func(w http.ResponseWriter, path string) bool {
	return func(w http.ResponseWriter, path string) bool {
		if !strings.Contains(path, part) {
			return false
		}
		fmt.Fprint(w, answer)
		return true
	}
}

func status(code int) func(w http.ResponseWriter, path string) bool {
	return func(w http.ResponseWriter, _ string) bool {
		w.WriteHeader(code)
		return true
	}
}

func flood(w http.ResponseWriter) bool {
	chunk := make([]byte, 1<<20)
	for {
		if _, err := w.Write(chunk); err != nil {
			return true
		}
	}
}

func TestOtherArtifactsAreRefused(t *testing.T) {
	ctx := t.Context()
	server := testkit.Registry(t)
	remote := at(server)
	channel, err := registry.PushChannel(ctx, remote, "stable", 1, []byte("{}"), []byte("s"), "")
	if err != nil {
		t.Fatal(err)
	}
	web := push(t, remote, module(t, "web", "1.0.0", "one"))
	manifest := func(repo, tag, text string) string {
		t.Helper()
		return put(t, server.Host, "corp/addons/"+repo, tag, text)
	}
	const config = `"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"sha256:` + "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" + `","size":2}`
	r := open(t, t.TempDir(), 0)
	for name, c := range map[string]struct {
		module, digest, want string
	}{
		"another module than was asked for": {"db", put(t, server.Host, "corp/addons/modules/db", "x", get(t, server.Host, "corp/addons/modules/web", web)), "holds module web"},
		"a channel's document":              {"web", manifest("modules/web", "c", get(t, server.Host, "corp/addons/channels", channel)), "expected the artifact of a module"},
		"no manifest":                       {"web", manifest("modules/web", "n", "[]"), "expected an OCI image manifest"},
		"an index":                          {"web", manifest("modules/web", "i", `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`), "expected an OCI image manifest"},
		"a chart that is no module":         {"web", manifest("modules/web", "h", `{`+config+`}`), "expected one layer of type application/vnd.cncf.helm.chart"},
		"layers that say they are huge": {"web", manifest("modules/web", "b", `{`+config+`,"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"sha256:`+
			strings.Repeat("0", 64)+`","size":999999999999}]}`), "the manifest says 999999999999"},
		"a layer by another algorithm": {"web", manifest("modules/web", "a", `{`+config+`,"layers":[{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"md5:`+
			strings.Repeat("0", 32)+`","size":1}]}`), "sha256"},
		"a digest that is a path": {"web", "sha256:../../../etc/passwd", "sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Artifact(ctx, remote, c.module, c.digest)
			if !registry.IsIntegrity(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, expected %s", err, c.want)
			}
		})
	}
	tag := manifest("channels", "wrong", get(t, server.Host, "corp/addons/modules/web", web))
	if _, err := r.Channel(ctx, remote, "wrong", ""); !registry.IsIntegrity(err) {
		t.Errorf("a module as the document of a channel (%s): %v", tag, err)
	}
	for _, bad := range []string{"", "Stable", "a/b", "stable-1", "../x"} {
		if _, err := r.Channel(ctx, remote, bad, ""); err == nil {
			t.Errorf("channel %q was asked for", bad)
		}
	}
	if _, err := r.Artifact(ctx, remote, "../web", web); err == nil {
		t.Error("a module's name that is a path was asked for")
	}
}

// put pushes a manifest and answers its digest.
func put(t testing.TB, host, repo, tag, text string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+host+"/v2/"+repo+"/manifests/"+tag, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status)
	}
	return resp.Header.Get("Docker-Content-Digest")
}

func get(t testing.TB, host, repo, digest string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/v2/"+repo+"/manifests/"+digest, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A registry that accepts and says nothing, or drips, ends with an error in time; the test ends by that alone.
func TestARegistryThatHangsIsGivenUp(t *testing.T) {
	for name, hang := range map[string]func(w http.ResponseWriter, r *http.Request){
		"before it answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"within the answer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"dripping": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			for tick := time.NewTicker(10 * time.Millisecond); ; {
				select {
				case <-tick.C:
					_, _ = w.Write([]byte(" "))
					_ = http.NewResponseController(w).Flush()
				case <-r.Context().Done():
					tick.Stop()
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testkit.Registry(t)
			remote := at(server)
			digest := push(t, remote, module(t, "web", "1.0.0", "one"))
			server.Intercept(func(w http.ResponseWriter, r *http.Request) bool { hang(w, r); return true })
			remote.Timeout = 200 * time.Millisecond
			_, err := open(t, t.TempDir(), 0).Artifact(t.Context(), remote, "web", digest)
			if err == nil || !strings.Contains(err.Error(), "took more than 200ms") || registry.IsIntegrity(err) || registry.IsNotFound(err) {
				t.Errorf("got %v, expected that it took too long", err)
			}
		})
	}
}

func TestARegistryThatStumblesIsAskedAgain(t *testing.T) {
	server := testkit.Registry(t)
	digest := push(t, at(server), module(t, "web", "1.0.0", "one"))
	for _, code := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, 0} {
		failures := 2
		server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
			if failures--; failures < 0 {
				return false
			}
			if code == 0 {
				panic(http.ErrAbortHandler) // the connection ends
			}
			w.WriteHeader(code)
			return true
		})
		if _, err := open(t, t.TempDir(), 0).Artifact(t.Context(), at(server), "web", digest); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
	server.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	server.Forget()
	if _, err := open(t, t.TempDir(), 0).Artifact(t.Context(), at(server), "web", digest); err == nil || len(server.Requests()) != 4 {
		t.Errorf("%v after %d requests, expected an error after 4", err, len(server.Requests()))
	}
}

func TestWithTheRegistryDownTheCacheServes(t *testing.T) {
	server := testkit.Registry(t)
	a := module(t, "web", "1.0.0", "one")
	digest := push(t, at(server), a)
	r := open(t, t.TempDir(), 0)
	if _, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil {
		t.Fatal(err)
	}
	server.Down()
	if got, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil || !cmp.Equal(a, got) {
		t.Error(err)
	}
	_, err := r.Channel(t.Context(), at(server), "stable", "")
	if err == nil || registry.IsNotFound(err) || registry.IsIntegrity(err) {
		t.Errorf("got %v, expected that it cannot be reached", err)
	}
	server.Up()
	if _, err := r.Channel(t.Context(), at(server), "stable", ""); !registry.IsNotFound(err) {
		t.Errorf("got %v, expected that it is not there", err)
	}
}

func TestDamageInTheCacheIsFoundAndMended(t *testing.T) {
	server := testkit.Registry(t)
	a := module(t, "web", "1.0.0", "one")
	digest := push(t, at(server), a)
	dir := t.TempDir()
	r := open(t, dir, 0)
	if _, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil {
		t.Fatal(err)
	}
	blobs, err := filepath.Glob(filepath.Join(dir, "sha256", "*"))
	if err != nil || len(blobs) != 5 {
		t.Fatal(blobs, err)
	}
	for _, path := range blobs {
		for _, text := range []string{"", "something else", strings.Repeat("x", 5<<20)} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Cached(digest); !registry.IsNotFound(err) {
				t.Errorf("a damaged file was used: %v", err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Error("the damaged file is still there")
			}
			if got, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil || !cmp.Equal(a, got) {
				t.Errorf("it was not mended: %v", err)
			}
		}
	}
}

// cached says which of the digests are in the cache, by their place.
func cached(r *registry.Registry, digests ...string) []bool {
	out := make([]bool, len(digests))
	for i, d := range digests {
		_, err := r.Cached(d)
		out[i] = err == nil
	}
	return out
}

func TestTheCacheForgetsWhatWasNotUsedForLongestAndKeepsWhatIsPinned(t *testing.T) {
	server := testkit.Registry(t)
	text := func(seed int) string { return base64.StdEncoding.EncodeToString(noise(seed, 30_000)) }
	digests := make([]string, 5)
	for i := range digests {
		digests[i] = push(t, at(server), module(t, "web", fmt.Sprintf("1.0.%d", i), text(i)))
	}
	dir := t.TempDir()
	r := open(t, dir, 100_000) // room for three
	fetch := func(i int) {
		t.Helper()
		if _, err := r.Artifact(t.Context(), at(server), "web", digests[i]); err != nil {
			t.Fatal(err)
		}
	}
	fetch(0)
	r.Pin([]string{digests[0]})
	for i := 1; i < 5; i++ {
		fetch(i)
	}
	if d := cmp.Diff([]bool{true, false, false, true, true}, cached(r, digests...)); d != "" {
		t.Error(d)
	}
	r.Pin([]string{digests[4]})
	fetch(3) // now 0 was not used for longest: cached() asked in order
	fetch(4)
	fetch(1)
	if d := cmp.Diff([]bool{false, true, false, true, true}, cached(r, digests...)); d != "" {
		t.Error(d)
	}
	// The bound holds after a restart too, and what a killed process left is gone.
	if err := os.WriteFile(filepath.Join(dir, "sha256", ".tmp-1"), make([]byte, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, 100_000)
	fetch(2)
	if got := cached(r, digests...); !got[2] || got[0] {
		t.Error(got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "sha256", ".tmp*")); len(left) > 0 {
		t.Error(left)
	}
}

// noise does not compress.
func noise(seed, n int) []byte {
	out := make([]byte, n)
	x := uint32(seed + 1)
	for i := range out {
		x = x*1664525 + 1013904223
		out[i] = byte(x >> 24)
	}
	return out
}

// guarded is a registry that wants a name and a password; it answers the Authorization headers that it saw.
func guarded(t *testing.T, handler http.Handler) (*httptest.Server, func() []string) {
	var seen []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		if user, password, _ := r.BasicAuth(); user != "robot" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s, func() []string { return seen }
}

func dockerConfig(t testing.TB, key string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"auths": map[string]any{
		key: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("robot:secret"))}, "elsewhere.example.org": map[string]string{"username": "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCredentialsAndCAsAreUsed(t *testing.T) {
	behind := testkit.Registry(t)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: behind.Host})
	transport := &http.Transport{DisableKeepAlives: true}
	proxy.Transport = transport
	server, _ := guarded(t, proxy)
	server.StartTLS()
	host := server.Listener.Addr().String()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	remote := registry.Remote{URL: "oci://" + host + "/corp", CA: ca}
	a := module(t, "web", "1.0.0", "one")
	if _, err := registry.PushModule(t.Context(), remote, a); !registry.IsDenied(err) {
		t.Errorf("without credentials: %v", err)
	}
	for _, key := range []string{"other.example.org", host + "/elsewhere"} {
		remote.Auth = dockerConfig(t, key)
		if _, err := registry.PushModule(t.Context(), remote, a); !registry.IsDenied(err) {
			t.Errorf("with credentials for %s: %v", key, err)
		}
	}
	for _, key := range []string{host, "https://" + host + "/v2/", host + "/corp", "127.*.0.1" + host[strings.Index(host, ":"):]} {
		remote.Auth = dockerConfig(t, key)
		if _, err := registry.PushModule(t.Context(), remote, a); err != nil {
			t.Errorf("with credentials for %s: %v", key, err)
		}
	}
	remote.Auth = []byte(`{"auths":"secret"}`)
	if _, err := registry.PushModule(t.Context(), remote, a); err == nil || strings.Contains(err.Error(), "secret\"") {
		t.Errorf("credentials that are no JSON: %v", err)
	}
	remote.CA = []byte("x")
	if _, err := registry.PushModule(t.Context(), remote, a); err == nil || !strings.Contains(err.Error(), "PEM") {
		t.Errorf("a CA that is none: %v", err)
	}
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	remote.Auth, remote.CA = nil, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
	remote.URL = strings.Replace(remote.URL, "127.0.0.1", "localhost", 1)
	if _, err := registry.PushModule(t.Context(), remote, a); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate for another name: %v", err)
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	thief, stolen := guarded(t, http.NotFoundHandler())
	thief.Start()
	behind := testkit.Registry(t)
	digest := push(t, registry.Remote{URL: "oci://" + behind.Host + "/corp"}, module(t, "web", "1.0.0", "one"))
	server, _ := guarded(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	server.Start()
	host := server.Listener.Addr().String()
	remote := registry.Remote{URL: "oci://" + host + "/corp", Auth: dockerConfig(t, host)}
	if _, err := open(t, t.TempDir(), 0).Artifact(t.Context(), remote, "web", digest); err == nil {
		t.Error("a blob came from where there is none")
	}
	if len(stolen()) == 0 {
		t.Error("the redirect was not followed")
	}
	for _, header := range stolen() {
		if header != "" {
			t.Errorf("the other host was given %q", header)
		}
	}
}

func TestPlainHTTPIsForLoopbackUnlessAskedFor(t *testing.T) {
	_, err := registry.Resolve(t.Context(), registry.Remote{URL: "oci://registry.invalid/a", Timeout: time.Second}, "web", "1.0.0")
	if err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("got %v, expected HTTPS", err)
	}
	_, err = registry.Resolve(t.Context(), registry.Remote{URL: "oci://registry.invalid/a", Timeout: time.Second, PlainHTTP: true}, "web", "1.0.0")
	if err == nil || !strings.Contains(err.Error(), "http://") {
		t.Errorf("got %v, expected HTTP", err)
	}
}

func TestARedirectDoesNotGiveUpTLS(t *testing.T) {
	plain := testkit.Registry(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+plain.Host+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	_, err := registry.Resolve(t.Context(), registry.Remote{URL: "oci://" + server.Listener.Addr().String() + "/a", CA: ca}, "web", "1.0.0")
	if err == nil || !strings.Contains(err.Error(), "redirected from HTTPS") || len(plain.Requests()) > 0 {
		t.Errorf("got %v, and %v", err, plain.Requests())
	}
}

// A cache without any room keeps what was just fetched until the next fetch, so that it can be pinned.
func TestWhatWasJustFetchedCanStillBePinned(t *testing.T) {
	server := testkit.Registry(t)
	digest := push(t, at(server), module(t, "web", "1.0.0", "one"))
	other := push(t, at(server), module(t, "db", "1.0.0", "two"))
	r := open(t, t.TempDir(), 1)
	for name, d := range map[string]string{"web": digest, "db": other} {
		if _, err := r.Artifact(t.Context(), at(server), name, d); err != nil {
			t.Fatal(err)
		}
		r.Pin([]string{d})
		server.Down()
		if _, err := r.Cached(d); err != nil {
			t.Error(err)
		}
		server.Up()
	}
	r.Pin([]string{digest})
	if _, err := r.Artifact(t.Context(), at(server), "web", digest); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]bool{true, false}, cached(r, digest, other)); d != "" {
		t.Error(d)
	}
}

package operator_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/report"
)

// Whoever may push to the registry, or sits on the way to it, changes nothing: every document that is not
// the next one of the channel is refused with a condition and an Event, over restarts and new ModuleSources.
func TestDocumentsOfAttackersAreRefusedAndNothingChanges(t *testing.T) {
	s := newShop(t)
	s.settings(map[string]string{"webEnabled": "true"})
	s.promote("stable", "web", s.module("web", "1.0.0", shown("web", "v", "1.0.0"), nil), nil)
	stop := s.start()
	s.follow("  modules: ['*']\n  update: {soak: 1s, timeout: 20s}\n")
	s.runs("web", "1.0.0")
	first := s.before["stable"]
	s.promote("stable", "web", s.module("web", "1.1.0", shown("web", "v", "1.1.0"), nil), nil)
	s.phase("web", "1.1.0", "Deployed")
	s.runs("web", "1.1.0")
	good := s.before["stable"]
	was := s.witness("web")

	evil := s.module("web", "6.6.6", shown("evil", "v", "6.6.6"), nil)
	promoted := s.docs["stable"]
	of := func(seq int64, key *ecdsa.PrivateKey, edit func(*catalog.Document)) (text, signature []byte) {
		d := promoted
		d.Seq, d.CreatedAt = seq, d.CreatedAt.Add(time.Second)
		d.Modules = map[string]catalog.Entry{"web": {Ref: evil, PromotedAt: d.CreatedAt}}
		if edit != nil {
			edit(&d)
		}
		text, err := catalog.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		return text, s.sign(text, key)
	}
	own, signature := s.fetched("stable", good)
	stranger := newKey(t)
	raw := func(name string) func() {
		text := fmt.Appendf(nil, `{"channel":"stable","seq":3,"createdAt":"2026-01-01T00:00:00Z","modules":{%q:{"version":%q,"digest":%q,"promotedAt":"2026-01-01T00:00:00Z"}}}`, name, evil.Version, evil.Digest)
		return func() { s.plant("stable", text, s.sign(text, s.key)) }
	}
	for _, attack := range []struct {
		name, reason, says string
		mount              func()
	}{
		{"a document that another key signed", "SignatureInvalid", "", func() { text, sig := of(3, stranger, nil); s.plant("stable", text, sig) }},
		{"an altered document", "SignatureInvalid", "", func() {
			s.plant("stable", bytes.ReplaceAll(own, []byte(promoted.Modules["web"].Digest), []byte(evil.Digest)), signature)
		}},
		{"a document without a signature", "SignatureInvalid", "", func() { s.plant("stable", own, nil) }},
		{"an older document", "Replayed", "document 1 is older than document 2", func() { s.retag("channels", first, "stable") }},
		{"another document of the same number", "Replayed", "two different documents with the number 2", func() { text, sig := of(2, s.key, nil); s.plant("stable", text, sig) }},
		{"the document of another channel", "DocumentInvalid", "is of channel ea", func() {
			text, sig := of(9, s.key, func(d *catalog.Document) { d.Channel = "ea" })
			s.plant("stable", text, sig)
		}},
		{"a module named global", "DocumentInvalid", "means the global hooks", raw("global")},
		{"a module named as a setting", "DocumentInvalid", "setting of another module", raw("web-enabled")},
		{"a module named as a path", "DocumentInvalid", "../web", raw("../web")},
		{"no document of a channel", "IntegrityError", "expected the document of a channel", func() { s.retagFrom("modules/web", evil.Digest, "channels", "stable") }},
		{"other bytes than the digest's", "IntegrityError", "expected content of digest", func() {
			s.publishNext(t)
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				lie := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/channels/blobs/")
				if lie {
					fmt.Fprint(w, "{}")
				}
				return lie
			})
		}},
	} {
		t.Log(attack.name)
		attack.mount()
		s.refused(attack.reason, attack.says)
		s.Intercept(nil)
		s.retag("channels", good, "stable")
		s.follows()
		s.unchanged("web", was)
	}
	s.cacheIsWhole()

	// The number is remembered when the ModuleSource is deleted and made anew, and over a restart.
	sources := s.Dynamic.Resource(report.Sources)
	if err := sources.Delete(s.ctx, s.source, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.retag("channels", first, "stable")
	s.follow("  modules: ['*']\n  update: {soak: 1s, timeout: 20s}\n")
	s.refused("Replayed", "document 1 is older than document 2")
	s.unchanged("web", was)
	stop()
	if err := sources.Delete(s.ctx, s.source, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(s.Config.CacheDir); err != nil { // not even the document before is there
		t.Fatal(err)
	}
	s.follow("  modules: ['*']\n  update: {soak: 1s, timeout: 20s}\n")
	s.start()
	s.refused("Replayed", "document 1 is older than document 2")
	s.ready("web")
	s.unchanged("web", was)

	// There is a way forward, and it is one step: nothing happened in between.
	s.retag("channels", s.before["stable"], "stable")
	s.promote("stable", "web", s.module("web", "1.2.0", shown("web", "v", "1.2.0"), nil), nil)
	s.phase("web", "1.2.0", "Deployed")
	s.shown("1.2.0", configMaps, "web", "data", "v")
	if got := s.revision("web"); got != was.revision+1 {
		t.Errorf("revision %d, expected %d", got, was.revision+1)
	}
	if s.exists("evil") || s.release("web", "6.6.6") != nil {
		t.Error("the attacker's version was applied, or begun")
	}
}

// What a properly signed document lists is trusted no further than its bytes: hostile archives, and artifacts
// that are not what they are listed as, are refused and leave nothing; what was never listed never runs.
func TestArtifactsOfAttackersAreRefusedAndNothingChanges(t *testing.T) {
	s := newShop(t)
	s.settings(map[string]string{"webEnabled": "true"})
	good := s.module("web", "1.0.0", shown("web", "v", "1.0.0"), nil)
	s.promote("stable", "web", good, nil)
	stop := s.start()
	s.follow("  modules: ['*']\n  update: {soak: 1s, timeout: 20s}\n")
	s.phase("web", "1.0.0", "Deployed")
	s.runs("web", "1.0.0")
	was := s.witness("web")

	// Someone with the right to push, and no key: a new version, a pin to it, and the tag of a listed one moved.
	evil := s.module("web", "6.6.6", shown("evil", "v", "6.6.6"), nil)
	s.retag("modules/web", evil.Digest, "1.0.0")
	for _, pin := range []string{"6.6.6", evil.Digest, "^6.0"} {
		s.edit("webVersion", pin)
		s.wants("web", "UpToDate", "False VersionNotOffered", "offers no "+pin)
		s.eventually(func() bool { return s.event("web", "VersionNotOffered", "offers no "+pin) }, "an Event says that %s is not offered", pin)
	}
	s.edit("webVersion", "")
	s.wants("web", "UpToDate", "True")
	s.unchanged("web", was)

	// One document lists all of them.
	altered := s.module("web", "2.0.0", shown("evil", "v", "2.0.0"), nil)
	flooded := s.handmade("flooded", nil, nil)
	lies, floods := s.layers("web", altered.Digest), s.layers("flooded", flooded.Digest)
	s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		digest := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		switch {
		case r.Method != http.MethodGet:
			return false
		case lies[digest]:
			fmt.Fprint(w, "x")
		case floods[digest]:
			flood(w)
		}
		return lies[digest] || floods[digest]
	})
	hostile := map[string]struct{ version, says string }{
		"web":        {"2.0.0", "expected content of digest"},
		"up":         {"1.0.0", "stays below its directory"},
		"absolute":   {"1.0.0", "stays below its directory"},
		"link":       {"1.0.0", "plain files only"},
		"hard-link":  {"1.0.0", "plain files only"},
		"chart-up":   {"1.0.0", "stays below its directory"},
		"chart-link": {"1.0.0", "plain files only"},
		"bomb":       {"1.0.0", "at most 67108864 bytes in a file"},
		"junk":       {"1.0.0", "gzipped tar archive"},
		"other-name": {"6.6.6", "holds module web"},
		"same-bytes": {"1.0.0", `module web`},
		"lies":       {"3.0.0", "holds version 1.0.0"},
		"missing":    {"1.0.0", "does not have it"},
		"flooded":    {"1.0.0", "expected at most"},
	}
	files := map[string][]byte{
		"up":        tarball(t, &tar.Header{Name: "../../../evil"}, 2),
		"absolute":  tarball(t, &tar.Header{Name: filepath.Join(s.Dir, "evil")}, 2),
		"link":      tarball(t, &tar.Header{Name: "hooks", Typeflag: tar.TypeSymlink, Linkname: s.Dir}, 0),
		"hard-link": tarball(t, &tar.Header{Name: "values.yaml", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, 0),
		"bomb":      tarball(t, &tar.Header{Name: "hooks/bomb"}, 65<<20),
		"junk":      []byte("no archive"),
	}
	charts := map[string][]byte{
		"chart-up":   tarball(t, &tar.Header{Name: "chart-up/../../evil"}, 2),
		"chart-link": tarball(t, &tar.Header{Name: "chart-link/templates", Typeflag: tar.TypeSymlink, Linkname: "/"}, 0),
	}
	refs := map[string]catalog.Ref{
		"web":        altered,
		"other-name": {Version: "6.6.6", Digest: s.retagFrom("modules/web", evil.Digest, "modules/other-name", "6.6.6")},
		"same-bytes": good,
		"flooded":    flooded,
		"missing":    {Version: "1.0.0", Digest: "sha256:" + strings.Repeat("0", 64)},
	}
	for name, h := range hostile {
		if _, made := refs[name]; !made {
			refs[name] = s.handmade(name, charts[name], files[name])
		}
		refs[name] = catalog.Ref{Version: h.version, Digest: refs[name].Digest}
	}
	s.publish("stable", func(d *catalog.Document) {
		for name, ref := range refs {
			d.Modules[name] = catalog.Entry{Ref: ref, PromotedAt: time.Now().UTC().Truncate(time.Second)}
		}
	})
	for name, h := range hostile {
		t.Log(name)
		s.phase(name, h.version, "Pending", "FetchFailed", h.says)
		s.eventually(func() bool { return s.event(name, "FetchFailed", h.says) }, "an Event on module %s says %s", name, h.says)
		if s.revision(name) > 0 && name != "web" {
			t.Errorf("module %s was installed", name)
		}
	}
	s.wants("web", "UpToDate", "False FetchFailed", "expected content of digest")
	s.ready("web")
	s.unchanged("web", was)
	s.cacheIsWhole()
	s.nothingLeaked()

	// Files of the cache are altered between two starts: nothing of them is used. With the registry down what
	// runs is left alone, and says why; with the registry up it heals.
	stop()
	s.tamper()
	s.Down()
	stop = s.start()
	s.wants("web", "Ready", "False", "cannot be had")
	s.unchanged("web", was)
	s.Up()
	s.ready("web")
	s.unchanged("web", was)
	stop()
	s.tamper()
	s.start()
	s.ready("web")
	s.unchanged("web", was)
	s.nothingLeaked()

	// The same version, honestly: other bytes have another digest.
	s.Intercept(nil)
	s.publish("stable", func(d *catalog.Document) {
		d.Modules = map[string]catalog.Entry{"web": {Ref: s.module("web", "2.0.1", shown("web", "v", "2.0.1"), nil), PromotedAt: time.Now().UTC().Truncate(time.Second)}}
	})
	s.phase("web", "2.0.1", "Deployed")
	s.shown("2.0.1", configMaps, "web", "data", "v")
	if got := s.revision("web"); got != was.revision+1 || s.exists("evil") {
		t.Errorf("revision %d, expected %d", got, was.revision+1)
	}
}

// witness is what must not move while an attack goes on.
type witness struct {
	revision int
	object   string // UID and resource version of the ConfigMap
}

func (s *shop) witness(module string) witness {
	s.t.Helper()
	cm, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(s.ctx, module, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return witness{s.revision(module), string(cm.UID) + "/" + cm.ResourceVersion}
}

// unchanged fails the test unless release and objects are those of before.
func (s *shop) unchanged(module string, was witness) {
	s.t.Helper()
	now := s.witness(module)
	if now.revision != was.revision || now.object != was.object {
		s.t.Errorf("module %s was revision %d, object %s, and is %d, %s", module, was.revision, was.object, now.revision, now.object)
	}
}

// cacheIsWhole fails the test unless each file of the cache is what its name says.
func (s *shop) cacheIsWhole() {
	s.t.Helper()
	for name, whole := range s.cached() {
		if !whole {
			s.t.Errorf("the cache has %s, which is something else", name)
		}
	}
}

// cached are the digests in the operator's cache, and whether the files have them.
func (s *shop) cached() map[string]bool {
	s.t.Helper()
	out := map[string]bool{}
	for _, path := range s.cacheFiles() {
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		out[filepath.Base(path)] = sumOf(text) == "sha256:"+filepath.Base(path)
	}
	return out
}

func (s *shop) cacheFiles() []string {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.Config.CacheDir, "sha256", "[0-9a-f]*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

// tamper alters every file of the cache.
func (s *shop) tamper() {
	s.t.Helper()
	for _, path := range s.cacheFiles() {
		text, err := os.ReadFile(path)
		if err == nil {
			text[len(text)/2] ^= 1
			err = os.WriteFile(path, text, 0o644)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// nothingLeaked looks for files that archives tried to write outside of their directory.
func (s *shop) nothingLeaked() {
	s.t.Helper()
	err := filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "evil" {
			s.t.Errorf("an archive wrote %s", path)
		}
		return nil // the operator removes files while this walks
	})
	if err != nil {
		s.t.Error(err)
	}
}

// refused waits until the source says why a document is not taken, in its condition and in an Event.
func (s *shop) refused(reason, says string) {
	s.t.Helper()
	s.sourceSays("Ready", "False "+reason, says)
	s.eventually(func() bool { return s.event(s.source, reason, says) }, "an Event on the ModuleSource says %s: %s", reason, says)
}

func (s *shop) follows() {
	s.t.Helper()
	s.sourceSays("Ready", "True")
}

// publishNext publishes the document in force with the next number.
func (s *shop) publishNext(t *testing.T) {
	t.Helper()
	s.before["stable"] = s.head("channels", "stable")
	s.publish("stable", func(*catalog.Document) {})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (s *shop) sign(text []byte, key *ecdsa.PrivateKey) []byte {
	s.t.Helper()
	signature, err := catalog.Sign(text, key)
	if err != nil {
		s.t.Fatal(err)
	}
	return signature
}

// handmade pushes the artifact of a module whose archives nobody packed; nil is an honest one.
func (s *shop) handmade(name string, chart, files []byte) catalog.Ref {
	s.t.Helper()
	a := artifact.Artifact{Meta: artifact.Meta{Name: name, Version: "1.0.0", Weight: 100}, Chart: chart, Files: files,
		Config: fmt.Appendf(nil, `{"apiVersion":"v2","name":%q,"version":"1.0.0"}`, name)}
	if chart == nil {
		a.Chart = tarball(s.t, &tar.Header{Name: name + "/README.md"}, 2)
	}
	if files == nil {
		a.Files = tarball(s.t, &tar.Header{Name: name + ".txt"}, 2)
	}
	digest, err := registry.PushModule(s.ctx, s.remote(), a)
	if err != nil {
		s.t.Fatal(err)
	}
	return catalog.Ref{Version: "1.0.0", Digest: digest}
}

// tarball is an archive of one entry with so many zeros.
func tarball(t *testing.T, h *tar.Header, size int64) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	h.Mode, h.Size = 0o644, size
	err := w.WriteHeader(h)
	if err == nil {
		_, err = io.CopyN(w, zeros{}, size)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// flood answers without an end, and says how many bytes were taken.
func flood(w http.ResponseWriter) (taken int64) {
	chunk := make([]byte, 1<<20)
	for {
		n, err := w.Write(chunk)
		taken += int64(n)
		if err != nil {
			return taken
		}
	}
}

// layers are the digests of those of a module's manifest.
func (s *shop) layers(module, digest string) map[string]bool {
	s.t.Helper()
	var m struct {
		Layers []struct{ Digest string } `json:"layers"`
	}
	if err := json.Unmarshal(s.http(http.MethodGet, "modules/"+module+"/manifests/"+digest, "", nil), &m); err != nil {
		s.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, l := range m.Layers {
		out[l.Digest] = true
	}
	return out
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// plant pushes a document past the commands, as someone with push rights can, and moves the channel to it.
func (s *shop) plant(tag string, document, signature []byte) {
	s.t.Helper()
	blob := func(mediaType string, text []byte) string {
		digest := sumOf(text)
		s.http(http.MethodPost, "channels/blobs/uploads/?digest="+digest, "application/octet-stream", text)
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest, len(text))
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":%q,"config":%s,"layers":[%s,%s]}`, manifestType, catalog.ArtifactType,
		blob("application/vnd.oci.empty.v1+json", []byte("{}")), blob(catalog.DocumentType, document), blob(catalog.SignatureType, signature))
	s.http(http.MethodPut, "channels/manifests/"+tag, manifestType, []byte(manifest))
}

// retag moves a tag to a manifest of the same repository, retagFrom to one of another.
func (s *shop) retag(repo, digest, tag string) { s.retagFrom(repo, digest, repo, tag) }

func (s *shop) retagFrom(from, digest, repo, tag string) string {
	s.t.Helper()
	s.http(http.MethodPut, repo+"/manifests/"+tag, manifestType, s.http(http.MethodGet, from+"/manifests/"+digest, "", nil))
	return digest
}

// head is the digest that a tag stands for.
func (s *shop) head(repo, tag string) string {
	s.t.Helper()
	return sumOf(s.http(http.MethodGet, repo+"/manifests/"+tag, "", nil))
}

// fetched are document and signature of a channel's manifest.
func (s *shop) fetched(_, digest string) (document, signature []byte) {
	s.t.Helper()
	var m struct {
		Layers []struct{ Digest string } `json:"layers"`
	}
	if err := json.Unmarshal(s.http(http.MethodGet, "channels/manifests/"+digest, "", nil), &m); err != nil {
		s.t.Fatal(err)
	}
	return s.http(http.MethodGet, "channels/blobs/"+m.Layers[0].Digest, "", nil), s.http(http.MethodGet, "channels/blobs/"+m.Layers[1].Digest, "", nil)
}

// http speaks to the registry as anybody can.
func (s *shop) http(method, path, contentType string, body []byte) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.ctx, method, "http://"+s.Host+"/v2/shop/"+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		s.t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, text, err)
	}
	return text
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

package registry_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// image pushes an image of one file and answers its name by digest.
func image(t testing.TB, server *testkit.OCIRegistry, name, content string) string {
	t.Helper()
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+server.Host+"/v2/"+name+"/blobs/uploads/?digest="+digest, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status)
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},"layers":[]}`, digest, len(content))
	return server.Host + "/" + name + "@" + put(t, server.Host, name, "latest", manifest)
}

// withImages is a module that lists images.
func withImages(t testing.TB, name, version string, images ...string) artifact.Artifact {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	text := "version: " + version + "\nrelease:\n  images:\n"
	for _, i := range images {
		text += "  - " + i + "\n"
	}
	file := "module.yaml"
	if name == artifact.GlobalName {
		file = "global.yaml"
	}
	err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644))
	a, packErr := artifact.Pack(dir, artifact.PackOptions{})
	if err = errors.Join(err, packErr); err != nil {
		t.Fatal(err)
	}
	return a
}

func publish(t testing.TB, remote registry.Remote, seq int64, former string, modules map[string]catalog.Entry, global *catalog.Entry) string {
	t.Helper()
	text, err := catalog.Encode(catalog.Document{Channel: "stable", Seq: seq, CreatedAt: time.Unix(1e9, 0).UTC(), Previous: previous(seq), Modules: modules, Global: global})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := registry.PushChannel(t.Context(), remote, "stable", seq, text, []byte("signature"), former)
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

func previous(seq int64) string {
	if seq == 1 {
		return ""
	}
	return "sha256:" + strings.Repeat("0", 64)
}

func offered(version, digest string, available ...catalog.Ref) catalog.Entry {
	return catalog.Entry{Ref: catalog.Ref{Version: version, Digest: digest}, PromotedAt: time.Unix(1e9, 0).UTC(), Available: available}
}

// corp is a registry with a channel of a module in two versions, global hooks and two images from another registry.
type corp struct {
	remote               registry.Remote
	images               []string
	first, second, hooks string
	channel              string
}

func newCorp(t *testing.T) corp {
	upstream := testkit.Registry(t)
	c := corp{remote: at(testkit.Registry(t)), images: []string{image(t, upstream, "team/web", "one"), image(t, upstream, "db", "two")}}
	c.first = push(t, c.remote, withImages(t, "web", "1.0.0", c.images[0]))
	c.second = push(t, c.remote, withImages(t, "web", "2.0.0+b", c.images...))
	c.hooks = push(t, c.remote, withImages(t, "global", "3.0.0", c.images[1]))
	global := offered("3.0.0", c.hooks)
	c.channel = publish(t, c.remote, 1, "", map[string]catalog.Entry{"web": offered("2.0.0+b", c.second, catalog.Ref{Version: "1.0.0", Digest: c.first})}, &global)
	return c
}

func (c corp) save(t *testing.T, noImages bool) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "b.tar")
	if err := registry.SaveBundle(t.Context(), file, registry.Bundle{Remote: c.remote, Channels: []string{"stable"}, NoImages: noImages}); err != nil {
		t.Fatal(err)
	}
	return file
}

// serves asks a root for everything of corp.
func (c corp) serves(t *testing.T, remote registry.Remote) {
	t.Helper()
	r := open(t, t.TempDir(), 0)
	got, err := r.Channel(t.Context(), remote, "stable", "")
	if err != nil || got.Manifest != c.channel || string(got.Signature) != "signature" {
		t.Errorf("channel: %v, %s", err, got.Manifest)
	}
	if _, err := r.ChannelAt(t.Context(), remote, "stable", 1); err != nil {
		t.Errorf("history: %v", err)
	}
	for digest, name := range map[string]string{c.first: "web", c.second: "web", c.hooks: "global"} {
		if _, err := r.Artifact(t.Context(), remote, name, digest); err != nil {
			t.Errorf("module %s: %v", name, err)
		}
	}
	if digest, err := registry.Resolve(t.Context(), remote, "web", "2.0.0+b"); err != nil || digest != c.second {
		t.Errorf("version: %s, %v", digest, err)
	}
}

func TestABundleCarriesAChannelToAnotherRegistry(t *testing.T) {
	c := newCorp(t)
	file := c.save(t, false)
	// The origin is gone now.
	target := testkit.Registry(t)
	var told []string
	b := registry.Bundle{Remote: registry.Remote{URL: "oci://" + target.Host + "/mirror"}, Progress: func(what string) { told = append(told, what) }}
	for range 2 { // loading again changes nothing
		if err := registry.LoadBundle(t.Context(), file, b); err != nil {
			t.Fatal(err)
		}
	}
	c.serves(t, b.Remote)
	for _, i := range c.images {
		_, name, _ := strings.Cut(i, "/")
		repo, digest, _ := strings.Cut(name, "@")
		if text := get(t, target.Host, "mirror/images/"+repo, digest); !strings.Contains(text, "image.config") {
			t.Errorf("image %s: %s", i, text)
		}
	}
	if !slices.Contains(told, "channel stable, seq 1") || !slices.Contains(told, "modules/web:1.0.0") {
		t.Error(told)
	}
}

func TestAnUnpackedBundleIsASource(t *testing.T) {
	c := newCorp(t)
	dir := filepath.Join(t.TempDir(), "unpacked")
	for name, text := range entries(t, c.save(t, true)) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c.serves(t, registry.Remote{URL: "oci-layout://" + dir})
}

func TestABundleIsTheSameBytesWheneverItIsSaved(t *testing.T) {
	c := newCorp(t)
	one, err := os.ReadFile(c.save(t, false))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(c.save(t, false))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("two bundles of the same channel differ: %v", err)
	}
}

func TestWithoutImagesABundleHasNone(t *testing.T) {
	c := newCorp(t)
	with, without := entries(t, c.save(t, false)), entries(t, c.save(t, true))
	if strings.Contains(without["index.json"], "images/") || len(with) != len(without)+4 {
		t.Errorf("%d files with images, %d without: %s", len(with), len(without), without["index.json"])
	}
	target := testkit.Registry(t)
	remote := registry.Remote{URL: "oci://" + target.Host + "/mirror"}
	if err := registry.LoadBundle(t.Context(), c.save(t, false), registry.Bundle{Remote: remote, NoImages: true}); err != nil {
		t.Fatal(err)
	}
	c.serves(t, remote)
	if n := target.Count("PUT /v2/mirror/images/"); n > 0 {
		t.Errorf("%d images were loaded", n)
	}
}

func TestSavingRefusesWhatIsNotAsTheDocumentSays(t *testing.T) {
	ctx, file := t.Context(), filepath.Join(t.TempDir(), "b.tar")
	refused := errors.New("no key of ours")
	c := newCorp(t)
	err := registry.SaveBundle(ctx, file, registry.Bundle{Remote: c.remote, Channels: []string{"stable"}, Check: func(_, _ []byte) error { return refused }})
	if !errors.Is(err, refused) {
		t.Errorf("a wrong signature: %v", err)
	}
	for name, entry := range map[string]catalog.Entry{
		"expected it to be there": offered("9.0.0", "sha256:"+strings.Repeat("9", 64)),
		"holds version 1.0.0":     offered("9.0.0", c.first),
	} {
		remote := registry.Remote{URL: "oci-layout://" + filepath.Join(t.TempDir(), "l")}
		if err := registry.Copy(ctx, c.remote, remote, "web", "1.0.0", c.first); err != nil {
			t.Fatal(err)
		}
		publish(t, remote, 1, "", map[string]catalog.Entry{"web": entry}, nil)
		err := registry.SaveBundle(ctx, file, registry.Bundle{Remote: remote, Channels: []string{"stable"}})
		if err == nil || name[0] == 'h' && !strings.Contains(err.Error(), name) || name[0] == 'e' && !registry.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a bundle was written all the same: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Error(left)
	}
}

func TestLoadingNeverSetsAChannelBack(t *testing.T) {
	c := newCorp(t)
	old := c.save(t, true)
	publish(t, c.remote, 2, c.channel, nil, nil)
	err := registry.LoadBundle(t.Context(), old, registry.Bundle{Remote: c.remote})
	if !registry.IsConflict(err) || !strings.Contains(err.Error(), "is at seq 2") {
		t.Errorf("got %v, expected a refusal", err)
	}
	target := registry.Remote{URL: "oci-layout://" + filepath.Join(t.TempDir(), "l")}
	for _, file := range []string{old, c.save(t, true)} {
		if err := registry.LoadBundle(t.Context(), file, registry.Bundle{Remote: target}); err != nil {
			t.Error(err)
		}
	}
	if history, err := registry.History(t.Context(), target, "stable"); err != nil || !cmp.Equal(history, []int64{2, 1}) {
		t.Error(history, err)
	}
}

// entries are the files of a tar.
func entries(t testing.TB, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]string{}
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = string(text)
	}
}

// tarOf writes entries, each by a header and a text.
func tarOf(t testing.TB, content map[string]string, more ...tar.Header) string {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, text := range content {
		more = append(more, tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: text, Size: int64(len(text))})
	}
	for _, h := range more {
		text := ""
		if h.Typeflag == tar.TypeReg {
			text, h.Linkname = h.Linkname, ""
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "b.tar")
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestHostileBundlesAreRefused(t *testing.T) {
	c := newCorp(t)
	good := entries(t, c.save(t, true))
	with := func(name, text string) map[string]string {
		out := map[string]string{}
		for n, x := range good {
			out[n] = x
		}
		out[name] = text
		return out
	}
	index := func(old, replacement string) map[string]string {
		text := strings.ReplaceAll(good["index.json"], old, replacement)
		if text == good["index.json"] {
			t.Fatalf("%s is not in %s", old, text)
		}
		return with("index.json", text)
	}
	without := func(name string) map[string]string {
		out := with(name, "")
		delete(out, name)
		return out
	}
	layer := "blobs/sha256/" + strings.TrimPrefix(c.first, "sha256:")
	regular := func(name, text string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: text, Size: int64(len(text))}
	}
	for name, bad := range map[string]struct {
		file, want string
	}{
		"a path upwards":                       {tarOf(t, with("../x", "x")), `"../x"`},
		"an absolute path":                     {tarOf(t, with("/etc/x", "x")), "expected oci-layout"},
		"a path upwards among blobs":           {tarOf(t, with("blobs/sha256/../../../x", "x")), "expected oci-layout"},
		"a file that is no blob":               {tarOf(t, with("blobs/sha256/x", "x")), "expected oci-layout"},
		"a blob that is not what it is called": {tarOf(t, with(layer, "{}")), "expected content of digest"},
		"a blob that is missing":               {tarOf(t, without(layer)), "not in the layout"},
		"no index":                             {tarOf(t, without("index.json")), "it has no index.json"},
		"no layout":                            {tarOf(t, without("oci-layout")), "it has no index.json or no oci-layout"},
		"an index that is huge":                {tarOf(t, with("index.json", strings.Repeat(" ", 5<<20))), "expected at most 4194304 bytes"},
		"an index that is no JSON":             {tarOf(t, with("index.json", "x")), "index.json"},
		"a link":                               {tarOf(t, good, tar.Header{Typeflag: tar.TypeSymlink, Name: "blobs/sha256/" + strings.Repeat("0", 64), Linkname: "/etc/passwd"}), "plain files"},
		"a directory that is a link":           {tarOf(t, good, tar.Header{Typeflag: tar.TypeSymlink, Name: "blobs", Linkname: "/tmp"}), "plain files"},
		"a hard link":                          {tarOf(t, good, tar.Header{Typeflag: tar.TypeLink, Name: "x", Linkname: "/etc/passwd"}), "plain files"},
		"a file twice":                         {tarOf(t, good, regular("index.json", good["index.json"])), "each once"},
		"no tar":                               {filepath.Join("..", "..", "go.mod"), "expected a bundle"},
		"a repository upwards":                 {tarOf(t, index("modules/web:", "modules/../other:")), "expected channels, modules and images"},
		"another repository":                   {tarOf(t, index("modules/web:", "elsewhere:")), "expected channels, modules and images"},
		"a module named like a setting":        {tarOf(t, index("modules/web:", "modules/web-enabled:")), "expected channels, modules and images"},
		"a tag that is a path":                 {tarOf(t, index(`modules/web:1.0.0`, `modules/web:1/0`)), "expected channels, modules and images"},
		"a digest that is a path":              {tarOf(t, index(c.first, "sha256:../../x")), "sha256"},
		"a document under another channel":     {tarOf(t, index("channels:stable\"", "channels:prod\"")), "is of channel stable"},
		"a document under another number":      {tarOf(t, index("channels:stable-1", "channels:stable-9")), "is seq 1 of channel stable"},
		"a module as a document":               {tarOf(t, index(c.channel, c.first)), "expected the document of a channel"},
	} {
		t.Run(name, func(t *testing.T) {
			remote := registry.Remote{URL: "oci-layout://" + filepath.Join(t.TempDir(), "target")}
			err := registry.LoadBundle(t.Context(), bad.file, registry.Bundle{Remote: remote})
			if err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("got %v, expected %s", err, bad.want)
			}
			if _, err := registry.ReadChannel(t.Context(), remote, "stable"); err == nil {
				t.Error("its channel is in force")
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(bad.file), "*")); len(left) > 1 && !strings.HasSuffix(bad.file, "go.mod") {
				t.Error(left)
			}
		})
	}
}

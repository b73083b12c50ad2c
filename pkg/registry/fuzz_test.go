package registry

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// FuzzManifest: whatever a manifest says, what is picked from it is of bounded size and has a usable digest.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"artifactType":"application/vnd.addon-operator.channel.v1","layers":[{"mediaType":"application/vnd.addon-operator.channel.v1+json","size":1}]}`))
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"},"layers":[{"size":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for _, choose := range []func(ocispec.Manifest) ([]ocispec.Descriptor, error){moduleLayers, channelLayers, metaLayer} {
			layers, err := choose(m)
			if err != nil {
				continue
			}
			for _, d := range layers {
				if d.Size < 0 || d.Size > 256<<20 || checkDigest(d.Digest.String()) != nil {
					t.Errorf("%+v was picked", d)
				}
			}
		}
		listedBlobs(text)
		mediaTypeOf(text)
	})
}

// FuzzBundleEntry: whatever is in a tar, files appear where blobs and the two files of a layout are, and nowhere else.
func FuzzBundleEntry(f *testing.F) {
	f.Add("blobs/sha256/../../x", byte(tar.TypeReg), "x", []byte("x"))
	f.Add("index.json", byte(tar.TypeReg), "{}", []byte(nil))
	f.Fuzz(func(t *testing.T, name string, kind byte, text string, raw []byte) {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		if w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Linkname: text, Size: int64(len(text))}) == nil {
			_, _ = w.Write([]byte(text))
		}
		_ = w.Close()
		for _, content := range [][]byte{out.Bytes(), raw} {
			dir := t.TempDir()
			file, into := filepath.Join(dir, "b.tar"), filepath.Join(dir, "in")
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_ = readTar(file, into)
			found, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(found) != 2 {
				t.Errorf("there is %v", found)
			}
			below, err := filepath.Glob(filepath.Join(into, "*"))
			for _, path := range below {
				if base := filepath.Base(path); err != nil || base != "blobs" && base != indexFile && base != ocispec.ImageLayoutFile {
					t.Errorf("there is %s", path)
				}
			}
		}
	})
}

// FuzzCredentials: no text panics, and none is shown in an error.
func FuzzCredentials(f *testing.F) {
	f.Add([]byte(`{"auths":{"example.org":{"auth":"YTpi"}}}`), "example.org", "a/b")
	f.Add([]byte(`{"auths":{"*.example.org/a":{"username":"a"}}}`), "x.example.org", "a")
	f.Fuzz(func(_ *testing.T, text []byte, host, root string) {
		_, _ = credentialsFor(text, host, root)
	})
}

// FuzzLocation: a URL that is taken stays below its host or path.
func FuzzLocation(f *testing.F) {
	for _, url := range []string{"oci://example.org/a", "oci-layout:///a/../b", "oci://a@b/c", "oci://[::1]:5/a"} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		l, err := parseLocation(url)
		if err == nil && (l.host == "") == (l.layout == "") {
			t.Errorf("%q is %+v", url, l)
		}
	})
}

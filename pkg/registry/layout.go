package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// layoutRepo is a repository in a directory in OCI image layout: all repositories share the
// blobs, and index.json names manifests as REPOSITORY:TAG (annotation org.opencontainers.image.ref.name).
type layoutRepo struct{ dir, name string }

const indexFile = "index.json"

func (l *layoutRepo) path(digest string) (string, error) {
	if err := catalog.CheckDigest(digest); err != nil {
		return "", err
	}
	return filepath.Join(l.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")), nil
}

func (l *layoutRepo) where(ref string) string {
	return location{url: "oci-layout://" + l.dir}.name(l.name, ref)
}

func (l *layoutRepo) index() (ocispec.Index, error) {
	var out ocispec.Index
	f, err := os.Open(filepath.Join(l.dir, indexFile))
	if err != nil {
		return out, fmt.Errorf("layout %s: %w", l.dir, err)
	}
	defer f.Close()
	text, err := readBounded(f, maxManifest)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return out, fmt.Errorf("layout %s: %s: %w", l.dir, indexFile, err)
	}
	return out, nil
}

func (l *layoutRepo) head(_ context.Context, ref string) (string, error) {
	if strings.HasPrefix(ref, "sha256:") {
		p, err := l.path(ref)
		if err == nil {
			_, err = os.Stat(p)
		}
		return ref, l.kind(err, ref)
	}
	index, err := l.index()
	if err != nil {
		return "", err
	}
	for _, m := range index.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] == l.name+":"+ref {
			return m.Digest.String(), checkDigest(m.Digest.String())
		}
	}
	return "", fail(errNotFound, "%s: %s does not list it", l.where(ref), indexFile)
}

func (l *layoutRepo) kind(err error, ref string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fail(errNotFound, "%s: it is not in the layout", l.where(ref))
	}
	return err
}

func (l *layoutRepo) manifest(ctx context.Context, digest string) (io.ReadCloser, error) {
	return l.blob(ctx, digest, maxManifest)
}

func (l *layoutRepo) blob(_ context.Context, digest string, _ int64) (io.ReadCloser, error) {
	p, err := l.path(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	return f, l.kind(err, digest)
}

// Fetch implements content.Fetcher.
func (l *layoutRepo) Fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	return l.blob(ctx, d.Digest.String(), d.Size)
}

// Exists implements content.ReadOnlyStorage.
func (l *layoutRepo) Exists(_ context.Context, d ocispec.Descriptor) (bool, error) {
	p, err := l.path(d.Digest.String())
	if err != nil {
		return false, err
	}
	_, err = os.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Push implements content.Pusher. The layout is made when it is not there.
func (l *layoutRepo) Push(_ context.Context, d ocispec.Descriptor, from io.Reader) error {
	p, err := l.path(d.Digest.String())
	if err != nil {
		return err
	}
	if err := l.create(); err != nil {
		return err
	}
	return writeBlob(p, d.Digest.String(), io.LimitReader(from, d.Size+1))
}

func (l *layoutRepo) create() error {
	if err := os.MkdirAll(filepath.Join(l.dir, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	version, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	if err := writeMissing(filepath.Join(l.dir, ocispec.ImageLayoutFile), version); err != nil {
		return err
	}
	empty, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}})
	if err != nil {
		return err
	}
	return writeMissing(filepath.Join(l.dir, indexFile), empty)
}

func writeMissing(path string, text []byte) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeWhole(path, text)
}

func (l *layoutRepo) setTag(_ context.Context, d ocispec.Descriptor, tag string) error {
	index, err := l.index()
	if err != nil {
		return err
	}
	ref := l.name + ":" + tag
	index.Manifests = slices.DeleteFunc(index.Manifests, func(m ocispec.Descriptor) bool { return m.Annotations[ocispec.AnnotationRefName] == ref })
	d.Annotations = map[string]string{ocispec.AnnotationRefName: ref}
	index.Manifests = append(index.Manifests, d)
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int {
		return strings.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName])
	})
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return writeWhole(filepath.Join(l.dir, indexFile), text)
}

func (l *layoutRepo) allTags(context.Context) ([]string, error) {
	index, err := l.index()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range index.Manifests {
		if tag, ok := strings.CutPrefix(m.Annotations[ocispec.AnnotationRefName], l.name+":"); ok {
			out = append(out, tag)
		}
	}
	return out, nil
}

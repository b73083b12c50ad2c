package registry

import (
	"encoding/json"
	"fmt"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// part is one layer of an artifact that is fetched, and its bound in bytes.
type part struct {
	mediaType string
	most      int64
}

func moduleParts() []part {
	return []part{{artifact.ChartType, artifact.MaxPacked}, {artifact.MetaType, artifact.MaxMeta}, {artifact.FilesType, artifact.MaxPacked}}
}

func channelParts() []part {
	return []part{{catalog.DocumentType, maxDocument}, {catalog.SignatureType, maxSignature}}
}

// parseManifest wants an OCI image manifest (https://github.com/opencontainers/image-spec/blob/main/manifest.md).
func parseManifest(text []byte) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fail(errIntegrity, "expected an OCI image manifest: %v", err)
	}
	if m.SchemaVersion != 2 || m.MediaType != "" && m.MediaType != ocispec.MediaTypeImageManifest {
		return m, fail(errIntegrity, "expected an OCI image manifest (%s), got %.100q", ocispec.MediaTypeImageManifest, m.MediaType)
	}
	return m, nil
}

// pick finds each part exactly once; other layers are nobody's business.
func pick(m ocispec.Manifest, parts []part) ([]ocispec.Descriptor, error) {
	out := make([]ocispec.Descriptor, 0, len(parts))
	var total int64
	for _, p := range parts {
		found := 0
		for _, d := range m.Layers {
			if d.MediaType != p.mediaType {
				continue
			}
			if d.Size < 0 || d.Size > p.most {
				return nil, fail(errIntegrity, "layer %s: expected at most %d bytes, the manifest says %d", d.MediaType, p.most, d.Size)
			}
			if err := checkDigest(d.Digest.String()); err != nil {
				return nil, err
			}
			found++
			total += d.Size
			out = append(out, d)
		}
		if found != 1 {
			return nil, fail(errIntegrity, "expected one layer of type %s, there are %d", p.mediaType, found)
		}
	}
	if total > artifact.MaxPacked {
		return nil, fail(errIntegrity, "expected at most %d bytes in all layers, the manifest says %d", artifact.MaxPacked, total)
	}
	return out, nil
}

func moduleLayers(m ocispec.Manifest) ([]ocispec.Descriptor, error) {
	if m.Config.MediaType != artifact.HelmConfigType || m.Config.Size > maxConfig {
		return nil, fail(errIntegrity, "expected the artifact of a module, with a config of type %s, got %.100q", artifact.HelmConfigType, m.Config.MediaType)
	}
	if err := checkDigest(m.Config.Digest.String()); err != nil {
		return nil, err
	}
	layers, err := pick(m, moduleParts())
	return append(layers, m.Config), err
}

func channelLayers(m ocispec.Manifest) ([]ocispec.Descriptor, error) {
	if m.ArtifactType != catalog.ArtifactType {
		return nil, fail(errIntegrity, "expected the document of a channel (%s), got %.100q", catalog.ArtifactType, m.ArtifactType)
	}
	return pick(m, channelParts())
}

// listedBlobs are the digests that a manifest of ours needs.
func listedBlobs(text []byte) []string {
	m, err := parseManifest(text)
	if err != nil {
		return nil
	}
	out := []string{m.Config.Digest.String()}
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// blobs are the bytes of an artifact, its manifest last.
type blobs struct {
	descriptors []ocispec.Descriptor
	texts       [][]byte
}

func (b *blobs) add(mediaType string, text []byte) ocispec.Descriptor {
	d := descriptor(mediaType, text)
	b.descriptors, b.texts = append(b.descriptors, d), append(b.texts, text)
	return d
}

// manifest is the descriptor of the last.
func (b *blobs) manifest() ocispec.Descriptor { return b.descriptors[len(b.descriptors)-1] }

func (b *blobs) seal(m ocispec.Manifest) error {
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b.add(ocispec.MediaTypeImageManifest, text)
	return nil
}

// moduleBlobs depend on the artifact only, so that its digest is known before it is pushed.
func moduleBlobs(a artifact.Artifact) (*blobs, error) {
	meta, err := json.Marshal(a.Meta)
	if err != nil {
		return nil, err
	}
	if _, err := artifact.ParseMeta(meta); err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	b := &blobs{}
	m := ocispec.Manifest{Config: b.add(artifact.HelmConfigType, a.Config), Annotations: map[string]string{
		ocispec.AnnotationTitle: a.Meta.Name, ocispec.AnnotationVersion: a.Meta.Version}}
	m.Layers = []ocispec.Descriptor{b.add(artifact.ChartType, a.Chart), b.add(artifact.MetaType, meta), b.add(artifact.FilesType, a.Files)}
	return b, b.seal(m)
}

func channelBlobs(document, signature []byte) (*blobs, error) {
	b := &blobs{}
	m := ocispec.Manifest{ArtifactType: catalog.ArtifactType, Config: b.add(ocispec.MediaTypeEmptyJSON, []byte("{}"))}
	m.Layers = []ocispec.Descriptor{b.add(catalog.DocumentType, document), b.add(catalog.SignatureType, signature)}
	return b, b.seal(m)
}

// mediaTypeOf is what a manifest says it is; those of OCI may leave it out.
func mediaTypeOf(text []byte) string {
	var m struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	_ = json.Unmarshal(text, &m) // whatever it is, its digest was verified; what lists nothing is copied as it is
	switch {
	case m.MediaType != "":
		return m.MediaType
	case m.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

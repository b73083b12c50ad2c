package publish

import (
	"context"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// Store is one root of a registry, for reading and writing.
type Store interface {
	// URL is the root's, for people.
	URL() string
	// Channel reads channels:TAG, where a tag is a channel or CHANNEL-SEQ. Nothing of it is verified
	// but digests. IsNotFound tells of a tag that is not there.
	Channel(ctx context.Context, tag string) (Stored, error)
	// PushChannel writes channels:TAG and answers the digest of its manifest, which is the same for the same bytes.
	PushChannel(ctx context.Context, tag string, document, signature []byte) (manifest string, err error)
	// Resolve is the manifest digest of modules/NAME:VERSION.
	Resolve(ctx context.Context, module, version string) (digest string, err error)
	// Artifact fetches a module's artifact by digest, every byte verified.
	Artifact(ctx context.Context, module, digest string) (artifact.Artifact, error)
	// CopyTo copies a module's artifact by digest and tags it with its version there; what the other
	// root has is not sent again.
	CopyTo(ctx context.Context, to Store, module string, ref catalog.Ref) error
	// IsNotFound tells "not there" from other errors of these methods.
	IsNotFound(err error) bool
}

// Stored is a channel artifact as it lies in a registry.
type Stored struct {
	Manifest            string
	Document, Signature []byte
}

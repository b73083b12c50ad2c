package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// memory is a Store without a registry. before is called ahead of every request with its kind and
// tag, so that a test can fail it, or write in between.
type memory struct {
	mu       sync.Mutex
	channels map[string]Stored
	tags     map[string]string
	byDigest map[string]artifact.Artifact
	before   func(kind, tag string) error
	writes   []string
}

func newMemory() *memory {
	return &memory{channels: map[string]Stored{}, tags: map[string]string{}, byDigest: map[string]artifact.Artifact{}}
}

var errAbsent = errors.New("not there")

func (*memory) URL() string               { return "memory" }
func (*memory) IsNotFound(err error) bool { return errors.Is(err, errAbsent) }

func (m *memory) ask(kind, tag string) error {
	if m.before == nil {
		return nil
	}
	return m.before(kind, tag)
}

func (m *memory) Channel(_ context.Context, tag string) (Stored, error) {
	if err := m.ask("read", tag); err != nil {
		return Stored{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.channels[tag]
	if !ok {
		return s, fmt.Errorf("channels:%s: %w", tag, errAbsent)
	}
	return s, nil
}

func (m *memory) PushChannel(_ context.Context, tag string, document, signature []byte) (string, error) {
	if err := m.ask("push", tag); err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	manifest := catalog.Digest(append(append([]byte{}, document...), signature...))
	m.channels[tag] = Stored{Manifest: manifest, Document: document, Signature: signature}
	m.writes = append(m.writes, tag)
	return manifest, nil
}

func (m *memory) Resolve(_ context.Context, module, version string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	digest, ok := m.tags[module+":"+version]
	if !ok {
		return "", fmt.Errorf("modules/%s:%s: %w", module, version, errAbsent)
	}
	return digest, nil
}

func (m *memory) Artifact(_ context.Context, module, digest string) (artifact.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.byDigest[digest]
	if !ok {
		return a, fmt.Errorf("modules/%s@%s: %w", module, digest, errAbsent)
	}
	return a, nil
}

func (m *memory) CopyTo(ctx context.Context, to Store, module string, ref catalog.Ref) error {
	a, err := m.Artifact(ctx, module, ref.Digest)
	if err != nil {
		return err
	}
	other := to.(*memory)
	other.mu.Lock()
	defer other.mu.Unlock()
	other.byDigest[ref.Digest] = a
	other.tags[module+":"+ref.Version] = ref.Digest
	other.writes = append(other.writes, module+":"+ref.Version)
	return nil
}

// add is a module that was pushed.
func (m *memory) add(meta artifact.Meta) catalog.Ref {
	digest := catalog.Digest([]byte(meta.Name + meta.Version))
	m.byDigest[digest] = artifact.Artifact{Meta: meta}
	m.tags[meta.Name+":"+meta.Version] = digest
	return catalog.Ref{Version: meta.Version, Digest: digest}
}

package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// Config is what New wants.
type Config struct {
	// Dir holds the cache; it is made when it is not there.
	Dir string
	// MaxBytes bounds the cache; default 1 GiB. What is pinned may exceed it.
	MaxBytes int64
	Logger   *slog.Logger
}

const (
	defaultCache = 1 << 30
	// maxSessions bounds how many sources are remembered, with tokens they gave.
	maxSessions = 64
)

// Registry fetches artifacts and keeps them. It may be used by several goroutines.
type Registry struct {
	cache *cache

	mu       sync.Mutex
	sessions map[[32]byte]*session
}

// New opens the cache.
func New(c Config) (*Registry, error) {
	if c.Dir == "" {
		return nil, errors.New("cache of artifacts: no directory given")
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultCache
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	kept, err := newCache(c.Dir, c.MaxBytes, c.Logger)
	if err != nil {
		return nil, err
	}
	return &Registry{cache: kept, sessions: map[[32]byte]*session{}}, nil
}

// session of a remote; one that is used again has the tokens it was given.
func (r *Registry) session(remote Remote) (*session, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %t %d", remote.URL, remote.Auth, remote.CA, remote.PlainHTTP, remote.Timeout))
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sessions[key]; s != nil {
		return s, nil
	}
	s, err := open(remote)
	if err != nil {
		return nil, err
	}
	if len(r.sessions) >= maxSessions {
		clear(r.sessions)
	}
	r.sessions[key] = s
	return s, nil
}

// Fetched is a channel's document and signature, neither of them looked into.
type Fetched struct {
	// Unchanged: the channel still stands for the manifest that was known; the rest is empty then.
	Unchanged bool
	// Manifest is the digest of the channel artifact.
	Manifest            string
	Document, Signature []byte
}

// Channel asks with one HEAD which manifest the channel stands for, and fetches it unless it is the known one.
func (r *Registry) Channel(ctx context.Context, remote Remote, channel, known string) (Fetched, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return Fetched{}, err
	}
	return r.channel(ctx, remote, channel, known)
}

// ChannelAt fetches the document with that number, which its channel may have left behind.
func (r *Registry) ChannelAt(ctx context.Context, remote Remote, channel string, seq int64) (Fetched, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return Fetched{}, err
	}
	return r.channel(ctx, remote, historyTag(channel, seq), "")
}

func (r *Registry) channel(ctx context.Context, remote Remote, tag, known string) (Fetched, error) {
	s, err := r.session(remote)
	if err != nil {
		return Fetched{}, err
	}
	defer s.rest()
	repo := s.repo(channelsRepo)
	digest, err := repo.head(ctx, tag)
	if err != nil {
		return Fetched{}, err
	}
	if digest == known {
		return Fetched{Unchanged: true, Manifest: digest}, nil
	}
	texts, err := r.fetch(ctx, repo, digest, channelLayers)
	if err != nil {
		return Fetched{}, named(s.name(channelsRepo, tag), err)
	}
	return Fetched{Manifest: digest, Document: texts[0], Signature: texts[1]}, nil
}

// CachedChannel answers what Channel fetched earlier, from the cache alone.
func (r *Registry) CachedChannel(manifest string) (Fetched, error) {
	texts, err := r.fetch(context.Background(), nil, manifest, channelLayers)
	if err != nil {
		return Fetched{}, named("document of a channel "+manifest, err)
	}
	return Fetched{Manifest: manifest, Document: texts[0], Signature: texts[1]}, nil
}

// Artifact answers a module's artifact, or that of the global hooks, by the digest of its manifest: from the
// cache, and what is not there from the remote. Another module than was asked for is an error for IsIntegrity.
func (r *Registry) Artifact(ctx context.Context, remote Remote, module, digest string) (artifact.Artifact, error) {
	if err := artifact.CheckName(module); err != nil {
		return artifact.Artifact{}, fmt.Errorf("module %.60q: %w", module, err)
	}
	s, err := r.session(remote)
	if err != nil {
		return artifact.Artifact{}, err
	}
	defer s.rest()
	a, err := r.artifact(ctx, s.repo(moduleRepo(module)), digest)
	if err == nil {
		if wrong := a.Meta.Expect(module, ""); wrong != nil {
			err = fail(errIntegrity, "%v", wrong)
		}
	}
	if err != nil {
		return artifact.Artifact{}, named(s.name(moduleRepo(module), digest), err)
	}
	return a, nil
}

// Cached answers an artifact from the cache alone; IsNotFound when it is not there whole.
func (r *Registry) Cached(digest string) (artifact.Artifact, error) {
	a, err := r.artifact(context.Background(), nil, digest)
	if err != nil {
		return artifact.Artifact{}, named("artifact "+digest, err)
	}
	return a, nil
}

// Pin replaces the set of manifests that are never evicted, with what they list.
func (r *Registry) Pin(digests []string) { r.cache.pin(digests) }

func (r *Registry) artifact(ctx context.Context, repo repository, digest string) (artifact.Artifact, error) {
	texts, err := r.fetch(ctx, repo, digest, moduleLayers)
	if err != nil {
		return artifact.Artifact{}, err
	}
	meta, err := artifact.ParseMeta(texts[1])
	if err != nil {
		return artifact.Artifact{}, fail(errIntegrity, "%v", err)
	}
	return artifact.Artifact{Meta: meta, Config: texts[3], Chart: texts[0], Files: texts[2]}, nil
}

// fetch answers the layers that choose picks from a manifest, in its order. Without a repository it asks the cache alone.
func (r *Registry) fetch(ctx context.Context, repo repository, manifest string, choose func(ocispec.Manifest) ([]ocispec.Descriptor, error)) ([][]byte, error) {
	text, err := r.blob(manifest, maxManifest, repo, func() (io.ReadCloser, error) { return repo.manifest(ctx, manifest) })
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, err
	}
	layers, err := choose(m)
	if err != nil {
		return nil, err
	}
	// It stays until it was pinned, or the next fetch needs the room.
	defer r.cache.hold(append(listedBlobs(text), manifest)...)()
	defer r.cache.evict()
	out := make([][]byte, 0, len(layers))
	for _, d := range layers {
		text, err := r.blob(d.Digest.String(), d.Size, repo, func() (io.ReadCloser, error) { return repo.blob(ctx, d.Digest.String(), d.Size) })
		if err != nil {
			return nil, fmt.Errorf("layer %s: %w", d.MediaType, err)
		}
		out = append(out, text)
	}
	return out, nil
}

// blob answers verified bytes, from the cache or else by get, and keeps them.
func (r *Registry) blob(digest string, most int64, repo repository, get func() (io.ReadCloser, error)) ([]byte, error) {
	text, err := r.cache.get(digest, most)
	if err == nil || repo == nil || !IsNotFound(err) {
		return text, err
	}
	from, err := get()
	if err != nil {
		return nil, err
	}
	if text, err = readVerified(from, digest, most); err != nil {
		return nil, err
	}
	return text, r.cache.put(digest, text)
}

func named(name string, err error) error { return fmt.Errorf("%s: %w", name, err) }

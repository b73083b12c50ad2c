package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"oras.land/oras-go/v2"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// Digest is that of the manifest which PushModule makes of an artifact, sha256:<64 hex>.
func Digest(a artifact.Artifact) (string, error) {
	b, err := moduleBlobs(a)
	if err != nil {
		return "", err
	}
	return b.manifest().Digest.String(), nil
}

// PushModule puts an artifact at modules/NAME:VERSION and answers its digest. A version that is there
// with another content is left alone: IsConflict.
func PushModule(ctx context.Context, remote Remote, a artifact.Artifact) (string, error) {
	b, err := moduleBlobs(a)
	if err != nil {
		return "", err
	}
	s, err := openForWriting(remote)
	if err != nil {
		return "", err
	}
	defer s.rest()
	name, tag := moduleRepo(a.Meta.Name), versionTag(a.Meta.Version)
	return b.manifest().Digest.String(), s.pushOnce(ctx, name, tag, b)
}

func openForWriting(remote Remote) (*session, error) {
	s, err := open(remote)
	if err == nil && s.layout != "" {
		err = (&layoutRepo{dir: s.layout}).create()
	}
	return s, err
}

// pushOnce pushes what must never change under its tag.
func (s *session) pushOnce(ctx context.Context, name, tag string, b *blobs) error {
	repo := s.repo(name)
	want := b.manifest().Digest.String()
	there, err := repo.head(ctx, tag)
	if err != nil && !IsNotFound(err) {
		return err
	}
	if err == nil && there != want {
		return fail(errConflict, "%s is there with another content (%s, this is %s); it is not overwritten: choose another version",
			s.name(name, tag), short(there), short(want))
	}
	if err == nil {
		return nil
	}
	if err := push(ctx, repo, b); err != nil {
		return named(s.name(name, tag), err)
	}
	if err := repo.setTag(ctx, b.manifest(), tag); err != nil {
		return err
	}
	if there, err = repo.head(ctx, tag); err == nil && there != want {
		err = fail(errConflict, "%s was pushed by another at the same time", s.name(name, tag))
	}
	return err
}

// push sends what is not there yet, the manifest last.
func push(ctx context.Context, repo repository, b *blobs) error {
	for i, d := range b.descriptors {
		there, err := repo.Exists(ctx, d)
		if err == nil && !there {
			err = repo.Push(ctx, d, bytes.NewReader(b.texts[i]))
		}
		if err != nil {
			return kindOf(err, fmt.Sprintf("%s %s", d.MediaType, d.Digest))
		}
	}
	return nil
}

// PushChannel publishes a document that was made from the one in manifest former ("" for the first of its channel),
// and answers the digest of its manifest. It becomes CHANNEL-SEQ, then CHANNEL is moved there and read again, for registries
// have no compare-and-swap: IsConflict says that another writer was there in the meantime, and who.
func PushChannel(ctx context.Context, remote Remote, channel string, seq int64, document, signature []byte, former string) (string, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return "", err
	}
	if len(document) > maxDocument || len(signature) > maxSignature {
		return "", fmt.Errorf("channel %s: expected a document of at most %d bytes and a signature of at most %d, got %d and %d", channel, maxDocument, maxSignature, len(document), len(signature))
	}
	b, err := channelBlobs(document, signature)
	if err != nil {
		return "", err
	}
	s, err := openForWriting(remote)
	if err != nil {
		return "", err
	}
	defer s.rest()
	want := b.manifest().Digest.String()
	if err := s.expectTag(ctx, channel, former); err != nil {
		return "", err
	}
	repo := s.repo(channelsRepo)
	if err := push(ctx, repo, b); err != nil {
		return "", named(s.name(channelsRepo, channel), err)
	}
	if err := s.expectTag(ctx, channel, former); err != nil { // pushing took its time
		return "", err
	}
	if err := s.pushOnce(ctx, channelsRepo, historyTag(channel, seq), b); err != nil {
		return "", err
	}
	if err := s.expectTag(ctx, channel, former); err != nil {
		return "", errors.Join(err, s.giveWay(ctx, channel, seq))
	}
	if err := repo.setTag(ctx, b.manifest(), channel); err != nil {
		return "", err
	}
	if err := s.expectTag(ctx, channel, want); err != nil {
		return "", errors.Join(err, s.giveWay(ctx, channel, seq))
	}
	return want, s.giveWay(ctx, channel, seq)
}

// giveWay makes CHANNEL-SEQ, which two may have written, what the channel stands for, if that is of this number.
func (s *session) giveWay(ctx context.Context, channel string, seq int64) error {
	now, texts, err := s.read(ctx, channelsRepo, channel, channelLayers)
	if err != nil {
		return err
	}
	if d, err := catalog.Parse(texts[0]); err != nil || d.Seq != seq {
		return nil //nolint:nilerr // not ours, and not of our number
	}
	there, err := s.repo(channelsRepo).head(ctx, historyTag(channel, seq))
	if err == nil && there == now || err != nil && !IsNotFound(err) {
		return err
	}
	desc, err := s.describe(ctx, channelsRepo, now)
	if err != nil {
		return err
	}
	return s.repo(channelsRepo).setTag(ctx, desc, historyTag(channel, seq))
}

// expectTag: the channel stands for want, "" for nothing.
func (s *session) expectTag(ctx context.Context, channel, want string) error {
	there, err := s.repo(channelsRepo).head(ctx, channel)
	if err != nil && !IsNotFound(err) {
		return err
	}
	if err != nil {
		there = ""
	}
	if there != want {
		return fail(errConflict, "%s: expected %s, found %s: somebody else has changed the channel; look at it and try again",
			s.name(channelsRepo, channel), orNothing(want), orNothing(there))
	}
	return nil
}

func orNothing(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return digest
}

// ReadChannel fetches what a channel stands for, without a cache.
func ReadChannel(ctx context.Context, remote Remote, channel string) (Fetched, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return Fetched{}, err
	}
	return readChannel(ctx, remote, channel)
}

// ReadChannelAt fetches the document of a channel with that number, without a cache.
func ReadChannelAt(ctx context.Context, remote Remote, channel string, seq int64) (Fetched, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return Fetched{}, err
	}
	return readChannel(ctx, remote, historyTag(channel, seq))
}

func readChannel(ctx context.Context, remote Remote, tag string) (Fetched, error) {
	s, err := open(remote)
	if err != nil {
		return Fetched{}, err
	}
	defer s.rest()
	digest, texts, err := s.read(ctx, channelsRepo, tag, channelLayers)
	if err != nil {
		return Fetched{}, err
	}
	return Fetched{Manifest: digest, Document: texts[0], Signature: texts[1]}, nil
}

// ReadMeta fetches the description of a module's version by its digest, without a cache.
func ReadMeta(ctx context.Context, remote Remote, module, digest string) (artifact.Meta, error) {
	s, err := open(remote)
	if err != nil {
		return artifact.Meta{}, err
	}
	defer s.rest()
	_, texts, err := s.read(ctx, moduleRepo(module), digest, metaLayer)
	if err != nil {
		return artifact.Meta{}, err
	}
	meta, err := artifact.ParseMeta(texts[0])
	if err == nil {
		err = meta.Expect(module, "")
	}
	if err != nil {
		return artifact.Meta{}, named(s.name(moduleRepo(module), digest), fail(errIntegrity, "%v", err))
	}
	return meta, nil
}

func metaLayer(m ocispec.Manifest) ([]ocispec.Descriptor, error) {
	layers, err := moduleLayers(m)
	if err != nil {
		return nil, err
	}
	return layers[1:2], nil
}

// Resolve answers the digest of a module's version by its tag. Tags can be moved: what a
// cluster runs is never found this way.
func Resolve(ctx context.Context, remote Remote, module, version string) (string, error) {
	s, err := open(remote)
	if err != nil {
		return "", err
	}
	defer s.rest()
	return s.repo(moduleRepo(module)).head(ctx, versionTag(version))
}

func (s *session) read(ctx context.Context, name, ref string, choose func(ocispec.Manifest) ([]ocispec.Descriptor, error)) (string, [][]byte, error) {
	repo := s.repo(name)
	digest, err := repo.head(ctx, ref)
	if err != nil {
		return "", nil, err
	}
	body, err := repo.manifest(ctx, digest)
	if err != nil {
		return "", nil, err
	}
	text, err := readVerified(body, digest, maxManifest)
	if err != nil {
		return "", nil, named(s.name(name, ref), err)
	}
	m, err := parseManifest(text)
	if err != nil {
		return "", nil, named(s.name(name, ref), err)
	}
	layers, err := choose(m)
	if err != nil {
		return "", nil, named(s.name(name, ref), err)
	}
	var out [][]byte
	for _, d := range layers {
		if body, err = repo.blob(ctx, d.Digest.String(), d.Size); err != nil {
			return "", nil, err
		}
		if text, err = readVerified(body, d.Digest.String(), d.Size); err != nil {
			return "", nil, named(s.name(name, ref), err)
		}
		out = append(out, text)
	}
	return digest, out, nil
}

// Exists says whether a root has a module's artifact.
func Exists(ctx context.Context, remote Remote, module, digest string) (bool, error) {
	s, err := open(remote)
	if err != nil {
		return false, err
	}
	defer s.rest()
	_, err = s.repo(moduleRepo(module)).head(ctx, digest)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Copy brings a module's artifact from one root to another, by digest, and names it by its version there; inside one registry
// no bytes of layers move. A version that is there with another content is left alone: IsConflict.
func Copy(ctx context.Context, from, to Remote, module, version, digest string) error {
	source, err := open(from)
	if err != nil {
		return err
	}
	defer source.rest()
	target, err := openForWriting(to)
	if err != nil {
		return err
	}
	defer target.rest()
	return copyTagged(ctx, source, target, moduleRepo(module), digest, versionTag(version))
}

func copyTagged(ctx context.Context, source, target *session, name, digest, tag string) error {
	there, err := target.repo(name).head(ctx, tag)
	switch {
	case err == nil && there == digest:
		return nil
	case err == nil:
		return fail(errConflict, "%s is there with another content (%s, this is %s); it is not overwritten", target.name(name, tag), short(there), short(digest))
	case !IsNotFound(err):
		return err
	}
	d, err := copyDigest(ctx, source, target, name, name, digest)
	if err != nil {
		return err
	}
	return target.repo(name).setTag(ctx, d, tag)
}

// copyDigest copies a manifest and all that it lists, in turn, and answers its descriptor.
func copyDigest(ctx context.Context, source, target *session, from, to, digest string) (ocispec.Descriptor, error) {
	d, err := source.describe(ctx, from, digest)
	if err != nil {
		return d, err
	}
	opts := oras.CopyGraphOptions{Concurrency: 2, MaxMetadataBytes: maxManifest}
	if source.host != "" && source.host == target.host {
		mounted, ok := source.repo(from).(*remoteRepo)
		opts.MountFrom = func(context.Context, ocispec.Descriptor) ([]string, error) {
			if !ok {
				return nil, nil
			}
			return []string{mounted.Reference.Repository}, nil
		}
	}
	err = oras.CopyGraph(ctx, source.repo(from), target.repo(to), d, opts)
	return d, kindOf(err, fmt.Sprintf("copy %s to %s", source.name(from, digest), target.url))
}

// describe reads a manifest, or an index of some, for its type and size.
func (s *session) describe(ctx context.Context, name, digest string) (ocispec.Descriptor, error) {
	body, err := s.repo(name).manifest(ctx, digest)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	text, err := readVerified(body, digest, maxManifest)
	if err != nil {
		return ocispec.Descriptor{}, named(s.name(name, digest), err)
	}
	return descriptor(mediaTypeOf(text), text), nil
}

// History are the numbers of the documents of a channel that are still there, newest first.
func History(ctx context.Context, remote Remote, channel string) ([]int64, error) {
	if err := catalog.CheckChannel(channel); err != nil {
		return nil, err
	}
	s, err := open(remote)
	if err != nil {
		return nil, err
	}
	defer s.rest()
	tags, err := s.repo(channelsRepo).allTags(ctx)
	if err != nil {
		return nil, err
	}
	var out []int64
	for _, t := range tags {
		digits, ok := strings.CutPrefix(t, channel+"-")
		if seq, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && historyTag(channel, seq) == t {
			out = append(out, seq)
		}
	}
	slices.Sort(out)
	slices.Reverse(out)
	return slices.Compact(out), nil
}

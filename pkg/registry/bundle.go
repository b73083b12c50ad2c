package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// A bundle is channels with all that they list, as a tar of a directory in OCI image layout: unpacked, it is a
// source by itself (oci-layout:///PATH); loaded, it is a root of another registry. Its repositories are those of
// a root, and images/NAME for images, NAME being without the registry it came from.

// Bundle is what SaveBundle and LoadBundle are told.
type Bundle struct {
	// Remote is the root that is read, or written.
	Remote Remote
	// Channels are saved; LoadBundle loads all that there are.
	Channels []string
	// NoImages leaves the container images out.
	NoImages bool
	// Check looks at each document before anything that it lists is copied; nil checks nothing but its form.
	Check func(document, signature []byte) error
	// Progress is told of each thing that was copied; nil for nobody.
	Progress func(what string)
}

func (b Bundle) tell(format string, args ...any) {
	if b.Progress != nil {
		b.Progress(fmt.Sprintf(format, args...))
	}
}

func (b Bundle) document(text, signature []byte) (catalog.Document, error) {
	d, err := catalog.Parse(text)
	if err == nil && b.Check != nil {
		err = b.Check(text, signature)
	}
	return d, err
}

// SaveBundle writes the newest documents of channels, the modules they list and the images of those into a tar file.
// Images are fetched from their own registries, with the credentials and CAs of Remote.
func SaveBundle(ctx context.Context, file string, b Bundle) error {
	source, err := open(b.Remote)
	if err != nil {
		return err
	}
	defer source.rest()
	dir, err := os.MkdirTemp(filepath.Dir(file), ".bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	target, err := openForWriting(Remote{URL: "oci-layout://" + absolute(dir)})
	if err != nil {
		return err
	}
	s := &saver{Bundle: b, source: source, target: target, images: map[string]bool{}}
	for _, channel := range b.Channels {
		if err := s.channel(ctx, channel); err != nil {
			return fmt.Errorf("channel %s: %w", channel, err)
		}
	}
	return writeTar(file, dir)
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

type saver struct {
	Bundle
	source, target *session
	images         map[string]bool
}

func (s *saver) channel(ctx context.Context, channel string) error {
	if err := catalog.CheckChannel(channel); err != nil {
		return err
	}
	manifest, texts, err := s.source.read(ctx, channelsRepo, channel, channelLayers)
	if err != nil {
		return err
	}
	d, err := s.document(texts[0], texts[1])
	if err != nil {
		return err
	}
	if d.Channel != channel {
		return fail(errIntegrity, "the document is of channel %s: somebody moved the tag", d.Channel)
	}
	for _, name := range d.Names() {
		entry, _ := d.Entry(name)
		for _, ref := range entry.Offers() {
			if err := s.module(ctx, name, ref); err != nil {
				return fmt.Errorf("module %s %s: %w", name, ref.Version, err)
			}
		}
	}
	desc, err := copyDigest(ctx, s.source, s.target, channelsRepo, channelsRepo, manifest)
	for _, tag := range []string{historyTag(channel, d.Seq), channel} {
		if err == nil {
			err = s.target.repo(channelsRepo).setTag(ctx, desc, tag)
		}
	}
	s.tell("channel %s, seq %d", channel, d.Seq)
	return err
}

func (s *saver) module(ctx context.Context, name string, ref catalog.Ref) error {
	if err := copyTagged(ctx, s.source, s.target, moduleRepo(name), ref.Digest, versionTag(ref.Version)); err != nil {
		return err
	}
	_, texts, err := s.target.read(ctx, moduleRepo(name), ref.Digest, metaLayer)
	if err != nil {
		return err
	}
	meta, err := artifact.ParseMeta(texts[0])
	if err == nil {
		err = meta.Expect(name, ref.Version)
	}
	if err != nil {
		return fail(errIntegrity, "%v", err)
	}
	s.tell("module %s %s %s", name, ref.Version, ref.Digest)
	for _, image := range meta.Images {
		if s.NoImages || s.images[image] {
			continue
		}
		if err := s.image(ctx, image); err != nil {
			return fmt.Errorf("image %s: %w", image, err)
		}
		s.images[image] = true
	}
	return nil
}

func (s *saver) image(ctx context.Context, image string) error {
	host, name, digest, err := splitImage(image)
	if err != nil {
		return err
	}
	remote := s.Remote
	remote.URL = "oci://" + path.Join(host, path.Dir(name))
	if path.Dir(name) == "." {
		remote.URL = "oci://" + host
	}
	if s.source.host != host {
		remote.PlainHTTP = false // what was asked for counts for the root alone
	}
	from, err := open(remote)
	if err != nil {
		return err
	}
	defer from.rest()
	desc, err := copyDigest(ctx, from, s.target, path.Base(name), imageRepo(name), digest)
	if err != nil {
		return err
	}
	s.tell("image %s", image)
	return s.target.repo(imageRepo(name)).setTag(ctx, desc, imageTag(digest))
}

// splitImage takes HOST/NAME@sha256:… apart.
func splitImage(image string) (host, name, digest string, err error) {
	if err := module.CheckImage(image); err != nil {
		return "", "", "", err
	}
	rest, digest, _ := strings.Cut(image, "@")
	host, name, _ = strings.Cut(rest, "/")
	return host, name, digest, nil
}

func imageRepo(name string) string { return "images/" + name }

// imageTag keeps an image from being collected as garbage; it is found by its digest.
func imageTag(digest string) string { return "at-" + strings.TrimPrefix(digest, "sha256:") }

// LoadBundle copies all that is in a bundle's tar file to a root: images and modules, and then the channels, none of
// which is set back to an older document. It is unpacked below TMPDIR first. Nothing of the file is trusted: its names, its sizes, its digests.
func LoadBundle(ctx context.Context, file string, b Bundle) error {
	dir, err := os.MkdirTemp("", "bundle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := readTar(file, dir); err != nil {
		return fmt.Errorf("bundle %s: %w", file, err)
	}
	source := &session{location: location{url: file, layout: absolute(dir)}}
	target, err := openForWriting(b.Remote)
	if err != nil {
		return err
	}
	defer target.rest()
	l := &loader{Bundle: b, source: source, target: target}
	if err := l.load(ctx); err != nil {
		return fmt.Errorf("bundle %s: %w", file, err)
	}
	return nil
}

type loader struct {
	Bundle
	source, target *session
}

// entry is one entry of a bundle's index.
type entry struct{ repo, tag, digest string }

func (l *loader) load(ctx context.Context) error {
	index, err := (&layoutRepo{dir: l.source.layout}).index()
	if err != nil {
		return err
	}
	var entries []entry
	for _, m := range index.Manifests {
		e, err := parseEntry(m)
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	// The channels last, and in them what moves last.
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.rank(), b.rank()) })
	for _, e := range entries {
		if err := l.entry(ctx, e); err != nil {
			return fmt.Errorf("%s:%s: %w", e.repo, e.tag, err)
		}
	}
	return nil
}

var (
	imageName = regexp.MustCompile(`^images(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$`)
	tagForm   = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	seqTag    = regexp.MustCompile(`-[0-9]+$`)
)

func parseEntry(m ocispec.Descriptor) (entry, error) {
	ref := m.Annotations[ocispec.AnnotationRefName]
	repo, tag, _ := strings.Cut(ref, ":")
	e := entry{repo, tag, m.Digest.String()}
	name, isModule := strings.CutPrefix(repo, "modules/")
	ok := tagForm.MatchString(tag) && len(repo) <= 255 &&
		(repo == channelsRepo || imageName.MatchString(repo) || isModule && artifact.CheckName(name) == nil)
	if !ok {
		return e, fail(errIntegrity, "expected channels, modules and images, got %.200q", ref)
	}
	return e, checkDigest(e.digest)
}

func (e entry) rank() int {
	switch {
	case e.repo != channelsRepo:
		return 0
	case seqTag.MatchString(e.tag):
		return 1
	}
	return 2
}

func (l *loader) entry(ctx context.Context, e entry) error {
	switch {
	case e.repo == channelsRepo:
		return l.channel(ctx, e)
	case strings.HasPrefix(e.repo, "images/"):
		if l.NoImages {
			return nil
		}
	}
	if err := copyTagged(ctx, l.source, l.target, e.repo, e.digest, e.tag); err != nil {
		return err
	}
	l.tell("%s:%s", e.repo, e.tag)
	return nil
}

func (l *loader) channel(ctx context.Context, e entry) error {
	_, texts, err := l.source.read(ctx, channelsRepo, e.digest, channelLayers)
	if err != nil {
		return err
	}
	d, err := l.document(texts[0], texts[1])
	if err != nil {
		return err
	}
	if e.rank() == 1 {
		if e.tag != historyTag(d.Channel, d.Seq) {
			return fail(errIntegrity, "the document is seq %d of channel %s", d.Seq, d.Channel)
		}
		return copyTagged(ctx, l.source, l.target, channelsRepo, e.digest, e.tag)
	}
	if e.tag != d.Channel {
		return fail(errIntegrity, "the document is of channel %s", d.Channel)
	}
	if done, err := l.upToDate(ctx, d, e.digest); done || err != nil {
		return err
	}
	desc, err := copyDigest(ctx, l.source, l.target, channelsRepo, channelsRepo, e.digest)
	if err == nil {
		err = l.target.repo(channelsRepo).setTag(ctx, desc, d.Channel)
	}
	l.tell("channel %s, seq %d", d.Channel, d.Seq)
	return err
}

// upToDate looks at what the channel is in the target; a newer document there is an error.
func (l *loader) upToDate(ctx context.Context, d catalog.Document, digest string) (bool, error) {
	there, texts, err := l.target.read(ctx, channelsRepo, d.Channel, channelLayers)
	switch {
	case IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	case there == digest:
		return true, nil
	}
	have, err := catalog.Parse(texts[0])
	if err != nil {
		return false, fmt.Errorf("what is there now: %w", err)
	}
	if have.Seq >= d.Seq {
		return false, fail(errConflict, "%s is at seq %d, the bundle has seq %d: clusters that follow it take no older one",
			l.target.name(channelsRepo, d.Channel), have.Seq, d.Seq)
	}
	return false, nil
}

var errNotBundle = errors.New("expected a bundle as `bundle save` makes it")

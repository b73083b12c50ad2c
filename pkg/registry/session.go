package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Bounds of what is read, in bytes.
const (
	maxManifest  = 4 << 20
	maxConfig    = 1 << 20
	maxDocument  = 8 << 20
	maxSignature = 64 << 10
)

// manifestTypes are those of modules, channels and images.
const manifestTypes = ocispec.MediaTypeImageManifest + ", " + ocispec.MediaTypeImageIndex +
	", application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// repository is one repository of a source. Its methods answer bytes as they come: readAll verifies.
type repository interface {
	content.Storage
	// head answers the digest of the manifest that a tag or digest stands for.
	head(ctx context.Context, ref string) (string, error)
	manifest(ctx context.Context, digest string) (io.ReadCloser, error)
	blob(ctx context.Context, digest string, size int64) (io.ReadCloser, error)
	setTag(ctx context.Context, desc ocispec.Descriptor, tag string) error
	allTags(ctx context.Context) ([]string, error)
}

// session is a Remote that is ready for requests.
type session struct {
	location
	plain     bool
	transport *http.Transport // nil for a layout
	client    *auth.Client
}

func open(r Remote) (*session, error) {
	l, err := parseLocation(r.URL)
	if err != nil || l.layout != "" {
		return &session{location: l}, err
	}
	s := &session{location: l, plain: r.PlainHTTP || isLoopback(l.host) && len(r.CA) == 0}
	timeout := cmp.Or(r.Timeout, defaultTimeout)
	if s.transport, err = newTransport(r.CA, timeout); err != nil {
		return nil, fmt.Errorf("source %s: %w", r.URL, err)
	}
	credential, err := credentialsFor(r.Auth, l.host, l.root)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", r.URL, err)
	}
	s.client = newClient(s.transport, l.host, credential, timeout)
	return s, nil
}

// rest closes the connections that nobody uses; the next request opens another.
func (s *session) rest() {
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
}

func (s *session) repo(name string) repository {
	if s.layout != "" {
		return &layoutRepo{dir: s.layout, name: name}
	}
	r := &remote.Repository{Client: s.client, PlainHTTP: s.plain, TagListMaxPages: 100,
		Reference: registry.Reference{Registry: s.host, Repository: path.Join(s.root, name)}}
	return &remoteRepo{Repository: r, location: s.location, client: s.client, name: name}
}

// remoteRepo reads by itself, for bounds and kinds of errors, and writes as oras does.
type remoteRepo struct {
	*remote.Repository
	location
	client *auth.Client
	name   string
}

func (r *remoteRepo) url(what, ref string) string {
	scheme := "https"
	if r.PlainHTTP {
		scheme = "http"
	}
	return fmt.Sprintf("%s://%s/v2/%s/%s/%s", scheme, r.Reference.Host(), r.Reference.Repository, what, ref)
}

// do sends one request; an answer other than 200 is an error of its kind.
func (r *remoteRepo) do(ctx context.Context, method, what, ref string) (*http.Response, error) {
	ctx = auth.AppendRepositoryScope(ctx, r.Reference, auth.ActionPull)
	req, err := http.NewRequestWithContext(ctx, method, r.url(what, ref), nil)
	if err != nil {
		return nil, err
	}
	if what == "manifests" {
		req.Header.Set("Accept", manifestTypes)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, r.kind(err, ref)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(r.location.name(r.name, ref), resp.StatusCode)
}

func refusal(name string, status int) error {
	text := http.StatusText(status)
	switch status {
	case http.StatusNotFound:
		return fail(errNotFound, "%s: the registry does not have it (404)", name)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fail(errDenied, "%s: the registry wants other credentials (%d %s)", name, status, text)
	}
	return fmt.Errorf("%s: the registry answered %d %s", name, status, text)
}

func (r *remoteRepo) head(ctx context.Context, ref string) (string, error) {
	resp, err := r.do(withSize(ctx, 0), http.MethodHead, "manifests", ref)
	if err != nil {
		return "", err
	}
	_ = resp.Body.Close()
	if d := resp.Header.Get("Docker-Content-Digest"); d != "" {
		return d, checkDigest(d)
	}
	// Without the header, the bytes tell.
	body, err := r.manifest(ctx, ref)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := readBounded(body, maxManifest)
	return digestOf(text), err
}

func (r *remoteRepo) manifest(ctx context.Context, ref string) (io.ReadCloser, error) {
	return r.body(withSize(ctx, 0), "manifests", ref, maxManifest)
}

func (r *remoteRepo) blob(ctx context.Context, digest string, size int64) (io.ReadCloser, error) {
	return r.body(withSize(ctx, size), "blobs", digest, size)
}

func (r *remoteRepo) body(ctx context.Context, what, ref string, most int64) (io.ReadCloser, error) {
	resp, err := r.do(ctx, http.MethodGet, what, ref)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > most {
		_ = resp.Body.Close()
		return nil, fail(errIntegrity, "%s: expected at most %d bytes, the registry has %d", r.location.name(r.name, ref), most, resp.ContentLength)
	}
	return resp.Body, nil
}

func (r *remoteRepo) setTag(ctx context.Context, desc ocispec.Descriptor, tag string) error {
	return r.kind(r.Tag(ctx, desc, tag), tag)
}

func (r *remoteRepo) allTags(ctx context.Context) ([]string, error) {
	var out []string
	err := r.Tags(ctx, "", func(tags []string) error {
		out = append(out, tags...)
		return nil
	})
	return out, r.kind(err, "tags")
}

// kind gives errors of oras their kind.
func (r *remoteRepo) kind(err error, ref string) error {
	return kindOf(err, r.location.name(r.name, ref))
}

func kindOf(err error, name string) error {
	var resp *errcode.ErrorResponse
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrBasicCredentialNotFound), errors.As(err, &resp) && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden):
		return fail(errDenied, "%s: the registry wants other credentials: %v", name, err)
	case errors.Is(err, errdef.ErrNotFound), errors.As(err, &resp) && resp.StatusCode == http.StatusNotFound:
		return fail(errNotFound, "%s: the registry does not have it: %v", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func readBounded(r io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(text)) > most {
		err = fail(errIntegrity, "expected at most %d bytes, got more", most)
	}
	return text, err
}

// readVerified reads what has that digest, and nothing else.
func readVerified(body io.ReadCloser, want string, most int64) ([]byte, error) {
	defer body.Close()
	text, err := readBounded(body, most)
	if err != nil {
		return nil, err
	}
	if got := digestOf(text); got != want {
		return nil, fail(errIntegrity, "expected content of digest %s, got %s", want, got)
	}
	return text, nil
}

// descriptor of bytes.
func descriptor(mediaType string, text []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.Digest(digestOf(text)), Size: int64(len(text))}
}

// short is a digest for the eye.
func short(d string) string {
	return strings.TrimPrefix(d, "sha256:")[:min(12, len(strings.TrimPrefix(d, "sha256:")))]
}

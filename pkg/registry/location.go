package registry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"path/filepath"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry"

	"github.com/addon-operator/addon-operator/pkg/catalog"
)

// Remote is a registry, or a layout on disk, and how to get in.
type Remote struct {
	// URL is oci://HOST[:PORT]/ROOT or oci-layout:///ABSOLUTE/PATH.
	URL string
	// Auth is the JSON of a Secret of type kubernetes.io/dockerconfigjson, nil for none.
	Auth []byte
	// CA are PEM certificates that are trusted besides those of the system.
	CA []byte
	// PlainHTTP allows HTTP. Loopback hosts are spoken to by HTTP unless CA is set.
	PlainHTTP bool
	// Timeout bounds one request with its answer, beyond what moving its bytes takes at 512 KiB/s; default 30 s.
	Timeout time.Duration
}

const defaultTimeout = 30 * time.Second

// location is a URL taken apart. Either layout or host is set.
type location struct {
	url    string
	layout string
	host   string
	root   string
}

// ParseURL says whether a Remote.URL is usable, and what is wrong with it.
func ParseURL(url string) error {
	_, err := parseLocation(url)
	return err
}

func parseLocation(url string) (location, error) {
	l := location{url: strings.TrimRight(url, "/")}
	if dir, ok := strings.CutPrefix(url, "oci-layout://"); ok {
		l.layout = filepath.Clean(dir)
		if !filepath.IsAbs(dir) {
			return location{}, fmt.Errorf("source %q: expected oci-layout:/// and an absolute path", url)
		}
		return l, nil
	}
	rest, ok := strings.CutPrefix(l.url, "oci://")
	if !ok {
		return location{}, fmt.Errorf("source %q: expected oci://HOST/ROOT or oci-layout:///PATH", url)
	}
	l.host, l.root, _ = strings.Cut(rest, "/")
	ref := registry.Reference{Registry: l.host, Repository: path.Join(l.root, "channels")}
	if strings.Contains(l.host, "@") || l.host == "" {
		return location{}, errors.New("source: expected oci://HOST/ROOT without credentials; give those in a Secret")
	}
	if err := errors.Join(ref.ValidateRegistry(), ref.ValidateRepository()); err != nil || l.root != "" && path.Clean(l.root) != l.root {
		return location{}, fmt.Errorf("source %q: expected oci://HOST[:PORT]/ROOT, ROOT being lower-case words separated by slashes", url)
	}
	return l, nil
}

// name is how a repository below the root is called in errors.
func (l location) name(repo, ref string) string {
	if strings.HasPrefix(ref, "sha256:") {
		return l.url + "/" + repo + "@" + ref
	}
	return l.url + "/" + repo + ":" + ref
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Repositories below a root.
const channelsRepo = "channels"

func moduleRepo(name string) string { return "modules/" + name }

// versionTag is the tag of a module's version; tags have no "+" (as Helm does it).
func versionTag(version string) string { return strings.ReplaceAll(version, "+", "_") }

// historyTag is the tag under which a document stays.
func historyTag(channel string, seq int64) string { return fmt.Sprintf("%s-%d", channel, seq) }

func checkDigest(digest string) error {
	if err := catalog.CheckDigest(digest); err != nil {
		return fail(errIntegrity, "%v", err)
	}
	return nil
}

package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// cache keeps blobs in files named by their digest. What is read from it is verified: a file that
// is not what its name says is removed, as if it had never been there.
type cache struct {
	dir string
	max int64
	log *slog.Logger

	mu    sync.Mutex
	blobs map[string]*cachedBlob
	size  int64
	tick  int64
	// pinned are manifests that are never evicted, with what they list; held are blobs in use.
	pinned []string
	held   map[string]int
}

type cachedBlob struct{ size, used int64 }

func newCache(dir string, most int64, log *slog.Logger) (*cache, error) {
	c := &cache{dir: filepath.Join(dir, "sha256"), max: most, log: log, blobs: map[string]*cachedBlob{}, held: map[string]int{}}
	// Others may pass through dir, as hooks that run as another user do, and see nothing of the cache.
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.MkdirAll(c.dir, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("cache of artifacts: %w", err)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, fmt.Errorf("cache of artifacts: %w", err)
	}
	var found []fs.FileInfo
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), temporary) {
			_ = os.Remove(filepath.Join(c.dir, e.Name())) // left by a process that was killed
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && checkDigest("sha256:"+e.Name()) == nil {
			found = append(found, info)
		}
	}
	slices.SortFunc(found, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range found {
		c.note("sha256:"+info.Name(), info.Size())
	}
	return c, nil
}

func (c *cache) path(digest string) string {
	return filepath.Join(c.dir, strings.TrimPrefix(digest, "sha256:"))
}

// note counts a blob that was read or written. The lock is held, or nobody else knows c.
func (c *cache) note(digest string, size int64) {
	b := c.blobs[digest]
	if b == nil {
		b = &cachedBlob{size: size}
		c.blobs[digest] = b
		c.size += size
	}
	c.tick++
	b.used = c.tick
}

func (c *cache) forget(digest string) {
	if b := c.blobs[digest]; b != nil {
		c.size -= b.size
		delete(c.blobs, digest)
	}
	_ = os.Remove(c.path(digest))
}

// get answers a blob, or an error for IsNotFound.
func (c *cache) get(digest string, most int64) ([]byte, error) {
	if err := checkDigest(digest); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	path := c.path(digest)
	f, err := os.Open(path)
	if err != nil {
		c.forget(digest)
		return nil, c.missing(digest, err)
	}
	text, err := readVerified(f, digest, most)
	if err != nil {
		c.log.Warn("damaged file in the cache of artifacts is removed", "path", path, "error", err)
		c.forget(digest)
		return nil, c.missing(digest, err)
	}
	c.note(digest, int64(len(text)))
	now := time.Now()
	_ = os.Chtimes(path, now, now) // for the order after a restart; without it, only that suffers
	return text, nil
}

func (c *cache) missing(digest string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || IsIntegrity(err) {
		return fail(errNotFound, "%s is not in the cache of artifacts", digest)
	}
	return fmt.Errorf("cache of artifacts: %w", err)
}

func (c *cache) put(digest string, text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := writeBlob(c.path(digest), digest, bytes.NewReader(text)); err != nil {
		return fmt.Errorf("cache of artifacts: %w", err)
	}
	c.note(digest, int64(len(text)))
	return nil
}

// hold keeps blobs from being evicted until release.
func (c *cache) hold(digests ...string) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range digests {
		c.held[d]++
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, d := range digests {
			if c.held[d]--; c.held[d] == 0 {
				delete(c.held, d)
			}
		}
	}
}

func (c *cache) pin(manifests []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinned = slices.Clone(manifests)
}

// kept are the blobs that must stay.
func (c *cache) kept() map[string]bool {
	c.mu.Lock()
	manifests, held := slices.Clone(c.pinned), slices.Collect(maps.Keys(c.held))
	c.mu.Unlock()
	out := map[string]bool{}
	for _, d := range held {
		out[d] = true
	}
	for _, d := range manifests {
		out[d] = true
		if text, err := c.get(d, maxManifest); err == nil {
			for _, blob := range listedBlobs(text) {
				out[blob] = true
			}
		}
	}
	return out
}

// evict removes what was not used for longest until the rest fits.
func (c *cache) evict() {
	if !c.full() {
		return
	}
	kept := c.kept()
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := slices.SortedFunc(maps.Keys(c.blobs), func(a, b string) int { return int(c.blobs[a].used - c.blobs[b].used) })
	for _, d := range oldest {
		if c.size <= c.max {
			return
		}
		if !kept[d] {
			c.forget(d)
		}
	}
	if c.size > c.max {
		c.log.Warn("cache of artifacts is larger than it should be: all that is in it is in use", "bytes", c.size, "limit", c.max)
	}
}

func (c *cache) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size > c.max
}

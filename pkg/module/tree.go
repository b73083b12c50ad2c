package module

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// maxDepth bounds how deep directories are followed, for links may lead in circles.
const maxDepth = 32

// tree is the regular files of a directory by slash-separated path, links followed.
type tree struct {
	dir      string
	files    map[string]fileMode
	warnings []string
}

type fileMode struct{ exec bool }

func (t *tree) has(path string) bool { _, ok := t.files[path]; return ok }

func (t *tree) sorted() []string { return slices.Sorted(maps.Keys(t.files)) }

// readTree lists dir without opening the files. Links that lead nowhere and
// what is neither file nor directory are warnings.
func readTree(dir string) (*tree, error) {
	t := &tree{dir: dir, files: map[string]fileMode{}}
	return t, t.walk("", 0)
}

func (t *tree) walk(rel string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep; a symbolic link may lead in a circle", filepath.Join(t.dir, rel), maxDepth)
	}
	entries, err := os.ReadDir(filepath.Join(t.dir, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := e.Name()
		if rel != "" {
			path = rel + "/" + e.Name()
		}
		if err := t.add(path, e, depth); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) add(path string, e fs.DirEntry, depth int) error {
	info, err := e.Info()
	if err == nil && e.Type()&fs.ModeSymlink != 0 {
		info, err = os.Stat(filepath.Join(t.dir, path))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.warnings = append(t.warnings, path+" is passed over: the link leads nowhere")
	case err != nil:
		return err
	case info.IsDir():
		return t.walk(path, depth+1)
	case info.Mode().IsRegular():
		t.files[path] = fileMode{exec: info.Mode()&0o111 != 0}
	default:
		t.warnings = append(t.warnings, path+" is passed over: neither a file nor a directory")
	}
	return nil
}

// everyFile is for sum.
func everyFile(string) bool { return true }

// ofHooks says whether a hook may use the file: what is not the chart's, a schema's
// or the definition's.
func ofHooks(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return !slices.Contains([]string{"templates", "crds", "charts", "openapi", "docs", "testdata",
		chartFile, "Chart.lock", valuesFile, definitionFile, "enabled", "README.md"}, top)
}

// sum is the SHA-256 over path, exec bit and content of the files that count.
func (t *tree) sum(counts func(path string) bool) (string, error) {
	all := sha256.New()
	buf := make([]byte, 32<<10)
	for _, path := range t.sorted() {
		if !counts(path) {
			continue
		}
		content, err := sumFile(filepath.Join(t.dir, path), buf)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%q %t %s\n", path, t.files[path].exec, content)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func sumFile(path string, buf []byte) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	// The wrapper hides File.WriteTo, which would allocate a buffer per file.
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, buf); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// libraries sums each library chart once, however many modules depend on it.
type libraries struct {
	mu   sync.Mutex
	sums map[string]func() (string, error)
	// sealed: dependencies must lie in charts/.
	sealed bool
}

// digest covers the files of t and of the charts it depends on by file://, and theirs in turn.
func (l *libraries) digest(t *tree, c chart) (string, error) {
	return l.withDependencies(t, c, nil)
}

func (l *libraries) withDependencies(t *tree, c chart, above []string) (string, error) {
	own, err := t.sum(everyFile)
	if err != nil {
		return "", err
	}
	if len(c.Dependencies) == 0 {
		return own, nil
	}
	all := sha256.New()
	fmt.Fprintln(all, own)
	for _, d := range c.Dependencies {
		rel, ok := strings.CutPrefix(d.Repository, "file://")
		if !ok {
			continue
		}
		dir := filepath.FromSlash(rel)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(t.dir, dir)
		}
		vendored, err := t.vendors(d)
		if err != nil {
			return "", err
		}
		if vendored {
			continue // and so in own
		}
		if l.sealed {
			return "", fmt.Errorf("%s: dependency %s at %s: %w", filepath.Join(t.dir, chartFile), d.Name, d.Repository, errNotVendored)
		}
		if !isDir(dir) && t.archives(d.Name) {
			continue
		}
		sum, err := l.library(dir, append(slices.Clone(above), t.dir))
		if err != nil {
			return "", fmt.Errorf("%s: dependency %s at %s: %w", filepath.Join(t.dir, chartFile), d.Name, d.Repository, err)
		}
		fmt.Fprintf(all, "%q %s\n", d.Name, sum)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// vendors says whether charts/ has the dependency as a directory: Helm then uses that one.
func (t *tree) vendors(d dependency) (bool, error) {
	path := "charts/" + d.Name + "/" + chartFile
	if !t.has(path) {
		return false, nil
	}
	c, err := readChart(filepath.Join(t.dir, path))
	return err == nil && d.satisfiedBy(c), err
}

// archives says whether charts/ may have the dependency in another form.
func (t *tree) archives(name string) bool {
	for path := range t.files {
		if strings.HasPrefix(path, "charts/"+name+"/") || strings.HasPrefix(path, "charts/"+name+"-") {
			return true
		}
	}
	return false
}

func (l *libraries) library(dir string, above []string) (string, error) {
	dir = filepath.Clean(dir)
	if slices.Contains(above, dir) {
		return "", fmt.Errorf("the charts depend on each other in a circle: %s", strings.Join(append(above, dir), " > "))
	}
	l.mu.Lock()
	if l.sums == nil {
		l.sums = map[string]func() (string, error){}
	}
	once, ok := l.sums[dir]
	if !ok {
		once = sync.OnceValues(func() (string, error) { return l.readLibrary(dir, above) })
		l.sums[dir] = once
	}
	l.mu.Unlock()
	return once()
}

func (l *libraries) readLibrary(dir string, above []string) (string, error) {
	t, err := readTree(dir)
	if err != nil {
		return "", fmt.Errorf("expected a chart on disk: %w", err)
	}
	c, err := readChart(filepath.Join(dir, chartFile))
	if err != nil {
		return "", err
	}
	return l.withDependencies(t, c, above)
}

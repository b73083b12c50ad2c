package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/ignore"

	"github.com/addon-operator/addon-operator/pkg/module"
)

// Version of a chart that has no Chart.yaml (C-286).
const synthesisedVersion = "0.2.0"

// loadedChart is a parsed chart and what its text tells without rendering. It is
// shared: render a copy of chart only.
type loadedChart struct {
	chart *chart.Chart
	// readsCapabilities: a template mentions .Capabilities, or Chart.yaml asks for a Kubernetes version.
	readsCapabilities bool
	// mentionsLookup: a template mentions lookup.
	mentionsLookup bool
}

// chartCache keeps the newest parsed charts of each module: that in force, and the one
// that takes its place.
type chartCache struct {
	mu     sync.Mutex
	charts map[string][]cachedChart // newest first
}

// chartsKept is how many versions of one module's chart are kept.
const chartsKept = 2

type cachedChart struct {
	digest string
	*loadedChart
}

func newChartCache() *chartCache { return &chartCache{charts: map[string][]cachedChart{}} }

// load parses the chart of m unless one of the same digest is at hand. A module
// without a digest is read anew each time.
func (c *chartCache) load(m *module.Descriptor) (*loadedChart, error) {
	c.mu.Lock()
	have := c.charts[m.Name]
	c.mu.Unlock()
	for _, known := range have {
		if m.Digest != "" && known.digest == m.Digest {
			return known.loadedChart, nil
		}
	}
	ch, err := loadModule(m)
	if err != nil {
		return nil, fmt.Errorf("chart of module %s: %w", m.Name, err)
	}
	l := &loadedChart{chart: ch}
	l.inspect(ch)
	c.mu.Lock()
	defer c.mu.Unlock()
	have = append([]cachedChart{{digest: m.Digest, loadedChart: l}}, c.charts[m.Name]...)
	c.charts[m.Name] = have[:min(len(have), chartsKept)]
	return l, nil
}

// Preload parses the chart of a module, so that what lies on disk now is rendered later.
func (c *Client) Preload(m *module.Descriptor) error {
	if !m.HasChart {
		return nil
	}
	_, err := c.charts.load(m)
	return err
}

func (l *loadedChart) inspect(ch *chart.Chart) {
	l.readsCapabilities = l.readsCapabilities || ch.Metadata.KubeVersion != ""
	for _, t := range ch.Templates {
		l.readsCapabilities = l.readsCapabilities || bytes.Contains(t.Data, []byte("Capabilities"))
		l.mentionsLookup = l.mentionsLookup || bytes.Contains(t.Data, []byte("lookup"))
	}
	for _, d := range ch.Dependencies() {
		l.inspect(d)
	}
}

// notChart are entries of a module's directory that are no part of its chart
// (C-286). values.yaml is a static layer, not chart defaults (B-78).
var notChart = []string{
	"crds", "docs", "hooks", "images", "lib", "openapi", "testdata",
	"enabled", "module.yaml", "values.yaml",
}

func loadModule(m *module.Descriptor) (*chart.Chart, error) {
	files, err := readChartDir(m.Dir, func(name string) bool {
		return strings.HasPrefix(name, ".") || slices.Contains(notChart, name)
	})
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(files, func(f *loader.BufferedFile) bool { return f.Name == chartutil.ChartfileName }) {
		files = append(files, &loader.BufferedFile{
			Name: chartutil.ChartfileName,
			Data: fmt.Appendf(nil, "apiVersion: v2\nname: %q\nversion: %s\n", m.Name, synthesisedVersion),
		})
	}
	ch, err := loader.LoadFiles(files)
	if err != nil {
		return nil, err
	}
	if m.Origin.Artifact != "" {
		err = wantVendored(ch) // strangers do not choose what is read from this disk
	} else {
		err = addDependencies(ch, m.Dir, nil)
	}
	if err != nil {
		return nil, err
	}
	dropRaw(ch)
	return ch, nil
}

// addDependencies loads what Chart.yaml depends on and charts/ does not hold.
func addDependencies(ch *chart.Chart, dir string, above []string) error {
	for _, dep := range ch.Metadata.Dependencies {
		if dep == nil || slices.ContainsFunc(ch.Dependencies(), func(c *chart.Chart) bool { return satisfies(c, dep) }) {
			continue
		}
		rel, ok := strings.CutPrefix(dep.Repository, "file://")
		if !ok {
			return fmt.Errorf("dependency %s %s is not in %s; put the chart there, or give it a file:// repository",
				dep.Name, dep.Version, filepath.Join(dir, "charts"))
		}
		from := filepath.FromSlash(rel)
		if !filepath.IsAbs(from) {
			from = filepath.Join(dir, from)
		}
		if slices.Contains(above, from) {
			return fmt.Errorf("dependency %s in %s depends on itself", dep.Name, from)
		}
		sub, err := loadDependency(dep, from)
		if err != nil {
			return err
		}
		if err := addDependencies(sub, from, append(above, from)); err != nil {
			return fmt.Errorf("dependency %s: %w", dep.Name, err)
		}
		ch.AddDependency(sub)
	}
	return nil
}

// wantVendored refuses a chart that depends on one outside of its charts/.
func wantVendored(ch *chart.Chart) error {
	for _, dep := range ch.Metadata.Dependencies {
		if dep != nil && !slices.ContainsFunc(ch.Dependencies(), func(c *chart.Chart) bool { return satisfies(c, dep) }) {
			return fmt.Errorf("dependency %s %s is not in charts/, where that of a module from a registry must be; push the module anew", dep.Name, dep.Version)
		}
	}
	return nil
}

func satisfies(c *chart.Chart, dep *chart.Dependency) bool {
	return c.Name() == dep.Name && (dep.Version == "" || chartutil.IsCompatibleRange(dep.Version, c.Metadata.Version))
}

func loadDependency(dep *chart.Dependency, dir string) (*chart.Chart, error) {
	files, err := readChartDir(dir, func(name string) bool { return strings.HasPrefix(name, ".") })
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dependency %s: no chart in %s; expected the directory that %q in Chart.yaml names: add it, or vendor the chart into charts/",
			dep.Name, dir, dep.Repository)
	}
	if err != nil {
		return nil, fmt.Errorf("dependency %s: %w", dep.Name, err)
	}
	sub, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("dependency %s in %s: %w", dep.Name, dir, err)
	}
	if !satisfies(sub, dep) {
		return nil, fmt.Errorf("dependency %s %s: %s holds %s %s; change the version in Chart.yaml",
			dep.Name, dep.Version, dir, sub.Name(), sub.Metadata.Version)
	}
	return sub, nil
}

// dropRaw lets go of the second list of files that Helm keeps for packaging.
func dropRaw(ch *chart.Chart) {
	ch.Raw = nil
	for _, d := range ch.Dependencies() {
		dropRaw(d)
	}
}

// readChartDir reads a chart's files, following symlinks and .helmignore as Helm does,
// without the top-level entries that skip names.
func readChartDir(dir string, skip func(string) bool) ([]*loader.BufferedFile, error) {
	rules := ignore.Empty()
	r, err := ignore.ParseFile(filepath.Join(dir, ignore.HelmIgnore))
	if err == nil {
		rules = r
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	rules.AddDefaults()
	w := chartReader{dir: dir, rules: rules}
	if err := w.walk("", skip, 0); err != nil {
		return nil, err
	}
	return w.files, nil
}

type chartReader struct {
	dir   string
	rules *ignore.Rules
	files []*loader.BufferedFile
}

// maxDepth ends a walk through symlinks that lead back.
const maxDepth = 32

func (w *chartReader) walk(rel string, skip func(string) bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: more than %d directories deep; is there a symlink loop?", filepath.Join(w.dir, rel), maxDepth)
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, rel))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if skip != nil && skip(e.Name()) {
			continue
		}
		if err := w.entry(path.Join(rel, e.Name()), depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *chartReader) entry(name string, depth int) error {
	full := filepath.Join(w.dir, filepath.FromSlash(name))
	fi, err := os.Stat(full)
	if err != nil {
		return err
	}
	switch {
	case w.rules.Ignore(name, fi):
		return nil
	case fi.IsDir():
		return w.walk(name, nil, depth+1)
	case !fi.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory; remove it, or name it in .helmignore", full)
	case fi.Size() > loader.MaxDecompressedFileSize:
		return fmt.Errorf("%s has %d bytes, more than the %d that a file of a chart may have; name it in .helmignore",
			full, fi.Size(), loader.MaxDecompressedFileSize)
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return err
	}
	w.files = append(w.files, &loader.BufferedFile{Name: name, Data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))})
	return nil
}

// copyChart copies what Helm's dependency processing writes to and shares the files.
func copyChart(ch *chart.Chart) *chart.Chart {
	md := *ch.Metadata
	// Without any it stays nil: Helm's dependency processing then ends before it copies all values.
	md.Dependencies = nil
	for _, d := range ch.Metadata.Dependencies {
		if d != nil {
			dep := *d
			md.Dependencies = append(md.Dependencies, &dep)
		}
	}
	out := &chart.Chart{
		Metadata: &md, Lock: ch.Lock, Templates: ch.Templates,
		Values: ch.Values, Schema: ch.Schema, Files: ch.Files,
	}
	subs := make([]*chart.Chart, 0, len(ch.Dependencies()))
	for _, d := range ch.Dependencies() {
		subs = append(subs, copyChart(d))
	}
	out.SetDependencies(subs...)
	return out
}

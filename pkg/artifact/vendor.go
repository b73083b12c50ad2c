package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/module"
)

// dependency is what of a chart's dependency matters for finding it on disk.
type dependency struct{ Name, Version, Repository string }

// vendor puts the charts that the module's depends on by file:// into charts/, and theirs below them.
func (p *packer) vendor() error {
	if slices.ContainsFunc(p.chart, func(f packed) bool { return f.path == "requirements.yaml" }) {
		return fmt.Errorf("requirements.yaml: move its dependencies into %s, as Helm 3 has them", chartFile)
	}
	if !slices.ContainsFunc(p.chart, func(f packed) bool { return f.path == chartFile }) {
		return nil
	}
	rules, err := p.ignored(p.dir)
	if err != nil {
		return err
	}
	added, err := p.vendored(p.dir, "", nil)
	if err != nil {
		return err
	}
	for _, f := range added {
		switch {
		case !rules.drops(f.path):
			p.chart = append(p.chart, f)
		case needed(f.path):
			return fmt.Errorf("%s, part of a library chart, %w", f.path, errIgnored)
		}
	}
	return nil
}

// needed says whether a chart renders otherwise without the file.
func needed(file string) bool {
	return strings.Contains(file, "/templates/") || strings.HasSuffix(file, "/"+chartFile) || strings.HasSuffix(file, "/values.yaml")
}

// vendored are the files of the dependencies of the chart in dir, whose own place in the archive
// is prefix. Charts above it are a circle.
func (p *packer) vendored(dir, prefix string, above []string) ([]packed, error) {
	deps, err := dependencies(dir)
	if err != nil {
		return nil, err
	}
	var out []packed
	taken := map[string]string{}
	for _, d := range deps {
		rel, ok := strings.CutPrefix(d.Repository, "file://")
		if first, twice := taken[d.Name]; twice && first == d.Repository || p.has(dir, d) {
			continue
		} else if twice {
			return nil, fmt.Errorf("%s: dependency %s has two repositories; give it one", filepath.Join(dir, chartFile), d.Name)
		}
		if !ok {
			return nil, fmt.Errorf("dependency %s %s is not in %s; put the chart there, or give it a file:// repository",
				d.Name, d.Version, filepath.Join(dir, "charts"))
		}
		taken[d.Name] = d.Repository
		from := filepath.FromSlash(rel)
		if !filepath.IsAbs(from) {
			from = filepath.Join(dir, from)
		}
		if slices.Contains(above, from) {
			return nil, fmt.Errorf("dependency %s in %s depends on itself", d.Name, from)
		}
		files, err := p.library(d, from, prefix+"charts/"+d.Name+"/", append(slices.Clone(above), from))
		if err != nil {
			return nil, fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		out = append(out, files...)
	}
	return out, nil
}

// has says whether charts/ brings the dependency already. Whether its version does, Helm says.
func (*packer) has(dir string, d dependency) bool {
	if _, err := os.Stat(filepath.Join(dir, "charts", d.Name, chartFile)); err == nil {
		return true
	}
	archives, err := filepath.Glob(filepath.Join(dir, "charts", d.Name+"-*.tgz"))
	return err == nil && len(archives) > 0
}

// library are the files of one chart, and of those that it depends on in turn.
func (p *packer) library(d dependency, dir, prefix string, above []string) ([]packed, error) {
	var c dependency
	if err := readChart(dir, &c); err != nil {
		return nil, err
	}
	if c.Name != d.Name {
		return nil, fmt.Errorf("%s holds chart %q; change the name of the dependency", dir, c.Name)
	}
	rules, err := p.ignored(dir)
	if err != nil {
		return nil, err
	}
	files, err := module.Files(dir)
	if err != nil {
		return nil, err
	}
	var out []packed
	for _, f := range files {
		if !strings.HasPrefix(f.Path, ".") && !rules.drops(f.Path) {
			out = append(out, packed{path: prefix + f.Path, source: filepath.Join(dir, filepath.FromSlash(f.Path)), exec: f.Exec})
		}
	}
	more, err := p.vendored(dir, prefix, above)
	return append(out, more...), err
}

func dependencies(dir string) ([]dependency, error) {
	var c struct{ Dependencies []dependency }
	return c.Dependencies, readChart(dir, &c)
}

func readChart(dir string, into any) error {
	path := filepath.Join(dir, chartFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("no chart in %s; expected one with %s there", dir, chartFile)
	}
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

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

const (
	chartFile      = "Chart.yaml"
	definitionFile = "module.yaml"
	// noVersion is what module.Descriptor has when nobody states one.
	noVersion = "0.0.0"
	// globalDir is the directory that global hooks are unpacked into.
	globalDir = "global-hooks"
)

// PackOptions are the defaults that the operator would have.
type PackOptions struct {
	// UnnumberedWeight is the weight of a directory without a number in its name; default 1.
	UnnumberedWeight int
}

// Pack makes the artifact of a module's directory NNN-name, or of a folder of global hooks,
// which is one with a global.yaml. Directories named testdata or .git at its top are left out;
// library charts that Chart.yaml names by file:// are put into charts/.
//
// It refuses what could not be run from a channel: a name that looks like a setting, no
// version of https://semver.org, a file that Unpack would not write.
func Pack(dir string, opts PackOptions) (Artifact, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Artifact{}, err
	}
	a, err := pack(dir, opts)
	if err != nil {
		return Artifact{}, fmt.Errorf("pack %s: %w", dir, err)
	}
	return a, nil
}

func pack(dir string, opts PackOptions) (Artifact, error) {
	p := &packer{dir: dir}
	err := p.describe(opts)
	if err == nil {
		err = p.sort()
	}
	if err == nil {
		err = p.vendor()
	}
	if err != nil {
		return Artifact{}, err
	}
	var a Artifact
	if a.Config, err = p.config(); err != nil {
		return Artifact{}, err
	}
	a.Meta = p.meta
	if err := p.checkSizes(); err != nil {
		return Artifact{}, err
	}
	if a.Chart, err = archive(p.meta.Name+"/", p.chart); err != nil {
		return Artifact{}, err
	}
	if a.Files, err = archive("", p.files); err != nil {
		return Artifact{}, err
	}
	// What cannot be unpacked is not packed.
	return a, a.verify(defaultLimits())
}

// packer gathers what goes into the layers.
type packer struct {
	dir          string
	meta         Meta
	chart, files []packed
}

// packed is one file of a layer: on disk at source, or text.
type packed struct {
	path, source string
	text         []byte
	exec         bool
}

func (p packed) content() ([]byte, error) {
	if p.source == "" {
		return p.text, nil
	}
	return os.ReadFile(p.source)
}

// describe fills in meta.
func (p *packer) describe(opts PackOptions) error {
	global := filepath.Join(p.dir, module.GlobalFile)
	if _, err := os.Stat(global); err == nil {
		return p.describeGlobal()
	}
	if opts.UnnumberedWeight == 0 {
		opts.UnnumberedWeight = 1
	}
	m, err := module.LoadOne(p.dir, module.LoadOptions{UnnumberedWeight: opts.UnnumberedWeight, Libraries: true})
	if err != nil {
		return err
	}
	p.meta = ofRelease(m.Name, m.Version, m.Release)
	p.meta.Weight, p.meta.Requires.Modules = m.Weight, m.Requires
	for _, crd := range m.CRDs {
		p.meta.Provides.CRDs = append(p.meta.Provides.CRDs, crd.Name)
	}
	slices.Sort(p.meta.Provides.CRDs)
	if m.Version == noVersion {
		return fmt.Errorf("it has no version; put one into %s", definitionFile)
	}
	return p.meta.check()
}

func (p *packer) describeGlobal() error {
	for _, name := range []string{definitionFile, chartFile} {
		if _, err := os.Stat(filepath.Join(p.dir, name)); err == nil {
			return fmt.Errorf("it has %s, as global hooks have, and %s, as modules have; remove one", module.GlobalFile, name)
		}
	}
	g, err := module.ReadGlobal(p.dir)
	if err != nil {
		return err
	}
	if g.Version == "" {
		return fmt.Errorf("it has no version; put one into %s", module.GlobalFile)
	}
	p.meta = ofRelease(GlobalName, g.Version, g.Release)
	return p.meta.check()
}

func ofRelease(name, version string, r module.Release) Meta {
	m := Meta{Name: name, Version: version, UpgradeFrom: r.UpgradeFrom, Disruptive: r.Disruptive, Images: r.Images,
		Requires: Requires{Kubernetes: r.Kubernetes, Operator: r.Operator, Facts: r.Facts}}
	if r.Unsafe {
		m.Rollback = rollbackUnsafe
	}
	return m
}

// notPacked are top-level directories that no module needs to run.
var notPacked = []string{"testdata", ".git"}

// notChart are top-level entries that are no part of a module's chart (C-286). values.yaml
// is a static layer, not the chart's defaults.
var notChart = []string{"crds", "docs", "hooks", "images", "lib", "openapi", "enabled", definitionFile, "values.yaml"}

// sort puts every file of the directory into one of the two layers.
func (p *packer) sort() error {
	files, err := module.Files(p.dir)
	if err != nil {
		return err
	}
	rules, err := p.ignored(p.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		top, _, _ := strings.Cut(f.Path, "/")
		one := packed{path: f.Path, source: filepath.Join(p.dir, filepath.FromSlash(f.Path)), exec: f.Exec}
		switch {
		case slices.Contains(notPacked, top):
		case p.meta.Name != GlobalName && ofChart(f.Path, top) && !rules.drops(f.Path):
			p.chart = append(p.chart, one)
		case f.Path == chartFile:
			return fmt.Errorf("%s %w", chartFile, errIgnored)
		default:
			p.files = append(p.files, one)
		}
	}
	return nil
}

func ofChart(file, top string) bool {
	return file == ignoreFile || !strings.HasPrefix(top, ".") && !slices.Contains(notChart, top)
}

func (*packer) ignored(dir string) (ignoreRules, error) {
	text, err := os.ReadFile(filepath.Join(dir, ignoreFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return parseIgnore(string(text))
}

// config is Chart.yaml as JSON, which Helm has as the config of an artifact. Without one, it is
// made and put into the chart, for Helm wants one.
func (p *packer) config() ([]byte, error) {
	at := slices.IndexFunc(p.chart, func(f packed) bool { return f.path == chartFile })
	if at < 0 {
		p.meta.NoChart = true
		text, err := yaml.Marshal(map[string]string{"apiVersion": "v2", "name": p.meta.Name, "version": p.meta.Version})
		if err != nil {
			return nil, err
		}
		p.chart = append(p.chart, packed{path: chartFile, text: text})
		return yaml.YAMLToJSON(text)
	}
	text, err := p.chart[at].content()
	if err != nil {
		return nil, err
	}
	if err := p.checkChart(text); err != nil {
		return nil, fmt.Errorf("%s: %w", chartFile, err)
	}
	return yaml.YAMLToJSON(text)
}

// checkChart wants a chart that `helm pull` finds by the artifact's name and version.
func (p *packer) checkChart(text []byte) error {
	var c struct{ APIVersion, Name, Version string }
	if err := yaml.Unmarshal(text, &c); err != nil {
		return err
	}
	switch {
	case c.APIVersion != "v2":
		return fmt.Errorf("apiVersion: expected v2, got %q", c.APIVersion)
	case c.Name != p.meta.Name:
		return fmt.Errorf("name: expected that of the module, %s, got %q", p.meta.Name, c.Name)
	case c.Version != p.meta.Version:
		return fmt.Errorf("version: expected that of the module, %s, got %q; `helm pull` finds the chart by it", p.meta.Version, c.Version)
	}
	return nil
}

// maxChartFile is what Helm accepts as one file of a chart, in bytes.
const maxChartFile = 5 << 20

func (p *packer) checkSizes() error {
	for _, f := range p.chart {
		if f.source == "" {
			continue
		}
		if info, err := os.Stat(f.source); err != nil || info.Size() > maxChartFile {
			return errors.Join(err, fmt.Errorf("%s: expected at most %d bytes in a file of a chart, as Helm does; name it in %s", f.path, maxChartFile, ignoreFile))
		}
	}
	return nil
}

package module

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

const (
	definitionFile = "module.yaml"
	chartFile      = "Chart.yaml"
)

// chart is what of a Chart.yaml concerns the loader.
type chart struct {
	Name, Version string
	Dependencies  []dependency
}

type dependency struct{ Name, Version, Repository string }

// satisfiedBy is what Helm asks of a chart in charts/.
func (d dependency) satisfiedBy(c chart) bool {
	if c.Name != d.Name || d.Version == "" {
		return c.Name == d.Name
	}
	v, err := semver.NewVersion(c.Version)
	if err != nil {
		return false
	}
	want, err := semver.NewConstraint(d.Version)
	return err == nil && want.Check(v)
}

func readChart(path string) (chart, error) {
	text, err := readOptional(path)
	if err != nil {
		return chart{}, err
	}
	var c chart
	if err := yaml.Unmarshal(text, &c); err != nil {
		return chart{}, fmt.Errorf("%s: expected a Helm chart definition: %w", path, err)
	}
	return c, nil
}

// readDefinition fills in what module.yaml says. A known key of a wrong form is
// an error that names it; an unknown key is a warning (C-285).
func readDefinition(m *Descriptor, c candidate, ch chart, opts LoadOptions) error {
	path := filepath.Join(c.dir, definitionFile)
	doc, err := readMap(path)
	if err != nil {
		return err
	}
	d := &definition{doc: doc}
	m.Version = d.text("version", validVersion)
	m.Description = d.text("description", nil)
	m.Namespace = d.text("namespace", validNamespace)
	m.PodSecurity = d.text("podSecurity", validPodSecurity)
	m.Requires = d.requirements()
	m.Wants = d.wants()
	m.Inputs = d.inputs()
	m.Exports = d.paths("exports")
	m.Adopt = Adoption(d.choice("adopt", "unowned", string(AdoptNever), string(AdoptAlways)))
	m.OnFailure = FailurePolicy(d.choice("onFailure", "keep", string(RollBack)))
	m.Health = d.healthChecks()
	d.healthFiles(c.dir, m.Health)
	m.Drift = d.driftRules()
	m.Release = d.release()
	m.Weight = d.weight(c, opts, m)
	if name := d.text("name", nil); name != "" && name != c.name {
		m.warn("%s: name %q is ignored: the directory says %s", definitionFile, name, c.name)
	}
	if d.err != nil {
		return fmt.Errorf("%s: %w", path, d.err)
	}
	if LooksLikeSetting(m.Key) {
		m.warn("the values key %s of module %s looks like a setting of another module; consider renaming the directory", m.Key, m.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		if !slices.Contains(d.seen, key) {
			m.warn("%s: key %s is not known and is ignored", definitionFile, key)
		}
	}
	if m.Version == "" {
		m.Version = ch.Version
	}
	if m.Version == "" {
		m.Version = defaultVersion
	}
	return nil
}

// definition reads keys of module.yaml and keeps the first error.
type definition struct {
	doc  values.Map
	seen []string
	err  error
}

func (d *definition) get(key string) (any, bool) {
	d.seen = append(d.seen, key)
	v, ok := d.doc[key]
	return v, ok && v != nil
}

func (d *definition) fail(key, format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("key %s: %s", key, fmt.Sprintf(format, args...))
	}
}

func (d *definition) text(key string, check func(string) error) string {
	v, ok := d.get(key)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		d.fail(key, "expected text, got %v; quote it", v)
		return ""
	}
	if check != nil && s != "" {
		if err := check(s); err != nil {
			d.fail(key, "%v", err)
		}
	}
	return s
}

// choice reads one word of a few; the usual one is answered as "".
func (d *definition) choice(key, usual string, others ...string) string {
	s := d.text(key, func(s string) error {
		if s != usual && !slices.Contains(others, s) {
			return fmt.Errorf("expected %s or %s, got %q", usual, strings.Join(others, " or "), s)
		}
		return nil
	})
	if s == usual {
		return ""
	}
	return s
}

func validVersion(s string) error {
	if _, err := semver.NewVersion(s); err != nil {
		return fmt.Errorf("expected a version such as 1.2.3, got %q", s)
	}
	return nil
}

func validNamespace(s string) error {
	if errs := validation.IsDNS1123Label(s); len(errs) > 0 {
		return fmt.Errorf("expected the name of a namespace, got %q: %s", s, strings.Join(errs, "; "))
	}
	return nil
}

func validPodSecurity(s string) error {
	if !slices.Contains([]string{"privileged", "baseline", "restricted"}, s) {
		return fmt.Errorf("expected privileged, baseline or restricted, got %q", s)
	}
	return nil
}

func (d *definition) list(key string) ([]any, bool) {
	v, ok := d.get(key)
	if !ok {
		return nil, false
	}
	list, ok := v.([]any)
	if !ok {
		d.fail(key, "expected a list, got %v", v)
	}
	return list, ok
}

// requirements reads [{module, version}]; a plain name stands for any version.
func (d *definition) requirements() []Requirement {
	var out []Requirement
	list, _ := d.list("requires")
	for _, e := range list {
		r, err := requirement(e)
		if err != nil {
			d.fail("requires", "%v", err)
			return nil
		}
		out = append(out, r)
	}
	return out
}

func requirement(e any) (Requirement, error) {
	if name, ok := e.(string); ok {
		return Requirement{Module: name}, values.CheckName(name)
	}
	m, ok := e.(values.Map)
	if !ok {
		return Requirement{}, fmt.Errorf("expected {module: NAME, version: RANGE}, got %v", e)
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key != "module" && key != "version" {
			return Requirement{}, fmt.Errorf("expected the keys module and version, got %s", key)
		}
	}
	name, _ := m["module"].(string)
	if err := values.CheckName(name); err != nil {
		return Requirement{}, err
	}
	version, ok := m["version"].(string)
	if !ok && m["version"] != nil {
		return Requirement{}, fmt.Errorf("version of %s: expected a quoted range, got %v", name, m["version"])
	}
	if version != "" {
		if _, err := semver.NewConstraint(version); err != nil {
			return Requirement{}, fmt.Errorf(`version of %s: expected a range such as ">=1.2", got %q`, name, version)
		}
	}
	return Requirement{Module: name, Version: version}, nil
}

// wants reads `want` or `wants`: a list of {module} or of names.
func (d *definition) wants() []string {
	var out []string
	for _, key := range []string{"want", "wants"} {
		list, _ := d.list(key)
		for _, e := range list {
			r, err := requirement(e)
			if err == nil && r.Version != "" {
				err = fmt.Errorf("%s: a version can only be required", r.Module)
			}
			if err != nil {
				d.fail(key, "%v", err)
				return nil
			}
			if !slices.Contains(out, r.Module) {
				out = append(out, r.Module)
			}
		}
	}
	return out
}

// inputs reads the paths below global. An absent key is nil, which means all of
// it; so does "global" itself. An empty list means none.
func (d *definition) inputs() []string {
	paths := d.paths("inputs")
	if slices.Contains(paths, "global") {
		return nil
	}
	for i, p := range paths {
		paths[i] = strings.TrimPrefix(p, "global.")
	}
	return paths
}

var dottedPath = regexp.MustCompile(`^[^.\s]+(\.[^.\s]+)*$`)

func (d *definition) paths(key string) []string {
	list, ok := d.list(key)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		p, ok := e.(string)
		if !ok || !dottedPath.MatchString(p) {
			d.fail(key, "expected dotted paths such as discovery.cloud, got %v", e)
			return nil
		}
		out = append(out, p)
	}
	return out
}

// weight: the prefix of the directory wins over module.yaml (C-285).
func (d *definition) weight(c candidate, opts LoadOptions, m *Descriptor) int {
	v, ok := d.get("weight")
	n, isInt := v.(int64)
	if ok && (!isInt || n < 0 || n > math.MaxInt32) {
		d.fail("weight", "expected a whole number from 0, got %v", v)
	}
	switch {
	case c.weight != nil:
		if ok && int(n) != *c.weight {
			m.warn("%s: weight %d is ignored: the directory says %d", definitionFile, n, *c.weight)
		}
		return *c.weight
	case ok:
		return int(n)
	}
	return opts.UnnumberedWeight
}

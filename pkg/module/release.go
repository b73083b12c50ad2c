package module

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// GlobalFile, in a folder of global hooks, says which version of them it is.
const GlobalFile = "global.yaml"

// Release is the section `release` of module.yaml or global.yaml: what must be known of a version
// that is offered in a release channel.
type Release struct {
	// Kubernetes and Operator are semver ranges; empty accepts any.
	Kubernetes, Operator string
	// Facts are dotted paths that must exist, as global.discovery.cloud.zones.
	Facts []string
	// UpgradeFrom is a semver range of versions that may be upgraded to this one directly; empty accepts any.
	UpgradeFrom string
	// Unsafe: it must not be rolled back by itself (`rollback: unsafe`).
	Unsafe bool
	// Disruptive: going to this version interrupts the module's work.
	Disruptive bool
	// Images are container images by digest, name@sha256:<64 hex>.
	Images []string
}

// Global is what global.yaml says of a folder of global hooks.
type Global struct {
	Version, Description string
	Release              Release
	Warnings             []string
}

// ReadGlobal reads global.yaml of a folder of global hooks; without that file it answers the zero value.
func ReadGlobal(dir string) (Global, error) {
	path := filepath.Join(dir, GlobalFile)
	doc, err := readMap(path)
	if err != nil {
		return Global{}, err
	}
	d := &definition{doc: doc}
	g := Global{Version: d.text("version", validVersion), Description: d.text("description", nil), Release: d.release()}
	if d.err != nil {
		return Global{}, fmt.Errorf("%s: %w", path, d.err)
	}
	for _, key := range slices.Sorted(maps.Keys(doc)) {
		if !slices.Contains(d.seen, key) {
			g.Warnings = append(g.Warnings, fmt.Sprintf("%s: key %s is not known and is ignored", GlobalFile, key))
		}
	}
	return g, nil
}

// LooksLikeSetting says that a values key ends like a setting of a module (`<camel>Enabled` and
// the like), so that the two cannot be told apart in the user's ConfigMap by their names.
func LooksLikeSetting(key string) bool {
	_, setting := values.CutSetting(key)
	return setting != ""
}

// ReservedName says why a module from a source cannot have a name, nil if it can. In a modules directory,
// where the user can rename it, a module whose name ends like a setting loads with a warning.
func ReservedName(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if key := values.Key(name); LooksLikeSetting(key) {
		return fmt.Errorf("module name %q: its values key %s looks like a setting of another module in the ConfigMap; the author must rename it", name, key)
	}
	return nil
}

// release reads `release: {requires: {kubernetes, operator, facts}, upgradeFrom, rollback, disruptive, images}`.
func (d *definition) release() Release {
	s := d.section("release")
	q := s.section("requires")
	out := Release{
		Kubernetes: q.text("kubernetes", validRange), Operator: q.text("operator", validRange), Facts: q.facts(),
		UpgradeFrom: s.text("upgradeFrom", validRange), Unsafe: s.choice("rollback", "safe", "unsafe") != "",
		Disruptive: s.truth("disruptive"), Images: s.images(),
	}
	s.join(q, "requires")
	d.join(s, "release")
	return out
}

// section is an object below key; empty when there is none.
func (d *definition) section(key string) *definition {
	v, ok := d.get(key)
	m, isMap := v.(values.Map)
	if ok && !isMap {
		d.fail(key, "expected an object, got %v", v)
	}
	return &definition{doc: m}
}

// join takes over the first error of a section, for which a key that nobody reads is one.
func (d *definition) join(s *definition, key string) {
	for _, k := range slices.Sorted(maps.Keys(s.doc)) {
		if !slices.Contains(s.seen, k) {
			s.fail(k, "is not known; expected %s", strings.Join(s.seen, ", "))
		}
	}
	if s.err != nil {
		d.fail(key, "%v", s.err)
	}
}

func (d *definition) truth(key string) bool {
	v, ok := d.get(key)
	on, isBool := v.(bool)
	if ok && !isBool {
		d.fail(key, "expected true or false without quotes, got %v", v)
	}
	return on
}

func (d *definition) facts() []string {
	out := d.paths("facts")
	for _, p := range out {
		if !strings.HasPrefix(p, "global.") {
			d.fail("facts", "expected paths such as global.discovery.cloud.zones, got %q", p)
		}
	}
	return out
}

func (d *definition) images() []string {
	list, _ := d.list("images")
	var out []string
	for _, e := range list {
		s, _ := e.(string)
		if err := CheckImage(s); err != nil {
			d.fail("images", "%v", err)
			return nil
		}
		out = append(out, s)
	}
	return out
}

var image = regexp.MustCompile(`^[a-z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}$`)

// CheckImage wants HOST[:PORT]/NAME@sha256:<64 hex>: an image that names its registry, by digest.
func CheckImage(s string) error {
	if len(s) > 512 || !image.MatchString(s) {
		return fmt.Errorf("expected an image with its registry and by digest, HOST/NAME@sha256:…, got %q", s)
	}
	return nil
}

func validRange(s string) error {
	if _, err := semver.NewConstraint(s); err != nil {
		return fmt.Errorf(`expected a range such as ">=1.2 <2", got %q`, s)
	}
	return nil
}

// errNotVendored is of a chart that may not reach for another outside of its directory.
var errNotVendored = errors.New("the chart is not in charts/, where that of a packed module must be")

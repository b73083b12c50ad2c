package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// MaxMeta bounds the layer of MetaType, in bytes.
const MaxMeta = 1 << 20

// maxList bounds every list in Meta.
const maxList = 1000

// rollbackUnsafe is the value of Meta.Rollback that forbids going back by itself.
const rollbackUnsafe = "unsafe"

// ParseMeta reads and checks the layer of MetaType. Fields it does not know are passed over, for newer versions may have more.
func ParseMeta(text []byte) (Meta, error) {
	var m Meta
	if len(text) > MaxMeta {
		return m, fmt.Errorf("description of the module: expected at most %d bytes, got %d", MaxMeta, len(text))
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Meta{}, fmt.Errorf("description of the module: expected JSON of %s: %w", MetaType, err)
	}
	if err := m.check(); err != nil {
		return Meta{}, err
	}
	return m, nil
}

// Expect says whether it is what a channel lists by name and version; an empty version accepts any.
func (m Meta) Expect(name, version string) error {
	if m.Name != name {
		return fmt.Errorf("the artifact listed as module %s holds module %s", name, m.Name)
	}
	if version != "" && m.Version != version {
		return fmt.Errorf("the artifact listed as version %s of module %s holds version %s", version, name, m.Version)
	}
	return nil
}

// check is what both sides demand: who packs, and who unpacks.
func (m Meta) check() error {
	checks := []func() error{
		func() error { return CheckName(m.Name) },
		func() error { return CheckVersion(m.Version) },
		func() error { return m.checkWeight() },
		func() error { return checkRange("upgradeFrom", m.UpgradeFrom) },
		func() error { return m.checkRollback() },
		func() error { return m.Requires.check() },
		func() error { return each("provides.crds", m.Provides.CRDs, checkCRD) },
		func() error { return each("images", m.Images, module.CheckImage) },
	}
	for _, c := range checks {
		if err := c(); err != nil {
			return fmt.Errorf("module %.60q, version %.60q: %w", m.Name, m.Version, err)
		}
	}
	return nil
}

// CheckName wants GlobalName or the name of a module that cannot be mistaken for a setting.
func CheckName(name string) error {
	if name == GlobalName {
		return nil
	}
	return module.ReservedName(name)
}

// CheckVersion wants a version of https://semver.org that fits into a tag.
func CheckVersion(version string) error {
	if _, err := semver.StrictNewVersion(version); err != nil || len(version) > 100 {
		return fmt.Errorf("expected a version such as 1.2.3 (semver 2.0.0, at most 100 characters), got %.120q", version)
	}
	return nil
}

func (m Meta) checkWeight() error {
	if m.Weight < 0 || m.Weight > math.MaxInt32 {
		return fmt.Errorf("weight: expected a whole number from 0, got %d", m.Weight)
	}
	return nil
}

func (m Meta) checkRollback() error {
	if !slices.Contains([]string{"", "safe", rollbackUnsafe}, m.Rollback) {
		return fmt.Errorf("rollback: expected safe or unsafe, got %.60q", m.Rollback)
	}
	return nil
}

func checkRange(key, text string) error {
	if text == "" {
		return nil
	}
	if len(text) > 256 {
		return fmt.Errorf("%s: expected at most 256 characters, got %d", key, len(text))
	}
	if _, err := semver.NewConstraint(text); err != nil {
		return fmt.Errorf(`%s: expected a range such as ">=1.2 <2", got %q`, key, text)
	}
	return nil
}

func (r Requires) check() error {
	if err := errors.Join(checkRange("requires.kubernetes", r.Kubernetes), checkRange("requires.operator", r.Operator)); err != nil {
		return err
	}
	names := make([]string, 0, len(r.Modules))
	for _, m := range r.Modules {
		names = append(names, m.Module)
		if err := checkRange("requires.modules: "+m.Module, m.Version); err != nil {
			return err
		}
	}
	if err := each("requires.modules", names, values.CheckName); err != nil {
		return err
	}
	return each("requires.facts", r.Facts, checkFact)
}

func checkFact(path string) error {
	if rest, ok := strings.CutPrefix(path, "global."); !ok || rest == "" || len(path) > 512 || strings.ContainsAny(path, " \t\r\n") {
		return fmt.Errorf("expected a dotted path such as global.discovery.cloud.zones, got %.120q", path)
	}
	return nil
}

func checkCRD(name string) error {
	if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 {
		return fmt.Errorf("expected the name of a CustomResourceDefinition, got %.120q", name)
	}
	return nil
}

func each(key string, list []string, check func(string) error) error {
	if len(list) > maxList {
		return fmt.Errorf("%s: expected at most %d, got %d", key, maxList, len(list))
	}
	for _, s := range list {
		if err := check(s); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

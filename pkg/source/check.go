package source

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// CheckName says why a text cannot be the name of a ModuleSource, nil if it can.
func CheckName(name string) error {
	if name == Embedded {
		return errors.New("the name " + Embedded + " stands for the modules in the operator's own directories")
	}
	if len(name) > 63 || !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`).MatchString(name) {
		return fmt.Errorf("%q is no name of a ModuleSource: expected at most 63 lower case letters, digits, '-' and '.'", cut(name))
	}
	return nil
}

// CheckVersion says why a text cannot be a Choice.Version, nil if it can.
func CheckVersion(text string) error {
	if digest, ok := strings.CutPrefix(text, "sha256:"); ok {
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(digest) {
			return fmt.Errorf("%q: expected sha256: and 64 hexadecimal digits in lower case", cut(text))
		}
		return nil
	}
	if _, err := semver.NewConstraint(text); err != nil || len(text) > 256 {
		return fmt.Errorf("%q: expected a version such as 1.14.2, a range such as ~1.14 or >=1.14 <2, or sha256:<digest>", cut(text))
	}
	return nil
}

// CheckMode says why a text cannot be a Mode, nil if it can.
func CheckMode(mode Mode) error {
	switch mode {
	case Auto, AutoPatch, Manual:
		return nil
	}
	return fmt.Errorf("%q: expected %s, %s or %s", cut(string(mode)), Auto, AutoPatch, Manual)
}

func cut(text string) string {
	if r := []rune(text); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return text
}

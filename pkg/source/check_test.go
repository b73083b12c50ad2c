package source

import (
	"strings"
	"testing"
)

func TestWhatMayBeAVersionANameAndAMode(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for check, c := range map[string]struct {
		ask       func(string) error
		good, bad []string
	}{
		"name": {CheckName, []string{"corp", "a.b-c", "1"}, []string{"", "embedded", "Corp", "-a", "a-", strings.Repeat("a", 64), "a_b"}},
		"version": {CheckVersion, []string{"1.14.2", "v1.14.2", "1.10", "~1.14", "^2", ">=1.14 <2", ">= 1.14, < 2.0", "1.x || 2.x", "*", "1.0.0-rc.1", "sha256:" + hex},
			[]string{"", "latest", "sha256:abc", "sha256:" + strings.ToUpper(hex), "sha512:" + hex, "1.2.3.4", ">>1", strings.Repeat("1 || ", 100) + "1"}},
		"mode": {func(s string) error { return CheckMode(Mode(s)) }, []string{"Auto", "AutoPatch", "Manual"}, []string{"", "auto", "Never"}},
	} {
		for _, text := range c.good {
			if err := c.ask(text); err != nil {
				t.Errorf("%s: %v", check, err)
			}
		}
		for _, text := range c.bad {
			if c.ask(text) == nil {
				t.Errorf("%s: %q is taken", check, text)
			}
		}
	}
}

func TestTheNameOfAReleaseTellsBytesApart(t *testing.T) {
	for _, c := range []struct {
		release Release
		want    string
	}{
		{Release{Module: "m", Version: "1.0.0", Digest: "sha256:0123456789"}, "m-1.0.0-01234567"},
		{Release{Module: "m", Version: "1.0.0", Digest: "sha256:1123456789"}, "m-1.0.0-11234567"},
		{Release{Module: "m", Version: "1.0.0-RC.1+Build"}, "m-1.0.0-rc.1-build-embedded"},
	} {
		if got := c.release.Name(); got != c.want {
			t.Errorf("got %s, expected %s", got, c.want)
		}
	}
}

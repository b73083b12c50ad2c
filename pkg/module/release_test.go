package module

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheReleaseSectionIsRead(t *testing.T) {
	text := `
release:
  requires: {kubernetes: ">=1.30", operator: "~0.5", facts: [global.discovery.cloud.zones]}
  upgradeFrom: ">=1.0"
  rollback: unsafe
  disruptive: true
  images: ["example.org:5000/a/b@sha256:` + strings.Repeat("0", 64) + `"]
`
	want := Release{Kubernetes: ">=1.30", Operator: "~0.5", Facts: []string{"global.discovery.cloud.zones"}, UpgradeFrom: ">=1.0", Unsafe: true,
		Disruptive: true, Images: []string{"example.org:5000/a/b@sha256:" + strings.Repeat("0", 64)}}
	dir := files(t, map[string]string{"a/module.yaml": text, "g/global.yaml": "version: 1.0.0\nnew: 1" + text})
	m, err := LoadOne(filepath.Join(dir, "a"), LoadOptions{UnnumberedWeight: 5})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, m.Release); d != "" || m.Weight != 5 || len(m.Warnings) > 0 {
		t.Error(d, m.Weight, m.Warnings)
	}
	g, err := ReadGlobal(filepath.Join(dir, "g"))
	if d := cmp.Diff(Global{Version: "1.0.0", Release: want, Warnings: []string{"global.yaml: key new is not known and is ignored"}}, g); d != "" || err != nil {
		t.Error(d, err)
	}
	if g, err := ReadGlobal(t.TempDir()); err != nil || g.Version != "" {
		t.Error(g, err)
	}
}

func TestBadReleaseSectionsNameTheirKey(t *testing.T) {
	for text, want := range map[string]string{
		"release: 1":                             "key release: expected an object",
		"release: {requires: [a]}":               "key release: key requires: expected an object",
		"release: {requires: {kubernetes: 1.3}}": "key kubernetes: expected text",
		"release: {requires: {operator: new}}":   "key operator: expected a range",
		"release: {requires: {facts: [cloud]}}":  "key facts: expected paths such as global.",
		"release: {disruptive: 'yes'}":           "key disruptive: expected true or false",
		"release: {rollback: never}":             "key rollback: expected safe or unsafe",
		"release: {images: [nginx]}":             "key images: expected an image with its registry",
		"release: {upgradefrom: '>1'}":           "key upgradefrom: is not known; expected requires, upgradeFrom",
	} {
		dir := files(t, map[string]string{"a/module.yaml": text})
		_, err := LoadOne(filepath.Join(dir, "a"), LoadOptions{})
		wantErr(t, err, want, "module.yaml", "module a")
	}
}

func TestGlobalHooksThatSayAWrongVersionAreWarnedAbout(t *testing.T) {
	dir := files(t, map[string]string{"modules/a/hooks/x": "", "g/global.yaml": "version: one"})
	wantWarning(t, load(t, LoadOptions{GlobalHooksDir: filepath.Join(dir, "g")}, filepath.Join(dir, "modules")).Warnings, "global.yaml", "key version")
}

func TestLoadOneReadsWhatLoadReads(t *testing.T) {
	dir := files(t, map[string]string{"010-a/values.yaml": "a: {b: 1}", "010-a/hooks/x!": "", "010-a/crds/x.yaml": "", "010-a/openapi/values.yaml": "type: object"})
	m, err := LoadOne(filepath.Join(dir, "010-a"), LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	set := load(t, LoadOptions{}, dir)
	if other := set.Get("a"); m.Digest != other.Digest || m.HooksDigest != other.HooksDigest || !cmp.Equal(m.Static, other.Static) || m.Weight != other.Weight {
		t.Errorf("got %+v, expected %+v", m, other)
	}
}

// A vendored chart is used though the repository of the dependency is there too, as Helm does.
func TestChartsInChartsComeBeforeTheirRepository(t *testing.T) {
	const wants = "name: a\nversion: 1.0.0\ndependencies: [{name: lib, version: 0.1.0, repository: 'file://../../lib'}]"
	lib := func(version string) string { return "name: lib\nversion: " + version }
	for name, c := range map[string]struct {
		content map[string]string
		reads   bool // the library on disk
		sealed  string
	}{
		"not vendored":            {map[string]string{"lib/Chart.yaml": lib("0.1.0")}, true, "is not in charts/"},
		"vendored":                {map[string]string{"lib/Chart.yaml": lib("0.1.0"), "m/010-a/charts/lib/Chart.yaml": lib("0.1.0")}, false, ""},
		"vendored, no repository": {map[string]string{"m/010-a/charts/lib/Chart.yaml": lib("0.1.0")}, false, ""},
		"vendored, other version": {map[string]string{"lib/Chart.yaml": lib("0.1.0"), "m/010-a/charts/lib/Chart.yaml": lib("0.2.0")}, true, "is not in charts/"},
		"vendored, another chart": {map[string]string{"lib/Chart.yaml": lib("0.1.0"), "m/010-a/charts/lib/Chart.yaml": "name: other"}, true, "is not in charts/"},
	} {
		t.Run(name, func(t *testing.T) {
			c.content["m/010-a/Chart.yaml"] = wants
			dir := files(t, c.content)
			set := load(t, LoadOptions{}, filepath.Join(dir, "m"))
			if set.Get("a") == nil || (len(set.Libraries) == 1) != c.reads {
				t.Errorf("libraries %v, broken %v", set.Libraries, set.Broken)
			}
			_, err := LoadOne(filepath.Join(dir, "m/010-a"), LoadOptions{})
			if c.sealed != "" {
				wantErr(t, err, c.sealed)
			} else if err != nil {
				t.Error(err)
			}
			if _, err := LoadOne(filepath.Join(dir, "m/010-a"), LoadOptions{Libraries: true}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadOneRefusesNamesThatLoadRefuses(t *testing.T) {
	dir := files(t, map[string]string{"010-global/hooks/x": "", "Up/hooks/x": "", "99999999999999999999-a/hooks/x": "", "010-empty/": ""})
	for name, want := range map[string]string{"010-global": "global", "Up": "Up", "99999999999999999999-a": "weight", "010-empty": "is empty"} {
		_, err := LoadOne(filepath.Join(dir, name), LoadOptions{})
		wantErr(t, err, want)
	}
}

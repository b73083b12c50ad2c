package module

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files writes a directory of modules. A path that ends in "!" is executable, in
// "/" a directory; content "-> x" makes a symbolic link.
func files(t testing.TB, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, content)
	return dir
}

func write(t testing.TB, dir string, content map[string]string) {
	t.Helper()
	for path, text := range content {
		mode := os.FileMode(0o644)
		if p, ok := strings.CutSuffix(path, "!"); ok {
			path, mode = p, 0o755
		}
		full := filepath.Join(dir, path)
		var err error
		if strings.HasSuffix(path, "/") {
			err = os.MkdirAll(full, 0o755)
		} else if err = os.MkdirAll(filepath.Dir(full), 0o755); err == nil {
			if target, ok := strings.CutPrefix(text, "-> "); ok {
				err = os.Symlink(target, full)
			} else {
				err = os.WriteFile(full, []byte(text), mode)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func load(t testing.TB, opts LoadOptions, dirs ...string) *Set {
	t.Helper()
	set, err := Load(dirs, opts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func names(set *Set) []string {
	out := []string{}
	for _, m := range set.Modules {
		out = append(out, fmt.Sprintf("%d %s", m.Weight, m.Name))
	}
	return out
}

func wantErr(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("expected an error with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not name %q", err, p)
		}
	}
}

func wantWarning(t *testing.T, list []string, parts ...string) {
	t.Helper()
	for _, w := range list {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(w, p)
		}
		if all {
			return
		}
	}
	t.Errorf("no warning with %q in %q", parts, list)
}

// C-280, C-281, C-284.
func TestModulesAreOrderedByWeightAndName(t *testing.T) {
	elsewhere := files(t, map[string]string{"linked/hooks/x": ""})
	dir := files(t, map[string]string{
		"5-five/hooks/a":      "",
		"0100-y/hooks/a":      "",
		"20-b/hooks/a":        "",
		"20-a/hooks/a":        "",
		"plain/hooks/a":       "",
		"weighty/module.yaml": "weight: 7",
		"300-linked":          "-> " + elsewhere + "/linked",
	})
	set := load(t, LoadOptions{UnnumberedWeight: 1}, dir)
	want := []string{"1 plain", "5 five", "7 weighty", "20 a", "20 b", "100 y", "300 linked"}
	if d := cmp.Diff(want, names(set)); d != "" {
		t.Error(d)
	}
	if set.Incomplete || len(set.Broken) > 0 {
		t.Errorf("incomplete %v, broken %v", set.Incomplete, set.Broken)
	}
}

// C-280, C-283, B-19.
func TestWhatIsNoModuleIsSkippedWithAWarning(t *testing.T) {
	first := files(t, map[string]string{
		"010-a/hooks/first": "", ".git/config": "", "lost+found/": "", "README.md": "", "dangling": "-> nowhere",
	})
	second := files(t, map[string]string{"020-a/hooks/second": "", "030-b/hooks/x": ""})
	set := load(t, LoadOptions{}, first, second)
	if d := cmp.Diff([]string{"10 a", "30 b"}, names(set)); d != "" {
		t.Error(d)
	}
	for _, part := range []string{".git", "lost+found", "README.md", "dangling", "020-a"} {
		wantWarning(t, set.Warnings, part)
	}
	if !set.Incomplete {
		t.Error("a link that leads nowhere may be a module that is not mounted: expected Incomplete")
	}
}

func TestAMissingModulesDirectoryIsAStartupError(t *testing.T) { // C-280
	_, err := Load([]string{filepath.Join(t.TempDir(), "none")}, LoadOptions{})
	wantErr(t, err, "none", "MODULES_DIR")
	file := files(t, map[string]string{"f": ""})
	_, err = Load([]string{filepath.Join(file, "f")}, LoadOptions{})
	wantErr(t, err, "it is a file")
}

func TestAnEmptyDirectoryMakesTheSetIncomplete(t *testing.T) {
	set := load(t, LoadOptions{}, t.TempDir())
	if !set.Incomplete {
		t.Error("expected Incomplete for a directory without modules")
	}
	set = load(t, LoadOptions{}, files(t, map[string]string{"010-empty/": "", "020-good/hooks/x": ""}))
	if !set.Incomplete || set.Broken["empty"] == nil || set.Get("good") == nil {
		t.Errorf("incomplete %v, broken %v, modules %v", set.Incomplete, set.Broken, names(set))
	}
}

func TestAnUnreadableModuleStopsNoOther(t *testing.T) {
	if os.Geteuid() == 0 {
		// root reads everything; a circle of links cannot be listed by anybody.
		set := load(t, LoadOptions{}, files(t, map[string]string{"010-loop/self": "-> .", "020-good/hooks/x": ""}))
		if !set.Incomplete || set.Broken["loop"] == nil || set.Get("good") == nil {
			t.Errorf("incomplete %v, broken %v, modules %v", set.Incomplete, set.Broken, names(set))
		}
		return
	}
	dir := files(t, map[string]string{"010-shut/hooks/x": "", "020-good/hooks/x": ""})
	shut := filepath.Join(dir, "010-shut")
	if err := os.Chmod(shut, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(shut, 0o755) })
	set := load(t, LoadOptions{}, dir)
	if !set.Incomplete || set.Broken["shut"] == nil || set.Get("good") == nil {
		t.Errorf("incomplete %v, broken %v, modules %v", set.Incomplete, set.Broken, names(set))
	}
}

// C-282, C-290, B-19: a bad name breaks that module only.
func TestBadNamesBreakOnlyTheirModule(t *testing.T) {
	for dirName, want := range map[string]string{
		"010-module-1":                   "consider renaming to",
		"010-a.b":                        "lower-case",
		"010-Upper":                      "lower-case",
		"010-a--b":                       "lower-case",
		"010-global":                     "global values",
		"010-" + strings.Repeat("a", 54): "53 characters",
	} {
		set := load(t, LoadOptions{}, files(t, map[string]string{dirName + "/hooks/x": "", "001-good/hooks/x": ""}))
		name := strings.TrimPrefix(dirName, "010-")
		wantErr(t, set.Broken[name], want)
		if set.Get("good") == nil {
			t.Errorf("%s stopped another module", dirName)
		}
	}
	set := load(t, LoadOptions{}, files(t, map[string]string{
		"module1/hooks/x": "", "k8s-api/hooks/x": "", "ingress-nginx2/hooks/x": "", "v2-x/hooks/x": "",
	}))
	if len(set.Modules) != 4 {
		t.Errorf("good names were refused: %v", set.Broken)
	}
}

// C-295, C-296, C-298.
func TestStaticValuesAreLayered(t *testing.T) {
	first := files(t, map[string]string{
		"values.yaml":               "global: {a: 1, b: {c: 1}}\nmyModule: {x: 1, list: [1, 2], deep: {a: 1}}\nmyModuleEnabled: true\nnobody: {}\nghostEnabled: true\n",
		"010-my-module/values.yaml": "myModule: {list: [3], deep: {b: 2}}\nmyModuleEnabled: false\n",
	})
	second := files(t, map[string]string{
		"values.yaml":       "global: {b: {d: 2}}\nother: {y: 1}\notherEnabled: false\nmyModule: {x: 9}",
		"020-other/hooks/x": "",
		"030-bare/hooks/x":  "",
	})
	set := load(t, LoadOptions{}, first, second)
	if d := cmp.Diff(values.Map{"a": int64(1), "b": values.Map{"c": int64(1), "d": int64(2)}}, set.GlobalStatic); d != "" {
		t.Error(d)
	}
	m := set.Get("my-module")
	want := values.Map{"x": int64(1), "list": []any{int64(3)}, "deep": values.Map{"a": int64(1), "b": int64(2)}}
	if d := cmp.Diff(want, m.Static); d != "" {
		t.Error(d)
	}
	if m.StaticEnabled == nil || !*m.StaticEnabled {
		t.Error("the flag of the common file must be read, that of the module's own must not")
	}
	if o := set.Get("other").StaticEnabled; o == nil || *o {
		t.Error("expected otherEnabled: false")
	}
	if b := set.Get("bare"); b.StaticEnabled != nil || len(b.Static) != 0 {
		t.Errorf("bare: %v %v", b.StaticEnabled, b.Static)
	}
	wantWarning(t, m.Warnings, "myModuleEnabled", "no effect")
	wantWarning(t, set.Warnings, "nobody", "no module")
	wantWarning(t, set.Warnings, "ghostEnabled")
	wantWarning(t, set.Warnings, "myModule", "another directory")
}

func TestAModuleNamedLikeASettingLoadsWithAWarning(t *testing.T) {
	set := load(t, LoadOptions{}, files(t, map[string]string{"values.yaml": "xEnabled: {a: 1}\nxEnabledEnabled: true", "x-enabled/hooks/a": ""}))
	m := set.Get("x-enabled")
	if m == nil || m.Static["a"] != int64(1) || m.StaticEnabled == nil {
		t.Fatal(set.Broken, m)
	}
	wantWarning(t, m.Warnings, "xEnabled", "looks like a setting")
}

func TestAFlagThatIsNoBooleanIsAStartupErrorNamingFileAndKey(t *testing.T) { // C-297
	for _, text := range []string{`fooEnabled: "true"`, "fooEnabled: 1", "fooEnabled:", "fooEnabled: {}"} {
		_, err := Load([]string{files(t, map[string]string{"values.yaml": text})}, LoadOptions{})
		wantErr(t, err, "values.yaml", "fooEnabled", "true or false")
	}
	for _, text := range []string{"global: 1", "[]", "a: [", "\t"} {
		_, err := Load([]string{files(t, map[string]string{"values.yaml": text})}, LoadOptions{})
		wantErr(t, err, "values.yaml")
	}
}

func TestABadModuleIsBrokenAndNamesTheFile(t *testing.T) { // C-285, C-318, C-346
	for name, c := range map[string]struct {
		path, text string
		want       []string
	}{
		"values that are no YAML":        {"values.yaml", "a: [", []string{"values.yaml"}},
		"values without the key":         {"values.yaml", "other: {}", []string{"values.yaml", "theModule"}},
		"values whose section is a list": {"values.yaml", "theModule: []", []string{"values.yaml", "theModule"}},
		"a module.yaml that is a list":   {"module.yaml", "[]", []string{"module.yaml", "object"}},
		"an unknown pod security level":  {"module.yaml", "podSecurity: none", []string{"module.yaml", "podSecurity", "restricted"}},
		"an unknown adoption":            {"module.yaml", "adopt: sometimes", []string{"adopt", "unowned or never or always"}},
		"an unknown policy of failures":  {"module.yaml", "onFailure: ignore", []string{"onFailure", "keep or rollback"}},
		"a namespace with a capital":     {"module.yaml", "namespace: Abc", []string{"namespace", "Abc"}},
		"a version that is none":         {"module.yaml", "version: newest", []string{"version", "newest"}},
		"a version that is a number":     {"module.yaml", "version: 1.2", []string{"version", "quote"}},
		"a negative weight":              {"module.yaml", "weight: -1", []string{"weight"}},
		"a range that is none":           {"module.yaml", "requires: [{module: a, version: new}]", []string{"requires", "new"}},
		"a requirement without a module": {"module.yaml", "requires: [{version: '1'}]", []string{"requires"}},
		"a want with a version":          {"module.yaml", "want: [{module: a, version: '1'}]", []string{"want", "required"}},
		"inputs that are text":           {"module.yaml", "inputs: global.a", []string{"inputs", "list"}},
		"an input with an empty part":    {"module.yaml", "inputs: [global..a]", []string{"inputs", "dotted"}},
		"a chart that is no YAML":        {"Chart.yaml", "a: [", []string{"Chart.yaml"}},
		"a dependency that is missing":   {"Chart.yaml", "dependencies: [{name: lib, repository: 'file://../../lib'}]", []string{"Chart.yaml", "lib"}},
		"a schema of unknown type":       {"openapi/config-values.yaml", "type: text", []string{"openapi", "config-values.yaml", "text"}},
		"a CRD that is a ConfigMap":      {"crds/a.yaml", "apiVersion: v1\nkind: ConfigMap", []string{"crds/a.yaml", "ConfigMap"}},
		"a CRD without a name":           {"crds/a.yaml", "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition", []string{"crds/a.yaml", "metadata.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			set := load(t, LoadOptions{}, files(t, map[string]string{"010-the-module/" + c.path: c.text, "020-good/hooks/x": ""}))
			wantErr(t, set.Broken["the-module"], append(c.want, "the-module")...)
			if set.Get("good") == nil || set.Get("the-module") != nil {
				t.Errorf("modules: %v", names(set))
			}
		})
	}
}

func TestModuleYAMLIsRead(t *testing.T) {
	set := load(t, LoadOptions{}, files(t, map[string]string{"402-ingress-nginx/module.yaml": `
version: 0.1.0
description: Ingress
namespace: ingress-nginx
podSecurity: privileged
weight: 7
requires: [{module: cert-manager, version: ">=1.2"}, plain]
want: [{module: prometheus}]
wants: [other, prometheus]
inputs: [global.images, discovery.nodes]
exports: [ingressClass, a.b]
adopt: never
onFailure: rollback
tags: [x]
`, "402-ingress-nginx/Chart.yaml": "version: 9.9.9"}))
	m := set.Get("ingress-nginx")
	if m == nil {
		t.Fatal(set.Broken)
	}
	if m.Version != "0.1.0" || m.Description != "Ingress" || m.Namespace != "ingress-nginx" || m.PodSecurity != "privileged" || m.Weight != 402 || m.Key != "ingressNginx" {
		t.Errorf("%+v", m)
	}
	if m.Adopt != AdoptNever || m.OnFailure != RollBack {
		t.Errorf("adopt %q, onFailure %q", m.Adopt, m.OnFailure)
	}
	if d := cmp.Diff([]Requirement{{"cert-manager", ">=1.2"}, {"plain", ""}}, m.Requires); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"prometheus", "other"}, m.Wants); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"images", "discovery.nodes"}, m.Inputs); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"ingressClass", "a.b"}, m.Exports); d != "" {
		t.Error(d)
	}
	wantWarning(t, m.Warnings, "tags", "not known")
	wantWarning(t, m.Warnings, "weight 7")
}

func TestInputsTellNoneFromAll(t *testing.T) {
	set := load(t, LoadOptions{}, files(t, map[string]string{
		"a/module.yaml": "inputs: []", "b/module.yaml": "inputs: [global]", "c/module.yaml": "version: '1'",
	}))
	if in := set.Get("a").Inputs; in == nil || len(in) != 0 {
		t.Errorf("an empty list must mean none, got %#v", in)
	}
	for _, name := range []string{"b", "c"} {
		if in := set.Get(name).Inputs; in != nil {
			t.Errorf("%s: expected all of global, got %#v", name, in)
		}
	}
}

func TestPartsOfAModuleAreFound(t *testing.T) { // C-286, C-336
	set := load(t, LoadOptions{}, files(t, map[string]string{
		"a/Chart.yaml": "version: 1.2.3", "a/hooks/x": "", "a/enabled!": "#!/bin/sh",
		"b/templates/x.yaml": "", "b/enabled": "#!/bin/sh",
		"c/crds/x.yaml": "", "c/enabled/": "",
	}))
	a, b, c := set.Get("a"), set.Get("b"), set.Get("c")
	if !a.HasChart || !b.HasChart || c.HasChart {
		t.Error("a and b have a chart, c has none")
	}
	if a.Version != "1.2.3" || b.Version != "0.0.0" {
		t.Errorf("versions %q and %q", a.Version, b.Version)
	}
	if a.HooksDir != filepath.Join(a.Dir, "hooks") || b.HooksDir != "" {
		t.Errorf("hooks %q and %q", a.HooksDir, b.HooksDir)
	}
	if a.EnabledScript != filepath.Join(a.Dir, "enabled") || b.EnabledScript != "" || c.EnabledScript != "" {
		t.Errorf("scripts %q, %q, %q", a.EnabledScript, b.EnabledScript, c.EnabledScript)
	}
	wantWarning(t, b.Warnings, "enabled", "not executable")
	wantWarning(t, c.Warnings, "enabled", "directory")
}

const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: %s}\n"

func TestCRDsAreReadFromAllFilesButFilteredOnes(t *testing.T) { // C-345, C-346
	dir := files(t, map[string]string{
		"a/crds/b.yaml":        fmt.Sprintf("---\n# first\n"+crd+"---\n---\n"+crd, "one", "two"),
		"a/crds/sub/a.yaml":    fmt.Sprintf(crd, "three"),
		"a/crds/doc-ru-b.yaml": "spec: {}",
		"a/crds/_x.yaml":       "spec: {}",
		"a/crds/note.txt":      "hello",
	})
	a := load(t, LoadOptions{}, dir).Get("a")
	var got []string
	for _, c := range a.CRDs {
		got = append(got, c.File+" "+c.Name)
	}
	if d := cmp.Diff([]string{"crds/b.yaml one", "crds/b.yaml two", "crds/sub/a.yaml three"}, got); d != "" {
		t.Error(d)
	}
	wantWarning(t, a.Warnings, "note.txt")
	set := load(t, LoadOptions{CRDFilterPrefixes: []string{}}, dir)
	wantErr(t, set.Broken["a"], "crds/_x.yaml")
	write(t, dir, map[string]string{"a/crds/c.yaml": fmt.Sprintf(crd, "one")})
	wantErr(t, load(t, LoadOptions{}, dir).Broken["a"], "c.yaml", "already in crds/b.yaml")
}

func TestDigestFollowsContentModeAndLibraries(t *testing.T) {
	dir := files(t, map[string]string{
		"modules/010-a/Chart.yaml":     "dependencies: [{name: lib, repository: 'file://../../charts/lib'}]",
		"modules/010-a/hooks/x":        "1",
		"charts/lib/Chart.yaml":        "dependencies: [{name: base, repository: 'file://../base'}]",
		"charts/base/templates/_a.tpl": "1",
	})
	digest := func() string {
		set := load(t, LoadOptions{}, filepath.Join(dir, "modules"))
		if len(set.Modules) != 1 {
			t.Fatal(set.Broken)
		}
		return set.Modules[0].Digest
	}
	seen := map[string]string{digest(): "at first"}
	if len(digest()) != 64 || seen[digest()] == "" {
		t.Fatal("expected the same SHA-256 twice")
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"content", func() error { return os.WriteFile(filepath.Join(dir, "modules/010-a/hooks/x"), []byte("2"), 0o644) }},
		{"exec bit", func() error { return os.Chmod(filepath.Join(dir, "modules/010-a/hooks/x"), 0o755) }},
		{"a path", func() error {
			return os.Rename(filepath.Join(dir, "modules/010-a/hooks/x"), filepath.Join(dir, "modules/010-a/hooks/y"))
		}},
		{"a library of a library", func() error {
			return os.WriteFile(filepath.Join(dir, "charts/base/templates/_a.tpl"), []byte("2"), 0o644)
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if was, ok := seen[digest()]; ok {
			t.Errorf("the digest after a change of %s is that %s", step.what, was)
		}
		seen[digest()] = "after " + step.what
	}
	write(t, dir, map[string]string{"charts/base/Chart.yaml": "dependencies: [{name: lib, repository: 'file://../lib'}]"})
	set := load(t, LoadOptions{}, filepath.Join(dir, "modules"))
	wantErr(t, set.Broken["a"], "circle")
}

func TestStrictChecksDemandValues(t *testing.T) { // C-285
	dir := files(t, map[string]string{"a/hooks/x": "", "b/values.yaml": "b: {}"})
	set := load(t, LoadOptions{Strict: true}, dir)
	wantErr(t, set.Broken["a"], "values.yaml")
	if set.Get("b") == nil {
		t.Error(set.Broken)
	}
}

func TestAnInvalidGlobalSchemaIsAStartupError(t *testing.T) { // C-310, C-318
	dir := files(t, map[string]string{"a/hooks/x": ""})
	hooks := files(t, map[string]string{"openapi/values.yaml": "type: 1"})
	_, err := Load([]string{dir}, LoadOptions{GlobalHooksDir: hooks})
	wantErr(t, err, "global", "values.yaml")
	good := files(t, map[string]string{"openapi/config-values.yaml": "type: object\nproperties: {a: {type: string, default: b}}"})
	set := load(t, LoadOptions{GlobalHooksDir: good}, dir)
	if set.GlobalSchema.Config.Default(nil)["a"] != "b" {
		t.Error("the global schema was not read")
	}
}

func TestCycles(t *testing.T) {
	mod := func(name string, requires ...string) *Descriptor {
		m := &Descriptor{Name: name}
		for _, r := range requires {
			m.Requires = append(m.Requires, Requirement{Module: r})
		}
		return m
	}
	for name, c := range map[string]struct {
		modules []*Descriptor
		want    [][]string
	}{
		"a chain has none":                    {[]*Descriptor{mod("a", "b"), mod("b", "c"), mod("c", "gone")}, nil},
		"a module that requires itself":       {[]*Descriptor{mod("a", "a")}, [][]string{{"a"}}},
		"a triangle in the order it requires": {[]*Descriptor{mod("b", "a"), mod("a", "c"), mod("c", "b"), mod("d", "a")}, [][]string{{"a", "c", "b"}}},
		"two circles":                         {[]*Descriptor{mod("x", "y"), mod("y", "x"), mod("a", "b"), mod("b", "a", "x")}, [][]string{{"a", "b"}, {"x", "y"}}},
		"circles that share a module":         {[]*Descriptor{mod("a", "b", "c"), mod("b", "a"), mod("c", "a")}, [][]string{{"a", "b", "c"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Cycles(c.modules)); d != "" {
				t.Error(d)
			}
		})
	}
}

// The modules of this repository are examples of the format.
func TestModulesOfThisRepositoryLoadWithoutWarnings(t *testing.T) {
	set := load(t, LoadOptions{GlobalHooksDir: "../../global-hooks"}, "../../modules")
	for name, err := range set.Broken {
		t.Errorf("%s: %v", name, err)
	}
	for _, m := range set.Modules {
		for _, w := range m.Warnings {
			t.Errorf("%s: %s", m.Name, w)
		}
	}
	if cycles := Cycles(set.Modules); cycles != nil {
		t.Error(cycles)
	}
}

func FuzzParseCRDs(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(crd, "a")))
	f.Add([]byte("---\n---\n- a"))
	f.Fuzz(func(t *testing.T, text []byte) {
		docs, err := parseCRDs("f", text)
		for _, d := range docs {
			if err == nil && (d.Name == "" || len(d.Text) == 0) {
				t.Errorf("document without name or text: %+v", d)
			}
		}
	})
}

func FuzzDefinition(f *testing.F) {
	f.Add("version: 1.0.0\nrequires: [{module: a, version: '>=1'}]\ninputs: [global.a]\nweight: 3")
	f.Fuzz(func(t *testing.T, text string) {
		set := load(t, LoadOptions{}, files(t, map[string]string{"a/module.yaml": text}))
		if (set.Get("a") == nil) == (set.Broken["a"] == nil) {
			t.Errorf("expected the module either read or broken")
		}
	})
}

func BenchmarkLoad200(b *testing.B) {
	content := map[string]string{}
	for i := range 200 {
		dir := fmt.Sprintf("%03d-mod-x%c%c/", i, 'a'+i/26, 'a'+i%26)
		content[dir+"values.yaml"] = fmt.Sprintf("modX%c%c: {a: 1}", 'a'+i/26, 'a'+i%26)
		content[dir+"module.yaml"] = "version: 1.0.0"
		content[dir+"Chart.yaml"] = "name: x"
		content[dir+"openapi/config-values.yaml"] = "type: object\nproperties: {a: {type: integer}}"
		content[dir+"hooks/h.sh!"] = "#!/bin/bash"
		for j := range 9 {
			content[fmt.Sprintf("%stemplates/%d.yaml", dir, j)] = strings.Repeat("a: b\n", 50)
		}
	}
	dir := files(b, content)
	for b.Loop() {
		if set := load(b, LoadOptions{}, dir); len(set.Modules) != 200 {
			b.Fatal(set.Broken)
		}
	}
}

func FuzzModule(f *testing.F) {
	f.Add("a: {b: 1}", "name: a\nversion: 1.0.0\ndependencies: [{name: b, repository: 'file://../b'}]", "aEnabled: true\nb: {}", "x-config-version: 1\nproperties: {b: {type: string, x-secret: true}}")
	f.Add("b: 1\naEnabled: 'true'", "dependencies: [{name: c, repository: file://.}]", "global: null\na: []", "type: 5")
	f.Fuzz(func(t *testing.T, own, chart, static, schema string) {
		set, err := Load([]string{files(t, map[string]string{"001-a/values.yaml": own, "001-a/Chart.yaml": chart,
			"values.yaml": static, "001-a/openapi/config-values.yaml": schema})}, LoadOptions{})
		if err == nil && (set.Get("a") == nil) == (set.Broken["a"] == nil) {
			t.Errorf("expected the module either read or broken")
		}
	})
}

package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/ignore"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/schema"
)

// files writes a tree; a path that ends in "!" is executable.
func files(t testing.TB, dir string, content map[string]string) string {
	t.Helper()
	for name, text := range content {
		name, exec := strings.CutSuffix(name, "!")
		path := filepath.Join(dir, name)
		mode := os.FileMode(0o644)
		if exec {
			mode = 0o755
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pack(t testing.TB, dir string) artifact.Artifact {
	t.Helper()
	a, err := artifact.Pack(dir, artifact.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listing is the names in a gzipped tar, executables with a "!".
func listing(t testing.TB, archive []byte) []string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for in := tar.NewReader(zip); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uname != "" || h.Gname != "" || h.Uid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s tells of the machine it was made on: %+v", h.Name, h)
		}
		name := h.Name
		if h.Mode == 0o755 {
			name += "!"
		}
		out = append(out, name)
	}
}

const libChart = "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"

// hello is a module with everything in it, below dir/modules, and its library.
func hello(t testing.TB) string {
	dir := files(t, t.TempDir(), map[string]string{
		"modules/500-hello/module.yaml": "version: 1.2.3\nrequires: [{module: base, version: '>=1'}, other]\nrelease:\n" +
			"  requires: {kubernetes: '>=1.30', operator: '>=0.5', facts: [global.discovery.cloud.zones]}\n" +
			"  upgradeFrom: '>=1.0'\n  rollback: unsafe\n  disruptive: true\n  images: ['example.org/a/b@sha256:" + strings.Repeat("a", 64) + "']\n",
		"modules/500-hello/Chart.yaml":                 "apiVersion: v2\nname: hello\nversion: 1.2.3\ndependencies: [{name: lib, version: 0.1.0, repository: 'file://../../charts/lib'}]\n",
		"modules/500-hello/templates/cm.yaml":          `{{ include "lib.x" . }}`,
		"modules/500-hello/templates/notes.ignored":    "x",
		"modules/500-hello/files/run.sh!":              "x",
		"modules/500-hello/.helmignore":                "/README.md\n*.ignored\n/gen/\n",
		"modules/500-hello/README.md":                  "x",
		"modules/500-hello/gen/main.go":                "x",
		"modules/500-hello/values.yaml":                "hello: {a: 1}\n",
		"modules/500-hello/openapi/config-values.yaml": "type: object\nproperties: {a: {type: integer}}\n",
		"modules/500-hello/hooks/h.sh!":                "#!/bin/sh\n",
		"modules/500-hello/hooks/lib/common.sh":        "x",
		"modules/500-hello/enabled!":                   "#!/bin/sh\n",
		"modules/500-hello/crds/a.yaml":                "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.org}\n",
		"modules/500-hello/testdata/x/values.yaml":     "x",
		"modules/500-hello/docs/x.md":                  "x",
		"charts/lib/Chart.yaml":                        libChart + "dependencies: [{name: base, version: '>=0', repository: 'file://../base'}]\n",
		"charts/lib/README.md":                         "x",
		"charts/lib/.helmignore":                       "README.md\n",
		"charts/lib/templates/_x.tpl":                  `{{ define "lib.x" }}{{ end }}`,
		"charts/base/Chart.yaml":                       strings.Replace(libChart, "lib", "base", 1),
	})
	return filepath.Join(dir, "modules/500-hello")
}

func TestAModuleBecomesAChartAndTheFilesBesideIt(t *testing.T) {
	a := pack(t, hello(t))
	if d := cmp.Diff([]string{
		"hello/.helmignore", "hello/Chart.yaml", "hello/charts/lib/Chart.yaml", "hello/charts/lib/charts/base/Chart.yaml",
		"hello/charts/lib/templates/_x.tpl", "hello/files/run.sh!", "hello/templates/cm.yaml",
	}, listing(t, a.Chart)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{
		"README.md", "crds/a.yaml", "docs/x.md", "enabled!", "gen/main.go", "hooks/h.sh!", "hooks/lib/common.sh", "module.yaml",
		"openapi/config-values.yaml", "templates/notes.ignored", "values.yaml",
	}, listing(t, a.Files)); d != "" {
		t.Error(d)
	}
	want := artifact.Meta{Name: "hello", Version: "1.2.3", Weight: 500, UpgradeFrom: ">=1.0", Rollback: "unsafe", Disruptive: true,
		Requires: artifact.Requires{Kubernetes: ">=1.30", Operator: ">=0.5", Facts: []string{"global.discovery.cloud.zones"},
			Modules: []module.Requirement{{Module: "base", Version: ">=1"}, {Module: "other"}}},
		Provides: artifact.Provides{CRDs: []string{"things.example.org"}},
		Images:   []string{"example.org/a/b@sha256:" + strings.Repeat("a", 64)}}
	if d := cmp.Diff(want, a.Meta); d != "" {
		t.Error(d)
	}
	if !strings.Contains(string(a.Config), `"name":"hello"`) {
		t.Error(string(a.Config))
	}
}

func TestPackingGivesTheSameBytesWheneverAndWhereverItIsDone(t *testing.T) {
	one, other := hello(t), hello(t)
	if err := filepath.WalkDir(other, func(path string, e os.DirEntry, err error) error {
		mode := os.FileMode(0o600)
		if info, infoErr := e.Info(); infoErr == nil && info.Mode()&0o100 != 0 {
			mode = 0o700
		}
		return errors.Join(err, os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)), os.Chmod(path, mode))
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(pack(t, one), pack(t, other)); d != "" {
		t.Error(d)
	}
}

// sameModule compares what the operator makes of a module before and after the way through an artifact.
func sameModule(t *testing.T, before, after *module.Descriptor) {
	t.Helper()
	if !reflect.DeepEqual(before.Schemas, after.Schemas) {
		t.Error("the schemas differ")
	}
	for _, m := range []*module.Descriptor{before, after} {
		relative := func(path string) string { return strings.TrimPrefix(path, m.Dir) }
		m.HooksDir, m.EnabledScript = relative(m.HooksDir), relative(m.EnabledScript)
		m.Dir, m.Digest = "", ""
	}
	if d := cmp.Diff(before, after, cmpopts.IgnoreTypes(schema.Set{})); d != "" {
		t.Error(d)
	}
}

func TestAnUnpackedModuleIsTheOneThatWasPacked(t *testing.T) {
	dirs, err := filepath.Glob("../../modules/*-*")
	if err != nil || len(dirs) == 0 {
		t.Fatal(err, "expected the modules of this repository")
	}
	for _, dir := range append(dirs, hello(t)) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			first := pack(t, dir)
			path, err := artifact.Unpack(first, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(path) != filepath.Base(dir) {
				t.Errorf("it was unpacked into %s", path)
			}
			before, err := module.LoadOne(dir, module.LoadOptions{Libraries: true})
			if err != nil {
				t.Fatal(err)
			}
			after, err := module.LoadOne(path, module.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			sameModule(t, before, after)
			if again := pack(t, path); !reflect.DeepEqual(first, again) {
				t.Error("what was unpacked is packed into other bytes")
			}
		})
	}
}

func TestHelmReadsTheChartLayer(t *testing.T) {
	for _, dir := range []string{hello(t), files(t, filepath.Join(t.TempDir(), "plain"), map[string]string{"module.yaml": "version: 1.0.0", "hooks/x!": ""})} {
		c, err := loader.LoadArchive(bytes.NewReader(pack(t, dir).Chart))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err != nil || len(c.Metadata.Dependencies) != len(c.Dependencies()) {
			t.Errorf("%v; depends on %v, has %v", err, c.Metadata.Dependencies, c.Dependencies())
		}
	}
}

func TestAModuleWithoutAChartHasNoneAfterwards(t *testing.T) {
	for name, content := range map[string]map[string]string{
		"hooks only":        {"module.yaml": "version: 1.0.0\nweight: 7", "hooks/x!": ""},
		"templates, no one": {"module.yaml": "version: 1.0.0\nweight: 7", "templates/x.yaml": ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, filepath.Join(t.TempDir(), "plain"), content)
			a := pack(t, dir)
			if !a.Meta.NoChart {
				t.Error("expected NoChart")
			}
			path, err := artifact.Unpack(a, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			list, err := module.Files(path)
			for _, f := range list {
				got = append(got, f.Path)
			}
			want := slices.Sorted(maps.Keys(content))
			for i := range want {
				want[i] = strings.TrimSuffix(want[i], "!")
			}
			if d := cmp.Diff(want, got); d != "" || err != nil || filepath.Base(path) != "007-plain" {
				t.Error(d, err, path)
			}
		})
	}
}

func TestGlobalHooksArePackedWhole(t *testing.T) {
	dir := files(t, filepath.Join(t.TempDir(), "anything"), map[string]string{
		"global.yaml": "version: 2.0.0\nrelease: {rollback: unsafe}", "hooks/a.sh!": "#!/bin/sh", "openapi/values.yaml": "type: object", "templates/x": "", "testdata/x": "",
	})
	a := pack(t, dir)
	if d := cmp.Diff(artifact.Meta{Name: "global", Version: "2.0.0", Rollback: "unsafe", NoChart: true}, a.Meta); d != "" {
		t.Error(d)
	}
	path, err := artifact.Unpack(a, t.TempDir())
	if err != nil || filepath.Base(path) != "global-hooks" {
		t.Fatal(path, err)
	}
	want := []string{"global.yaml", "hooks/a.sh!", "openapi/values.yaml", "templates/x"}
	if d := cmp.Diff(want, listing(t, a.Files)); d != "" {
		t.Error(d)
	}
}

func TestPackRefusesWhatCouldNotRun(t *testing.T) {
	const chart = "apiVersion: v2\nname: NAME\nversion: 1.0.0\n"
	const version = "version: 1.0.0\n"
	for name, c := range map[string]struct {
		dir     string
		content map[string]string
		want    string
	}{
		"a module named global":                     {"global", map[string]string{"module.yaml": version}, "global"},
		"a name that ends like a setting":           {"010-my-source", map[string]string{"module.yaml": version}, "mySource looks like a setting"},
		"another such name":                         {"my-values-from", map[string]string{"module.yaml": version}, "myValuesFrom looks like a setting"},
		"no version":                                {"a", map[string]string{"hooks/x": ""}, "it has no version"},
		"a version that is not semver":              {"a", map[string]string{"module.yaml": "version: v1.0\n"}, "expected a version such as 1.2.3"},
		"no version of global hooks":                {"a", map[string]string{"global.yaml": "description: x"}, "put one into global.yaml"},
		"both definitions":                          {"a", map[string]string{"global.yaml": version, "module.yaml": version}, "remove one"},
		"a chart of another name":                   {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "b", 1), "module.yaml": version}, "name: expected that of the module"},
		"a chart of another version":                {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1), "module.yaml": "version: 1.0.1"}, "`helm pull` finds the chart by it"},
		"a chart of Helm 2":                         {"a", map[string]string{"Chart.yaml": "apiVersion: v1\nname: a\nversion: 1.0.0\n"}, "apiVersion: expected v2"},
		"dependencies of Helm 2":                    {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1), "requirements.yaml": ""}, "requirements.yaml"},
		"a missing library":                         {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1) + "dependencies: [{name: lib, repository: 'file://../none'}]"}, "lib"},
		"a remote dependency":                       {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1) + "dependencies: [{name: lib, version: 1.0.0, repository: 'https://example.org'}]"}, "put the chart there"},
		"a library left out":                        {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1) + "dependencies: [{name: lib, repository: 'file://../lib'}]", ".helmignore": "charts/"}, "left out by .helmignore"},
		"an image without a digest":                 {"a", map[string]string{"module.yaml": version + "release: {images: ['example.org/a:1']}"}, "by digest"},
		"a release key that is not known":           {"a", map[string]string{"module.yaml": version + "release: {requires: {kubernets: '>1'}}"}, "kubernets: is not known"},
		"a range that is none":                      {"a", map[string]string{"module.yaml": version + "release: {upgradeFrom: latest}"}, "upgradeFrom: expected a range"},
		"a fact that is none":                       {"a", map[string]string{"module.yaml": version + "release: {requires: {facts: [discovery.cloud]}}"}, "expected paths such as global."},
		"a rollback that is neither safe nor not":   {"a", map[string]string{"module.yaml": version + "release: {rollback: maybe}"}, "rollback: expected safe or unsafe"},
		"names that differ by case only":            {"a", map[string]string{"module.yaml": version, "hooks/a": "", "hooks/A": ""}, "maybe in another case"},
		"a file that is more than Helm would take":  {"a", map[string]string{"module.yaml": version, "files/x": strings.Repeat("x", 5<<20+1)}, "in a file of a chart"},
		"a .helmignore that Helm would not read":    {"a", map[string]string{"module.yaml": version, ".helmignore": "a/**\n"}, "not supported by Helm"},
		"a library whose name is not what it says":  {"a", map[string]string{"Chart.yaml": strings.Replace(chart, "NAME", "a", 1) + "dependencies: [{name: libs, repository: 'file://../lib'}]"}, "change the name of the dependency"},
		"a path that no other machine should write": {"a", map[string]string{"module.yaml": version, "hooks/a\nb": ""}, "without control characters"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			files(t, filepath.Join(dir, "lib"), map[string]string{"Chart.yaml": libChart})
			_, err := artifact.Pack(files(t, filepath.Join(dir, c.dir), c.content), artifact.PackOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, expected %s", err, c.want)
			}
		})
	}
}

// TestIgnoredFilesAreThoseOfHelm packs, and asks Helm which files it would leave out.
func TestIgnoredFilesAreThoseOfHelm(t *testing.T) {
	names := []string{"a/b/c.txt", "a/b.txt", "c.txt", "d/e.md", "e.md", "x y", "templates/.hidden", "templates/t.yaml"}
	for _, text := range []string{"", "*.txt", "/c.txt", "a/", "a/b", "/a/b/", "!*.txt", "!a/", "b.txt\n!x*", "[a-c]*", "# a/\n\n  *.md  ", "?.txt", "/", "a/*/c.txt"} {
		rules, err := ignore.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		rules.AddDefaults()
		content := map[string]string{"module.yaml": "version: 1.0.0", "Chart.yaml": "apiVersion: v2\nname: m\nversion: 1.0.0", ".helmignore": text}
		for _, n := range names {
			content[n] = ""
		}
		dir := files(t, filepath.Join(t.TempDir(), "m"), content)
		var want []string
		for _, n := range names {
			out := false
			for p := n; p != "."; p = filepath.Dir(p) {
				info, err := os.Stat(filepath.Join(dir, p))
				if err != nil {
					t.Fatal(err)
				}
				out = out || rules.Ignore(p, info)
			}
			if !out {
				want = append(want, "m/"+n)
			}
		}
		a, err := artifact.Pack(dir, artifact.PackOptions{})
		if err != nil {
			if !strings.Contains(err.Error(), "Chart.yaml is left out") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		got := slices.DeleteFunc(listing(t, a.Chart), func(n string) bool { return n == "m/Chart.yaml" || n == "m/.helmignore" })
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}

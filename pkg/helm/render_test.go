package helm

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
)

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: {{ .Release.Namespace }}}
data: {size: {{ .Values.web.size | quote }}}
`

func mustRender(t *testing.T, c *Client, m *module.Descriptor, vals string) installed.Rendered {
	t.Helper()
	r, err := c.Render(t.Context(), request(t, m, vals))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestChartsAreLoadedFromModules(t *testing.T) {
	t.Parallel()
	const web = "web: {size: 5}"
	const lib = "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"
	const wantsLib = "apiVersion: v2\nname: anything\nversion: 1.2.3\ndependencies: [{name: lib, version: 0.1.0, repository: 'file://../../charts/lib'}]\n"
	cases := map[string]struct {
		module files
		above  files
		vals   string
		want   []string // parts of the manifest
		not    []string
		err    string
	}{
		"without Chart.yaml a chart is synthesised (C-286)": {
			module: files{"templates/cm.yaml": strings.Replace(configMap, "settings", "{{ .Chart.Name }}-{{ .Chart.Version }}", 1)},
			want:   []string{"size: \"5\"", "name: web-0.2.0"},
		},
		"release name is the module's, not the chart's (C-287)": {
			module: files{"Chart.yaml": "apiVersion: v2\nname: other\nversion: 3.0.0\n", "templates/cm.yaml": strings.Replace(configMap, "settings", "{{ .Release.Name }}", 1)},
			want:   []string{"name: web\n"},
		},
		"the module's values.yaml is no chart default (B-78)": {
			module: files{"values.yaml": "web: {old: gone}\n", "templates/cm.yaml": strings.Replace(configMap, ".size", ".old | default `unset`", 1)},
			want:   []string{"size: unset"},
			not:    []string{"gone"},
		},
		"directories of the module that are no chart are not loaded (C-286)": {
			module: files{
				"templates/cm.yaml": configMap, "crds/x.yaml": "{{ broken", "hooks/templates/x.yaml": "{{", "images/x": "", "docs/x": "",
				"openapi/values.yaml": "", "testdata/x": "", "lib/x": "",
				"templates/files.yaml": "{{ range $p, $_ := .Files }}{{ if ne $p `extra.txt` }}{{ fail $p }}{{ end }}{{ end }}", "extra.txt": "", "enabled": "", "module.yaml": "",
			},
			want: []string{"size"},
		},
		"a file:// dependency is loaded from disk": {
			module: files{"Chart.yaml": wantsLib, "templates/cm.yaml": `{{ include "lib.cm" . }}`},
			above:  files{"charts/lib/Chart.yaml": lib, "charts/lib/templates/_cm.tpl": `{{ define "lib.cm" }}` + configMap + `{{ end }}`},
			want:   []string{"size: \"5\""},
		},
		"a missing file:// dependency is an error with a way out": {
			module: files{"Chart.yaml": wantsLib, "templates/cm.yaml": configMap},
			err:    "vendor the chart into charts/",
		},
		"a file:// dependency of another version is an error": {
			module: files{"Chart.yaml": wantsLib, "templates/cm.yaml": configMap},
			above:  files{"charts/lib/Chart.yaml": strings.Replace(lib, "0.1.0", "0.2.0", 1)},
			err:    "change the version in Chart.yaml",
		},
		"a remote dependency must be vendored": {
			module: files{"Chart.yaml": strings.Replace(wantsLib, "file://../../charts/lib", "https://example.org", 1), "templates/cm.yaml": configMap},
			err:    "is not in",
		},
		"a vendored subchart keeps Helm's values": {
			module: files{
				"Chart.yaml":                 "apiVersion: v2\nname: web\nversion: 1.0.0\n",
				"charts/db/Chart.yaml":       "apiVersion: v2\nname: db\nversion: 1.0.0\n",
				"charts/db/values.yaml":      "port: 1\nname: preset\n",
				"charts/db/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Values.name }}}\ndata: {port: '{{ .Values.port }}', zone: '{{ .Values.global.zone }}'}\n",
			},
			vals: "{global: {zone: a}, web: {}, db: {port: 2}}",
			want: []string{"name: preset", "port: \"2\"", "zone: a"},
		},
		"a dependency that is switched off is not rendered": {
			module: files{
				"Chart.yaml":                 "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, condition: web.db}]\n",
				"charts/db/Chart.yaml":       "apiVersion: v2\nname: db\nversion: 1.0.0\n",
				"charts/db/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\n",
				"templates/cm.yaml":          configMap,
			},
			vals: "web: {db: false, size: 1}",
			want: []string{"settings"}, not: []string{"name: db"},
		},
		"integers keep their form (C-301)": {
			module: files{"templates/cm.yaml": configMap}, vals: "web: {size: 12345678}", want: []string{`"12345678"`},
		},
		"lists are flattened": {
			module: files{"templates/l.yaml": "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n"},
			want:   []string{"kind: ConfigMap", "kind: Secret"}, not: []string{"kind: List"},
		},
		"an object rendered twice is an error": {
			module: files{"templates/a.yaml": configMap, "templates/b.yaml": configMap}, err: "rendered twice",
		},
		"a failing template is an error that names it": {
			module: files{"templates/a.yaml": `{{ fail "no size" }}`}, err: "templates/a.yaml",
		},
		"text that is not YAML is an error that names the template": {
			module: files{"templates/a.yaml": "a: [b"}, err: "web/templates/a.yaml",
		},
		"an object without a name is an error": {
			module: files{"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x}\n"}, err: "without metadata.name",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := aModule(t, "web", c.module)
			c.above.write(t, filepath.Dir(filepath.Dir(m.Dir)))
			vals := c.vals
			if vals == "" {
				vals = web
			}
			r, err := offline(t).Render(t.Context(), request(t, m, vals))
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "module web") {
					t.Fatalf("got error %v, want one of module web with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range c.want {
				if !strings.Contains(r.Manifest, s) {
					t.Errorf("manifest lacks %q:\n%s", s, r.Manifest)
				}
			}
			for _, s := range c.not {
				if strings.Contains(r.Manifest, s) {
					t.Errorf("manifest has %q:\n%s", s, r.Manifest)
				}
			}
		})
	}
}

func TestPostRenderLabelsEveryObjectAndSplitsChartHooks(t *testing.T) {
	t.Parallel()
	m := aModule(t, "web", files{"templates/a.yaml": configMap + `
---
# only a comment
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, labels: {app: web}}
`, "templates/NOTES.txt": "not: an object"})
	r := mustRender(t, offline(t), m, "web: {size: 1}")

	want := []object.Ref{
		{APIVersion: "v1", Kind: "ServiceAccount", Name: "web"},
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "apps", Name: "settings"},
	}
	if d := cmp.Diff(want, r.Objects); d != "" {
		t.Errorf("objects in install order (-want +got):\n%s", d)
	}
	if n := strings.Count(r.Manifest, "heritage: addon-operator"); n != 2 { // C-433
		t.Errorf("%d labelled objects, want 2:\n%s", n, r.Manifest)
	}
	if !strings.Contains(r.Hooks, "name: migrate") || strings.Contains(r.Manifest, "migrate") {
		t.Errorf("chart hook must be in Hooks only:\n%s\n%s", r.Hooks, r.Manifest)
	}
	hooks, err := parseHooks(r.Hooks)
	if err != nil || len(hooks) != 1 || hooks[0].Path != "web/templates/a.yaml" || hooks[0].Events[0] != "pre-upgrade" {
		t.Errorf("chart hooks: %+v, %v", hooks, err)
	}
}

func TestRenderIsAlwaysAnUpgrade(t *testing.T) { // C-434
	t.Parallel()
	m := aModule(t, "web", files{"templates/a.yaml": strings.Replace(configMap, ".Values.web.size", "(printf `%v %v %v` .Release.IsUpgrade .Release.IsInstall .Release.Revision)", 1)})
	if r := mustRender(t, offline(t), m, ""); !strings.Contains(r.Manifest, "size: true false 1") {
		t.Error(r.Manifest)
	}
}

// C-302: however the list comes to the templates.
func TestTemplatesSeeTheListOfEnabledModules(t *testing.T) {
	t.Parallel()
	shows := strings.Replace(configMap, ".Values.web.size", "(.Values.global.enabledModules | toJson)", 1)
	const vals = "global: {fact: 1, enabledModules: [web, api]}\nweb: {}"
	for name, c := range map[string]struct {
		files files
		want  string
	}{
		"a chart alone": {files{"templates/a.yaml": shows}, `["web","api"]`},
		"a schema that refuses it": {files{"templates/a.yaml": shows,
			"values.schema.json": `{"properties":{"global":{"properties":{"enabledModules":{"maxItems":1}}}}}`}, "enabledModules"},
		"a subchart": {files{"templates/a.yaml": configMap, "charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.0.1\n", "charts/sub/templates/a.yaml": strings.Replace(shows, "settings", "other", 1)},
			`["web","api"]`},
	} {
		t.Run(name, func(t *testing.T) {
			m := aModule(t, "web", c.files)
			r, err := offline(t).Render(t.Context(), request(t, m, vals))
			if got := fmt.Sprint(r.Manifest, err); !strings.Contains(got, c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestInputDigestMovesWithWhatRenderReads(t *testing.T) {
	t.Parallel()
	c := offline(t)
	m := aModule(t, "web", files{"templates/a.yaml": configMap})
	of := func(m *module.Descriptor, ns, vals string) string {
		d, err := c.InputDigest(t.Context(), m, ns, snapshot(t, vals))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := of(m, "apps", "web: {size: 1}")
	if len(base) != 43 || !strings.HasPrefix(base, "v1.") {
		t.Errorf("digest %q, want v1. and 40 hex digits", base)
	}
	if again := of(m, "apps", "web: {size: 1}"); again != base {
		t.Error("same inputs, other digest")
	}
	edited := withFiles(t, m, files{"templates/b.yaml": ""})
	for what, got := range map[string]string{
		"values":    of(m, "apps", "web: {size: 2}"),
		"namespace": of(m, "other", "web: {size: 1}"),
		"chart":     of(edited, "apps", "web: {size: 1}"),
	} {
		if got == base {
			t.Errorf("another %s, same digest", what)
		}
	}
}

func TestCapabilitiesCountOnlyForChartsThatReadThem(t *testing.T) {
	t.Parallel()
	c := offline(t)
	plain := aModule(t, "web", files{"templates/a.yaml": configMap})
	reads := aModule(t, "api", files{"templates/a.yaml": `{{ if .Capabilities.APIVersions.Has "apps/v1" }}{{ end }}`})
	p1, r1 := inputs(t, c, plain), inputs(t, c, reads)
	known, _, err := c.caps.get()
	if err != nil {
		t.Fatal(err)
	}
	moved := *known
	moved.APIVersions = append(slices.Clone(moved.APIVersions), "example.org/v1")
	c.caps.known, c.caps.digest = &moved, "moved"
	p2, r2 := inputs(t, c, plain), inputs(t, c, reads)
	if p1 != p2 {
		t.Error("a chart that does not read capabilities has another digest")
	}
	if r1 == r2 {
		t.Error("a chart that reads capabilities has the same digest")
	}
	if mustRender(t, c, plain, "web: {}").ReadsCluster || !mustRender(t, c, reads, "").ReadsCluster {
		t.Error("ReadsCluster is wrong")
	}
}

func inputs(t *testing.T, c *Client, m *module.Descriptor) string {
	t.Helper()
	d, err := c.InputDigest(t.Context(), m, "apps", snapshot(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestRenderingTheSameChartAtOnceIsSafe(t *testing.T) {
	t.Parallel()
	c := offline(t)
	m := aModule(t, "web", files{
		"Chart.yaml":                 "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0, alias: store, condition: web.db}]\n",
		"charts/db/Chart.yaml":       "apiVersion: v2\nname: db\nversion: 1.0.0\n",
		"charts/db/values.yaml":      "a: {b: 1}\n",
		"charts/db/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\n",
		"templates/cm.yaml":          configMap,
	})
	want := mustRender(t, c, m, "web: {size: 1, db: true}").RenderDigest
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			mustRender(t, c, m, "web: {size: 1, db: false}")
			if got := mustRender(t, c, m, "web: {size: 1, db: true}").RenderDigest; got != want {
				t.Error("a render changed the shared chart")
			}
		})
	}
}

// A chart from a registry does not choose what is read from this disk.
func TestChartsFromRegistriesHaveTheirLibrariesWithThem(t *testing.T) {
	t.Parallel()
	const lib = "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n"
	const wantsLib = "apiVersion: v2\nname: web\nversion: 1.2.3\ndependencies: [{name: lib, version: 0.1.0, repository: 'file://../../charts/lib'}]\n"
	m := aModule(t, "web", files{"Chart.yaml": wantsLib, "templates/cm.yaml": configMap})
	m.Origin = module.Origin{Source: "corp", Artifact: "sha256:1"}
	files{"charts/lib/Chart.yaml": lib}.write(t, filepath.Dir(filepath.Dir(m.Dir)))
	if _, err := offline(t).Render(t.Context(), request(t, m, "web: {size: 5}")); err == nil || !strings.Contains(err.Error(), "dependency lib 0.1.0 is not in charts/") {
		t.Errorf("got %v, expected a refusal", err)
	}
	m = withFiles(t, m, files{"charts/lib/Chart.yaml": lib})
	mustRender(t, offline(t), m, "web: {size: 5}")
}

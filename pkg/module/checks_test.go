package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

func readChecks(t *testing.T, text string) (*definition, []HealthCheck, []DriftRule) {
	t.Helper()
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &definition{doc: v.(values.Map)}
	return d, d.healthChecks(), d.driftRules()
}

func TestHealthChecksAndDriftRulesOfADefinition(t *testing.T) {
	d, checks, rules := readChecks(t, `
health:
  - {name: issued, cel: object.status.ready == true, kind: Certificate, group: cert-manager.io}
  - {name: api, http: "http://thing.{{namespace}}.svc:8080/healthz?x=1", interval: 1m}
  - {hook: check.sh, timeout: 1s}
drift:
  ignore:
    - {group: apps, kind: Deployment, name: web, paths: [/spec/replicas, /metadata/labels/x]}
    - {kind: ConfigMap, paths: [/data/*]}
`)
	want := []HealthCheck{
		{Name: "issued", CEL: "object.status.ready == true", Kind: "Certificate", Group: "cert-manager.io"},
		{Name: "api", HTTP: "http://thing.{{namespace}}.svc:8080/healthz?x=1", Interval: time.Minute, Timeout: 5 * time.Second},
		{Name: "check.sh", Hook: "check.sh", Interval: 30 * time.Second, Timeout: time.Second},
	}
	wantRules := []DriftRule{
		{Group: "apps", Kind: "Deployment", ObjectName: "web", Paths: []string{"/spec/replicas", "/metadata/labels/x"}},
		{Kind: "ConfigMap", Paths: []string{"/data/*"}},
	}
	if diff := cmp.Diff(want, checks) + cmp.Diff(wantRules, rules); diff != "" || d.err != nil {
		t.Error(diff, d.err)
	}
}

func TestBadChecksAndRulesNameTheirKey(t *testing.T) {
	for text, want := range map[string]string{
		`health: [{cel: "object.", kind: X}]`:                 "key health: [0]: cel: expected a CEL expression",
		`health: [{cel: "true"}]`:                             "kind: expected the kind",
		`health: [{name: x}]`:                                 "exactly one of cel, http and hook",
		`health: [{http: "http://a", hook: b}]`:               "exactly one of cel, http and hook",
		`health: [{http: "ftp://a"}]`:                         "http: expected a URL",
		`health: [{http: "http://u:p@a"}]`:                    "without credentials",
		`health: [{http: "http://a", interval: 5}]`:           "interval: expected text",
		`health: [{http: "http://a", interval: 10ms}]`:        "interval: expected a duration from 1s",
		`health: [{http: "http://a", kind: X}]`:               "kind is none of them",
		`health: [{name: a, hook: b}, {name: a, hook: c}]`:    `[1]: name: there are two checks "a"`,
		`health: [{hook: ../b}]`:                              "hook: expected the path of a file below the module's directory",
		`health: [{hook: /b}]`:                                "hook: expected the path",
		`health: {}`:                                          "key health: expected a list",
		`drift: {ignore: [{kind: X, paths: [spec]}]}`:         "key drift: ignore[0]: paths: expected a JSON pointer",
		`drift: {ignore: [{paths: [/spec]}]}`:                 "kind: expected the kind",
		`drift: {ignore: [{kind: X}]}`:                        "paths: expected a list",
		`drift: {ignore: [{kind: X, paths: [/a], path: /b}]}`: "path is none of them",
		`drift: [/spec/replicas]`:                             "key drift: expected {ignore",
	} {
		if d, _, _ := readChecks(t, text); d.err == nil || !strings.Contains(d.err.Error(), want) {
			t.Errorf("%s: got %v, expected %s", text, d.err, want)
		}
	}
}

func TestTheExecutableOfACheckIsFoundOrNamed(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{"health/ok.sh": 0o755, "hooks/check.sh": 0o755, "plain.txt": 0o644} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"health/ok.sh": "health/ok.sh", "./health/ok.sh": "health/ok.sh", "check.sh": "hooks/check.sh", "hooks/check.sh": "hooks/check.sh",
		"plain.txt": "plain.txt is not executable: chmod +x it", "health": "health is not executable",
		"none.sh": "[0]: hook: expected the file none.sh in the module's directory or in hooks/",
	} {
		d, checks := &definition{}, []HealthCheck{{Name: name, Hook: name}}
		d.healthFiles(dir, checks)
		if d.err == nil && checks[0].Hook != want || d.err != nil && !strings.Contains(d.err.Error(), want) {
			t.Errorf("%s: %v, %v", name, checks, d.err)
		}
	}
}

// FuzzChecks: no document panics.
func FuzzChecks(f *testing.F) {
	f.Add(`health: [{cel: "true", kind: X}, {http: "http://a"}]`)
	f.Add(`drift: {ignore: [{kind: X, paths: [/a/~0]}]}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var m values.Map
		if yaml.Unmarshal([]byte(text), &m) == nil {
			d := &definition{doc: m}
			d.healthChecks()
			d.driftRules()
		}
	})
}

package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Synthetic is a set of modules made for tests and benchmarks: each has one
// Deployment, ConfigMaps that show a global fact, and a bash hook that copies the
// fact into the module's values.
type Synthetic struct {
	// Modules is how many there are: m000, m001, …
	Modules int
	// ConfigMaps is how many each chart has beside its Deployment; default 8.
	ConfigMaps int
	// Replicas of each Deployment.
	Replicas int
	// DistinctWeights gives module i the weight 100+i; otherwise all have 100.
	DistinctWeights bool
	// Broken lists modules whose hook fails, Hanging those whose hook never ends.
	Broken, Hanging []int
	// NoHooks leaves the modules' hooks out.
	NoHooks bool
}

// FactNamespace and FactName are the ConfigMap that the global hook reads the fact from.
const (
	FactNamespace = "facts"
	FactName      = "fact"
)

// Name is the name of module i.
func (s Synthetic) Name(i int) string { return fmt.Sprintf("m%03d", i) }

// Dir is the directory of module i below the modules directory.
func (s Synthetic) Dir(i int) string {
	weight := 100
	if s.DistinctWeights {
		weight += i
	}
	return fmt.Sprintf("%d-%s", weight, s.Name(i))
}

// Write makes dir/modules and dir/global-hooks.
func (s Synthetic) Write(dir string) error {
	if s.ConfigMaps == 0 {
		s.ConfigMaps = 8
	}
	w := writer{root: dir}
	w.file("global-hooks/hooks/010-fact.sh", 0o755, globalHook)
	flags := &strings.Builder{}
	fmt.Fprintln(flags, "global: {fact: none}")
	for i := range s.Modules {
		fmt.Fprintf(flags, "%sEnabled: true\n", s.Name(i))
		s.module(&w, i)
	}
	w.file("modules/values.yaml", 0o644, flags.String())
	return w.err
}

func (s Synthetic) module(w *writer, i int) {
	name, dir := s.Name(i), "modules/"+s.Dir(i)
	w.file(dir+"/Chart.yaml", 0o644, fmt.Sprintf("apiVersion: v2\nname: %s\nversion: 0.0.1\n", name))
	w.file(dir+"/values.yaml", 0o644, fmt.Sprintf("%s: {replicas: %d, note: none, seen: none}\n", name, s.Replicas))
	if !s.NoHooks {
		w.file(dir+"/hooks/before.sh", 0o755, fmt.Sprintf(moduleHook, s.trouble(i), name))
	}
	chart := &strings.Builder{}
	fmt.Fprintf(chart, deployment, name)
	for c := range s.ConfigMaps {
		fmt.Fprintf(chart, configMap, name, c)
	}
	w.file(dir+"/templates/all.yaml", 0o644, chart.String())
}

func (s Synthetic) trouble(i int) string {
	for _, b := range s.Broken {
		if b == i {
			return `echo "this hook is broken on purpose" >&2; exit 1`
		}
	}
	for _, h := range s.Hanging {
		if h == i {
			return "sleep 3600"
		}
	}
	return ":"
}

const globalHook = `#!/usr/bin/env bash
set -euo pipefail
if [[ ${1:-} == --config ]]; then
  cat <<'YAML'
configVersion: v1
beforeAll: 10
kubernetes:
- name: fact
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [facts]}}
  nameSelector: {matchNames: [fact]}
  jqFilter: .data.fact
  includeSnapshotsFrom: [fact]
YAML
  exit 0
fi
fact=$(jq -r '[.[-1].snapshots.fact[]?.filterResult] | first // "none"' "$BINDING_CONTEXT_PATH")
printf '[{"op":"add","path":"/global/fact","value":"%s"}]' "$fact" > "$VALUES_JSON_PATCH_PATH"
`

const moduleHook = `#!/usr/bin/env bash
set -euo pipefail
if [[ ${1:-} == --config ]]; then
  echo '{"configVersion":"v1","beforeHelm":10}'; exit 0
fi
%[1]s
fact=$(jq -r .global.fact "$VALUES_PATH")
printf '[{"op":"add","path":"/%[2]s/seen","value":"%%s"}]' "$fact" > "$VALUES_JSON_PATCH_PATH"
`

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: {{ .Release.Namespace }}}
spec:
  replicas: {{ .Values.%[1]s.replicas }}
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec: {containers: [{name: main, image: "registry.invalid/%[1]s:1"}]}
`

const configMap = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s-%[2]d, namespace: {{ .Release.Namespace }}}
data: {fact: {{ .Values.%[1]s.seen | quote }}, note: {{ .Values.%[1]s.note | quote }}, index: "%[2]d"}
`

type writer struct {
	root string
	err  error
}

func (w *writer) file(path string, mode os.FileMode, text string) {
	if w.err != nil {
		return
	}
	full := filepath.Join(w.root, path)
	if w.err = os.MkdirAll(filepath.Dir(full), 0o755); w.err != nil {
		return
	}
	w.err = os.WriteFile(full, []byte(text), mode)
}

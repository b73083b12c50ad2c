package hooktest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	// The thread that the control plane is tied to lives as long as the process.
	if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/addon-operator/addon-operator/pkg/testkit.Start.func1")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// hookText is a bash hook with a configuration and what it does.
func hookText(config, body string) string {
	return "#!/usr/bin/env bash\nset -euo pipefail\nif [[ ${1-} == --config ]]; then\ncat <<'YAML'\n" + config + "\nYAML\nexit 0\nfi\n" + body + "\n"
}

// tree puts files below a new directory; those that begin with #! are executable.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func desk(t *testing.T) *Desk {
	t.Helper()
	d := New(Config{TempDir: t.TempDir()})
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// play runs a case that is the only one of its file.
func play(t *testing.T, root, text string) (Result, error) {
	t.Helper()
	cases, err := ParseCases(filepath.Join(root, "x.case.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return desk(t).Run(t.Context(), cases[0].Scene)
}

const podsConfig = `configVersion: v1
onStartup: 1
kubernetes:
  - {name: pods, apiVersion: v1, kind: Pod, labelSelector: {matchLabels: {app: a}}, jqFilter: .spec.nodeName, keepFullObjectsInMemory: false, executeHookOnEvent: [Added, Deleted]}
  - {name: maps, kind: configmaps, namespace: {labelSelector: {matchLabels: {team: x}}}, group: g, jqFilter: .metadata.name, keepFullObjectsInMemory: false}
  - {name: one, apiVersion: v1, kind: Secret, nameSelector: {matchNames: [s]}, namespace: {nameSelector: {matchNames: [default]}}, executeHookOnSynchronization: false}
  - {name: running, kind: Pod, fieldSelector: {matchExpressions: [{field: status.phase, operator: "=", value: Running}]}, jqFilter: .metadata.name, keepFullObjectsInMemory: false}
schedule:
  - {name: often, crontab: "*/5 * * * *", includeSnapshotsFrom: [pods]}
  - {name: together, crontab: "*/5 * * * *", group: g}`

const podsObjects = `
objects:
  - {kind: Pod, metadata: {name: p2, namespace: default, labels: {app: a}}, spec: {nodeName: n2}, status: {phase: Running}}
  - {kind: Pod, metadata: {name: p1, namespace: default, labels: {app: a}}, spec: {nodeName: n1}}
  - {kind: Pod, metadata: {name: p3, namespace: default, labels: {app: b}}, spec: {nodeName: n3}}
  - {kind: Namespace, metadata: {name: in, labels: {team: x}}}
  - {kind: ConfigMap, metadata: {name: c1, namespace: in}}
  - {kind: ConfigMap, metadata: {name: c2, namespace: out}}
  - {kind: Secret, metadata: {name: s, namespace: default}, data: {num: 5}}
`

// C-121, C-122, C-123, C-124, C-125, C-130, C-131, C-134, C-135, C-140, C-141: contexts are those that the operator would make.
func TestContextsOfObjectsFromFiles(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"hooks/x.sh": hookText(podsConfig, `cat "$BINDING_CONTEXT_PATH"`)})
	snapshotPods := `[{"filterResult":"n1"},{"filterResult":"n2"}]`
	for name, test := range map[string]struct {
		trigger string
		want    []string // of each run
		fails   string
	}{
		"a start": {"", []string{
			`[{"binding":"onStartup"}]`,
			`[{"binding":"pods","type":"Synchronization","objects":` + snapshotPods + `}]`,
			`[{"binding":"maps","type":"Group","groupName":"g","snapshots":{"maps":[{"filterResult":"c1"}]}}]`,
			`[{"binding":"running","type":"Synchronization","objects":[{"filterResult":"p2"}]}]`,
		}, ""},
		"onStartup":                {"binding: onStartup", []string{`[{"binding":"onStartup"}]`}, ""},
		"Synchronization of one":   {"binding: pods", []string{`[{"binding":"pods","type":"Synchronization","objects":` + snapshotPods + `}]`}, ""},
		"a schedule":               {"binding: often", []string{`[{"binding":"often","type":"Schedule","snapshots":{"pods":` + snapshotPods + `}}]`}, ""},
		"a schedule of a group":    {"binding: together", []string{`[{"binding":"together","type":"Group","groupName":"g","snapshots":{"maps":[{"filterResult":"c1"}]}}]`}, ""},
		"an event shows the whole": {"binding: one\nevent: Modified", []string{`[{"binding":"one","type":"Event","watchEvent":"Modified","object":{"apiVersion":"v1","data":{"num":5},"kind":"Secret","metadata":{"name":"s","namespace":"default"}}}]`}, ""},
		"a deleted object": {"binding: pods\nevent: Deleted\nobject: {kind: Pod, metadata: {name: p1, namespace: default, labels: {app: a}}, spec: {nodeName: n1}}",
			[]string{`[{"binding":"pods","type":"Event","watchEvent":"Deleted","filterResult":"n1"}]`}, ""},
		"an event of a group sees the new object": {"binding: maps\nevent: Added\nobject: {kind: ConfigMap, metadata: {name: c3, namespace: in}}",
			[]string{`[{"binding":"maps","type":"Group","groupName":"g","snapshots":{"maps":[{"filterResult":"c1"},{"filterResult":"c3"}]}}]`}, ""},
		"an event that is not listened to":  {"binding: pods\nevent: Modified\nobject: {kind: Pod, metadata: {name: p1}}", nil, "it listens to [Added Deleted]"},
		"an object that is not selected":    {"binding: pods\nevent: Added\nobject: {kind: Pod, metadata: {name: p1}}", nil, "does not select Pod p1"},
		"an event of one of several":        {"binding: pods\nevent: Added", nil, "selects 2 of the objects"},
		"no such binding":                   {"binding: podz", nil, "it has onStartup, pods, maps, one, running, often, together"},
		"no Synchronization":                {"binding: one", nil, "not run for Synchronization"},
		"an event without a binding":        {"event: Added", nil, "needs the binding"},
		"an object without an event":        {"binding: pods\nobject: {kind: Pod, metadata: {name: p1}}", nil, "needs an event"},
		"a start with what no binding asks": {"review: {request: {}}", nil, "needs the binding"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := play(t, root, "hook: hooks/x.sh\n"+test.trigger+podsObjects)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Fatalf("error is %v, want one that says %q", err, test.fails)
				}
				return
			}
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			var got []string
			for _, st := range r.Steps {
				got = append(got, string(st.Contexts))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("contexts (-want +got):\n%s", diff)
			}
		})
	}
}

// C-165, C-166, C-167: what is combined depends on the owner, on queues and on groups.
func TestSynchronizationsAreCombinedAsTheOperatorDoes(t *testing.T) {
	t.Parallel()
	spec, err := hook.ParseConfig([]byte(`configVersion: v1
kubernetes:
  - {name: a, kind: Pod}
  - {name: b, kind: Pod, group: g}
  - {name: c, kind: Pod, group: g}
  - {name: d, kind: Pod, queue: q}
  - {name: e, kind: Pod, queue: q, waitForSynchronization: false}
  - {name: f, kind: Pod}`), hook.Global)
	if err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[hook.Owner]string{hook.Global: "ac f|d|e", hook.Standalone: "a|c|d|e|f"} {
		var got []string
		for _, st := range synchronizations(owner, spec) {
			names := ""
			for _, c := range st.contexts {
				names += c.Binding
			}
			got = append(got, names)
		}
		if text := strings.Join(got, "|"); text != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: runs are %s, want %s", owner, text, want)
		}
	}
}

// C-129: the first generation.
func TestAV0HookIsRunForEvents(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"hooks/x.sh": hookText(`onKubernetesEvent: [{kind: namespace, event: [add]}]`, ":")})
	r, err := play(t, root, "hook: hooks/x.sh\nbinding: onKubernetesEvent\nevent: Added\nobject: {kind: Namespace, metadata: {name: a}}")
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	want := `[{"binding":"onKubernetesEvent","resourceEvent":"add","resourceNamespace":"","resourceKind":"Namespace","resourceName":"a"}]`
	if got := string(r.Steps[0].Contexts); got != want {
		t.Errorf("context is %s, want %s", got, want)
	}
	if _, err := play(t, root, "hook: hooks/x.sh"); err == nil || !strings.Contains(err.Error(), "nothing runs this hook at a start") {
		t.Errorf("a start: %v", err)
	}
}

// A module with settings, defaults of both schemas, and a secret.
func moduleTree(t *testing.T, config, body string) string {
	return tree(t, map[string]string{
		"modules/values.yaml":                              "global: {zone: a}\nmyModule: {common: 1, own: 1}\n",
		"modules/010-my-module/module.yaml":                "namespace: x\ninputs: [global.zone, global.enabledModules]\n",
		"modules/010-my-module/values.yaml":                "myModule: {own: 2}\n",
		"modules/010-my-module/openapi/config-values.yaml": "type: object\nproperties:\n  size: {type: integer, default: 3}\n  password: {type: string, minLength: 4, x-secret: true}\n  common: {type: integer}\n  own: {type: integer}\n",
		"modules/010-my-module/openapi/values.yaml":        "x-extend: {schema: config-values.yaml}\ntype: object\nproperties:\n  internal: {type: object, default: {}, properties: {num: {type: integer}, token: {type: string, x-secret: true}}}\n",
		"global-hooks/openapi/values.yaml":                 "type: object\nproperties: {zone: {type: string}, other: {type: string, default: o}, enabledModules: {type: array, items: {type: string}}}\n",
		"modules/010-my-module/hooks/x.sh":                 hookText(config, body),
	})
}

// C-106, C-298: an author needs no file of values.
func TestValuesAreThoseOfTheModule(t *testing.T) {
	t.Parallel()
	root := moduleTree(t, "configVersion: v1\nbeforeHelm: 1", `jq -c . "$VALUES_PATH" "$CONFIG_VALUES_PATH"`)
	for name, test := range map[string]struct{ given, values, config string }{
		"nothing given": {"", `{"global":{"enabledModules":["my-module"],"zone":"a"},"myModule":{"common":1,"internal":{},"own":2,"size":3}}`, `{"global":null,"myModule":null}`},
		"settings and values": {"configValues: {myModule: {size: 5}}\nvalues: {global: {zone: b, enabledModules: [x]}, myModule: {internal: {num: 1}}}",
			`{"global":{"enabledModules":["x"],"zone":"b"},"myModule":{"common":1,"internal":{"num":1},"own":2,"size":5}}`, `{"global":null,"myModule":{"size":5}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := play(t, root, "hook: modules/010-my-module/hooks/x.sh\n"+test.given)
			if err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			vals, _ := compact(r.Before)
			config, _ := compact(r.SettingsBefore)
			if string(vals) != test.values || string(config) != test.config {
				t.Errorf("values are\n%s\n%s\nwant\n%s\n%s", vals, config, test.values, test.config)
			}
			if len(r.Log) != 2 {
				t.Errorf("the hook saw %v", r.Log)
			}
		})
	}
	for given, want := range map[string]string{
		"values: {other: {}}":                        "values have the key other: expected global and myModule",
		"configValues: {myModule: {password: abc}}":  "at least 4 chars",
		"configValues: {myModule: {siz: 3}}":         "siz",
		"values: {myModule: 5}":                      "should be an object",
		"owner: standalone":                          "beforeHelm is a forbidden property",
		"contexts: '[]'\nconfigValues: {global: []}": "should be an object",
	} {
		if _, err := play(t, root, "hook: modules/010-my-module/hooks/x.sh\n"+given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want one that says %q", given, err, want)
		}
	}
}

// C-108, C-322, C-323: output is checked as the operator does, and before any of it counts.
func TestOutputIsCheckedLikeTheOperatorDoes(t *testing.T) {
	t.Parallel()
	alone := tree(t, map[string]string{"hooks/x.sh": hookText("configVersion: v1\nonStartup: 1", ":")})
	if _, err := play(t, alone, "hook: hooks/x.sh\nvalues: {global: {}}"); err == nil || !strings.Contains(err.Error(), "hooks without modules have no values") {
		t.Errorf("values without modules: %v", err)
	}
	for name, test := range map[string]struct{ body, error string }{
		"a path of somebody else":  {`echo '{"op":"add","path":"/global/x","value":1}' >$VALUES_JSON_PATCH_PATH`, "unacceptable patch operation for path '/global/x'"},
		"an absent parent":         {`echo '{"op":"add","path":"/myModule/a/b","value":1}' >$VALUES_JSON_PATCH_PATH`, "path is absent"},
		"a value of a wrong type":  {`echo '{"op":"add","path":"/myModule/internal/num","value":"x"}' >$VALUES_JSON_PATCH_PATH`, "internal.num"},
		"settings of a wrong type": {`echo '{"op":"add","path":"/myModule/size","value":"x"}' >$CONFIG_VALUES_JSON_PATCH_PATH`, "size"},
		"no JSON":                  {`echo x >$METRICS_PATH`, "bad METRICS_PATH"},
		"an exit status":           {`echo out of luck >&2; exit 3`, "exit status 3"},
		"an unknown operation":     {`echo '{"operation":"Make"}' >$KUBERNETES_PATCH_PATH`, "operation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := moduleTree(t, "configVersion: v1\nbeforeHelm: 1", test.body)
			r, err := play(t, root, "hook: modules/010-my-module/hooks/x.sh")
			if err != nil {
				t.Fatal(err)
			}
			if r.Err == nil || !strings.Contains(r.Err.Error(), test.error) {
				t.Fatalf("the run's error is %v, want %q", r.Err, test.error)
			}
			if record := r.Record(false); len(record) != 1 || record[recordError] == nil {
				t.Errorf("record is %v, want the error alone", record)
			}
		})
	}
}

const busyBody = `cat >"$VALUES_JSON_PATCH_PATH" <<'J'
[{"op":"add","path":"/myModule/internal","value":{"num":7,"token":"t0ps3cret"}},{"op":"remove","path":"/myModule/common"}]
J
echo '{"op":"add","path":"/myModule/password","value":"s3cretpass"}' >"$CONFIG_VALUES_JSON_PATCH_PATH"
cat >"$KUBERNETES_PATCH_PATH" <<'J'
{"operation":"CreateOrUpdate","object":{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s","namespace":"d"},"stringData":{"k":"t0ps3cret"}}}
{"operation":"MergePatch","kind":"ConfigMap","name":"c","namespace":"d","mergePatch":{"data":{"b":"2"}}}
{"operation":"JQPatch","kind":"ConfigMap","name":"c","namespace":"d","jqFilter":".data.c = .data.b"}
{"operation":"Delete","kind":"Pod","name":"gone","namespace":"d"}
{"operation":"JSONPatch","kind":"ConfigMap","name":"absent","namespace":"d","jsonPatch":[{"op":"remove","path":"/data/a"}]}
J
echo '{"name":"m","set":4,"labels":{"a":"b"}}' >"$METRICS_PATH"
echo '{"level":"warning","msg":"careful","n":1}' >&2`

func TestWhatIsShownHasNoSecrets(t *testing.T) {
	t.Parallel()
	root := moduleTree(t, "configVersion: v1\nbeforeHelm: 1", busyBody)
	r, err := play(t, root, "hook: modules/010-my-module/hooks/x.sh\nobjects:\n- {kind: ConfigMap, metadata: {name: c, namespace: d}, data: {a: \"1\"}}\n")
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	objects := []Object{
		{"apiVersion": "v1", "kind": "ConfigMap", "metadata": Object{"name": "c", "namespace": "d", "uid": "1"}, "data": Object{"a": "1"}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": Object{"name": "s", "namespace": "d"}, "data": Object{"k": "b2xk"}},
	}
	var b bytes.Buffer
	r.Write(&b, Show{Live: LiveIn(objects), Contexts: true})
	got := regexp.MustCompile(`time .*`).ReplaceAllString(b.String(), "time …")
	for _, secret := range []string{"t0ps3cret", "s3cretpass", "b2xk"} {
		if strings.Contains(got, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
	want := `== run: beforeHelm
[
  {
    "binding": "beforeHelm",
    "snapshots": {}
  }
]
time …

== log
WARN  stderr: careful n=1

== values: 2 operations
--- before
+++ after
@@ -3,7 +3,9 @@
   - my-module
   zone: a
 myModule:
-  common: 1
-  internal: {}
+  internal:
+    num: 7
+    token: '*****'
   own: 2
+  password: '*****'
   size: 3

== settings (ConfigMap): 1 operations
--- before
+++ after
@@ -1,2 +1,3 @@
 global: null
-myModule: null
+myModule:
+  password: '*****'

== object operations: 5, none of them done
---
object:
  apiVersion: v1
  kind: Secret
  metadata:
    name: s
    namespace: d
  stringData:
    k: '*****'
operation: CreateOrUpdate
--- live
+++ after
@@ -1,7 +1,7 @@
 apiVersion: v1
-data:
-  k: '*****'
 kind: Secret
 metadata:
   name: s
   namespace: d
+stringData:
+  k: '*****'
---
kind: ConfigMap
mergePatch:
  data:
    b: "2"
name: c
namespace: d
operation: MergePatch
--- live
+++ after
@@ -1,6 +1,7 @@
 apiVersion: v1
 data:
   a: "1"
+  b: "2"
 kind: ConfigMap
 metadata:
   name: c
---
jqFilter: .data.c = .data.b
kind: ConfigMap
name: c
namespace: d
operation: JQPatch
--- live
+++ after
@@ -2,6 +2,7 @@
 data:
   a: "1"
   b: "2"
+  c: "2"
 kind: ConfigMap
 metadata:
   name: c
---
kind: Pod
name: gone
namespace: d
operation: Delete
# there is no such object: nothing would change
---
jsonPatch:
- op: remove
  path: /data/a
kind: ConfigMap
name: absent
namespace: d
operation: JSONPatch
# would fail: there is no such object: set ignoreMissingObject: true if that is fine

== metrics
- action: set
  labels:
    a: b
  name: m
  value: 4
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// C-126, C-127, C-246, C-258.
func TestReviewsAreAnswered(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"hooks/x.sh": hookText(`configVersion: v1
kubernetesValidating:
  - {name: check.example.com, rules: [{apiGroups: [""], apiVersions: [v1], resources: [pods], operations: [CREATE]}]}
kubernetesCustomResourceConversion:
  - {name: conv, crdName: things.example.com, conversions: [{fromVersion: example.com/v1, toVersion: example.com/v2}]}`,
		`case $(jq -r '.[0].type' "$BINDING_CONTEXT_PATH") in
Validating) [[ $(jq -r '.[0].review.request.object.metadata.name' "$BINDING_CONTEXT_PATH") != silent ]] || exit 0
  echo '{"allowed":false,"message":"no"}' >"$VALIDATING_RESPONSE_PATH";;
*) jq '{convertedObjects: [.[0].review.request.objects[] | .apiVersion = "example.com/v2"]}' "$BINDING_CONTEXT_PATH" >"$CONVERSION_RESPONSE_PATH";;
esac`)})
	for name, test := range map[string]struct{ given, want string }{
		"validation":        {"binding: check.example.com\nreview: {request: {uid: a, object: {metadata: {name: x}}}}", "admission:\n  allowed: false\n  message: \"no\"\n"},
		"the request alone": {"binding: check.example.com\nreview: {uid: a, object: {metadata: {name: x}}}", "admission:\n  allowed: false\n  message: \"no\"\n"},
		"no answer":         {"binding: check.example.com\nreview: {request: {object: {metadata: {name: silent}}}}", "error: 'it did not answer the review: ADMISSION_RESPONSE_PATH is empty'\n"},
		"conversion":        {"binding: conv\nreview: {request: {objects: [{apiVersion: example.com/v1, num: 1}]}}", "conversion:\n  convertedObjects:\n  - apiVersion: example.com/v2\n    num: 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := play(t, root, "hook: hooks/x.sh\n"+test.given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, YAML(plain(r.Record(false)))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := play(t, root, "hook: hooks/x.sh\nbinding: check.example.com"); err == nil || !strings.Contains(err.Error(), "give one") {
		t.Errorf("without a review: %v", err)
	}
	if _, err := play(t, root, "hook: hooks/x.sh\nbinding: conv\nfromVersion: v3\ntoVersion: v4\nreview: {request: {}}"); err == nil || !strings.Contains(err.Error(), "has no conversion") {
		t.Errorf("an unknown step: %v", err)
	}
}

// C-328: flags are apart from values.
func TestFlagsOfGlobalHooksAreShownApart(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"global-hooks/hooks/x.sh": hookText("configVersion: v1\nbeforeAll: 1",
		`echo '[{"op":"add","path":"/certManagerEnabled","value":true},{"op":"add","path":"/global/x","value":1}]' >"$VALUES_JSON_PATCH_PATH"`)})
	r, err := play(t, root, "hook: global-hooks/hooks/x.sh")
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if diff := cmp.Diff("enabled:\n  certManagerEnabled: true\nvalues:\n- op: add\n  path: /global/x\n  value: 1\n", YAML(plain(r.Record(false)))); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// A run sees what those before it changed, as at a start of the operator.
func TestRunsOfAStartBuildOnEachOther(t *testing.T) {
	t.Parallel()
	root := moduleTree(t, "configVersion: v1\nonStartup: 1\nbeforeHelm: 1",
		`jq '{op: "add", path: "/myModule/internal/num", value: ((.myModule.internal.num // 0) + 1)}' "$VALUES_PATH" >"$VALUES_JSON_PATCH_PATH"`)
	r, err := play(t, root, "hook: modules/010-my-module/hooks/x.sh")
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	if n, _ := values.Get(r.After, "myModule", "internal", "num"); n != int64(2) || len(r.Steps) != 2 {
		t.Errorf("n is %v after %d runs, want 2 after 2", n, len(r.Steps))
	}
}

func TestVariablesOfACaseReachItsHookAlone(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"hooks/x.sh": hookText("configVersion: v1\nonStartup: 1", `echo "{\"name\":\"m_${MINE:-none}\",\"set\":1}" >"$METRICS_PATH"`),
		"x.case.yaml": `hook: hooks/x.sh
cases:
  - {name: with, env: {MINE: here}, want: {metrics: [{name: m_here, action: set, value: 1}]}}
  - {name: without, want: {metrics: [{name: m_none, action: set, value: 1}]}}
`})
	report, err := Test(t.Context(), desk(t), []string{root}, Options{})
	if err != nil || report.Failed() != 0 {
		var b bytes.Buffer
		report.Write(&b, true)
		t.Errorf("%v\n%s", err, &b)
	}
}

func TestCasesAreComparedAndGoldenFilesWritten(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"hooks/x.sh": hookText("configVersion: v1\nkubernetes: [{name: pods, kind: Pod, jqFilter: .metadata.name, keepFullObjectsInMemory: false}]",
			`jq -c '.[0].objects[] | {name: "pod", set: 1, labels: {name: .filterResult}}' "$BINDING_CONTEXT_PATH" >"$METRICS_PATH"; echo seen`),
		"a/case.yaml":   "hook: ../hooks/x.sh\nobjects: pods.yaml\n",
		"a/pods.yaml":   "kind: Pod\nmetadata: {name: p1}\n---\nkind: Pod\nmetadata: {name: p2}\n",
		"b.case.yaml":   "hook: hooks/x.sh\ncases:\n- {name: one, objects: [{kind: Pod, metadata: {name: p1}}]}\n- {name: none}\n- {name: mine, objects: a/pods.yaml, want: {metrics: []}}\n",
		"b.golden.yaml": "one:\n  log: se+n\n  metrics:\n  - {action: set, name: pod, labels: {name: {$match: ^p}}, value: 2}\nold: {}\n",
	})
	d := desk(t)
	report, err := Test(t.Context(), d, []string{root}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, o := range report.Outcomes {
		problems = append(problems, o.Problem)
	}
	for i, want := range []string{"nothing is expected of it", "-  value: 2\n+  value: 1\n", "nothing is expected of it", "+metrics:\n"} {
		if !strings.Contains(problems[i], want) {
			t.Errorf("problem of case %d is %q, want %q", i, problems[i], want)
		}
	}
	// Only what is asked for is run and written.
	only := regexp.MustCompile(`: one$|case\.yaml$`)
	if report, err = Test(t.Context(), d, []string{root}, Options{Update: true, Only: only}); err != nil || report.Failed() != 0 {
		t.Fatal(err, report)
	}
	golden, err := os.ReadFile(filepath.Join(root, "b.golden.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := "one:\n  log: se+n\n  metrics:\n  - action: set\n    labels:\n      name:\n        $match: ^p\n    name: pod\n    value: 1\n"
	if diff := cmp.Diff(want, string(golden)); diff != "" {
		t.Errorf("golden file (-want +got):\n%s", diff)
	}
	if golden, err = os.ReadFile(filepath.Join(root, "a/golden.yaml")); err != nil || !strings.Contains(string(golden), "name: p2") {
		t.Errorf("golden file of the directory: %v\n%s", err, golden)
	}
	if report, err = Test(t.Context(), d, []string{root}, Options{Update: true}); err != nil || report.Failed() != 1 {
		t.Errorf("only the case with a want of its own should fail: %v", err)
	}
	if report, err = Test(t.Context(), d, []string{root}, Options{Only: regexp.MustCompile("one|none|case.yaml$")}); err != nil || report.Failed() != 0 {
		var b bytes.Buffer
		report.Write(&b, true)
		t.Errorf("after the update: %v\n%s", err, &b)
	}
}

func TestBrokenCasesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"hooks/x.sh": hookText("configVersion: v1\nonStartup: 1", ":"), "bad.yaml": "a: ["})
	for text, want := range map[string]string{
		"":                               "expected an object",
		"- 1":                            "expected an object",
		"a: [":                           "line",
		"binding: x":                     "hook is required",
		"hook: hooks/y.sh":               "no such file",
		"hook: 5":                        "hook: expected a string",
		"hook: hooks/x.sh\nhok: x":       "hok is no key of a case",
		"hook: hooks/x.sh\nevent: added": "expected Added, Modified or Deleted",
		"hook: hooks/x.sh\nobjects: [{kind: Pod}]":                 "needs kind and metadata.name",
		"hook: hooks/x.sh\nobjects: none.yaml":                     "no such file",
		"hook: hooks/x.sh\nobject: [1]":                            "expected an object",
		"hook: hooks/x.sh\nvalues: bad.yaml":                       "bad.yaml",
		"hook: hooks/x.sh\nvalues: [1]":                            "expected an object with the keys global",
		"hook: hooks/x.sh\nenv: {a=b: c}":                          "no name of a variable",
		"hook: hooks/x.sh\ncontexts: 5":                            "expected a list",
		"hook: hooks/x.sh\ncontexts: []\nbinding: a":               "exclude each other",
		"hook: hooks/x.sh\nowner: A_B":                             "expected global, standalone or a module's name",
		"hook: hooks/x.sh\nwant: {metric: []}":                     "metric is no key of a result",
		"hook: hooks/x.sh\nwant: {error: {$match: '('}}":           "missing closing",
		"hook: hooks/x.sh\nwant: {log: ['(']}":                     "missing closing",
		"hook: hooks/x.sh\ncases: []":                              "expected a list of cases",
		"hook: hooks/x.sh\ncases: [{}]":                            "give it a name",
		"hook: hooks/x.sh\ncases: [{name: a}, {name: a}]":          "give it a name that no other",
		"hook: hooks/x.sh\ncases: [{name: a, cases: [{name: b}]}]": "no cases of their own",
	} {
		_, err := ParseCases(filepath.Join(root, "x.case.yaml"), []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want %q", text, err, want)
		}
	}
	if _, err := FindCases([]string{root}); err == nil || !strings.Contains(err.Error(), "case.yaml or NAME.case.yaml") {
		t.Errorf("a directory without cases: %v", err)
	}
}

func TestKindsOfBindingsMeanThoseOfObjects(t *testing.T) {
	t.Parallel()
	for wanted, kind := range map[string]string{"pod": "Pod", "pods": "Pod", "PO": "Pod", "ingresses": "Ingress", "networkpolicies": "NetworkPolicy",
		"svc": "Service", "endpoints": "Endpoints", "storageclasses": "StorageClass", "deploy": "Deployment", "crd": "CustomResourceDefinition"} {
		if !isKind(wanted, kind) {
			t.Errorf("%s should mean %s", wanted, kind)
		}
	}
	if isKind("pod", "PodTemplate") || isKind("Service", "ServiceAccount") {
		t.Error("kinds that begin alike are taken for one")
	}
}

func TestPatternsSeeSecretsAndLeaveTheRestMasked(t *testing.T) {
	t.Parallel()
	shown := map[string]any{"a": masked, "b": []any{masked, "x"}, "c": masked}
	raw := map[string]any{"a": "long-enough", "b": []any{"short", "x"}, "c": "other"}
	want := map[string]any{"a": map[string]any{matchKey: "^.{8,}$"}, "b": []any{map[string]any{matchKey: "^.{8,}$"}, "x"}, "d": 1}
	got := settle(want, shown, raw)
	expected := map[string]any{"a": want["a"], "b": []any{masked, "x"}, "c": masked}
	if diff := cmp.Diff(any(expected), got); diff != "" {
		t.Errorf("settled (-want +got):\n%s", diff)
	}
}

// FuzzParseCases: text that is not a case is an error, and a case can be compared with itself.
func FuzzParseCases(f *testing.F) {
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "hooks"), 0o755); err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hooks/x.sh"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		"hook: hooks/x.sh\nbinding: a\nevent: Added\nobject: {kind: Pod, metadata: {name: a}}\nwant: {values: [{op: add, path: /a, value: {$match: x}}]}",
		"hook: hooks/x.sh\ncases:\n- {name: a, objects: [{kind: List, items: [{kind: Pod, metadata: {name: b}}]}], env: {A: 1}, want: {}}",
		"hook: hooks/x.sh\ncontexts: [{binding: a}]\nvalues: {global: {a: &x [1, *x]}}", "hook: hooks/x.sh\nreview: {request: {}}", "a: {<<: *a}", "cases: [1]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte("..")) || bytes.Contains(text, []byte("dev")) || bytes.Contains(text, []byte("proc")) {
			return // files of the machine are no part of this
		}
		cases, err := ParseCases(filepath.Join(dir, "x.case.yaml"), text)
		if err != nil {
			return
		}
		for _, c := range cases {
			if c.Scene.Hook == "" {
				t.Errorf("a case without a hook: %+v", c)
			}
			if got := settle(plain(c.Want), plain(c.Want), plain(c.Want)); YAML(got) != YAML(plain(c.Want)) {
				t.Errorf("%v does not equal itself: %v", c.Want, got)
			}
			spec := hook.Spec{Version: "v1", Kubernetes: []hook.Kubernetes{{Route: hook.Route{Name: c.Scene.Binding}, Kind: "Pod", Events: []hook.WatchEvent{hook.Added}, OnSynchronization: true}}}
			steps, err := c.Scene.steps(hook.Global, spec)
			for _, st := range steps {
				if err != nil || c.Scene.Contexts != nil {
					continue
				}
				contexts, err := contextsOf(spec, st, files{c.Scene.Objects}.snapshot)
				if err == nil && !json.Valid(contexts) {
					t.Errorf("contexts are not JSON: %s", contexts)
				}
			}
			PreviewAll([]hook.Operation{{Verb: hook.Create, Kind: "Pod", Name: "a", Object: Object{"kind": "Pod"}}}, LiveIn(c.Scene.Objects), nil)
		}
	})
}

// FuzzParseObjects: what is read as objects has a kind and a name, and can be selected from.
func FuzzParseObjects(f *testing.F) {
	for _, seed := range []string{
		"kind: Pod\nmetadata: {name: a}\n---\nkind: List\nitems: [{kind: Node, metadata: {name: b, labels: {a: 1}}}]", "{}", "- 1", "---\n---\n", "items: [{items: []}]",
		`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"a","namespace":1},"data":{"a":5}}`,
	} {
		f.Add([]byte(seed), "metadata.name=a,status.phase!=x")
	}
	f.Fuzz(func(t *testing.T, text []byte, selector string) {
		objects, err := ParseObjects(text)
		if err != nil {
			return
		}
		for _, o := range objects {
			if o["kind"] == "" || describe(o) == "" {
				t.Errorf("%v has no kind", o)
			}
			_, _ = matchesFields(selector, o)
			Preview{Before: o, After: Object{"kind": "Secret", "data": Object{"a": "b"}}}.Diff()
		}
		items, err := files{objects}.snapshot(hook.Kubernetes{Kind: "pods", KeepFullObjects: true})
		if err == nil && !json.Valid(hook.MarshalItems(items)) {
			t.Error("the snapshot is not JSON")
		}
	})
}

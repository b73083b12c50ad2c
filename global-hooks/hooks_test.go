package hooks_test

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write testdata/facts from what the hooks say now")

// TestFactsOfNodeManifests runs the hooks that look at nodes on every file of testdata/nodes. The facts they must state are in
// global-hooks/testdata/facts.
func TestFactsOfNodeManifests(t *testing.T) {
	files, err := filepath.Glob("../testdata/nodes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no node manifests in testdata/nodes (%v)", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := readObjects(t, file)
			facts := map[string]any{}
			for _, key := range []string{"cloud", "nodes", "network"} {
				facts[key] = bashHook(t, key).fact(t, key, objects)
			}
			golden := filepath.Join("testdata", "facts", name+".yaml")
			if *update {
				writeGolden(t, golden, facts)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: run with -update and check what it wrote", err)
			}
			if diff := cmp.Diff(fromYAML(t, string(want)), any(facts)); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func writeGolden(t *testing.T, path string, facts map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

const kubeadmConfig = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kubeadm-config, namespace: kube-system}
data:
  ClusterConfiguration: |
    apiServer: {}
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: ClusterConfiguration
    kubernetesVersion: v1.36.3
    networking:
      dnsDomain: k8s.example.com
      podSubnet: 10.244.0.0/16,fd00:10:244::/56
      serviceSubnet: "10.96.0.0/12"
`

// TestHooksWakeForWhatMattersOnly: an object whose filter result stays the same wakes no hook (C-145), so nothing that moves
// by itself may be part of one.
func TestHooksWakeForWhatMattersOnly(t *testing.T) {
	t.Parallel()
	node := nodesOf(t, `[{metadata: {name: a, resourceVersion: "1", labels: {dedicated: ingress, topology.kubernetes.io/zone: z}},
	  spec: {providerID: "aws:///eu-central-1a/i-1", podCIDRs: [10.0.0.0/24], taints: [{key: dedicated, value: ingress, effect: NoSchedule}]},
	  status: {conditions: [{type: Ready, status: "True", lastHeartbeatTime: "2025-01-01T00:00:00Z"}], images: []}}]`)[0]
	labels := map[string]string{"example.com/other": "x"}
	maps.Copy(labels, node.GetLabels())
	fields := []struct {
		value any
		path  []string
	}{
		{"2", []string{"metadata", "resourceVersion"}},
		{"true", []string{"metadata", "annotations", "volumes.kubernetes.io/controller-managed-attach-detach"}},
		{[]any{map[string]any{"type": "Ready", "status": "False", "lastHeartbeatTime": "2025-01-01T00:05:00Z"}}, []string{"status", "conditions"}},
		{[]any{map[string]any{"names": []any{"registry.example.com/x:1"}}}, []string{"status", "images"}},
		{true, []string{"spec", "unschedulable"}},
		{[]any{
			map[string]any{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
			map[string]any{"key": "dedicated", "value": "ingress", "effect": "NoSchedule"},
		}, []string{"spec", "taints"}},
	}
	for _, key := range factKeys(t) {
		expectNoWake(t, bashHook(t, key), node, func(noisy *unstructured.Unstructured) {
			noisy.SetLabels(labels)
			for _, field := range fields {
				if err := unstructured.SetNestedField(noisy.Object, field.value, field.path...); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestBindingsAreFrugal(t *testing.T) {
	t.Parallel()
	for _, key := range factKeys(t) {
		h := bashHook(t, key)
		for _, b := range h.bindings {
			if b.KeepFullObjects == nil || *b.KeepFullObjects || b.JQFilter == "" {
				t.Errorf("binding %s of %s has to have a jqFilter and keepFullObjectsInMemory: false", b.Name, key)
			}
			if b.Group == "" || b.Group != h.bindings[0].Group {
				t.Errorf("binding %s of %s has to be of the one group of its hook, so that a run has all snapshots", b.Name, key)
			}
		}
	}
}

// TestRunsAreIdempotent: C-165 puts several contexts into one run; the order of objects and the number of contexts change
// nothing, to the byte.
func TestRunsAreIdempotent(t *testing.T) {
	t.Parallel()
	nodes := nodesOf(t, `[
	  {metadata: {name: a, labels: {dedicated: ingress, topology.kubernetes.io/zone: b}}, spec: {providerID: "hcloud://1", podCIDR: 10.0.1.0/24}},
	  {metadata: {name: b, labels: {dedicated: system, topology.kubernetes.io/zone: a}}, spec: {providerID: "hcloud://2", podCIDR: 10.0.0.0/24}}]`)
	for _, key := range factKeys(t) {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			h := bashHook(t, key)
			snapshots := h.snapshots(t, nodes)
			reversed := map[string]any{}
			for name, items := range snapshots {
				list := slices.Clone(items.([]any))
				slices.Reverse(list)
				reversed[name] = list
			}
			want := patchOf(t, h, []any{group(snapshots)})
			runs := map[string][]any{
				"other order of objects": {group(reversed)},
				"Synchronization, Event, Group and beforeAll together": {
					map[string]any{"binding": "onStartup"},
					map[string]any{"binding": "nodes", "type": "Synchronization", "objects": []any{}, "snapshots": snapshots},
					map[string]any{"binding": "nodes", "type": "Event", "watchEvent": "Deleted", "filterResult": nil, "snapshots": snapshots},
					group(snapshots),
					map[string]any{"binding": "every-hour", "type": "Schedule"},
					map[string]any{"binding": "beforeAll", "snapshots": snapshots},
				},
				"the last context without snapshots": {group(snapshots), map[string]any{"binding": "every-hour", "type": "Schedule"}},
			}
			for name, contexts := range runs {
				if got := patchOf(t, h, contexts); got != want {
					t.Errorf("%s: patch is\n%swant\n%s", name, got, want)
				}
			}
		})
	}
}

func patchOf(t *testing.T, h hook, contexts []any) string {
	t.Helper()
	patch, stderr, err := h.run(t, contexts)
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	return string(patch)
}

func TestEmptyAndPoorSnapshotsGiveTheFactOfNothing(t *testing.T) {
	t.Parallel()
	for _, key := range factKeys(t) {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			h := bashHook(t, key)
			want := patchOf(t, h, []any{group(h.snapshots(t, nil))})
			poor := map[string]any{}
			for _, b := range h.bindings {
				poor[b.Name] = []any{map[string]any{"filterResult": nil}, map[string]any{}}
			}
			for name, snapshots := range map[string]map[string]any{"no bindings": {}, "items without filter results": poor} {
				if got := patchOf(t, h, []any{group(snapshots)}); got != want {
					t.Errorf("%s: patch is\n%swant\n%s", name, got, want)
				}
			}
		})
	}
}

// TestContextsThatSayNothingFailTheRun: a failing run changes no fact (C-108), so a hook that cannot know must fail.
func TestContextsThatSayNothingFailTheRun(t *testing.T) {
	t.Parallel()
	contexts := map[string]string{
		"empty file": "", "no contexts": "[]", "no snapshots": `[{"binding":"beforeAll"}]`, "cut off": `[{"snapshots":{"nodes":[`,
		"no array": `"text"`, "snapshots of another shape": `[{"snapshots":[1]}]`,
	}
	for _, key := range factKeys(t) {
		for name, text := range contexts {
			t.Run(key+", "+name, func(t *testing.T) {
				t.Parallel()
				patch, stderr, err := bashHook(t, key).runText(t, []byte(text))
				if err == nil || stderr == "" || len(patch) > 0 {
					t.Errorf("got error %v, stderr %q, patch %q; want a failed run that says why and changes nothing", err, stderr, patch)
				}
			})
		}
	}
}

func TestAHookOutsideTheOperatorSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(bashHook(t, "nodes").path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "BINDING_CONTEXT_PATH") || !strings.Contains(string(out), "--config") {
		t.Errorf("got error %v and %q, want the missing variable and the way out", err, out)
	}
}

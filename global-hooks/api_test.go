package hooks_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// apiHook gives the hook that is a Go program; how it asks an API server is tested in cmd/discover-api.
func apiHook(t *testing.T) hook {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "discover-api")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/discover-api").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	path, err := filepath.Abs("hooks/api.sh")
	if err != nil {
		t.Fatal(err)
	}
	return loadHook(t, path, "DISCOVER_API_BIN="+binary)
}

func TestAPIHookBindings(t *testing.T) {
	t.Parallel()
	h := apiHook(t)
	for _, b := range h.bindings {
		if b.KeepFullObjects == nil || *b.KeepFullObjects || b.JQFilter == "" || b.Group != "api" {
			t.Errorf("binding %s has to have a jqFilter, group api and keepFullObjectsInMemory: false", b.Name)
		}
	}
	objects := parseObjects(t, `
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: apiserver-1, namespace: kube-system, labels: {apiserver.kubernetes.io/identity: kube-apiserver}}
spec: {holderIdentity: apiserver-1_abc, renewTime: "2025-01-01T00:00:00.000000Z"}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: kube-scheduler, namespace: kube-system}
spec: {holderIdentity: scheduler}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1., labels: {kube-aggregator.kubernetes.io/automanaged: onstart}}
spec: {version: v1, groupPriorityMinimum: 18000, versionPriority: 1}
status: {conditions: [{type: Available, status: "True", reason: Local}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.example.com, labels: {kube-aggregator.kubernetes.io/automanaged: "true"}}
spec: {group: example.com, version: v1}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec: {group: metrics.k8s.io, version: v1beta1, service: {name: metrics-server, namespace: kube-system}}
status: {conditions: [{type: Available, status: "False", reason: MissingEndpoints}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec: {group: example.com, names: {kind: Thing}, versions: [{name: v1, served: true}, {name: v1beta1, served: false}]}
status: {conditions: [{type: NamesAccepted, status: "True"}, {type: Established, status: "True"}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wings.example.com}
spec: {group: example.com, names: {kind: Wing}, versions: [{name: v1, served: true}]}
---
apiVersion: v1
kind: Node
metadata: {name: a, annotations: {kwok.x-k8s.io/node: fake}, labels: {doks.digitalocean.com/node-id: "1", other: x}}
---
apiVersion: v1
kind: Node
metadata: {name: b}
`)
	want := fromYAML(t, `
api-servers: [{filterResult: apiserver-1_abc}]
api-services:
  - filterResult: {group: "", version: v1, aggregated: false, available: true}
  - filterResult: {group: metrics.k8s.io, version: v1beta1, aggregated: true, available: false}
crds:
  - filterResult: {group: example.com, kind: Thing, versions: [v1], established: true}
  - filterResult: {group: example.com, kind: Wing, versions: [v1], established: false}
nodes:
  - filterResult: {imitated: true, marks: [doks.digitalocean.com/node-id]}
  - filterResult: {imitated: false, marks: []}
`)
	if diff := cmp.Diff(want, any(h.snapshots(t, objects))); diff != "" {
		t.Errorf("snapshots (-want +got):\n%s", diff)
	}
	expectNoWake(t, h, objects[0], func(lease *unstructured.Unstructured) {
		_ = unstructured.SetNestedField(lease.Object, "2025-01-01T00:00:10.000000Z", "spec", "renewTime")
	})
}

// expectNoWake checks that no binding sees a change of an object (C-145).
func expectNoWake(t *testing.T, h hook, o *unstructured.Unstructured, change func(*unstructured.Unstructured)) {
	t.Helper()
	changed := o.DeepCopy()
	change(changed)
	for i := range h.bindings {
		b := &h.bindings[i]
		if !b.matches(o) {
			continue
		}
		if diff := cmp.Diff(b.project(t, o), b.project(t, changed)); diff != "" {
			t.Errorf("binding %s of %s wakes for nothing:\n%s", b.Name, filepath.Base(h.path), diff)
		}
	}
}

func TestAPIHookWithoutBinarySaysHowToGetIt(t *testing.T) {
	t.Parallel()
	// A copy, since this checkout may have been built.
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "global-hooks", "hooks"), os.DirFS("hooks")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(root, "global-hooks", "hooks", "api.sh"), "--config")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), filepath.Join(root, "bin")) || !strings.Contains(string(out), "make build") {
		t.Errorf("got error %v and %q, want one that names %s/bin and make build", err, out, root)
	}
	binary := filepath.Join(root, "bin", "discover-api")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho \"found $1\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(cmd.Path, "--config")
	if out, err = cmd.CombinedOutput(); err != nil || string(out) != "found --config\n" {
		t.Errorf("got error %v and %q, want the binary in bin to be run", err, out)
	}
}

// TestOnlyHooksAreExecutable: what is executable outside lib is run as a hook (C-001…C-004).
func TestOnlyHooksAreExecutable(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("hooks", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		isHook := filepath.Dir(path) == "hooks" && filepath.Ext(path) == ".sh"
		if executable := info.Mode()&0o111 != 0; executable != isHook {
			t.Errorf("%s: executable is %t, want %t", path, executable, isHook)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

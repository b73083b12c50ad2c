package hooks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/itchyny/gojq"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// factKeys names the hooks that need nothing but bash and jq, by the key of global.discovery that each owns and is called after.
// A new hook is found here and so held to all the tests that are for every hook.
func factKeys(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("hooks/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hooks in hooks/ (%v)", err)
	}
	var keys []string
	for _, file := range files {
		if key := strings.TrimSuffix(filepath.Base(file), ".sh"); key != "api" {
			keys = append(keys, key)
		}
	}
	return keys
}

// hook is one executable of hooks/ with what it answers to --config.
type hook struct {
	path     string
	bindings []binding
}

// binding has the keys of C-050 that discovery hooks use; any other key is an error of the test.
type binding struct {
	Name              string                `json:"name"`
	Group             string                `json:"group"`
	APIVersion        string                `json:"apiVersion"`
	Kind              string                `json:"kind"`
	Namespace         *namespace            `json:"namespace"`
	NameSelector      *names                `json:"nameSelector"`
	LabelSelector     *metav1.LabelSelector `json:"labelSelector"`
	KeepFullObjects   *bool                 `json:"keepFullObjectsInMemory"`
	JQFilter          string                `json:"jqFilter"`
	compiledJQ        *gojq.Code
	compiledSelectors labels.Selector
}

type namespace struct {
	NameSelector names `json:"nameSelector"`
}

type names struct {
	MatchNames []string `json:"matchNames"`
}

// loadHook runs --config and compiles what it answers, as the operator does at load.
func loadHook(t *testing.T, path string, env ...string) hook {
	t.Helper()
	cmd := exec.Command(path, "--config")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s --config: %v: %s", path, err, stderrOf(err))
	}
	var config struct {
		ConfigVersion string    `json:"configVersion"`
		Kubernetes    []binding `json:"kubernetes"`
	}
	if err := yaml.UnmarshalStrict(out, &config); err != nil {
		t.Fatalf("%s --config: %v\n%s", path, err, out)
	}
	if config.ConfigVersion != "v1" {
		t.Fatalf("%s --config: configVersion is %q, want v1", path, config.ConfigVersion)
	}
	for i := range config.Kubernetes {
		config.Kubernetes[i].compile(t)
	}
	return hook{path: path, bindings: config.Kubernetes}
}

func bashHook(t *testing.T, key string) hook {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("hooks", key+".sh"))
	if err != nil {
		t.Fatal(err)
	}
	return loadHook(t, path)
}

func (b *binding) compile(t *testing.T) {
	t.Helper()
	query, err := gojq.Parse(b.JQFilter)
	if err != nil {
		t.Fatalf("jqFilter of %s: %v", b.Name, err)
	}
	if b.compiledJQ, err = gojq.Compile(query); err != nil {
		t.Fatalf("jqFilter of %s: %v", b.Name, err)
	}
	b.compiledSelectors = labels.Everything()
	if b.LabelSelector != nil {
		if b.compiledSelectors, err = metav1.LabelSelectorAsSelector(b.LabelSelector); err != nil {
			t.Fatalf("labelSelector of %s: %v", b.Name, err)
		}
	}
}

func (b *binding) matches(o *unstructured.Unstructured) bool {
	return o.GetAPIVersion() == b.APIVersion && o.GetKind() == b.Kind &&
		(b.Namespace == nil || slices.Contains(b.Namespace.NameSelector.MatchNames, o.GetNamespace())) &&
		(b.NameSelector == nil || slices.Contains(b.NameSelector.MatchNames, o.GetName())) &&
		b.compiledSelectors.Matches(labels.Set(o.GetLabels()))
}

// project runs the filter on an object (C-142: no result is null, one is itself, more are an array).
func (b *binding) project(t *testing.T, o *unstructured.Unstructured) any {
	t.Helper()
	var results []any
	for iter := b.compiledJQ.Run(o.DeepCopy().Object); ; {
		v, ok := iter.Next()
		if !ok {
			break
		}
		if err, bad := v.(error); bad {
			t.Fatalf("jqFilter of %s on %s: %v", b.Name, o.GetName(), err)
		}
		results = append(results, v)
	}
	switch len(results) {
	case 0:
		return nil
	case 1:
		return results[0]
	}
	return results
}

// snapshots gives what the hook's bindings see of the objects, sorted as C-134 says.
func (h hook) snapshots(t *testing.T, objects []*unstructured.Unstructured) map[string]any {
	t.Helper()
	objects = slices.Clone(objects)
	slices.SortFunc(objects, func(a, b *unstructured.Unstructured) int {
		return strings.Compare(a.GetNamespace()+"/"+a.GetName(), b.GetNamespace()+"/"+b.GetName())
	})
	snapshots := map[string]any{}
	for i := range h.bindings {
		items := []any{}
		for _, o := range objects {
			if h.bindings[i].matches(o) {
				items = append(items, map[string]any{"filterResult": h.bindings[i].project(t, o)})
			}
		}
		snapshots[h.bindings[i].Name] = items
	}
	return snapshots
}

// group is the context of any event of a grouped binding (C-125).
func group(snapshots map[string]any) map[string]any {
	return map[string]any{"binding": "nodes", "type": "Group", "groupName": "g", "snapshots": snapshots}
}

// run executes the hook on binding contexts; the result is the text of its values patch, and stderr.
func (h hook) run(t *testing.T, contexts any) (patch []byte, stderr string, err error) {
	t.Helper()
	text, err := json.Marshal(contexts)
	if err != nil {
		t.Fatal(err)
	}
	return h.runText(t, text)
}

func (h hook) runText(t *testing.T, contexts []byte) (patch []byte, stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	patchPath := file("values.patch", nil)
	cmd := exec.Command(h.path)
	// The operator's directory is not the hook's (C-021).
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"BINDING_CONTEXT_PATH="+file("contexts.json", contexts),
		"VALUES_PATH="+file("values.json", []byte(`{"global":{"discovery":{}}}`)),
		"CONFIG_VALUES_PATH="+file("config-values.json", []byte(`{"global":null}`)),
		"VALUES_JSON_PATCH_PATH="+patchPath,
		"CONFIG_VALUES_JSON_PATCH_PATH="+file("config-values.patch", nil),
		"KUBERNETES_PATCH_PATH="+file("operations", nil),
		"METRICS_PATH="+file("metrics", nil),
	)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	err = cmd.Run()
	patch, readErr := os.ReadFile(patchPath)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return patch, errOut.String(), err
}

// fact runs the hook on objects and returns the one fact it states, which must be its own.
func (h hook) fact(t *testing.T, key string, objects []*unstructured.Unstructured) any {
	t.Helper()
	patch, stderr, err := h.run(t, []any{group(h.snapshots(t, objects))})
	if err != nil {
		t.Fatalf("%s: %v: %s", h.path, err, stderr)
	}
	return factOf(t, key, patch)
}

func factOf(t *testing.T, key string, patch []byte) any {
	t.Helper()
	var op struct {
		Op, Path string
		Value    any
	}
	decoder := json.NewDecoder(bytes.NewReader(patch))
	if err := decoder.Decode(&op); err != nil {
		t.Fatalf("values patch: %v\n%s", err, patch)
	}
	if decoder.More() || op.Op != "add" || op.Path != "/global/discovery/"+key {
		t.Fatalf("values patch of %s has to be one add to its own key, is\n%s", key, patch)
	}
	return op.Value
}

// readObjects reads a file of manifests.
func readObjects(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseObjects(t, string(text))
}

func parseObjects(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("manifests: %v\n%s", err, text)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// nodesOf makes Nodes of a YAML list of their metadata and spec.
func nodesOf(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var list []map[string]any
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, fields := range list {
		object := map[string]any{"apiVersion": "v1", "kind": "Node"}
		maps.Copy(object, fields)
		objects = append(objects, &unstructured.Unstructured{Object: object})
	}
	return objects
}

// fromYAML parses expected values; numbers are float64 as in the facts.
func fromYAML(t *testing.T, text string) any {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var v any
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}

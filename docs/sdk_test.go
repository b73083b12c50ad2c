package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// example is the only block of a language in sdk.md.
func example(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```"+language+"\n(.*?\n)```\n").FindAllSubmatch(text, -1)
	if len(found) != 1 {
		t.Fatalf("sdk.md has %d blocks of %s, expected one", len(found), language)
	}
	return string(found[0][1])
}

// bashExample is the hook of the page as an executable, with the library of the checkout.
func bashExample(t *testing.T) string {
	t.Helper()
	library, err := filepath.Abs("../deploy/shell_lib.sh")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "registry.sh")
	text := strings.Replace(example(t, "bash"), "source /shell_lib.sh", "source "+library, 1)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func goExample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "registry")
	if err := os.WriteFile(source, []byte(example(t, "go")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// TestTheExamplesOfBothLibrariesDoTheSame runs the two hooks of sdk.md as the operator would.
func TestTheExamplesOfBothLibrariesDoTheSame(t *testing.T) {
	t.Parallel()
	hooks := map[string]string{"bash": bashExample(t), "go": goExample(t)}
	object := func(namespace string) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": map[string]any{"a": "Yg=="},
			"metadata": map[string]any{"name": "registry", "namespace": namespace},
		}
	}
	copyTo := func(namespace string) hook.Operation {
		return hook.Operation{Verb: hook.CreateOrUpdate, APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: "registry", Object: object(namespace)}
	}
	tests := map[string]struct {
		secret     string
		operations []hook.Operation
		samples    int
	}{
		"a Secret and two namespaces": {`{"filterResult":{"type":"Opaque","data":{"a":"Yg=="}}}`, []hook.Operation{copyTo("x"), copyTo("y")}, 1},
		"no Secret":                   {``, nil, 0},
	}
	for language, path := range hooks {
		for sentence, test := range tests {
			t.Run(language+"/"+sentence, func(t *testing.T) {
				t.Parallel()
				contexts := `[{"binding":"secret","type":"Group","groupName":"copy","snapshots":{"secret":[` + test.secret +
					`],"namespaces":[{"filterResult":"x"},{"filterResult":"y"}]}}]`
				operations, samples := runExample(t, path, contexts)
				if diff := cmp.Diff(test.operations, operations); diff != "" {
					t.Errorf("operations (-want +got):\n%s", diff)
				}
				if len(samples) != test.samples || test.samples > 0 && (samples[0].Value != 2 || samples[0].Group != "registry") {
					t.Errorf("metrics: %+v", samples)
				}
			})
		}
	}
	if diff := cmp.Diff(spec(t, hooks["bash"]), spec(t, hooks["go"]), cmp.Transformer("program", (*hook.Filter).String)); diff != "" {
		t.Errorf("configurations (-bash +go):\n%s", diff)
	}
}

func spec(t *testing.T, path string) hook.Spec {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, "--config").Output()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := hook.ParseConfig(out, hook.Standalone)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func runExample(t *testing.T, path, contexts string) ([]hook.Operation, []hook.Sample) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = os.Environ()
	for name, text := range map[string]string{"BINDING_CONTEXT_PATH": contexts, "KUBERNETES_PATCH_PATH": "", "METRICS_PATH": ""} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(cmd.Env, name+"="+file)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	operations, err := hook.ParseOperations(read("KUBERNETES_PATCH_PATH"))
	if err != nil {
		t.Fatal(err)
	}
	samples, _, err := hook.ParseSamples(read("METRICS_PATH"))
	if err != nil {
		t.Fatal(err)
	}
	return operations, samples
}

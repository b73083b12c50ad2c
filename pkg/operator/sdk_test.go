package operator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
	"github.com/addon-operator/addon-operator/pkg/sdk/testdata/everything"
)

// bothWays is one hook as an executable that this test builds, and in process.
func bothWays(t *testing.T) (executable, inProcess hook.Hook, runExecutable, runInProcess hook.Func) {
	t.Helper()
	owner := hook.Owner{Module: "hello"}
	dir := filepath.Join(t.TempDir(), "hooks")
	build := osexec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "everything"), "../sdk/testdata/everything/main")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	runner, err := exec.New(exec.Config{TempDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runner.Close(); err != nil {
			t.Error(err)
		}
	})
	loaded, err := runner.Load(t.Context(), owner, hook.Place{Dir: dir})
	if err != nil || len(loaded) != 1 {
		t.Fatalf("loaded %d hooks: %v", len(loaded), err)
	}
	registry := sdk.NewRegistry(sdk.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := registry.Add(owner, everything.Hook()); err != nil {
		t.Fatal(err)
	}
	inProcess = registry.Hooks(owner)[0]
	runInProcess, ok := registry.Bind(inProcess)
	if !ok {
		t.Fatal("the registry does not know its own hook")
	}
	return loaded[0], inProcess, runner.Bind(loaded[0]), runInProcess
}

// TestAGoHookIsTheSameAsAnExecutableAndInProcess: the same Spec, and for the same input the same Output (C-020, C-101, C-108).
func TestAGoHookIsTheSameAsAnExecutableAndInProcess(t *testing.T) {
	executable, inProcess, runExecutable, runInProcess := bothWays(t)
	programs := cmp.Transformer("program", func(f *hook.Filter) string {
		if f == nil {
			return ""
		}
		return f.String()
	})
	if diff := cmp.Diff(executable, inProcess, programs, cmpopts.IgnoreFields(hook.Hook{}, "Path", "Digest"), cmp.AllowUnexported(hook.Owner{})); diff != "" {
		t.Errorf("hooks (-executable +in process):\n%s", diff)
	}
	const pods = `"snapshots":{"pods":[{"filterResult":{"name":"p","node":"n"}},{"filterResult":{"name":"q","node":null}}]}`
	const request = `{"request":{"uid":"u","name":"web","namespace":"n","operation":"CREATE"}}`
	for sentence, contexts := range map[string]string{
		"startup":              `{"binding":"onStartup"}`,
		"several contexts":     `{"binding":"pods","type":"Group","groupName":"all",` + pods + `},{"binding":"hourly","type":"Schedule",` + pods + `}`,
		"an event":             `{"binding":"secrets","type":"Event","watchEvent":"Deleted","object":{"kind":"Secret","metadata":{"name":"s"}},` + pods + `}`,
		"a validating review":  `{"binding":"check.hello.example.com","type":"Validating","review":` + request + `}`,
		"a mutating review":    `{"binding":"change.hello.example.com","type":"Mutating","review":` + request + `}`,
		"a conversion review":  `{"binding":"up","type":"Conversion","fromVersion":"v1","toVersion":"v2","review":{"request":{"objects":[{"apiVersion":"example.com/v1","n":1},{"apiVersion":"example.com/v2","f":1.0}]}}}`,
		"a group without pods": `{"binding":"pods","type":"Group","groupName":"all","snapshots":{"pods":[]}}`,
	} {
		t.Run(sentence, func(t *testing.T) {
			in := input(contexts, "")
			want, err := runExecutable(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := runInProcess(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if len(want.Operations) != 9 || len(want.Samples) != 4 || len(want.Values) < 2 {
				t.Errorf("the executable asks for less than it should: %+v", want)
			}
			if diff := cmp.Diff(want, got, programs, cmpopts.IgnoreFields(hook.Output{}, "Usage")); diff != "" {
				t.Errorf("(-executable +in process):\n%s", diff)
			}
		})
	}
}

func input(contexts, mode string) hook.Input {
	text, _ := json.Marshal(mode)
	return hook.Input{
		Contexts: []byte("[" + contexts + "]"), ConfigValues: []byte(`{"global":null,"hello":null}`),
		Values: fmt.Appendf(nil, `{"global":{},"hello":{"mode":%s}}`, text),
	}
}

// TestAGoHookFailsAlikeAsAnExecutableAndInProcess: people read the same reason either way (C-107).
func TestAGoHookFailsAlikeAsAnExecutableAndInProcess(t *testing.T) {
	_, _, runExecutable, runInProcess := bothWays(t)
	for sentence, test := range map[string]struct{ contexts, mode, wants string }{
		"an error":                     {`{"binding":"onStartup"}`, "fail", "it is to fail"},
		"a panic":                      {`{"binding":"onStartup"}`, "panic", "everything.run("},
		"a snapshot that is not there": {`{"binding":"pods","type":"Group","groupName":"all"}`, "", `snapshots of "pods"`},
	} {
		t.Run(sentence, func(t *testing.T) {
			for way, run := range map[string]hook.Func{"executable": runExecutable, "in process": runInProcess} {
				_, err := run(t.Context(), input(test.contexts, test.mode))
				var failed *hook.RunError
				if !errors.As(err, &failed) || !strings.Contains(err.Error(), test.wants) || failed.Hook.String() != "hello/hooks/everything" {
					t.Errorf("%s: the error is %v, want one with %q", way, err, test.wants)
				}
			}
		})
	}
}

// Hooks inside the process run beside those that are files, for every owner.
func TestHooksInsideTheProcess(t *testing.T) {
	b := newBed(t)
	maps := sdk.Kubernetes[string]{Name: "maps", Group: "g", APIVersion: "v1", Kind: "ConfigMap", JQFilter: ".metadata.name",
		Namespaces: []string{b.Namespace}, Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"counted": "yes"}}}
	b.Config.Hooks = sdk.NewRegistry(sdk.Options{Version: "1", Logger: b.Config.Logger})
	for owner, path := range map[hook.Owner]string{hook.Global: "global.maps", {Module: "inner"}: "inner.maps"} {
		err := b.Config.Hooks.Add(owner, sdk.Hook{Name: "count", On: []sdk.Binding{maps}, Run: func(_ context.Context, in *sdk.Input) error {
			names, err := maps.Snapshot(in)
			if err != nil {
				return err
			}
			in.Values.Set(path, strings.Join(names, " "))
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.chart("100-inner", shown("inner-shows", "global", `{{ .Values.global.maps | quote }}`, "own", `{{ .Values.inner.maps | quote }}`))
	b.settings(map[string]string{"innerEnabled": "true"})
	b.start()
	b.ready("inner")
	for _, name := range []string{"a", "b"} {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"counted": "yes"}}}
		if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, cm, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually(func() bool { return b.shows("inner-shows", "global", "a b") && b.shows("inner-shows", "own", "a b") }, "the release shows what both hooks found")
}

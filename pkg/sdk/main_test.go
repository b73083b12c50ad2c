package sdk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheCommandLineChoosesTheHook(t *testing.T) {
	t.Parallel()
	nodes, pods := Hook{Name: "nodes"}, Hook{Name: "pods"}
	for sentence, test := range map[string]struct {
		hooks []Hook
		args  []string
		name  string // or a part of the error
		rest  []string
	}{
		"a single one under any name":    {[]Hook{nodes}, []string{"/bin/x", "--config"}, "nodes", []string{"--config"}},
		"by the name of the executable":  {[]Hook{nodes, pods}, []string{"hooks/pods", "--config"}, "pods", []string{"--config"}},
		"number and extension are no":    {[]Hook{nodes, pods}, []string{"hooks/010-pods.bin"}, "pods", nil},
		"by the first argument":          {[]Hook{nodes, pods}, []string{"all", "nodes", "--config"}, "nodes", []string{"--config"}},
		"none of that name is an error":  {[]Hook{nodes, pods}, []string{"all", "--config"}, "all is no hook of this binary: link it under one of the names nodes, pods", nil},
		"nor can there be none at all":   {nil, []string{"all"}, "all is no hook", nil},
		"a name may start with a number": {[]Hook{{Name: "010-x"}, pods}, []string{"010-x"}, "010-x", nil},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			h, rest, err := choose(test.hooks, test.args)
			if err != nil {
				if !strings.Contains(err.Error(), test.name) {
					t.Error(err)
				}
				return
			}
			if h.Name != test.name || strings.Join(rest, " ") != strings.Join(test.rest, " ") {
				t.Errorf("hook %q with %q", h.Name, rest)
			}
		})
	}
}

// envOf writes files and returns the environment that names them.
func envOf(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	env := map[string]string{}
	for name, text := range files {
		env[name] = filepath.Join(dir, name)
		if err := os.WriteFile(env[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

func executed(t *testing.T, env map[string]string, do func(*Input) error, args ...string) (string, error) {
	t.Helper()
	var stdout bytes.Buffer
	h := Hook{Name: "h", On: []Binding{OnStartup(1)}, Run: func(_ context.Context, in *Input) error { return do(in) }}
	err := Execute(t.Context(), h, args, func(k string) string { return env[k] }, &stdout)
	return stdout.String(), err
}

// TestAnExecutableKeepsTheContract: C-020, C-101, C-108, C-112.
func TestAnExecutableKeepsTheContract(t *testing.T) {
	t.Parallel()
	t.Run("--config prints the configuration and needs no files", func(t *testing.T) {
		t.Parallel()
		out, err := executed(t, nil, nil, "--config")
		if diff := cmp.Diff("{\n  \"configVersion\": \"v1\",\n  \"onStartup\": 1\n}\n", out); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	})
	t.Run("a run appends to its files and logs JSON", func(t *testing.T) {
		t.Parallel()
		env := envOf(t, map[string]string{
			"BINDING_CONTEXT_PATH": `[{"binding":"onStartup"}]`, "VALUES_PATH": `{"hello":{"a":1}}`, "VALUES_JSON_PATCH_PATH": "[]\n",
			"VALIDATING_RESPONSE_PATH": "",
		})
		out, err := executed(t, env, func(in *Input) error {
			in.Values.Set("hello.b", 2)
			in.Admission.Allow()
			in.Log.Debug("done", "n", 1)
			return nil
		})
		if err != nil || !strings.Contains(out, `"level":"DEBUG","msg":"done","n":1}`) {
			t.Errorf("%v, stdout %q", err, out)
		}
		wantFile(t, env["VALUES_JSON_PATCH_PATH"], "[]\n"+`[{"op":"add","path":"/hello/b","value":2}]`+"\n")
		wantFile(t, env["VALIDATING_RESPONSE_PATH"], `{"allowed":true}`+"\n")
	})
	t.Run("a failed run writes nothing", func(t *testing.T) {
		t.Parallel()
		env := envOf(t, map[string]string{"BINDING_CONTEXT_PATH": `[{"binding":"onStartup"}]`, "VALUES_JSON_PATCH_PATH": ""})
		_, err := executed(t, env, func(in *Input) error { in.Values.Set("hello.b", 2); return errors.New("no way") })
		if err == nil || err.Error() != "no way" {
			t.Error(err)
		}
		wantFile(t, env["VALUES_JSON_PATCH_PATH"], "")
	})
}

func TestAnExecutableSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	contexts := map[string]string{"BINDING_CONTEXT_PATH": `[{"binding":"onStartup"}]`}
	for sentence, test := range map[string]struct {
		env   map[string]string
		args  []string
		wants string
	}{
		"no environment":        {nil, nil, "BINDING_CONTEXT_PATH is not set: the operator sets it"},
		"a file that is gone":   {map[string]string{"BINDING_CONTEXT_PATH": "/no/such"}, nil, "BINDING_CONTEXT_PATH: open /no/such"},
		"another argument":      {nil, []string{"-v"}, `unexpected arguments ["-v"]`},
		"no file for an answer": {envOf(t, contexts), nil, "VALUES_JSON_PATCH_PATH: is not set: a hook of this kind has no such output"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			_, err := executed(t, test.env, func(in *Input) error { in.Values.Set("a", 1); return nil }, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("the error is %v, want one with %q", err, test.wants)
			}
		})
	}
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", filepath.Base(path), diff)
	}
}

package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/addon-operator/addon-operator/pkg/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type inspector struct{ progress web.Progress }

func (i *inspector) Progress() web.Progress { return i.progress }
func (*inspector) Queues() any              { return map[string]any{"active": map[string]int{"main/a": 1}} }
func (*inspector) Modules() any             { return map[string]any{"enabledModules": []string{"a"}} }

func (*inspector) Global(what string) (any, error) {
	if what != "values" {
		return nil, fmt.Errorf("%q: %w", what, web.ErrNotFound)
	}
	return map[string]any{"global": map[string]any{"a": 1}}, nil
}

func (*inspector) Module(name, what string, withGlobal bool) (any, error) {
	switch name {
	case "a":
		return map[string]any{"what": what, "global": withGlobal}, nil
	case "sick":
		return nil, errors.New("it hurts")
	}
	return nil, fmt.Errorf("module %q: %w", name, web.ErrNotFound)
}

func (i *inspector) Render(_ context.Context, name string, _ bool) (string, error) {
	if name != "a" {
		return "", fmt.Errorf("module %q: %w", name, web.ErrNotFound)
	}
	return "kind: ConfigMap\n", nil
}

func public(in *inspector) http.Handler {
	text := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) })
	}
	return web.Public(in.Progress, text("self"), text("hooks"))
}

func get(h http.Handler, path string) (int, string) {
	r := httptest.NewRecorder()
	h.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
	return r.Code, r.Body.String()
}

func TestConvergence(t *testing.T) { // C-492, C-493
	for name, c := range map[string]struct {
		progress web.Progress
		code     int
		ready    string
		status   string
		json     map[string]any
	}{
		"before the first revision": {web.Progress{}, 500, "Startup converge in progress\n", "STARTUP_CONVERGE_NOT_STARTED\n",
			map[string]any{"STARTUP_CONVERGE_NOT_STARTED": true, "STARTUP_CONVERGE_IN_PROGRESS": 0.0, "STARTUP_CONVERGE_DONE": false,
				"CONVERGE_IN_PROGRESS": 0.0, "CONVERGE_WAIT_TASK": false}},
		"during the first": {web.Progress{Started: true, Unsettled: 3}, 500, "Startup converge in progress\n", "STARTUP_CONVERGE_IN_PROGRESS: 3 tasks\n",
			map[string]any{"STARTUP_CONVERGE_NOT_STARTED": false, "STARTUP_CONVERGE_IN_PROGRESS": 3.0, "STARTUP_CONVERGE_DONE": false,
				"CONVERGE_IN_PROGRESS": 0.0, "CONVERGE_WAIT_TASK": false}},
		"at rest": {web.Progress{Started: true, Done: true}, 200, "Startup converge done.\n", "STARTUP_CONVERGE_DONE\nCONVERGE_WAIT_TASK\n",
			map[string]any{"STARTUP_CONVERGE_NOT_STARTED": false, "STARTUP_CONVERGE_IN_PROGRESS": 0.0, "STARTUP_CONVERGE_DONE": true,
				"CONVERGE_IN_PROGRESS": 0.0, "CONVERGE_WAIT_TASK": true}},
		"during a later one": {web.Progress{Started: true, Done: true, Unsettled: 2}, 200, "Startup converge done.\n",
			"STARTUP_CONVERGE_DONE\nCONVERGE_IN_PROGRESS: 2 tasks\n",
			map[string]any{"STARTUP_CONVERGE_NOT_STARTED": false, "STARTUP_CONVERGE_IN_PROGRESS": 0.0, "STARTUP_CONVERGE_DONE": true,
				"CONVERGE_IN_PROGRESS": 2.0, "CONVERGE_WAIT_TASK": false}},
	} {
		t.Run(name, func(t *testing.T) {
			h := public(&inspector{c.progress})
			if code, body := get(h, "/readyz"); code != c.code || body != c.ready {
				t.Errorf("/readyz: %d %q", code, body)
			}
			if code, body := get(h, "/status/converge"); code != 200 || body != c.status {
				t.Errorf("/status/converge: %d %q", code, body)
			}
			_, body := get(h, "/status/converge?output=json")
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.json, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPublicRoutes(t *testing.T) { // C-490, C-491
	h := public(&inspector{})
	for path, want := range map[string]string{"/metrics": "self", "/metrics/hooks": "hooks", "/healthz": "", "/": "addon-operator", "/debug/pprof/": "profile"} {
		if code, body := get(h, path); code != 200 || !strings.Contains(body, want) || path == "/healthz" && body != "" {
			t.Errorf("%s: %d %.60q", path, code, body)
		}
	}
	if code, _ := get(h, "/none"); code != 404 {
		t.Error(code)
	}
}

// C-480: over a real socket, as the command line does.
func TestTheDebugSocket(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	path := filepath.Join(t.TempDir(), "deep", "s")
	for range 2 { // the second takes the place of one that a dead process left
		l, err := web.ListenUnix(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info, err)
		}
		ended := make(chan error)
		go func() { ended <- web.Serve(ctx, l, web.Debug(&inspector{})) }()
		for route, want := range map[string]string{
			"/module/list.yaml":            "enabledModules:\n- a\n",
			"/module/list.json":            "{\n  \"enabledModules\": [\n    \"a\"\n  ]\n}\n",
			"/module/a/values.yaml":        "global: false\nwhat: values\n",
			"/module/a/config?global=true": "global: true\nwhat: config\n",
			"/module/a/render":             "kind: ConfigMap\n",
			"/global/values.yaml":          "global:\n  a: 1\n",
			"/queue/list.yaml":             "active:\n  main/a: 1\n",
		} {
			if got, err := web.Ask(ctx, path, route); err != nil || string(got) != want {
				t.Errorf("%s: %q %v", route, got, err)
			}
		}
		for route, want := range map[string]string{
			"/module/none/values.yaml": `module "none": not found`, "/module/sick/values.yaml": "it hurts", "/module/none/render": "not found",
			"/global/none.yaml": "not found", "/module/other.yaml": "not found", "/queue/other": "not found", "/none": "404",
		} {
			if got, err := web.Ask(ctx, path, route); err == nil || !strings.Contains(err.Error(), want) { // B-62
				t.Errorf("%s: %q %v", route, got, err)
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := web.Ask(t.Context(), path, "/"); err == nil || !strings.Contains(err.Error(), "no operator answers") {
			t.Error(err)
		}
		ctx, stop = context.WithCancel(t.Context())
	}
	stop()
}

func TestASocketTakesThePlaceOfASocketOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := web.ListenUnix(t.Context(), file); err == nil {
		_ = l.Close()
		t.Error("a file was removed")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "x" {
		t.Error(err)
	}
}

func TestABusyPortIsExplained(t *testing.T) {
	l, err := web.ListenTCP(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := web.ListenTCP(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--prometheus-listen-port") {
		t.Error(err)
	}
}

package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// shown has a form for people.
type shown struct {
	A int `json:"a"`
}

func (shown) Text() string { return "a is one\n" }

// routes answer with what they were asked.
func routes() []web.Route {
	value := func(v any, err error) func(context.Context, web.Query) (any, error) {
		return func(context.Context, web.Query) (any, error) { return v, err }
	}
	return []web.Route{
		{Path: "/module/list", Remote: true, Help: "modules", Answer: value(shown{1}, nil)},
		{Path: "/module/{name}/values", Answer: func(_ context.Context, q web.Query) (any, error) {
			if q.Parts["name"] == "none" {
				return nil, fmt.Errorf("module %q: %w", q.Parts["name"], web.ErrNotFound)
			}
			return map[string]any{"name": q.Parts["name"], "global": q.Is("global")}, nil
		}},
		{Path: "/module/{name}/render", Answer: value("kind: ConfigMap\n", nil)},
		{Path: "/sick", Answer: value(nil, errors.New("it hurts"))},
		{Path: "/strange", Answer: value(nil, fmt.Errorf("what: %w", web.ErrBadRequest))},
		{Path: "/graph", Answer: value(web.File{ContentType: "image/svg+xml", Body: []byte("<svg/>")}, nil)},
		{Path: "/hook/{name...}/snapshots", Answer: func(_ context.Context, q web.Query) (any, error) { return []string{q.Parts["name"]}, nil }},
		{Method: http.MethodPost, Path: "/config/set", Answer: func(_ context.Context, q web.Query) (any, error) {
			return q.Form.Get("name") + "=" + q.Form.Get("value") + "\n", nil
		}},
	}
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
	for path, want := range map[string]string{"/metrics": "self", "/metrics/hooks": "hooks", "/healthz": "", "/": "addon-operator", "/discovery": "/status/converge\n", "/debug/pprof/cmdline": "", "/debug/pprof/": "profile"} {
		if code, body := get(h, path); code != 200 || !strings.Contains(body, want) || path == "/healthz" && body != "" {
			t.Errorf("%s: %d %.60q", path, code, body)
		}
	}
	if code, _ := get(h, "/none"); code != 404 {
		t.Error(code)
	}
}

// C-480, C-474: over a real socket, as the command line does.
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
		go func() { ended <- web.Serve(ctx, l, web.Debug("the operator", routes())) }()
		for route, want := range map[string]string{
			"/":                                        "the operator: see /discovery\n",
			"/module/list.yaml":                        "a: 1\n",
			"/module/list":                             "a: 1\n",
			"/module/list.json":                        "{\n  \"a\": 1\n}\n",
			"/module/list.text":                        "a is one\n",
			"/module/a/values.yaml":                    "global: false\nname: a\n",
			"/module/a/values?global=true":             "global: true\nname: a\n",
			"/module/a/render?debug=&diff=":            "kind: ConfigMap\n",
			"/module/a/render.json":                    "kind: ConfigMap\n",
			"/hook/010-x/watch%20me.sh/snapshots.yaml": "- 010-x/watch me.sh\n",
			"/graph?format=svg":                        "<svg/>",
		} {
			if got, err := web.Ask(ctx, path, route); err != nil || string(got) != want {
				t.Errorf("%s: %q %v", route, got, err)
			}
		}
		for route, want := range map[string]string{
			"/module/none/values.yaml": `module "none": not found`, "/sick": "it hurts", "/strange.json": "what: bad request", "/module/other.yaml": "not found",
			"/module//values": "not found", "/none": "not found", "/module/list.xml": `format "xml"`, "/config/set": "not answered for GET", "/hook/snapshots": "not found",
		} {
			if got, err := web.Ask(ctx, path, route); err == nil || !strings.Contains(err.Error(), want) { // B-62
				t.Errorf("%s: %q %v", route, got, err)
			}
		}
		if got, err := web.Send(ctx, path, "/config/set", url.Values{"name": {"x"}, "value": {"y"}}); err != nil || string(got) != "x=y\n" {
			t.Error(string(got), err)
		}
		if got, err := web.Ask(ctx, path, "/discovery"); err != nil || !strings.Contains(string(got), "POST /config/set") || strings.Count(string(got), "\n") != len(routes())+1 {
			t.Error(string(got), err)
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

// C-480, C-484: status codes, and what is answered over TCP.
func TestStatusCodesOfTheRoutes(t *testing.T) {
	h, remote := web.Debug("x", routes()), web.Debug("x", web.Remote(routes()))
	for path, codes := range map[string][2]int{
		"/module/list.json": {200, 200}, "/discovery": {200, 200}, "/": {200, 200}, "/module/a/values": {200, 404}, "/module/none/values": {404, 404},
		"/sick": {500, 404}, "/strange": {400, 404}, "/module/list.xml": {400, 400}, "/config/set": {405, 404}, "/..": {404, 404},
	} {
		local, _ := get(h, path)
		over, _ := get(remote, path)
		if local != codes[0] || over != codes[1] {
			t.Errorf("%s: %d over the socket, %d over TCP; expected %v", path, local, over, codes)
		}
	}
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
	l, err := web.ListenTCP(t.Context(), "127.0.0.1:0", "--prometheus-listen-port")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := web.ListenTCP(t.Context(), l.Addr().String(), "--prometheus-listen-port"); err == nil || !strings.Contains(err.Error(), "--prometheus-listen-port") {
		t.Error(err)
	}
}

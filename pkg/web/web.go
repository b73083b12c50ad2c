package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Progress is how far convergence is (C-493).
type Progress struct {
	// Started: the first revision of the global values is published.
	Started bool
	// Done: the first convergence has ended.
	Done bool
	// Unsettled counts modules whose wanted inputs were not attempted yet.
	Unsettled int
}

// ErrNotFound is what an Inspector answers for a name it does not know.
var ErrNotFound = errors.New("not found")

// Inspector answers questions about the inside of the process. Answers are JSON
// values or, for Render, text. An unknown name is ErrNotFound.
type Inspector interface {
	// Global answers list, values, config or patches of the global section.
	Global(what string) (any, error)
	// Modules lists the modules with their state.
	Modules() any
	// Module answers values, config or patches of a module; withGlobal adds the global section.
	Module(name, what string, withGlobal bool) (any, error)
	// Render is the module's manifest as it would be applied now, with secret values if asked for.
	Render(ctx context.Context, name string, secrets bool) (string, error)
	// Queues is the number of tasks by lane.
	Queues() any
}

// Public is the handler of the HTTP port (C-490 … C-493).
func Public(progress func() Progress, metrics, hookMetrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.Handle("GET /metrics/hooks", hookMetrics)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if progress().Done {
			fmt.Fprintln(w, "Startup converge done.")
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, "Startup converge in progress")
	})
	mux.HandleFunc("GET /status/converge", func(w http.ResponseWriter, r *http.Request) { converge(w, r, progress()) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "addon-operator: see /metrics, /metrics/hooks, /healthz, /readyz, /status/converge, /debug/pprof/")
	})
	return mux
}

// converge writes C-493.
func converge(w http.ResponseWriter, r *http.Request, p Progress) {
	if r.URL.Query().Get("output") == "json" {
		startup, running := 0, 0
		if p.Started && !p.Done {
			startup = max(1, p.Unsettled)
		}
		if p.Done {
			running = p.Unsettled
		}
		writeJSON(w, map[string]any{
			"STARTUP_CONVERGE_NOT_STARTED": !p.Started, "STARTUP_CONVERGE_IN_PROGRESS": startup,
			"STARTUP_CONVERGE_DONE": p.Done, "CONVERGE_IN_PROGRESS": running,
			"CONVERGE_WAIT_TASK": p.Done && p.Unsettled == 0,
		})
		return
	}
	switch {
	case !p.Started:
		fmt.Fprintln(w, "STARTUP_CONVERGE_NOT_STARTED")
	case !p.Done:
		fmt.Fprintf(w, "STARTUP_CONVERGE_IN_PROGRESS: %d tasks\n", max(1, p.Unsettled))
	case p.Unsettled > 0:
		fmt.Fprintf(w, "STARTUP_CONVERGE_DONE\nCONVERGE_IN_PROGRESS: %d tasks\n", p.Unsettled)
	default:
		fmt.Fprint(w, "STARTUP_CONVERGE_DONE\nCONVERGE_WAIT_TASK\n")
	}
}

// Debug is the handler of the unix socket (C-480). The extension of a path picks
// the format, YAML by default.
func Debug(in Inspector) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /module/{file}", func(w http.ResponseWriter, r *http.Request) {
		name, ext := split(r.PathValue("file"))
		if name != "list" {
			fail(w, fmt.Errorf("%s: %w", r.URL.Path, ErrNotFound))
			return
		}
		answer(w, ext, in.Modules(), nil)
	})
	mux.HandleFunc("GET /module/{name}/{file}", func(w http.ResponseWriter, r *http.Request) {
		what, ext := split(r.PathValue("file"))
		name := r.PathValue("name")
		if what == "render" {
			text, err := in.Render(r.Context(), name, showsSecrets(r))
			answer(w, "text", text, err)
			return
		}
		v, err := in.Module(name, what, r.URL.Query().Get("global") == "true")
		answer(w, ext, v, err)
	})
	mux.HandleFunc("GET /global/{file}", func(w http.ResponseWriter, r *http.Request) {
		what, ext := split(r.PathValue("file"))
		v, err := in.Global(what)
		answer(w, ext, v, err)
	})
	queues(mux, in.Queues)
	return mux
}

// HookInspector answers questions about a process that runs hooks only.
type HookInspector interface {
	// Hooks lists the hooks with their state.
	Hooks() any
	// Snapshots shows what the kubernetes bindings of a hook hold; an unknown name is ErrNotFound.
	Snapshots(hook string) (any, error)
	// Queues is the number of tasks by lane.
	Queues() any
}

// DebugHooks is the handler of the unix socket where there are hooks only (C-480).
func DebugHooks(in HookInspector) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hook/", func(w http.ResponseWriter, r *http.Request) {
		// Names of hooks have slashes: /hook/010-pods/watch.sh/snapshots.yaml
		path, ext := split(strings.TrimPrefix(r.URL.Path, "/hook/"))
		if path == "list" {
			answer(w, ext, in.Hooks(), nil)
			return
		}
		name, ok := strings.CutSuffix(path, "/snapshots")
		if !ok {
			fail(w, fmt.Errorf("%s: %w", r.URL.Path, ErrNotFound))
			return
		}
		v, err := in.Snapshots(name)
		answer(w, ext, v, err)
	})
	queues(mux, in.Queues)
	return mux
}

func queues(mux *http.ServeMux, list func() any) {
	mux.HandleFunc("GET /queue/{file}", func(w http.ResponseWriter, r *http.Request) {
		name, ext := split(r.PathValue("file"))
		if name != "main" && name != "list" {
			fail(w, fmt.Errorf("%s: %w", r.URL.Path, ErrNotFound))
			return
		}
		answer(w, ext, list(), nil)
	})
}

func split(file string) (name, ext string) {
	ext = strings.TrimPrefix(filepath.Ext(file), ".")
	return strings.TrimSuffix(file, "."+ext), ext
}

func answer(w http.ResponseWriter, format string, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	if text, ok := v.(string); ok {
		fmt.Fprint(w, text)
		return
	}
	if format == "json" {
		writeJSON(w, v)
		return
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		fail(w, err)
		return
	}
	_, _ = w.Write(text)
}

func fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if errors.Is(err, ErrNotFound) {
		code = http.StatusNotFound
	}
	http.Error(w, err.Error(), code)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the client went away; there is nobody to tell
}

// ListenTCP opens the HTTP port.
func ListenTCP(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("HTTP port %s: %w: choose another with --prometheus-listen-port", address, err)
	}
	return l, nil
}

// ListenUnix opens the debug socket, taking the place of one that a dead process left.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("debug socket: %w", err)
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, fmt.Errorf("debug socket %s: a file that is no socket is there: choose another with --debug-unix-socket", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("debug socket: %w", err)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("debug socket %s: %w: choose another with --debug-unix-socket", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, err
	}
	return l, nil
}

// Serve answers on a listener until ctx ends.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(last); err != nil {
		_ = s.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

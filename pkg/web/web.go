package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"time"
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
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /discovery", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, strings.Join(publicRoutes(), "\n"))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "addon-operator: see "+strings.Join(publicRoutes(), ", "))
	})
	return mux
}

// publicRoutes are what the HTTP port answers (C-490).
func publicRoutes() []string {
	return []string{"/metrics", "/metrics/hooks", "/healthz", "/readyz", "/status/converge", "/debug/pprof/", "/discovery"}
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

// ListenTCP opens a port; flag is the one that names it.
func ListenTCP(ctx context.Context, address, flag string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("HTTP port %s: %w: choose another with %s", address, err, flag)
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

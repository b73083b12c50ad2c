package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	readTimeout = 10 * time.Second // C-240
	// idleTimeout is longer than clients keep idle connections (90 s), so that the
	// API server never writes a review into a connection that is just being closed.
	idleTimeout = 2 * time.Minute
)

// endpoint is a port that opens when it is first needed and stays open until run ends.
type endpoint struct {
	address   string
	certs     *certs
	clientCAs *x509.CertPool
	grace     time.Duration
	log       *slog.Logger

	mu     sync.Mutex
	opened bool
	ended  bool
	accept chan net.Listener // from open to run
}

func newEndpoint(cfg *Config, e Endpoint, s source) (*endpoint, error) {
	pool, err := e.clientCAs()
	if err != nil {
		return nil, err
	}
	return &endpoint{
		address: e.ListenAddress, certs: newCerts(s, cfg), clientCAs: pool, grace: cfg.Grace,
		log: cfg.Logger, accept: make(chan net.Listener, 1),
	}, nil
}

// open listens, if it does not yet.
func (e *endpoint) open(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.opened || e.ended {
		return nil
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", e.address)
	if err != nil {
		return fmt.Errorf("webhook port: %w", err)
	}
	e.opened = true
	e.accept <- l
	return nil
}

// close ends the time in which open works; a listener that nobody serves is closed.
func (e *endpoint) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	select {
	case l := <-e.accept:
		_ = l.Close()
	default:
	}
}

// run serves from the first open on until ctx ends, and returns after the last request.
func (e *endpoint) run(ctx context.Context, h *handler) {
	defer e.close()
	var l net.Listener
	select {
	case <-ctx.Done():
		return
	case l = <-e.accept:
	}
	e.log.Info("serving webhooks", "address", l.Addr().String())
	config := e.certs.config()
	if e.clientCAs != nil {
		config.ClientCAs, config.ClientAuth = e.clientCAs, tls.RequireAndVerifyClientCert
	}
	// Requests outlive ctx by the grace period; then their hooks are killed.
	requests, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	var inFlight drain
	server := &http.Server{
		Handler:           inFlight.wrap(h),
		TLSConfig:         config,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return requests },
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			e.log.Error("webhook port closed", "address", e.address, "error", err)
		}
	})
	<-ctx.Done()
	patience, stop := context.WithTimeout(requests, e.grace)
	defer stop()
	if err := server.Shutdown(patience); err != nil {
		e.log.Warn("webhook requests were still running and are cut off", "error", err)
	}
	kill()
	_ = server.Close()
	inFlight.wait()
}

// drain waits for handlers, which http.Server.Close does not.
type drain struct {
	running sync.RWMutex
	closed  bool
}

func (d *drain) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.running.RLock()
		defer d.running.RUnlock()
		if d.closed {
			http.Error(w, "the operator is shutting down", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (d *drain) wait() {
	d.running.Lock()
	defer d.running.Unlock()
	d.closed = true
}

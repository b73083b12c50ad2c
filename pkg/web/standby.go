package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"
)

// leaderTimeout bounds the question to the leader (C-451).
const leaderTimeout = 3 * time.Second

// standbyHeader marks the question of a standby, so that two of them do not ask
// each other in a circle.
const standbyHeader = "Addon-Operator-Standby"

// Switch is a handler that can be replaced while it serves. The zero value answers 503.
type Switch struct{ now atomic.Pointer[http.Handler] }

// To makes h answer from now on.
func (s *Switch) To(h http.Handler) { s.now.Store(&h) }

func (s *Switch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.now.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	http.Error(w, "starting", http.StatusServiceUnavailable)
}

// Leader is who leads, as a standby knows it.
type Leader struct {
	// Identity is the host name that the Lease holds; "" when nobody leads.
	Identity string
	// Address, if valid, is asked without a question to DNS.
	Address netip.Addr
}

// Standby is the handler of the HTTP port of a replica that waits to lead. It is
// that of Public, before anything has started, but for /readyz: ready is who
// could take over from a leader that is ready (C-451, C-492).
func Standby(leader func() Leader, port string, metrics, hookMetrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", Public(func() Progress { return Progress{} }, metrics, hookMetrics))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		err := errors.New("this replica is a standby itself, although the Lease names it as the leader")
		if r.Header.Get(standbyHeader) == "" {
			err = askLeader(r.Context(), leader(), port)
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintln(w, "HA mode is enabled:", err)
			return
		}
		fmt.Fprintln(w, "HA mode is enabled and waiting for acquiring the lock.")
	})
	return mux
}

// askLeader is nil when the leader says that it is ready.
func askLeader(ctx context.Context, l Leader, port string) error {
	if l.Identity == "" {
		return errors.New("no leader is elected")
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort(l.Identity, port) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("no request to the leader %q can be made: %w", l.Identity, err)
	}
	req.Header.Set(standbyHeader, "true")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the leader does not answer: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the leader %s is not ready: %s answers %s", l.Identity, url, res.Status)
	}
	return nil
}

func (l Leader) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, port, err := net.SplitHostPort(address); err == nil && l.Address.IsValid() {
		address = net.JoinHostPort(l.Address.String(), port)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// StandbyDebug is the handler of the unix socket of a standby: it has nothing to show.
func StandbyDebug(leader func() Leader) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		l := leader()
		if l.Identity == "" {
			http.Error(w, "this replica is a standby and nobody leads at the moment; ask again", http.StatusServiceUnavailable)
			return
		}
		http.Error(w, "this replica is a standby; ask in the pod of the leader, "+l.Identity, http.StatusServiceUnavailable)
	})
}

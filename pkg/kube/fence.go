package kube

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// A Fence is asked whether this process may act, where only one of several may.
// It must be quick and safe for concurrent use.
type Fence interface {
	// Write is asked before each request that may change something; an error refuses it.
	Write() error
	// Send is asked before any bytes leave on a connection. A process that was
	// stopped after Write had been asked is refused here.
	Send() error
}

// WithFence has f asked before every request that is not a read; without it none is refused.
func WithFence(f Fence) Option { return func(o *options) { o.fence = f } }

// fenced refuses a request that may change something while the fence is down.
func fenced(f Fence, r *http.Request) error {
	if f == nil {
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if err := f.Write(); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper must, also on errors
		}
		return fmt.Errorf("%s %s is not sent: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// fencedDial makes connections that ask the fence at the last moment.
func fencedDial(f Fence, dial dialFunc) dialFunc {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext // as client-go's
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &fencedConn{Conn: c, fence: f}, nil
	}
}

type fencedConn struct {
	net.Conn
	fence Fence
}

// Write is the last instruction of this process before the bytes are the kernel's.
func (c *fencedConn) Write(p []byte) (int, error) {
	if err := c.fence.Send(); err != nil {
		return 0, fmt.Errorf("nothing more is sent to the API server: %w", err)
	}
	return c.Conn.Write(p)
}

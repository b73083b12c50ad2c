package webhook

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// dialLeader bounds the connection of a Forwarder to the leader.
const dialLeader = 3 * time.Second

// A Forwarder stands at the ports of a Server in a replica that waits to lead, and
// hands each connection on to the same port of the leader, as it is: TLS is between
// the API server and the leader. So a Service may lead to any replica.
type Forwarder struct {
	// Config is that of the Server whose place it takes.
	Config Config
	// Leader is the IP of the leader, "" when there is none.
	Leader func() string
	Logger *slog.Logger
}

// Run forwards until ctx ends; ports and connections are closed when it returns. A
// port that cannot be opened is logged and left out: the leader's own is not concerned.
func (f Forwarder) Run(ctx context.Context) {
	f.Config.setDefaults()
	ports := []string{f.Config.Admission.ListenAddress}
	if !f.Config.onePort() {
		ports = append(ports, f.Config.Conversion.ListenAddress)
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, address := range ports {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			f.Logger.Warn("reviews that reach this standby are not handed on to the leader", "address", address, "error", err)
			continue
		}
		all.Go(func() { f.accept(ctx, l) })
	}
}

func (f Forwarder) accept(ctx context.Context, l net.Listener) {
	_, port, _ := net.SplitHostPort(l.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				f.Logger.Warn("reviews that reach this standby are not handed on to the leader any more", "address", l.Addr().String(), "error", err)
			}
			return
		}
		conns.Go(func() {
			defer c.Close()
			if err := f.hand(ctx, c, port); err != nil && ctx.Err() == nil {
				f.Logger.Debug("a review was not handed on to the leader", "error", err)
			}
		})
	}
}

// hand joins a connection with one to the leader until both have ended.
func (f Forwarder) hand(ctx context.Context, c net.Conn, port string) error {
	ip := f.Leader()
	if ip == "" {
		return fmt.Errorf("nobody leads")
	}
	dialing, cancel := context.WithTimeout(ctx, dialLeader)
	defer cancel()
	to, err := (&net.Dialer{}).DialContext(dialing, "tcp", net.JoinHostPort(ip, port))
	if err != nil {
		return err
	}
	defer to.Close()
	stop := context.AfterFunc(ctx, func() {
		_ = c.Close()
		_ = to.Close()
	})
	defer stop()
	var back sync.WaitGroup
	back.Go(func() { pour(c, to) })
	pour(to, c)
	back.Wait()
	return nil
}

// pour copies until from ends and tells the other side so.
func pour(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

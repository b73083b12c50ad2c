package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// apiServerGrace is how long a stopped API server may take before it is killed.
const apiServerGrace = 5 * time.Second

// controlServer answers commands on the control socket, one line each: "ok", or
// "error: " and the reason. The directory's mode keeps other users out.
type controlServer struct {
	mu      sync.Mutex // one command at a time
	cluster *cluster
}

// Run serves until ctx ends and returns when every connection is done.
func (s *controlServer) Run(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			conns.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("control socket: %w", err)
		}
		conns.Go(func() { s.serve(ctx, conn) })
	}
}

func (s *controlServer) serve(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.do(ctx, strings.TrimSpace(line)); err != nil {
		fmt.Fprintf(conn, "error: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	fmt.Fprintln(conn, "ok")
}

func (s *controlServer) do(ctx context.Context, command string) error {
	switch command {
	case "apiserver stop":
		return s.cluster.sup.End(componentAPIServer, syscall.SIGTERM, apiServerGrace)
	case "apiserver kill":
		return s.cluster.sup.End(componentAPIServer, syscall.SIGKILL, apiServerGrace)
	case "apiserver start":
		return s.cluster.restartAPIServer(ctx)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

// sendControl sends one command to the cluster in dir and waits for its answer.
func sendControl(ctx context.Context, dir, command string) error {
	if dir == "" {
		return errors.New("which cluster? give --dir or set LOCALCLUSTER_DIR")
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", fileControlSocket)
	if err != nil {
		return fmt.Errorf("no cluster answers in %s: %w", dir, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := fmt.Fprintln(conn, command); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the cluster in %s ended before %q was done: %w", dir, command, err)
	}
	if reason, failed := strings.CutPrefix(strings.TrimSpace(answer), "error: "); failed {
		return errors.New(reason)
	}
	return nil
}

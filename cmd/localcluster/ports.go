package main

import (
	"context"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// portReservation holds a free TCP port of 127.0.0.1 for one API server.
//
// The socket is bound but never listens, with SO_REUSEPORT: the kernel gives the
// port to nobody else, the API server (--permit-port-sharing) can bind it any
// number of times, and while it is down a client is refused as by any dead server.
// So there is no moment in which another cluster could take the port.
type portReservation struct {
	Port int
	fd   int
}

func reservePort() (*portReservation, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("reserve a port: %w", err)
	}
	unix.CloseOnExec(fd)
	port, err := bindLoopback(fd)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("reserve a port on 127.0.0.1: %w", err)
	}
	return &portReservation{Port: port, fd: fd}, nil
}

func bindLoopback(fd int) (int, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	addr, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("bound to %T instead of an IPv4 address", name)
	}
	return addr.Port, nil
}

// Release gives the port back.
func (r *portReservation) Release() error { return unix.Close(r.fd) }

// listenUnix listens on a socket file of the working directory, readable by this
// user alone. Relative names keep it under the 107 bytes a socket name may have.
func listenUnix(ctx context.Context, name string) (net.Listener, error) {
	old := syscall.Umask(0o177)
	defer syscall.Umask(old)
	return (&net.ListenConfig{}).Listen(ctx, "unix", name)
}

package main

import "syscall"

// ownGroup gives a process its own group, and lets it end when the demo dies without having stopped it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

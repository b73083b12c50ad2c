package main

import "syscall"

// childAttr makes a child die with its parent thread. In a group of its own it gets
// no signal from the terminal: the supervisor decides when it ends.
func childAttr(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup, Pdeathsig: syscall.SIGKILL}
}

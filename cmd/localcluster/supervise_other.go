//go:build !linux

package main

import "syscall"

// childAttr puts a component into a group of its own. Without a parent-death signal
// components end when their standard input closes.
func childAttr(ownGroup bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: ownGroup}
}

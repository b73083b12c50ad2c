//go:build !linux

package main

import "syscall"

// ownGroup gives a process its own group. Only Linux can tie its life to ours.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

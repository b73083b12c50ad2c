// Package hooksonly runs a folder of hooks without modules and without values, as
// shell-operator does.
//
//	load every hook > onStartup hooks by order > bindings of each hook in the order of paths > webhooks    (C-185)
//
// A hook that fails, in its configuration or in one of these steps, is tried again
// with backoff and stops no other: the next one begins when the attempt ended, or
// when it has lasted longer than the patience. Events, ticks and Synchronizations run
// in lanes (pkg/hookrun), where a failing run holds up what is behind it in its own
// queue alone (C-182).
package hooksonly

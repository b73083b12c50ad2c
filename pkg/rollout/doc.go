// Package rollout follows release channels. It keeps, for every module, which artifact is in
// force, which one is on its way and which one to go back to, and gives the loop one merged set of
// modules: those on disk, and those of sources in the versions that may run.
//
// One goroutine owns the state. It polls sources, asks package channel for the next step of each
// module, has artifacts fetched, tried out and put in force, and watches what becomes of them; work
// that takes long runs beside it and comes back as a message.
package rollout

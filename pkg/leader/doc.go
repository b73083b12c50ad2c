// Package leader lets one of several replicas act at a time. It holds a Lease of
// the Kubernetes API (coordination.k8s.io/v1) under the same name and by the same
// rules as client-go's leader election, so that replicas of the predecessor and
// of this operator exclude each other (C-450).
//
//	Elector   waits for the Lease, renews it while its work runs, releases it after that
//	Fence     says whether this process may still act; asked before every write
//
// client-go's own elector does not tell when its last renewal was sent, and finds
// out about a freed Lease by polling. Both matter here:
//
//	renewal sent                                        renewal seen by others
//	     │<──────── Config.Deadline: may act ────────>│        │
//	     │<──────────────── Config.Duration: nobody else may ──┼──>│
//
// The holder counts from the moment it sends a renewal, the others from the moment
// they see it, which is later. So the holder has stopped for Duration - Deadline
// when another begins, time for what it has sent to arrive. Neither compares its
// clock with that of another machine.
//
// How long nobody acts after the holder died, with the defaults (duration 10 s,
// deadline 7 s, renewal every 2 s):
//
//	watch works        10 s after its last renewal was seen: 8 to 10 s after its death
//	watch is broken    the last renewal is seen up to 2 s later by polling: 12 s at most
//	orderly shutdown   the Lease is freed and the watch tells at once
//
// to which comes the time of the requests themselves. Replicas do not wait a random
// time before they try: of several that write at once one wins, by resourceVersion.
//
// A holder that was paused finds its fence down before its next write: the clock
// counts the time in which the process, or the machine, was stopped. The fence does
// not go up again; the process ends and is started anew as a standby.
package leader

// Package publish makes channels move: it reads and verifies their documents, makes the next
// one with the edits of pkg/catalog, signs it and writes it, and copies what it lists from one
// registry to another.
//
// It is for commands, not for the operator, which only reads. A change is planned first (Plan),
// which writes nothing, and then committed (Commit):
//
//	channels:CHANNEL-SEQ   the new document, which stays
//	channels:CHANNEL       moved to it
//
// Registries have no compare-and-swap. Commit therefore looks before and after each of both
// writes, and says ErrLostRace when somebody else wrote in between; what it wrote then is in
// force nowhere. Two writers at once to one channel are noticed, not supported: let one
// pipeline write it.
package publish

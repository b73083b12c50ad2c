// Package store is the only mutable state of the operator's core: the values of
// every section, layer by layer, and the flags that global hooks set.
//
//	static  <  schema defaults  <  ConfigMap  <  schema defaults  <  patch sets of hooks   (C-298)
//
// A section is published as one immutable Section under an atomic pointer; its
// writers take turns on the section's own lock, so a commit always folds onto the
// section as it is then. Readers never wait.
//
// Patch sets loaded from the facts are provisional until their hook has spoken
// for itself in this process: see Settle.
package store

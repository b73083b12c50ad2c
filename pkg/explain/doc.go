// Package explain answers why: where an effective value comes from, what moved
// between two states, and how two sets of objects differ. All of it is computed
// from values that the caller has; texts for people are written here too.
//
//	origin.go  layers of a section > for each leaf, who set it and what that replaced
//	change.go  two sections > the leaves that differ, secrets masked
//	objects.go two manifests > objects added, changed and removed, with unified diffs
//	module.go  what `module explain` shows
//	plan.go    what `plan` shows
package explain

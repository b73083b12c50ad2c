package source

import (
	"errors"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrUnknown is of a preflight that could not be held: it says nothing of the version, and is tried again.
var ErrUnknown = errors.New("the preflight cannot be held now")

// Running is what a module, or the global hooks, do with the version in force.
type Running struct {
	// Known: the module is in the roster; On: it is enabled, or nothing is decided yet; Installed: there is a release of it.
	Known, On, Installed bool
	// Artifact is the manifest digest of the version in force, "" for one from disk; Version its number.
	Artifact, Version string
	// Applied: an attempt with this version has succeeded. Failed: several in a row have failed, not
	// for want of an answer from the API server.
	Applied, Failed bool
	// Settled: nothing newer is wanted than what was applied.
	Settled bool
	// Ready as status derives it.
	Ready           bool
	Reason, Message string
}

// Hold puts a section of values in force in place of the one that the user wrote.
type Hold struct {
	// While is the settings.LayerDigest of the user's section; any other section ends the hold.
	While string
	Layer values.Map
}

// Pods is what the pods of a module's workloads show.
type Pods struct {
	// Restarts are those of all their containers.
	Restarts int64
	// Trouble is what keeps the newest one from being Ready, "" when nothing does.
	Trouble string
}

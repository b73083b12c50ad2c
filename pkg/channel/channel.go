// Package channel decides which version of a module runs, when, and what follows: pure
// functions over channel documents, the user's choices and what is observed.
//
//	Origin    where a module comes from: disk, or which source
//	Choose    which version of it is wanted
//	Delays    what stands against it now, and until when
//	Next      the one step that a module's releases take
//
// The loop that keeps the state and performs the steps is rollout's.
package channel

import (
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// Offer is one source as seen by origin rules: its name, its allow list, what its documents list.
type Offer struct {
	Source source.Source
	// Documents are the valid ones by channel.
	Documents map[string]catalog.Document
}

// Target is what a module should run.
type Target struct {
	// Embedded: the version on disk. Else Source, Channel, Entry and Ref say what.
	Embedded bool
	Source   string
	Channel  string
	Entry    catalog.Entry
	Ref      catalog.Ref
	// Seq is the document's.
	Seq int64
	// Reason and Message say why there is no target, or why it stays as it is (AmbiguousSource, NotInChannel,
	// VersionNotOffered, …); then nothing changes.
	Reason, Message string
}

// Reasons why a module stays as it is.
const (
	ReasonAmbiguousSource   = "AmbiguousSource"
	ReasonSourceMissing     = "SourceMissing"
	ReasonNotInChannel      = "NotInChannel"
	ReasonVersionNotOffered = "VersionNotOffered"
	ReasonVersionInvalid    = "VersionInvalid"
	ReasonYanked            = "Yanked"
	ReasonDowngrade         = "DowngradeIgnored"
	ReasonUpgradePath       = "NoUpgradePath"
	ReasonRejected          = "Rejected"
	ReasonSourceStale       = "SourceStale"
	ReasonWave              = "WaitingForWave"
	ReasonWindow            = "OutsideWindow"
	ReasonFreeze            = "Freeze"
	ReasonApproval          = "WaitingForApproval"
	ReasonBlocked           = "Blocked"
	ReasonSuspended         = "SourceSuspended"
)

// Delay is one thing that stands against a release now.
type Delay struct {
	Reason, Message string
	// Until is when it may be over by itself; zero when only a change can end it.
	Until time.Time
}

// Situation is everything Next needs to know of one module.
type Situation struct {
	Now    time.Time
	Track  source.Track
	Target Target
	// First: nothing of the module is installed.
	First bool
	// On: the module is enabled.
	On bool
	// Delays of the target, as Delays found them.
	Delays []Delay
	// Meta is of the release it is about, nil until it was fetched.
	Meta *artifact.Meta
	// Fetched: the artifact of Track.Next lies in the cache; FetchError is why it could not be had.
	Fetched    bool
	FetchError string
	// Checked: the preflight of Track.Next has ended; PreflightError is what it found.
	Checked        bool
	PreflightError string
	// Run is what is observed of what is in force.
	Run Observed
	// Values is the digest of the user's section.
	Values string
	// Policy of the source.
	Policy source.Policy
	// Retry is what ModuleRelease.spec.retry says of the release it is about.
	Retry string
	// Fallback: the artifact (or embedded version) of Track.Previous can be had.
	Fallback bool
}

// Observed is what the module does with the artifact in force.
type Observed struct {
	// Digest is of the artifact in force: the manifest digest, "" for embedded.
	Digest string
	// Applied: the attempt with this artifact has succeeded, Failed: it has failed.
	Applied, Failed bool
	// Ready as status derives it.
	Ready bool
	// Restarts are those of the module's pods together.
	Restarts        int64
	Reason, Message string
}

// Action is what Next asks its caller to do.
type Action string

const (
	// Stay: nothing but to remember the new Track, and to look again at Wake.
	Stay Action = ""
	// Fetch the artifact of Track.Next.
	Fetch Action = "Fetch"
	// TryOut runs the preflight of Track.Next.
	TryOut Action = "Preflight"
	// PutInForce makes Track.Current's artifact the module's.
	PutInForce Action = "PutInForce"
	// Restore makes Track.Current's artifact, the one before, the module's again, with the stored layer.
	Restore Action = "Restore"
)

// Step is the outcome of Next.
type Step struct {
	Track  source.Track
	Action Action
	// Wake is when to look again without a change, zero for never.
	Wake time.Time
	// Events are to be told, each a transition.
	Events []Transition
}

// Transition is a release that changed its phase.
type Transition struct {
	Release source.Release
	From    source.Phase
}

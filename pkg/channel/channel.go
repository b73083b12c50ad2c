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

// Subject is one module (or "global"), and what choosing a version of it needs to know.
type Subject struct {
	Module string
	Choice source.Choice
	// OnDisk: it lies in the modules directories, in version Embedded (may be empty).
	OnDisk   bool
	Embedded string
	// First: nothing of the module is installed.
	First bool
	// Installed is the version of what is installed while Track.Current is nil; empty means Embedded.
	Installed string
	Track     source.Track
	// Metas are those that are known, by manifest digest: of artifacts that lie in the cache.
	Metas  map[string]artifact.Meta
	Offers []Offer
}

// Place is where a module comes from: disk, or a source by name. With a Reason there is no telling,
// and nothing changes.
type Place struct {
	Embedded        bool
	Source          string
	Reason, Message string
}

// Target is what a module should run.
type Target struct {
	// Embedded: the version on disk. Else Source, Channel, Entry and Ref say what.
	Embedded bool
	Source   string
	Channel  string
	// Entry is the channel's, filled in also when Reason is set.
	Entry catalog.Entry
	// Ref is the version to go to now: Goal, or a step of the entry's path on the way there. The
	// version of an unlisted digest is empty until it was fetched.
	Ref  catalog.Ref
	Goal catalog.Ref
	// Pinned: the user's Version names exactly this one.
	Pinned bool
	// Seq is the document's.
	Seq int64
	// Yanked is why the version that runs was yanked, empty when it was not.
	Yanked string
	// Reason and Message say why there is no target, or why it stays as it is (AmbiguousSource, NotInChannel,
	// VersionNotOffered, …); then nothing changes.
	Reason, Message string
}

// Around is what delays depend on beside the target.
type Around struct {
	Now time.Time
	// UID is that of namespace kube-system: which wave this cluster is in.
	UID string
	// Orders are the users', by name of the ModuleRelease (source.Release.Name).
	Orders map[string]source.Order
	// Kubernetes and Operator are versions; one that is no semver (a development build) satisfies any range.
	Kubernetes, Operator string
	// Fact says whether a dotted path exists in the global values.
	Fact func(path string) bool
	// Peer answers what is known of another module.
	Peer func(name string) Peer
}

// Peer is another module as requirements see it.
type Peer struct {
	Exists, On, Ready bool
	Version           string
	// Why it is not Ready.
	Why string
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
	ReasonNoDocument        = "NoDocument"
	ReasonFetching          = "Fetching"
	ReasonFetchFailed       = "FetchFailed"
	ReasonOff               = "ModuleOff"
	ReasonVerifyingFirst    = "VerificationGoesOn"
	ReasonPolicy            = "PolicyInvalid"
)

// Reasons of phases that end something.
const (
	ReasonPreflight       = "PreflightFailed"
	ReasonNotReady        = "NotReadyInTime"
	ReasonApplyFailed     = "ApplyFailed"
	ReasonHealthLost      = "HealthLost"
	ReasonUnsafe          = "RollbackUnsafe"
	ReasonNoFallback      = "NothingToGoBackTo"
	ReasonRestoreFailed   = "RestoreFailed"
	ReasonOvertaken       = "Overtaken"
	ReasonSoaking         = "Soaking"
	ReasonWaitingForReady = "WaitingForReady"
	ReasonRestored        = "Restored"
)

// Delay is one thing that stands against a release now.
type Delay struct {
	Reason, Message string
	// Until is when it may be over by itself; zero when only a change can end it.
	Until time.Time
}

// Situation is everything Next needs to know of one module.
type Situation struct {
	Now time.Time
	// Up is since when this process has acted: what happened before was seen by nobody, so that
	// deadlines and soak begin there at the earliest.
	Up     time.Time
	Module string
	Track  source.Track
	Target Target
	// First: nothing of the module is installed.
	First bool
	// Installed is the version of what is installed while Track.Current is nil.
	Installed string
	// On: the module is enabled.
	On bool
	// Delays of the target, as Delays found them.
	Delays []Delay
	// Metas are those that are known, by manifest digest.
	Metas map[string]artifact.Meta
	// Fetched: the artifact of Track.Next lies in the cache (an embedded one needs none); FetchError is why
	// it could not be had.
	Fetched    bool
	FetchError string
	// Checked: a preflight of Track.Next with these Values and its Retried has ended; PreflightError is what
	// it found. Without Checked, PreflightError is why none could be held.
	Checked        bool
	PreflightError string
	// Run is what is observed of what is in force.
	Run Observed
	// Values is the digest of the user's section, never empty.
	Values string
	// Policy of the source of Track.Current; zero for an embedded one.
	Policy source.Policy
	// Orders are the users', by name of the ModuleRelease.
	Orders map[string]source.Order
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
	// Restarts are those of the containers of the module's pods together.
	Restarts        int64
	Reason, Message string
	// Values is the digest of the user's section that the attempt was made with.
	Values string
}

// Action is what Next asks its caller to do. Actions are repeated in every Step until the Situation shows
// their outcome, so that one that is under way already needs no second beginning.
type Action string

const (
	// Stay: nothing.
	Stay Action = ""
	// PutInForce makes Track.Current's artifact the module's.
	PutInForce Action = "PutInForce"
	// Restore makes Track.Current's artifact, the one before, the module's again, with the stored layer if
	// Track.Held says so.
	Restore Action = "Restore"
	// Fetch the artifact of Track.Next.
	Fetch Action = "Fetch"
	// TryOut runs the preflight of Track.Next.
	TryOut Action = "Preflight"
)

// Step is the outcome of Next.
type Step struct {
	// Track is to be remembered before anything is done.
	Track source.Track
	// Action is about Track.Current: Stay, PutInForce or Restore.
	Action Action
	// Prepare is about Track.Next: Stay, Fetch or TryOut.
	Prepare Action
	// Wake is when to look again without a change, zero for never.
	Wake time.Time
	// Events are to be told, each a transition, in their order.
	Events []Transition
	// Reason and Message say why the module does not run its target, empty when it does.
	Reason, Message string
}

// Transition is a release that changed its phase.
type Transition struct {
	Release source.Release
	From    source.Phase
}

// Package source is what users say of where modules come from, and what they are told of
// it: the ModuleSource and ModuleRelease resources (group addon-operator.io, v1alpha1) and
// what is remembered of releases over restarts.
package source

import (
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Source is the spec of a ModuleSource, read and checked.
type Source struct {
	// Name is the resource's, UID and Generation its metadata.
	Name, UID  string
	Generation int64
	// URL is oci://HOST[:PORT]/ROOT, or oci-layout:///ABSOLUTE/PATH.
	URL string
	// Auth names a Secret of type kubernetes.io/dockerconfigjson in the operator's namespace, CA a
	// key with PEM certificates there, as Secret/NAME/KEY or ConfigMap/NAME/KEY; empty for none.
	Auth string
	CA   string
	// PlainHTTP allows HTTP to hosts other than loopback.
	PlainHTTP bool
	// Interval is the time between two polls; default 5 min.
	Interval time.Duration
	// Timeout bounds one request; default 30 s.
	Timeout time.Duration
	// Channel is followed by modules that name none.
	Channel string
	// Keys are the public keys (PEM, PKIX) of which one must have signed a channel's document.
	Keys []string
	// AllowUnlistedDigests lets a pin to a digest name what no document lists.
	AllowUnlistedDigests bool
	// Modules are names, or patterns of path.Match, of modules that this source brings unless the ConfigMap says
	// otherwise; nil brings none by itself.
	Modules []string
	Update  Policy
	// ServiceAccountName, in the operator's namespace, is who Helm and hooks of its modules act as; "" is the operator.
	ServiceAccountName string
	// Suspend stops polls and upgrades; what runs goes on.
	Suspend bool
	// Problem is why the spec cannot be used. The last good one stays in force and is what all but Name, UID and
	// Generation say; where there was none in this process, URL is empty and nothing can be done with the source.
	Problem string
}

// Policy is ModuleSource.spec.update.
type Policy struct {
	// Mode is of modules for which the ConfigMap sets none.
	Mode    Mode
	Windows []Window
	Freezes []Freeze
	// Soak is how long a new version must stay Ready before it counts as Deployed; default 5 min.
	Soak time.Duration
	// Timeout is how long it may take to become Ready at first; default 15 min.
	Timeout time.Duration
	// UrgentIgnoresWindows lets versions of urgency security go in outside of windows.
	UrgentIgnoresWindows bool
	// LeaveYanked moves on from a yanked version that runs, ignoring windows and waves.
	LeaveYanked bool
	// RollbackWebhook is a URL that is told of rollbacks with one POST of JSON; "" for none.
	RollbackWebhook string
}

// Mode says who decides about an upgrade (`<camel>Update` of the ConfigMap).
type Mode string

const (
	// Auto upgrades by itself; the default.
	Auto Mode = "Auto"
	// AutoPatch upgrades by itself where major and minor version stay.
	AutoPatch Mode = "AutoPatch"
	// Manual waits for spec.approved of the ModuleRelease.
	Manual Mode = "Manual"
)

// Choice is what the user's ConfigMap says of one module, or of the global hooks (`<camel>Channel`, `Version`,
// `Update` and `Source`); empty fields are not set.
type Choice struct {
	Channel string
	// Version is an exact version, a semver range, or sha256:<64 hex>.
	Version string
	Update  Mode
	// Source is Embedded or the name of a ModuleSource.
	Source string
}

// String is a choice for people.
func (c Choice) String() string {
	var parts []string
	for _, p := range [][2]string{{"source", c.Source}, {"channel", c.Channel}, {"version", c.Version}, {"update", string(c.Update)}} {
		if p[1] != "" {
			parts = append(parts, p[0]+" "+p[1])
		}
	}
	if len(parts) == 0 {
		return "nothing set"
	}
	return strings.Join(parts, ", ")
}

// Embedded is the Choice.Source of what lies in the modules directories.
const Embedded = "embedded"

// Window is a time in which upgrades may begin. Cron has five fields; TimeZone is a name of the
// IANA database, default UTC.
type Window struct {
	Cron     string
	Duration time.Duration
	TimeZone string
}

// Freeze is a time in which no upgrade begins; From is in, To is not.
type Freeze struct{ From, To time.Time }

// Phase is where a release is in its life.
type Phase string

const (
	// Pending: chosen, and something is not met yet.
	Pending Phase = "Pending"
	// Scheduled: nothing but the time is missing.
	Scheduled Phase = "Scheduled"
	// Preflight: fetched, and tried without effect.
	Preflight Phase = "Preflight"
	// Applying: put in force; not all is applied yet.
	Applying Phase = "Applying"
	// Verifying: applied; it must become and stay Ready.
	Verifying Phase = "Verifying"
	// Deployed: what the module runs.
	Deployed Phase = "Deployed"
	// Superseded: was Deployed once.
	Superseded Phase = "Superseded"
	// RollingBack: the version before is put in force again.
	RollingBack Phase = "RollingBack"
	// RolledBack: was undone; its digest is rejected.
	RolledBack Phase = "RolledBack"
	// Failed: did not pass, or must not be rolled back; a human decides.
	Failed Phase = "Failed"
	// Skipped: overtaken by another version before it was applied.
	Skipped Phase = "Skipped"
	// Suspended: yanked, or its source suspended, before it was applied.
	Suspended Phase = "Suspended"
)

// Release is one version of one module on its way through this cluster, as remembered.
type Release struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	// Digest is the artifact's manifest digest; empty for what lies on disk (Embedded).
	Digest  string `json:"digest,omitempty"`
	Source  string `json:"source,omitempty"`
	Channel string `json:"channel,omitempty"`
	Phase   Phase  `json:"phase"`
	// Reason is CamelCase, Message a sentence; both may be empty.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Since is when the phase began, ReadySince since when it has been Ready without a break.
	Since      time.Time `json:"since,omitzero"`
	ReadySince time.Time `json:"readySince,omitzero"`
	// Begun is when it was put in force, or tried once more.
	Begun time.Time `json:"begun,omitzero"`
	// BrokenSince is since when its attempt has failed, or it has not been Ready after having been so.
	BrokenSince time.Time `json:"brokenSince,omitzero"`
	// Restarts is the fewest restarts of its containers seen since ReadySince.
	Restarts int64 `json:"restarts,omitempty"`
	// Unsafe: it must not be rolled back by itself.
	Unsafe bool `json:"unsafe,omitempty"`
	// Values is the digest of the user's section that it was last tried with.
	Values string `json:"values,omitempty"`
	// NotBefore is when it is looked at again, zero when only a change can help.
	NotBefore time.Time `json:"notBefore,omitzero"`
	// Retried is the newest ModuleRelease.spec.retry that was acted upon.
	Retried string `json:"retried,omitempty"`
	// Approved is what the resource said last; for display.
	Approved bool `json:"approved,omitempty"`
	// Doc is the seq of the document that asked for it.
	Doc int64 `json:"doc,omitempty"`
	// PromotedAt is the entry's.
	PromotedAt time.Time `json:"promotedAt,omitzero"`
}

// Embedded says that it is the version in the modules directory.
func (r Release) Embedded() bool { return r.Source == "" }

// Name is that of its ModuleRelease: module, version and the beginning of the digest, so that an approval
// never counts for other bytes of the same version. What lies on disk has Embedded in its place.
func (r Release) Name() string {
	digest := strings.TrimPrefix(r.Digest, "sha256:")
	if digest == "" {
		digest = Embedded
	}
	version := strings.ToLower(strings.ReplaceAll(r.Version, "+", "-"))
	return r.Module + "-" + version + "-" + digest[:min(len(Embedded), len(digest))]
}

// Ref is the release's version and digest.
func (r Release) Ref() catalog.Ref { return catalog.Ref{Version: r.Version, Digest: r.Digest} }

// Track is all that is remembered of one module (or of global) over restarts.
type Track struct {
	// Current runs, or ran last: Deployed, or on its way there (Applying, Verifying), or Failed after
	// it was applied. Nil while the module is not managed by channels.
	Current *Release `json:"current,omitempty"`
	// Previous is what to go back to, with Layer, the user's section of values it last ran well with.
	Previous *Release `json:"previous,omitempty"`
	// Next is chosen and not applied yet.
	Next *Release `json:"next,omitempty"`
	// Undone is being rolled back, until Current, the one before, is Ready again.
	Undone *Release `json:"undone,omitempty"`
	// Rejected are digests that were tried and failed.
	Rejected []Rejected `json:"rejected,omitempty"`
	// History are ended releases, newest first, at most HistoryLimit.
	History []Release `json:"history,omitempty"`
	// Account is the ServiceAccount that Current's source acts as, kept for when the source is gone.
	Account string `json:"account,omitempty"`
	// Good is the digest of the user's section that Current was last Ready with; its text is kept in the Secret.
	Good string `json:"good,omitempty"`
	// Held: the user layer in force is the stored one, until the section's digest is another than this.
	Held string `json:"held,omitempty"`
}

// HistoryLimit bounds Track.History, and KeptMessage the bytes of a message there: all modules are remembered in one
// ConfigMap.
const (
	HistoryLimit = 4
	KeptMessage  = 400
)

// Rejected is a digest that is not tried again until Values is another digest, or a retry is asked for.
type Rejected struct {
	// Module is set where it is not plain, as in a Status.
	Module  string `json:"module,omitempty"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Reason  string `json:"reason"`
	Values  string `json:"values,omitempty"`
	// Retried is the ModuleRelease.spec.retry that had been acted upon by then.
	Retried string    `json:"retried,omitempty"`
	Time    time.Time `json:"time"`
}

// RejectedLimit bounds Track.Rejected; the oldest go first.
const RejectedLimit = 50

// Releases are all that the track knows, newest in their life first, each Name once.
func (t Track) Releases() []Release {
	var out []Release
	add := func(r Release) {
		if !slices.ContainsFunc(out, func(o Release) bool { return o.Name() == r.Name() }) {
			out = append(out, r)
		}
	}
	for _, r := range []*Release{t.Next, t.Undone, t.Current, t.Previous} {
		if r != nil {
			add(*r)
		}
	}
	for _, r := range t.History {
		add(r)
	}
	return out
}

// Mark is how far a channel has been followed, per source URL and channel: no document with a lower
// Seq, or another with the same, is ever taken.
type Mark struct {
	Seq    int64  `json:"seq"`
	Digest string `json:"digest"` // of the document's bytes
	// Manifest is the digest of the channel artifact, which the cache may still hold.
	Manifest string `json:"manifest"`
}

// Memory is what is remembered over restarts, with the facts.
type Memory struct {
	// Marks are by URL and channel, joined by a blank.
	Marks map[string]Mark `json:"marks,omitempty"`
	// Tracks are by module name; "global" is that of the global hooks.
	Tracks map[string]Track `json:"tracks,omitempty"`
	// Layers are the user's sections that modules were last well with (Track.Good), by module name; they
	// may hold secrets and are kept in the Secret.
	Layers map[string]values.Map `json:"-"`
}

// Order is what the user asked of one ModuleRelease.
type Order struct {
	Approved bool
	// Retry is any text; another than before asks for one more try.
	Retry string
}

// Status is what a ModuleSource shows.
type Status struct {
	Name string
	// UID is the resource's: another one has its status written, even if it says the same.
	UID string
	// Generation is the spec's that this is about.
	Generation int64
	Conditions []Condition
	Channels   []ChannelStatus
	// Modules is how many modules the documents list.
	Modules int
	// Polled is when a registry last answered, NextPoll when it is asked again.
	Polled, NextPoll time.Time
	// Rejected are digests this source brought that were rolled back.
	Rejected []Rejected
}

// ChannelStatus is one followed channel.
type ChannelStatus struct {
	Channel            string
	Seq                int64
	Digest             string
	CreatedAt, Expires time.Time
}

// Condition is one condition of a ModuleSource.
type Condition struct {
	Type            string
	Status          bool
	Reason, Message string
}

// Condition types of a ModuleSource.
const (
	// Available: the newest poll of every channel in use gave a valid document.
	Available = "Ready"
	// Stale: a document has expired; what runs keeps running.
	Stale = "SourceStale"
)

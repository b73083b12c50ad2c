// Package catalog is the document of a release channel: one small, signed, numbered JSON
// text that lists every module of a source by digest.
//
// One signature covers the whole, so that a registry can neither mix versions nor bring an
// old one back: a document names the one before it, and its number only grows. Promotion,
// yanking and rollback are edits that make the next document; they are pure functions here,
// and the commands push what they return.
package catalog

import "time"

// Media types of the channel artifact's two layers, and its artifactType (OCI image spec v1.1).
const (
	ArtifactType  = "application/vnd.addon-operator.channel.v1"
	DocumentType  = "application/vnd.addon-operator.channel.v1+json"
	SignatureType = "application/vnd.addon-operator.channel.signature.v1"
)

// Document is a channel at one point of its history. Digests are OCI digests, sha256:<64 hex>.
type Document struct {
	Channel string `json:"channel"`
	// Seq grows by at least one with each document.
	Seq int64 `json:"seq"`
	// Previous is the digest of the bytes of the document before, empty in the first.
	Previous  string    `json:"previous,omitempty"`
	CreatedAt time.Time `json:"createdAt"`
	// ExpiresAt ends the time in which the document justifies upgrades; zero never does.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	Rollout   Rollout   `json:"rollout,omitzero"`
	// Modules are the entries by kebab-case module name.
	Modules map[string]Entry `json:"modules"`
	// Global is the artifact of global hooks, nil without one.
	Global *Entry `json:"global,omitempty"`
}

// Rollout spreads a new version over clusters: one in Waves of them begins at once, the next
// after Interval, and so on. Waves of 0 or 1 is no spreading.
type Rollout struct {
	Waves    int      `json:"waves,omitempty"`
	Interval Duration `json:"interval,omitempty"`
}

// Entry is what a channel offers of one module.
type Entry struct {
	Ref
	PromotedAt time.Time `json:"promotedAt"`
	// From is the channel that the version was promoted from, empty when it was put in directly.
	From string `json:"from,omitempty"`
	// Urgency is "normal" (the default) or "security".
	Urgency string `json:"urgency,omitempty"`
	// Path are versions to walk through, oldest first, when the one that runs is too old for UpgradeFrom.
	Path []Ref `json:"path,omitempty"`
	// Rollback says that going down to this version is wanted.
	Rollback bool `json:"rollback,omitempty"`
	// Available are older versions that are still offered to those that ask for them.
	Available []Ref    `json:"available,omitempty"`
	Yanked    []Yanked `json:"yanked,omitempty"`
}

// Ref is one version of a module, by digest.
type Ref struct {
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Yanked is a version that must not be installed any more.
type Yanked struct {
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	Reason  string `json:"reason"`
}

// Security is the urgency that skips waves and, by policy, windows.
const Security = "security"

// Duration is a length of time written as Go does, "6h30m".
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// Package catalog is the document of a release channel: one small, signed, numbered JSON
// text that lists every module of a source by digest.
//
// One signature covers the whole, so that a registry can neither mix versions nor bring an
// old one back: a document names the one before it, and its number only grows. Promotion,
// yanking and rollback are edits that make the next document (Next); they are pure functions
// here, and the commands push what they return.
//
// # What the next version of this format may add
//
// Parse refuses fields that it does not know: they may narrow what a document allows, and an
// operator that passed over them would install what it must not. Room for what may be passed
// over is in annotations, of the document and of every entry, which hold any text and are
// never acted upon.
package catalog

import "time"

// Media types of the channel artifact's two layers, and its artifactType (OCI image spec v1.1).
const (
	ArtifactType  = "application/vnd.addon-operator.channel.v1"
	DocumentType  = "application/vnd.addon-operator.channel.v1+json"
	SignatureType = "application/vnd.addon-operator.channel.signature.v1"
)

// Bounds of what is read. A document of 500 modules with ten versions each has about 700 KiB.
const (
	// MaxDocument is the size of a document in bytes.
	MaxDocument = 2 << 20
	// MaxSignature is the size of a signature in bytes; ECDSA P-256 in DER needs 72.
	MaxSignature = 256
	// MaxPath, MaxAvailable and MaxYanked bound the lists of one entry.
	MaxPath      = 50
	MaxAvailable = 50
	MaxYanked    = 100
)

// Document is a channel at one point of its history. Digests are OCI digests, sha256:<64 hex>.
type Document struct {
	Channel string `json:"channel"`
	// Seq grows by at least one with each document; 1 or more.
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
	// Annotations are for people and tools; nothing acts upon them.
	Annotations map[string]string `json:"annotations,omitempty"`
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
	// All are lower than Version.
	Path []Ref `json:"path,omitempty"`
	// Rollback says that going down to this version is wanted.
	Rollback bool `json:"rollback,omitempty"`
	// Available are other versions that are still offered to those that ask for them, highest first;
	// after a rollback they may be higher than Version.
	Available []Ref    `json:"available,omitempty"`
	Yanked    []Yanked `json:"yanked,omitempty"`
	// Annotations are for people and tools; nothing acts upon them.
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Ref is one version of a module, by digest.
type Ref struct {
	Version string `json:"version"` // semver 2.0.0
	Digest  string `json:"digest"`
}

// Yanked is a version that must not be installed any more.
type Yanked struct {
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"`
	Reason  string `json:"reason"`
}

// Normal and Security are the urgencies; Security skips waves and, by policy, windows.
const (
	Normal   = "normal"
	Security = "security"
)

// Global is the name that stands for Document.Global where a module is named.
const Global = "global"

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

// Entry is that of a module, or of Global; false when the document lists none.
func (d Document) Entry(module string) (Entry, bool) {
	if module != Global {
		e, ok := d.Modules[module]
		return e, ok
	}
	if d.Global == nil {
		return Entry{}, false
	}
	return *d.Global, true
}

// Lifetime is how long the document justifies upgrades from its creation; zero is for ever.
func (d Document) Lifetime() time.Duration {
	if d.ExpiresAt.IsZero() {
		return 0
	}
	return d.ExpiresAt.Sub(d.CreatedAt)
}

// Names are the modules that are listed, sorted, and Global last if it is.
func (d Document) Names() []string {
	names := sorted(d.Modules)
	if d.Global != nil {
		names = append(names, Global)
	}
	return names
}

// Find is the version among what the entry offers: itself, its path and what is available.
func (e Entry) Find(version string) (Ref, bool) {
	for _, r := range e.Offers() {
		if r.Version == version {
			return r, true
		}
	}
	return Ref{}, false
}

// Offers are all versions that may be installed: the entry itself, then what is available, then
// its path; each once.
func (e Entry) Offers() []Ref {
	out := []Ref{e.Ref}
	seen := map[Ref]bool{e.Ref: true}
	for _, list := range [][]Ref{e.Available, e.Path} {
		for _, r := range list {
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}

// YankedAs says that the version, or the digest if it is not empty, must not be installed any more.
func (e Entry) YankedAs(version, digest string) (Yanked, bool) {
	for _, y := range e.Yanked {
		if y.Version == version || digest != "" && y.Digest == digest {
			return y, true
		}
	}
	return Yanked{}, false
}

package catalog

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Bounds of single fields.
const (
	// maxSeq is the largest whole number that every JSON reader keeps (RFC 8259 section 6).
	maxSeq = 1<<53 - 1
	// maxName is Helm's limit for the name of a release, which is the module's (C-287).
	maxName = 53
	// maxChannel leaves room for "-<seq>" in a tag of 128 characters.
	maxChannel  = 63
	maxVersion  = 100
	maxReason   = 1024
	maxWaves    = 1000
	maxInterval = 30 * 24 * time.Hour
)

var (
	channelChars = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)
	// historyTag is what the tag of an old document looks like: CHANNEL-SEQ.
	historyTag = regexp.MustCompile(`-[0-9]+$`)
	digestForm = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)
)

// CheckChannel says why a text cannot be the name of a channel.
func CheckChannel(name string) error {
	switch {
	case len(name) > maxChannel:
		return fmt.Errorf("channel %.20q…: expected at most %d characters, got %d", name, maxChannel, len(name))
	case !channelChars.MatchString(name):
		return fmt.Errorf("channel %q: expected lower-case letters and digits, joined by single '-', '.' or '_', as in stable or my-feature", name)
	case historyTag.MatchString(name):
		return fmt.Errorf("channel %q ends in a dash and a number, as the tags of old documents do: call it %q",
			name, strings.ReplaceAll(name, "-", ".")) // a name that passes
	}
	return nil
}

// CheckModule says why a text cannot be the name of a module in a channel.
func CheckModule(name string) error {
	if name == Global {
		return fmt.Errorf("module name %q means the global hooks, which have a field of their own", name)
	}
	if len(name) > maxName {
		return fmt.Errorf("module name %.20q…: expected at most %d characters, got %d (Helm's limit for the name of a release)", name, maxName, len(name))
	}
	if err := values.CheckName(name); err != nil {
		return err
	}
	if _, setting := values.CutSetting(values.Key(name)); setting != "" {
		return fmt.Errorf("module name %q ends in the word %s, and its section of the ConfigMap would be a setting of another module: rename it",
			name, strings.ToLower(setting))
	}
	return nil
}

// CheckVersion says why a text is not a version as of semver 2.0.0.
func CheckVersion(version string) error {
	if len(version) > maxVersion {
		return fmt.Errorf("%.20q…: expected at most %d characters, got %d", version, maxVersion, len(version))
	}
	if _, err := semver.StrictNewVersion(version); err != nil {
		return fmt.Errorf("%q: expected a version as of semver.org, X.Y.Z: %w", version, err)
	}
	return nil
}

// CheckDigest says why a text is not an OCI digest of SHA-256.
func CheckDigest(digest string) error {
	if !digestForm.MatchString(digest) {
		return fmt.Errorf("%.80q: expected sha256: and 64 lower-case hex digits", digest)
	}
	return nil
}

// compare orders versions by precedence, and what is no version before all.
func compare(a, b string) int {
	va, errA := semver.StrictNewVersion(a)
	vb, errB := semver.StrictNewVersion(b)
	switch {
	case errA != nil && errB != nil:
		return strings.Compare(a, b)
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}

// Check says what is wrong with the document; Parse and Encode call it.
func (d Document) Check() error {
	if err := d.checkHead(); err != nil {
		return fmt.Errorf("channel document: %w", err)
	}
	if d.Modules == nil {
		return errors.New(`channel document: modules is missing; a channel without modules says "modules": {}`)
	}
	for _, name := range d.Names() {
		e, _ := d.Entry(name)
		if err := checkListed(name, e); err != nil {
			return fmt.Errorf("channel document: %w", err)
		}
	}
	return nil
}

func checkListed(name string, e Entry) error {
	where := "module " + name
	if name == Global {
		where = Global
	} else if err := CheckModule(name); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	return nil
}

func (d Document) checkHead() error {
	if err := CheckChannel(d.Channel); err != nil {
		return err
	}
	if _, ok := d.Modules[Global]; ok {
		return CheckModule(Global)
	}
	if d.Seq < 1 || d.Seq > maxSeq {
		return fmt.Errorf("seq is %d: expected 1 or more, and at most 2^53-1", d.Seq)
	}
	if d.Previous != "" {
		if d.Seq == 1 {
			return errors.New("previous is set, and seq is 1: the first document has none before it")
		}
		if err := CheckDigest(d.Previous); err != nil {
			return fmt.Errorf("previous is %w", err)
		}
	}
	if err := checkTime(d.CreatedAt); err != nil {
		return fmt.Errorf("createdAt %w", err)
	}
	if !d.ExpiresAt.IsZero() && !whole(d.ExpiresAt).After(whole(d.CreatedAt)) {
		return fmt.Errorf("expiresAt is %s: expected a time after createdAt, %s", d.ExpiresAt.Format(time.RFC3339), d.CreatedAt.Format(time.RFC3339))
	}
	return d.Rollout.check()
}

// checkTime wants a time that JSON can hold.
func checkTime(t time.Time) error {
	if t.IsZero() {
		return errors.New("is missing: expected a time, as 2026-01-31T12:00:00Z")
	}
	if y := t.UTC().Year(); y < 2000 || y > 9998 {
		return fmt.Errorf("is in the year %d", y)
	}
	return nil
}

func (r Rollout) check() error {
	interval := time.Duration(r.Interval)
	switch {
	case r.Waves < 0 || r.Waves > maxWaves:
		return fmt.Errorf("rollout.waves is %d: expected 0 to %d", r.Waves, maxWaves)
	case interval < 0 || interval > maxInterval:
		return fmt.Errorf("rollout.interval is %s: expected 0 to %s", interval, maxInterval)
	case r.Waves > 1 && interval == 0:
		return fmt.Errorf("rollout.interval is missing: %d waves need the time between two, as 6h", r.Waves)
	case r.Waves <= 1 && interval > 0:
		return fmt.Errorf("rollout.interval is %s, and there is one wave only: set rollout.waves, or leave the interval out", interval)
	}
	return nil
}

func (r Ref) check() error {
	if err := CheckVersion(r.Version); err != nil {
		return fmt.Errorf("version is %w", err)
	}
	if err := CheckDigest(r.Digest); err != nil {
		return fmt.Errorf("digest of version %s is %w", r.Version, err)
	}
	return nil
}

func (e Entry) check() error {
	if err := e.Ref.check(); err != nil {
		return err
	}
	if err := checkTime(e.PromotedAt); err != nil {
		return fmt.Errorf("promotedAt %w", err)
	}
	if e.From != "" {
		if err := CheckChannel(e.From); err != nil {
			return fmt.Errorf("from: %w", err)
		}
	}
	switch e.Urgency {
	case "", Normal, Security:
	default:
		return fmt.Errorf("urgency is %.40q: expected %s or %s", e.Urgency, Normal, Security)
	}
	if err := e.checkPath(); err != nil {
		return err
	}
	if err := e.checkAvailable(); err != nil {
		return err
	}
	if err := e.checkYanked(); err != nil {
		return err
	}
	return e.checkBytes()
}

// checkPath: a walk goes upwards, and ends below the entry.
func (e Entry) checkPath() error {
	if len(e.Path) > MaxPath {
		return fmt.Errorf("path has %d versions: expected at most %d", len(e.Path), MaxPath)
	}
	for i, r := range e.Path {
		if err := r.check(); err != nil {
			return fmt.Errorf("path[%d]: %w", i, err)
		}
		if i > 0 && compare(e.Path[i-1].Version, r.Version) >= 0 {
			return fmt.Errorf("path[%d]: %s does not come after %s: expected versions in ascending order", i, r.Version, e.Path[i-1].Version)
		}
		if compare(r.Version, e.Version) >= 0 {
			return fmt.Errorf("path[%d]: %s is not lower than the entry's version, %s", i, r.Version, e.Version)
		}
	}
	return nil
}

func (e Entry) checkAvailable() error {
	if len(e.Available) > MaxAvailable {
		return fmt.Errorf("available has %d versions: expected at most %d", len(e.Available), MaxAvailable)
	}
	seen := map[string]bool{}
	for i, r := range e.Available {
		if err := r.check(); err != nil {
			return fmt.Errorf("available[%d]: %w", i, err)
		}
		if r.Version == e.Version {
			return fmt.Errorf("available[%d]: %s is the entry's own version", i, r.Version)
		}
		if seen[r.Version] {
			return fmt.Errorf("available[%d]: %s is there twice", i, r.Version)
		}
		seen[r.Version] = true
	}
	return nil
}

// checkYanked: what is yanked is offered nowhere in the entry, by version or by digest.
func (e Entry) checkYanked() error {
	if len(e.Yanked) > MaxYanked {
		return fmt.Errorf("yanked has %d versions: expected at most %d", len(e.Yanked), MaxYanked)
	}
	seen := map[string]bool{}
	for i, y := range e.Yanked {
		if err := y.check(); err != nil {
			return fmt.Errorf("yanked[%d]: %w", i, err)
		}
		if seen[y.Version] {
			return fmt.Errorf("yanked[%d]: %s is there twice", i, y.Version)
		}
		seen[y.Version] = true
	}
	for _, r := range e.Offers() {
		if y, ok := e.YankedAs(r.Version, r.Digest); ok {
			return fmt.Errorf("version %s (%s) is offered, and yanked as %s: expected one of both", r.Version, r.Digest, y.Version)
		}
	}
	return nil
}

func (y Yanked) check() error {
	if err := CheckVersion(y.Version); err != nil {
		return fmt.Errorf("version is %w", err)
	}
	if y.Digest != "" {
		if err := CheckDigest(y.Digest); err != nil {
			return fmt.Errorf("digest of version %s is %w", y.Version, err)
		}
	}
	switch {
	case strings.TrimSpace(y.Reason) == "":
		return fmt.Errorf("reason of version %s is missing: say why it must not be installed", y.Version)
	case len(y.Reason) > maxReason:
		return fmt.Errorf("reason of version %s has %d bytes: expected at most %d", y.Version, len(y.Reason), maxReason)
	}
	return nil
}

// checkBytes: one version has one digest, wherever the entry lists it.
func (e Entry) checkBytes() error {
	digests := map[string]string{}
	for _, r := range e.Offers() {
		if other, ok := digests[r.Version]; ok && other != r.Digest {
			return fmt.Errorf("version %s has two digests, %s and %s", r.Version, other, r.Digest)
		}
		digests[r.Version] = r.Digest
	}
	return nil
}

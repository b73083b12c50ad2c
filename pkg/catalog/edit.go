package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrNoChange is of an edit that asks for what the document says already; nothing has to be pushed.
var ErrNoChange = errors.New("nothing to change")

// DefaultKeep is how many older versions stay available when nothing else is asked for.
const DefaultKeep = 5

// Edit changes a document on its way to the next one; its CreatedAt is the time of the edit.
// Errors say what to do instead.
type Edit func(d *Document) error

// Next is the document after former, which are the bytes of the one before as they are stored:
// seq grows by one, previous is their digest, and a document that expires lives as long as the
// one before from now on. Without edits it is a renewal.
func Next(former []byte, now time.Time, edits ...Edit) (Document, error) {
	before, err := Parse(former)
	if err != nil {
		return Document{}, err
	}
	d := clone(before)
	d.Seq++
	d.Previous = Digest(former)
	d.CreatedAt = whole(now)
	if d.CreatedAt.Before(before.CreatedAt) { // clocks of two machines; time in a chain never runs back
		d.CreatedAt = whole(before.CreatedAt)
	}
	if !before.ExpiresAt.IsZero() {
		d.ExpiresAt = d.CreatedAt.Add(before.Lifetime())
	}
	for _, edit := range edits {
		if err := edit(&d); err != nil {
			return Document{}, fmt.Errorf("channel %s: %w", d.Channel, err)
		}
	}
	tidy(&d)
	return d, d.Check()
}

// Beginning is what Init needs.
type Beginning struct {
	Channel string
	// Seq is 1 if zero. A channel whose registry was lost begins again above the highest seq that
	// clusters have seen: they take no lower one.
	Seq int64
	// Lifetime is how long a document justifies upgrades; zero is for ever.
	Lifetime time.Duration
	Rollout  Rollout
}

// Init is the first document of a channel; it lists no module.
func Init(b Beginning, now time.Time) (Document, error) {
	d := Document{Channel: b.Channel, Seq: b.Seq, CreatedAt: now, Rollout: b.Rollout, Modules: map[string]Entry{}}
	if d.Seq == 0 {
		d.Seq = 1
	}
	if b.Lifetime != 0 {
		d.ExpiresAt = now.Add(b.Lifetime)
	}
	tidy(&d)
	return d, d.Check()
}

// Promotion is how a version enters a channel.
type Promotion struct {
	// Urgency is Normal, Security, or empty for Normal.
	Urgency string
	// Path replaces the versions to walk through; nil keeps those that are lower than the new version.
	Path []Ref
	// ExtendPath adds the version that is replaced to the end of the path.
	ExtendPath bool
	// Downgrade allows a version lower than the one in the channel; the entry then says rollback.
	Downgrade bool
	// Keep is how many older versions stay available; 0 means DefaultKeep, less than 0 none.
	Keep int
	// MinSoak is how long the version must have been in the channel it comes from (Promote only).
	MinSoak time.Duration
	// Since is when a version that the other channel has replaced by now was promoted there, as its
	// history says; zero when that is not known (Promote only).
	Since time.Time
	// Annotations replace those of the entry; nil leaves them out.
	Annotations map[string]string
}

// Put makes ref, which comes from no channel, the version of a module or of Global.
func Put(module string, ref Ref, p Promotion) Edit {
	return func(d *Document) error { return place(d, module, ref, "", p) }
}

// Promote makes a version that another channel's document lists the version of a module or of
// Global here, with the same digest.
func Promote(module, version string, from Document, p Promotion) Edit {
	return func(d *Document) error {
		ref, err := promotable(module, version, from, *d, p)
		if err != nil {
			return err
		}
		return place(d, module, ref, from.Channel, p)
	}
}

// promotable finds the version in the other channel, and refuses what has not been there for long enough.
func promotable(module, version string, from, to Document, p Promotion) (Ref, error) {
	if from.Channel == to.Channel {
		return Ref{}, errors.New("expected another channel to promote from")
	}
	if !from.ExpiresAt.IsZero() && from.ExpiresAt.Before(to.CreatedAt) {
		return Ref{}, fmt.Errorf("the document of channel %s expired at %s: renew it first (channel renew)", from.Channel, stamp(from.ExpiresAt))
	}
	e, ok := from.Entry(module)
	if !ok {
		return Ref{}, fmt.Errorf("channel %s has no module %s; it lists %s", from.Channel, module, list(from.Names()))
	}
	ref, ok := e.Find(version)
	if !ok {
		if y, yanked := e.YankedAs(version, ""); yanked {
			return Ref{}, fmt.Errorf("%s %s was yanked from channel %s: %s", module, version, from.Channel, y.Reason)
		}
		return Ref{}, fmt.Errorf("channel %s does not offer %s %s; it offers %s", from.Channel, module, version, list(versions(e.Offers())))
	}
	since := e.PromotedAt
	if ref.Version != e.Version {
		since = p.Since
	}
	return ref, soaked(module, ref, from.Channel, since, to.CreatedAt, p.MinSoak)
}

func soaked(module string, ref Ref, channel string, since, now time.Time, want time.Duration) error {
	if want <= 0 {
		return nil
	}
	if since.IsZero() {
		return fmt.Errorf("it is not known since when %s %s is in channel %s, which has another version by now: "+
			"promote that one, or leave the minimum time out", module, ref.Version, channel)
	}
	if had := now.Sub(since); had < want {
		return fmt.Errorf("%s %s is in channel %s since %s, which is %s; expected at least %s: try again in %s, at %s",
			module, ref.Version, channel, stamp(since), had.Round(time.Second), want, (want - had).Round(time.Second), stamp(since.Add(want)))
	}
	return nil
}

// place puts ref in force, and the version that was there among those available.
func place(d *Document, module string, ref Ref, from string, p Promotion) error {
	if module != Global {
		if err := CheckModule(module); err != nil {
			return err
		}
	}
	if err := ref.check(); err != nil {
		return fmt.Errorf("module %s: %w", module, err)
	}
	old, had := d.Entry(module)
	if y, ok := old.YankedAs(ref.Version, ref.Digest); ok {
		return fmt.Errorf("%s %s was yanked: %s; allow it again first (channel yank --undo), or promote another version", module, ref.Version, y.Reason)
	}
	if known, ok := old.Find(ref.Version); had && ok && known.Digest != ref.Digest {
		return fmt.Errorf("%s %s is known here as %s, and shall become %s: a version never changes, give the new bytes a new one",
			module, ref.Version, known.Digest, ref.Digest)
	}
	if had && old.Ref == ref {
		return again(d, module, old, p)
	}
	down := had && compare(ref.Version, old.Version) < 0
	if down && !p.Downgrade {
		return fmt.Errorf("%s is at %s, and %s is lower: clusters never go down by themselves; if that is wanted, roll the channel back",
			module, old.Version, ref.Version)
	}
	next := Entry{Ref: ref, PromotedAt: d.CreatedAt, From: from, Urgency: p.Urgency, Rollback: down,
		Path: path(old, ref, had, p), Yanked: old.Yanked, Annotations: p.Annotations}
	if had {
		next.Available = available(old, ref, p.Keep)
	}
	return d.set(module, next)
}

// again changes what may change of a version that is in force already.
func again(d *Document, module string, e Entry, p Promotion) error {
	before := cloned(e)
	if p.Urgency != "" {
		e.Urgency = p.Urgency
	}
	if p.Path != nil {
		e.Path = p.Path
	}
	if p.Annotations != nil {
		e.Annotations = p.Annotations
	}
	if equal(before, e) {
		return fmt.Errorf("%w: %s is at %s (%s) already", ErrNoChange, module, e.Version, ShortID(e.Digest))
	}
	return d.set(module, e)
}

// path is what stays of the old path below the new version, or the one that is asked for.
func path(old Entry, ref Ref, had bool, p Promotion) []Ref {
	out := slices.Clone(old.Path)
	if p.Path != nil {
		out = slices.Clone(p.Path)
	}
	if had && p.ExtendPath && !slices.Contains(out, old.Ref) {
		out = append(out, old.Ref)
	}
	slices.SortStableFunc(out, func(a, b Ref) int { return compare(a.Version, b.Version) })
	if p.Path != nil {
		return out // as asked for: Check refuses what does not lead upwards
	}
	return slices.DeleteFunc(out, func(r Ref) bool { return compare(r.Version, ref.Version) >= 0 })
}

// available are the newest of the versions that were offered, and the one that is replaced.
func available(old Entry, ref Ref, keep int) []Ref {
	if keep == 0 {
		keep = DefaultKeep
	}
	out := append([]Ref{old.Ref}, old.Available...)
	out = slices.DeleteFunc(out, func(r Ref) bool { return r.Version == ref.Version })
	slices.SortStableFunc(out, func(a, b Ref) int { return compare(b.Version, a.Version) })
	return out[:max(0, min(len(out), keep, MaxAvailable))]
}

// Return is how a channel goes back to a version it still offers.
type Return struct {
	// Yank is the reason not to offer the version that is left any more; empty does not yank it, but
	// it is not offered either, unless Offer.
	Yank string
	// Offer keeps the version that is left among those available.
	Offer bool
	// Urgency of Security lets clusters go back without waves and, by policy, windows.
	Urgency     string
	Annotations map[string]string
}

// Rollback makes a lower version, which the entry still offers, the version of a module or of
// Global, and says that going down is wanted.
func Rollback(module, version string, r Return) Edit {
	return func(d *Document) error {
		old, err := d.must(module)
		if err != nil {
			return err
		}
		ref, ok := old.Find(version)
		if !ok {
			return fmt.Errorf("%s %s is not offered, so it cannot be rolled back to; offered are %s", module, version, list(versions(old.Offers())))
		}
		if compare(ref.Version, old.Version) >= 0 {
			return fmt.Errorf("%s is at %s: a rollback goes to a lower version, %s is none; promote it instead", module, old.Version, ref.Version)
		}
		e := Entry{Ref: ref, PromotedAt: d.CreatedAt, Urgency: r.Urgency, Rollback: true, Yanked: old.Yanked, Annotations: r.Annotations,
			Path: path(old, ref, true, Promotion{})}
		e.Available = available(old, ref, MaxAvailable)
		if !r.Offer || r.Yank != "" {
			e.Available = without(e.Available, old.Version)
		}
		if r.Yank != "" {
			e.Yanked = yank(e.Yanked, Yanked{Version: old.Version, Digest: old.Digest, Reason: r.Yank})
		}
		return d.set(module, e)
	}
}

// Yank says that a version must not be installed any more, and offers it no longer. The version
// in force cannot be yanked: roll back, with the reason in Return.Yank, or promote another first.
func Yank(module, version, reason string) Edit {
	return func(d *Document) error {
		e, err := d.must(module)
		if err != nil {
			return err
		}
		if err := CheckVersion(version); err != nil {
			return fmt.Errorf("%s: version %w", module, err)
		}
		if e.Version == version {
			return fmt.Errorf("%s %s is the version in force: promote another one first, or go back and yank it in one step: "+
				"channel rollback %s OLDER --yank REASON; older ones offered are %s", module, version, module, list(versions(e.Offers()[1:])))
		}
		y := Yanked{Version: version, Reason: reason}
		if known, ok := e.YankedAs(version, ""); ok {
			y.Digest = known.Digest
		}
		if ref, ok := e.Find(version); ok {
			y.Digest = ref.Digest
		}
		if slices.Contains(e.Yanked, y) {
			return fmt.Errorf("%w: %s %s is yanked for this reason already", ErrNoChange, module, version)
		}
		e.Available, e.Path = without(e.Available, version), without(e.Path, version)
		e.Yanked = yank(e.Yanked, y)
		return d.set(module, e)
	}
}

// Unyank takes a yank back. It does not offer the version again: a promotion does.
func Unyank(module, version string) Edit {
	return func(d *Document) error {
		e, err := d.must(module)
		if err != nil {
			return err
		}
		n := len(e.Yanked)
		e.Yanked = slices.DeleteFunc(e.Yanked, func(y Yanked) bool { return y.Version == version })
		if len(e.Yanked) == n {
			return fmt.Errorf("%w: %s %s is not yanked", ErrNoChange, module, version)
		}
		return d.set(module, e)
	}
}

// yank adds y, in the place of what was said of its version before; of too many the lowest are forgotten.
func yank(list []Yanked, y Yanked) []Yanked {
	out := slices.DeleteFunc(slices.Clone(list), func(o Yanked) bool { return o.Version == y.Version })
	out = append(out, y)
	slices.SortStableFunc(out, func(a, b Yanked) int { return compare(b.Version, a.Version) })
	return out[:min(len(out), MaxYanked)]
}

// Remove takes a module or Global out of the channel; where it runs it keeps running.
func Remove(module string) Edit {
	return func(d *Document) error {
		if _, err := d.must(module); err != nil {
			return err
		}
		if module == Global {
			d.Global = nil
			return nil
		}
		delete(d.Modules, module)
		return nil
	}
}

// SetRollout changes how versions spread over clusters.
func SetRollout(r Rollout) Edit {
	return func(d *Document) error {
		d.Rollout = r
		return nil
	}
}

// SetLifetime changes how long this document and those after it justify upgrades; zero is for ever.
func SetLifetime(lifetime time.Duration) Edit {
	return func(d *Document) error {
		d.ExpiresAt = time.Time{}
		if lifetime != 0 {
			d.ExpiresAt = d.CreatedAt.Add(lifetime)
		}
		return nil
	}
}

// must is the entry of a module that has to be there.
func (d Document) must(module string) (Entry, error) {
	e, ok := d.Entry(module)
	if !ok {
		return e, fmt.Errorf("there is no module %s; it lists %s", module, list(d.Names()))
	}
	return cloned(e), nil
}

func (d *Document) set(module string, e Entry) error {
	if e.Urgency == Normal {
		e.Urgency = "" // the default is not written
	}
	if err := e.check(); err != nil {
		return fmt.Errorf("module %s: %w", module, err)
	}
	if module == Global {
		d.Global = &e
		return nil
	}
	d.Modules[module] = e
	return nil
}

func without(refs []Ref, version string) []Ref {
	return slices.DeleteFunc(refs, func(r Ref) bool { return r.Version == version })
}

func versions(refs []Ref) []string {
	out := make([]string, 0, len(refs))
	for _, r := range refs {
		out = append(out, r.Version)
	}
	return out
}

// list is for people; what is long is cut.
func list(words []string) string {
	const most = 10
	switch {
	case len(words) == 0:
		return "none"
	case len(words) > most:
		return strings.Join(words[:most], ", ") + fmt.Sprintf(" and %d more", len(words)-most)
	}
	return strings.Join(words, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// AtSeq gives the document a higher number than the next one: numbers may be left out, when
// documents were written and never put in force.
func AtSeq(seq int64) Edit {
	return func(d *Document) error {
		if seq < d.Seq {
			return fmt.Errorf("seq %d: expected %d or more", seq, d.Seq)
		}
		d.Seq = seq
		return nil
	}
}

package channel

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// Choose says which version of a module should run, wherever Origin finds it. A version is chosen only if a
// document lists it (or the source allows unlisted digests), it was not yanked, and it is not lower than what runs,
// unless the entry is a rollback or the user names exactly it. Where the way there leads over the entry's path,
// Target.Ref is the next step and Target.Goal its end.
func Choose(s Subject) Target {
	place := Origin(s)
	t := Target{Embedded: place.Embedded, Source: place.Source, Reason: place.Reason, Message: place.Message}
	switch {
	case t.Reason != "":
		return t
	case t.Embedded:
		return s.embedded(t)
	}
	return s.sourced(t)
}

// embedded is the version on disk, if the user's Version accepts it.
func (s Subject) embedded(t Target) Target {
	t.Ref = catalog.Ref{Version: s.Embedded}
	t.Goal = t.Ref
	pick, err := parsePick(s.Choice.Version)
	switch {
	case err != nil:
		return t.stay(ReasonVersionInvalid, "module %s: %v", s.Module, err)
	case !pick.accepts(t.Ref):
		return t.stay(ReasonVersionNotOffered, "module %s lies embedded in version %q, and %s is asked for: change the key …Version, or name a source", s.Module, s.Embedded, s.Choice.Version)
	}
	t.Pinned = pick.exact()
	return s.guard(t)
}

// sourced is what the channel's document offers.
func (s Subject) sourced(t Target) Target {
	o := s.offer(t.Source)
	pick, err := parsePick(s.Choice.Version)
	if err != nil {
		return t.stay(ReasonVersionInvalid, "module %s: %v", s.Module, err)
	}
	t.Pinned = pick.exact()
	t.Channel = cmp.Or(s.Choice.Channel, o.Source.Channel)
	d, read := o.Documents[t.Channel]
	t.Seq = d.Seq
	var listed bool
	t.Entry, listed = d.Entry(s.Module)
	t.Yanked = s.yanked(t.Entry)
	if ref, ok := s.unlisted(pick, t.Entry, o.Source); ok {
		t.Goal, t.Ref = ref, ref
		return s.guard(t)
	}
	switch {
	case t.Channel == "":
		return t.stay(ReasonNoDocument, "module %s: ModuleSource %s has no spec.channel: set it, or the key …Channel", s.Module, t.Source)
	case !read:
		return t.stay(ReasonNoDocument, "module %s: no valid document of channel %s of ModuleSource %s is known: see its conditions", s.Module, t.Channel, t.Source)
	case !listed:
		return t.stay(ReasonNotInChannel, "channel %s of ModuleSource %s does not list module %s; what runs keeps running", t.Channel, t.Source, s.Module)
	}
	return s.among(t, pick)
}

// unlisted is the digest that the user pins, if no document needs to list it.
func (s Subject) unlisted(p pick, e catalog.Entry, from source.Source) (catalog.Ref, bool) {
	if p.digest == "" || !from.AllowUnlistedDigests || slices.ContainsFunc(refs(e), p.accepts) {
		return catalog.Ref{}, false
	}
	ref := catalog.Ref{Version: s.Metas[p.digest].Version, Digest: p.digest}
	_, out := yank(e, ref)
	return ref, !out
}

// among picks of what the entry lists.
func (s Subject) among(t Target, p pick) Target {
	var reason string
	var offered []string
	found := false
	for _, ref := range refs(t.Entry) {
		switch why, out := yank(t.Entry, ref); {
		case !p.accepts(ref) || p.ranges != nil && undone(t.Entry, ref):
			offered = append(offered, ref.Version)
		case out:
			reason = cmp.Or(reason, fmt.Sprintf("version %s of module %s was yanked: %s", ref.Version, s.Module, why))
		case !found || p.prefers(ref, t.Goal):
			t.Goal, found = ref, true
		}
	}
	t.Ref = t.Goal
	switch {
	case found:
		return s.guard(t)
	case reason != "":
		return t.stay(ReasonYanked, "%s; what runs keeps running until the channel offers another", reason)
	}
	return t.stay(ReasonVersionNotOffered, "channel %s of ModuleSource %s offers no %s of module %s, but %s", t.Channel, t.Source, s.Choice.Version, s.Module, strings.Join(offered, ", "))
}

// guard keeps from going down, and leads over the path.
func (s Subject) guard(t Target) Target {
	running, runs := s.running()
	if !runs || s.same(t) || t.Embedded && s.Track.Current == nil {
		return t
	}
	wanted, from := lenient(t.Goal.Version), lenient(running)
	if wanted.LessThan(from) {
		rollback := t.Entry.Rollback && t.Goal.Digest != "" && t.Goal.Digest == t.Entry.Digest
		if !rollback && !t.Pinned {
			return t.stay(ReasonDowngrade, "module %s runs version %s, and %s is lower: set the key …Version to exactly %s if that is wanted", s.Module, running, describe(t), cmp.Or(t.Goal.Version, "it"))
		}
		return t
	}
	return s.walk(t, running)
}

// same says that the target is what runs.
func (s Subject) same(t Target) bool {
	c := s.Track.Current
	return c != nil && c.Embedded() == t.Embedded && c.Digest == t.Ref.Digest
}

// running is the version in force, and whether there is one.
func (s Subject) running() (string, bool) {
	switch {
	case s.Track.Current != nil:
		return s.Track.Current.Version, true
	case s.First:
		return "", false
	}
	return cmp.Or(s.Installed, s.Embedded), true
}

// walk leads to the goal over the path, one step at a time. As long as the goal's meta is not known, the
// goal itself is the target: it is fetched, and then asked for where it may come from.
func (s Subject) walk(t Target, running string) Target {
	goal, known := s.Metas[t.Goal.Digest]
	if !known || upgradable(goal, running) {
		return t
	}
	ahead := steps(t, running)
	if len(ahead) == 0 {
		return t.stay(ReasonUpgradePath, "module %s runs version %s, and version %s upgrades from %s only: the channel's path lists no step between", s.Module, running, t.Goal.Version, goal.UpgradeFrom)
	}
	step := ahead[0]
	if meta, known := s.Metas[step.Digest]; known && !upgradable(meta, running) {
		return t.stay(ReasonUpgradePath, "module %s runs version %s, and version %s on the way to %s upgrades from %s only: the channel's path needs a step between", s.Module, running, step.Version, t.Goal.Version, meta.UpgradeFrom)
	}
	t.Ref = step
	return t
}

// steps are the versions of the path between what runs and the goal, lowest first.
func steps(t Target, running string) []catalog.Ref {
	var out []catalog.Ref
	for _, ref := range t.Entry.Path {
		v := lenient(ref.Version)
		if _, yanked := yank(t.Entry, ref); !yanked && v.GreaterThan(lenient(running)) && v.LessThan(lenient(t.Goal.Version)) {
			out = append(out, ref)
		}
	}
	slices.SortStableFunc(out, func(a, b catalog.Ref) int { return lenient(a.Version).Compare(lenient(b.Version)) })
	return out
}

// upgradable says that the version may follow directly upon the running one.
func upgradable(m artifact.Meta, running string) bool {
	return m.UpgradeFrom == "" || fits(m.UpgradeFrom, running)
}

// yanked is why the version that runs was yanked, "" when it was not.
func (s Subject) yanked(e catalog.Entry) string {
	if s.Track.Current == nil || s.Track.Current.Embedded() {
		return ""
	}
	why, out := yank(e, s.Track.Current.Ref())
	if !out {
		return ""
	}
	return fmt.Sprintf("version %s of module %s, which runs, was yanked: %s", s.Track.Current.Version, s.Module, why)
}

// yank is the reason for which the entry takes the version back, and whether it does. A yank that
// names a digest is of those bytes only.
func yank(e catalog.Entry, ref catalog.Ref) (string, bool) {
	for _, y := range e.Yanked {
		if y.Digest != "" && y.Digest == ref.Digest || y.Digest == "" && y.Version == ref.Version {
			return cmp.Or(y.Reason, "no reason given"), true
		}
	}
	return "", false
}

// refs are all versions that an entry offers, the promoted one first.
func refs(e catalog.Entry) []catalog.Ref {
	if e.Digest == "" {
		return nil
	}
	return slices.Concat([]catalog.Ref{e.Ref}, e.Path, e.Available)
}

// undone says that the channel went down from this version: a range does not lead back up to it.
func undone(e catalog.Entry, ref catalog.Ref) bool {
	return e.Rollback && lenient(ref.Version).GreaterThan(lenient(e.Version))
}

// stay is the target with a reason why nothing changes.
func (t Target) stay(reason, format string, args ...any) Target {
	t.Reason, t.Message = reason, fmt.Sprintf(format, args...)
	return t
}

// describe names the target for people.
func describe(t Target) string {
	if t.Embedded {
		return fmt.Sprintf("the embedded version %q", t.Goal.Version)
	}
	return fmt.Sprintf("version %s of channel %s of ModuleSource %s", cmp.Or(t.Goal.Version, t.Goal.Digest), t.Channel, t.Source)
}

// pick is the user's Version, read. The zero value takes the channel's entry.
type pick struct {
	version *semver.Version
	ranges  *semver.Constraints
	digest  string
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parsePick reads the text of a key …Version; source.CheckVersion has accepted it.
func parsePick(text string) (pick, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return pick{}, nil
	case digestForm.MatchString(text):
		return pick{digest: text}, nil
	}
	if v, err := semver.StrictNewVersion(strings.TrimPrefix(text, "v")); err == nil {
		return pick{version: v}, nil
	}
	c, err := semver.NewConstraint(text)
	if err != nil {
		return pick{}, fmt.Errorf("version %q is no version such as 1.14.3, no range such as ~1.14 and no sha256:<64 hex>: %w", text, err)
	}
	return pick{ranges: c}, nil
}

// exact says that the user named one version.
func (p pick) exact() bool { return p.version != nil || p.digest != "" }

// accepts says that the version is one that was asked for.
func (p pick) accepts(ref catalog.Ref) bool {
	if p.digest != "" {
		return p.digest == ref.Digest
	}
	if p.version == nil && p.ranges == nil {
		return true
	}
	v, err := semver.NewVersion(ref.Version)
	switch {
	case err != nil:
		return false
	case p.version != nil:
		return v.Equal(p.version) && (p.version.Metadata() == "" || p.version.Metadata() == v.Metadata())
	}
	return p.ranges.Check(v)
}

// prefers says that a is to be taken rather than b, which was found before: the highest of a range, the
// first otherwise.
func (p pick) prefers(a, b catalog.Ref) bool {
	return p.ranges != nil && lenient(a.Version).GreaterThan(lenient(b.Version))
}

// fits says that a version lies in a range; what cannot be read does not.
func fits(constraint, version string) bool {
	c, err := semver.NewConstraint(constraint)
	return err == nil && c.Check(lenient(version))
}

// lenient reads a version; text that is none counts as 0.0.0, lower than any.
func lenient(version string) *semver.Version {
	if v, err := semver.StrictNewVersion(version); err == nil {
		return v // the cheap way
	}
	if v, err := semver.NewVersion(version); err == nil {
		return v
	}
	return semver.New(0, 0, 0, "", "")
}

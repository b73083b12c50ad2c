package catalog

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// Change is one difference between two documents, for people.
type Change struct {
	// Module is a module's name, Global, or empty for what concerns the whole channel.
	Module string `json:"module,omitempty"`
	// Kind is what became of it.
	Kind ChangeKind `json:"kind"`
	// Old and New are the versions in force before and after, empty when there was or is none.
	Old string `json:"old,omitempty"`
	New string `json:"new,omitempty"`
	// Text says it in words.
	Text string `json:"text"`
}

// ChangeKind is the kind of a Change.
type ChangeKind string

// Kinds of changes.
const (
	Added      ChangeKind = "added"
	Removed    ChangeKind = "removed"
	Upgraded   ChangeKind = "upgraded"
	RolledBack ChangeKind = "rolledBack"
	// Replaced is another digest under the same version, or a version of the same precedence.
	Replaced  ChangeKind = "replaced"
	YankedNow ChangeKind = "yanked"
	Unyanked  ChangeKind = "unyanked"
	// Altered is everything else: offered versions, path, urgency, rollout, expiry, annotations.
	Altered ChangeKind = "altered"
)

// Diff lists what the document after says differently; seq, previous and createdAt are no differences, nor is a later
// expiry as long as documents live as long as before.
// What concerns the channel comes first, then modules by name, then Global.
func Diff(before, after Document) []Change {
	out := headChanges(before, after)
	names := append(before.Names(), after.Names()...)
	slices.SortFunc(names, globalLast)
	for _, name := range slices.Compact(names) {
		a, had := before.Entry(name)
		b, has := after.Entry(name)
		switch {
		case !had:
			out = append(out, Change{Module: name, Kind: Added, New: b.Version, Text: fmt.Sprintf("%s %s (%s) is new%s", name, b.Version, ShortID(b.Digest), manner(b))})
		case !has:
			out = append(out, Change{Module: name, Kind: Removed, Old: a.Version, Text: fmt.Sprintf("%s %s is no longer listed", name, a.Version)})
		default:
			out = append(out, entryChanges(name, a, b)...)
		}
	}
	return out
}

func globalLast(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == Global:
		return 1
	case b == Global, a < b:
		return -1
	}
	return 1
}

func headChanges(a, b Document) []Change {
	var out []Change
	add := func(format string, args ...any) {
		out = append(out, Change{Kind: Altered, Text: fmt.Sprintf(format, args...)})
	}
	if a.Channel != b.Channel {
		add("channel: %s > %s", a.Channel, b.Channel)
	}
	if a.Rollout != b.Rollout {
		add("rollout: %s > %s", a.Rollout, b.Rollout)
	}
	if a.Lifetime() != b.Lifetime() {
		add("expires: %s > %s", expiry(a), expiry(b))
	}
	if !sameMap(a.Annotations, b.Annotations) {
		add("annotations: %s > %s", texts(a.Annotations), texts(b.Annotations))
	}
	return out
}

// String is a rollout in words.
func (r Rollout) String() string {
	if r.Waves <= 1 {
		return "all at once"
	}
	return fmt.Sprintf("%d waves, %s apart", r.Waves, time.Duration(r.Interval))
}

func expiry(d Document) string {
	if d.Lifetime() == 0 {
		return "never"
	}
	return "after " + d.Lifetime().String()
}

func entryChanges(name string, a, b Entry) []Change {
	var out []Change
	add := func(kind ChangeKind, format string, args ...any) {
		out = append(out, Change{Module: name, Kind: kind, Old: a.Version, New: b.Version, Text: name + " " + fmt.Sprintf(format, args...)})
	}
	if a.Ref != b.Ref {
		kind := kindOf(a.Ref, b.Ref)
		add(kind, "%s > %s (%s)%s", a.Version, b.Version, ShortID(b.Digest), manner(b))
	} else if urgency(a) != urgency(b) {
		add(Altered, "urgency: %s > %s", urgency(a), urgency(b))
	}
	for _, y := range b.Yanked {
		if _, was := a.YankedAs(y.Version, ""); !was {
			add(YankedNow, "%s is yanked: %s", y.Version, y.Reason)
		}
	}
	for _, y := range a.Yanked {
		if _, is := b.YankedAs(y.Version, ""); !is {
			add(Unyanked, "%s is no longer yanked", y.Version)
		}
	}
	if !slices.Equal(a.Available, b.Available) {
		add(Altered, "offers beside it: %s > %s", list(versions(a.Available)), list(versions(b.Available)))
	}
	if !slices.Equal(a.Path, b.Path) {
		add(Altered, "path: %s > %s", list(versions(a.Path)), list(versions(b.Path)))
	}
	if !sameMap(a.Annotations, b.Annotations) {
		add(Altered, "annotations: %s > %s", texts(a.Annotations), texts(b.Annotations))
	}
	return out
}

func kindOf(a, b Ref) ChangeKind {
	switch c := compare(b.Version, a.Version); {
	case c > 0:
		return Upgraded
	case c < 0:
		return RolledBack
	}
	return Replaced
}

// manner is how a version came: from where, how urgent, and whether going down is wanted.
func manner(e Entry) string {
	text := ""
	if e.From != "" {
		text += ", from " + e.From
	}
	if e.Rollback {
		text += ", rollback"
	}
	if e.Urgency == Security {
		text += ", security"
	}
	return text
}

func urgency(e Entry) string {
	if e.Urgency == "" {
		return Normal
	}
	return e.Urgency
}

// texts are annotations in one line.
func texts(m map[string]string) string {
	var out []string
	for _, k := range sorted(m) {
		out = append(out, k+"="+m[k])
	}
	return list(out)
}

func sameMap(a, b map[string]string) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// equal compares entries as a document would have them.
func equal(a, b Entry) bool {
	return a.Ref == b.Ref && a.PromotedAt.Equal(b.PromotedAt) && a.From == b.From && urgency(a) == urgency(b) && a.Rollback == b.Rollback &&
		slices.Equal(a.Path, b.Path) && slices.Equal(a.Available, b.Available) && slices.Equal(a.Yanked, b.Yanked) && sameMap(a.Annotations, b.Annotations)
}

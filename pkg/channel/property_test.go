package channel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// world is a cluster, a registry and a user around one module; it performs what Next asks for, and things happen to it.
type world struct {
	t         *testing.T
	r         *rand.Rand
	now, up   time.Time
	module    string
	onDisk    bool
	disk      string
	entry     *catalog.Entry
	seq       int64
	documents map[string]catalog.Document
	src       *source.Source
	choice    source.Choice
	orders    map[string]source.Order
	values    int
	on        bool
	track     source.Track
	// what versions are: good ones become Ready, and some cannot be rolled back
	kinds map[string]kind
	cache map[string]artifact.Meta
	down  bool
	// outcome of Prepare, by name, values and retry
	checked  map[string]string
	fetchErr string
	run      Observed
	first    bool
	initial  string
	// readySince is since when, without a break that Next was shown, the module has been Ready; by digest in force.
	readySince time.Time
	restarts   int64
	lastVals   string
	log        []string
	// undone are the values and the retry with which a digest was rolled back last.
	undone map[string]source.Rejected
	// reached counts what the histories came to.
	reached map[source.Phase]int
}

type kind struct {
	version         string
	applies, ready  bool
	preflight, flap bool
	meta            artifact.Meta
}

const uid = "6e1f6e5c-0000-4000-8000-000000000001"

func newWorld(t *testing.T, seed uint64, reached map[source.Phase]int) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{t: t, r: r, reached: reached, undone: map[string]source.Rejected{}, module: "prometheus", kinds: map[string]kind{}, cache: map[string]artifact.Meta{}, orders: map[string]source.Order{}, checked: map[string]string{}, on: true}
	w.now = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	w.up = w.now
	if r.IntN(10) == 0 {
		w.module = artifact.GlobalName
	}
	w.onDisk, w.disk = r.IntN(3) > 0, "1.0.0"
	w.first = r.IntN(3) == 0 || !w.onDisk
	if !w.first {
		w.initial = w.disk
	}
	w.src = w.policy()
	w.choice = source.Choice{Source: "corp"}
	w.promote()
	return w
}

func (w *world) policy() *source.Source {
	s := &source.Source{Name: "corp", Channel: "stable", Modules: []string{"*"}}
	s.Update = source.Policy{Soak: 5 * time.Minute, Timeout: 15 * time.Minute}
	if w.r.IntN(4) == 0 {
		s.Update.Windows = []source.Window{{Cron: "0 2 * * *", Duration: 4 * time.Hour, TimeZone: "UTC"}}
	}
	s.Update.Mode = []source.Mode{"", source.Auto, source.Auto, source.AutoPatch, source.Manual}[w.r.IntN(5)]
	s.Update.UrgentIgnoresWindows = w.r.IntN(2) == 0
	s.Update.LeaveYanked = w.r.IntN(2) == 0
	return s
}

// release makes a version and its bytes.
func (w *world) release(k kind) catalog.Ref {
	digest := fmt.Sprintf("sha256:%08x%056x", len(w.kinds)+1, 0)
	k.meta.Name, k.meta.Version = w.module, k.version
	w.kinds[digest] = k
	return catalog.Ref{Version: k.version, Digest: digest}
}

func (w *world) any() kind {
	k := kind{version: fmt.Sprintf("1.%d.%d", len(w.kinds)/2+w.r.IntN(3), w.r.IntN(4))}
	k.applies, k.ready, k.preflight, k.flap = w.r.IntN(6) > 0, w.r.IntN(3) > 0, w.r.IntN(8) > 0, w.r.IntN(5) == 0
	if w.r.IntN(6) == 0 {
		k.meta.Rollback = "unsafe"
	}
	if w.r.IntN(4) == 0 {
		k.meta.UpgradeFrom = ">=1.1.0"
	}
	k.meta.Disruptive = w.r.IntN(6) == 0
	return k
}

// promote is a new document with a new version.
func (w *world) promote() {
	e := catalog.Entry{Ref: w.release(w.any()), PromotedAt: w.now, Urgency: []string{"", catalog.Security}[w.r.IntN(2)]}
	e.Rollback = w.r.IntN(8) == 0
	if w.r.IntN(3) == 0 {
		e.Path = []catalog.Ref{w.release(kind{version: "1.1.0", applies: true, ready: true, preflight: true})}
	}
	if w.entry != nil {
		e.Available = append(e.Available, w.entry.Ref)
		e.Yanked = w.entry.Yanked
	}
	w.document(&e)
}

func (w *world) document(e *catalog.Entry) {
	w.entry = e
	w.seq++
	d := catalog.Document{Channel: "stable", Seq: w.seq, Rollout: catalog.Rollout{Waves: 3, Interval: catalog.Duration(time.Hour)}}
	switch {
	case e == nil:
	case w.module == artifact.GlobalName:
		d.Global = e
	default:
		d.Modules = map[string]catalog.Entry{w.module: *e}
	}
	w.documents = map[string]catalog.Document{"stable": d}
}

// expire makes the document one that justifies nothing.
func (w *world) expire() {
	d := w.documents["stable"]
	d.ExpiresAt = w.now
	w.documents = map[string]catalog.Document{"stable": d}
}

func (w *world) subject() Subject {
	s := Subject{Module: w.module, Choice: w.choice, OnDisk: w.onDisk, Embedded: w.disk, First: w.first, Track: w.track, Installed: w.initial, Metas: w.cache}
	if w.src != nil {
		s.Offers = []Offer{{Source: *w.src, Documents: w.documents}}
	}
	return s
}

// section is the digest of the user's values.
func (w *world) section() string { return "values-" + strconv.Itoa(w.values) }

func (w *world) key(n source.Release) string {
	return n.Digest + n.Version + "|" + w.section() + "|" + n.Retried
}

// outcome is what the preflight found, and whether there was one.
func (w *world) outcome(n source.Release) (string, bool) {
	if len(w.checked) == 0 {
		return "", false
	}
	text, ok := w.checked[w.key(n)]
	return text, ok
}

// pass is one call of Next, and what it asks for.
func (w *world) pass() Step {
	s := w.subject()
	target := Choose(s)
	values := w.section()
	sit := Situation{Now: w.now, Up: w.up, Module: w.module, Track: w.track, Target: target, First: w.first, Installed: w.initial, On: w.on, Metas: s.Metas,
		Delays: Delays(s, target, Around{Now: w.now, UID: uid, Orders: w.orders}), FetchError: w.fetchErr, Run: w.run, Values: values, Orders: w.orders}
	if w.src != nil {
		sit.Policy = w.src.Update
	}
	sit.Run.Values = values
	if n := w.track.Next; n != nil {
		_, sit.Fetched = w.cache[n.Digest]
		sit.PreflightError, sit.Checked = w.outcome(*n)
	}
	if p := w.track.Previous; p != nil {
		_, cached := w.cache[p.Digest]
		sit.Fallback = p.Embedded() && w.onDisk || cached
	}
	w.health(sit)
	step := Next(sit)
	w.check(sit, step)
	w.track = step.Track
	w.perform(step)
	return step
}

// health keeps for itself since when the module has been Ready.
func (w *world) health(s Situation) {
	c := s.Track.Current
	ok := c != nil && s.Run.Digest == c.Digest && s.Run.Applied && s.Run.Ready && s.On
	switch {
	case !ok:
		w.readySince = time.Time{}
	case w.readySince.IsZero() || s.Run.Restarts > w.restarts || w.lastVals != s.Values && c.Phase != source.Deployed:
		w.readySince = s.Now
	}
	w.restarts, w.lastVals = s.Run.Restarts, s.Values
}

// perform does what the loop would.
func (w *world) perform(step Step) {
	if step.Action != Stay && w.track.Current != nil {
		d := w.track.Current.Digest
		if w.run.Digest != d || !w.run.Applied {
			w.run = Observed{Digest: d}
			w.readySince = time.Time{}
		}
	}
	switch n := w.track.Next; step.Prepare {
	case Fetch:
		w.fetchErr = ""
		if w.down {
			w.fetchErr = "connection refused"
		} else {
			w.cache[n.Digest] = w.kinds[n.Digest].meta
		}
	case TryOut:
		w.checked[w.key(*n)] = ""
		if !w.kind(n.Digest).preflight {
			w.checked[w.key(*n)] = "template: no such field"
		}
	}
}

func (w *world) kind(digest string) kind {
	if digest == "" {
		return kind{version: w.disk, applies: true, ready: true, preflight: true}
	}
	return w.kinds[digest]
}

// observe is what the cluster does with what is in force.
func (w *world) observe() {
	if w.track.Current == nil && w.first {
		return
	}
	k := w.kind(w.run.Digest)
	w.run.Applied, w.run.Failed = k.applies, !k.applies
	w.run.Ready = w.run.Applied && k.ready
	if k.flap && w.r.IntN(4) == 0 {
		w.run.Ready = false
	}
	if k.flap && w.r.IntN(6) == 0 {
		w.run.Restarts++
	}
	if w.track.Current != nil && w.on && w.run.Digest == w.track.Current.Digest {
		w.first = false
	}
}

// event is something that may happen, often or seldom; its name is for the log of a failure.
type event struct {
	name  string
	often int
	do    func(*world)
}

func events() []event {
	var out []event
	for _, e := range []event{
		{"promotion", 6, (*world).promote},
		{"yank", 1, (*world).yank},
		{"channel rollback", 2, (*world).rollback},
		{"left the channel", 1, func(w *world) { w.document(nil) }},
		{"document expires", 1, (*world).expire},
		{"value edit", 2, func(w *world) { w.values++ }},
		{"value edit undone", 1, func(w *world) { w.values = max(0, w.values-1) }},
		{"approval", 3, (*world).approve},
		{"retry", 1, (*world).retry},
		{"minutes pass", 2, func(w *world) { w.now = w.now.Add(time.Duration(1+w.r.IntN(20)) * time.Minute) }},
		{"hours pass", 1, func(w *world) { w.now = w.now.Add(time.Duration(1+w.r.IntN(20)) * time.Hour) }},
		{"restart", 2, (*world).restart},
		{"registry goes", 1, func(w *world) { w.down = true }},
		{"registry comes", 2, func(w *world) { w.down = false }},
		{"off", 1, func(w *world) { w.on = false }},
		{"on", 3, func(w *world) { w.on = true }},
		{"suspension", 1, func(w *world) { w.source().Suspend = true }},
		{"resumption", 2, func(w *world) { w.source().Suspend = false }},
		{"source removed", 1, func(w *world) { w.src = nil }},
		{"source created", 2, func(w *world) { w.src = w.policy() }},
		{"cache lost", 1, func(w *world) { clear(w.cache) }},
		{"pin", 1, (*world).pin},
		{"key lost", 1, func(w *world) { w.choice = source.Choice{} }},
		{"key set", 3, func(w *world) { w.choice = source.Choice{Source: "corp"} }},
		{"embedded", 1, func(w *world) { w.choice = source.Choice{Source: source.Embedded} }},
		{"life goes on", 30, (*world).goOn},
	} {
		for range e.often {
			out = append(out, e)
		}
	}
	return out
}

// goOn is some passes in which nothing happens but what the cluster does and Next waits for.
func (w *world) goOn() {
	for range 1 + w.r.IntN(5) {
		step := w.pass()
		w.observe()
		if step.Prepare == Stay && !step.Wake.IsZero() {
			w.now = step.Wake
		}
	}
}

func (w *world) source() *source.Source {
	if w.src == nil {
		w.src = w.policy()
	}
	return w.src
}

func (w *world) yank() {
	if w.entry == nil {
		return
	}
	e := *w.entry
	e.Yanked = append(slices.Clone(e.Yanked), catalog.Yanked{Version: e.Version, Digest: e.Digest, Reason: "data loss"})
	if len(e.Available) > 0 && w.r.IntN(2) == 0 {
		e.Ref, e.Available, e.Path = e.Available[0], e.Available[1:], nil
	}
	w.document(&e)
}

func (w *world) rollback() {
	if w.entry == nil || len(w.entry.Available) == 0 {
		return
	}
	e := *w.entry
	e.Ref, e.Available, e.Rollback, e.Path = e.Available[0], []catalog.Ref{e.Ref}, true, nil
	w.document(&e)
}

func (w *world) pin() {
	w.choice = source.Choice{Source: "corp", Version: []string{"~1.1", "1.1.0", ">=1.0.0"}[w.r.IntN(3)]}
	if w.entry != nil && w.r.IntN(2) == 0 {
		w.choice.Version = []string{w.entry.Digest, w.entry.Version}[w.r.IntN(2)]
	}
}

func (w *world) order(change func(*source.Order)) {
	for _, r := range w.track.Releases() {
		o := w.orders[r.Name()]
		change(&o)
		w.orders[r.Name()] = o
	}
}

func (w *world) approve() {
	yes := w.r.IntN(3) > 0
	w.order(func(o *source.Order) { o.Approved = yes })
}

func (w *world) retry() {
	text := w.now.String()
	w.order(func(o *source.Order) { o.Retry = text })
}

func (w *world) restart() {
	w.up, w.run, w.fetchErr, w.readySince = w.now, Observed{}, "", time.Time{}
	clear(w.checked)
}

// check holds one step against what must never be.
func (w *world) check(s Situation, step Step) {
	w.phases(step)
	for _, e := range step.Events {
		w.reached[e.Release.Phase]++
		if !allowed(e.From, e.Release.Phase) {
			w.fail("%s went from %q to %q", e.Release.Name(), e.From, e.Release.Phase)
		}
		if e.Release.Phase == source.RollingBack {
			w.undone[e.Release.Digest] = source.Rejected{Values: s.Values, Retried: s.Orders[e.Release.Name()].Retry}
		}
		if e.Release.Phase == source.Deployed {
			delete(w.undone, e.Release.Digest)
			w.deployed(s, e.Release)
		}
		if e.Release.Phase == source.Applying && e.From == source.Preflight {
			w.tried(s, e.Release)
		}
		if e.Release.Phase == source.Pending && e.From == "" {
			w.begun(s, e.Release)
		}
	}
	w.downgrade(s, step)
	if !step.Wake.IsZero() && !step.Wake.After(s.Now) {
		w.fail("the wake time %v is not after %v", step.Wake, s.Now)
	}
	w.waits(s, step)
}

// phases: every release is where its phase belongs, and one at most is Deployed.
func (w *world) phases(step Step) {
	n := 0
	t := step.Track
	for _, r := range append([]*source.Release{t.Next, t.Undone, t.Current, t.Previous}, pointers(t.History)...) {
		if r != nil && r.Phase == source.Deployed {
			n++
		}
	}
	if n > 1 {
		w.fail("%d releases are Deployed", n)
	}
	if t.Next != nil && !before(t.Next.Phase) || t.Current != nil && !inForce(t.Current.Phase) || t.Undone != nil && t.Undone.Phase != source.RollingBack {
		w.fail("a release is where its phase does not belong")
	}
	for _, h := range t.History {
		if !slices.Contains([]source.Phase{source.Superseded, source.Skipped, source.Failed, source.RolledBack, source.Suspended}, h.Phase) {
			w.fail("%s is in the history as %s", h.Name(), h.Phase)
		}
	}
	if len(t.History) > source.HistoryLimit || len(t.Rejected) > source.RejectedLimit {
		w.fail("the track grows: %d ended, %d rejected", len(t.History), len(t.Rejected))
	}
}

func pointers(all []source.Release) []*source.Release {
	var out []*source.Release
	for i := range all {
		out = append(out, &all[i])
	}
	return out
}

// deployed: health has held for the soak, unless it is a version that had shown so before and was restored.
func (w *world) deployed(s Situation, r source.Release) {
	restored := s.Track.Undone != nil
	switch {
	case w.readySince.IsZero():
		w.fail("%s is Deployed and was not Ready", r.Name())
	case !restored && s.Now.Sub(w.readySince) < s.Policy.Soak:
		w.fail("%s is Deployed and was Ready for %v only", r.Name(), s.Now.Sub(w.readySince))
	}
}

// tried: its own artifact was here, and its own preflight passed, with these values; and nothing stood against it.
func (w *world) tried(s Situation, r source.Release) {
	_, cached := w.cache[r.Digest]
	if s.Track.Next == nil || s.Track.Next.Digest != r.Digest {
		w.fail("%s is applied and was not next", r.Name())
		return
	}
	if text, ok := w.outcome(*s.Track.Next); !ok || text != "" || !cached && !r.Embedded() {
		w.fail("%s is applied without a preflight of its own", r.Name())
	}
	if len(s.Delays) > 0 || s.Target.Reason != "" || s.Target.Ref.Digest != r.Digest || !s.On {
		w.fail("%s is applied against %v, %s", r.Name(), s.Delays, s.Target.Reason)
	}
}

// begun: nobody tries again by itself what was rolled back.
func (w *world) begun(s Situation, r source.Release) {
	x, was := w.undone[r.Digest]
	retry := s.Orders[r.Name()].Retry
	if was && x.Values == s.Values && (retry == "" || retry == x.Retried) {
		w.fail("%s was rolled back and is tried again unasked", r.Name())
	}
}

// downgrade: a lower version is put in force when it was before, or somebody said so.
func (w *world) downgrade(s Situation, step Step) {
	if s.Track.Current == nil || step.Track.Current == nil {
		return
	}
	from, to := s.Track.Current, step.Track.Current
	if from.Digest == to.Digest || !lenient(to.Version).LessThan(lenient(from.Version)) || from.Embedded() && to.Embedded() {
		return
	}
	back := step.Track.Undone != nil && step.Track.Undone.Digest == from.Digest
	asked := s.Target.Pinned || s.Target.Entry.Rollback
	if !back && !asked {
		w.fail("%s went down to %s unasked", from.Version, to.Version)
	}
}

// waits: who waits has a time to look again, an action under way, or depends on a change.
func (w *world) waits(s Situation, step Step) {
	c := step.Track.Current
	if c != nil && s.On && (c.Phase == source.Applying || c.Phase == source.Verifying) && step.Wake.IsZero() {
		w.fail("%s is %s and nobody looks again", c.Name(), c.Phase)
	}
	n := step.Track.Next
	if n != nil && (n.Phase == source.Scheduled && step.Prepare == Stay || n.Reason == ReasonFetchFailed) && step.Wake.IsZero() {
		w.fail("%s is %s (%s) and nobody looks again", n.Name(), n.Phase, n.Reason)
	}
	if n != nil && n.Phase == source.Preflight && step.Prepare == Stay {
		w.fail("%s is in Preflight and nothing is done", n.Name())
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf(format+"\n%s\n%+v", append(args, w.log, w.track)...)
}

// recover brings a good version, a well registry and a willing user; it must end Deployed soon.
func (w *world) recover() {
	w.on, w.down, w.fetchErr = true, false, ""
	w.src = &source.Source{Name: "corp", Channel: "stable", Update: source.Policy{Soak: 5 * time.Minute, Timeout: 15 * time.Minute}}
	w.choice = source.Choice{Source: "corp"}
	good := w.release(kind{version: "9.0.0", applies: true, ready: true, preflight: true})
	w.document(&catalog.Entry{Ref: good, PromotedAt: w.now})
	steps := 0
	for ; steps < 60; steps++ {
		step := w.pass()
		w.observe()
		if c := w.track.Current; c != nil && c.Digest == good.Digest && c.Phase == source.Deployed {
			return
		}
		if step.Prepare == Stay && step.Action == Stay && !step.Wake.IsZero() {
			w.now = step.Wake
		}
	}
	w.fail("a good version is not Deployed after %d steps", steps)
}

// TestPropertiesHoldOverRandomHistories: never two Deployed, never Deployed without health for the soak, never an
// unasked downgrade, nothing rejected is tried again unasked, always a way forward.
func TestPropertiesHoldOverRandomHistories(t *testing.T) {
	const histories = 10000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	all := events()
	reached := map[source.Phase]int{}
	for i := range uint64(histories) {
		w := newWorld(t, seed+i, reached)
		for range 9 {
			e := all[w.r.IntN(len(all))]
			w.log = append(w.log, e.name)
			e.do(w)
			w.pass()
			w.observe()
		}
		w.recover()
	}
	for _, p := range []source.Phase{source.Pending, source.Scheduled, source.Preflight, source.Applying, source.Verifying, source.Deployed, source.Superseded, source.RollingBack, source.RolledBack, source.Failed, source.Skipped, source.Suspended} {
		if reached[p] == 0 {
			t.Errorf("no history came to %s", p)
		}
	}
	t.Logf("%v", reached)
}

package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Tracker observes the objects of releases: are they healthy, and are they still
// what was applied. It keeps one cluster-wide watch for each kind that tracked
// objects have, and of each object its identity, its health and a print of each field
// that the manifest sets.
//
//	Hold ---apply---> Track      the new baseline; events of the time between are judged by it
//	                  Release    the apply failed; the old baseline stays
//	Track ----------> Forget     nothing is tracked any more
//	AwaitGone ------> Remaining  what an uninstall still waits for
//
// Every object that carries the selector's labels but is not tracked, or is held,
// is remembered as JSON until it is tracked, so that no state is missed.
type Tracker struct {
	clients  *Clients
	selector labels.Selector
	notify   func(module string, drifted bool)
	log      *slog.Logger
	wake     chan struct{}
	seed     maphash.Seed

	mu      sync.Mutex
	modules map[string]*tracking
	owners  map[object.Ref]string // the module that tracks an object
	held    map[object.Ref]int    // how many modules hold it
	needed  map[kindKey]int       // how many entries of owners and held have a kind
	kinds   map[kindKey]*kindWatch
	classes map[string]bool // storage classes that bind on first use
	rules   map[string]rules
	scalers scalers
	dirty   map[string]bool // modules whose picture may have changed
	replan  bool            // the set of kinds may have changed
}

// tracking is what is known of one module.
type tracking struct {
	objects map[object.Ref]*tracked
	held    []object.Ref
	told    string // the picture that notify was called for
}

// tracked is one object. Its numbers are resourceVersions, 0 where unknown.
type tracked struct {
	shape    *shape
	manifest [sha256.Size]byte
	leaving  bool   // an uninstall waits for it to go
	rules    []rule // for its health
	baseline prints
	since    uint64 // version of the baseline: what is older does not count
	// refused are the leaves at which the baseline is not what the manifest sets.
	refused []int

	seen, exists bool
	version      uint64
	verdict      verdict
	annotated    []string // paths that its annotation leaves to others
	differs      []int    // the leaves at which it is not as the baseline
	managers     []string // who owns the first of them
	manager      string   // who wrote last
	listing      uint64   // the last listing of its kind that it was part of
}

// NewTracker makes a Tracker for the objects that match selector. notify is called
// by Run, without locks held, when health or drift of a module changed.
func NewTracker(c *Clients, selector labels.Selector, notify func(module string, drifted bool), log *slog.Logger) *Tracker {
	return &Tracker{clients: c, selector: selector, notify: notify, log: log, wake: make(chan struct{}, 1),
		seed: maphash.MakeSeed(), rules: map[string]rules{}, scalers: newScalers(),
		modules: map[string]*tracking{}, owners: map[object.Ref]string{}, held: map[object.Ref]int{},
		needed: map[kindKey]int{}, kinds: map[kindKey]*kindWatch{}, dirty: map[string]bool{}}
}

// Run starts and stops watches as Hold, Track and the others need them, and calls
// notify. It returns nil after ctx ended and the watches with it.
func (t *Tracker) Run(ctx context.Context) error {
	var watches sync.WaitGroup
	defer watches.Wait()
	defer t.stopAll()
	scalers := newFeed(t.clients.source(resource{gvr: autoscalers, kind: "HorizontalPodAutoscaler"}, ""), scalerSink{t}, "", "", t.clients.discoveryChanged)
	watches.Go(func() { scalers.run(ctx) })
	for {
		changed := t.clients.discoveryChanged()
		again := t.plan(ctx, &watches)
		t.tell()
		var retry <-chan time.Time
		if again {
			retry = time.After(time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-changed:
			t.needPlan()
		case <-retry:
			t.needPlan()
		}
	}
}

// Hold begins an apply: until Track or Release, events of these objects are
// remembered and judged later.
func (t *Tracker) Hold(module string, objs []object.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.module(module)
	t.unhold(m)
	m.held = slices.Clone(objs)
	for _, ref := range objs {
		if t.held[ref]++; t.held[ref] == 1 {
			t.need(ref)
		}
	}
	t.touch(module)
}

// Track replaces what is tracked of a module after an action on it. Live is the
// baseline of drift; where it is nil, the one of the same manifest stays, or else the
// first state seen is.
func (t *Tracker) Track(module string, objs []installed.Manifested) {
	fresh := make(map[object.Ref]*candidate, len(objs))
	for _, o := range objs {
		if c := t.prepare(o); c != nil {
			fresh[o.Ref] = c
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.module(module)
	wasHeld := m.held != nil
	t.unhold(m)
	old := t.disown(m)
	for ref, c := range fresh {
		if o := old[ref]; o != nil && c.live == nil && o.sameManifest(c.tracked) {
			t.adopt(module, ref, o) // the action was not about it
			t.recall(ref, o)
			continue
		}
		t.adopt(module, ref, c.tracked)
		t.settle(ref, c, old[ref], wasHeld)
	}
	t.sweepTombstones()
	t.touch(module)
}

// Release ends a Hold whose apply failed: the old baseline stays.
func (t *Tracker) Release(module string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.module(module)
	t.unhold(m)
	for ref, tr := range m.objects {
		t.recall(ref, tr)
	}
	t.sweepTombstones()
	t.touch(module)
}

// Forget drops all that is known of a module.
func (t *Tracker) Forget(module string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.module(module)
	t.unhold(m)
	t.disown(m)
	t.sweepTombstones()
	delete(t.modules, module)
	delete(t.dirty, module)
	t.replan = true
	signal(t.wake)
}

// AwaitGone begins to wait for the end of objects that were deleted. Each is
// forgotten when it is gone; notify tells of every step.
func (t *Tracker) AwaitGone(module string, objs []object.Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.module(module)
	m.told = "" // even if nothing is left, that is news
	t.unhold(m)
	old := t.disown(m)
	for _, ref := range objs {
		tr := &tracked{leaving: true, verdict: verdict{state: object.Unknown}}
		if o := old[ref]; o != nil {
			if o.seen && !o.exists {
				continue
			}
			tr.seen, tr.exists, tr.version, tr.verdict, tr.listing = o.seen, o.exists, o.version, o.verdict, o.listing
		}
		t.adopt(module, ref, tr)
		t.recall(ref, tr)
		if k := t.kinds[kindOf(ref)]; !tr.seen && k != nil && k.synced {
			t.gone(ref, tr, 0)
		}
	}
	t.sweepTombstones()
	t.touch(module)
}

// Remaining is what AwaitGone still waits for, ordered, with the finalizers that
// hold an object in its message. It is empty when all are gone.
func (t *Tracker) Remaining(module string) []object.Health {
	return t.health(module, func(tr *tracked) bool { return tr.leaving })
}

// Health is the health of every tracked object of a module, ordered; Unknown until seen.
func (t *Tracker) Health(module string) []object.Health {
	return t.health(module, func(*tracked) bool { return true })
}

// Drift lists the tracked objects of a module that are gone or not what was applied, ordered.
func (t *Tracker) Drift(module string) []object.Drift {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drift(module)
}

func (t *Tracker) drift(module string) []object.Drift {
	m := t.modules[module]
	if m == nil {
		return nil
	}
	var list []object.Drift
	for ref, tr := range m.objects {
		switch {
		case tr.leaving || !tr.seen:
		case !tr.exists:
			list = append(list, object.Drift{Ref: ref, Gone: true})
		default:
			list = append(list, t.changes(module, ref, tr)...)
		}
	}
	slices.SortFunc(list, func(a, b object.Drift) int { return a.Compare(b.Ref) })
	return list
}

// changes is the drift of an object that exists: what differs from what was applied,
// else what the API server made of it.
func (t *Tracker) changes(module string, ref object.Ref, tr *tracked) []object.Drift {
	if paths, first := t.unspared(module, ref, tr, tr.differs); len(paths) > 0 {
		manager := tr.manager
		if first < len(tr.managers) && tr.managers[first] != "" {
			manager = tr.managers[first]
		}
		return []object.Drift{{Ref: ref, Paths: paths, Manager: manager}}
	}
	if paths, _ := t.unspared(module, ref, tr, tr.refused); len(paths) > 0 {
		return []object.Drift{{Ref: ref, Paths: paths, Rewritten: true}}
	}
	return nil
}

func (t *Tracker) health(module string, which func(*tracked) bool) []object.Health {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.healthLocked(module, which)
}

func (t *Tracker) healthLocked(module string, which func(*tracked) bool) []object.Health {
	m := t.modules[module]
	if m == nil {
		return nil
	}
	var list []object.Health
	for ref, tr := range m.objects {
		if which(tr) {
			v := t.verdict(ref, tr)
			list = append(list, object.Health{Ref: ref, State: v.state, Message: v.message})
		}
	}
	slices.SortFunc(list, func(a, b object.Health) int { return a.Compare(b.Ref) })
	return list
}

// verdict is an object's health with what only the tracker knows.
func (t *Tracker) verdict(ref object.Ref, tr *tracked) verdict {
	k := t.kinds[kindOf(ref)]
	switch {
	case k != nil && k.unserved:
		return notServed(ref)
	case !tr.seen && k != nil && k.err != nil:
		return verdict{state: object.Unknown, message: "cannot be watched: " + k.err.Error()}
	case !tr.seen:
		return verdict{state: object.Unknown, message: "not observed yet"}
	case tr.verdict.unlessFirstUse != "" && t.classes[tr.verdict.unlessFirstUse]:
		return verdict{state: object.Current, message: "is bound when a Pod uses it"}
	}
	return tr.verdict
}

// candidate is an object about to be tracked.
type candidate struct {
	*tracked
	fields map[string]any // of the manifest
	live   *unstructured.Unstructured
}

// prepare decodes; nil means that the object does not count.
func (t *Tracker) prepare(o installed.Manifested) *candidate {
	if o.Ignored {
		return nil
	}
	manifest, err := values.Decode(o.Manifest)
	if err != nil {
		t.log.Error("object is not tracked: its manifest is not JSON", "object", o.Ref.String(), "error", err)
		return nil
	}
	fields, _ := manifest.(map[string]any)
	if _, ttl := values.Get(fields, "spec", "ttlSecondsAfterFinished"); ttl && o.Kind == "Job" {
		return nil // it goes away by itself
	}
	if u := (&unstructured.Unstructured{Object: fields}); !t.selector.Matches(labels.Set(u.GetLabels())) {
		t.log.Warn("object is not tracked: its manifest lacks the labels of the operator", "object", o.Ref.String(), "selector", t.selector.String())
		return nil // the watch would not show it, and it would look deleted
	}
	c := &candidate{tracked: &tracked{shape: manifestShape(fields), manifest: sha256.Sum256(o.Manifest), verdict: verdict{state: object.Unknown}}, fields: fields}
	if o.Live == nil {
		return c
	}
	if live, err := values.Decode(o.Live); err == nil {
		if m, ok := live.(map[string]any); ok {
			c.live = &unstructured.Unstructured{Object: m}
		}
	}
	return c
}

// settle gives a newly tracked object its baseline and the newest state known.
func (t *Tracker) settle(ref object.Ref, c *candidate, old *tracked, wasHeld bool) {
	tr, k := c.tracked, t.kinds[kindOf(ref)]
	if old != nil {
		tr.seen, tr.exists, tr.version, tr.verdict, tr.manager, tr.listing =
			old.seen, old.exists, old.version, old.verdict, old.manager, old.listing
	}
	if c.live != nil {
		tr.look(c.live)
		tr.baseline, tr.since = t.baseline(ref, c), number(c.live.GetResourceVersion())
		tr.compare(t.seed, c.live)
		if k != nil {
			tr.listing = k.listing // a listing under way may be older than the apply
		}
	}
	if k == nil {
		return // its first listing is to come
	}
	remembered, known := k.remembered[nameOf(ref)]
	t.recall(ref, tr)
	switch {
	case known && remembered.gone && remembered.version == 0 && c.live != nil:
		k.relist() // was it gone before or after the apply?
	case known:
	case c.live == nil && old != nil && old.exists: // its state was not kept whole
		k.relist()
	case c.live == nil && k.synced:
		t.gone(ref, tr, 0)
	case c.live != nil && old != nil && old.version > tr.since && !wasHeld: // judged by the old shape
		k.relist()
	}
}

// baseline is what the object holds, except where others may change fields: there it
// is what the manifest sets, so that the difference counts when they no longer may.
func (t *Tracker) baseline(ref object.Ref, c *candidate) prints {
	out := c.shape.prints(t.seed, c.live.Object)
	numbers := c.shape.rewritten(c.fields, c.live.Object)
	if len(numbers) == 0 {
		return out
	}
	ignored := drift.ParseAll(append(t.spared(t.owners[ref], ref), c.annotated...))
	ours := c.shape.prints(t.seed, c.fields)
	for i, place := range c.shape.places(numbers) {
		if n := numbers[i]; drift.Covers(ignored, place) {
			out[n] = ours[n]
		} else {
			c.refused = append(c.refused, n)
		}
	}
	return out
}

// recall judges the remembered state of an object.
func (t *Tracker) recall(ref object.Ref, tr *tracked) {
	k := t.kinds[kindOf(ref)]
	if k == nil {
		return
	}
	r, known := k.remembered[nameOf(ref)]
	if !known || t.held[ref] > 0 {
		return
	}
	delete(k.remembered, nameOf(ref))
	if r.gone {
		if r.version != 0 || tr.since == 0 {
			t.gone(ref, tr, r.version)
		}
		return
	}
	if o, err := values.Decode(r.text); err == nil {
		if m, ok := o.(map[string]any); ok {
			u := &unstructured.Unstructured{Object: m}
			tr.look(u)
			tr.compare(t.seed, u)
		}
	}
	tr.listing = max(tr.listing, r.listing)
}

// sameManifest says whether the baseline of tr is one of other as well.
func (tr *tracked) sameManifest(other *tracked) bool {
	return !tr.leaving && tr.baseline != nil && tr.manifest == other.manifest
}

// look takes the health of a state.
func (tr *tracked) look(u *unstructured.Unstructured) {
	version := number(u.GetResourceVersion())
	if version < tr.since || version < tr.version {
		return
	}
	tr.seen, tr.exists, tr.version = true, true, version
	tr.verdict, tr.manager = judgeBy(u, tr.rules), lastManager(u)
	tr.annotated = drift.Annotated(u.GetAnnotations())
}

// compare finds drift in a state, or makes it the baseline if there is none.
func (tr *tracked) compare(seed maphash.Seed, u *unstructured.Unstructured) {
	if tr.leaving {
		return
	}
	version := number(u.GetResourceVersion())
	if version < tr.since {
		return
	}
	now := tr.shape.prints(seed, u.Object)
	if tr.baseline == nil {
		tr.baseline, tr.since = now, version
	}
	tr.differs, tr.managers = now.differing(tr.baseline), nil
	for _, place := range tr.shape.places(tr.differs[:min(len(tr.differs), namedManagers)]) {
		tr.managers = append(tr.managers, managerOf(u, place))
	}
}

// namedManagers bounds for how many changed fields of an object it is found out who owns them.
const namedManagers = 8

// gone takes note that an object does not exist.
func (t *Tracker) gone(ref object.Ref, tr *tracked, version uint64) {
	if version != 0 && version < tr.since {
		return
	}
	if tr.leaving {
		if m := t.modules[t.owners[ref]]; m != nil {
			delete(m.objects, ref)
		}
		t.unown(ref)
		t.replan = true
		return
	}
	tr.seen, tr.exists, tr.differs = true, false, nil
	tr.verdict = verdict{state: object.Missing, message: "was deleted"}
	tr.version = max(tr.version, version)
}

func (t *Tracker) module(name string) *tracking {
	m := t.modules[name]
	if m == nil {
		m = &tracking{objects: map[object.Ref]*tracked{}, told: picture(nil, nil)}
		t.modules[name] = m
	}
	return m
}

// adopt makes module the owner of an object; the last one to claim it has it.
func (t *Tracker) adopt(module string, ref object.Ref, tr *tracked) {
	if other := t.modules[t.owners[ref]]; other != nil {
		delete(other.objects, ref)
	}
	if _, owned := t.owners[ref]; !owned {
		t.need(ref)
	}
	t.owners[ref] = module
	t.modules[module].objects[ref] = tr
	tr.rules = t.rulesFor(module, ref)
}

func (t *Tracker) unown(ref object.Ref) {
	if _, owned := t.owners[ref]; owned {
		delete(t.owners, ref)
		t.unneed(ref)
	}
}

// need counts an object of a kind: with many objects it would take long to look at all
// of them whenever one moved.
func (t *Tracker) need(ref object.Ref) { t.needed[kindOf(ref)]++ }

func (t *Tracker) unneed(ref object.Ref) {
	kind := kindOf(ref)
	if t.needed[kind]--; t.needed[kind] <= 0 {
		delete(t.needed, kind)
	}
}

// disown takes all objects from a module.
func (t *Tracker) disown(m *tracking) map[object.Ref]*tracked {
	old := m.objects
	for ref := range old {
		t.unown(ref)
	}
	m.objects = map[object.Ref]*tracked{}
	return old
}

func (t *Tracker) unhold(m *tracking) {
	for _, ref := range m.held {
		if t.held[ref]--; t.held[ref] <= 0 {
			delete(t.held, ref)
			t.unneed(ref)
		}
	}
	m.held = nil
}

// sweepTombstones drops memories of deletions that nobody holds any more.
func (t *Tracker) sweepTombstones() {
	for _, k := range t.kinds {
		for i := range k.tombstones {
			if r, known := k.remembered[i]; known && r.gone {
				if t.held[k.ref(i)] > 0 {
					continue
				}
				delete(k.remembered, i)
			}
			delete(k.tombstones, i)
		}
	}
}

func (t *Tracker) touch(module string) {
	t.dirty[module] = true
	t.replan = true
	signal(t.wake)
}

func (t *Tracker) needPlan() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.replan = true
}

// tell calls notify for modules whose picture changed.
func (t *Tracker) tell() {
	type news struct {
		module  string
		drifted bool
	}
	var all []news
	t.mu.Lock()
	for module := range t.dirty {
		m := t.modules[module]
		if m == nil {
			continue
		}
		drift := t.drift(module)
		picture := picture(t.healthLocked(module, func(*tracked) bool { return true }), drift)
		if picture != m.told {
			m.told = picture
			all = append(all, news{module, len(drift) > 0})
		}
	}
	clear(t.dirty)
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b news) int { return strings.Compare(a.module, b.module) })
	for _, n := range all {
		t.notify(n.module, n.drifted)
	}
}

// picture is a digest of what a module's health and drift look like.
func picture(health []object.Health, drift []object.Drift) string {
	var b strings.Builder
	for _, h := range health {
		fmt.Fprintln(&b, h.Ref, h.APIVersion, h.State, h.Message)
	}
	for _, d := range drift {
		fmt.Fprintln(&b, d.Ref, d.APIVersion, d.Gone, d.Manager, d.Rewritten, d.Paths)
	}
	return values.Digest([]byte(b.String()))
}

// plan starts the watches that are needed and stops those that are not. It reports
// whether it should be called again soon.
func (t *Tracker) plan(ctx context.Context, watches *sync.WaitGroup) (again bool) {
	t.mu.Lock()
	if !t.replan {
		t.mu.Unlock()
		return false
	}
	t.replan = false
	start := t.reshape()
	watchClasses := t.needed[kindKey{"v1", "PersistentVolumeClaim"}] > 0 && t.classes == nil
	if watchClasses {
		t.classes = map[string]bool{}
	}
	t.mu.Unlock()

	if watchClasses {
		f := newFeed(t.clients.source(resource{gvr: storageClasses, kind: "StorageClass"}, ""), &classSink{t: t}, "", "", t.clients.discoveryChanged)
		watches.Go(func() { f.run(ctx) })
	}
	for _, k := range start {
		r, err := t.clients.resolve(k.apiVersion, k.kind)
		if err != nil {
			t.unresolved(k, err)
			again = again || !errors.Is(err, errNotServed)
			continue
		}
		t.follow(ctx, watches, k, r)
	}
	return again
}

// reshape stops watches that nobody needs and answers those to be started.
func (t *Tracker) reshape() (start []*kindWatch) {
	for key, k := range t.kinds {
		if t.needed[key] == 0 {
			k.close()
			delete(t.kinds, key)
		}
	}
	for key := range t.needed {
		k := t.kinds[key]
		if k == nil {
			k = &kindWatch{kindKey: key, t: t, remembered: map[id]remembered{}, tombstones: map[id]bool{}}
			t.kinds[key] = k
		}
		if k.feed == nil {
			start = append(start, k)
		}
	}
	slices.SortFunc(start, func(a, b *kindWatch) int { return strings.Compare(a.kind, b.kind) })
	return start
}

func (t *Tracker) unresolved(k *kindWatch, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k.unserved = errors.Is(err, errNotServed)
	k.err = err
	for ref, module := range t.owners {
		if kindOf(ref) != k.kindKey {
			continue
		}
		t.dirty[module] = true
		if tr := t.modules[module].objects[ref]; k.unserved && tr.leaving {
			t.gone(ref, tr, 0)
		}
	}
}

// follow starts the watch of a kind.
func (t *Tracker) follow(ctx context.Context, watches *sync.WaitGroup, k *kindWatch, r resource) {
	fields := ""
	if k.kindKey == (kindKey{"v1", "Secret"}) {
		fields = "type!=helm.sh/release.v1" // large, and never part of a release
	}
	f := newFeed(t.clients.source(r, ""), k, t.selector.String(), fields, t.clients.discoveryChanged)
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, k.stop = context.WithCancel(ctx)
	k.feed, k.unserved, k.err = f, false, nil
	watches.Go(func() { f.run(ctx) })
}

func (t *Tracker) stopAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, k := range t.kinds {
		k.close()
		delete(t.kinds, key)
	}
	t.classes = nil
	t.replan = true
}

// number is a resourceVersion as a number; 0 when it is none.
func number(version string) uint64 {
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

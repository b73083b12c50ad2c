package rollout

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/source"
)

// placed is an artifact of this process: unpacked, read and parsed, or why that failed.
type placed struct {
	meta   artifact.Meta
	module *module.Descriptor // nil for global hooks
	dir    string             // of global hooks
	err    string
	again  time.Time // after an error
}

// artifactOf tells placed artifacts apart: a document may list the bytes of one module under the name of
// another, and what is wrong then is wrong with the other only.
type artifactOf struct{ module, digest string }

func keyFor(r source.Release) artifactOf { return artifactOf{r.Module, r.Digest} }

// fetchRetry is the time until a failed fetch is tried again.
const fetchRetry = 30 * time.Second

// restore places what was in force when the last process ended, from the cache alone.
func (e *Engine) restore() {
	for _, t := range e.tracks {
		for _, r := range []*source.Release{t.Current, t.Previous, t.Next} {
			if r != nil && !r.Embedded() {
				e.fromCache(*r)
			}
		}
	}
}

// fromCache places a release from the cache; nil if it is not there.
func (e *Engine) fromCache(r source.Release) *placed {
	if e.busy[fetching(r)] {
		return nil // it comes by itself
	}
	a, err := e.cfg.Ports.Registry.Cached(r.Digest)
	if err != nil {
		return nil
	}
	p := e.unpack(r, a, e.origin(r))
	e.placed[keyFor(r)] = p
	return p
}

// origin is what a release's files are said to come from.
func (e *Engine) origin(r source.Release) module.Origin {
	o := module.Origin{Source: r.Source, Channel: r.Channel, Artifact: r.Digest}
	if s, ok := e.source(r.Source); ok {
		o.ServiceAccount = s.ServiceAccountName
	} else if t := e.tracks[r.Module]; t.Account != "" {
		o.ServiceAccount = t.Account
	}
	return o
}

// unpack makes files of an artifact. It may run beside the engine.
func (e *Engine) unpack(r source.Release, a artifact.Artifact, origin module.Origin) *placed {
	p := &placed{meta: a.Meta}
	err := checkMeta(a.Meta, r)
	switch {
	case err != nil:
	case r.Module == artifact.GlobalName:
		p.dir, err = e.cfg.Ports.Loader.Global(a, r.Digest)
	default:
		p.module, err = e.cfg.Ports.Loader.Module(a, origin)
	}
	if err != nil {
		p.err = err.Error()
		p.again = e.cfg.Now().Add(fetchRetry)
	}
	return p
}

// checkMeta holds an artifact to what the document says of it.
func checkMeta(m artifact.Meta, r source.Release) error {
	if err := m.Expect(r.Module, r.Version); err != nil {
		return fmt.Errorf("%s: %w; it is not used", r.Digest, err)
	}
	return artifact.CheckName(r.Module)
}

// fetch gets an artifact beside the engine.
func (e *Engine) fetch(ctx context.Context, r source.Release) {
	if e.ready(r) {
		return
	}
	s, known := e.source(r.Source)
	if !known {
		if e.fromCache(r) == nil {
			e.placed[keyFor(r)] = &placed{err: fmt.Sprintf("ModuleSource %s does not exist, and its artifact %s is not in the cache", r.Source, r.Digest), again: e.cfg.Now().Add(fetchRetry)}
		}
		return
	}
	origin, line := e.origin(r), e.line(r.Source)
	e.async(ctx, fetching(r), func(ctx context.Context) func() {
		select {
		case line <- struct{}{}:
			defer func() { <-line }()
		case <-ctx.Done():
			return func() {}
		}
		p := e.fetched(ctx, s, r, origin)
		return func() {
			if ctx.Err() == nil {
				e.placed[keyFor(r)] = p
			}
		}
	})
}

func fetching(r source.Release) string { return "fetch " + r.Module + " " + r.Digest }

// fetchesAtOnce of one source: each may take as much memory as the largest artifact, and a source that
// hangs holds up nobody but itself.
const fetchesAtOnce = 2

// line is where fetches from a source wait for their turn.
func (e *Engine) line(name string) chan struct{} {
	if e.lines[name] == nil {
		e.lines[name] = make(chan struct{}, fetchesAtOnce)
	}
	return e.lines[name]
}

// fetched fetches and unpacks. It runs beside the engine.
func (e *Engine) fetched(ctx context.Context, s source.Source, r source.Release, origin module.Origin) *placed {
	a, err := e.cfg.Ports.Registry.Artifact(ctx, s, r.Module, r.Digest)
	if err != nil {
		return &placed{err: err.Error(), again: e.cfg.Now().Add(fetchRetry)}
	}
	return e.unpack(r, a, origin)
}

// place hands the loop the modules that should be in force, when they are others than it has.
func (e *Engine) place(ctx context.Context, now time.Time) (wake time.Time) {
	if e.loop == nil {
		return wake
	}
	e.pin()
	wake = e.recover(ctx, now)
	wanted := e.wanted()
	if wanted == e.inForce {
		e.retryAt = time.Time{}
		e.prune()
		return wake
	}
	set, err := e.Set()
	if err == nil {
		err = e.loop.Replace(ctx, set)
	}
	if err != nil {
		if ctx.Err() == nil {
			e.log.Error("modules of sources cannot be put in force; trying again", "error", err)
		}
		e.retryAt = now.Add(time.Second)
		return earlier(wake, e.retryAt)
	}
	e.inForce, e.retryAt = wanted, time.Time{}
	return earlier(wake, now) // what is in force now may allow the next step
}

// recover fetches what should be in force and is not in the cache any more.
func (e *Engine) recover(ctx context.Context, now time.Time) (wake time.Time) {
	if !e.informed {
		return wake // whom to ask is not known yet
	}
	if !e.informed {
		return wake // what sources there are is not known yet
	}
	for _, t := range e.tracks {
		if t.Current == nil || t.Current.Embedded() {
			continue
		}
		p := e.placed[keyFor(*t.Current)]
		if p == nil || p.err != "" && !now.Before(p.again) {
			e.fetch(ctx, *t.Current)
		}
		if p != nil && p.err != "" {
			wake = earlier(wake, p.again)
		}
	}
	return wake
}

// wanted tells sets apart without making them: which reading of the directories, and which
// artifacts instead of and beside it.
func (e *Engine) wanted() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%p", e.embedded)
	for _, name := range slices.Sorted(maps.Keys(e.tracks)) {
		if r := e.tracks[name].Current; r != nil && !r.Embedded() {
			o := e.origin(*r)
			fmt.Fprintf(&b, " %s=%s %s %s %t", name, o.Artifact, o.Channel, o.ServiceAccount, e.ready(*r))
			if p := e.placed[keyFor(*r)]; p == nil || p.err != "" {
				b.WriteString(problemOf(p))
			}
		}
	}
	return b.String()
}

// prune forgets artifacts that no module needs and no document lists any more, with their files.
func (e *Engine) prune() {
	for at := range e.placed {
		if e.needed(at) || e.busy[fetching(source.Release{Module: at.module, Digest: at.digest})] {
			continue
		}
		delete(e.placed, at)
		if !e.shared(at.digest) {
			e.cfg.Ports.Loader.Drop(at.digest)
		}
	}
}

// shared says that another module is listed with the same bytes.
func (e *Engine) shared(digest string) bool {
	for at := range e.placed {
		if at.digest == digest {
			return true
		}
	}
	return false
}

func (e *Engine) needed(at artifactOf) bool {
	t := e.tracks[at.module]
	for _, r := range []*source.Release{t.Current, t.Previous, t.Next, t.Undone} {
		if r != nil && r.Digest == at.digest {
			return true
		}
	}
	for _, f := range e.follows {
		if f.document == nil {
			continue
		}
		entry, _ := f.document.Entry(at.module)
		if slices.ContainsFunc(entry.Offers(), func(r catalog.Ref) bool { return r.Digest == at.digest }) {
			return true
		}
	}
	return false
}

// ready says that a release's files are there.
func (e *Engine) ready(r source.Release) bool {
	p := e.placed[keyFor(r)]
	return p != nil && p.err == ""
}

// Set is every module that should be in force: those on disk, with those of sources in their place and
// beside them. A module of a source that cannot be had is Broken: its release is left alone. Global
// hooks that cannot be had leave those on disk in force.
func (e *Engine) Set() (*module.Set, error) {
	set := *e.embedded
	set.Modules, set.Broken = slices.Clone(e.embedded.Modules), maps.Clone(e.embedded.Broken)
	if set.Broken == nil {
		set.Broken = map[string]error{}
	}
	out := &set
	for _, name := range slices.Sorted(maps.Keys(e.tracks)) {
		r := e.tracks[name].Current
		if r == nil || r.Embedded() {
			continue
		}
		if name != artifact.GlobalName {
			e.swap(out, *r)
			continue
		}
		if !e.ready(*r) {
			continue
		}
		next, err := e.cfg.Ports.Loader.WithGlobal(out, e.placed[keyFor(*r)].dir, e.origin(*r))
		if err != nil {
			return nil, fmt.Errorf("global hooks of source %s, version %s: %w", r.Source, r.Version, err)
		}
		out = next
	}
	slices.SortStableFunc(out.Modules, func(a, b *module.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// swap puts a release in the place of the module of its name.
func (e *Engine) swap(set *module.Set, r source.Release) {
	set.Modules = slices.DeleteFunc(set.Modules, func(d *module.Descriptor) bool { return d.Name == r.Module })
	delete(set.Broken, r.Module)
	p := e.placed[keyFor(r)]
	if !e.ready(r) {
		set.Broken[r.Module] = fmt.Errorf("version %s of source %s cannot be had: %s", r.Version, r.Source, problemOf(p))
		return
	}
	if origin := e.origin(r); p.module.Origin != origin {
		d := *p.module
		d.Origin = origin
		p.module = &d
	}
	set.Modules = append(set.Modules, p.module)
}

func problemOf(p *placed) string {
	if p == nil {
		return "it is not in the cache and was not fetched yet"
	}
	return p.err
}

// pin keeps in the cache what runs, what to go back to, what is on its way, and the documents.
func (e *Engine) pin() {
	var digests []string
	for _, t := range e.tracks {
		for _, r := range []*source.Release{t.Current, t.Previous, t.Next} {
			if r != nil && r.Digest != "" {
				digests = append(digests, r.Digest)
			}
		}
	}
	for _, m := range e.marks {
		digests = append(digests, m.Manifest)
	}
	slices.Sort(digests)
	digests = slices.Compact(digests)
	if joined := strings.Join(digests, " "); joined != e.pinned {
		e.pinned = joined
		e.cfg.Ports.Registry.Pin(digests)
	}
}

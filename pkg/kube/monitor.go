package kube

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// id is the identity of an object among those of one kind.
type id struct{ namespace, name string }

func (i id) String() string {
	if i.namespace == "" {
		return i.name
	}
	return i.namespace + "/" + i.name
}

func (i id) compare(o id) int {
	return cmp.Or(cmp.Compare(i.namespace, o.namespace), cmp.Compare(i.name, o.name))
}

// compareText compares as the strings namespace/kind/name of one kind do, without
// making them: a namespace ends with a slash there.
func (i id) compareText(o id) int {
	n := min(len(i.namespace), len(o.namespace))
	switch c := cmp.Compare(i.namespace[:n], o.namespace[:n]); {
	case c != 0:
		return c
	case len(i.namespace) > n:
		return cmp.Compare(i.namespace[n], '/')
	case len(o.namespace) > n:
		return cmp.Compare('/', o.namespace[n])
	}
	return cmp.Compare(i.name, o.name)
}

// checksum is the first half of a SHA-256.
type checksum [sha256.Size / 2]byte

func checksumOf(text []byte) checksum {
	sum := sha256.Sum256(text)
	return checksum(sum[:])
}

// entry is what a binding keeps of an object.
type entry struct {
	id      id
	item    hook.Item
	sum     checksum // over what C-145 compares
	version uint64   // its resourceVersion; 0 when that is no number
	listing uint64   // the last listing that it was part of
}

// notice is one call of a handler that is due.
type notice struct {
	event    hook.WatchEvent
	id       id
	item     hook.Item
	appeared bool
	failed   bool
	err      error
}

// monitor is the state of one binding: caches of its parts, the buffer of events
// that wait for Unlock, and the queue of calls to its handler.
//
//	informers --project--> part.entries --event--> buffer (locked) | queue --deliver--> handler
type monitor struct {
	id       hook.ID
	binding  hook.Kubernetes
	log      *slog.Logger
	handler  hook.WatchHandler
	observer *Observer
	wake     chan struct{} // the queue is not empty
	due      chan struct{} // the watch has something to attend to: namespaces, slow, gone

	mu      sync.Mutex
	kind    string // as the server spells it
	locked  bool
	stopped bool
	parts   map[partKey]*part
	order   []*entry // all entries in the order of C-134; nil when it must be made anew
	buffer  pending
	queue   pending
	faults  map[string]error
	told    string  // text of the last error that the handler got
	slow    []*part // whose filter is slow, to be isolated
	gone    bool    // the kind is not served any more
	// ops counts since the start, recent since the newest snapshot.
	ops, recent hook.Operations
}

func newMonitor(id hook.ID, b hook.Kubernetes, h hook.WatchHandler, o *Observer, log *slog.Logger) *monitor {
	return &monitor{id: id, binding: b, kind: b.Kind, handler: h, observer: o, log: log, locked: true,
		wake: make(chan struct{}, 1), due: make(chan struct{}, 1),
		parts: map[partKey]*part{}, faults: map[string]error{}}
}

// deliver calls the handler, one call at a time, until ctx ends. attend runs
// between calls when due is signalled.
func (m *monitor) deliver(ctx context.Context, attend func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.due:
			attend()
		case <-m.wake:
			for m.room(ctx, attend) {
				n, ok := m.next()
				if !ok {
					break
				}
				m.call(n)
			}
		}
	}
}

// room waits until the handler takes another call; false when ctx ended first.
// What waits meanwhile is merged.
func (m *monitor) room(ctx context.Context, attend func()) bool {
	for m.handler.Room != nil {
		full := m.handler.Room()
		if full == nil {
			break
		}
		select {
		case <-ctx.Done():
			return false
		case <-m.due:
			attend()
		case <-full:
		}
	}
	return ctx.Err() == nil
}

func (m *monitor) next() (notice, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		m.queue.clear()
	}
	return m.queue.take()
}

func (m *monitor) call(n notice) {
	switch {
	case n.failed && m.handler.Failed != nil:
		m.handler.Failed(n.err)
	case n.appeared && m.handler.Appeared != nil:
		m.handler.Appeared()
	case n.event != "" && m.handler.Event != nil:
		m.handler.Event(n.event, n.item)
	}
}

// push queues a call; m.mu is held.
func (m *monitor) push(n notice) {
	if m.stopped {
		return
	}
	m.queue.add(n, m.queue.n >= crowded)
	signal(m.wake)
}

// emit passes an event that the binding listens to; m.mu is held.
func (m *monitor) emit(n notice) {
	switch {
	case !slices.Contains(m.binding.Events, n.event):
	case m.locked:
		m.buffer.add(n, true)
	default:
		m.push(n)
	}
}

// fault records what goes wrong at a place, nil when it is over, and tells the
// handler when the picture changed; m.mu is held.
func (m *monitor) fault(place string, err error) {
	if err == nil {
		delete(m.faults, place)
	} else {
		m.faults[place] = err
	}
	var first error
	if places := slices.Sorted(maps.Keys(m.faults)); len(places) > 0 {
		first = m.faults[places[0]]
	}
	text := ""
	if first != nil {
		text = first.Error()
	}
	if text == m.told {
		return
	}
	m.told = text
	m.push(notice{failed: true, err: first})
}

// lock makes events wait, as before the first Synchronization.
func (m *monitor) lock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = true
	m.buffer.clear()
}

// unlock lets events flow, buffered ones first (C-153).
func (m *monitor) unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = false
	m.buffer.moveTo(&m.queue)
	signal(m.wake)
}

// snapshot is every cached object in the order of C-134. It drops the events it shows.
func (m *monitor) snapshot() []hook.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buffer.clear()
	m.recent = hook.Operations{}
	return m.items()
}

// peek is snapshot that drops nothing, and says what happened.
func (m *monitor) peek() hook.Held {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := hook.Held{Kind: m.kind, Items: m.items(), SinceStart: m.ops, SinceRun: m.recent}
	held.SinceStart.Count, held.SinceRun.Count = len(held.Items), len(held.Items)
	return held
}

// happened counts a change of what is kept; m.mu is held.
func (m *monitor) happened(e hook.WatchEvent) {
	for _, o := range []*hook.Operations{&m.ops, &m.recent} {
		switch e {
		case hook.Added:
			o.Added++
		case hook.Modified:
			o.Modified++
		case hook.Deleted:
			o.Deleted++
		}
	}
}

// items lists what is cached; m.mu is held.
func (m *monitor) items() []hook.Item {
	if m.order == nil {
		m.sort()
	}
	items := make([]hook.Item, len(m.order))
	for i, e := range m.order {
		items[i] = e.item
	}
	return items
}

// sort makes the order of C-134 anew; m.mu is held.
func (m *monitor) sort() {
	m.order = make([]*entry, 0, m.count())
	for _, p := range m.parts {
		for _, e := range p.entries {
			m.order = append(m.order, e)
		}
	}
	compare := id.compare
	if !m.binding.KeepFullObjects {
		compare = id.compareText
	}
	slices.SortFunc(m.order, func(a, b *entry) int { return compare(a.id, b.id) })
}

// count is the number of cached objects; m.mu is held.
func (m *monitor) count() (n int) {
	for _, p := range m.parts {
		n += len(p.entries)
	}
	return n
}

// counted tells the observer how many objects there are; m.mu is held.
func (m *monitor) counted() {
	if m.observer.Objects != nil {
		m.observer.Objects(m.id, m.binding, m.count())
	}
}

// slowFilter is the time from which on a filter is too slow to share an informer
// with others, who would wait for it.
const slowFilter = time.Second

// project makes what the binding keeps of an object, and says whether its filter is slow.
func (m *monitor) project(s *seen) (e *entry, slow bool, err error) {
	e = &entry{id: s.id, version: s.version}
	if f := m.binding.Filter; f != nil {
		began := time.Now()
		r := s.filter(f)
		took := time.Since(began)
		slow = took >= slowFilter
		if m.observer.Filtered != nil {
			m.observer.Filtered(m.id, m.binding, took)
		}
		if r.err != nil {
			return e, slow, fmt.Errorf("jqFilter on %s/%s: %w", m.kind, s.id, r.err)
		}
		e.item.FilterResult, e.sum = r.text, r.sum
		if !m.binding.KeepFullObjects {
			return e, slow, nil
		}
	}
	text, err := s.json()
	if err != nil {
		return e, slow, fmt.Errorf("%s/%s: %w", m.kind, s.id, err)
	}
	if m.binding.Filter == nil {
		e.sum = checksumOf(text)
	}
	if m.binding.KeepFullObjects {
		e.item.Object = text
	}
	return e, slow, nil
}

// partKey names one list/watch of a binding (C-150).
type partKey struct{ namespace, name string }

// forget drops a part with its objects and without events; m.mu is held.
func (m *monitor) forget(p *part) {
	m.ops.Cleaned += len(p.entries)
	m.recent.Cleaned += len(p.entries)
	delete(m.parts, p.key)
	m.order = nil
}

// part is a binding's view of one informer.
type part struct {
	m   *monitor
	key partKey
	// announce: objects of the first listing are events, since the binding is synchronised already.
	announce bool
	ready    chan struct{} // closed when listed, or failed with err

	// seat is the part's place in an informer; see join, isolate and leave.
	seat seat

	// The following are guarded by m.mu.
	entries map[id]*entry
	listing uint64
	listed  bool
	slow    bool // its filter is
	stale   bool // an entry is not what its object is now, since its filter failed
	err     error
}

func newPart(m *monitor, key partKey, announce bool) *part {
	return &part{m: m, key: key, announce: announce, ready: make(chan struct{}), entries: map[id]*entry{}}
}

func (p *part) begin() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.listing++
}

func (p *part) put(s *seen) {
	if p.m.observer.Handled != nil {
		began := time.Now()
		defer func() { p.m.observer.Handled(p.m.id, p.m.binding, time.Since(began)) }()
	}
	if p.known(s) {
		return
	}
	now, slow, err := p.m.project(s)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if slow && !p.slow {
		p.slow = true
		p.m.slow = append(p.m.slow, p)
		signal(p.m.due)
	}
	old := p.entries[s.id]
	if err != nil {
		p.reject(s, old, err)
		return
	}
	p.m.fault(s.id.String(), nil)
	now.listing = p.listing
	if old != nil { // keep its place in the order
		was := old.sum
		*old = *now
		if was != now.sum {
			p.m.happened(hook.Modified)
			p.m.emit(notice{event: hook.Modified, id: s.id, item: now.item})
		}
		return
	}
	p.entries[s.id] = now
	p.m.order = nil
	p.m.happened(hook.Added)
	if p.listed {
		p.m.counted()
	}
	if !p.silent() {
		p.m.emit(notice{event: hook.Added, id: s.id, item: now.item})
	}
}

// silent: what is listed now the Synchronization shows; m.mu is held.
func (p *part) silent() bool { return !p.listed && !p.announce }

// known reports that an object need not be looked at: it is the version that is
// cached, or the part has failed.
func (p *part) known(s *seen) bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if p.err != nil {
		return true
	}
	old := p.entries[s.id]
	if old == nil || s.version == 0 || old.version != s.version {
		return false
	}
	old.listing = p.listing
	if p.m.binding.KeepFullObjects { // one copy for all bindings
		if s.text == nil {
			s.text = old.item.Object
		}
		old.item.Object = s.text
	}
	return true
}

// reject leaves the entry as it was (C-144); m.mu is held.
func (p *part) reject(s *seen, old *entry, err error) {
	if old != nil {
		old.listing = p.listing
	}
	if p.silent() {
		p.finish(err)
		return
	}
	p.stale = true
	p.m.log.Warn("object left as it was in the snapshot", "error", err)
	p.m.fault(s.id.String(), err)
}

func (p *part) remove(s *seen) {
	p.m.mu.Lock()
	old := p.entries[s.id]
	p.m.mu.Unlock()
	if old == nil {
		return
	}
	now, _, err := p.m.project(s)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if err != nil {
		p.m.log.Warn("deleted object is shown as it was before", "error", err)
		now = old
	}
	p.drop(now)
	p.m.counted()
}

// drop forgets an object, last its last state; m.mu is held.
func (p *part) drop(last *entry) {
	delete(p.entries, last.id)
	p.m.order = nil
	p.m.happened(hook.Deleted)
	p.m.fault(last.id.String(), nil)
	if !p.silent() {
		p.m.emit(notice{event: hook.Deleted, id: last.id, item: last.item})
	}
}

// sweep drops what the current listing did not show, or all of it; m.mu is held.
func (p *part) sweep(all bool) {
	var gone []*entry
	for _, e := range p.entries {
		if all || e.listing != p.listing {
			gone = append(gone, e)
		}
	}
	slices.SortFunc(gone, func(a, b *entry) int { return a.id.compare(b.id) })
	for _, e := range gone {
		p.drop(e)
	}
}

func (p *part) end() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.sweep(false)
	p.finish(nil)
	p.m.counted()
}

// finish ends the wait for the first listing; m.mu is held.
func (p *part) finish(err error) {
	if p.listed || p.err != nil {
		return
	}
	p.listed, p.err = err == nil, err
	close(p.ready)
}

// vanished passes on that the kind is not served any more.
func (p *part) vanished() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.gone = true
	signal(p.m.due)
}

// tooSlow reports that others should not wait for this part.
func (p *part) tooSlow() bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	return p.slow
}

// texts are all objects of the part; false unless it keeps them whole and each as
// it is now.
func (p *part) texts() ([][]byte, bool) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if !p.m.binding.KeepFullObjects || !p.listed || p.stale {
		return nil, false
	}
	all := make([][]byte, 0, len(p.entries))
	for _, e := range p.entries {
		all = append(all, e.item.Object)
	}
	return all, true
}

func (p *part) fault(err error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("list and watch %s%s: %w", p.m.kind, where(p.key), err)
		if definitive(err) && !p.announce { // nobody waits for one that is announced
			p.finish(err)
		}
	}
	p.m.fault("\x00"+p.key.namespace+"/"+p.key.name, err)
}

func where(k partKey) string {
	switch {
	case k.namespace == "" && k.name == "":
		return ""
	case k.name == "":
		return " in namespace " + k.namespace
	}
	return " " + id(k).String()
}

// compact is v as JSON without HTML escapes, in a slice that is not larger than needed.
func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

var errStopped = errors.New("the monitor was stopped")

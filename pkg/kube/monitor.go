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

// entry is what a binding keeps of an object.
type entry struct {
	item    hook.Item
	sum     [sha256.Size]byte // over what C-145 compares
	listing uint64            // the last listing that it was part of
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
	binding hook.Kubernetes
	kind    string // as the server spells it
	log     *slog.Logger
	handler hook.WatchHandler
	wake    chan struct{}

	mu      sync.Mutex
	locked  bool
	stopped bool
	parts   map[partKey]*part
	buffer  []notice
	queue   []notice
	faults  map[string]error
	told    string // text of the last error that the handler got
}

func newMonitor(b hook.Kubernetes, h hook.WatchHandler, log *slog.Logger) *monitor {
	return &monitor{binding: b, kind: b.Kind, handler: h, log: log, locked: true, wake: make(chan struct{}, 1),
		parts: map[partKey]*part{}, faults: map[string]error{}}
}

// deliver calls the handler, one call at a time, until ctx ends. namespaces runs
// between calls when reselect is signalled.
func (m *monitor) deliver(ctx context.Context, reselect <-chan struct{}, namespaces func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-reselect:
			namespaces()
		case <-m.wake:
			for n, ok := m.next(); ok; n, ok = m.next() {
				m.call(n)
			}
		}
	}
}

func (m *monitor) next() (notice, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped || len(m.queue) == 0 {
		m.queue = nil // give the memory of a burst back
		return notice{}, false
	}
	n := m.queue[0]
	m.queue[0] = notice{}
	m.queue = m.queue[1:]
	return n, true
}

func (m *monitor) call(n notice) {
	switch {
	case n.failed && m.handler.Failed != nil:
		m.handler.Failed(n.err)
	case n.appeared && m.handler.Appeared != nil:
		m.handler.Appeared()
	case n.event != "" && m.handler.Event != nil:
		n.item.Key = n.id.String()
		m.handler.Event(n.event, n.item)
	}
}

// push queues a call; m.mu is held.
func (m *monitor) push(n notice) {
	if m.stopped {
		return
	}
	m.queue = append(m.queue, n)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// emit passes an event that the binding listens to; m.mu is held.
func (m *monitor) emit(n notice) {
	switch {
	case !slices.Contains(m.binding.Events, n.event):
	case m.locked:
		m.buffer = coalesce(m.buffer, n)
	default:
		m.push(n)
	}
}

// coalesce adds an event to those buffered. Of one object at most a Deleted and
// what came after it stay: a deletion is never swallowed (C-145).
func coalesce(buffer []notice, n notice) []notice {
	last := -1
	for i := range buffer {
		if buffer[i].id == n.id {
			last = i
		}
	}
	switch {
	case last < 0 || (n.event == hook.Added && buffer[last].event == hook.Deleted):
		return append(buffer, n)
	case n.event == hook.Deleted:
		buffer = slices.DeleteFunc(buffer, func(b notice) bool { return b.id == n.id })
		return append(buffer, n)
	case n.event == hook.Modified && buffer[last].event == hook.Added:
		n.event = hook.Added
	}
	buffer[last] = n
	return buffer
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
	m.buffer = nil
}

// unlock lets events flow, buffered ones first (C-153).
func (m *monitor) unlock() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.locked = false
	for _, n := range m.buffer {
		m.push(n)
	}
	m.buffer = nil
}

// snapshot is every cached object in the order of C-134. It drops the events it shows.
func (m *monitor) snapshot() []hook.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buffer = nil
	return m.items()
}

func (m *monitor) peek() []hook.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.items()
}

// items lists what is cached; m.mu is held.
func (m *monitor) items() []hook.Item {
	type row struct {
		id   id
		text string
		item hook.Item
	}
	rows := []row{}
	for _, p := range m.parts {
		for i, e := range p.entries {
			r := row{id: i, item: e.item}
			if !m.binding.KeepFullObjects {
				r.text = i.namespace + "/" + m.kind + "/" + i.name
			}
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.text, b.text), a.id.compare(b.id)) })
	items := make([]hook.Item, len(rows))
	for i, r := range rows {
		items[i] = r.item
	}
	return items
}

// project makes what the binding keeps of an object.
func (m *monitor) project(s *seen) (entry, error) {
	var e entry
	if m.binding.Filter != nil {
		result, err := m.binding.Filter.Run(s.object)
		if err != nil {
			return e, fmt.Errorf("jqFilter on %s/%s: %w", m.kind, s.id, err)
		}
		e.item.FilterResult = bytes.Clone(result)
		e.sum = sha256.Sum256(result)
	}
	if m.binding.Filter != nil && !m.binding.KeepFullObjects {
		return e, nil
	}
	text, err := s.json()
	if err != nil {
		return e, fmt.Errorf("%s/%s: %w", m.kind, s.id, err)
	}
	if m.binding.Filter == nil {
		e.sum = sha256.Sum256(text)
	}
	if m.binding.KeepFullObjects {
		e.item.Object = text
	}
	return e, nil
}

// partKey names one list/watch of a binding (C-150).
type partKey struct{ namespace, name string }

// part is a binding's view of one informer.
type part struct {
	m        *monitor
	key      partKey
	informer *informer
	// announce: objects of the first listing are events, since the binding is synchronised already.
	announce bool
	ready    chan struct{} // closed when listed, or failed with err

	// The following are guarded by m.mu.
	entries map[id]entry
	listing uint64
	listed  bool
	err     error
}

func newPart(m *monitor, key partKey, announce bool) *part {
	return &part{m: m, key: key, announce: announce, ready: make(chan struct{}), entries: map[id]entry{}}
}

func (p *part) begin() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.listing++
}

func (p *part) put(s *seen) {
	now, err := p.m.project(s)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	old, known := p.entries[s.id]
	if err != nil {
		p.reject(s, known, err)
		return
	}
	p.m.fault(s.id.String(), nil)
	now.listing = p.listing
	p.entries[s.id] = now
	switch {
	case !p.listed && !p.announce: // the Synchronization shows it
	case !known:
		p.m.emit(notice{event: hook.Added, id: s.id, item: now.item})
	case old.sum != now.sum:
		p.m.emit(notice{event: hook.Modified, id: s.id, item: now.item})
	}
}

// reject leaves the entry as it was (C-144); m.mu is held.
func (p *part) reject(s *seen, known bool, err error) {
	if known {
		old := p.entries[s.id]
		old.listing = p.listing
		p.entries[s.id] = old
	}
	if !p.listed && !p.announce {
		p.finish(err)
		return
	}
	p.m.log.Warn("object left as it was in the snapshot", "error", err)
	p.m.fault(s.id.String(), err)
}

func (p *part) remove(s *seen) {
	now, err := p.m.project(s)
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	old, known := p.entries[s.id]
	if !known {
		return
	}
	if err != nil {
		p.m.log.Warn("deleted object is shown as it was before", "error", err)
		now = old
	}
	p.drop(s.id, now)
}

// drop forgets an object; m.mu is held.
func (p *part) drop(i id, last entry) {
	delete(p.entries, i)
	p.m.fault(i.String(), nil)
	p.m.emit(notice{event: hook.Deleted, id: i, item: last.item})
}

// sweep drops what the current listing did not show, or all of it; m.mu is held.
func (p *part) sweep(all bool) {
	for _, i := range slices.SortedFunc(maps.Keys(p.entries), id.compare) {
		if e := p.entries[i]; all || e.listing != p.listing {
			p.drop(i, e)
		}
	}
}

func (p *part) end() {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.sweep(false)
	p.finish(nil)
}

// finish ends the wait for the first listing; m.mu is held.
func (p *part) finish(err error) {
	if p.listed || p.err != nil {
		return
	}
	p.listed, p.err = err == nil, err
	close(p.ready)
}

func (p *part) fault(err error) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("list and watch %s%s: %w", p.m.kind, where(p.key), err)
		if definitive(err) {
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

package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Watcher runs the monitors of kubernetes bindings (section 3.4 of the contract)
// over informers that bindings share (C-156).
type Watcher struct {
	clients   *Clients
	informers *informers
	log       *slog.Logger

	mu      sync.Mutex
	filters map[string]weak.Pointer[hook.Filter] // by source
}

// NewWatcher makes a Watcher; it does nothing until Watch is called.
func NewWatcher(c *Clients, log *slog.Logger) *Watcher {
	return &Watcher{clients: c, log: log, informers: &informers{clients: c, all: map[informerKey]*informer{}},
		filters: map[string]weak.Pointer[hook.Filter]{}}
}

// share lets bindings with the same jqFilter keep one compiled program.
func (w *Watcher) share(f *hook.Filter) {
	if f == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if same := w.filters[f.String()].Value(); same != nil {
		f.Share(same)
		return
	}
	maps.DeleteFunc(w.filters, func(_ string, p weak.Pointer[hook.Filter]) bool { return p.Value() == nil })
	w.filters[f.String()] = weak.Make(f)
}

// Watch starts the monitor of a binding and returns when all matching objects are
// cached. ctx bounds that wait only; the monitor runs until Stop, which must not
// be called from a handler. Events wait for Unlock.
//
// A kind that the cluster does not serve counts as synchronised and empty;
// h.Appeared is called once it is served and listed (C-155). An error is a
// jqFilter that fails on an object that exists (C-144), a request that the API
// server refuses, or the end of ctx. Requests that may succeed later are retried
// and reported to h.Failed.
func (w *Watcher) Watch(ctx context.Context, id hook.ID, b hook.Kubernetes, h hook.WatchHandler) (hook.Watch, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("hook %s, binding %s: %w", id, b.Name, err)
	}
	clients, err := w.clients.As(h.Account)
	if err != nil {
		return nil, fmt.Errorf("hook %s, binding %s: %w", id, b.Name, err)
	}
	w.share(b.Filter)
	m := newMonitor(id, b, h, &w.clients.observer, w.log.With("hook", id.String(), "binding", b.Name))
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	b1 := &bindingWatch{watcher: w, clients: clients, monitor: m, stop: stop}
	b1.wg.Go(func() { m.deliver(run, func() { b1.attend(run) }) })
	if b.Resync > 0 {
		b1.wg.Go(func() { b1.resync(run) })
	}
	if b.Kind == "" {
		return b1, nil // C-155: nothing is watched
	}
	r, err := clients.resolve(b.APIVersion, b.Kind)
	switch {
	case errors.Is(err, errNotServed):
		b1.wg.Go(func() { b1.await(run) })
		return b1, nil
	case err == nil:
		err = b1.open(ctx, r)
	}
	if err != nil {
		b1.Stop()
		return nil, fmt.Errorf("hook %s, binding %s: %w", id, b.Name, clients.refused(err))
	}
	return b1, nil
}

// bindingWatch ties a monitor to its informers.
type bindingWatch struct {
	watcher *Watcher
	clients *Clients // of who lists and watches
	monitor *monitor
	stop    context.CancelFunc
	wg      sync.WaitGroup

	mu         sync.Mutex // one of open, attend and Stop at a time
	resource   resource
	namespaces *selected // nil without a namespace label selector
	stopped    bool
	ended      []<-chan struct{} // informers that this binding was the last to leave
}

// Snapshot implements hook.Watch.
func (b *bindingWatch) Snapshot() []hook.Item { return b.monitor.snapshot() }

// Peek implements hook.Watch.
func (b *bindingWatch) Peek() hook.Held { return b.monitor.peek() }

// Unlock implements hook.Watch.
func (b *bindingWatch) Unlock() { b.monitor.unlock() }

// Stop implements hook.Watch.
func (b *bindingWatch) Stop() {
	b.stop()
	b.monitor.mu.Lock()
	b.monitor.stopped = true
	b.monitor.mu.Unlock()
	b.wg.Wait()
	b.mu.Lock()
	b.stopped = true
	b.close()
	ended := b.ended
	b.mu.Unlock()
	for _, done := range ended {
		<-done
	}
	if o := b.watcher.clients.observer; o.Stopped != nil {
		o.Stopped(b.monitor.id, b.monitor.binding)
	}
}

// resync lists anew at every resynchronizationPeriod, give or take a tenth, so that
// hooks with the same period do not all do so at once.
func (b *bindingWatch) resync(ctx context.Context) {
	period := b.monitor.binding.Resync
	timer := time.NewTimer(jittered(period))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			for _, p := range b.partsOf(func(partKey) bool { return true }) {
				p.seat.relist()
			}
			timer.Reset(jittered(period))
		}
	}
}

func jittered(d time.Duration) time.Duration { return d - d/20 + rand.N(d/10+1) }

// attend does what came up while the binding is watched. It runs in the goroutine
// that calls the handler, and waits for nothing.
func (b *bindingWatch) attend(ctx context.Context) {
	m := b.monitor
	m.mu.Lock()
	slow := m.slow
	m.slow = nil
	m.mu.Unlock()
	for _, p := range slow {
		m.log.Warn("the jqFilter is slow; its objects are listed and watched apart from those of other hooks", "kind", m.kind)
		p.seat.isolate(ctx, b.watcher.informers, p)
	}
	if !b.mu.TryLock() { // open is at work or Stop is
		b.attendLater(ctx)
		return
	}
	defer b.mu.Unlock()
	if b.stopped {
		return
	}
	m.mu.Lock()
	gone := m.gone
	m.gone = false
	m.mu.Unlock()
	if gone {
		b.vanished(ctx)
		return
	}
	b.followNamespaces(ctx)
}

// attendLater asks for attend once b.mu is free.
func (b *bindingWatch) attendLater(ctx context.Context) {
	b.wg.Go(func() {
		b.mu.Lock()
		b.mu.Unlock() //nolint:staticcheck // waits for the holder
		signal(b.monitor.due)
	})
}

// vanished shows the end of all objects of a kind that is not served any more, and
// waits for the kind to come back. b.mu is held.
func (b *bindingWatch) vanished(ctx context.Context) {
	if b.resource.kind == "" { // await is at it
		return
	}
	b.resource = resource{}
	for _, p := range b.partsOf(func(partKey) bool { return true }) {
		b.drop(p)
	}
	b.close()
	b.wg.Go(func() { b.await(ctx) })
}

// await waits until the kind is served, and then opens the monitor.
func (b *bindingWatch) await(ctx context.Context) {
	var pause backoff
	spec := b.monitor.binding
	for ctx.Err() == nil {
		changed := b.watcher.clients.discoveryChanged()
		r, err := b.watcher.clients.resolve(spec.APIVersion, spec.Kind)
		if errors.Is(err, errNotServed) {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err == nil {
			err = b.answers(ctx, r)
		}
		if err == nil {
			b.monitor.lock()
			err = b.open(ctx, r)
		}
		if err == nil {
			b.monitor.mu.Lock()
			b.monitor.fault("\x00appear", nil)
			b.monitor.push(notice{appeared: true})
			b.monitor.mu.Unlock()
			return
		}
		if !apierrors.IsNotFound(err) {
			b.monitor.mu.Lock()
			b.monitor.fault("\x00appear", err)
			b.monitor.mu.Unlock()
		}
		pause.pause(ctx, changed)
	}
}

// answers asks the server whether it really serves r: discovery says so for a while
// after a CRD was deleted, and before one can be used.
func (b *bindingWatch) answers(ctx context.Context, r resource) error {
	_, err := b.clients.client(r, "").List(ctx, metav1.ListOptions{Limit: 1})
	if apierrors.IsNotFound(err) {
		return err
	}
	return nil // any other trouble is open's to tell
}

// open joins all informers of the binding and waits until each has listed. After
// an error nothing is left open.
func (b *bindingWatch) open(ctx context.Context, r resource) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return errStopped
	}
	b.resource = r
	b.monitor.mu.Lock()
	b.monitor.kind, b.monitor.gone = r.kind, false
	b.monitor.mu.Unlock()
	labels, err := selector(b.monitor.binding.Labels)
	if err == nil {
		err = b.openAll(ctx, labels)
	}
	if err != nil {
		b.close()
		b.resource = resource{}
	}
	return err
}

func (b *bindingWatch) openAll(ctx context.Context, labels string) error {
	spaces, err := b.selectNamespaces(ctx)
	if err != nil {
		return err
	}
	var parts []*part
	for _, ns := range spaces {
		parts = append(parts, b.join(ctx, ns, labels, false)...)
	}
	for _, p := range parts {
		if err := wait(ctx, p.ready, p.m); err != nil {
			return err
		}
		if p.err != nil {
			return p.err
		}
	}
	return nil
}

// selectNamespaces answers the namespaces to watch; "" is all. With a label
// selector it starts to follow the namespaces that match.
func (b *bindingWatch) selectNamespaces(ctx context.Context) ([]string, error) {
	spec := b.monitor.binding
	switch {
	case !b.resource.namespaced:
		return []string{""}, nil
	case spec.NamespaceLabels == nil && len(spec.Namespaces) == 0:
		return []string{""}, nil
	case spec.NamespaceLabels == nil:
		return once(spec.Namespaces), nil
	}
	labels, err := selector(spec.NamespaceLabels)
	if err != nil {
		return nil, fmt.Errorf("namespace.labelSelector: %w", err)
	}
	s := &selected{changed: b.monitor.due, monitor: b.monitor, only: spec.Namespaces, ready: make(chan struct{}), names: map[string]bool{}}
	r := resource{gvr: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, kind: "Namespace"}
	s.seat.take(ctx, b.watcher.informers, r, informerKey{clients: b.clients, gvr: r.gvr, labels: labels}, s)
	b.namespaces = s
	if err := wait(ctx, s.ready, b.monitor); err != nil {
		return nil, err
	}
	return s.list()
}

// followNamespaces joins and leaves informers as namespaces come and go. Objects
// that enter the selection are Added, those that leave it Deleted. b.mu is held.
func (b *bindingWatch) followNamespaces(ctx context.Context) {
	if b.namespaces == nil {
		return
	}
	want, _ := b.namespaces.list()
	labels, _ := selector(b.monitor.binding.Labels)
	have := b.spaces()
	for _, ns := range want {
		if !slices.Contains(have, ns) {
			b.join(ctx, ns, labels, true)
		}
	}
	for _, ns := range have {
		if slices.Contains(want, ns) {
			continue
		}
		for _, p := range b.partsOf(func(k partKey) bool { return k.namespace == ns }) {
			b.drop(p)
		}
	}
}

// spaces are the namespaces of the open parts.
func (b *bindingWatch) spaces() []string {
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	var names []string
	for k := range b.monitor.parts {
		names = append(names, k.namespace)
	}
	return once(names)
}

// join opens the parts of one namespace: one, or one for each selected name (C-150).
func (b *bindingWatch) join(ctx context.Context, namespace, labels string, announce bool) []*part {
	m := b.monitor
	names := once(m.binding.Names)
	if len(names) == 0 {
		names = []string{""}
	}
	var parts []*part
	for _, name := range names {
		p := newPart(m, partKey{namespace, name}, announce)
		m.mu.Lock()
		m.parts[p.key] = p
		m.mu.Unlock()
		key := informerKey{clients: b.clients, gvr: b.resource.gvr, namespace: namespace, labels: labels, fields: fields(name, m.binding.Fields)}
		p.seat.take(ctx, b.watcher.informers, b.resource, key, p)
		parts = append(parts, p)
	}
	return parts
}

// drop closes a part that is not selected any more: its objects are Deleted.
func (b *bindingWatch) drop(p *part) {
	b.left(p.seat.leave(b.watcher.informers, p))
	m := b.monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	p.sweep(true)
	m.fault("\x00"+p.key.namespace+"/"+p.key.name, nil)
	m.forget(p)
	m.counted()
}

// close leaves all informers without events. b.mu is held.
func (b *bindingWatch) close() {
	if s := b.namespaces; s != nil {
		b.left(s.seat.leave(b.watcher.informers, s))
		b.namespaces = nil
	}
	for _, p := range b.partsOf(func(partKey) bool { return true }) {
		b.left(p.seat.leave(b.watcher.informers, p))
		b.monitor.mu.Lock()
		b.monitor.forget(p)
		b.monitor.mu.Unlock()
	}
}

// left remembers informers that end, for Stop to wait for, and forgets those that have.
func (b *bindingWatch) left(informers []<-chan struct{}) {
	b.ended = slices.DeleteFunc(append(b.ended, informers...), func(done <-chan struct{}) bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

func (b *bindingWatch) partsOf(match func(partKey) bool) (parts []*part) {
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	for k, p := range b.monitor.parts {
		if match(k) {
			parts = append(parts, p)
		}
	}
	return parts
}

// selected is the set of namespaces that match a label selector and, when names
// are given as well, are among them.
type selected struct {
	changed chan struct{}
	monitor *monitor
	only    []string
	seat    seat
	ready   chan struct{}

	mu     sync.Mutex
	names  map[string]bool // true when part of the current listing
	listed bool
	err    error
}

func (s *selected) list() ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n := range s.names {
		if len(s.only) == 0 || slices.Contains(s.only, n) {
			names = append(names, n)
		}
	}
	return once(names), s.err
}

func (s *selected) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.names {
		s.names[n] = false
	}
}

func (s *selected) put(o *seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.names[o.id.name]; !known {
		signal(s.changed)
	}
	s.names[o.id.name] = true
}

func (s *selected) remove(o *seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, o.id.name)
	signal(s.changed)
}

func (s *selected) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, listed := range s.names {
		if !listed {
			delete(s.names, n)
			signal(s.changed)
		}
	}
	s.finish(nil)
}

func (s *selected) fault(err error) {
	if err != nil {
		err = fmt.Errorf("list and watch the namespaces of namespace.labelSelector: %w", err)
	}
	s.monitor.mu.Lock()
	s.monitor.fault("\x00namespaces", err)
	s.monitor.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && definitive(err) {
		s.finish(err)
	}
}

// finish ends the wait for the first listing; s.mu is held.
func (s *selected) finish(err error) {
	if s.listed {
		return
	}
	s.listed, s.err = true, err
	close(s.ready)
}

// wait returns when ready is closed; otherwise ctx's error with what the API server said last.
func wait(ctx context.Context, ready <-chan struct{}, m *monitor) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.told != "" {
		return fmt.Errorf("%s not listed: %w (last: %s)", m.kind, context.Cause(ctx), m.told)
	}
	return fmt.Errorf("%s not listed: %w", m.kind, context.Cause(ctx))
}

// definitive reports whether the API server refused a request for good.
func definitive(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsBadRequest(err) || apierrors.IsInvalid(err) ||
		apierrors.IsMethodNotSupported(err)
}

// selector is a label selector as the API takes it; nil selects everything.
func selector(s *metav1.LabelSelector) (string, error) {
	if s == nil {
		return "", nil
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return "", fmt.Errorf("labelSelector: %w", err)
	}
	return sel.String(), nil
}

func fields(name, more string) string {
	if name == "" {
		return more
	}
	return strings.TrimSuffix("metadata.name="+name+","+more, ",")
}

func once(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

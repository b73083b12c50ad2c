package kube

import (
	"bytes"
	"context"
	"sync"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// informerKey is what bindings must have in common to share an informer (C-156).
type informerKey struct {
	// clients are those of who reads: what one account may see is not shown to another.
	clients                   *Clients
	gvr                       schema.GroupVersionResource
	namespace, labels, fields string
	// alone is the only subscriber of an informer that is not shared, else nil.
	alone subscriber
}

// subscriber projects what an informer sees into a cache of its own.
type subscriber interface {
	begin()
	put(*seen)
	remove(*seen)
	end()
	fault(error)
}

// vanisher is a sink or subscriber that wants to know when the server does not
// serve the resource (any more), after it was shown as empty.
type vanisher interface{ vanished() }

// seen is an object on its way through the subscribers; it is kept by none.
type seen struct {
	id      id
	version uint64 // its resourceVersion; 0 when that is no number
	object  map[string]any
	text    []byte
	err     error
	counted bool // object's numbers are as filters want them
	results []filtered
}

// filtered is the result of one program.
type filtered struct {
	program string
	text    []byte
	sum     checksum
	err     error
}

func newSeen(o metav1.Object) *seen {
	// There are few namespaces and many objects.
	s := &seen{id: id{unique.Make(o.GetNamespace()).Value(), o.GetName()}, version: number(o.GetResourceVersion())}
	if u, ok := o.(*unstructured.Unstructured); ok {
		s.object = u.Object
	}
	return s
}

// json is the object as compact JSON, made once for all subscribers.
func (s *seen) json() ([]byte, error) {
	if s.text == nil && s.err == nil {
		s.text, s.err = compact(s.object)
	}
	return s.text, s.err
}

// filter is the result of a program, made once for all subscribers that have the same.
func (s *seen) filter(f *hook.Filter) filtered {
	for _, r := range s.results {
		if r.program == f.String() {
			return r
		}
	}
	if !s.counted {
		hook.Numbers(s.object)
		s.counted = true
	}
	r := filtered{program: f.String()}
	if r.text, r.err = f.Run(s.object); r.err == nil {
		r.text = bytes.Clone(r.text)
		r.sum = checksumOf(r.text)
	}
	s.results = append(s.results, r)
	return r
}

// informer is one feed with its subscribers. It keeps no objects itself.
type informer struct {
	key  informerKey
	feed *feed
	stop context.CancelFunc
	done chan struct{}
	refs int // guarded by informers.mu

	mu          sync.Mutex
	subscribers map[subscriber]bool // true once it took part in a listing from its beginning
}

func (i *informer) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.subscribers {
		i.subscribers[s] = true
		s.begin()
	}
}

func (i *informer) put(o metav1.Object) { i.each(o, subscriber.put) }

func (i *informer) remove(o metav1.Object) { i.each(o, subscriber.remove) }

func (i *informer) each(o metav1.Object, do func(subscriber, *seen)) {
	s := newSeen(o)
	i.mu.Lock()
	defer i.mu.Unlock()
	for sub, listed := range i.subscribers {
		if !listed {
			continue
		}
		do(sub, s)
		if p, ok := sub.(*part); ok && i.key.alone == nil && p.tooSlow() {
			delete(i.subscribers, sub) // its seat is moved by isolate
		}
	}
}

func (i *informer) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s, listed := range i.subscribers {
		if listed { // one that joined half-way waits for the next listing
			s.end()
		}
	}
}

func (i *informer) fault(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.subscribers {
		s.fault(err)
	}
}

func (i *informer) vanished() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.subscribers {
		if v, ok := s.(vanisher); ok {
			v.vanished()
		}
	}
}

// replay shows s what exists, out of what another subscriber keeps. It reports
// false when none keeps whole objects, all of them and as they are now.
func (i *informer) replay(s subscriber) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for other, listed := range i.subscribers {
		p, ok := other.(*part)
		if !ok || !listed {
			continue
		}
		if texts, ok := p.texts(); ok {
			i.subscribers[s] = i.show(s, texts)
			if !i.subscribers[s] {
				delete(i.subscribers, s)
			}
			return true
		}
	}
	return false
}

// show is one listing for s; false when s is too slow to stay. i.mu is held.
func (i *informer) show(s subscriber, texts [][]byte) bool {
	s.begin()
	for _, text := range texts {
		o, err := decodeObject(text)
		if err != nil { // the text was made here
			continue
		}
		n := newSeen(o)
		n.text = text
		s.put(n)
		if p, ok := s.(*part); ok && p.tooSlow() {
			return false
		}
	}
	s.end()
	return true
}

// informers is the set of running informers.
type informers struct {
	clients *Clients

	mu  sync.Mutex
	all map[informerKey]*informer
}

// join lets s take part in the informer for key, which is started when there is
// none. What exists already reaches s out of what others keep, or by a new listing.
func (l *informers) join(ctx context.Context, r resource, key informerKey, s subscriber) *informer {
	l.mu.Lock()
	i, running := l.all[key]
	if !running {
		i = &informer{key: key, done: make(chan struct{}), subscribers: map[subscriber]bool{}}
		i.feed = newFeed(key.clients.source(r, key.namespace), i, key.labels, key.fields, l.clients.discoveryChanged)
		i.feed.observer = &l.clients.observer
		// An informer lives until its last subscriber left, not as long as the call that made it.
		ctx, i.stop = context.WithCancel(context.WithoutCancel(ctx))
		l.all[key] = i
	}
	i.refs++
	l.mu.Unlock()
	if running && i.replay(s) {
		return i
	}
	i.mu.Lock()
	i.subscribers[s] = false
	i.mu.Unlock()
	if running {
		i.feed.relist()
		return i
	}
	go func() {
		defer close(i.done)
		i.feed.run(ctx)
	}()
	return i
}

// leave ends s's part in i: s is not called after it returned. The channel is
// closed when an informer that nobody needs any more has stopped.
func (l *informers) leave(i *informer, s subscriber) <-chan struct{} {
	i.mu.Lock()
	delete(i.subscribers, s)
	i.mu.Unlock()

	l.mu.Lock()
	defer l.mu.Unlock()
	i.refs--
	if i.refs > 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	delete(l.all, i.key)
	i.stop()
	return i.done
}

// seat is a subscriber's place in an informer, which it may change for one of its own.
type seat struct {
	mu       sync.Mutex
	informer *informer
	resource resource
	left     bool
	ended    []<-chan struct{} // informers that nobody needed after this one left
}

// take joins the informer for key.
func (p *seat) take(ctx context.Context, l *informers, r resource, key informerKey, s subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resource, p.informer = r, l.join(ctx, r, key, s)
}

// isolate moves s to an informer of its own, so that nobody waits for it. What
// happens in between the new listing brings.
func (p *seat) isolate(ctx context.Context, l *informers, s subscriber) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left || p.informer == nil || p.informer.key.alone != nil {
		return
	}
	p.ended = append(p.ended, l.leave(p.informer, s))
	key := p.informer.key
	key.alone = s
	p.informer = l.join(ctx, p.resource, key, s)
}

// relist asks for one more listing.
func (p *seat) relist() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.informer != nil && !p.left {
		p.informer.feed.relist()
	}
}

// leave gives the place up. The channels are closed when the informers that nobody
// needs any more have stopped.
func (p *seat) leave(l *informers, s subscriber) []<-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left || p.informer == nil {
		return nil
	}
	p.left = true
	return append(p.ended, l.leave(p.informer, s))
}

package kube

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// informerKey is what bindings must have in common to share an informer (C-156).
type informerKey struct {
	gvr                       schema.GroupVersionResource
	namespace, labels, fields string
}

// subscriber projects what an informer sees into a cache of its own.
type subscriber interface {
	begin()
	put(*seen)
	remove(*seen)
	end()
	fault(error)
}

// seen is an object on its way through the subscribers; it is kept by none.
type seen struct {
	id     id
	object map[string]any
	text   []byte
	err    error
}

// json is the object as compact JSON, made once for all subscribers.
func (s *seen) json() ([]byte, error) {
	if s.text == nil && s.err == nil {
		s.text, s.err = compact(s.object)
	}
	return s.text, s.err
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
	s := &seen{id: id{o.GetNamespace(), o.GetName()}}
	if u, ok := o.(*unstructured.Unstructured); ok {
		s.object = u.Object
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for sub, listed := range i.subscribers {
		if listed {
			do(sub, s)
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

// informers is the set of running informers.
type informers struct {
	clients *Clients

	mu  sync.Mutex
	all map[informerKey]*informer
}

// join lets s take part in the informer for key, which is started when there is
// none. What exists already reaches s by a new listing, since it is not kept.
func (l *informers) join(ctx context.Context, r resource, key informerKey, s subscriber) *informer {
	l.mu.Lock()
	i, running := l.all[key]
	if !running {
		i = &informer{key: key, done: make(chan struct{}), subscribers: map[subscriber]bool{}}
		i.feed = newFeed(l.clients.source(r, key.namespace), i, key.labels, key.fields, l.clients.discoveryChanged)
		// An informer lives until its last subscriber left, not as long as the call that made it.
		ctx, i.stop = context.WithCancel(context.WithoutCancel(ctx))
		l.all[key] = i
	}
	i.refs++
	l.mu.Unlock()

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

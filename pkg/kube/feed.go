package kube

import (
	"context"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
)

// pageSize bounds how many objects of a list are in memory at once.
const pageSize = 500

// Waits between failing requests of one feed.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// source lists and watches one resource.
type source interface {
	list(ctx context.Context, opts metav1.ListOptions) (page, error)
	watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// page is a part of a list.
type page struct {
	items             []metav1.Object
	version, nextPage string
}

// sink takes what a feed sees. Its methods are called by one goroutine.
type sink interface {
	// begin starts a listing: what is not put until end does not exist any more.
	begin()
	// put is an object that was listed, added or modified.
	put(metav1.Object)
	// remove is the last state of an object that was deleted or left the selector.
	remove(metav1.Object)
	// end completes a listing.
	end()
	// fault is a failed request that will be tried again; nil when one got through.
	fault(error)
}

// feed keeps a sink up to date: it lists by pages, then watches, and lists again
// only when the server no longer knows the version it had seen (410 Gone), when
// the resource vanished, or when relist is called.
//
// client-go's Reflector holds a whole list in memory before it hands it on.
type feed struct {
	source source
	sink   sink
	labels string
	fields string
	// changed is closed when the kinds served by the cluster change; an absent
	// resource is looked for again then.
	changed func() <-chan struct{}

	again chan struct{}
}

func newFeed(src source, to sink, labels, fields string, changed func() <-chan struct{}) *feed {
	return &feed{source: src, sink: to, labels: labels, fields: fields, changed: changed, again: make(chan struct{}, 1)}
}

// relist asks for one more listing; several calls before it starts make one.
func (f *feed) relist() {
	select {
	case f.again <- struct{}{}:
	default:
	}
}

// run returns when ctx ends.
func (f *feed) run(ctx context.Context) {
	var b backoff
	for ctx.Err() == nil {
		changed := f.changed()
		version, err := f.listAll(ctx)
		switch {
		case apierrors.IsNotFound(err):
			f.sink.begin()
			f.sink.end()
			f.sink.fault(nil)
			b.pause(ctx, changed, f.again)
		case err != nil:
			f.fault(ctx, err)
			b.pause(ctx)
		default:
			b = backoff{}
			f.sink.fault(nil)
			f.follow(ctx, version)
		}
	}
}

// fault tells the sink of err unless it only says that the feed is being stopped.
func (f *feed) fault(ctx context.Context, err error) {
	if ctx.Err() == nil {
		f.sink.fault(err)
	}
}

// listAll puts all objects and returns the resourceVersion to watch from.
func (f *feed) listAll(ctx context.Context) (string, error) {
	f.sink.begin()
	opts := metav1.ListOptions{LabelSelector: f.labels, FieldSelector: f.fields, Limit: pageSize}
	for {
		p, err := f.source.list(ctx, opts)
		if err != nil {
			return "", err
		}
		for i, o := range p.items {
			f.sink.put(o)
			p.items[i] = nil
		}
		if p.nextPage == "" {
			f.sink.end()
			return p.version, nil
		}
		opts.Continue = p.nextPage
	}
}

// follow watches until a new listing is due or ctx ends.
func (f *feed) follow(ctx context.Context, version string) {
	var b backoff
	for ctx.Err() == nil {
		seconds := 300 + rand.Int64N(300)
		w, err := f.source.watch(ctx, metav1.ListOptions{LabelSelector: f.labels, FieldSelector: f.fields,
			ResourceVersion: version, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
		if err != nil {
			if !retryable(err) {
				return
			}
			f.fault(ctx, err)
			b.pause(ctx)
			continue
		}
		f.sink.fault(nil)
		last, relist := f.consume(ctx, w, version)
		w.Stop()
		if relist {
			return
		}
		if last == version {
			b.pause(ctx) // a watch that ends at once must not spin
		} else {
			b = backoff{}
		}
		version = last
	}
}

// consume hands on events until the watch ends. It returns the last
// resourceVersion it saw and whether a new listing is due.
func (f *feed) consume(ctx context.Context, w watch.Interface, version string) (string, bool) {
	for {
		select {
		case <-ctx.Done():
			return version, false
		case <-f.again:
			return version, true
		case ev, ok := <-w.ResultChan():
			if !ok {
				return version, false
			}
			if ev.Type == watch.Error {
				err := apierrors.FromObject(ev.Object)
				return version, !retryable(err)
			}
			o, ok := ev.Object.(metav1.Object)
			if !ok {
				continue
			}
			version = o.GetResourceVersion()
			switch ev.Type {
			case watch.Added, watch.Modified:
				f.sink.put(o)
			case watch.Deleted:
				f.sink.remove(o)
			}
		}
	}
}

// retryable reports whether a failed watch may be started again from the version
// it had reached: the server is away or busy. Anything else needs a new listing.
func retryable(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonTooManyRequests, metav1.StatusReasonServiceUnavailable,
		metav1.StatusReasonServerTimeout, metav1.StatusReasonInternalError:
		return !apierrors.IsGone(err)
	}
	return false
}

// backoff waits longer each time, with jitter.
type backoff struct{ last time.Duration }

// pause waits; it ends early with ctx or when one of wake can be received from.
func (b *backoff) pause(ctx context.Context, wake ...<-chan struct{}) {
	b.last = min(max(2*b.last, minPause), maxPause)
	t := time.NewTimer(b.last/2 + rand.N(b.last))
	defer t.Stop()
	var one, two <-chan struct{}
	if len(wake) > 0 {
		one = wake[0]
	}
	if len(wake) > 1 {
		two = wake[1]
	}
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-one:
	case <-two:
	}
}

// objects is the source of whole objects.
type objects struct{ dynamic.ResourceInterface }

func (s objects) list(ctx context.Context, opts metav1.ListOptions) (page, error) {
	l, err := s.List(ctx, opts)
	if err != nil {
		return page{}, err
	}
	p := page{version: l.GetResourceVersion(), nextPage: l.GetContinue(), items: make([]metav1.Object, len(l.Items))}
	for i := range l.Items {
		p.items[i] = &unstructured.Unstructured{Object: l.Items[i].Object}
	}
	return p, nil
}

func (s objects) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	return s.Watch(ctx, opts)
}

// headers is the source of metadata alone.
type headers struct{ metadata.ResourceInterface }

func (s headers) list(ctx context.Context, opts metav1.ListOptions) (page, error) {
	l, err := s.List(ctx, opts)
	if err != nil {
		return page{}, err
	}
	p := page{version: l.ResourceVersion, nextPage: l.Continue, items: make([]metav1.Object, len(l.Items))}
	for i := range l.Items {
		p.items[i] = &metav1.PartialObjectMetadata{ObjectMeta: l.Items[i].ObjectMeta}
	}
	return p, nil
}

func (s headers) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	return s.Watch(ctx, opts)
}

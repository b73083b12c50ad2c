package kube

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
)

// streamGrace is how much longer than asked for a watch may last.
const streamGrace = 30 * time.Second

// stuck is how many watches in a row may end without progress before all is listed again.
const stuck = 5

// pageSize bounds how many objects of a list are in memory at once.
const pageSize = 500

// Waits between failing requests of one feed.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// source lists and watches one resource.
type source interface {
	// list hands a page of a list to put, object by object. Some may have been put when it fails.
	list(ctx context.Context, opts metav1.ListOptions, put func(metav1.Object)) (page, error)
	watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// page is what a part of a list says of itself.
type page struct {
	version string // the resourceVersion of the list
	next    string // the token of the next page, "" after the last
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
// the resource vanished, when watches get nowhere, or when relist is called.
//
// client-go's Reflector holds a whole list in memory before it hands it on. Pages
// are read object by object here, which takes less than the server's streaming
// lists (sendInitialEvents) do, where each object comes wrapped in an event.
type feed struct {
	source source
	sink   sink
	labels string
	fields string
	// changed is closed when the kinds served by the cluster change; an absent
	// resource is looked for again then.
	changed func() <-chan struct{}
	// observer may be nil.
	observer *Observer

	again chan struct{}
	// whole: the next listing is not paged, since the sink took so long over the
	// pages of the last one that the server gave them up. Of run.
	whole bool
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
			if v, ok := f.sink.(vanisher); ok {
				v.vanished()
			}
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

// hand gives an object of an event to the sink.
func (f *feed) hand(event watch.EventType, o metav1.Object) {
	switch event {
	case watch.Added, watch.Modified:
		f.sink.put(o)
	case watch.Deleted:
		f.sink.remove(o)
	}
}

// fault tells the sink of err unless it only says that the feed is being stopped.
func (f *feed) fault(ctx context.Context, err error) {
	if ctx.Err() == nil {
		f.sink.fault(err)
	}
}

// listAll puts all objects by pages and returns the resourceVersion to watch from.
func (f *feed) listAll(ctx context.Context) (string, error) {
	f.sink.begin()
	opts := metav1.ListOptions{LabelSelector: f.labels, FieldSelector: f.fields, Limit: pageSize}
	if f.whole {
		opts.Limit = 0
	}
	for {
		p, err := f.source.list(ctx, opts, f.sink.put)
		if err != nil {
			f.whole = apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, io.ErrUnexpectedEOF)
			return "", err
		}
		if p.next == "" {
			f.whole = false
			f.sink.end()
			return p.version, nil
		}
		opts.Continue = p.next
	}
}

// open starts a watch that the server ends after five to ten minutes, and that is
// ended here when the server does not. stop must be called.
func (f *feed) open(ctx context.Context, opts metav1.ListOptions) (w watch.Interface, stop func(), err error) {
	seconds := 300 + rand.Int64N(300)
	opts.LabelSelector, opts.FieldSelector = f.labels, f.fields
	opts.AllowWatchBookmarks, opts.TimeoutSeconds = true, &seconds
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+streamGrace)
	w, err = f.source.watch(ctx, opts)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return w, func() { w.Stop(); cancel() }, nil
}

// follow watches from a version until a new listing is due or ctx ends.
func (f *feed) follow(ctx context.Context, version string) {
	var b backoff
	for idle := 0; ctx.Err() == nil && idle < stuck; {
		w, stop, err := f.open(ctx, metav1.ListOptions{ResourceVersion: version})
		if err != nil {
			f.ended(err)
			if !retryable(err) {
				return
			}
			f.fault(ctx, err)
			b.pause(ctx, f.again)
			continue
		}
		f.sink.fault(nil)
		last, relist := f.consume(ctx, w, version)
		stop()
		if relist {
			return
		}
		if last == version {
			idle++
			b.pause(ctx) // a watch that ends at once must not spin
		} else {
			b, idle = backoff{}, 0
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
				f.ended(nil)
				return version, false
			}
			if ev.Type == watch.Error {
				err := apierrors.FromObject(ev.Object)
				f.ended(err)
				return version, !retryable(err)
			}
			o, ok := ev.Object.(metav1.Object)
			if !ok {
				continue
			}
			version = o.GetResourceVersion()
			f.hand(ev.Type, o)
		}
	}
}

// ended tells the observer why a watch ended; nil says that the server closed it.
func (f *feed) ended(err error) {
	if f.observer == nil {
		return
	}
	switch {
	case err == nil:
		f.observer.watchFailed(watchEOF)
	case apierrors.IsGone(err) || apierrors.IsResourceExpired(err):
		f.observer.watchFailed(watchExpired)
	case apierrors.ReasonForError(err) == reasonCut:
		f.observer.watchFailed(watchUnexpectedEOF)
	default:
		f.observer.watchFailed(watchFail)
	}
}

// retryable reports whether a failed watch may be started again from the version
// it had reached: the server is away or busy. Anything else needs a new listing.
func retryable(err error) bool {
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, reasonCut, metav1.StatusReasonTooManyRequests, metav1.StatusReasonServiceUnavailable,
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

// headers is the source of metadata alone.
type headers struct{ metadata.ResourceInterface }

func (s headers) list(ctx context.Context, opts metav1.ListOptions, put func(metav1.Object)) (page, error) {
	l, err := s.List(ctx, opts)
	if err != nil {
		return page{}, err
	}
	for i := range l.Items {
		put(&l.Items[i])
	}
	return page{version: l.ResourceVersion, next: l.Continue}, nil
}

func (s headers) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	return s.Watch(ctx, opts)
}

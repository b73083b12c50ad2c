package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// script is a source whose answers are written down; it ends the feed after the last.
type script struct {
	answers []any // of list: listed or error; of watch: []watch.Event or error
	done    context.CancelFunc

	mu    sync.Mutex
	asked []string
}

func (s *script) next(request string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, request)
	if len(s.answers) == 0 {
		s.done()
		return context.Canceled
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	return a
}

// listed is a page with its objects.
type listed struct {
	items         []metav1.Object
	version, next string
}

func (s *script) list(_ context.Context, opts metav1.ListOptions, put func(metav1.Object)) (page, error) {
	switch a := s.next(fmt.Sprintf("list %d%s", opts.Limit, opts.Continue)).(type) {
	case listed:
		for _, o := range a.items {
			put(o)
		}
		return page{version: a.version, next: a.next}, nil
	case error:
		return page{}, a
	}
	return page{}, errors.New("the script has no list here")
}

func (s *script) watch(_ context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	switch a := s.next("watch " + opts.ResourceVersion).(type) {
	case []watch.Event:
		w := watch.NewFakeWithChanSize(len(a), false)
		for _, e := range a {
			w.Action(e.Type, e.Object)
		}
		w.Stop()
		return w, nil
	case error:
		return nil, a
	}
	return nil, errors.New("the script has no watch here")
}

// journal is a sink that writes down what it gets.
type journal struct{ lines []string }

func (j *journal) begin()                 { j.lines = append(j.lines, "begin") }
func (j *journal) end()                   { j.lines = append(j.lines, "end") }
func (j *journal) put(o metav1.Object)    { j.lines = append(j.lines, "put "+o.GetName()) }
func (j *journal) remove(o metav1.Object) { j.lines = append(j.lines, "remove "+o.GetName()) }
func (j *journal) fault(err error) {
	if err != nil {
		j.lines = append(j.lines, "fault")
	}
}

func head(name, version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, ResourceVersion: version}}
}

func TestFeed(t *testing.T) {
	gone := apierrors.NewResourceExpired("too old")
	goneEvent := watch.Event{Type: watch.Error, Object: &gone.ErrStatus}
	absent := apierrors.NewNotFound(schema.GroupResource{Resource: "x"}, "")
	one := func() listed { return listed{items: []metav1.Object{head("a", "1")}, version: "5"} }
	none := []watch.Event{}
	for name, c := range map[string]struct {
		answers []any
		asked   string
		got     string
	}{
		"lists by pages, then watches from the list's version": {
			[]any{listed{items: []metav1.Object{head("a", "1")}, next: "+2"}, listed{items: []metav1.Object{head("b", "2")}, version: "5"}},
			"list 500, list 500+2, watch 5", "begin, put a, put b, end"},
		"hands on events and watches on from the last, bookmarks included": {
			[]any{one(), []watch.Event{{Type: watch.Added, Object: head("b", "6")}, {Type: watch.Deleted, Object: head("a", "7")}, {Type: watch.Bookmark, Object: head("", "9")}}},
			"list 500, watch 5, watch 9", "begin, put a, end, put b, remove a"},
		"lists again when watches end and end without progress": {
			[]any{one(), none, none, none, none, none, one()},
			"list 500, watch 5, watch 5, watch 5, watch 5, watch 5, list 500, watch 5", "begin, put a, end, begin, put a, end"},
		"lists again when the version is too old": {
			[]any{one(), []watch.Event{goneEvent}, one()},
			"list 500, watch 5, list 500, watch 5", "begin, put a, end, begin, put a, end"},
		"lists again when a watch is refused as too old": {
			[]any{one(), error(gone), one()},
			"list 500, watch 5, list 500, watch 5", "begin, put a, end, begin, put a, end"},
		"watches again from the same version when the server is away": {
			[]any{one(), errors.New("connection refused")},
			"list 500, watch 5, watch 5", "begin, put a, end, fault"},
		"begins anew when a list breaks off, then in one piece": {
			[]any{listed{items: []metav1.Object{head("a", "1")}, next: "+2"}, error(gone), one()},
			"list 500, list 500+2, list 0, watch 5", "begin, put a, fault, begin, put a, end"},
		"shows a resource that vanished as empty": {
			[]any{one(), error(absent), error(absent)},
			"list 500, watch 5, list 500, list 500", "begin, put a, end, begin, begin, end, begin"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(context.Background())
			s, j := &script{answers: c.answers, done: stop}, &journal{}
			never := make(chan struct{})
			newFeed(s, j, "", "", func() <-chan struct{} { return never }).run(ctx)
			if asked := strings.Join(s.asked, ", "); asked != c.asked {
				t.Errorf("asked %s\nexpected %s", asked, c.asked)
			}
			if got := strings.Join(j.lines, ", "); got != c.got {
				t.Errorf("got %s\nexpected %s", got, c.got)
			}
		})
	}
}

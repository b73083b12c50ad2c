package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"

	"github.com/addon-operator/addon-operator/pkg/values"
)

var (
	crdResource        = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	apiServiceResource = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
)

// probes are the waits before discovery is compared again after a CRD or
// APIService changed: the server's discovery follows them with a delay that no
// watch shows.
var probes = []time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	600 * time.Millisecond, 2 * time.Second, 5 * time.Second}

// served knows the set of resources that the cluster served when last asked.
type served struct {
	fresh discovery.DiscoveryInterface

	asking sync.Mutex // one question at a time

	mu      sync.Mutex
	digest  string // "" until the first answer
	changed chan struct{}
}

func newServed(fresh discovery.DiscoveryInterface) *served {
	return &served{fresh: fresh, changed: make(chan struct{})}
}

// discoveryChanged is closed at the next change of what the cluster serves.
func (c *Clients) discoveryChanged() <-chan struct{} {
	c.served.mu.Lock()
	defer c.served.mu.Unlock()
	return c.served.changed
}

// refreshDiscovery asks the server what it serves. When that differs from the
// last answer, cache and mapper are dropped and waiters told.
func (c *Clients) refreshDiscovery() (resources []*metav1.APIResourceList, err error) {
	s := c.served
	s.asking.Lock()
	defer s.asking.Unlock()
	_, resources, err = s.fresh.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask the API server which kinds it serves: %w", err)
	}
	digest := servedDigest(resources)
	s.mu.Lock()
	first, same := s.digest == "", s.digest == digest
	s.digest = digest
	s.mu.Unlock()
	if same {
		return resources, nil
	}
	c.Mapper.Reset()
	if first {
		return resources, nil
	}
	s.mu.Lock()
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	return resources, nil
}

func servedDigest(resources []*metav1.APIResourceList) string {
	var lines []string
	for _, l := range resources {
		for _, r := range l.APIResources {
			lines = append(lines, fmt.Sprint(l.GroupVersion, r.Name, r.Kind, r.Namespaced, r.ShortNames, r.Verbs))
		}
	}
	slices.Sort(lines)
	return values.Digest([]byte(strings.Join(lines, "\n")))
}

// WatchDiscovery follows CRDs and APIServices until ctx ends and returns nil then.
// When the set of served kinds changes, it drops the discovery cache and the
// mapper and calls onChange. onCRD, which may be nil, gets the name of each CRD
// that was deleted or whose spec changed since it was first seen.
func (c *Clients) WatchDiscovery(ctx context.Context, onChange func(), onCRD func(name string)) error {
	dirty := make(chan struct{}, 1)
	poke := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	crds := &crdSink{poke: poke, seen: map[string]crdSeen{}, changed: func(name string, now crdSeen) {
		if c.ensured.drop(name, now) && onCRD != nil {
			onCRD(name)
		}
	}}
	changed := c.discoveryChanged()
	var wg sync.WaitGroup
	wg.Go(func() { newFeed(headers{c.Metadata.Resource(crdResource)}, crds, "", "", c.discoveryChanged).run(ctx) })
	wg.Go(func() {
		newFeed(headers{c.Metadata.Resource(apiServiceResource)}, pokeSink{poke}, "", "", c.discoveryChanged).run(ctx)
	})
	defer wg.Wait()
	c.probe(ctx, dirty, changed, onChange)
	return nil
}

// probe compares discovery in growing intervals after each poke.
func (c *Clients) probe(ctx context.Context, dirty, changed <-chan struct{}, onChange func()) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			changed = c.discoveryChanged()
			onChange()
		case <-dirty:
			next = 1
			timer.Reset(probes[0])
		case <-timer.C:
			_, err := c.refreshDiscovery()
			if err == nil && next < len(probes) {
				timer.Reset(probes[next])
				next++
			} else if err != nil { // the server is away: keep asking until it answered
				timer.Reset(time.Second)
			}
		}
	}
}

// pokeSink only notices that something happened.
type pokeSink struct{ poke func() }

func (s pokeSink) begin()               {}
func (s pokeSink) put(metav1.Object)    { s.poke() }
func (s pokeSink) remove(metav1.Object) { s.poke() }
func (s pokeSink) end()                 {}
func (s pokeSink) fault(error)          {}

// crdSeen identifies a version of a CRD's spec.
type crdSeen struct {
	uid        types.UID
	generation int64
}

// crdSink notices CRDs whose spec changed.
type crdSink struct {
	poke    func()
	changed func(name string, now crdSeen)
	seen    map[string]crdSeen
	listed  map[string]bool
}

func (s *crdSink) begin() { s.listed = map[string]bool{} }

func (s *crdSink) put(o metav1.Object) {
	s.poke()
	now := crdSeen{o.GetUID(), o.GetGeneration()}
	s.listed[o.GetName()] = true
	old, known := s.seen[o.GetName()]
	s.seen[o.GetName()] = now
	if known && old != now {
		s.changed(o.GetName(), now)
	}
}

func (s *crdSink) remove(o metav1.Object) {
	s.poke()
	delete(s.seen, o.GetName())
	s.changed(o.GetName(), crdSeen{})
}

func (s *crdSink) end() {
	for name := range s.seen {
		if !s.listed[name] {
			delete(s.seen, name)
			s.poke()
			s.changed(name, crdSeen{})
		}
	}
}

func (s *crdSink) fault(error) {}

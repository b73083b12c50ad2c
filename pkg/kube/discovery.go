package kube

import (
	"context"
	"fmt"
	"maps"
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
var probes = []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond, time.Second, 4 * time.Second}

// served knows the set of resources that the cluster served when last asked.
type served struct {
	fresh discovery.DiscoveryInterface

	asking sync.Mutex // one question at a time

	mu      sync.Mutex
	set     map[string]string // group version > digest of its resources; nil until the first answer
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
	now := servedSet(resources)
	failed, _ := discovery.GroupDiscoveryFailedErrorGroups(err)
	s.mu.Lock()
	for gv := range failed { // an aggregated API that is away for a while is still there
		if old, known := s.set[gv.String()]; known {
			now[gv.String()] = old
		}
	}
	first, same := s.set == nil, maps.Equal(s.set, now)
	s.set = now
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

// servedSet maps group versions to digests of what they serve.
func servedSet(resources []*metav1.APIResourceList) map[string]string {
	set := make(map[string]string, len(resources))
	for _, l := range resources {
		var lines []string
		for _, r := range l.APIResources {
			lines = append(lines, fmt.Sprint(r.Name, r.Kind, r.Namespaced, r.ShortNames, r.Verbs))
		}
		slices.Sort(lines)
		set[l.GroupVersion] = values.Digest([]byte(strings.Join(lines, "\n")))
	}
	return set
}

// WatchDiscovery follows CRDs and APIServices until ctx ends and returns nil then.
// When the set of served kinds changes, it drops the discovery cache and the
// mapper and calls onChange. onCRD, which may be nil, gets the name of each CRD
// that was deleted or whose spec changed since it was first seen.
func (c *Clients) WatchDiscovery(ctx context.Context, onChange func(), onCRD func(name string)) error {
	dirty := make(chan struct{}, 1)
	poke := func() { signal(dirty) }
	crds := newHeaderSink(poke, func(name string, now crdSeen) {
		if c.ensured.drop(name, now) && onCRD != nil {
			onCRD(name)
		}
	})
	services := newHeaderSink(poke, func(string, crdSeen) {})
	changed := c.discoveryChanged()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { newFeed(headers{c.Metadata.Resource(crdResource)}, crds, "", "", c.discoveryChanged).run(ctx) })
	wg.Go(func() {
		newFeed(headers{c.Metadata.Resource(apiServiceResource)}, services, "", "", c.discoveryChanged).run(ctx)
	})
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

// crdSeen identifies a version of a CRD's spec.
type crdSeen struct {
	uid        types.UID
	generation int64
}

// headerSink notices what changes among CRDs or APIServices.
type headerSink struct {
	poke    func()                         // something changed, status included
	changed func(name string, now crdSeen) // a spec changed, or, with the zero value, is gone
	seen    map[string]header
	listing int
	listed  bool
}

type header struct {
	crdSeen
	version string
	listing int
}

func newHeaderSink(poke func(), changed func(string, crdSeen)) *headerSink {
	return &headerSink{poke: poke, changed: changed, seen: map[string]header{}}
}

func (s *headerSink) begin() { s.listing++ }

func (s *headerSink) put(o metav1.Object) {
	now := header{crdSeen{o.GetUID(), o.GetGeneration()}, o.GetResourceVersion(), s.listing}
	old, known := s.seen[o.GetName()]
	s.seen[o.GetName()] = now
	if s.listed && old.version != now.version {
		s.poke()
	}
	if known && old.crdSeen != now.crdSeen {
		s.changed(o.GetName(), now.crdSeen)
	}
}

func (s *headerSink) remove(o metav1.Object) { s.lost(o.GetName()) }

func (s *headerSink) lost(name string) {
	delete(s.seen, name)
	s.poke()
	s.changed(name, crdSeen{})
}

func (s *headerSink) end() {
	s.listed = true
	s.poke() // discovery may lag behind what was listed
	for name, h := range s.seen {
		if h.listing != s.listing {
			s.lost(name)
		}
	}
}

func (s *headerSink) fault(error) {}

package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/addon-operator/addon-operator/pkg/source"
)

// Config is what Sources work with.
type Config struct {
	Dynamic dynamic.Interface
	Client  kubernetes.Interface
	// Namespace is the operator's: there lie the Secrets and ConfigMaps that sources name.
	Namespace string
	// Logger; nil means slog.Default().
	Logger *slog.Logger
}

// Reading is all that users say of sources and releases at one time. It does not change.
type Reading struct {
	// Sources are sorted by name.
	Sources []source.Source
	// Credentials are by the name of the source; each source has an entry.
	Credentials map[string]Credentials
	// Orders are by the name of the ModuleRelease; one that asks for nothing is left out.
	Orders map[string]source.Order
}

// Sources watches what users write. Run does its work, once.
type Sources struct {
	cfg  Config
	wake chan struct{}
}

// New makes Sources; nothing is read yet.
func New(cfg Config) *Sources {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Sources{cfg: cfg, wake: make(chan struct{}, 1)}
}

func (s *Sources) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// resource is an API resource of the operator's own group.
func resource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "addon-operator.io", Version: "v1alpha1", Resource: plural}
}

// Run watches until ctx ends, and calls changed, one call at a time, with the first complete reading and
// with each that says something else than the one before. What the operator itself writes, statuses and
// ModuleReleases that nobody has edited yet, says nothing. While the API server does not answer the last
// reading stands. changed should return soon.
func (s *Sources) Run(ctx context.Context, changed func(Reading)) error {
	specs, err := s.informer(resource("modulesources"))
	if err != nil {
		return err
	}
	releases, err := s.informer(resource("modulereleases"))
	if err != nil {
		return err
	}
	var workers sync.WaitGroup
	defer workers.Wait()
	for _, i := range []cache.SharedIndexInformer{specs, releases} {
		workers.Go(func() { i.RunWithContext(ctx) })
	}
	for _, i := range []cache.SharedIndexInformer{specs, releases} {
		select {
		case <-i.HasSyncedChecker().Done():
		case <-ctx.Done():
			return nil
		}
	}
	r := &reader{Sources: s, specs: specs.GetStore(), releases: releases.GetStore(), watches: map[object]context.CancelFunc{}, good: map[string]source.Source{}}
	defer r.stop()
	s.poke()
	r.follow(ctx, changed)
	return nil
}

// informer of one of the operator's resources, which keeps the spec and wakes for another one.
func (s *Sources) informer(r schema.GroupVersionResource) (cache.SharedIndexInformer, error) {
	i := dynamicinformer.NewFilteredDynamicInformer(s.cfg.Dynamic, r, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	if err := errors.Join(i.SetTransform(onlySpec), s.onChange(i, sameSpec)); err != nil {
		return nil, fmt.Errorf("watch of %s: %w", r.Resource, err)
	}
	return i, nil
}

// onlySpec drops what an informer would keep of a resource.
func onlySpec(v any) (any, error) {
	u, ok := v.(*unstructured.Unstructured)
	if !ok {
		return v, nil
	}
	out := &unstructured.Unstructured{Object: map[string]any{"apiVersion": u.GetAPIVersion(), "kind": u.GetKind(), "metadata": map[string]any{
		"name": u.GetName(), "uid": string(u.GetUID()), "generation": u.GetGeneration(), "resourceVersion": u.GetResourceVersion()}}}
	if spec, ok := u.Object["spec"]; ok {
		out.Object["spec"] = spec
	}
	return out, nil
}

// sameSpec: the API server counts the generation up when a spec changes, and not for a status.
func sameSpec(a, b metav1.Object) bool {
	return a.GetUID() == b.GetUID() && a.GetGeneration() == b.GetGeneration()
}

func sameVersion(a, b metav1.Object) bool { return a.GetResourceVersion() == b.GetResourceVersion() }

// onChange wakes for all events but updates that are the same.
func (s *Sources) onChange(i cache.SharedIndexInformer, same func(a, b metav1.Object) bool) error {
	_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { s.poke() },
		DeleteFunc: func(any) { s.poke() },
		UpdateFunc: func(before, after any) {
			a, errA := meta.Accessor(before)
			b, errB := meta.Accessor(after)
			if errA != nil || errB != nil || !same(a, b) {
				s.poke()
			}
		},
	})
	return err
}

// reader makes readings. Only Run's goroutine uses it.
type reader struct {
	*Sources
	specs, releases cache.Store
	// good are the last specs that could be used, by name.
	good map[string]source.Source
	// watches are of objects that sources name.
	watches map[object]context.CancelFunc
	workers sync.WaitGroup
}

// follow reads after each wake-up, and after failures with growing pauses.
func (r *reader) follow(ctx context.Context, changed func(Reading)) {
	const first, most = time.Second, 30 * time.Second
	var last *Reading
	var again <-chan time.Time
	pause := first
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-again:
		}
		again = nil
		now, err := r.read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.cfg.Logger.Warn("what ModuleSources name cannot be read; the last reading stands", "error", err, "again", pause)
				again, pause = time.After(pause), min(2*pause, most)
			}
			continue
		}
		pause = first
		if last == nil || !reflect.DeepEqual(*last, now) {
			last = &now
			changed(now)
		}
	}
}

func (r *reader) read(ctx context.Context) (Reading, error) {
	now := Reading{Sources: r.sources(), Credentials: map[string]Credentials{}, Orders: orders(r.releases)}
	objects := named(now.Sources)
	r.watch(ctx, objects) // before they are read, so that no change is missed
	read := map[object]data{}
	for at := range objects {
		d, err := r.get(ctx, at)
		if err != nil {
			return Reading{}, err
		}
		read[at] = d
	}
	for _, s := range now.Sources {
		now.Credentials[s.Name] = credentials(s, read)
	}
	return now, nil
}

// sources parses all specs. One that cannot be used has the last good one of the same resource, and the problem.
func (r *reader) sources() []source.Source {
	var out []source.Source
	good := map[string]source.Source{}
	for _, v := range r.specs.List() {
		u, ok := v.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		s, err := parse(u)
		if before, ok := r.good[u.GetName()]; err != nil && ok && before.UID == string(u.GetUID()) {
			good[u.GetName()] = before
			before.Problem, before.Generation = s.Problem, s.Generation
			s = before
		}
		if err == nil {
			good[s.Name] = s
		}
		out = append(out, s)
	}
	r.good = good
	slices.SortFunc(out, func(a, b source.Source) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// parse reads one ModuleSource; with an error, what is known of it and the problem.
func parse(u *unstructured.Unstructured) (source.Source, error) {
	text, err := json.Marshal(u.Object["spec"])
	var s source.Source
	if err == nil {
		s, err = Parse(text)
	}
	if name := source.CheckName(u.GetName()); name != nil {
		err = errors.Join(name, err)
	}
	if err != nil {
		s = source.Source{Problem: strings.ReplaceAll(err.Error(), "\n", "; ")}
	}
	s.Name, s.UID, s.Generation = u.GetName(), string(u.GetUID()), u.GetGeneration()
	return s, err
}

func orders(releases cache.Store) map[string]source.Order {
	out := map[string]source.Order{}
	for _, v := range releases.List() {
		u, ok := v.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		var o source.Order
		o.Approved, _, _ = unstructured.NestedBool(u.Object, "spec", "approved")
		o.Retry, _, _ = unstructured.NestedString(u.Object, "spec", "retry")
		if o != (source.Order{}) {
			out[u.GetName()] = o
		}
	}
	return out
}

// watch follows the objects that are named, one watch each, and nothing else.
func (r *reader) watch(ctx context.Context, objects map[object]bool) {
	for at, stop := range r.watches {
		if !objects[at] {
			stop()
			delete(r.watches, at)
		}
	}
	for at := range objects {
		if r.watches[at] == nil {
			r.start(ctx, at)
		}
	}
}

func (r *reader) start(ctx context.Context, at object) {
	byName := func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, at.name).String()
	}
	var i cache.SharedIndexInformer
	if at.kind == "Secret" {
		i = coreinformers.NewFilteredSecretInformer(r.cfg.Client, r.cfg.Namespace, 0, cache.Indexers{}, byName)
	} else {
		i = coreinformers.NewFilteredConfigMapInformer(r.cfg.Client, r.cfg.Namespace, 0, cache.Indexers{}, byName)
	}
	// The content is read when it counts; the watch needs to know that it moved.
	if err := errors.Join(i.SetTransform(onlyVersion), r.onChange(i, sameVersion)); err != nil {
		r.cfg.Logger.Error("object that a ModuleSource names cannot be watched", "kind", at.kind, "name", at.name, "error", err)
		return
	}
	ctx, stop := context.WithCancel(ctx)
	r.watches[at] = stop
	r.workers.Go(func() { i.RunWithContext(ctx) })
}

// stop ends all watches and waits for them.
func (r *reader) stop() {
	for _, stop := range r.watches {
		stop()
	}
	r.workers.Wait()
}

// onlyVersion drops what an informer would keep of a Secret or ConfigMap.
func onlyVersion(v any) (any, error) {
	switch o := v.(type) {
	case *corev1.Secret:
		o.Data, o.ManagedFields, o.Annotations = nil, nil, nil
	case *corev1.ConfigMap:
		o.Data, o.BinaryData, o.ManagedFields, o.Annotations = nil, nil, nil, nil
	}
	return v, nil
}

package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/workqueue"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Server serves admission and conversion for the hooks of all owners. Its methods
// may be called at the same time; Register and Unregister of one owner in order.
type Server struct {
	cfg        Config
	admission  *endpoint
	conversion *endpoint
	running    chan struct{} // closed when Run has begun
	begin      sync.Once
	queue      workqueue.TypedRateLimitingInterface[key] // made by Run, as it has goroutines
	crds       chan struct{}                             // the set of CRDs changed
	syncing    sync.Mutex                                // one write to the cluster at a time
	contest    contest                                   // guarded by syncing
	left       leftovers                                 // guarded by syncing; nil until listed

	mu    sync.Mutex
	table table
}

// table is what the cluster and the handler are made from.
type table struct {
	owners map[hook.Owner]*registration
	// withdrawn are paths that had a binding in this process. The API server may
	// ask there until it has seen the new configuration; it is then told yes.
	withdrawn sets.Set[string]
}

// New makes a Server; it opens no port and asks nothing of the cluster. Certificate
// files that exist are read, so that a bad one is an error here.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	forAdmission, forConversion, err := newSources(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:     cfg,
		running: make(chan struct{}),
		crds:    make(chan struct{}, 1),
		table:   table{owners: map[hook.Owner]*registration{}, withdrawn: sets.New[string]()},
	}
	if s.admission, err = newEndpoint(&s.cfg, cfg.Admission, forAdmission); err != nil {
		return nil, err
	}
	s.conversion, err = newEndpoint(&s.cfg, cfg.Conversion, forConversion)
	return s, err
}

// Run serves until ctx ends, lets requests end within Config.Grace, and returns
// after all it started has ended. Configurations in the cluster stay. An error is
// a second call.
func (s *Server) Run(ctx context.Context) error {
	first := false
	s.begin.Do(func() {
		first = true
		s.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](time.Second, time.Minute))
		close(s.running)
	})
	if !first {
		return errors.New("webhook: Run was called twice")
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.queue.ShutDown()
	h := &handler{cfg: &s.cfg, find: s.find}
	for e, pointed := range map[*endpoint][]kind{
		s.admission:  {validatingKind, mutatingKind, crdKind}, // CRDs where both have one port
		s.conversion: {crdKind},
	} {
		again := func() { s.enqueue(pointed, nil) }
		wg.Go(func() { e.run(ctx, h) })
		wg.Go(func() { e.certs.run(ctx, again) })
	}
	wg.Go(func() { s.followConfigurations(ctx) })
	wg.Go(func() { s.followCRDs(ctx) })
	wg.Go(func() { s.work(ctx) })
	<-ctx.Done()
	return nil
}

// Register serves the bindings of an owner's hooks in place of those that it had:
// the port is opened, and webhook configurations and spec.conversion of the CRDs
// are written, before it returns. Run must be running; Register waits for it.
//
// Two bindings of one name, or a CRD that another owner converts already, are
// errors after which nothing has changed. Any other error says what could not be
// written yet; the hooks are served and writing is tried again until it succeeds
// or the owner is unregistered. A CRD that does not exist is no error: it is
// pointed here as soon as it does.
func (s *Server) Register(ctx context.Context, owner hook.Owner, hooks []hook.Webhook) error {
	next, err := newRegistration(owner, hooks)
	if err != nil {
		return err
	}
	if next.empty() {
		return s.Unregister(ctx, owner)
	}
	if err := s.cfg.reachable(); err != nil {
		return err
	}
	if err := s.await(ctx); err != nil {
		return err
	}
	return s.become(ctx, next)
}

// Unregister withdraws what an owner registered, be it in an earlier process: its
// configurations are deleted, and its CRDs are converted by nobody (strategy None)
// unless somebody else took them over. For an owner without any it costs nothing.
// An error says what could not be done yet; it is tried again.
func (s *Server) Unregister(ctx context.Context, owner hook.Owner) error {
	if err := s.await(ctx); err != nil {
		return err
	}
	return s.become(ctx, &registration{owner: owner})
}

// become makes the cluster as a registration says, what is left of an earlier
// process included.
func (s *Server) become(ctx context.Context, next *registration) error {
	keys, err := s.replace(next)
	if err != nil {
		return err
	}
	old, err := s.leftBy(ctx, func(owner string) bool { return owner == next.owner.String() })
	return errors.Join(s.syncAll(ctx, sets.New(append(keys, old...)...).UnsortedList()), err)
}

// Keep removes what earlier processes of this instance left for owners that are
// neither in the list nor registered now: configurations with our labels, and
// conversions of CRDs that point here. Call it when all owners are known.
func (s *Server) Keep(ctx context.Context, owners []hook.Owner) error {
	if err := s.await(ctx); err != nil {
		return err
	}
	keep := sets.New[string]()
	for _, o := range owners {
		keep.Insert(o.String())
	}
	s.mu.Lock()
	for o := range s.table.owners {
		keep.Insert(o.String())
	}
	s.mu.Unlock()
	keys, err := s.leftBy(ctx, func(owner string) bool { return !keep.Has(owner) })
	for _, k := range keys {
		s.cfg.Logger.Info("webhooks of an owner that is not on any more are withdrawn", "object", string(k.kind), "of", k.name)
	}
	return errors.Join(s.syncAll(ctx, keys), err)
}

func (s *Server) await(ctx context.Context) error {
	select {
	case <-s.running:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("webhook server is not running: %w", context.Cause(ctx))
	}
}

// replace puts a registration into the table and answers the keys to look at.
func (s *Server) replace(next *registration) ([]key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, r := range s.table.owners {
		for _, crd := range next.crds() {
			if other != next.owner && slices.Contains(r.crds(), crd) {
				return nil, fmt.Errorf("CRD %s of %s is converted by hook %s already: one owner converts a CRD",
					crd, next.owner, r.conversions[conversionPath(other, crd)].steps[0].hook.Hook)
			}
		}
	}
	keys := sets.New(next.keys()...)
	if old := s.table.owners[next.owner]; old != nil {
		keys.Insert(old.keys()...)
		for at := range old.admissions {
			s.table.withdrawn.Insert(at)
		}
	}
	for at := range next.admissions {
		s.table.withdrawn.Delete(at)
	}
	if next.empty() {
		delete(s.table.owners, next.owner)
	} else {
		s.table.owners[next.owner] = next
	}
	signal(s.crds)
	return keys.UnsortedList(), nil
}

// find is what answers at a path.
func (s *Server) find(path string) (a admissionRoute, c conversionRoute, kind found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.table.owners {
		if a, ok := r.admissions[path]; ok {
			return a, c, foundAdmission
		}
		if c, ok := r.conversions[path]; ok {
			return a, c, foundConversion
		}
	}
	if s.table.withdrawn.Has(path) {
		return a, c, foundWithdrawn
	}
	return a, c, foundNothing
}

// registered is the registration of an owner by its name, nil if there is none.
func (s *Server) registered(owner string) *registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o, r := range s.table.owners {
		if o.String() == owner {
			return r
		}
	}
	return nil
}

// converter is the registration that converts a CRD, nil if there is none.
func (s *Server) converter(crd string) *registration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.table.owners {
		if slices.Contains(r.crds(), crd) {
			return r
		}
	}
	return nil
}

// allKeys are the keys of everything that is registered.
func (s *Server) allKeys() []key {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := sets.New[key]()
	for r := range maps.Values(s.table.owners) {
		all.Insert(r.keys()...)
	}
	return all.UnsortedList()
}

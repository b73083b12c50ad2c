package kube

import (
	"fmt"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/flowcontrol"
)

// Clients are the clients of one API server. They share one HTTP client, one
// discovery cache and one mapper, and are safe for concurrent use.
type Clients struct {
	REST      *rest.Config
	HTTP      *http.Client
	Dynamic   dynamic.Interface
	Metadata  metadata.Interface
	Discovery discovery.CachedDiscoveryInterface
	Mapper    meta.ResettableRESTMapper

	raw        rest.Interface    // for what is decoded here: lists and watches
	operations dynamic.Interface // for the object operations of hooks (C-211)
	bounded    *http.Client      // of operations
	accounts   *accounts
	account    string // who sends all of that; "" is the operator itself
	observer   Observer
	served     *served
	ensured    *ensured
}

// Option changes what NewClients makes.
type Option func(*options)

type options struct {
	observer         Observer
	operationTimeout time.Duration
	// nil is no limit
	rate, operationRate flowcontrol.RateLimiter
	fence               Fence
	namespace           string
}

// WithObserver has o told of watches and requests; without it nobody is.
func WithObserver(o Observer) Option { return func(c *options) { c.observer = o } }

// WithRate bounds requests in a second, and how many may come at once beyond that; 0 is
// no limit. Watches count as their opening.
func WithRate(qps float32, burst int) Option {
	return func(c *options) { c.rate = limiter(qps, burst) }
}

// WithOperationRate is WithRate for object operations of hooks (C-211).
func WithOperationRate(qps float32, burst int) Option {
	return func(c *options) { c.operationRate = limiter(qps, burst) }
}

func limiter(qps float32, burst int) flowcontrol.RateLimiter {
	if qps <= 0 {
		return nil
	}
	return flowcontrol.NewTokenBucketRateLimiter(qps, max(1, burst))
}

// WithOperationTimeout bounds each request of an object operation; 10 s by default (C-211).
func WithOperationTimeout(d time.Duration) Option {
	return func(c *options) { c.operationTimeout = d }
}

// NewClients makes the clients for cfg, which is copied. Without
// WithRate nothing is throttled here: priority and fairness is the API server's task. Every request but a watch
// is bounded by 70 s.
func NewClients(cfg *rest.Config, opts ...Option) (*Clients, error) {
	o := options{operationTimeout: operationTimeout}
	for _, set := range opts {
		set(&o)
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst, cfg.RateLimiter = -1, 0, nil
	// Hooks and releases name the kinds that are watched; that one is deprecated is told where it is applied.
	cfg.WarningHandler = rest.NoWarnings{}
	if o.fence != nil {
		cfg.Dial = fencedDial(o.fence, cfg.Dial)
	}
	bare := rest.CopyConfig(cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &transport{next: next, component: "main", timeout: requestTimeout, limit: o.rate, observe: o.observer, fence: o.fence}
	})
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("HTTP client for %s: %w", cfg.Host, err)
	}
	dyn, err := dynamic.NewForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("dynamic client for %s: %w", cfg.Host, err)
	}
	operations, bounded, err := newOperations(bare, o)
	if err != nil {
		return nil, err
	}
	raw, err := newRaw(cfg, httpClient)
	if err != nil {
		return nil, err
	}
	md, err := metadata.NewForConfigAndClient(metadata.ConfigFor(cfg), httpClient)
	if err != nil {
		return nil, fmt.Errorf("metadata client for %s: %w", cfg.Host, err)
	}
	disc, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, httpClient)
	if err != nil {
		return nil, fmt.Errorf("discovery client for %s: %w", cfg.Host, err)
	}
	cached := memory.NewMemCacheClient(disc)
	c := &Clients{
		REST: cfg, HTTP: httpClient, Dynamic: dyn, Metadata: md,
		Discovery: cached, Mapper: restmapper.NewDeferredDiscoveryRESTMapper(cached),
		raw: raw, operations: operations, bounded: bounded, observer: o.observer, served: newServed(disc), ensured: newEnsured(),
	}
	c.accounts = newAccounts(c, o.namespace)
	return c, nil
}

// newOperations is the client of object operations: the same connections, a bound of its own.
func newOperations(cfg *rest.Config, o options) (dynamic.Interface, *http.Client, error) {
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &transport{next: next, component: "object_patcher", timeout: o.operationTimeout, limit: o.operationRate, observe: o.observer, fence: o.fence}
	})
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("client of object operations for %s: %w", cfg.Host, err)
	}
	client, err := dynamic.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, nil, fmt.Errorf("client of object operations for %s: %w", cfg.Host, err)
	}
	return client, h, nil
}

package helm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// FieldManager is the name under which objects are written (managedFields).
const FieldManager = "addon-operator"

// Labels of a release record, besides Helm's own.
const (
	LabelInstance     = "addon-operator.io/instance"
	LabelInputDigest  = "addon-operator.io/input-digest"
	LabelRenderDigest = "addon-operator.io/render-digest"
	LabelOrigin       = "addon-operator.io/origin"
	// LabelRejected is the input digest that a rollback of ours turned down.
	LabelRejected = "addon-operator.io/rejected-digest"
	// LabelPredecessor marks releases of the operator that came before (C-435).
	LabelPredecessor = "moduleChecksum"

	// LabelAccount is the ServiceAccount that the revision was applied as; absent when it was the operator itself.
	LabelAccount = "addon-operator.io/service-account"

	// OriginEmbedded is the origin of modules that lie in the operator's own directories.
	OriginEmbedded = "embedded"
	// OriginSource is the origin of modules that a ModuleSource brings.
	OriginSource = "source"
)

// ErrPending: the newest revision belongs to an action that has not ended. Recover
// releases it once its holder is known to be dead.
var ErrPending = errors.New("another action on the release has not ended")

// Config is what a Client needs.
type Config struct {
	// REST reaches the API server; the caller sets QPS -1 for no throttling. Without it
	// the client can only compute digests and render, with Helm's default capabilities and
	// an empty answer to lookup.
	REST *rest.Config
	// Discovery and Mapper are shared with the rest of the process.
	Discovery discovery.CachedDiscoveryInterface
	Mapper    meta.RESTMapper
	// Namespace holds the release records (C-431), and the ServiceAccounts that modules act as.
	Namespace string
	// Instance is "<namespace>.<configmap>" of the operator.
	Instance string
	// Labels are put on every rendered object (C-433). Default: heritage=addon-operator.
	Labels map[string]string
	// HistoryMax is the number of revisions kept (C-432); 0 keeps all.
	HistoryMax int
	// Timeout bounds the wait for one chart hook, 20 minutes by default (C-432).
	Timeout time.Duration
	// Parallel is the number of objects of one release written at once, 8 by default.
	Parallel int
	// Spare, if set, names fields that a merge leaves alone.
	Spare Spare
	// Logger is slog.Default() by default.
	Logger *slog.Logger
	// Now is the clock of release records, time.Now by default.
	Now func() time.Time
	// Observed, if set, is told how long an operation on a module's release took: "template"
	// (Render), "check-upgrade" (InputDigest) or "upgrade" (Install and Upgrade, a rollback included).
	Observed func(module, operation string, took time.Duration)
}

func (c *Config) complete() error {
	if c.Labels == nil {
		c.Labels = map[string]string{"heritage": "addon-operator"}
	}
	if c.Timeout <= 0 {
		c.Timeout = 20 * time.Minute
	}
	if c.Parallel <= 0 {
		c.Parallel = 8
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Observed == nil {
		c.Observed = func(string, string, time.Duration) {}
	}
	return c.validate()
}

func (c *Config) validate() error {
	for k, v := range c.Labels {
		if errs := validation.IsQualifiedName(k); len(errs) > 0 {
			return fmt.Errorf("label key %q for rendered objects: %s", k, errs[0])
		}
		if errs := validation.IsValidLabelValue(v); len(errs) > 0 {
			return fmt.Errorf("label %s=%q for rendered objects: %s", k, v, errs[0])
		}
	}
	if c.REST == nil {
		return nil
	}
	if c.Discovery == nil || c.Mapper == nil || c.Namespace == "" {
		return errors.New("helm client: Discovery, Mapper and Namespace are needed to reach a cluster")
	}
	if errs := validation.IsValidLabelValue(c.Instance); len(errs) > 0 {
		return fmt.Errorf("instance %q cannot be a label of release records (%s); choose a shorter namespace or ConfigMap name",
			c.Instance, errs[0])
	}
	return nil
}

// Client renders and applies charts. It is safe for concurrent use; two actions on one
// release at the same time are the caller's mistake and end in ErrPending.
type Client struct {
	cfg     Config
	charts  *chartCache
	caps    *capabilities
	records *records
	// questions are what charts looked up last.
	questions *questions
	said      *sync.Map // warnings already logged, "<release> <text>"
	actors    *actors
	// actor is who reads and writes objects of modules: the operator itself, unless as says otherwise.
	*actor
}

// New makes a Client; it does not reach out to the cluster.
func New(cfg Config) (*Client, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, charts: newChartCache(), caps: &capabilities{discovery: cfg.Discovery, log: cfg.Logger},
		questions: &questions{}, said: &sync.Map{}, actor: &actor{}}
	if cfg.REST == nil {
		return c, nil
	}
	rc := rest.CopyConfig(cfg.REST)
	rc.WarningHandler = nil
	rc.WarningHandlerWithContext = warningHandler{}
	rc.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	h, err := rest.HTTPClientFor(rc)
	if err != nil {
		return nil, fmt.Errorf("helm client: %w", err)
	}
	return c, c.connect(rc, h)
}

func (c *Client) connect(rc *rest.Config, h *http.Client) error {
	var err error
	if c.records, err = newRecords(rc, h, c.cfg.Namespace); err != nil {
		return fmt.Errorf("helm client: %w", err)
	}
	c.actors = &actors{rest: rc, http: h, namespace: c.cfg.Namespace, parallel: c.cfg.Parallel, spare: c.cfg.Spare, known: map[string]*actor{}}
	c.actor, err = c.actors.of("")
	return err
}

// observe tells how long an operation took that began at a time.
func (c *Client) observe(module, operation string, began time.Time) {
	c.cfg.Observed(module, operation, time.Since(began))
}

// Refresh forgets the capabilities of the cluster; call it when discovery changed.
func (c *Client) Refresh() { c.caps.forget() }

// warnings gathers what the API server says about the requests of one action.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

type warningsKey struct{}

func withWarnings(ctx context.Context) (context.Context, *warnings) {
	w := &warnings{}
	return context.WithValue(ctx, warningsKey{}, w), w
}

type warningHandler struct{}

func (warningHandler) HandleWarningHeaderWithContext(ctx context.Context, code int, _ string, text string) {
	w, ok := ctx.Value(warningsKey{}).(*warnings)
	if !ok || code != 299 || text == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.texts {
		if t == text {
			return
		}
	}
	w.texts = append(w.texts, text)
}

// report returns the gathered warnings and logs those not logged before.
func (c *Client) report(name string, w *warnings) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.texts {
		if _, old := c.said.LoadOrStore(name+" "+t, true); !old {
			c.cfg.Logger.Warn("API server warns about objects of a module", "module", name, "warning", t)
		}
	}
	return w.texts
}

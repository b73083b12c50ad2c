package report

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// Config is what a Reporter works with; all fields are required.
type Config struct {
	Dynamic dynamic.Interface
	Client  kubernetes.Interface
	// Namespace and ConfigMap name the object of Events that concern no single module.
	Namespace, ConfigMap string
	Logger               *slog.Logger
}

// Reporter writes Module, ModuleSource and ModuleRelease resources and Events in the background.
type Reporter struct {
	cfg    Config
	events record.EventRecorder
	cast   record.EventBroadcaster

	mu      sync.Mutex
	wanted  map[key]entry // newest, not yet written
	writing map[key]bool
	shown   map[key]*shown
	wake    chan struct{}
}

// key is one resource.
type key struct {
	resource schema.GroupVersionResource
	name     string
}

func (k key) String() string { return kindOf(k.resource) + " " + k.name }

// entry is what one resource is to show.
type entry struct {
	key
	// uid is known of resources that users make; empty otherwise.
	uid types.UID
	// make says that the resource is made where there is none, with these labels.
	make   bool
	labels map[string]string
	// gone: the resource is to be deleted.
	gone bool
	// render makes the status out of the one before.
	render func(before map[string]any, now time.Time) map[string]any
}

// shown is what the cluster is known to show of one resource.
type shown struct {
	uid    types.UID
	text   string // status as JSON
	status map[string]any
	newest entry // what was written last; without render if that was in another process
}

// writers is how many statuses are written at once.
const writers = 4

// New makes a Reporter; Run does its work.
func New(cfg Config) *Reporter {
	cast := record.NewBroadcaster()
	return &Reporter{
		cfg: cfg, cast: cast,
		events:  cast.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "addon-operator"}),
		wanted:  map[key]entry{},
		writing: map[key]bool{},
		shown:   map[key]*shown{},
		wake:    make(chan struct{}, writers),
	}
}

// Report takes the newest status of a module and returns at once.
func (r *Reporter) Report(m status.Module) {
	r.want(entry{key: key{Resource, m.Name}, make: true, gone: m.Gone,
		render: func(before map[string]any, now time.Time) map[string]any { return render(m, before, now) }})
}

func (r *Reporter) want(e entry) {
	r.mu.Lock()
	r.wanted[e.key] = e
	r.mu.Unlock()
	r.poke()
}

func (r *Reporter) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Event records a Kubernetes Event on the Module, or on the ConfigMap when module is "".
func (r *Reporter) Event(module string, warning bool, reason, message string) {
	if module != "" {
		r.event(key{Resource, module}, warning, reason, message)
		return
	}
	r.record(&corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: r.cfg.Namespace, Name: r.cfg.ConfigMap}, warning, reason, message)
}

func (r *Reporter) event(k key, warning bool, reason, message string) {
	r.record(&corev1.ObjectReference{APIVersion: k.resource.GroupVersion().String(), Kind: kindOf(k.resource), Name: k.name, UID: r.uid(k)}, warning, reason, message)
}

func (r *Reporter) record(on *corev1.ObjectReference, warning bool, reason, message string) {
	typ := corev1.EventTypeNormal
	if warning {
		typ = corev1.EventTypeWarning
	}
	r.events.Event(on, typ, reason, cut(message))
}

// maxMessage keeps an Event within the API's limit of 1024 bytes.
const maxMessage = 1000

func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

func (r *Reporter) uid(k key) types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.wanted[k]; ok && e.uid != "" {
		return e.uid
	}
	if s := r.shown[k]; s != nil {
		return s.uid
	}
	return ""
}

// Run writes until ctx ends, and once more what is left then.
func (r *Reporter) Run(ctx context.Context) error {
	watch := r.cast.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: r.cfg.Client.CoreV1().Events("")})
	defer r.cast.Shutdown()
	defer watch.Stop()
	for _, res := range []schema.GroupVersionResource{Resource, Sources, Releases} {
		r.load(ctx, res)
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() { r.write(ctx) })
	}
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	r.drain(last)
	return nil
}

// load learns what the cluster shows, so that unchanged statuses are not written
// and conditions keep their transition times.
func (r *Reporter) load(ctx context.Context, res schema.GroupVersionResource) {
	list, err := r.cfg.Dynamic.Resource(res).List(ctx, metav1.ListOptions{})
	if err != nil {
		if ctx.Err() == nil && !apierrors.IsNotFound(err) {
			r.cfg.Logger.Warn("cannot list "+kindOf(res)+" resources", "error", err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range list.Items {
		r.shown[key{res, item.GetName()}] = newShown(&item)
	}
}

func newShown(obj *unstructured.Unstructured) *shown {
	st, _, _ := unstructured.NestedMap(obj.Object, "status")
	text, _ := json.Marshal(st)
	return &shown{uid: obj.GetUID(), text: string(text), status: st}
}

func (r *Reporter) write(ctx context.Context) {
	for {
		select {
		case <-r.wake:
			r.drain(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// drain writes wanted statuses until there are none, one writer per resource at a time.
func (r *Reporter) drain(ctx context.Context) {
	for ctx.Err() == nil {
		e, ok := r.next()
		if !ok {
			return
		}
		err := r.put(ctx, e)
		r.mu.Lock()
		delete(r.writing, e.key)
		_, newer := r.wanted[e.key]
		if err != nil && !newer {
			r.wanted[e.key] = e
		}
		r.mu.Unlock()
		if err != nil {
			if ctx.Err() == nil {
				r.cfg.Logger.Warn("cannot write a status; trying again", "of", e.String(), "error", err)
				r.later(ctx)
			}
			return
		}
	}
}

// later looks again in a while, after a failed write.
func (r *Reporter) later(ctx context.Context) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-t.C:
		r.poke()
	case <-ctx.Done():
	}
}

func (r *Reporter) next() (entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, e := range r.wanted {
		if !r.writing[k] {
			delete(r.wanted, k)
			r.writing[k] = true
			return e, true
		}
	}
	return entry{}, false
}

// know remembers what the cluster shows of a resource; nil is nothing.
func (r *Reporter) know(k key, s *shown) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == nil {
		delete(r.shown, k)
		return
	}
	r.shown[k] = s
}

// put makes the cluster show a status.
func (r *Reporter) put(ctx context.Context, e entry) error {
	if e.gone {
		r.know(e.key, nil)
		return r.remove(ctx, e.key)
	}
	have, err := r.have(ctx, e)
	if err != nil || have == nil {
		return err
	}
	want := e.render(have.status, time.Now())
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if string(text) != have.text {
		err := r.patch(ctx, e.key, want)
		if apierrors.IsNotFound(err) { // somebody deleted it: make it anew
			r.know(e.key, nil)
			if !e.make {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
	r.know(e.key, &shown{uid: have.uid, text: string(text), status: want, newest: e})
	return nil
}

func (r *Reporter) patch(ctx context.Context, k key, status map[string]any) error {
	body, err := json.Marshal([]map[string]any{{"op": "add", "path": "/status", "value": status}})
	if err != nil {
		return err
	}
	_, err = r.cfg.Dynamic.Resource(k.resource).Patch(ctx, k.name, types.JSONPatchType, body, metav1.PatchOptions{}, "status")
	return err
}

// have is what the cluster shows of a resource, which is made if it is to be; nil where there is none.
func (r *Reporter) have(ctx context.Context, e entry) (*shown, error) {
	r.mu.Lock()
	have := r.shown[e.key]
	r.mu.Unlock()
	if have != nil && (e.uid == "" || e.uid == have.uid) {
		return have, nil
	}
	client := r.cfg.Dynamic.Resource(e.resource)
	var obj *unstructured.Unstructured
	err := error(nil)
	if e.make {
		obj, err = client.Create(ctx, r.object(e), metav1.CreateOptions{})
	}
	if !e.make || apierrors.IsAlreadyExists(err) {
		obj, err = client.Get(ctx, e.name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) && !e.make {
		r.know(e.key, nil)
		return nil, nil //nolint:nilnil // a user's resource that is gone has nothing to show
	}
	if err != nil {
		return nil, err
	}
	have = newShown(obj)
	// Known from here on: an Event names its object by UID, and kubectl describe
	// shows none without, so it must not wait for the status to be written.
	r.know(e.key, have)
	return have, nil
}

// Keep deletes the Module resources of this operator whose modules are not in names.
func (r *Reporter) Keep(ctx context.Context, names map[string]bool) error {
	_, err := r.keep(ctx, Resource, names)
	return err
}

// keep deletes resources of this operator that are not in names, and returns the names of the others.
func (r *Reporter) keep(ctx context.Context, res schema.GroupVersionResource, names map[string]bool) (kept map[string]bool, err error) {
	list, err := r.cfg.Dynamic.Resource(res).List(ctx, metav1.ListOptions{LabelSelector: instanceLabel + "=" + r.instance()})
	if err != nil {
		return nil, fmt.Errorf("list %s resources: %w", kindOf(res), err)
	}
	kept = map[string]bool{}
	for _, item := range list.Items {
		if names[item.GetName()] {
			kept[item.GetName()] = true
			continue
		}
		k := key{res, item.GetName()}
		r.know(k, nil)
		if err := r.remove(ctx, k); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

func (r *Reporter) remove(ctx context.Context, k key) error {
	err := r.cfg.Dynamic.Resource(k.resource).Delete(ctx, k.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s: %w", k, err)
	}
	return nil
}

// Labels of resources that the operator makes.
const (
	// instanceLabel says which operator of a cluster a resource is of.
	instanceLabel = "addon-operator.io/instance"
	moduleLabel   = "addon-operator.io/module"
	sourceLabel   = "addon-operator.io/source"
)

func (r *Reporter) instance() string { return r.cfg.Namespace + "." + r.cfg.ConfigMap }

func (r *Reporter) object(e entry) *unstructured.Unstructured {
	labels := map[string]any{instanceLabel: r.instance()}
	for name, value := range e.labels {
		if len(validation.IsValidLabelValue(value)) == 0 {
			labels[name] = value
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": e.resource.GroupVersion().String(), "kind": kindOf(e.resource),
		"metadata": map[string]any{"name": e.name, "labels": labels},
	}}
}

// condition is one of a status.
type condition struct {
	typ, reason, message string
	holds                bool
}

// conditions writes conditions as resources show them. Each keeps its transition time while its status stays.
func conditions(list []condition, before map[string]any, now time.Time) []any {
	times := map[string][2]string{}
	old, _, _ := unstructured.NestedSlice(before, "conditions")
	for _, e := range old {
		if c, ok := e.(map[string]any); ok {
			typ, _ := c["type"].(string)
			st, _ := c["status"].(string)
			at, _ := c["lastTransitionTime"].(string)
			times[typ] = [2]string{st, at}
		}
	}
	out := make([]any, 0, len(list))
	for _, c := range list {
		st := "False"
		if c.holds {
			st = "True"
		}
		at := now.UTC().Format(time.RFC3339)
		if t, ok := times[c.typ]; ok && t[0] == st && t[1] != "" {
			at = t[1]
		}
		out = append(out, map[string]any{
			"type": c.typ, "status": st, "reason": c.reason, "message": c.message, "lastTransitionTime": at,
		})
	}
	return out
}

// render writes a status as the resource shows it.
func render(m status.Module, before map[string]any, now time.Time) map[string]any {
	list := make([]condition, len(m.Conditions))
	for i, c := range m.Conditions {
		list[i] = condition{c.Type, c.Reason, c.Message, c.Status}
	}
	out := map[string]any{
		"enabled": m.Enabled, "version": m.Version, "namespace": m.Namespace, "weight": int64(m.Weight),
		"phase": string(m.Phase), "reason": m.Reason, "revision": int64(m.Revision), "globalRevision": m.Global,
		"conditions": conditions(list, before, now),
	}
	setText(out, "digest", m.Digest)
	setText(out, "source", m.Origin.Source)
	setText(out, "channel", m.Origin.Channel)
	setText(out, "available", m.Origin.Available)
	setTime(out, "nextTry", m.NextTry)
	renderWhy(out, m, before)
	return out
}

func setText(out map[string]any, name, text string) {
	if text != "" {
		out[name] = text
	}
}

func setTime(out map[string]any, name string, at time.Time) {
	if !at.IsZero() {
		out[name] = at.UTC().Format(time.RFC3339)
	}
}

package report

import (
	"context"
	_ "embed"
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
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/addon-operator/addon-operator/pkg/status"
)

// CRD is the CustomResourceDefinition of Module as YAML.
//
//go:embed modules.yaml
var CRD []byte

// Resource is the API resource of Module.
var Resource = schema.GroupVersionResource{Group: "addon-operator.io", Version: "v1alpha1", Resource: "modules"}

const kind = "Module"

// Config is what a Reporter works with; all fields are required.
type Config struct {
	Dynamic dynamic.Interface
	Client  kubernetes.Interface
	// Namespace and ConfigMap name the object of Events that concern no single module.
	Namespace, ConfigMap string
	Logger               *slog.Logger
}

// Reporter writes Module resources and Events in the background.
type Reporter struct {
	cfg    Config
	events record.EventRecorder
	cast   record.EventBroadcaster

	mu      sync.Mutex
	wanted  map[string]status.Module // newest, not yet written
	writing map[string]bool
	shown   map[string]*shown
	wake    chan struct{}
}

// shown is what the cluster is known to show of one module.
type shown struct {
	uid    types.UID
	text   string // status as JSON
	status map[string]any
}

// writers is how many statuses are written at once.
const writers = 4

// New makes a Reporter; Run does its work.
func New(cfg Config) *Reporter {
	cast := record.NewBroadcaster()
	return &Reporter{
		cfg: cfg, cast: cast,
		events:  cast.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "addon-operator"}),
		wanted:  map[string]status.Module{},
		writing: map[string]bool{},
		shown:   map[string]*shown{},
		wake:    make(chan struct{}, writers),
	}
}

// Report takes the newest status of a module and returns at once.
func (r *Reporter) Report(m status.Module) {
	r.mu.Lock()
	r.wanted[m.Name] = m
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
	typ := corev1.EventTypeNormal
	if warning {
		typ = corev1.EventTypeWarning
	}
	ref := &corev1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: r.cfg.Namespace, Name: r.cfg.ConfigMap}
	if module != "" {
		ref = &corev1.ObjectReference{APIVersion: Resource.GroupVersion().String(), Kind: kind, Name: module, UID: r.uid(module)}
	}
	r.events.Event(ref, typ, reason, cut(message))
}

// maxMessage keeps an Event within the API's limit of 1024 bytes.
const maxMessage = 1000

func cut(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	return strings.ToValidUTF8(s[:maxMessage], "") + "…"
}

func (r *Reporter) uid(module string) types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.shown[module]; s != nil {
		return s.uid
	}
	return ""
}

// Run writes until ctx ends, and once more what is left then.
func (r *Reporter) Run(ctx context.Context) error {
	watch := r.cast.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: r.cfg.Client.CoreV1().Events("")})
	defer r.cast.Shutdown()
	defer watch.Stop()
	r.load(ctx)
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
func (r *Reporter) load(ctx context.Context) {
	list, err := r.cfg.Dynamic.Resource(Resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		if ctx.Err() == nil && !apierrors.IsNotFound(err) {
			r.cfg.Logger.Warn("cannot list Module resources", "error", err)
		}
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, item := range list.Items {
		st, _, _ := unstructured.NestedMap(item.Object, "status")
		r.shown[item.GetName()] = newShown(item.GetUID(), st)
	}
}

func newShown(uid types.UID, st map[string]any) *shown {
	text, _ := json.Marshal(st)
	return &shown{uid: uid, text: string(text), status: st}
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

// drain writes wanted statuses until there are none, one writer per module at a time.
func (r *Reporter) drain(ctx context.Context) {
	for ctx.Err() == nil {
		m, ok := r.next()
		if !ok {
			return
		}
		err := r.put(ctx, m)
		r.mu.Lock()
		delete(r.writing, m.Name)
		_, newer := r.wanted[m.Name]
		if err != nil && !newer {
			r.wanted[m.Name] = m
		}
		r.mu.Unlock()
		if err != nil {
			if ctx.Err() == nil {
				r.cfg.Logger.Warn("cannot write the status of a module; trying again", "module", m.Name, "error", err)
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

func (r *Reporter) next() (status.Module, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.wanted {
		if !r.writing[name] {
			delete(r.wanted, name)
			r.writing[name] = true
			return m, true
		}
	}
	return status.Module{}, false
}

// put makes the cluster show a status.
func (r *Reporter) put(ctx context.Context, m status.Module) error {
	r.mu.Lock()
	have := r.shown[m.Name]
	r.mu.Unlock()
	client := r.cfg.Dynamic.Resource(Resource)
	if m.Gone {
		r.mu.Lock()
		delete(r.shown, m.Name)
		r.mu.Unlock()
		return r.remove(ctx, m.Name)
	}
	if have == nil {
		obj, err := client.Create(ctx, r.object(m.Name), metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			obj, err = client.Get(ctx, m.Name, metav1.GetOptions{})
		}
		if err != nil {
			return err
		}
		st, _, _ := unstructured.NestedMap(obj.Object, "status")
		have = newShown(obj.GetUID(), st)
		// Known from here on: an Event names its module by UID, and kubectl describe
		// shows none without, so it must not wait for the status to be written.
		r.mu.Lock()
		r.shown[m.Name] = have
		r.mu.Unlock()
	}
	want := render(m, have.status, time.Now())
	text, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if string(text) != have.text {
		body, err := json.Marshal([]map[string]any{{"op": "add", "path": "/status", "value": want}})
		if err != nil {
			return err
		}
		_, err = client.Patch(ctx, m.Name, types.JSONPatchType, body, metav1.PatchOptions{}, "status")
		if apierrors.IsNotFound(err) { // somebody deleted it: make it anew
			r.mu.Lock()
			delete(r.shown, m.Name)
			r.mu.Unlock()
			return err
		}
		if err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.shown[m.Name] = &shown{uid: have.uid, text: string(text), status: want}
	r.mu.Unlock()
	return nil
}

// Keep deletes the Module resources of this operator whose modules are not in names.
func (r *Reporter) Keep(ctx context.Context, names map[string]bool) error {
	list, err := r.cfg.Dynamic.Resource(Resource).List(ctx, metav1.ListOptions{LabelSelector: instanceLabel + "=" + r.instance()})
	if err != nil {
		return fmt.Errorf("list Module resources: %w", err)
	}
	for _, item := range list.Items {
		if names[item.GetName()] {
			continue
		}
		if err := r.remove(ctx, item.GetName()); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reporter) remove(ctx context.Context, name string) error {
	err := r.cfg.Dynamic.Resource(Resource).Delete(ctx, name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Module %s: %w", name, err)
	}
	return nil
}

// instanceLabel says which operator of a cluster a resource is of.
const instanceLabel = "addon-operator.io/instance"

func (r *Reporter) instance() string { return r.cfg.Namespace + "." + r.cfg.ConfigMap }

func (r *Reporter) object(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": Resource.GroupVersion().String(), "kind": kind,
		"metadata": map[string]any{"name": name, "labels": map[string]any{instanceLabel: r.instance()}},
	}}
}

// render writes a status as the resource shows it. A condition keeps its
// transition time while its status stays.
func render(m status.Module, before map[string]any, now time.Time) map[string]any {
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
	conditions := make([]any, 0, len(m.Conditions))
	for _, c := range m.Conditions {
		st := "False"
		if c.Status {
			st = "True"
		}
		at := now.UTC().Format(time.RFC3339)
		if t, ok := times[c.Type]; ok && t[0] == st && t[1] != "" {
			at = t[1]
		}
		conditions = append(conditions, map[string]any{
			"type": c.Type, "status": st, "reason": c.Reason, "message": c.Message, "lastTransitionTime": at,
		})
	}
	out := map[string]any{
		"enabled": m.Enabled, "version": m.Version, "namespace": m.Namespace, "weight": int64(m.Weight),
		"phase": string(m.Phase), "reason": m.Reason, "revision": int64(m.Revision), "globalRevision": m.Global,
		"conditions": conditions,
	}
	if !m.NextTry.IsZero() {
		out["nextTry"] = m.NextTry.UTC().Format(time.RFC3339)
	}
	renderWhy(out, m, before)
	return out
}

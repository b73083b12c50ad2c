package report_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// counting counts the status writes of a reporter.
type counting struct {
	dynamic.Interface
	dynamic.NamespaceableResourceInterface
	patches *atomic.Int64
	block   <-chan struct{}
}

func (c counting) Resource(r schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	c.NamespaceableResourceInterface = c.Interface.Resource(r)
	return c
}

func (c counting) Patch(ctx context.Context, name string, t types.PatchType, data []byte, o metav1.PatchOptions, sub ...string) (*unstructured.Unstructured, error) {
	c.patches.Add(1)
	<-c.block
	return c.NamespaceableResourceInterface.Patch(ctx, name, t, data, o, sub...)
}

type bed struct {
	t       *testing.T
	dynamic dynamic.Interface
	typed   kubernetes.Interface
	patches atomic.Int64
}

func newBed(t *testing.T) *bed {
	t.Helper()
	cfg := testkit.Cluster(t)
	clients, err := kube.NewClients(cfg)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := report.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.EnsureCRDs(t.Context(), crds, nil); err != nil {
		t.Fatal(err)
	}
	return &bed{t: t, dynamic: clients.Dynamic, typed: kubernetes.NewForConfigOrDie(cfg)}
}

// start runs a reporter whose status writes wait until open is closed; stop ends it.
func (b *bed) start(open <-chan struct{}) (r *report.Reporter, stop func()) {
	r = report.New(report.Config{Dynamic: counting{Interface: b.dynamic, patches: &b.patches, block: open}, Client: b.typed,
		Namespace: "default", ConfigMap: "addon-operator", Logger: slog.New(slog.NewTextHandler(b.t.Output(), nil))})
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

func opened() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (b *bed) get(name string) *unstructured.Unstructured {
	obj, err := b.dynamic.Resource(report.Resource).Get(b.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return obj
}

func (b *bed) field(name string, path ...string) any {
	if obj := b.get(name); obj != nil {
		v, _, _ := unstructured.NestedFieldNoCopy(obj.Object, path...)
		return v
	}
	return nil
}

func (b *bed) until(ok func() bool) {
	b.t.Helper()
	testkit.Eventually(b.t, ok, func() string { return "the cluster shows the status" })
}

// ready is the status and transition time of a module's Ready condition.
func (b *bed) ready(name string) (state, at string) {
	list, _ := b.field(name, "status", "conditions").([]any)
	for _, e := range list {
		if c := e.(map[string]any); c["type"] == status.Ready {
			return c["status"].(string), c["lastTransitionTime"].(string)
		}
	}
	return "", ""
}

func summary(name string, attempt status.Attempt, message string) status.Module {
	return status.Summarize(status.Facts{Name: name, Weight: 100, Version: "1.2.3", Namespace: "ns", On: true, Why: "on", Attempt: attempt,
		Reason: "HookFailed", Message: message, Now: time.Now(), Revision: 2, Global: 3})
}

func TestColumnsOfKubectlGetModules(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	defer stop()
	m := summary("columns", status.Failed, "boom")
	r.Report(m.From(status.Origin{Source: "corp", Channel: "ea", Available: "1.3.0", Reason: "Freeze", Message: "until later"}))
	b.until(func() bool { return b.field("columns", "status", "phase") == "Failing" })
	text, err := b.typed.CoreV1().RESTClient().Get().AbsPath("/apis/addon-operator.io/v1alpha1/modules/columns").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range table.ColumnDefinitions {
		if c.Priority == 0 {
			names = append(names, strings.ToUpper(c.Name))
		}
	}
	if want := []string{"NAME", "ENABLED", "CHANNEL", "VERSION", "AVAILABLE", "PHASE", "READY", "REASON", "AGE"}; !slices.Equal(names, want) {
		t.Error(names)
	}
	cells := table.Rows[0].Cells
	if want := []any{"columns", true, "ea", "1.2.3", "1.3.0", "Failing", "False", "HookFailed"}; !slices.Equal(cells[:8], want) {
		t.Error(cells)
	}
	if wide := cells[len(cells)-1]; wide != "until later" {
		t.Errorf("why the version that is offered does not run: %v", wide)
	}
}

func TestATransitionTimeStaysWhileTheConditionDoes(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	r.Report(summary("times", status.Failed, "one"))
	b.until(func() bool { s, _ := b.ready("times"); return s == "False" })
	stop()
	// As if it had been so for long; a new process takes it over.
	const long = "2020-01-01T00:00:00Z"
	obj := b.get("times")
	list, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, c := range list {
		c.(map[string]any)["lastTransitionTime"] = long
	}
	if err := unstructured.SetNestedSlice(obj.Object, list, "status", "conditions"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.dynamic.Resource(report.Resource).UpdateStatus(t.Context(), obj, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.patches.Store(0)
	r, stop = b.start(opened())
	defer stop()
	r.Report(summary("times", status.Failed, "two"))
	b.until(func() bool { return b.patches.Load() == 1 })
	b.until(func() bool { return strings.Contains(toText(b.get("times")), "two") })
	if s, at := b.ready("times"); s != "False" || at != long {
		t.Error(s, at)
	}
	r.Report(summary("times", status.Succeeded, ""))
	b.until(func() bool { s, at := b.ready("times"); return s == "True" && at != long })
	// Somebody deletes it: it is made anew at the next change.
	if err := b.dynamic.Resource(report.Resource).Delete(t.Context(), "times", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.Report(summary("times", status.Failed, "three"))
	b.until(func() bool { return strings.Contains(toText(b.get("times")), "three") })
}

func toText(obj *unstructured.Unstructured) string {
	text, _ := json.Marshal(obj)
	return string(text)
}

func TestOnlyTheNewestStatusIsWrittenAndTheSameOneNever(t *testing.T) {
	b := newBed(t)
	open := make(chan struct{})
	r, stop := b.start(open)
	defer stop()
	r.Report(summary("newest", status.Failed, "first"))
	b.until(func() bool { return b.patches.Load() == 1 })
	for range 50 { // all of them while the first is being written
		r.Report(summary("newest", status.Failed, "between"))
	}
	r.Report(summary("newest", status.Failed, "last"))
	close(open)
	b.until(func() bool { return strings.Contains(toText(b.get("newest")), "last") })
	for range 5 {
		r.Report(summary("newest", status.Failed, "last"))
	}
	r.Report(summary("other", status.Failed, "x"))
	b.until(func() bool { return b.field("other", "status", "phase") == "Failing" })
	if n := b.patches.Load(); n != 3 {
		t.Errorf("%d writes, expected 3: the first, the last, the other module's", n)
	}
}

func TestEventsNameTheModuleOrTheConfigMap(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	defer stop()
	r.Report(summary("events", status.Failed, "x"))
	b.until(func() bool { return b.field("events", "status", "phase") == "Failing" })
	find := func(kind, name string, uid types.UID) *corev1.Event {
		list, err := b.typed.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			// Events of a Module that had this name before are another object's.
			if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name && e.InvolvedObject.UID == uid {
				return &e
			}
		}
		return nil
	}
	r.Event("events", true, "HookFailed", strings.Repeat("ä", 2000))
	r.Event("", false, "Purge", "text")
	uid := b.get("events").GetUID()
	b.until(func() bool {
		return find("Module", "events", uid) != nil && find("ConfigMap", "addon-operator", "") != nil
	})
	if e := find("Module", "events", uid); e.Type != corev1.EventTypeWarning || len(e.Message) > 1024 || strings.Contains(e.Message, "\uFFFD") {
		t.Errorf("%+v", e)
	}
	if e := find("ConfigMap", "addon-operator", ""); e.Type != corev1.EventTypeNormal || e.Message != "text" || e.Reason != "Purge" {
		t.Errorf("%+v", e)
	}
}

func TestKeepDeletesModulesThatAreGone(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	defer stop()
	for _, name := range []string{"stays", "goes"} {
		r.Report(summary(name, status.Succeeded, ""))
		b.until(func() bool { return b.field(name, "status", "phase") != nil })
	}
	if err := r.Keep(t.Context(), map[string]bool{"stays": true}); err != nil {
		t.Fatal(err)
	}
	b.until(func() bool { return b.get("goes") == nil && b.get("stays") != nil })
}

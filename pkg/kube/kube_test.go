package kube

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) {
	code := testkit.Run(m)
	if err := goleak.Find(foreign...); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// foreign goroutines outlive a test by design: idle connections, and the thread
// that the control plane is tied to.
var foreign = []goleak.Option{
	goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
	goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
	goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
	goleak.IgnoreAnyFunction("net/http.(*http2clientConnReadLoop).run"),
	goleak.IgnoreAnyFunction("net/http/internal/http2.(*clientConnReadLoop).run"),
	goleak.IgnoreAnyFunction("github.com/addon-operator/addon-operator/pkg/testkit.Start.func1"),
	goleak.IgnoreAnyFunction("github.com/addon-operator/addon-operator/pkg/testkit.Start.func2"),
}

// leaks fails the test if it leaves goroutines of ours behind.
func leaks(t *testing.T) {
	t.Helper()
	opts := append([]goleak.Option{goleak.IgnoreCurrent()}, foreign...)
	t.Cleanup(func() { goleak.VerifyNone(t, opts...) })
}

// quiet is a logger for tests that expect warnings.
var quiet = slog.New(slog.DiscardHandler)

func clients(t testing.TB) *Clients {
	t.Helper()
	c, err := NewClients(testkit.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// within is a context that ends with the test, and after a minute at the latest.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(stop)
	return ctx
}

// namespace makes a namespace for one test.
func namespace(t testing.TB, c *Clients, labels map[string]any) string {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{"generateName": "kube-test-", "labels": labels}}}
	made, err := c.namespaces().Create(within(t), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetName()
}

// parse reads a YAML object.
func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func jsonOf(t testing.TB, text string) []byte {
	t.Helper()
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// mustCreate creates an object and answers what the API server made of it.
func mustCreate(t testing.TB, c *Clients, obj map[string]any) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: obj}
	client, _, err := c.clientFor(refOf(u))
	if err != nil {
		t.Fatal(err)
	}
	made, err := client.Create(within(t), u, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func refOf(u *unstructured.Unstructured) object.Ref {
	return object.Ref{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
}

func configMap(ns, name string, labels map[string]any, data map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": data,
		"metadata": map[string]any{"namespace": ns, "name": name, "labels": labels}}
}

// do performs operations that must succeed.
func do(t testing.TB, c *Clients, ops ...hook.Operation) {
	t.Helper()
	if err := c.Execute(within(t), ops); err != nil {
		t.Fatal(err)
	}
}

func mergePatch(kind, ns, name, patch string) hook.Operation {
	return hook.Operation{Verb: hook.MergePatch, Kind: kind, Namespace: ns, Name: name, Patch: []byte(patch)}
}

func deletion(kind, ns, name string) hook.Operation {
	return hook.Operation{Verb: hook.DeleteInBackground, Kind: kind, Namespace: ns, Name: name}
}

func filter(t testing.TB, program string) *hook.Filter {
	t.Helper()
	f, err := hook.CompileFilter(program)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// recorder is a handler that writes down what it gets, one line a call.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) handler() hook.WatchHandler {
	return hook.WatchHandler{
		Event: func(e hook.WatchEvent, i hook.Item) { r.add(string(e) + " " + string(i.FilterResult)) },
		Appeared: func() {
			r.add("appeared")
		},
		Failed: func(err error) { r.add(fmt.Sprint("failed ", err != nil)) },
	}
}

func (r *recorder) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// expect waits until the recorder holds exactly these lines.
func (r *recorder) expect(t testing.TB, lines ...string) {
	t.Helper()
	want := strings.Join(lines, "\n")
	testkit.Eventually(t, func() bool { return r.String() == want },
		func() string { return "want\n" + want + "\ngot\n" + r.String() })
}

func results(items []hook.Item) string {
	var all []string
	for _, i := range items {
		all = append(all, string(i.FilterResult))
	}
	return strings.Join(all, " ")
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, ok, func() string { return what })
}

var configMapResource = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

var getOptions = metav1.GetOptions{}

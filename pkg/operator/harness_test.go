package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// bed is a namespace of the shared cluster with an operator that can be started
// and stopped in it.
type bed struct {
	t         *testing.T
	ctx       context.Context
	Namespace string
	Dir       string // holds modules and global-hooks
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface
	Config    operator.Config
	log       *logBuffer
}

// newBed makes a namespace and a Config that suits tests: short patience, a port of its own.
func newBed(t *testing.T) *bed {
	t.Helper()
	rest := testkit.Cluster(t)
	b := &bed{t: t, ctx: t.Context(), Dir: t.TempDir(), log: &logBuffer{}}
	var err error
	if b.Client, err = kubernetes.NewForConfig(rest); err != nil {
		t.Fatal(err)
	}
	if b.Dynamic, err = dynamic.NewForConfig(rest); err != nil {
		t.Fatal(err)
	}
	ns, err := b.Client.CoreV1().Namespaces().Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "op-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.Namespace = ns.Name
	// The path of a unix socket must be short.
	sockets, err := os.MkdirTemp("", "ao")
	if err != nil {
		t.Fatal(err)
	}
	b.Config = operator.Defaults()
	b.Config.KubeConfig = testkit.Shared(t).Kubeconfig
	b.Config.Namespace = b.Namespace
	b.Config.ModulesDir = filepath.Join(b.Dir, "modules")
	b.Config.GlobalHooksDir = filepath.Join(b.Dir, "global-hooks")
	b.Config.TempDir = filepath.Join(b.Dir, "tmp")
	b.Config.ListenAddress = "127.0.0.1:0"
	b.Config.DebugSocket = filepath.Join(sockets, "s")
	b.Config.OrderPatience = 2 * time.Second
	b.Config.ShutdownGrace = 2 * time.Second
	b.Config.Logger = slog.New(slog.NewTextHandler(b.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the operator:\n%s", b.log.tail(20000))
		}
		_ = os.RemoveAll(sockets)
		ctx := context.Background()
		_ = b.Client.CoreV1().Namespaces().Delete(ctx, b.Namespace, metav1.DeleteOptions{})
		_ = b.Dynamic.Resource(report.Resource).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
	})
	return b
}

// start runs the operator until stop is called.
func (b *bed) start() (stop func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- operator.Run(ctx, b.Config) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					b.t.Errorf("operator: %v", err)
				}
			case <-time.After(time.Minute):
				b.t.Error("the operator did not stop within a minute")
			}
		})
	}
	b.t.Cleanup(stop)
	return stop
}

func (b *bed) eventually(ok func() bool, what string, args ...any) {
	b.t.Helper()
	testkit.Eventually(b.t, ok, func() string { return fmt.Sprintf(what, args...) })
}

// module is the status of a Module resource; empty when there is none.
func (b *bed) module(name string) map[string]any {
	obj, err := b.Dynamic.Resource(report.Resource).Get(b.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	st, _, _ := unstructured.NestedMap(obj.Object, "status")
	return st
}

// condition is "status reason message" of a condition of a module.
func (b *bed) condition(module, typ string) string {
	list, _, _ := unstructured.NestedSlice(map[string]any{"status": b.module(module)}, "status", "conditions")
	for _, e := range list {
		if c, ok := e.(map[string]any); ok && c["type"] == typ {
			return fmt.Sprintf("%s %s %s", c["status"], c["reason"], c["message"])
		}
	}
	return ""
}

func (b *bed) ready(modules ...string) {
	b.t.Helper()
	for _, m := range modules {
		b.eventually(func() bool { return strings.HasPrefix(b.condition(m, "Ready"), "True") }, "module %s is Ready", m)
	}
}

// revision is the newest revision of a release, 0 without one.
func (b *bed) revision(release string) int {
	list, err := b.Client.CoreV1().Secrets(b.Namespace).List(b.ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + release})
	if err != nil {
		b.t.Fatal(err)
	}
	newest := 0
	for _, s := range list.Items {
		var n int
		if _, err := fmt.Sscan(s.Labels["version"], &n); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

// fact sets the fact that synthetic modules show.
func (b *bed) fact(value string) {
	b.t.Helper()
	_, err := b.Client.CoreV1().Namespaces().Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testkit.FactNamespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		b.t.Fatal(err)
	}
	b.configMap(testkit.FactNamespace, testkit.FactName, map[string]string{"fact": value})
}

// settings writes the user's ConfigMap as a user would.
func (b *bed) settings(data map[string]string) {
	b.t.Helper()
	b.configMap(b.Namespace, b.Config.ConfigMap, data)
}

func (b *bed) configMap(namespace, name string, data map[string]string) {
	b.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data}
	_, err := b.Client.CoreV1().ConfigMaps(namespace).Create(b.ctx, cm, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = b.Client.CoreV1().ConfigMaps(namespace).Update(b.ctx, cm, metav1.UpdateOptions{})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// shows says whether a ConfigMap of the bed has a value.
func (b *bed) shows(name, key, value string) bool {
	cm, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Get(b.ctx, name, metav1.GetOptions{})
	return err == nil && cm.Data[key] == value
}

// write makes a file of the bed's directory.
func (b *bed) write(path string, mode os.FileMode, text string) {
	b.t.Helper()
	full := filepath.Join(b.Dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), mode); err != nil {
		b.t.Fatal(err)
	}
}

func pretty(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// logBuffer keeps what the operator logs.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logBuffer) tail(n int) string {
	s := l.String()
	return s[max(0, len(s)-n):]
}

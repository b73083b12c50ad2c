package operator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
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
	"k8s.io/apimachinery/pkg/types"
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
// Beds share a cluster; Modules are cluster-scoped, so every test has module names of its own.
func newBed(t *testing.T) *bed {
	t.Helper()
	return newBedOn(t, testkit.Shared(t))
}

// newBedOn is newBed on a cluster of the test's own.
func newBedOn(t *testing.T, cluster *testkit.LocalCluster) *bed {
	t.Helper()
	rest := cluster.Config(t)
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
	b.Config.KubeConfig = cluster.Kubeconfig
	b.Config.Namespace = b.Namespace
	b.Config.ModulesDir = filepath.Join(b.Dir, "modules")
	b.Config.GlobalHooksDir = filepath.Join(b.Dir, "global-hooks")
	b.Config.TempDir = filepath.Join(b.Dir, "tmp")
	b.Config.CacheDir = filepath.Join(b.Dir, "cache")
	b.Config.ListenAddress = freePort(t)
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
		for _, m := range b.modules() {
			_ = b.Dynamic.Resource(report.Resource).Delete(ctx, m, metav1.DeleteOptions{})
		}
	})
	if err := os.MkdirAll(filepath.Join(b.Dir, "global-hooks", "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(b.Config.ModulesDir, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

// modules are the names of the modules on disk.
func (b *bed) modules() (names []string) {
	entries, _ := os.ReadDir(b.Config.ModulesDir)
	for _, e := range entries {
		if _, name, ok := strings.Cut(e.Name(), "-"); ok && e.IsDir() {
			names = append(names, name)
		}
	}
	return names
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

// files writes files of the bed's directory; hooks and enabled scripts are executable.
func (b *bed) files(texts map[string]string) {
	b.t.Helper()
	for path, text := range texts {
		mode := os.FileMode(0o644)
		if strings.Contains(path, "/hooks/") || filepath.Base(path) == "enabled" {
			mode = 0o755
		}
		b.write(path, mode, text)
	}
}

// chart writes a module in the directory NNN-name whose chart has these templates.
func (b *bed) chart(dir, templates string) {
	b.t.Helper()
	_, name, _ := strings.Cut(dir, "-")
	b.files(map[string]string{
		"modules/" + dir + "/Chart.yaml":         "apiVersion: v2\nname: " + name + "\nversion: 0.0.1\n",
		"modules/" + dir + "/templates/all.yaml": templates,
	})
}

// shown is the template of a ConfigMap in the release's namespace; pairs are keys and what they show.
func shown(name string, pairs ...string) string {
	text := "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: {{ .Release.Namespace }}}\ndata:\n"
	for i := 0; i+1 < len(pairs); i += 2 {
		text += "  " + pairs[i] + ": " + pairs[i+1] + "\n"
	}
	return text
}

// script is a hook: what it answers to --config and what it does otherwise.
func script(config, body string) string {
	return "#!/usr/bin/env bash\nset -euo pipefail\nif [[ ${1:-} == --config ]]; then\ncat <<'YAML'\nconfigVersion: v1\n" + config +
		"\nYAML\nexit 0\nfi\n" + body + "\n"
}

// edit changes the user's ConfigMap; an empty value removes a key.
func (b *bed) edit(pairs ...string) {
	b.t.Helper()
	data := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		data[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			data[pairs[i]] = nil
		}
	}
	body, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = b.Client.CoreV1().ConfigMaps(b.Namespace).Patch(b.ctx, b.Config.ConfigMap, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
}

// setting is the text of a key of the user's ConfigMap.
func (b *bed) setting(key string) string {
	b.t.Helper()
	cm, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Get(b.ctx, b.Config.ConfigMap, metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return cm.Data[key]
}

// exists says whether there is a ConfigMap of a name in the bed's namespace.
func (b *bed) exists(name string) bool {
	_, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Get(b.ctx, name, metav1.GetOptions{})
	return err == nil
}

// event says whether there is an Event on a Module, or on the ConfigMap of the
// bed, with a reason and a text in its message.
func (b *bed) event(object, reason, text string) bool {
	namespace := metav1.NamespaceDefault // of Events on what is cluster-scoped
	if object == b.Config.ConfigMap {
		namespace = b.Namespace
	}
	list, err := b.Client.CoreV1().Events(namespace).List(b.ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + object})
	if err != nil {
		return false
	}
	for _, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// wants waits for a condition of a module to begin with a text such as "False ConfigInvalid" and to contain others.
func (b *bed) wants(module, condition, prefix string, contains ...string) {
	b.t.Helper()
	testkit.Eventually(b.t, func() bool {
		c := b.condition(module, condition)
		for _, text := range contains {
			if !strings.Contains(c, text) {
				return false
			}
		}
		return strings.HasPrefix(c, prefix)
	}, func() string {
		return fmt.Sprintf("%s of %s is %q with %q; it is %q", condition, module, prefix, contains, b.condition(module, condition))
	})
}

// revisions are the newest revisions of releases.
func (b *bed) revisions(releases ...string) map[string]int {
	b.t.Helper()
	out := map[string]int{}
	for _, r := range releases {
		out[r] = b.revision(r)
	}
	return out
}

// sameRevisions fails the test when a release has another newest revision.
func (b *bed) sameRevisions(want map[string]int) {
	b.t.Helper()
	for release, revision := range want {
		if got := b.revision(release); got != revision {
			b.t.Errorf("release %s has revision %d, expected %d", release, got, revision)
		}
	}
}

// converged waits until the operator's /readyz says so and nothing is unsettled.
func (b *bed) converged() {
	b.t.Helper()
	b.eventually(func() bool { return strings.Contains(b.status(), "CONVERGE_WAIT_TASK") }, "the operator has converged")
}

// status is /status/converge of the running operator.
func (b *bed) status() string { return b.get("/status/converge") }

// get is the body of a page of the operator's port, "" while there is none.
func (b *bed) get(path string) string {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.Config.ListenAddress+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// freePort is an address on loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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

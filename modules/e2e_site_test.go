package modules_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// Names in deploy/.
const home, settingsName = "addon-operator", "addon-operator"

// modulesOn are the modules that deploy/configmap.yaml switches on, by weight.
var modulesOn = []string{"cert-manager", "cert-manager-issuers", "prometheus", "ingress-nginx"}

// site is a cluster of its own with deploy/ applied, and the operator with the modules and global hooks of this
// repository, as a ServiceAccount with the rights of deploy/rbac.yaml.
type site struct {
	*testing.T
	ctx     context.Context
	cluster *testkit.LocalCluster
	client  kubernetes.Interface
	dynamic dynamic.Interface
	config  operator.Config
	log     *operatorLog
}

// newSite starts a cluster; without a file of nodes they are those of an AWS cluster.
func newSite(t *testing.T, nodes string) *site {
	t.Helper()
	root := testkit.Root()
	if _, err := os.Stat(filepath.Join(root, "bin", "discover-api")); err != nil && os.Getenv("DISCOVER_API_BIN") == "" {
		t.Fatalf("a global hook is not built: run `make build` first (%v)", err)
	}
	var args []string
	if nodes != "" {
		args = []string{"--nodes", filepath.Join(root, "testdata", "nodes", nodes)}
	}
	cluster, err := testkit.Start(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	s := &site{T: t, ctx: t.Context(), cluster: cluster, log: &operatorLog{}}
	admin := cluster.Config(t)
	admin.WarningHandler = rest.NoWarnings{}
	if s.client, err = kubernetes.NewForConfig(admin); err != nil {
		t.Fatal(err)
	}
	if s.dynamic, err = dynamic.NewForConfig(admin); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"namespace.yaml", "rbac.yaml", "configmap.yaml"} {
		s.kubectl("apply", "-f", filepath.Join(root, "deploy", file))
	}
	// The path of a unix socket has to be short.
	dir, err := os.MkdirTemp("", "ao")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.config = operator.Defaults()
	s.config.KubeConfig = s.operatorKubeconfig(filepath.Join(dir, "kubeconfig"))
	s.config.Namespace, s.config.ConfigMap = home, settingsName
	s.config.ModulesDir = filepath.Join(root, "modules")
	s.config.GlobalHooksDir = filepath.Join(root, "global-hooks")
	s.config.TempDir = filepath.Join(dir, "tmp")
	s.config.CacheDir = filepath.Join(dir, "cache")
	s.config.ListenAddress = unusedAddress(t)
	s.config.DebugSocket = filepath.Join(dir, "s")
	s.config.Logger = slog.New(slog.NewTextHandler(s.log, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the operator:\n%s", s.log)
		}
	})
	return s
}

// kubectl runs the kubectl of the local cluster.
func (s *site) kubectl(args ...string) {
	s.Helper()
	cmd := exec.CommandContext(s.ctx, filepath.Join(s.cluster.Dir, "bin", "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.cluster.Kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
}

// operatorKubeconfig writes a kubeconfig with a token of deploy/'s ServiceAccount and no other rights.
func (s *site) operatorKubeconfig(path string) string {
	s.Helper()
	token, err := s.client.CoreV1().ServiceAccounts(home).CreateToken(s.ctx, "addon-operator",
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		s.Fatal(err)
	}
	admin := s.cluster.Config(s)
	ca := admin.CAData
	if len(ca) == 0 {
		if ca, err = os.ReadFile(admin.CAFile); err != nil {
			s.Fatal(err)
		}
	}
	err = clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"local": {Server: admin.Host, CertificateAuthorityData: ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"operator": {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"local": {Cluster: "local", AuthInfo: "operator"}},
		CurrentContext: "local",
	}, path)
	if err != nil {
		s.Fatal(err)
	}
	return path
}

// start runs the operator until stop is called.
func (s *site) start() (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- operator.Run(ctx, s.config) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				s.Errorf("operator: %v", err)
			}
		case <-time.After(time.Minute):
			s.Error("the operator did not stop within a minute")
		}
	})
	s.Cleanup(stop)
	return stop
}

func (s *site) eventually(ok func() bool, what string, args ...any) {
	s.Helper()
	testkit.Eventually(s, ok, func() string { return fmt.Sprintf(what, args...) })
}

// edit changes keys of the user's ConfigMap at once; an empty text removes a key.
func (s *site) edit(keys map[string]string) {
	s.Helper()
	data := map[string]any{}
	for key, text := range keys {
		data[key] = text
		if text == "" {
			data[key] = nil
		}
	}
	body, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		s.Fatal(err)
	}
	_, err = s.client.CoreV1().ConfigMaps(home).Patch(s.ctx, settingsName, types.MergePatchType, body, metav1.PatchOptions{})
	if err != nil {
		s.Fatal(err)
	}
}

// condition is "status reason message" of a condition of a Module, "" without it.
func (s *site) condition(module, typ string) string {
	obj, err := s.dynamic.Resource(report.Resource).Get(s.ctx, module, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	all, _, _ := unstructured.NestedSlice(obj.Object, "status", "conditions")
	for _, e := range all {
		if c, ok := e.(map[string]any); ok && c["type"] == typ {
			return fmt.Sprintf("%s %s %s", c["status"], c["reason"], c["message"])
		}
	}
	return ""
}

// phase is the PHASE column of a Module.
func (s *site) phase(module string) string {
	obj, err := s.dynamic.Resource(report.Resource).Get(s.ctx, module, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	phase, _, _ := unstructured.NestedString(obj.Object, "status", "phase")
	return phase
}

func (s *site) ready(modules ...string) {
	s.Helper()
	for _, m := range modules {
		s.eventually(func() bool { return strings.HasPrefix(s.condition(m, "Ready"), "True") }, "module %s is Ready", m)
	}
}

// settled waits until the operator has attempted everything (/status/converge) and the modules are Ready.
func (s *site) settled(modules ...string) {
	s.Helper()
	s.eventually(func() bool { return strings.Contains(s.get("/status/converge"), "CONVERGE_WAIT_TASK") }, "the operator has converged")
	s.ready(modules...)
}

// get is a page of the operator's HTTP port, "" while there is none.
func (s *site) get(path string) string {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.config.ListenAddress+path, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Close = true
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

// ask is an answer of the operator's debug socket, "" while there is none.
func (s *site) ask(path string) string {
	body, err := web.Ask(s.ctx, s.config.DebugSocket, path)
	if err != nil {
		return ""
	}
	return string(body)
}

// fact is a value of the global section as the operator has it now.
func (s *site) fact(path ...string) any {
	var all map[string]any
	if json.Unmarshal([]byte(s.ask("/global/values.json")), &all) != nil {
		return nil
	}
	v, _, _ := unstructured.NestedFieldNoCopy(all, append([]string{"global", "discovery"}, path...)...)
	return v
}

// revisions are the newest revisions of all releases.
func (s *site) revisions() map[string]int {
	s.Helper()
	records, err := s.client.CoreV1().Secrets(home).List(s.ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]int{}
	for _, r := range records.Items {
		var n int
		if _, err := fmt.Sscan(r.Labels["version"], &n); err == nil {
			out[r.Labels["name"]] = max(out[r.Labels["name"]], n)
		}
	}
	return out
}

// wantRevisions waits until the modules are settled and fails the test when the releases have other revisions.
func (s *site) wantRevisions(want map[string]int) {
	s.Helper()
	modules := make([]string, 0, len(want))
	for m := range want {
		modules = append(modules, m)
	}
	s.eventually(func() bool { return atLeast(s.revisions(), want) }, "revisions %v", want)
	s.settled(modules...)
	if got := s.revisions(); !maps.Equal(got, want) {
		s.Errorf("releases have revisions %v, expected %v", got, want)
	}
}

func atLeast(have, want map[string]int) bool {
	for m, n := range want {
		if have[m] < n {
			return false
		}
	}
	return true
}

// more is revisions in which some modules have one more.
func more(revisions map[string]int, modules ...string) map[string]int {
	out := maps.Clone(revisions)
	for _, m := range modules {
		out[m]++
	}
	return out
}

// event says whether there is a Warning on a Module, or on the user's ConfigMap when module is "", with a text in it.
func (s *site) event(module, reason, text string) bool {
	namespace, name := metav1.NamespaceDefault, module // Events on what is cluster-scoped are there
	if module == "" {
		namespace, name = home, settingsName
	}
	list, err := s.client.CoreV1().Events(namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + name})
	if err != nil {
		return false
	}
	for _, e := range list.Items {
		if e.Type == corev1.EventTypeWarning && e.Reason == reason && strings.Contains(e.Message, text) {
			return true
		}
	}
	return false
}

// running counts the pods of a component of a module that run.
func (s *site) running(module, component string) int {
	list, err := s.client.CoreV1().Pods("").List(s.ctx, metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/name=" + module + ",app.kubernetes.io/component=" + component})
	if err != nil {
		return -1
	}
	n := 0
	for _, pod := range list.Items {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func (s *site) label(node, key, value string) {
	s.Helper()
	body := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, key, value)
	if _, err := s.client.CoreV1().Nodes().Patch(s.ctx, node, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
		s.Fatal(err)
	}
}

// namespaceGone says whether a namespace is not there.
func (s *site) namespaceGone(name string) bool {
	_, err := s.client.CoreV1().Namespaces().Get(s.ctx, name, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// unusedAddress is one on loopback that nobody listens on.
func unusedAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// operatorLog keeps what the operator logs.
type operatorLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *operatorLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *operatorLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const contexts = `[{"binding":"nodes","type":"Group","groupName":"api","snapshots":{
  "api-servers":[{"filterResult":"apiserver-1_x"}],
  "api-services":[
    {"filterResult":{"group":"","version":"v1","aggregated":false,"available":true}},
    {"filterResult":{"group":"metrics.k8s.io","version":"v1beta1","aggregated":true,"available":true}},
    {"filterResult":{"group":"gone.example.com","version":"v1","aggregated":true,"available":false}}],
  "crds":[{"filterResult":{"group":"example.com","kind":"Thing","versions":["v1"],"established":true}}],
  "nodes":[{"filterResult":{"imitated":false,"marks":["kubernetes.azure.com/cluster"]}}]}},
  {"binding":"every-day","type":"Schedule"}]`

const valuesBefore = `{"global":{"discovery":{"apiVersions":["gone.example.com/v1","gone.example.com/v1/Kept","old.example.com/v1"]}}}`

// apiServer answers discovery requests as a server without aggregated discovery documents does, and 503 for unknown paths, as
// for an aggregated API whose backend is down.
func apiServer(t *testing.T) string {
	t.Helper()
	list := func(gv string, resources ...metav1.APIResource) *metav1.APIResourceList {
		return &metav1.APIResourceList{GroupVersion: gv, APIResources: resources}
	}
	group := func(name, v string) metav1.APIGroup {
		gv := metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v}
		return metav1.APIGroup{Name: name, Versions: []metav1.GroupVersionForDiscovery{gv}, PreferredVersion: gv}
	}
	answers := map[string]any{
		"/version": apiversion.Info{GitVersion: "v1.33.1"},
		"/api":     metav1.APIVersions{Versions: []string{"v1"}},
		"/api/v1":  list("v1", metav1.APIResource{Name: "pods", Kind: "Pod"}, metav1.APIResource{Name: "pods/eviction", Kind: "Eviction"}),
		"/apis": metav1.APIGroupList{Groups: []metav1.APIGroup{
			group("metrics.k8s.io", "v1beta1"), group("gone.example.com", "v1"), group("example.com", "v1"),
		}},
		"/apis/metrics.k8s.io/v1beta1": list("metrics.k8s.io/v1beta1", metav1.APIResource{Name: "pods", Kind: "PodMetrics"}),
		"/apis/example.com/v1":         list("example.com/v1", metav1.APIResource{Name: "stale", Kind: "Stale"}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		w.Header().Set("Content-Type", "application/json")
		if !known {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// hookEnv makes the files of a run; KUBECONFIG, which client-go reads itself, is set for the process.
func hookEnv(t *testing.T, server, contexts, values string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{Server: server}
	config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "c"
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)
	env := map[string]string{}
	for name, text := range map[string]string{
		"BINDING_CONTEXT_PATH": contexts, "VALUES_PATH": values, "VALUES_JSON_PATCH_PATH": "",
	} {
		env[name] = filepath.Join(dir, name)
		if err := os.WriteFile(env[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

func execute(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	return sdk.Execute(ctx, discoverAPI(), args, getenv, stdout)
}

func TestRunStatesTheFacts(t *testing.T) {
	env := hookEnv(t, apiServer(t), contexts, valuesBefore)
	if err := execute(t.Context(), nil, func(k string) string { return env[k] }, nil); err != nil {
		t.Fatal(err)
	}
	patch, err := os.ReadFile(env["VALUES_JSON_PATCH_PATH"])
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"op":"add","path":"/global/discovery/apiVersions","value":["example.com/v1","example.com/v1/Thing",` +
		`"gone.example.com/v1","gone.example.com/v1/Kept","metrics.k8s.io/v1beta1","metrics.k8s.io/v1beta1/PodMetrics","v1","v1/Pod"]},` +
		`{"op":"add","path":"/global/discovery/kubernetes","value":{"version":"1.33.1","distribution":"aks"}}]` + "\n"
	if diff := cmp.Diff(want, string(patch)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestConfigIsPrintedWithoutEnvironment: C-020, C-021.
func TestConfigIsPrintedWithoutEnvironment(t *testing.T) {
	var out bytes.Buffer
	if err := execute(t.Context(), []string{"--config"}, func(string) string { return "" }, &out); err != nil {
		t.Fatal(err)
	}
	spec, err := hook.ParseConfig(out.Bytes(), hook.Global)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range spec.Kubernetes {
		names = append(names, b.Name)
	}
	if diff := cmp.Diff([]string{"api-servers", "api-services", "crds", "nodes"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestARunThatCannotKnowFails: a failing run changes no fact (C-108).
func TestARunThatCannotKnowFails(t *testing.T) {
	tests := map[string]struct{ server, contexts, values, wants string }{
		"no contexts":     {"", "[]", "{}", "none of the 0 binding contexts has snapshots"},
		"cut off":         {"", `[{"snapshots"`, "{}", "BINDING_CONTEXT_PATH"},
		"empty values":    {"", contexts, "", "VALUES_PATH"},
		"no API server":   {"http://127.0.0.1:1", contexts, "{}", "ask the API server for its version"},
		"no variable set": {"", "", "", "is not set"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			env := hookEnv(t, test.server, test.contexts, test.values)
			if name == "no variable set" {
				env["BINDING_CONTEXT_PATH"] = ""
			}
			err := execute(t.Context(), nil, func(k string) string { return env[k] }, nil)
			if err == nil || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("error is %v, want one with %q", err, test.wants)
			}
			if patch, _ := os.ReadFile(env["VALUES_JSON_PATCH_PATH"]); len(patch) > 0 {
				t.Errorf("a failed run wrote %s", patch)
			}
		})
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	env := hookEnv(t, apiServer(t), contexts, valuesBefore)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := execute(ctx, nil, func(k string) string { return env[k] }, nil); err == nil {
		t.Error("a run with an ended context succeeded")
	}
}

package hooktest

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// A hook sees the objects of a cluster as it does in the operator; nothing is done before Apply.
func TestAHookOnACluster(t *testing.T) {
	clients, err := kube.NewClients(testkit.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.HTTP.CloseIdleConnections)
	cluster := NewCluster(clients, slog.New(slog.DiscardHandler))
	create(t, clients, "v1", "namespaces", "", Object{"apiVersion": "v1", "kind": "Namespace", "metadata": Object{"name": "desk"}})
	create(t, clients, "v1", "configmaps", "desk", Object{"apiVersion": "v1", "kind": "ConfigMap", "metadata": Object{"name": "a", "namespace": "desk"}, "data": Object{"k": "1"}})
	root := tree(t, map[string]string{"hooks/x.sh": hookText(`configVersion: v1
kubernetes:
  - {name: maps, kind: ConfigMap, namespace: {nameSelector: {matchNames: [desk]}}, nameSelector: {matchNames: [a]}, jqFilter: .data.k, keepFullObjectsInMemory: false}
  - {name: absent, apiVersion: example.com/v1, kind: Thing}`,
		`cat >"$KUBERNETES_PATCH_PATH" <<'J'
{"operation":"MergePatch","kind":"ConfigMap","namespace":"desk","name":"a","mergePatch":{"data":{"k":"2"}}}
{"operation":"Create","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"b","namespace":"desk"}}}
{"operation":"Create","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"desk"}}}
{"operation":"CreateOrUpdate","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"desk"},"spec":{"selector":{"a":"b"},"ports":[{"port":80}]}}}
{"operation":"Create","object":{"apiVersion":"v1","kind":"Service","metadata":{"name":"bad","namespace":"desk"},"spec":{"ports":[{"port":-1}]}}}
{"operation":"Delete","apiVersion":"example.com/v1","kind":"Thing","name":"x"}
J`)})
	s := Scene{Hook: filepath.Join(root, "hooks/x.sh"), Cluster: cluster}
	if s.Place, err = Locate(s.Hook, nil); err != nil {
		t.Fatal(err)
	}
	r, err := desk(t).Run(t.Context(), s)
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	want := `[{"binding":"maps","type":"Synchronization","objects":[{"filterResult":"1"}]}] [{"binding":"absent","type":"Synchronization","objects":[]}]`
	if got := string(r.Steps[0].Contexts) + " " + string(r.Steps[1].Contexts); got != want {
		t.Errorf("contexts are\n%s\nwant\n%s", got, want)
	}
	var b bytes.Buffer
	r.Write(&b, Show{Live: func(op hook.Operation) (Object, error) { return cluster.Live(t.Context(), op) },
		DryRun: func(op hook.Operation, before, after Object) (Object, error) {
			return cluster.DryRun(t.Context(), op, before, after)
		}})
	for _, part := range []string{"-  k: \"1\"\n+  k: \"2\"\n", "+  name: b\n", "+  sessionAffinity: None\n", "bad\" is invalid", "# would fail: the object exists", "# would fail: the cluster serves no kind example.com/v1 Thing"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%q is not shown:\n%s", part, &b)
		}
	}
	if got := data(t, clients, "a"); got != "1" {
		t.Errorf("a run changed the object: k is %q", got)
	}
	if err := cluster.Apply(t.Context(), r.Operations[:2]); err != nil {
		t.Fatal(err)
	}
	if got := data(t, clients, "a"); got != "2" {
		t.Errorf("after Apply k is %q, want 2", got)
	}
}

func create(t *testing.T, c *kube.Clients, version, resource, namespace string, o Object) {
	t.Helper()
	gvr := schema.GroupVersionResource{Version: version, Resource: resource}
	if _, err := c.Dynamic.Resource(gvr).Namespace(namespace).Create(t.Context(), &unstructured.Unstructured{Object: o}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func data(t *testing.T, c *kube.Clients, name string) string {
	t.Helper()
	u, err := c.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace("desk").Get(context.WithoutCancel(t.Context()), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := unstructured.NestedString(u.Object, "data", "k")
	return text
}

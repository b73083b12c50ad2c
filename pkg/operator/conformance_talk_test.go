package operator_test

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The hooks that everybody writes first, in hooks-only mode with kubectl on PATH:
// those of testdata/conformance/talk. Not parallel to others: two of them look at all namespaces.
//
//nolint:paralleltest // see above
func TestHooksOfTheTalkRunWithoutModules(t *testing.T) {
	c := newConformance(t, "talk")
	t.Setenv("PATH", filepath.Join(c.cluster.Dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	c.withoutModules("talk")
	c.namespace("talk", nil)
	c.versions("talk.example.com", "alarms", "Alarm", "v1alpha1", "v1")
	copied := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "talk", Name: "registry", Labels: map[string]string{"secret-copier": "yes"}},
		Data: map[string][]byte{"password": []byte("open sesame")}}
	if _, err := c.Client.CoreV1().Secrets("talk").Create(c.ctx, copied, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.eventually(func() bool { return c.get("/readyz") != "" && c.data("talk", "heartbeat") != nil }, "the hooks have started")
	for _, part := range []struct {
		name string
		do   func(*conformance)
	}{
		{"C-070, C-072, C-074, C-129: a v0 hook puts a Secret into each new namespace", func(c *conformance) {
			c.namespace("talk-new", map[string]string{"talk": "yes"})
			c.eventually(func() bool { return c.secret("talk-new", "greeting", "to") == "talk-new" }, "the Secret is made")
			if c.secret("talk", "greeting", "to") != "" {
				c.t.Error("a namespace that existed at the start got one")
			}
		}},
		{"C-041: a schedule with six fields", func(c *conformance) {
			first := c.data("talk", "heartbeat")["beats"]
			c.eventually(func() bool { return c.data("talk", "heartbeat")["beats"] != first }, "it beats")
		}},
		{"C-053, C-125, C-202: a copier of Secrets", func(c *conformance) {
			for _, ns := range []string{metav1.NamespaceDefault, "talk-new"} {
				c.eventually(func() bool { return c.secret(ns, "registry", "password") == "open sesame" }, "the Secret is copied to %s", ns)
			}
			copied.Data["password"] = []byte("changed")
			if _, err := c.Client.CoreV1().Secrets("talk").Update(c.ctx, copied, metav1.UpdateOptions{}); err != nil {
				c.t.Fatal(err)
			}
			c.eventually(func() bool { return c.secret("talk-new", "registry", "password") == "changed" }, "the change is copied")
		}},
		{"C-060, C-126, C-246: a validating and a mutating webhook", func(c *conformance) {
			pod := func(name, image string) error {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "talk-new", Name: name},
					Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: image}}}}
				made, err := c.Client.CoreV1().Pods("talk-new").Create(c.ctx, p, metav1.CreateOptions{})
				if err == nil && made.Labels["made-by"] == "" {
					c.t.Error("the pod has no label of who made it")
				}
				return err
			}
			c.eventually(func() bool {
				_, err := c.Client.CoreV1().ServiceAccounts("talk-new").Get(c.ctx, "default", metav1.GetOptions{})
				return err == nil // pods need it
			}, "the namespace has its service account")
			c.denied(pod("bad", "elsewhere.example.com/app:1"), 403, "not from registry.example.com: elsewhere.example.com/app:1")
			if err := pod("good", "registry.example.com/app:1"); err != nil {
				c.t.Error(err)
			}
		}},
		{"C-064, C-127, C-256, C-257, C-258: a conversion webhook", func(c *conformance) {
			const group = "talk.example.com"
			c.eventually(func() bool {
				crd, err := c.Dynamic.Resource(crds).Get(c.ctx, "alarms."+group, metav1.GetOptions{})
				strategy, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy")
				return err == nil && strategy == "Webhook"
			}, "the CRD points at the operator")
			spec := map[string]any{"schedule": "5 4"}
			c.eventually(func() bool {
				err := c.made(group, "v1alpha1", "alarms", "Alarm", "talk", "dry", map[string]any{"schedule": "no"}, metav1.DryRunAll)
				return err != nil // it asks the hook, which cannot convert this
			}, "the API server asks for conversions")
			if err := c.made(group, "v1alpha1", "alarms", "Alarm", "talk", "early", spec); err != nil {
				c.t.Fatal(err)
			}
			c.same("v1", c.spec(group, "v1", "alarms", "talk", "early"), `{"minute": 5, "hour": 4}`)
			c.same("v1alpha1", c.spec(group, "v1alpha1", "alarms", "talk", "early"), `{"schedule": "5 4"}`)
		}},
	} {
		t.Run(part.name, func(t *testing.T) { part.do(c.on(t)) })
	}
	for _, ns := range []string{"talk", "talk-new"} {
		if err := c.Client.CoreV1().Namespaces().Delete(c.ctx, ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	}
}

// secret is a value in a Secret, "" when there is none.
func (c *conformance) secret(namespace, name, key string) string {
	s, err := c.Client.CoreV1().Secrets(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return string(s.Data[key])
}

package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// account makes a ServiceAccount of the operator's namespace that may do everything in a namespace, which is made too.
func (b *bed) account(name, namespace string) {
	b.t.Helper()
	_, err := b.Client.CoreV1().Namespaces().Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	b.must(err)
	_, err = b.Client.CoreV1().ServiceAccounts(b.Namespace).Create(b.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	b.must(err)
	_, err = b.Client.RbacV1().Roles(namespace).Create(b.ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	b.must(err)
	_, err = b.Client.RbacV1().RoleBindings(namespace).Create(b.ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: b.Namespace}}}, metav1.CreateOptions{})
	b.must(err)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:" + b.Namespace + ":" + name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "create", Resource: "configmaps"}}}
	b.eventually(func() bool {
		got, err := b.Client.AuthorizationV1().SubjectAccessReviews().Create(b.ctx, review, metav1.CreateOptions{})
		return err == nil && got.Status.Allowed
	}, "the rights of %s are in force", name)
}

func (b *bed) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// configMapKey says whether there is a ConfigMap, and what it has at a key.
func (b *bed) configMapKey(namespace, name, key string) (string, bool) {
	b.t.Helper()
	cm, err := b.Client.CoreV1().ConfigMaps(namespace).Get(b.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", false
	}
	b.must(err)
	return cm.Data[key], true
}

// actingModule has an object and a hook at home, and on demand ones in kube-system.
func (b *bed) actingModule(name, home string) {
	cm := func(namespace, name string) string {
		return "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: " + namespace + "}\ndata: {k: v}\n"
	}
	b.chart("100-"+name, cm(home, name)+"{{ if .Values."+name+".far }}\n"+cm("kube-system", name+"-chart")+"{{ end }}\n")
	create := func(namespace, name, data string) string {
		return `jq -n --arg s "$said" '{operation: "CreateOrUpdate", object: {apiVersion: "v1", kind: "ConfigMap", metadata: {name: "` + name +
			`", namespace: "` + namespace + `"}, data: {said: $s, k: ` + data + `}}}' >> "$KUBERNETES_PATCH_PATH"`
	}
	b.files(map[string]string{
		"modules/100-" + name + "/module.yaml": "namespace: " + home + "\n",
		"modules/100-" + name + "/values.yaml": name + ": {far: false, watch: false, operation: false}\n",
		"modules/100-" + name + "/enabled":     "#!/usr/bin/env bash\nkubectl get configmaps -n " + home + " > /dev/null && echo true > \"$MODULE_ENABLED_RESULT\"\n",
		"modules/100-" + name + "/hooks/do.sh": script("beforeHelm: 1", `
said=$(kubectl get configmaps -n kube-system 2>&1 >/dev/null) || true
`+create(home, name+"-hook", `"v"`)+`
if [[ $(jq .`+name+`.operation "$VALUES_PATH") == true ]]; then `+create("kube-system", name+"-hook", `"v"`)+`; fi`),
	})
}

// A module with a ServiceAccount does at home what it likes and nothing elsewhere, whichever
// way it tries; the same module without one may.
func TestAModuleOfASourceActsAsItsServiceAccount(t *testing.T) {
	b := newBed(t)
	const name = "acta"
	home := b.Namespace + "-home"
	t.Setenv("PATH", filepath.Join(testkit.Shared(t).Dir, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	b.account(name, home)
	b.actingModule(name, home)
	t.Cleanup(func() {
		for _, cm := range []string{name + "-chart", name + "-hook"} {
			_ = b.Client.CoreV1().ConfigMaps("kube-system").Delete(b.ctx, cm, metav1.DeleteOptions{})
		}
	})
	b.settings(map[string]string{name + "Enabled": "true"})
	b.Config.ActAs(name, name)
	stop := b.start()
	b.ready(name)
	if said, _ := b.configMapKey(home, name+"-hook", "said"); !strings.Contains(said, "system:serviceaccount:"+b.Namespace+":"+name) || !strings.Contains(said, "cannot list") {
		t.Errorf("the hook's kubectl in kube-system: %q", said)
	}
	who := "ServiceAccount " + b.Namespace + "/" + name
	before := b.revisions(name)
	b.edit(name, "far: true")
	b.wants(name, "Ready", "False ApplyFailed", who, "kube-system", "bind it a Role")
	b.sameRevisions(before)
	b.edit(name, "operation: true")
	b.wants(name, "Ready", "False HookFailed", who, `cannot create resource "configmaps"`, "kube-system")
	b.write("modules/100-"+name+"/hooks/watch.sh", 0o755, script("kubernetes: [{name: far, apiVersion: v1, kind: ConfigMap, namespace: {nameSelector: {matchNames: [kube-system]}}}]", ""))
	b.edit(name, "")
	b.wants(name, "Ready", "False HookFailed", who, `cannot list resource "configmaps"`)
	b.write("modules/100-"+name+"/hooks/watch.sh", 0o755, strings.ReplaceAll(policy("CREATE"), ".kinds", "."+name))
	b.wants(name, "Ready", "False HookFailed", who, "validatingwebhookconfigurations", "webhooks are not registered")
	for _, cm := range []string{name + "-chart", name + "-hook"} {
		if _, there := b.configMapKey("kube-system", cm, ""); there {
			t.Errorf("%s is in kube-system", cm)
		}
	}
	stop()

	b.write("modules/100-"+name+"/hooks/watch.sh", 0o755, script("kubernetes: [{name: far, apiVersion: v1, kind: ConfigMap, namespace: {nameSelector: {matchNames: [kube-system]}}}]", ""))
	b.edit(name, "{far: true, operation: true}")
	b.Config.ActAs(name, "")
	stop = b.start()
	b.eventually(func() bool { return b.revision(name) == before[name]+1 }, "the operator itself applies it")
	b.ready(name)
	for _, cm := range []string{name + "-chart", name + "-hook"} {
		if _, there := b.configMapKey("kube-system", cm, ""); !there {
			t.Errorf("%s is not in kube-system", cm)
		}
	}
	stop()
}

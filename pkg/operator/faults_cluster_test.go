package operator_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// The API server goes away in the middle of an upgrade, and the user edits the
// ConfigMap right after it is back. Not parallel: every test of the package talks to it.
func TestAnAPIServerThatGoesAwayInAnUpgradeLosesNothing(t *testing.T) { outage(t, 0) }

// outage stops the API server while modules are upgraded, for at least d and until
// the operator has noticed.
func outage(t *testing.T, d time.Duration) {
	b := newBed(t)
	const modules = 6
	flags := &strings.Builder{}
	names := make([]string, modules)
	for i := range names {
		name := fmt.Sprintf("outage%d", i)
		names[i] = name
		objects := ""
		for n := range 8 {
			objects += shown(fmt.Sprintf("%s-%d", name, n), "note", "{{ .Values."+name+".note | quote }}", "fact", "{{ .Values."+name+".fact | quote }}")
		}
		b.chart(fmt.Sprintf("%d-%s", 100+i/2, name), objects)
		b.files(map[string]string{
			fmt.Sprintf("modules/%d-%s/hooks/fact.sh", 100+i/2, name): script("beforeHelm: 1",
				`jq '[{op: "add", path: "/`+name+`/fact", value: .global.fact}]' "$VALUES_PATH" > "$VALUES_JSON_PATCH_PATH"`),
		})
		fmt.Fprintf(flags, "%sEnabled: true\n%s: {note: none}\n", name, name)
	}
	b.files(map[string]string{"modules/values.yaml": "global: {fact: none}\n" + flags.String(), "global-hooks/hooks/facts.sh": b.factsHook()})
	b.configMap(b.Namespace, "facts", map[string]string{"fact": "before"})
	b.settings(map[string]string{})
	b.start()
	b.ready(names...)
	b.converged()

	// In the middle: the first module shows the new fact, the last does not yet.
	b.configMap(b.Namespace, "facts", map[string]string{"fact": "after"})
	b.eventually(func() bool { return b.shows(names[0]+"-0", "fact", "after") }, "the upgrade is under way")
	before := len(b.log.String())
	testkit.StopAPIServer(t)
	b.eventually(func() bool { return strings.Contains(b.log.String()[before:], "connection refused") }, "the operator has noticed")
	if d > 0 {
		<-time.After(d)
	}
	testkit.StartAPIServer(t)
	b.edit(names[2], "note: edited\n")
	for i, name := range names {
		note := "none"
		if i == 2 {
			note = "edited"
		}
		for n := range 8 {
			object := fmt.Sprintf("%s-%d", name, n)
			b.eventually(func() bool { return b.shows(object, "fact", "after") && b.shows(object, "note", note) }, "%s shows the fact and note %s", object, note)
		}
		b.ready(name)
	}
	b.converged()
	b.noPending()
	b.oneDeployed(names...)
}

// oneDeployed fails the test unless exactly one revision of each release is deployed, the newest.
func (b *bed) oneDeployed(releases ...string) {
	b.t.Helper()
	for _, name := range releases {
		list, err := b.Client.CoreV1().Secrets(b.Namespace).List(b.ctx, metav1.ListOptions{LabelSelector: "owner=helm,status=deployed,name=" + name})
		if err != nil {
			b.t.Fatal(err)
		}
		if n := len(list.Items); n != 1 || version(list.Items[0]) != b.revision(name) {
			b.t.Errorf("%d revisions of release %s are deployed; expected the newest (%d) alone", n, name, b.revision(name))
		}
	}
}

// policy makes an admission policy for ConfigMaps and Secrets of the bed's namespace.
func (b *bed) policy(expression, message string) (remove func()) {
	b.t.Helper()
	name := b.Namespace + ".policies.example.com"
	fail, deny := admissionv1.Fail, admissionv1.Deny
	p := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		FailurePolicy: &fail,
		MatchConstraints: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.Namespace}},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps", "secrets"}}}}}},
		Validations: []admissionv1.Validation{{Expression: expression, Message: message}},
	}}
	policies, bindings := b.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies(), b.Client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	if _, err := policies.Create(b.ctx, p, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{deny}}}
	if _, err := bindings.Create(b.ctx, binding, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	remove = func() {
		ctx := context.Background()
		_ = bindings.Delete(ctx, name, metav1.DeleteOptions{})
		_ = policies.Delete(ctx, name, metav1.DeleteOptions{})
	}
	b.t.Cleanup(remove)
	return remove
}

// probe tries to create a ConfigMap, to see whether a policy is in force.
func (b *bed) probe(data map[string]string) error {
	_, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}, Data: data},
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// An admission policy refuses an object of an upgrade, then everything of a first
// install; status names object, policy and way out, and both are got over when it goes.
func TestAnAdmissionPolicyThatRejectsIsNamedAndGotOver(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	note := "{{ .Values.policed.note | quote }}"
	b.chart("100-policed", shown("policed-a", "note", note)+
		"---\napiVersion: v1\nkind: Secret\nmetadata: {name: policed-b, namespace: {{ .Release.Namespace }}}\nstringData: {note: "+note+"}\n")
	b.chart("200-policed-new", shown("policed-new", "note", "forbidden"))
	b.chart("300-unpoliced", shown("unpoliced", "note", "{{ .Values.unpoliced.note | quote }}"))
	b.files(map[string]string{"modules/values.yaml": "policed: {note: fine}\nunpoliced: {note: fine}\n"})
	b.settings(map[string]string{"policedEnabled": "true", "unpolicedEnabled": "true"})
	b.start()
	b.ready("policed", "unpoliced")

	remove := b.policy(`object.kind != "ConfigMap" || !has(object.data) || !("note" in object.data) || object.data.note != "forbidden"`, "notes must be allowed")
	b.eventually(func() bool { return b.probe(map[string]string{"note": "forbidden"}) != nil }, "the policy is in force")
	b.edit("policed", "note: forbidden\n", "policedNewEnabled", "true")
	for module, object := range map[string]string{"policed": "policed-a", "policed-new": "policed-new"} {
		b.wants(module, "Ready", "False ApplyFailed", "ConfigMap/"+b.Namespace+"/"+object, b.Namespace+".policies.example.com", "notes must be allowed", "exempt", "next try at")
		b.eventually(func() bool { return b.event(module, "ApplyFailed", "notes must be allowed") }, "an Event of %s names the policy's message", module)
	}
	if !b.shows("policed-a", "note", "fine") {
		t.Error("the refused object lost what it had")
	}
	b.edit("unpoliced", "note: later\n")
	b.eventually(func() bool { return b.shows("unpoliced", "note", "later") }, "others go on")
	b.ready("unpoliced")

	remove()
	b.eventually(func() bool { return b.probe(map[string]string{"note": "forbidden"}) == nil }, "the policy is gone")
	b.ready("policed", "policed-new")
	b.noPending()
	b.oneDeployed("policed", "policed-new")
	if !b.shows("policed-a", "note", "forbidden") || !b.shows("policed-new", "note", "forbidden") {
		t.Error("what was wanted is not there")
	}

	// It may refuse what the operator itself keeps: records of releases, and facts.
	remove = b.policy(`object.kind != "Secret" || object.type != "helm.sh/release.v1"`, "no releases here")
	b.eventually(func() bool {
		_, err := b.Client.CoreV1().Secrets(b.Namespace).Create(b.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}, Type: "helm.sh/release.v1"},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	}, "the policy is in force")
	b.edit("policed", "note: last\n")
	b.wants("policed", "Ready", "False ApplyFailed", "no releases here", "revision", "exempt")
	if !b.shows("policed-a", "note", "forbidden") {
		t.Error("objects were written without a record of them")
	}
	remove()
	b.eventually(func() bool { return b.shows("policed-a", "note", "last") }, "what was wanted is there")
	b.ready("policed")
	b.noPending()
	b.oneDeployed("policed")
}

// hold makes a ConfigMap with a foreign finalizer in a namespace and returns what lets it go.
func (b *bed) hold(namespace string) (release func()) {
	b.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "holder", Namespace: namespace, Finalizers: []string{"test.example.com/hold"}}}
	if _, err := b.Client.CoreV1().ConfigMaps(namespace).Create(b.ctx, cm, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	release = func() {
		_, _ = b.Client.CoreV1().ConfigMaps(namespace).Patch(context.Background(), "holder", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	}
	b.t.Cleanup(release)
	return release
}

// A namespace of a module is deleted under it and stuck: status names the object that
// holds it. Off and on again meanwhile, and a first install there, wait for it.
func TestANamespaceStuckInTerminatingIsExplainedAndGotOver(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	running, fresh := b.Namespace+"-running", b.Namespace+"-fresh"
	for module, ns := range map[string]string{"100-stuck": running, "200-stuck-new": fresh} {
		b.chart(module, shown("content", "is", "here"))
		b.files(map[string]string{"modules/" + module + "/module.yaml": "namespace: " + ns + "\n"})
	}
	namespaces := b.Client.CoreV1().Namespaces()
	if _, err := namespaces.Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fresh}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.settings(map[string]string{"stuckEnabled": "true"})
	b.start()
	b.ready("stuck")
	letRunning, letFresh := b.hold(running), b.hold(fresh)
	for _, ns := range []string{running, fresh} {
		if err := namespaces.Delete(b.ctx, ns, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = namespaces.Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	}
	held := func(module, ns string) {
		t.Helper()
		b.wants(module, "Ready", "False NamespaceTerminating", "namespace "+ns, "ConfigMap/holder", "test.example.com/hold", "remove")
		b.eventually(func() bool { return b.event(module, "NamespaceTerminating", "ConfigMap/holder") }, "an Event of %s names what holds the namespace", module)
	}
	// Running: its object is gone and cannot be brought back yet.
	held("stuck", running)
	// A first install.
	b.edit("stuckNewEnabled", "true")
	held("stuck-new", fresh)
	// Off and on again.
	b.edit("stuckEnabled", "false")
	b.wants("stuck", "Ready", "False Disabled")
	b.edit("stuckEnabled", "true")
	held("stuck", running)

	letRunning()
	letFresh()
	b.ready("stuck", "stuck-new")
	for _, ns := range []string{running, fresh} {
		if cm, err := b.Client.CoreV1().ConfigMaps(ns).Get(b.ctx, "content", metav1.GetOptions{}); err != nil || cm.Data["is"] != "here" {
			t.Errorf("the content of %s: %v", ns, err)
		}
	}
	b.noPending()
	b.oneDeployed("stuck", "stuck-new")

	// A namespace that goes at once is made anew with what was in it, without a revision.
	before := b.revisions("stuck")
	if err := namespaces.Delete(b.ctx, running, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool {
		ns, err := namespaces.Get(b.ctx, running, metav1.GetOptions{})
		if err != nil || ns.DeletionTimestamp != nil {
			return false
		}
		_, err = b.Client.CoreV1().ConfigMaps(running).Get(b.ctx, "content", metav1.GetOptions{})
		return err == nil
	}, "the namespace and its content are back")
	b.ready("stuck")
	b.sameRevisions(before)
}

// makeCRD creates a CRD of nobody's module.
func (b *bed) makeCRD(plural, kind string) {
	b.t.Helper()
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(crd(plural, kind)), &obj.Object); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.Dynamic.Resource(crds).Create(b.ctx, obj, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { b.removeCRD(plural) })
}

func (b *bed) removeCRD(plural string) {
	_ = b.Dynamic.Resource(crds).Delete(context.Background(), plural+".test.example.com", metav1.DeleteOptions{})
}

// CRDs go under modules that run: one that a module brings is restored, with the
// objects of its release; one of somebody else is named, and when it is back the objects
// are restored and the hook that watches them hears of new ones.
func TestACRDRemovedUnderARunningModuleIsRestoredOrNamed(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.makeCRD("foreignthings", "ForeignThing")
	object := func(kind, name string) string {
		return "---\napiVersion: test.example.com/v1\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: {{ .Release.Namespace }}}\nspec: {size: 1}\n"
	}
	b.chart("100-crd-owner", object("OwnedThing", "owned"))
	b.chart("200-crd-user", object("ForeignThing", "foreign"))
	b.chart("300-crd-watcher", shown("crd-watcher", "foreign", "{{ .Values.crdWatcher.foreign | quote }}", "owned", "{{ .Values.crdWatcher.owned | quote }}"))
	watch := func(kind, key string) string {
		return script("kubernetes:\n- {name: things, apiVersion: test.example.com/v1, kind: "+kind+", jqFilter: .metadata.name, includeSnapshotsFrom: [things], namespace: {nameSelector: {matchNames: ["+b.Namespace+"]}}}",
			`jq '[{op: "add", path: "/crdWatcher/`+key+`", value: ([.[-1].snapshots.things[] | .filterResult] | sort | join(","))}]' "$BINDING_CONTEXT_PATH" > "$VALUES_JSON_PATCH_PATH"`)
	}
	b.files(map[string]string{
		"modules/100-crd-owner/crds/owned.yaml":    crd("ownedthings", "OwnedThing"),
		"modules/values.yaml":                      "crdWatcher: {foreign: none, owned: none}\n",
		"modules/300-crd-watcher/hooks/foreign.sh": watch("ForeignThing", "foreign"),
		"modules/300-crd-watcher/hooks/owned.sh":   watch("OwnedThing", "owned"),
	})
	b.settings(map[string]string{"crdOwnerEnabled": "true", "crdUserEnabled": "true", "crdWatcherEnabled": "true"})
	t.Cleanup(func() { b.removeCRD("ownedthings") })
	b.start()
	b.ready("crd-owner", "crd-user", "crd-watcher")
	b.eventually(func() bool {
		return b.shows("crd-watcher", "foreign", "foreign") && b.shows("crd-watcher", "owned", "owned")
	}, "the hooks have seen both")
	before := b.revisions("crd-owner", "crd-user")

	uid := func(plural, name string) types.UID {
		u, err := b.Dynamic.Resource(schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: plural}).Namespace(b.Namespace).Get(b.ctx, name, metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return u.GetUID()
	}
	old := uid("ownedthings", "owned")
	b.removeCRD("ownedthings")
	b.eventually(func() bool { now := uid("ownedthings", "owned"); return now != "" && now != old }, "the module's own CRD and the object of its release are back")
	b.ready("crd-owner")

	b.removeCRD("foreignthings")
	b.wants("crd-user", "Ready", "False", "ForeignThing", "test.example.com/v1", "CRD")
	b.eventually(func() bool { return b.shows("crd-watcher", "foreign", "") }, "the hook has seen that nothing is left")
	b.ready("crd-owner", "crd-watcher")

	b.eventually(func() bool {
		_, err := b.Dynamic.Resource(crds).Get(b.ctx, "foreignthings.test.example.com", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, "the foreign CRD is gone")
	b.makeCRD("foreignthings", "ForeignThing")
	b.eventually(func() bool { return uid("foreignthings", "foreign") != "" }, "the object of the release is back")
	b.ready("crd-user")
	b.sameRevisions(before)
	things := b.Dynamic.Resource(schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "foreignthings"}).Namespace(b.Namespace)
	thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "test.example.com/v1", "kind": "ForeignThing", "metadata": map[string]any{"name": "new"}}}
	if _, err := things.Create(b.ctx, thing, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool {
		return b.shows("crd-watcher", "foreign", "foreign,new") && b.shows("crd-watcher", "owned", "owned")
	}, "the hooks see both kinds again")
}

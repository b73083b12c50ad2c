package operator_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// waitingClaim is the template of a claim that is bound when a test makes its volume.
func waitingClaim(name string) string {
	return "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: " + name + ", namespace: {{ .Release.Namespace }}}\n" +
		"spec: {storageClassName: made-by-hand, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n"
}

// A module waits until the one it requires is Ready, and says so.
func TestAModuleWaitsForTheOneItRequires(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-needed", waitingClaim("needed"))
	b.chart("100-needing", shown("needing", "is", "here"))
	b.chart("100-last", shown("last", "is", "here"))
	b.files(map[string]string{
		"modules/100-needing/module.yaml": "requires: [{module: needed}]\n",
		"modules/100-last/module.yaml":    "requires: [{module: needing}]\n",
	})
	b.settings(map[string]string{"neededEnabled": "false", "needingEnabled": "true", "lastEnabled": "true"})
	b.start()
	b.wants("needing", "Ready", "False RequirementMissing", "needed", "off")
	b.edit("neededEnabled", "true")
	b.wants("needed", "Ready", "False WaitingForObjects", "needed")
	b.wants("needing", "Ready", "False WaitingForModule", "needed")
	b.wants("last", "Ready", "False", "needing")
	if b.exists("needing") || b.exists("last") {
		t.Error("a module was installed before the one it requires was Ready")
	}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: b.Namespace}, Spec: corev1.PersistentVolumeSpec{
		Capacity: corev1.ResourceList{}, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: "made-by-hand",
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/nowhere"}},
		ClaimRef:               &corev1.ObjectReference{Namespace: b.Namespace, Name: "needed"}}}
	volume.Spec.Capacity[corev1.ResourceStorage] = resource.MustParse("1Gi")
	if _, err := b.Client.CoreV1().PersistentVolumes().Create(b.ctx, volume, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Client.CoreV1().PersistentVolumes().Delete(context.Background(), b.Namespace, metav1.DeleteOptions{})
	})
	b.ready("needed", "needing", "last")
	b.sameRevisions(map[string]int{"needed": 1, "needing": 1, "last": 1})

	// What runs already never waits.
	b.edit("neededEnabled", "false")
	b.eventually(func() bool { return b.revision("needed") == 0 }, "the required module is removed")
	b.sameRevisions(map[string]int{"needing": 1, "last": 1})
}

// C-345 … C-347: CRDs come first, also those of modules of higher weight; they are restored, and never deleted by us.
func TestCRDsComeBeforeTheModulesThatUseThem(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-uses-crd", "apiVersion: test.example.com/v1\nkind: EarlyThing\nmetadata: {name: early, namespace: {{ .Release.Namespace }}}\nspec: {size: 1}\n")
	b.chart("200-has-crd", shown("has-crd", "is", "here"))
	b.files(map[string]string{"modules/200-has-crd/crds/early.yaml": crd("earlythings", "EarlyThing")})
	b.settings(map[string]string{"usesCrdEnabled": "true", "hasCrdEnabled": "true"})
	b.start()
	b.ready("uses-crd", "has-crd")
	b.sameRevisions(map[string]int{"uses-crd": 1, "has-crd": 1})
	get := func() string {
		u, err := b.Dynamic.Resource(crds).Get(b.ctx, "earlythings.test.example.com", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return string(u.GetUID()) + u.GetLabels()["heritage"]
	}
	before := get()
	if err := b.Dynamic.Resource(crds).Delete(b.ctx, "earlythings.test.example.com", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { now := get(); return now != "" && now != before }, "the CRD is back")
	things := b.Dynamic.Resource(schema.GroupVersionResource{Group: "test.example.com", Version: "v1", Resource: "earlythings"}).Namespace(b.Namespace)
	b.eventually(func() bool { _, err := things.Get(b.ctx, "early", metav1.GetOptions{}); return err == nil }, "the custom resource is back")
	b.ready("uses-crd", "has-crd")
	b.edit("usesCrdEnabled", "false", "hasCrdEnabled", "false")
	b.eventually(func() bool { return b.revision("has-crd") == 0 && b.revision("uses-crd") == 0 }, "both modules are removed")
	if get() == "" {
		t.Error("the CRD was deleted with its module")
	}
}

// A module's namespace is made with its Pod Security level, and removed when it is ours and empty.
func TestNamespacesOfModules(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	names := map[string]string{"100-nsempty": b.Namespace + "-empty", "100-nsused": b.Namespace + "-used", "100-nsforeign": b.Namespace + "-foreign"}
	for dir, ns := range names {
		b.chart(dir, shown("content", "is", "here"))
		b.files(map[string]string{"modules/" + dir + "/module.yaml": "namespace: " + ns + "\npodSecurity: baseline\n"})
	}
	empty, used, foreign := names["100-nsempty"], names["100-nsused"], names["100-nsforeign"]
	if _, err := b.Client.CoreV1().Namespaces().Create(b.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: foreign}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.settings(map[string]string{"nsemptyEnabled": "true", "nsusedEnabled": "true", "nsforeignEnabled": "true"})
	b.start()
	b.ready("nsempty", "nsused", "nsforeign")
	level := func(name string) string {
		ns, err := b.Client.CoreV1().Namespaces().Get(b.ctx, name, metav1.GetOptions{})
		if err != nil {
			return "none: " + err.Error()
		}
		return ns.Labels["pod-security.kubernetes.io/enforce"]
	}
	if level(empty) != "baseline" || level(used) != "baseline" || level(foreign) != "" {
		t.Errorf("Pod Security levels are %q, %q and, of a namespace of somebody else, %q", level(empty), level(used), level(foreign))
	}
	if cm, err := b.Client.CoreV1().ConfigMaps(empty).Get(b.ctx, "content", metav1.GetOptions{}); err != nil || cm.Data["is"] != "here" {
		t.Errorf("the objects must be in the module's namespace: %v", err)
	}
	b.sameRevisions(map[string]int{"nsempty": 1}) // records stay in the operator's

	b.configMap(used, "of-a-user", nil)
	b.edit("nsemptyEnabled", "false", "nsusedEnabled", "false", "nsforeignEnabled", "false")
	for _, m := range []string{"nsempty", "nsused", "nsforeign"} {
		b.eventually(func() bool { return b.event(m, "Uninstalled", "") }, "module %s is removed", m)
	}
	b.eventually(func() bool {
		ns, err := b.Client.CoreV1().Namespaces().Get(b.ctx, empty, metav1.GetOptions{})
		return err != nil || ns.DeletionTimestamp != nil
	}, "the empty namespace is removed")
	for _, name := range []string{used, foreign} {
		ns, err := b.Client.CoreV1().Namespaces().Get(b.ctx, name, metav1.GetOptions{})
		if err != nil || ns.DeletionTimestamp != nil {
			t.Errorf("namespace %s must stay", name)
		}
		_ = b.Client.CoreV1().Namespaces().Delete(b.ctx, name, metav1.DeleteOptions{})
	}
}

// A finalizer holds the removal up, and status names the object; other modules go on.
func TestAFinalizerIsNamedWhileItHoldsTheRemoval(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-finalized", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: finalized, namespace: {{ .Release.Namespace }}, finalizers: [test.example.com/hold]}\n")
	b.settings(map[string]string{"finalizedEnabled": "true"})
	b.start()
	b.ready("finalized")
	b.edit("finalizedEnabled", "false")
	b.wants("finalized", "Ready", "False Uninstalling", "ConfigMap", "finalized", "test.example.com/hold")
	_, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Patch(b.ctx, "finalized", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.wants("finalized", "Ready", "False Disabled")
}

package operator_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/deploy"
	"github.com/addon-operator/addon-operator/pkg/doctor"
	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// A cluster in which all is well has no findings; each of the faults planted then is
// named with its object and a way out.
func TestDoctorFindsPlantedFaultsAndNoOthers(t *testing.T) {
	cluster, err := testkit.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	p := &plot{bed: newBedOn(t, cluster)}
	p.Namespace, p.Config.Namespace = deployed, deployed
	p.deploy("namespace.yaml", "rbac.yaml", "service.yaml", "deployment.yaml")
	p.alone()
	p.chart("100-web", shown("web", "is", "here"))
	p.files(map[string]string{
		"modules/100-web/hooks/before.sh":            script("beforeHelm: 1", `[[ $(jq -r .web.note "$VALUES_PATH") != broken ]]`),
		"modules/100-web/values.yaml":                "web: {note: fine}\n",
		"modules/100-web/openapi/config-values.yaml": secretSchema,
	})
	p.settings(map[string]string{"webEnabled": "true"})
	stop := p.start()
	p.ready("web")

	t.Run("nothing is wrong in a healthy cluster", func(t *testing.T) {
		var found []doctor.Finding
		testkit.Eventually(t, func() bool {
			found = p.examined()
			return len(found) == 0
		}, func() string { return "no findings, but: " + printed(found) })
	})

	p.edit("web", "note: broken\n") // the operator itself finds this one
	p.wants("web", "Ready", "False HookFailed")
	stop()
	p.plant()
	p.eventually(func() bool { return p.established("things.doctor.test") && p.holdsNamespace() }, "the API server has seen what was planted")
	found := p.examined()
	for _, want := range []struct{ fault, object, problem, way string }{
		{"a module that fails", "Module web", "HookFailed", "hook run"},
		{"a value that is neither true nor false", "ConfigMap addon-operator/addon-operator key webMaintenance", "expected", "edit configmap"},
		{"a setting of a module that does not exist", "ConfigMap addon-operator/addon-operator key webbEnabled", "in no modules directory", "spelling"},
		{"a secret value in the ConfigMap", "ConfigMap addon-operator/addon-operator key web", "password", "moves them"},
		{"facts that have no room to grow", "ConfigMap addon-operator/addon-operator-facts", "KiB of the 1024 KiB", "hook"},
		{"a right taken away", "ServiceAccount addon-operator/addon-operator", "create, update customresourcedefinitions.apiextensions.k8s.io", "rbac.yaml"},
		{"an operator of the predecessor", "Deployment addon-operator/old", "undo each other", "--replicas=0"},
		{"a Lease that nobody renews", "Lease addon-operator/addon-operator-leader-election", "dead-replica", "pods"},
		{"an upgrade that never ended", "release addon-operator/web revision 9", "pending-upgrade", "finishes it"},
		{"a release without its module", "release addon-operator/gone revision 1", "no module", "uninstall"},
		{"a release as large as a Secret", "release addon-operator/gone revision 1", "900 KiB", "split"},
		{"a webhook that points nowhere", "ValidatingWebhookConfiguration nowhere webhook a.doctor.test", "Service addon-operator/nobody", "service.yaml"},
		{"a webhook with an expired authority", "ValidatingWebhookConfiguration expired webhook a.doctor.test", "expired", "operator"},
		{"a CRD that is not Established", "CustomResourceDefinition thingies.doctor.test", "not Established", "same kind"},
		{"an older CRD of Module", "CustomResourceDefinition modules.addon-operator.io", "status.nextTry", "restart"},
		{"a namespace that cannot go", "Namespace stuck", "ConfigMap held is held by doctor.test/hold", "finalizers"},
	} {
		i := slices.IndexFunc(found, func(f doctor.Finding) bool {
			return strings.HasPrefix(f.Object, want.object) && strings.Contains(f.Problem, want.problem) && strings.Contains(f.WayOut, want.way)
		})
		if i < 0 {
			t.Errorf("%s is not found: expected %s: …%s… with the way out …%s…", want.fault, want.object, want.problem, want.way)
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	// What follows from them, such as that of a webhook without an operator.
	found = slices.DeleteFunc(found, func(f doctor.Finding) bool { return f.Severity == doctor.Note })
	if len(found) > 0 {
		t.Errorf("found as well: %s", printed(found))
	}
	if t.Failed() {
		t.Log(printed(p.examined()))
	}
}

func TestDoctorSaysThatItCannotLook(t *testing.T) {
	cfg := operator.Defaults()
	cfg.Namespace, cfg.KubeConfig = deployed, filepath.Join(t.TempDir(), "none")
	if _, err := operator.Doctor(t.Context(), cfg, deploy.RBAC); !errors.Is(err, operator.ErrCannotLook) {
		t.Errorf("got %v, expected ErrCannotLook", err)
	}
}

// plot plants faults.
type plot struct{ *bed }

func (p *plot) examined() []doctor.Finding {
	p.t.Helper()
	found, err := operator.Doctor(p.ctx, p.Config, deploy.RBAC)
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

func printed(found []doctor.Finding) string {
	var b bytes.Buffer
	if err := doctor.Print(&b, found); err != nil {
		return err.Error()
	}
	return b.String()
}

// alone has the Deployment say what is true here: one operator, without an election.
func (p *plot) alone() {
	p.deployment(func(d *appsv1.Deployment) {
		*d.Spec.Replicas = 1
		c := &d.Spec.Template.Spec.Containers[0]
		c.Env = slices.DeleteFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "ADDON_OPERATOR_HA" })
	})
}

// deployment edits that of the operator; its controller writes there as well.
func (p *plot) deployment(edit func(*appsv1.Deployment)) {
	p.t.Helper()
	api := p.Client.AppsV1().Deployments(deployed)
	p.must(nil, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		d, err := api.Get(p.ctx, deployed, metav1.GetOptions{})
		if err != nil {
			return err
		}
		edit(d)
		_, err = api.Update(p.ctx, d, metav1.UpdateOptions{})
		return err
	}))
}

// must ends the test when something could not be planted.
func (p *plot) must(what any, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("planting %T: %v", what, err)
	}
}

func (p *plot) plant() {
	p.edit("webMaintenance", "perhaps", "webbEnabled", "true", "web", "note: broken\npassword: hunter2\n")
	p.must(p.Client.CoreV1().ConfigMaps(deployed).Patch(p.ctx, "addon-operator-facts", types.MergePatchType,
		[]byte(`{"data":{"sets.web":"`+strings.Repeat("x", 900<<10)+`"}}`), metav1.PatchOptions{}))
	role, err := p.Client.RbacV1().ClusterRoles().Get(p.ctx, deployed, metav1.GetOptions{})
	p.must(role, err)
	for i, r := range role.Rules {
		if slices.Contains(r.Resources, "customresourcedefinitions") {
			role.Rules = slices.Delete(role.Rules, i, i+1)
			break
		}
	}
	p.must(p.Client.RbacV1().ClusterRoles().Update(p.ctx, role, metav1.UpdateOptions{}))
	p.replicas()
	p.records()
	p.hooks()
	p.definitions()
	p.namespace()
}

// replicas plants another operator, and an election without a leader.
func (p *plot) replicas() {
	api := p.Client.AppsV1().Deployments(deployed)
	d, err := api.Get(p.ctx, deployed, metav1.GetOptions{})
	p.must(d, err)
	old := d.DeepCopy()
	old.ObjectMeta = metav1.ObjectMeta{Name: "old", Namespace: deployed}
	labels := map[string]string{"app": "old"}
	old.Spec.Selector.MatchLabels, old.Spec.Template.Labels = labels, labels
	old.Spec.Template.Spec.Containers[0].Image = "ghcr.io/flant/addon-operator:v1.6.5"
	p.must(api.Create(p.ctx, old, metav1.CreateOptions{}))
	p.deployment(func(d *appsv1.Deployment) {
		c := &d.Spec.Template.Spec.Containers[0]
		c.Env = append(c.Env, corev1.EnvVar{Name: "ADDON_OPERATOR_HA", Value: "true"})
	})
	holder, seconds, at := "dead-replica", int32(15), metav1.NewMicroTime(time.Now().Add(-time.Hour))
	p.must(p.Client.CoordinationV1().Leases(deployed).Create(p.ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "addon-operator-leader-election"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at},
	}, metav1.CreateOptions{}))
}

// records plants releases.
func (p *plot) records() {
	for _, r := range []struct {
		name, status string
		revision     int
		bytes        int
	}{{"web", "pending-upgrade", 9, 10}, {"gone", "deployed", 1, 900 << 10}} {
		p.must(p.Client.CoreV1().Secrets(deployed).Create(p.ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("sh.helm.release.v1.%s.v%d", r.name, r.revision), Labels: map[string]string{
				"owner": "helm", "name": r.name, "version": fmt.Sprint(r.revision), "status": r.status,
				"modifiedAt": fmt.Sprint(time.Now().Add(-time.Hour).Unix()), "addon-operator.io/instance": deployed + "." + deployed,
			}},
			Type: "helm.sh/release.v1", Data: map[string][]byte{"release": bytes.Repeat([]byte("x"), r.bytes)},
		}, metav1.CreateOptions{}))
	}
}

// hooks plants webhooks that nobody is asked by: no object has their label.
func (p *plot) hooks() {
	url := "https://127.0.0.1:1/a"
	for name, to := range map[string]admissionv1.WebhookClientConfig{
		"nowhere": {Service: &admissionv1.ServiceReference{Namespace: deployed, Name: "nobody"}, CABundle: authority(p.t, time.Now().Add(time.Hour))},
		"expired": {URL: &url, CABundle: authority(p.t, time.Now().Add(-time.Hour))},
	} {
		none := admissionv1.SideEffectClassNone
		p.must(p.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(p.ctx, &admissionv1.ValidatingWebhookConfiguration{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				"addon-operator.io/instance": deployed + "." + deployed, "addon-operator.io/webhooks-of": "global",
			}},
			Webhooks: []admissionv1.ValidatingWebhook{{
				Name: "a.doctor.test", ClientConfig: to, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
				ObjectSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"doctor.test/nobody": "has-this"}},
			}},
		}, metav1.CreateOptions{}))
	}
}

// authority is a certificate that ends then, in PEM.
func authority(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

var crdsOfAll = k8sschema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

const thing = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %[1]s.doctor.test}
spec:
  group: doctor.test
  scope: Cluster
  names: {plural: %[1]s, kind: Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

// definitions plants two CRDs of one kind, and an older one of Module.
func (p *plot) definitions() {
	for _, plural := range []string{"things", "thingies"} {
		var o unstructured.Unstructured
		p.must(nil, sigsyaml.Unmarshal(fmt.Appendf(nil, thing, plural), &o.Object))
		p.must(p.Dynamic.Resource(crdsOfAll).Create(p.ctx, &o, metav1.CreateOptions{}))
		if plural == "things" {
			p.eventually(func() bool { return p.established("things.doctor.test") }, "the first CRD has the kind")
		}
	}
	p.must(p.Dynamic.Resource(crdsOfAll).Patch(p.ctx, "modules.addon-operator.io", types.JSONPatchType,
		[]byte(`[{"op":"remove","path":"/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/nextTry"}]`), metav1.PatchOptions{}))
}

func (p *plot) established(crd string) bool {
	o, err := p.Dynamic.Resource(crdsOfAll).Get(p.ctx, crd, metav1.GetOptions{})
	if err != nil {
		return false
	}
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" {
			return m["status"] == "True"
		}
	}
	return false
}

// namespace plants one that is held by a finalizer.
func (p *plot) namespace() {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stuck"}}
	p.must(p.Client.CoreV1().Namespaces().Create(p.ctx, ns, metav1.CreateOptions{}))
	held := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"doctor.test/hold"}}}
	p.must(p.Client.CoreV1().ConfigMaps("stuck").Create(p.ctx, held, metav1.CreateOptions{}))
	p.must(nil, p.Client.CoreV1().Namespaces().Delete(p.ctx, "stuck", metav1.DeleteOptions{}))
	p.t.Cleanup(func() { // so that the next run finds none
		_, _ = p.Client.CoreV1().ConfigMaps("stuck").Patch(context.Background(), "held", types.MergePatchType,
			[]byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	})
}

// holdsNamespace says whether the API server has said what is left in it.
func (p *plot) holdsNamespace() bool {
	ns, err := p.Client.CoreV1().Namespaces().Get(p.ctx, "stuck", metav1.GetOptions{})
	return err == nil && slices.ContainsFunc(ns.Status.Conditions, func(c corev1.NamespaceCondition) bool {
		return c.Type == corev1.NamespaceContentRemaining && c.Status == corev1.ConditionTrue
	})
}

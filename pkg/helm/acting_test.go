package helm

import (
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/release"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// account makes a ServiceAccount of the operator's namespace that may do rules in a namespace.
func (p *place) account(name, namespace string, rules ...rbacv1.PolicyRule) {
	p.t.Helper()
	ok(p.kube.CoreV1().ServiceAccounts(p.ops).Create(p.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))(p.t)
	p.allow(name, namespace, rules...)
}

// allow lets an account follow rules in a namespace, and returns when it may.
func (p *place) allow(account, namespace string, rules ...rbacv1.PolicyRule) {
	p.t.Helper()
	ctx, name := p.t.Context(), account+"."+p.ops
	ok(p.kube.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, metav1.CreateOptions{}))(p.t)
	ok(p.kube.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: account, Namespace: p.ops}}}, metav1.CreateOptions{}))(p.t)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:" + p.ops + ":" + account,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: rules[0].Verbs[0], Resource: "configmaps"}}}
	testkit.Eventually(p.t, func() bool {
		return ok(p.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{}))(p.t).Status.Allowed
	}, func() string { return "the rights of " + account + " are in force" })
}

func encodedRelease(t *testing.T, name, namespace, manifest string) []byte {
	t.Helper()
	return ok(encodeRelease(&release.Release{Name: name, Namespace: namespace, Version: 1, Manifest: manifest,
		Info: &release.Info{Status: release.StatusDeployed}}, 6))(t)
}

var everything = rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}} //nolint:gochecknoglobals // constant

// actingAs is m with an account.
func actingAs(m *module.Descriptor, account string) *module.Descriptor {
	out := *m
	out.Origin.ServiceAccount = account
	return &out
}

func configMapIn(namespace, name, text string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {text: %q}\n", name, namespace, text)
}

func (p *place) hasConfigMap(namespace, name string) bool {
	p.t.Helper()
	_, err := p.kube.CoreV1().ConfigMaps(namespace).Get(p.t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		p.t.Fatal(err)
	}
	return err == nil
}

func (p *place) try(m *module.Descriptor) (installed.Result, error) {
	p.t.Helper()
	req := installed.Request{Module: m, Namespace: p.apps, Values: snapshot(p.t, "{}")}
	r, err := p.Render(p.t.Context(), req)
	if err != nil {
		return installed.Result{}, err
	}
	return p.Upgrade(p.t.Context(), req, r)
}

func TestAModuleWithAServiceAccountMayDoWhatTheAccountMay(t *testing.T) {
	p := newPlace(t)
	p.account("shop", p.apps, everything)
	m := aModule(t, "shop", files{"Chart.yaml": "apiVersion: v2\nname: shop\nversion: 0.1.0\n",
		"templates/a.yaml": configMapIn(p.apps, "shop", "one"), "templates/b.yaml": configMapIn(p.apps, "leaves", "x")})
	shop := actingAs(m, "shop")

	res, err := p.try(shop)
	if err != nil {
		t.Fatal(err)
	}
	if res.Release.Account != "shop" || !p.hasConfigMap(p.apps, "shop") {
		t.Fatalf("release %+v", res.Release)
	}

	// A version that reaches elsewhere, in one object of three: none of them changes.
	p.allow("shop", metav1.NamespaceSystem, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}})
	far := withFiles(t, shop, files{"templates/a.yaml": configMapIn(p.apps, "shop", "two"),
		"templates/b.yaml": configMapIn(p.apps, "added", "x"), "templates/c.yaml": configMapIn(metav1.NamespaceSystem, p.apps, "x")})
	_, err = p.try(far)
	for _, part := range []string{"ServiceAccount " + p.ops + "/shop", `cannot create resource "configmaps"`, metav1.NamespaceSystem, "bind it a Role"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error lacks %q: %v", part, err)
		}
	}
	switch cm := ok(p.kube.CoreV1().ConfigMaps(p.apps).Get(t.Context(), "shop", metav1.GetOptions{}))(t); {
	case cm.Data["text"] != "one":
		t.Errorf("a refused upgrade changed an object: %v", cm.Data)
	case p.hasConfigMap(p.apps, "added"), !p.hasConfigMap(p.apps, "leaves"), p.hasConfigMap(metav1.NamespaceSystem, p.apps):
		t.Error("a refused upgrade made or deleted objects")
	}
	if now := ok(p.Observe(t.Context(), "shop"))(t); now.Revision != 1 || now.Status != installed.Deployed {
		t.Errorf("a refused upgrade left revision %+v", now)
	}

	// What is installed is repaired and removed as the account, whoever asks, also without the module.
	if err := p.kube.CoreV1().ConfigMaps(p.apps).Delete(t.Context(), "leaves", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Repair(t.Context(), "shop", nil); err != nil || !p.hasConfigMap(p.apps, "leaves") {
		t.Fatalf("repair: %v", err)
	}
	if err := p.kube.RbacV1().RoleBindings(p.apps).Delete(t.Context(), "shop."+p.ops, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool {
		_, err := p.Repair(t.Context(), "shop", nil)
		return err != nil && strings.Contains(err.Error(), "cannot get")
	}, func() string { return "the account has lost its rights" })
	if _, err := p.Uninstall(t.Context(), "shop"); err == nil || !strings.Contains(err.Error(), "ServiceAccount "+p.ops+"/shop") {
		t.Errorf("uninstalled without a right: %v", err)
	}
	if !p.hasConfigMap(p.apps, "shop") {
		t.Error("an object was deleted that the account may not delete")
	}

	// Without an account the same module is the operator's own.
	if _, err := p.try(actingAs(far, "")); err != nil || !p.hasConfigMap(metav1.NamespaceSystem, p.apps) {
		t.Fatalf("as the operator: %v", err)
	}
	if now := ok(p.Observe(t.Context(), "shop"))(t); now.Account != "" {
		t.Errorf("the release still says %q", now.Account)
	}
	if _, err := p.Uninstall(t.Context(), "shop"); err != nil || p.hasConfigMap(metav1.NamespaceSystem, p.apps) {
		t.Errorf("uninstall as the operator: %v", err)
	}
}

func TestLookupReadsWhatTheAccountMayRead(t *testing.T) {
	p := newPlace(t)
	p.account("reader", p.apps, everything)
	of := func(namespace string) *module.Descriptor {
		return actingAs(aModule(t, "reader", files{"Chart.yaml": "apiVersion: v2\nname: reader\nversion: 0.1.0\n",
			"templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen}\ndata: {n: '{{ len (lookup \"v1\" \"Secret\" \"" + namespace + "\" \"\") }}'}\n"}), "reader")
	}
	if _, err := p.try(of(p.apps)); err != nil {
		t.Fatal(err)
	}
	_, err := p.try(of(p.ops))
	if err == nil || !strings.Contains(err.Error(), "ServiceAccount "+p.ops+"/reader") || !strings.Contains(err.Error(), `cannot list resource "secrets"`) {
		t.Errorf("lookup read the operator's Secrets: %v", err)
	}
}

func TestAnAccountIsPartOfTheDigestsOnlyWhenThereIsOne(t *testing.T) {
	p := newPlace(t)
	m := aModule(t, "digest", files{"Chart.yaml": "apiVersion: v2\nname: digest\nversion: 0.1.0\n", "templates/a.yaml": configMapIn(p.apps, "digest", "x")})
	digests := map[string]string{}
	for _, account := range []string{"", "a", "b"} {
		req := installed.Request{Module: actingAs(m, account), Namespace: p.apps, Values: snapshot(t, "{}")}
		r := ok(p.Render(t.Context(), req))(t)
		if d := ok(p.InputDigest(t.Context(), req.Module, p.apps, req.Values))(t); d != r.InputDigest {
			t.Errorf("account %q: input digest %s, of the render %s", account, d, r.InputDigest)
		}
		for _, d := range []string{r.InputDigest, r.RenderDigest} {
			if was, known := digests[d]; known {
				t.Errorf("accounts %q and %q have the digest %s in common", account, was, d)
			}
			digests[d] = account
		}
	}
	if _, err := p.Render(t.Context(), installed.Request{Module: actingAs(m, "no:name"), Namespace: p.apps, Values: snapshot(t, "{}")}); err == nil ||
		!strings.Contains(err.Error(), `serviceAccountName "no:name"`) {
		t.Errorf("a name that is none: %v", err)
	}
}

// Records that are found in the module's namespace are what its account may write: they must
// not make anybody else act.
func TestRecordsThatAreTakenOverDoNotSayWhoActs(t *testing.T) {
	p := newPlace(t)
	p.account("taker", p.apps, everything)
	m := aModule(t, "taker", files{"Chart.yaml": "apiVersion: v2\nname: taker\nversion: 0.1.0\n", "templates/a.yaml": configMapIn(p.apps, "taker", "x")})
	victim := configMapIn(metav1.NamespaceSystem, "victim-"+p.apps, "x")
	forged := encodedRelease(t, "taker", p.apps, victim)
	for name, labels := range map[string]map[string]string{"v1": {}, "v2": {LabelInstance: p.cfg.Instance}} {
		l := map[string]string{"owner": "helm", "name": "taker", "status": "deployed", "version": name[1:]}
		for k, v := range labels {
			l[k] = v
		}
		ok(p.kube.CoreV1().Secrets(p.apps).Create(t.Context(), &corev1.Secret{Type: recordType,
			ObjectMeta: metav1.ObjectMeta{Name: recordPrefix + "taker." + name, Labels: l}, Data: map[string][]byte{recordKey: forged}}, metav1.CreateOptions{}))(t)
	}
	ok(p.kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "victim-" + p.apps,
		Labels: map[string]string{managedByLabel: managedByHelm}, Annotations: map[string]string{releaseNameAnnotation: "taker", releaseNamespaceAnnotation: p.apps}}}, metav1.CreateOptions{}))(t)
	acting := ok(p.as("taker"))(t)
	if found, err := acting.importRecords(t.Context(), nil, "taker", p.apps); err != nil || !found {
		t.Fatalf("found %v: %v", found, err)
	}
	if now := ok(p.Observe(t.Context(), "taker"))(t); now.Account != "taker" {
		t.Fatalf("the record says %q", now.Account)
	}
	if _, err := p.try(actingAs(m, "taker")); err == nil || !strings.Contains(err.Error(), "cannot") {
		t.Errorf("the upgrade removes what the forged record names: %v", err)
	}
	if _, err := p.Uninstall(t.Context(), "taker"); err == nil {
		t.Error("the uninstall removes what the forged record names")
	}
	if !p.hasConfigMap(metav1.NamespaceSystem, "victim-"+p.apps) {
		t.Error("an object of kube-system was deleted by a forged record")
	}
}

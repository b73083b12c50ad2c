package kube

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// bank is a namespace with a ServiceAccount "teller" that may do everything in it, and nothing elsewhere.
type bank struct {
	*Clients
	ns    string
	typed kubernetes.Interface
}

func newBank(t *testing.T) *bank {
	t.Helper()
	b := &bank{}
	var err error
	if b.typed, err = kubernetes.NewForConfig(testkit.Cluster(t)); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	ns, err := b.typed.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bank-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.ns = ns.Name
	name := metav1.ObjectMeta{Name: "teller"}
	_, errSA := b.typed.CoreV1().ServiceAccounts(b.ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{})
	_, errRole := b.typed.RbacV1().Roles(b.ns).Create(ctx, &rbacv1.Role{ObjectMeta: name,
		Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}}}, metav1.CreateOptions{})
	_, errBinding := b.typed.RbacV1().RoleBindings(b.ns).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: name,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "teller"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "teller", Namespace: b.ns}}}, metav1.CreateOptions{})
	for _, err := range []error{errSA, errRole, errBinding} {
		if err != nil {
			t.Fatal(err)
		}
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "system:serviceaccount:" + b.ns + ":teller",
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: b.ns, Verb: "create", Resource: "configmaps"}}}
	testkit.Eventually(t, func() bool {
		got, err := b.typed.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && got.Status.Allowed
	}, func() string { return "the teller's rights are in force" })
	b.Clients, err = NewClients(testkit.Cluster(t), WithAccounts(b.ns))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bank) teller(t *testing.T) *Clients {
	t.Helper()
	c, err := b.As("teller")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantsAll(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: the error lacks %q: %v", what, part, err)
		}
	}
}

func TestObjectOperationsActAsTheAccount(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	if again := b.teller(t); again != b.teller(t) {
		t.Error("an account has two sets of clients")
	}
	if self, err := b.As(""); err != nil || self != b.Clients {
		t.Errorf("without an account the clients are others: %v", err)
	}
	op := func(ns string) []hook.Operation {
		return []hook.Operation{{Verb: hook.CreateOrUpdate, Object: configMap(ns, "coin-"+b.ns, nil, nil)}}
	}
	if err := b.teller(t).Execute(within(t), op(b.ns)); err != nil {
		t.Fatal(err)
	}
	err := b.teller(t).Execute(within(t), op("kube-system"))
	wantsAll(t, "an operation elsewhere", err, "CreateOrUpdate ConfigMap kube-system/coin-"+b.ns, `cannot create resource "configmaps"`,
		"ServiceAccount "+b.ns+"/teller", "bind it a Role")
	if _, err := b.typed.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "coin-"+b.ns, metav1.GetOptions{}); err == nil {
		t.Error("the object is there")
	}
	if _, err := b.As("a:b"); err == nil {
		t.Error("a name that is none was taken")
	}
	err = b.teller(t).EnsureCRDs(within(t), []module.CRD{{File: "crds/a.yaml", Name: "coins.bank.test",
		Text: []byte(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"coins.bank.test"}}`)}}, nil)
	wantsAll(t, "a CRD", err, "CRD coins.bank.test", "customresourcedefinitions", "ServiceAccount "+b.ns+"/teller")
}

func TestWatchesAreSharedOnlyByWhoMaySeeTheSame(t *testing.T) { // C-156
	b := newBank(t)
	leaks(t)
	w := NewWatcher(b.Clients, slog.New(slog.DiscardHandler))
	watch := func(account, ns string) (hook.Watch, error) {
		id := hook.ID{Owner: hook.Owner{Module: "m"}, Name: "hooks/" + account + ns}
		return w.Watch(within(t), id, hook.Kubernetes{Route: hook.Route{Name: "b"}, APIVersion: "v1", Kind: "ConfigMap", Namespaces: []string{ns}},
			hook.WatchHandler{Account: account, Event: func(hook.WatchEvent, hook.Item) {}})
	}
	for _, account := range []string{"", "teller", "teller"} {
		got, err := watch(account, b.ns)
		if err != nil {
			t.Fatalf("as %q: %v", account, err)
		}
		defer got.Stop()
	}
	if n := len(w.informers.all); n != 2 {
		t.Errorf("%d informers for two identities", n)
	}
	if got, err := watch("", "kube-system"); err != nil {
		t.Error(err)
	} else {
		defer got.Stop()
	}
	// What the operator watches already is not shown to one who may not read it.
	_, err := watch("teller", "kube-system")
	wantsAll(t, "a watch elsewhere", err, `cannot list resource "configmaps"`, "ServiceAccount "+b.ns+"/teller")
}

func TestKubeconfigsBearATokenThatOutlivesTheRun(t *testing.T) {
	t.Parallel()
	b := newBank(t)
	k, err := NewKubeconfigs(b.Clients, b.ns)
	if err != nil {
		t.Fatal(err)
	}
	var shift time.Duration
	k.now = func() time.Time { return time.Now().Add(shift) }
	get := func(lasting time.Duration) string {
		text, err := k.Kubeconfig(t.Context(), "teller", lasting)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := get(10 * time.Minute)
	cfg, err := clientcmd.RESTConfigFromKubeConfig([]byte(first))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.CertFile != "" || len(cfg.CertData) > 0 {
		t.Error("the kubeconfig has a certificate of the operator")
	}
	as, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := as.CoreV1().ConfigMaps(b.ns).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("in its namespace: %v", err)
	}
	if _, err := as.CoreV1().ConfigMaps("kube-system").List(t.Context(), metav1.ListOptions{}); err == nil ||
		!strings.Contains(err.Error(), "system:serviceaccount:"+b.ns+":teller") {
		t.Errorf("in kube-system: %v", err)
	}
	if get(10*time.Minute) != first {
		t.Error("a token that is good for the run was asked for again")
	}
	long := get(time.Hour)
	if long == first {
		t.Error("a run of an hour has a token of minutes")
	}
	if shift = tokenReuse; get(10*time.Minute) == long {
		t.Error("a token was handed out for longer than it should be")
	}
	_, err = k.Kubeconfig(context.Background(), "nobody", time.Minute)
	wantsAll(t, "an account that is not there", err, "there is no ServiceAccount "+b.ns+"/nobody")
}

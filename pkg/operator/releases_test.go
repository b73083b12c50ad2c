package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// approver is the ClusterRole that docs/module-sources.md shows.
func approver(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testkit.Root(), "docs", "module-sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1) {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(block[1], &role); err == nil && role.Kind == "ClusterRole" {
			return &role
		}
	}
	t.Fatal("docs/module-sources.md has no ClusterRole")
	return nil
}

// Who may approve is a question of RBAC; what a module's name means is the release that waits.
func TestReleasesAreListedApprovedAndRetriedByThoseWhoMay(t *testing.T) {
	local := testkit.Shared(t)
	admin := local.Config(t)
	clients, err := kube.NewClients(admin)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := report.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.EnsureCRDs(t.Context(), crds, nil); err != nil {
		t.Fatal(err)
	}
	dyn, typed := dynamic.NewForConfigOrDie(admin), kubernetes.NewForConfigOrDie(admin)
	put := func(r source.Release) string {
		t.Helper()
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "addon-operator.io/v1alpha1", "kind": "ModuleRelease", "metadata": map[string]any{"name": r.Name()}}}
		if _, err := dyn.Resource(report.Releases).Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = dyn.Resource(report.Releases).Delete(context.Background(), r.Name(), metav1.DeleteOptions{})
		})
		st, _ := json.Marshal(map[string]any{"status": map[string]any{"module": r.Module, "version": r.Version, "channel": r.Channel, "phase": string(r.Phase), "reason": r.Reason,
			"notBefore": "2026-11-28T01:00:00Z"}})
		if _, err := dyn.Resource(report.Releases).Patch(t.Context(), r.Name(), types.MergePatchType, st, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		return r.Name()
	}
	back := put(source.Release{Module: "approvals", Version: "1.0.0", Digest: "sha256:aaaaaaaa", Channel: "ea", Phase: source.RolledBack, Reason: "Unhealthy"})
	runs := put(source.Release{Module: "approvals", Version: "1.1.0", Digest: "sha256:bbbbbbbb", Channel: "ea", Phase: source.Deployed})
	waits := put(source.Release{Module: "approvals", Version: "1.2.0", Digest: "sha256:cccccccc", Channel: "ea", Phase: source.Pending, Reason: "WaitingForApproval"})
	other := put(source.Release{Module: "approvals-too", Version: "2.0.0", Digest: "sha256:dddddddd", Phase: source.Deployed})

	// Two users: one with the role of the docs, one who may only look.
	role := approver(t)
	if _, err := typed.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	user := func(name string, roleName string) operator.Config {
		t.Helper()
		if _, err := typed.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: "default"}}}
		if _, err := typed.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		token, err := typed.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		config, err := clientcmd.LoadFromFile(local.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range config.AuthInfos {
			u.ClientCertificate, u.ClientCertificateData, u.ClientKey, u.ClientKeyData, u.Token = "", nil, "", nil, token.Status.Token
		}
		path := filepath.Join(t.TempDir(), name)
		if err := clientcmd.WriteToFile(*config, path); err != nil {
			t.Fatal(err)
		}
		cfg := operator.Defaults()
		cfg.KubeConfig = path
		return cfg
	}
	looker := role.DeepCopy()
	looker.Name, looker.ResourceVersion, looker.Rules = "addon-operator-release-looker", "", role.Rules[:1]
	if _, err := typed.RbacV1().ClusterRoles().Create(t.Context(), looker, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	may, looks := user("may-approve", role.Name), user("may-look", looker.Name)

	list, err := operator.Releases(t.Context(), looks, "")
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(r operator.ShownRelease) bool { return !strings.HasPrefix(r.Module, "approvals") })
	var names []string
	for _, r := range list {
		names = append(names, r.Name)
	}
	if want := []string{waits, runs, back, other}; !slices.Equal(names, want) {
		t.Errorf("got %v, expected %v", names, want)
	}
	var table bytes.Buffer
	if err := operator.PrintReleases(&table, list, time.Now()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(table.String(), "\n")
	if got := strings.Fields(lines[0]); !slices.Equal(got, []string{"NAME", "MODULE", "VERSION", "CHANNEL", "PHASE", "NOT-BEFORE", "APPROVED", "REASON", "AGE"}) {
		t.Error(got)
	}
	if got := strings.Fields(lines[1]); len(got) != 9 || !slices.Equal(got[:8], []string{waits, "approvals", "1.2.0", "ea", "Pending", "2026-11-28T01:00:00Z", "false", "WaitingForApproval"}) {
		t.Error(got)
	}
	spec := func(name, field string) any {
		o, err := dyn.Resource(report.Releases).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		v, _, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", field)
		return v
	}
	for _, give := range []func(context.Context, operator.Config, string) (string, error){operator.ApproveRelease, operator.RetryRelease} {
		if _, err := give(t.Context(), looks, "approvals"); err == nil || !strings.Contains(err.Error(), "the right to patch modulereleases") {
			t.Errorf("who may only look gave an order: %v", err)
		}
	}
	if got, err := operator.ApproveRelease(t.Context(), may, "approvals"); err != nil || got != waits || spec(waits, "approved") != true {
		t.Error(got, err, spec(waits, "approved"))
	}
	if got, err := operator.RetryRelease(t.Context(), may, "approvals"); err != nil || got != back {
		t.Error(got, err)
	}
	first := spec(back, "retry")
	if _, err := operator.RetryRelease(t.Context(), may, back); err != nil || first == nil || spec(back, "retry") == first {
		t.Errorf("a second retry is another: %v, %v (%v)", first, spec(back, "retry"), err)
	}
	for name, want := range map[string]string{
		"approvals":     "has no ModuleReleases that wait for approval; there are " + waits + " (Pending), " + runs + " (Deployed)",
		runs:            "is Deployed: there is nothing to approve",
		"approvals-too": "has no ModuleReleases that wait for approval",
		"nobody":        "is the name of no ModuleRelease and of no module",
	} {
		if _, err := operator.ApproveRelease(t.Context(), may, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: expected %q, got: %v", name, want, err)
		}
	}
	if _, err := operator.RetryRelease(t.Context(), may, runs); err == nil || !strings.Contains(err.Error(), "there is nothing to try again") {
		t.Error(err)
	}
}

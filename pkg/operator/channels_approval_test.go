package operator_test

import (
	"context"
	"os"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// Who may approve a release is a question of RBAC.
func TestAReleaseWaitsForWhoMayApproveIt(t *testing.T) {
	s := newShop(t)
	v := map[string]catalog.Ref{}
	for _, n := range []string{"1.0.0", "1.0.1", "1.1.0", "1.2.0"} {
		v[n] = s.module("ask", n, shown("ask", "v", n), nil)
	}
	anybody, approver := s.user("anybody"), s.user("approver")
	s.approves("approver")
	s.settings(map[string]string{"askEnabled": "true", "askUpdate": "Manual"})
	s.promote("stable", "ask", v["1.0.0"], nil)
	s.start()
	s.follow("  modules: [ask]\n" + quick)

	// Manual asks for the first install too.
	s.phase("ask", "1.0.0", "Pending", "WaitingForApproval", "spec.approved")
	if s.exists("ask") {
		t.Error("the module was installed without approval")
	}
	if err := s.ask(anybody, "ask", "1.0.0", `{"approved":true}`); !apierrors.IsForbidden(err) {
		t.Errorf("a user without rights approves: %v", err)
	}
	if err := s.ask(approver, "ask", "1.0.0", `{"approved":true}`); err != nil {
		t.Errorf("the approver: %v", err)
	}
	s.deployed("ask", "1.0.0")
	if err := approver.Resource(report.Sources).Delete(s.ctx, s.source, metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the approver deletes the ModuleSource: %v", err)
	}

	// The next version asks again; to AutoPatch it is a patch, and what is more waits.
	s.promote("stable", "ask", v["1.0.1"], nil)
	s.phase("ask", "1.0.1", "Pending", "WaitingForApproval")
	s.kept("ask", "1.0.0", "WaitingForApproval")
	s.edit("askUpdate", "AutoPatch")
	s.deployed("ask", "1.0.1")
	s.promote("stable", "ask", v["1.1.0"], nil)
	s.phase("ask", "1.1.0", "Pending", "WaitingForApproval", "AutoPatch", "1.0.1", "1.1.0")
	s.kept("ask", "1.0.1", "WaitingForApproval")
	if err := s.ask(approver, "ask", "1.1.0", `{"approved":true}`); err != nil {
		t.Fatal(err)
	}
	s.deployed("ask", "1.1.0")

	// Auto of the user goes over Manual of the source, and the other way round.
	s.edit("askUpdate", "")
	s.follow("  modules: [ask]\n  update: {mode: Manual, soak: 0s}\n")
	s.promote("stable", "ask", v["1.2.0"], nil)
	s.phase("ask", "1.2.0", "Pending", "WaitingForApproval")
	s.edit("askUpdate", "Auto")
	s.deployed("ask", "1.2.0")
}

// user is a client that acts as somebody of the bed.
func (b *bed) user(name string) dynamic.Interface {
	b.t.Helper()
	rest := testkit.Shared(b.t).Config(b.t)
	rest.Impersonate.UserName = name + "-" + b.Namespace
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		b.t.Fatal(err)
	}
	return client
}

// approves gives a user the role that docs/module-sources.md shows.
func (b *bed) approves(user string) {
	b.t.Helper()
	text, err := os.ReadFile("../../docs/module-sources.md")
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\napiVersion: rbac.authorization.k8s.io/v1\n")
	manifest, _, found := strings.Cut(rest, "```")
	var role rbacv1.ClusterRole
	if err := yaml.Unmarshal([]byte(manifest), &role); err != nil || !found {
		b.t.Fatalf("the role of docs/module-sources.md: %v", err)
	}
	role.Name += "-" + b.Namespace
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user + "-" + b.Namespace}}}
	api := b.Client.RbacV1()
	if _, err := api.ClusterRoles().Create(b.ctx, &role, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := api.ClusterRoleBindings().Create(b.ctx, binding, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		ctx := context.Background() // that of the test is over
		_ = api.ClusterRoleBindings().Delete(ctx, binding.Name, metav1.DeleteOptions{})
		_ = api.ClusterRoles().Delete(ctx, role.Name, metav1.DeleteOptions{})
	})
}

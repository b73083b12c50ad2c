//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// One cluster serves all of these; each has a namespace of its own.
func TestAClusterBehavesLikeARealOne(t *testing.T) {
	t.Parallel()
	c := startUp(t, filepath.Join(t.TempDir(), "made-by-up"), "--audit-log")
	t.Run("workloads", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T, *running, string){
			"a Deployment of two pods becomes available":       deploymentBecomesAvailable,
			"a DaemonSet has a pod on every node it tolerates": daemonSetIsOnEveryNode,
			"a Job completes": jobCompletes,
			"a LoadBalancer Service gets an address of its own":             loadBalancerGetsAddress,
			"a claim is bound for its first pod, grows and takes its PV":    claimFollowsItsPod,
			"owned objects are collected with their owner":                  ownedObjectsAreCollected,
			"a namespace goes away with what is in it":                      namespaceGoesAway,
			"a service account's token works and RBAC binds it":             tokenIsBoundByRBAC,
			"Pod Security admission refuses what the namespace forbids":     podSecurityRefuses,
			"a webhook Service is refused with the reason, nothing is sent": webhookServiceIsRefused,
			"facts of the cluster can be discovered":                        factsAreThere,
			"kubectl works by its link":                                     kubectlWorks,
			"writes are in the audit log once answered":                     writesAreAudited,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c, makeNamespace(t, c))
			})
		}
	})
	t.Run("the API server restarts with its data after a stop and after a kill", func(t *testing.T) { apiServerRestarts(t, c) })
	t.Run("no process has a socket beyond loopback", func(t *testing.T) { socketsAreLocal(t, c) })
}

func makeNamespace(t *testing.T, c *running) string {
	t.Helper()
	ns, err := c.client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

func podTemplate(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "example.org/app:1"}}},
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: podTemplate(name),
		},
	}
}

func deploymentAvailable(c *running, ns, name string) func(context.Context) error {
	return func(ctx context.Context) error {
		d, err := c.client.AppsV1().Deployments(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if d.Status.AvailableReplicas != *d.Spec.Replicas {
			return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
		return nil
	}
}

func create[T any](t *testing.T, made T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func deploymentBecomesAvailable(t *testing.T, c *running, ns string) {
	made, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("web", 2), metav1.CreateOptions{})
	create(t, made, err)
	eventually(t, deploymentAvailable(c, ns, "web"))
	pods, err := c.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		ip, err := netip.ParseAddr(p.Status.PodIP)
		if err != nil || !netip.MustParsePrefix(podCIDR).Contains(ip) {
			t.Errorf("pod %s has the address %q, want one of %s", p.Name, p.Status.PodIP, podCIDR)
		}
	}
}

func daemonSetIsOnEveryNode(t *testing.T, c *running, ns string) {
	template := podTemplate("agent")
	template.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	ds := &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "agent"},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "agent"}}, Template: template},
	}
	made, err := c.client.AppsV1().DaemonSets(ns).Create(t.Context(), ds, metav1.CreateOptions{})
	create(t, made, err)
	eventually(t, func(ctx context.Context) error {
		ds, err := c.client.AppsV1().DaemonSets(ns).Get(ctx, "agent", metav1.GetOptions{})
		if err == nil && ds.Status.NumberReady != 3 {
			err = fmt.Errorf("%d of 3 pods are ready", ds.Status.NumberReady)
		}
		return err
	})
}

func jobCompletes(t *testing.T, c *running, ns string) {
	template := podTemplate("job")
	template.Spec.RestartPolicy = corev1.RestartPolicyNever
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: batchv1.JobSpec{Template: template}}
	made, err := c.client.BatchV1().Jobs(ns).Create(t.Context(), job, metav1.CreateOptions{})
	create(t, made, err)
	eventually(t, func(ctx context.Context) error {
		job, err := c.client.BatchV1().Jobs(ns).Get(ctx, "once", metav1.GetOptions{})
		if err == nil && job.Status.CompletionTime == nil {
			err = errors.New("not completed")
		}
		return err
	})
}

func loadBalancerGetsAddress(t *testing.T, c *running, ns string) {
	seen := map[string]bool{}
	for _, name := range []string{"one", "two"} {
		svc := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}},
		}
		made, err := c.client.CoreV1().Services(ns).Create(t.Context(), svc, metav1.CreateOptions{})
		create(t, made, err)
		address := ""
		eventually(t, func(ctx context.Context) error {
			svc, err := c.client.CoreV1().Services(ns).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if len(svc.Status.LoadBalancer.Ingress) != 1 {
				return errors.New("no address")
			}
			address = svc.Status.LoadBalancer.Ingress[0].IP
			return nil
		})
		if ip, err := netip.ParseAddr(address); err != nil || !loadBalancerNet().Contains(ip) || seen[address] {
			t.Errorf("Service %s has the address %q, want a new one of %s", name, address, loadBalancerNet())
		}
		seen[address] = true
	}
}

func claimFollowsItsPod(t *testing.T, c *running, ns string) {
	ctx := t.Context()
	claims := c.client.CoreV1().PersistentVolumeClaims(ns)
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	made, err := claims.Create(ctx, claim, metav1.CreateOptions{})
	create(t, made, err)
	template := podTemplate("db")
	template.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	pod, err := c.client.CoreV1().Pods(ns).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: template.Spec}, metav1.CreateOptions{})
	create(t, pod, err)
	capacity := func(want string) func(context.Context) error {
		return func(ctx context.Context) error {
			got, err := claims.Get(ctx, "data", metav1.GetOptions{})
			if err == nil && (got.Status.Phase != corev1.ClaimBound || got.Status.Capacity.Storage().Cmp(resource.MustParse(want)) != 0) {
				err = fmt.Errorf("the claim is %s with %s, want Bound with %s", got.Status.Phase, got.Status.Capacity.Storage(), want)
			}
			return err
		}
	}
	eventually(t, capacity("1Gi"))
	eventually(t, func(ctx context.Context) error {
		claim, err := claims.Get(ctx, "data", metav1.GetOptions{})
		if err != nil {
			return err
		}
		claim.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
		_, err = claims.Update(ctx, claim, metav1.UpdateOptions{})
		return err
	})
	eventually(t, capacity("2Gi"))
	bound, err := claims.Get(ctx, "data", metav1.GetOptions{})
	create(t, bound, err)
	if err := errors.Join(c.client.CoreV1().Pods(ns).Delete(ctx, "db", metav1.DeleteOptions{}), claims.Delete(ctx, "data", metav1.DeleteOptions{})); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		_, err := c.client.CoreV1().PersistentVolumes().Get(ctx, bound.Spec.VolumeName, metav1.GetOptions{})
		return expectGone(err)
	})
}

func expectGone(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil:
		return errors.New("it is still there")
	default:
		return err
	}
}

func ownedObjectsAreCollected(t *testing.T, c *running, ns string) {
	ctx := t.Context()
	made, err := c.client.AppsV1().Deployments(ns).Create(ctx, deployment("web", 1), metav1.CreateOptions{})
	create(t, made, err)
	eventually(t, deploymentAvailable(c, ns, "web"))
	if err := c.client.AppsV1().Deployments(ns).Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		pods, err := c.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err == nil && len(pods.Items) > 0 {
			err = fmt.Errorf("%d pods are left", len(pods.Items))
		}
		return err
	})
}

func namespaceGoesAway(t *testing.T, c *running, ns string) {
	ctx := t.Context()
	made, err := c.client.AppsV1().Deployments(ns).Create(ctx, deployment("web", 1), metav1.CreateOptions{})
	create(t, made, err)
	eventually(t, deploymentAvailable(c, ns, "web"))
	if err := c.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		_, err := c.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		return expectGone(err)
	})
}

func tokenIsBoundByRBAC(t *testing.T, c *running, ns string) {
	ctx := t.Context()
	account, err := c.client.CoreV1().ServiceAccounts(ns).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "bot"}}, metav1.CreateOptions{})
	create(t, account, err)
	token, err := c.client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "bot", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	create(t, token, err)
	bot, err := kubernetes.NewForConfig(&rest.Config{Host: c.rest.Host, TLSClientConfig: rest.TLSClientConfig{CAData: c.rest.CAData}, BearerToken: token.Status.Token})
	create(t, bot, err)
	who, err := bot.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	create(t, who, err)
	if want := "system:serviceaccount:" + ns + ":bot"; who.Status.UserInfo.Username != want {
		t.Errorf("the token is of %q, want %q", who.Status.UserInfo.Username, want)
	}
	if _, err := bot.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("without a role a list of pods gives %v, want Forbidden", err)
	}
	role, err := c.client.RbacV1().Roles(ns).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	create(t, role, err)
	binding, err := c.client.RbacV1().RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "bot"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "bot", Namespace: ns}},
	}, metav1.CreateOptions{})
	create(t, binding, err)
	eventually(t, func(ctx context.Context) error {
		_, err := bot.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		return err
	})
}

func podSecurityRefuses(t *testing.T, c *running, ns string) {
	patchLabel(t, c, ns, "pod-security.kubernetes.io/enforce", "restricted")
	eventually(t, func(ctx context.Context) error { // the admission plugin sees the label through a cache
		_, err := c.client.CoreV1().Pods(ns).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}, Spec: podTemplate("p").Spec}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
			return fmt.Errorf("an unrestricted pod gives %v, want it forbidden by PodSecurity", err) //nolint:errorlint // err may be nil
		}
		return nil
	})
}

func patchLabel(t *testing.T, c *running, ns, key, value string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		obj, err := c.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		obj.Labels[key] = value
		_, err = c.client.CoreV1().Namespaces().Update(ctx, obj, metav1.UpdateOptions{})
		return err
	})
}

func webhookServiceIsRefused(t *testing.T, c *running, ns string) {
	ctx := t.Context()
	fail, none, path := admissionv1.Fail, admissionv1.SideEffectClassNone, "/validate"
	made, err := c.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(ctx, &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "check.example.org", FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: ns, Name: "hook", Path: &path}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}},
	}, metav1.CreateOptions{})
	create(t, made, err)
	svc, err := c.client.CoreV1().Services(ns).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "hook"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 443}}}}, metav1.CreateOptions{})
	create(t, svc, err)
	eventually(t, func(ctx context.Context) error { // the API server sees the configuration and the Service through caches
		_, err := c.client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}}, metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), "imitated nodes run nothing") {
			return fmt.Errorf("creating the ConfigMap gives %v, want the refusal", err) //nolint:errorlint // err may be nil
		}
		return nil
	})
	if err := c.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func factsAreThere(t *testing.T, c *running, _ string) {
	ctx := t.Context()
	version, err := c.client.Discovery().ServerVersion()
	create(t, version, err)
	if !strings.HasPrefix(version.GitVersion, "v1.") || version.Major != "1" || version.Minor == "" {
		t.Errorf("the server says it is %+v", version)
	}
	dns, err := c.client.CoreV1().Services("kube-system").Get(ctx, "kube-dns", metav1.GetOptions{})
	create(t, dns, err)
	if dns.Spec.ClusterIP != serviceIPDNS {
		t.Errorf("kube-dns is at %s, want %s", dns.Spec.ClusterIP, serviceIPDNS)
	}
	cidrs, err := c.client.NetworkingV1().ServiceCIDRs().Get(ctx, "kubernetes", metav1.GetOptions{})
	create(t, cidrs, err)
	if len(cidrs.Spec.CIDRs) != 1 || cidrs.Spec.CIDRs[0] != serviceCIDR {
		t.Errorf("the service CIDRs are %v, want %s", cidrs.Spec.CIDRs, serviceCIDR)
	}
	nodes, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	create(t, nodes, err)
	for _, n := range nodes.Items {
		if n.Annotations[imitatedNodeAnnotation] != "fake" || !strings.HasPrefix(n.Spec.ProviderID, "aws:///") || n.Spec.PodCIDR == "" {
			t.Errorf("Node %s: annotations %v, providerID %q, podCIDR %q", n.Name, n.Annotations, n.Spec.ProviderID, n.Spec.PodCIDR)
		}
	}
	class, err := c.client.StorageV1().StorageClasses().Get(ctx, standardClass, metav1.GetOptions{})
	create(t, class, err)
}

func kubectlWorks(t *testing.T, c *running, ns string) {
	if out, err := c.kubectl(t, "-n", ns, "create", "configmap", "x", "--from-literal=a=b"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := c.kubectl(t, "-n", ns, "get", "configmap", "x", "-o", "jsonpath={.data.a}")
	if err != nil || out != "b" {
		t.Errorf("kubectl printed %q, %v; want b", out, err)
	}
	if out, err := c.kubectl(t, "-n", ns, "get", "configmap", "absent"); err == nil || !strings.Contains(out, "NotFound") {
		t.Errorf("kubectl printed %q, %v; want NotFound and a failure", out, err)
	}
}

func writesAreAudited(t *testing.T, c *running, ns string) {
	made, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "audited"}}, metav1.CreateOptions{})
	create(t, made, err)
	text, err := os.ReadFile(filepath.Join(c.dir, fileAuditLog))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `"/api/v1/namespaces/`+ns+`/configmaps"`) {
		t.Error("the audit log does not name the created ConfigMap")
	}
	if strings.Contains(string(text), `"verb":"get"`) {
		t.Error("the audit log has reads")
	}
}

func apiServerRestarts(t *testing.T, c *running) {
	ns := makeNamespace(t, c)
	made, err := c.client.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	create(t, made, err)
	for _, how := range []string{"stop", "kill"} {
		if err := c.localcluster(t, "apiserver", how); err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.CoreV1().ConfigMaps(ns).Get(t.Context(), "kept", metav1.GetOptions{}); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("after %s a read gives %v, want it refused", how, err)
		}
		if err := c.localcluster(t, "apiserver", how); err == nil || !strings.Contains(err.Error(), "is not running") {
			t.Errorf("a second %s gives %v, want that it is not running", how, err)
		}
		if err := c.localcluster(t, "apiserver", "start"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.CoreV1().ConfigMaps(ns).Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
			t.Errorf("after %s and start: %v", how, err)
		}
	}
	dep, err := c.client.AppsV1().Deployments(ns).Create(t.Context(), deployment("after", 1), metav1.CreateOptions{})
	create(t, dep, err)
	eventually(t, deploymentAvailable(c, ns, "after"))
}

func socketsAreLocal(t *testing.T, c *running) {
	procs := processesIn(c.dir)
	if len(procs) != 6 {
		t.Errorf("processes of the cluster: %v, want the supervisor and five components", procs)
	}
	for pid, name := range procs {
		foreign, err := foreignSockets(pid)
		if err != nil {
			t.Fatal(err)
		}
		if len(foreign) > 0 {
			t.Errorf("%s has sockets beyond 127.0.0.1: %v", name, foreign)
		}
	}
}

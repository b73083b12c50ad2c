package operator_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	k8sschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// deployed is the name of the namespace, the ServiceAccount and the ConfigMap of deploy/.
const deployed = "addon-operator"

// samples has a small object of every kind that deploy/rbac.yaml lets modules have,
// by resource: apiVersion, kind and what makes it valid.
func samples() map[string][3]string {
	workload := "selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: x, image: registry.invalid/x}]}}"
	// More than the operator may do itself, so that escalate and bind are needed.
	rules := `rules: [{apiGroups: [""], resources: [pods/exec], verbs: [create]}]`
	const admission = "admissionregistration.k8s.io/v1"
	return map[string][3]string{
		"configmaps":                      {"v1", "ConfigMap", "data: {a: b}"},
		"persistentvolumeclaims":          {"v1", "PersistentVolumeClaim", "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"},
		"secrets":                         {"v1", "Secret", "stringData: {a: b}"},
		"serviceaccounts":                 {"v1", "ServiceAccount", ""},
		"services":                        {"v1", "Service", "spec: {ports: [{port: 80}]}"},
		"daemonsets":                      {"apps/v1", "DaemonSet", "spec: {" + workload + "}"},
		"deployments":                     {"apps/v1", "Deployment", "spec: {replicas: 0, " + workload + "}"},
		"statefulsets":                    {"apps/v1", "StatefulSet", "spec: {replicas: 0, serviceName: x, " + workload + "}"},
		"poddisruptionbudgets":            {"policy/v1", "PodDisruptionBudget", "spec: {minAvailable: 1, selector: {matchLabels: {app: none}}}"},
		"ingresses":                       {"networking.k8s.io/v1", "Ingress", "spec: {defaultBackend: {service: {name: x, port: {number: 80}}}}"},
		"ingressclasses":                  {"networking.k8s.io/v1", "IngressClass", "spec: {controller: example.com/x}"},
		"networkpolicies":                 {"networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}}"},
		"roles":                           {"rbac.authorization.k8s.io/v1", "Role", rules},
		"clusterroles":                    {"rbac.authorization.k8s.io/v1", "ClusterRole", rules},
		"rolebindings":                    {"rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: kinds}"},
		"clusterrolebindings":             {"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kinds}"},
		"mutatingwebhookconfigurations":   {admission, "MutatingWebhookConfiguration", "webhooks: []"},
		"validatingwebhookconfigurations": {admission, "ValidatingWebhookConfiguration", "webhooks: []"},
		"certificates":                    {"cert-manager.io/v1", "Certificate", "spec: {}"},
		"issuers":                         {"cert-manager.io/v1", "Issuer", "spec: {}"},
		"clusterissuers":                  {"cert-manager.io/v1", "ClusterIssuer", "spec: {}"},
	}
}

// right is one verb on one resource, as rules grant it and as the audit log shows it.
type right struct{ group, resource, verb string }

// unseen are rights whose use the log of writes does not show, with the reason why they are needed.
func unseen(r right) string {
	switch {
	case r.group == "*" && slices.Contains([]string{"get", "list", "watch"}, r.verb):
		return "reads are not in the log; without them the operator does not start"
	case r.verb == "bind" || r.verb == "escalate":
		return "asked for within the creation of a role or binding, which fails without it"
	}
	return ""
}

// movedCRD is a CRD with one version.
func movedCRD(version string) string {
	return `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: moveds.rights.test},
  spec: {group: rights.test, scope: Cluster, names: {plural: moveds, kind: Moved},
    versions: [{name: ` + version + `, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}
`
}

// Every right of deploy/rbac.yaml is used, and nothing else is asked for: a rule
// taken away makes a request fail, and one that nothing needs shows up.
func TestTheRightsOfDeployAreNeededAndEnough(t *testing.T) {
	cluster, err := testkit.Start("--audit-log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	b := newBedOn(t, cluster)
	b.Namespace, b.Config.Namespace = deployed, deployed
	roles := b.deploy("namespace.yaml", "rbac.yaml")
	granted := rightsOf(t, roles)
	b.Config.KubeConfig = b.tokenKubeconfig(cluster)
	b.Config.HA, b.Config.Pod = true, "addon-operator-0" // as deployment.yaml has it

	b.kindsModule(granted)
	b.Config.Webhooks.Admission.ListenAddress = loopback(t)
	b.Config.Webhooks.URL = "https://" + b.Config.Webhooks.Admission.ListenAddress
	b.files(map[string]string{
		"modules/100-kinds/hooks/policy.sh": policy("CREATE"),
		"modules/100-kinds/hooks/before.sh": script("beforeHelm: 1", `
if [[ $(jq -r '.kinds.password // "none"' "$CONFIG_VALUES_PATH") == none ]]; then
  echo '{"op":"add","path":"/kinds","value":{"password":"secret-leaf","note":"by a hook"}}' > "$CONFIG_VALUES_JSON_PATCH_PATH"
fi`),
		"modules/100-kinds/openapi/config-values.yaml": secretSchema,
		"modules/100-kinds/module.yaml":                "namespace: kinds\npodSecurity: baseline\n",
		"modules/100-kinds/values.yaml":                "kinds: {round: one}\n",
		"modules/090-crds/crds/all.yaml":               certManagerCRDs("one"),
		"modules/090-crds/crds/moved.yaml":             movedCRD("v1"),
	})
	b.chart("090-crds", shown("crds", "is", "here"))
	b.account("acts", "acts-home")
	b.Config.ActAs("acts", "acts")
	b.chart("110-acts", shown("acts", "is", "here"))
	b.files(map[string]string{
		"modules/110-acts/module.yaml":    "namespace: acts-home\n",
		"modules/110-acts/hooks/start.sh": script("onStartup: 1", ""),
	})
	b.settings(map[string]string{"kindsEnabled": "true", "crdsEnabled": "true", "actsEnabled": "true"})
	stop := b.start()
	b.ready("crds", "kinds", "acts")
	for range 2 { // the same message twice: an Event is counted up
		b.edit("crdsEnabled", "perhaps")
		b.wants("crds", "ConfigValid", "False")
		b.edit("crdsEnabled", "true")
		b.wants("crds", "ConfigValid", "True")
	}
	stop()

	// A newer version of everything: objects, CRDs and the level of the namespace.
	b.files(map[string]string{
		"modules/100-kinds/hooks/policy.sh": policy("UPDATE"),
		"modules/100-kinds/module.yaml":     "namespace: kinds\npodSecurity: restricted\n",
		"modules/100-kinds/values.yaml":     "kinds: {round: two}\n",
		"modules/090-crds/crds/all.yaml":    certManagerCRDs("two"),
		"modules/090-crds/crds/moved.yaml":  movedCRD("v2"), // what objects were stored in is dropped
	})
	stop = b.start()
	b.eventually(func() bool { return b.revision("kinds") == 2 }, "the newer version is applied")
	b.ready("kinds")
	b.edit("kindsEnabled", "false")
	b.eventually(func() bool { return b.event("kinds", "Uninstalled", "") }, "the module is removed")
	stop()

	// A module of which nothing is left.
	if err := os.RemoveAll(filepath.Join(b.Config.ModulesDir, "100-kinds")); err != nil {
		t.Fatal(err)
	}
	stop = b.start()
	b.eventually(func() bool { return b.module("kinds") == nil }, "its Module resource is gone")
	b.converged()
	stop()
	b.showReleases()

	used := b.requests(filepath.Join(cluster.Dir, "audit.log"))
	for r := range granted {
		if why := unseen(r); !used[r] && why == "" {
			t.Errorf("deploy/rbac.yaml grants %s of %s.%s, but nothing needed it", r.verb, r.resource, r.group)
		}
	}
}

// showReleases shows a source and a release, and takes the release away, with the operator's token.
func (b *bed) showReleases() {
	b.t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", b.Config.KubeConfig)
	if err != nil {
		b.t.Fatal(err)
	}
	r := report.New(report.Config{Dynamic: dynamic.NewForConfigOrDie(cfg), Client: kubernetes.NewForConfigOrDie(cfg), Namespace: deployed, ConfigMap: deployed, Logger: b.Config.Logger})
	ctx, stop := context.WithCancel(b.ctx)
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	made := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "addon-operator.io/v1alpha1", "kind": "ModuleSource", "metadata": map[string]any{"name": "rights"},
		"spec": map[string]any{"url": "oci://127.0.0.1:1/none", "suspend": true, "verify": map[string]any{"keys": []any{"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"}}}}}
	if _, err := b.Dynamic.Resource(report.Sources).Create(b.ctx, made, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
	r.ReportSource(source.Status{Name: "rights", Modules: 3})
	rel := source.Release{Module: "rights", Version: "1.0.0", Digest: "sha256:0123456789", Phase: source.Pending}
	r.ReportRelease(rel)
	shows := func(res k8sschema.GroupVersionResource, name, field string) bool {
		o, err := b.Dynamic.Resource(res).Get(b.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false
		}
		_, ok, _ := unstructured.NestedFieldNoCopy(o.Object, "status", field)
		return ok
	}
	b.eventually(func() bool {
		return shows(report.Sources, "rights", "modules") && shows(report.Releases, rel.Name(), "phase")
	}, "both show their state")
	if err := r.KeepReleases(b.ctx, nil); err != nil {
		b.t.Error(err)
	}
	if err := b.Dynamic.Resource(report.Sources).Delete(b.ctx, "rights", metav1.DeleteOptions{}); err != nil {
		b.t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		b.t.Error(err)
	}
}

// policy is a hook that reviews an operation on an object that nobody writes.
func policy(operation string) string {
	binding := func(name string) string {
		return "- {name: " + name + ".example.com, rules: [{apiGroups: [example.com], apiVersions: [v1], resources: [nothings], operations: [" + operation + "]}]}\n"
	}
	return script("kubernetesValidating:\n"+binding("validating.kinds")+"kubernetesMutating:\n"+binding("mutating.kinds"),
		`echo '{"allowed": true}' > "$ADMISSION_RESPONSE_PATH"`)
}

// loopback is an address on which nobody listens.
func loopback(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// deploy creates what files of deploy/ have and returns their roles.
func (b *bed) deploy(files ...string) (roles []rbacv1.ClusterRole) {
	b.t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(testkit.Root(), "deploy", file))
		if err != nil {
			b.t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var o unstructured.Unstructured
			if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				b.t.Fatalf("%s: %v", file, err)
			}
			if len(o.Object) == 0 {
				continue
			}
			resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
			_, err := b.Dynamic.Resource(resource).Namespace(o.GetNamespace()).Create(b.ctx, &o, metav1.CreateOptions{})
			if err != nil && !apierrors.IsAlreadyExists(err) {
				b.t.Fatalf("%s: %v", file, err)
			}
			if k := o.GetKind(); k == "Role" || k == "ClusterRole" {
				var r rbacv1.ClusterRole // a Role has the same rules
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &r); err != nil {
					b.t.Fatal(err)
				}
				roles = append(roles, r)
			}
		}
	}
	return roles
}

// rightsOf takes rules apart. The value says whether the right is one of modules.
func rightsOf(t *testing.T, roles []rbacv1.ClusterRole) map[right]bool {
	t.Helper()
	all := map[right]bool{}
	for _, role := range roles {
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						r := right{group, resource, verb}
						all[r] = all[r] || strings.HasSuffix(role.Name, "-modules")
					}
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("deploy/rbac.yaml grants nothing")
	}
	return all
}

// tokenKubeconfig writes a kubeconfig with a token of deploy/'s ServiceAccount and nothing else.
func (b *bed) tokenKubeconfig(cluster *testkit.LocalCluster) string {
	b.t.Helper()
	token, err := b.Client.CoreV1().ServiceAccounts(deployed).CreateToken(b.ctx, deployed, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(cluster.Kubeconfig)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificate, user.ClientCertificateData, user.ClientKey, user.ClientKeyData = "", nil, "", nil
		user.Token = token.Status.Token
	}
	path := filepath.Join(b.Dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// kindsModule writes a module with an object of every kind that rights of modules name.
func (b *bed) kindsModule(granted map[right]bool) {
	b.t.Helper()
	have := samples()
	text := &strings.Builder{}
	resources := map[string]bool{}
	for r, ofModules := range granted {
		if ofModules {
			resources[r.resource] = true
		}
	}
	for _, resource := range slices.Sorted(maps.Keys(resources)) {
		s, ok := have[resource]
		if !ok {
			b.t.Fatalf("deploy/rbac.yaml lets modules have %s: add an object of this kind to samples", resource)
		}
		fmt.Fprintf(text, "---\napiVersion: %s\nkind: %s\nmetadata: {name: kinds, labels: {round: {{ .Values.kinds.round }}}}\n%s\n", s[0], s[1], s[2])
	}
	b.chart("100-kinds", text.String())
}

func certManagerCRDs(round string) string {
	text := ""
	for plural, kind := range map[string]string{"certificates": "Certificate", "issuers": "Issuer", "clusterissuers": "ClusterIssuer"} {
		one := strings.ReplaceAll(crd(plural, kind), "test.example.com", "cert-manager.io")
		one = strings.ReplaceAll(one, "metadata: {", "metadata: {labels: {round: "+round+"}, annotations: {api-approved.kubernetes.io: unapproved}, ")
		if plural == "clusterissuers" {
			one = strings.ReplaceAll(one, "scope: Namespaced", "scope: Cluster")
		}
		text += "---\n" + one
	}
	return text
}

// requests reads what the operator's ServiceAccount wrote; a request that was forbidden fails the test.
func (b *bed) requests(auditLog string) map[right]bool {
	b.t.Helper()
	f, err := os.Open(auditLog)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	used := map[right]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Verb, RequestURI string
			User             struct{ Username string }
			ImpersonatedUser struct{ Username string }
			ObjectRef        struct{ APIGroup, Resource, Subresource string }
			ResponseStatus   struct{ Code int }
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil || e.User.Username != "system:serviceaccount:"+deployed+":"+deployed {
			continue
		}
		if e.ResponseStatus.Code == 403 {
			b.t.Errorf("forbidden: %s %s", e.Verb, e.RequestURI)
		}
		if e.ImpersonatedUser.Username != "" { // what follows is the account's right
			used[right{"", "serviceaccounts", "impersonate"}] = true
			continue
		}
		resource := e.ObjectRef.Resource
		if e.ObjectRef.Subresource != "" {
			resource += "/" + e.ObjectRef.Subresource
		}
		used[right{e.ObjectRef.APIGroup, resource, e.Verb}] = true
	}
	if err := lines.Err(); err != nil {
		b.t.Fatal(err)
	}
	if len(used) == 0 {
		b.t.Fatal("the audit log has no request of the operator")
	}
	return used
}

// Package deploy_test checks what is installed: the manifests against a real API server, the rights against what the
// operator does and the modules contain, and the Dockerfile against the tree.
package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// grant is one verb on one resource; cluster is false for a right in the operator's own namespace.
type grant struct {
	group, resource, verb string
	cluster               bool
}

func (g grant) String() string {
	where := "in all namespaces"
	if !g.cluster {
		where = "in the operator's namespace"
	}
	return fmt.Sprintf("%s %s.%s %s", g.verb, g.resource, g.group, where)
}

func TestTheOperatorMayDoWhatItDoesItselfAndNoMore(t *testing.T) {
	t.Parallel()
	needed := map[grant]string{
		{"", "secrets", "update", false}:                                                    "finish a release record; store secret leaves",
		{"", "configmaps", "update", false}:                                                 "carry out a config patch; store facts",
		{"coordination.k8s.io", "leases", "create", false}:                                  "high availability",
		{"coordination.k8s.io", "leases", "update", false}:                                  "take the Lease, renew and release it",
		{"", "serviceaccounts", "impersonate", false}:                                       "Helm and object operations as the account of a source",
		{"", "serviceaccounts/token", "create", false}:                                      "hooks as the account of a source",
		{"*", "*", "get", true}:                                                             "lookup in templates, objects of releases",
		{"*", "*", "list", true}:                                                            "hooks' bindings, health, is a namespace empty",
		{"*", "*", "watch", true}:                                                           "the same",
		{"addon-operator.io", "modules", "create", true}:                                    "show a new module",
		{"addon-operator.io", "modules", "delete", true}:                                    "a module that is gone",
		{"addon-operator.io", "modules/status", "patch", true}:                              "show its state",
		{"addon-operator.io", "modulesources/status", "patch", true}:                        "show what was polled",
		{"addon-operator.io", "modulereleases", "create", true}:                             "show a new version on its way",
		{"addon-operator.io", "modulereleases", "delete", true}:                             "a version that is long overtaken",
		{"addon-operator.io", "modulereleases/status", "patch", true}:                       "show how far it is",
		{"", "events", "create", true}:                                                      "tell",
		{"", "events", "patch", true}:                                                       "count a repeated Event",
		{"apiextensions.k8s.io", "customresourcedefinitions", "create", true}:               "CRDs first",
		{"apiextensions.k8s.io", "customresourcedefinitions", "update", true}:               "newer CRDs, deleted parts of them",
		{"apiextensions.k8s.io", "customresourcedefinitions/status", "update", true}:        "versions that nothing is stored in",
		{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "create", true}: "kubernetesValidating",
		{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "update", true}: "changed bindings, a new certificate authority",
		{"admissionregistration.k8s.io", "validatingwebhookconfigurations", "delete", true}: "hooks that are gone",
		{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "create", true}:   "kubernetesMutating",
		{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "update", true}:   "as above",
		{"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "delete", true}:   "as above",
		{"", "namespaces", "create", true}:                                                  "module.yaml: namespace",
		{"", "namespaces", "update", true}:                                                  "module.yaml: podSecurity changed",
		{"", "namespaces", "delete", true}:                                                  "made by the operator, and empty",
		{"rbac.authorization.k8s.io", "roles", "bind", true}:                                "charts' RoleBindings",
		{"rbac.authorization.k8s.io", "roles", "escalate", true}:                            "charts' Roles",
		{"rbac.authorization.k8s.io", "clusterroles", "bind", true}:                         "charts' bindings",
		{"rbac.authorization.k8s.io", "clusterroles", "escalate", true}:                     "charts' ClusterRoles",
	}
	compareGrants(t, slices.Collect(maps.Keys(needed)), granted(t, "addon-operator"))
}

func TestTheOperatorMayInstallTheKindsOfTheModulesAndNoOthers(t *testing.T) {
	t.Parallel()
	var needed []grant
	for kind := range renderedKinds(t) {
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		for _, verb := range []string{"create", "patch", "delete"} {
			needed = append(needed, grant{kind.Group, resource.Resource, verb, true})
		}
	}
	compareGrants(t, needed, granted(t, "addon-operator-modules"))
}

func compareGrants(t *testing.T, needed, granted []grant) {
	t.Helper()
	for _, g := range needed {
		if !slices.Contains(granted, g) {
			t.Errorf("missing in rbac.yaml: %s", g)
		}
	}
	for _, g := range granted {
		if !slices.Contains(needed, g) {
			t.Errorf("granted in rbac.yaml, but nothing needs it: %s", g)
		}
	}
}

// granted is what the roles of a name grant, verb by verb.
func granted(t *testing.T, role string) (all []grant) {
	t.Helper()
	for _, o := range objects(t, "rbac.yaml") {
		if o.GetName() != role || (o.GetKind() != "Role" && o.GetKind() != "ClusterRole") {
			continue
		}
		var r rbacv1.ClusterRole // a Role has the same rules
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &r); err != nil {
			t.Fatal(err)
		}
		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all = append(all, grant{group, resource, verb, o.GetKind() == "ClusterRole"})
					}
				}
			}
		}
	}
	return all
}

// renderedKinds are the kinds in the golden renders of all modules.
func renderedKinds(t *testing.T) map[schema.GroupVersionKind]bool {
	t.Helper()
	files, err := filepath.Glob("../modules/*/testdata/*/golden.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden renders: %v", err)
	}
	kinds := map[schema.GroupVersionKind]bool{}
	for _, file := range files {
		for _, o := range objects(t, file) {
			kinds[o.GroupVersionKind()] = true
		}
	}
	return kinds
}

func TestTheAPIServerAcceptsEveryManifestStrictly(t *testing.T) {
	apply(t, "namespace.yaml", metav1.CreateOptions{})
	for _, file := range []string{"rbac.yaml", "configmap.yaml", "service.yaml", "pdb.yaml", "deployment.yaml"} {
		t.Run(file, func(t *testing.T) { apply(t, file, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}) })
	}
}

func TestPodsOfTheDeploymentMeetThePodSecurityOfTheirNamespace(t *testing.T) {
	apply(t, "namespace.yaml", metav1.CreateOptions{})
	apply(t, "rbac.yaml", metav1.CreateOptions{})
	deployment := one(t, "deployment.yaml")
	template, _, err := unstructured.NestedMap(deployment.Object, "spec", "template")
	if err != nil {
		t.Fatal(err)
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetName("addon-operator")
	pod.SetNamespace(deployment.GetNamespace())
	create(t, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
}

func TestTheServiceOfWebhooksLeadsToTheOperator(t *testing.T) {
	t.Parallel()
	service, deployment := one(t, "service.yaml"), one(t, "deployment.yaml")
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("containers: %v", err)
	}
	container, _ := containers[0].(map[string]any)
	for _, variable := range []string{"VALIDATING_WEBHOOK_SERVICE_NAME", "CONVERSION_WEBHOOK_SERVICE_NAME"} {
		if want := map[string]any{"name": variable, "value": service.GetName()}; !contains(container["env"], want) {
			t.Errorf("the Deployment does not set %v", want)
		}
	}
	port := map[string]any{"name": "webhooks", "port": 443, "targetPort": "webhooks"}
	if ports, _, _ := unstructured.NestedSlice(service.Object, "spec", "ports"); !contains(ports, port) || len(ports) != 1 {
		t.Errorf("the Service has ports %v, expected %v: the API server asks at 443", ports, port)
	}
	if want := map[string]any{"name": "webhooks", "containerPort": 9680}; !contains(container["ports"], want) {
		t.Errorf("the container has ports %v, expected %v among them", container["ports"], want)
	}
	selector, _, _ := unstructured.NestedMap(service.Object, "spec", "selector")
	labels, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template", "metadata", "labels")
	if diff := cmp.Diff(labels, selector); diff != "" {
		t.Errorf("labels of pods (-) and selector of the Service (+) differ:\n%s", diff)
	}
}

// C-450: replicas exclude each other, can be asked by each other, and are not drained all at once.
// Below /tmp the cache would be in memory, and bounded by less than its own size.
func TestTheCacheOfTheDeploymentIsOnAVolumeOfItsOwn(t *testing.T) {
	t.Parallel()
	var d appsv1.Deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(one(t, "deployment.yaml").Object, &d); err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	mounts, volumes := pod.Containers[0].VolumeMounts, pod.Volumes
	m := slices.IndexFunc(mounts, func(m corev1.VolumeMount) bool { return m.MountPath == env["ADDON_OPERATOR_CACHE_DIR"] })
	if m < 0 || mounts[m].ReadOnly {
		t.Fatalf("no volume is mounted at ADDON_OPERATOR_CACHE_DIR %q for writing: %v", env["ADDON_OPERATOR_CACHE_DIR"], mounts)
	}
	v := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == mounts[m].Name })
	if v < 0 || volumes[v].EmptyDir == nil || volumes[v].EmptyDir.Medium != corev1.StorageMediumDefault {
		t.Fatalf("the volume %s is no emptyDir on disk", mounts[m].Name)
	}
	// What is pinned, and what is unpacked from it, comes on top of the bound.
	size, err := strconv.ParseInt(env["ADDON_OPERATOR_CACHE_SIZE"], 10, 64)
	if limit := volumes[v].EmptyDir.SizeLimit; err != nil || limit == nil || limit.Value() < size*2 {
		t.Errorf("the cache may have %d bytes (%v), the volume %v: expected twice as much", size, err, limit)
	}
}

func TestTheReplicasOfTheDeploymentAreHighlyAvailable(t *testing.T) {
	t.Parallel()
	deployment, budget := one(t, "deployment.yaml"), one(t, "pdb.yaml")
	if n, _, _ := unstructured.NestedFieldNoCopy(deployment.Object, "spec", "replicas"); fmt.Sprint(n) != "2" {
		t.Errorf("%v replicas", n)
	}
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("containers: %v", err)
	}
	container, _ := containers[0].(map[string]any)
	field := func(name, path string) map[string]any {
		return map[string]any{"name": name, "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": path}}}
	}
	for _, want := range []map[string]any{
		{"name": "ADDON_OPERATOR_HA", "value": "true"}, field("ADDON_OPERATOR_POD", "metadata.name"),
		field("ADDON_OPERATOR_NAMESPACE", "metadata.namespace"), field("ADDON_OPERATOR_LISTEN_ADDRESS", "status.podIP"),
	} {
		if !contains(container["env"], want) {
			t.Errorf("the Deployment does not set %v", want)
		}
	}
	selector, _, _ := unstructured.NestedMap(budget.Object, "spec", "selector", "matchLabels")
	labels, _, _ := unstructured.NestedMap(deployment.Object, "spec", "template", "metadata", "labels")
	if diff := cmp.Diff(labels, selector); diff != "" {
		t.Errorf("labels of pods (-) and selector of the PodDisruptionBudget (+) differ:\n%s", diff)
	}
}

func contains(list any, want map[string]any) bool {
	all, _ := list.([]any)
	return slices.ContainsFunc(all, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(want) }) // numbers are of several types
}

func TestTheServiceAccountIsNoAdministrator(t *testing.T) {
	apply(t, "namespace.yaml", metav1.CreateOptions{})
	apply(t, "rbac.yaml", metav1.CreateOptions{})
	client, err := kubernetes.NewForConfig(testkit.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	for sentence, c := range map[string]struct {
		attributes authorizationv1.ResourceAttributes
		allowed    bool
	}{
		"it may install a Deployment anywhere": {authorizationv1.ResourceAttributes{Group: "apps", Resource: "deployments", Verb: "create", Namespace: "monitoring"}, true},
		"it may finish its release records":    {authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "update", Namespace: "addon-operator"}, true},
		"it may not update others' Secrets":    {authorizationv1.ResourceAttributes{Resource: "secrets", Verb: "update", Namespace: "kube-system"}, false},
		"it may not delete nodes":              {authorizationv1.ResourceAttributes{Resource: "nodes", Verb: "delete"}, false},
		"it may not delete CRDs":               {authorizationv1.ResourceAttributes{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: "delete"}, false},
		"it may not run commands in pods":      {authorizationv1.ResourceAttributes{Resource: "pods", Subresource: "exec", Verb: "create", Namespace: "default"}, false},
		"it may not act as somebody else":      {authorizationv1.ResourceAttributes{Resource: "users", Verb: "impersonate"}, false},
	} {
		t.Run(sentence, func(t *testing.T) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User:               "system:serviceaccount:addon-operator:addon-operator",
				Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:addon-operator", "system:authenticated"},
				ResourceAttributes: &c.attributes,
			}}
			// The authorizer learns of new bindings through a watch.
			var answer string
			testkit.Eventually(t, func() bool {
				got, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				answer = got.Status.String()
				return got.Status.Allowed == c.allowed
			}, func() string { return fmt.Sprintf("allowed to be %t, the API server says %s", c.allowed, answer) })
		})
	}
}

func TestTheStarterConfigMapNamesModulesThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"global": true}
	dirs, err := filepath.Glob("../modules/*/module.yaml")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	for _, file := range dirs {
		_, name, _ := strings.Cut(filepath.Base(filepath.Dir(file)), "-")
		known[values.Key(name)] = true
	}
	data, _, err := unstructured.NestedStringMap(one(t, "configmap.yaml").Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	for key, text := range data {
		section, isFlag := strings.CutSuffix(key, "Enabled")
		if !known[section] {
			t.Errorf("key %s: there is no such module", key)
		}
		var parsed map[string]any
		if err := sigsyaml.UnmarshalStrict([]byte(text), &parsed); !isFlag && err != nil {
			t.Errorf("key %s: %v", key, err)
		}
	}
}

// copied are the sources of COPY instructions that read the tree.
func copied(t *testing.T, dockerfile string) (sources []string) {
	t.Helper()
	for line := range strings.Lines(dockerfile) {
		words := strings.Fields(line)
		if len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from=") {
			continue
		}
		sources = append(sources, words[1:len(words)-1]...)
	}
	if len(sources) == 0 {
		t.Fatal("the Dockerfile copies nothing from the tree")
	}
	return sources
}

func TestWhatTheDockerfileCopiesExists(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	sources := copied(t, string(dockerfile))
	for _, source := range sources {
		if _, err := os.Stat(filepath.Join("..", source)); err != nil {
			t.Errorf("COPY %s: %v", source, err)
		}
		for _, pattern := range ignored(t) {
			if matched, err := path.Match(pattern, source); err != nil || matched {
				t.Errorf("COPY %s: .dockerignore leaves it out by %q (%v)", source, pattern, err)
			}
		}
	}
	// Every package that is built, and all the operator reads when it runs.
	for _, want := range []string{"modules", "global-hooks", "charts", "pkg", "cmd/addon-operator", "cmd/discover-api", "deploy/shell_lib.sh", "deploy/framework/shell"} {
		if !slices.Contains(sources, want) {
			t.Errorf("the Dockerfile does not copy %s", want)
		}
	}
}

// TestTheImageHasWhatHooksExpect: C-115.
func TestTheImageHasWhatHooksExpect(t *testing.T) {
	t.Parallel()
	dockerfile, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`apt-get install .*\bbash\b.*\bjq\b.*\btini\b`, `COPY .*/kubectl /usr/local/bin/kubectl`,
		`COPY deploy/shell_lib\.sh /\n`, `COPY deploy/framework/shell /framework/shell\n`, `RUN ln -s framework /frameworks\n`,
		`ENTRYPOINT \["tini"`,
	} {
		if !regexp.MustCompile(want).Match(dockerfile) {
			t.Errorf("nothing in the Dockerfile matches %s", want)
		}
	}
}

func ignored(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return l == "" || strings.HasPrefix(l, "#") })
}

func TestTheDockerfilePinsTheVersionsOfTheTree(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct{ inDockerfile, file, inFile string }{
		"the compiler is that of go.mod":                {`FROM golang:([0-9.]+)-`, "../go.mod", `(?m)^go ([0-9.]+)$`},
		"kubectl is as new as the tested control plane": {`KUBECTL_VERSION=v([0-9.]+)`, "../cmd/localcluster/go.mod", `(?m)^\tk8s.io/kubernetes v([0-9.]+)$`},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(first(t, c.file, c.inFile), first(t, "Dockerfile", c.inDockerfile)); diff != "" {
				t.Errorf("Dockerfile (+) and %s (-) differ:\n%s", c.file, diff)
			}
		})
	}
}

func first(t *testing.T, file, pattern string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s has no match of %s", file, pattern)
	}
	return string(m[1])
}

// objects are the documents of a file.
func objects(t *testing.T, file string) (all []unstructured.Unstructured) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var o unstructured.Unstructured
		err := decoder.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

func one(t *testing.T, file string) *unstructured.Unstructured {
	t.Helper()
	all := objects(t, file)
	if len(all) != 1 {
		t.Fatalf("%s has %d objects, expected one", file, len(all))
	}
	return &all[0]
}

// apply creates the objects of a file; those that exist are fine.
func apply(t *testing.T, file string, how metav1.CreateOptions) {
	t.Helper()
	how.FieldValidation = metav1.FieldValidationStrict
	for _, o := range objects(t, file) {
		create(t, &o, how)
	}
}

func create(t *testing.T, o *unstructured.Unstructured, how metav1.CreateOptions) {
	t.Helper()
	client, err := dynamic.NewForConfig(testkit.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	resource, _ := meta.UnsafeGuessKindToResource(o.GroupVersionKind())
	_, err = client.Resource(resource).Namespace(o.GetNamespace()).Create(t.Context(), o, how)
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

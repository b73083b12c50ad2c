package modules_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	api "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/report"
)

// The real modules and global hooks, on the cluster of an imitated cloud: what an edit, a fact and a restart lead to.
func TestModulesOnACloud(t *testing.T) {
	s := newSite(t, "")
	stop := s.start()
	s.settled(modulesOn...)
	if got := s.fact("cloud", "provider"); got != "aws" {
		t.Fatalf("the discovered provider is %v", got)
	}
	revisions := map[string]int{"cert-manager": 1, "cert-manager-issuers": 1, "prometheus": 1, "ingress-nginx": 1}
	s.wantRevisions(revisions)
	s.acceptsEveryGolden()

	// A setting of one module concerns that module (C-379 b).
	s.edit(map[string]string{"prometheus": "scrapeInterval: 45s\n"})
	revisions = more(revisions, "prometheus")
	s.wantRevisions(revisions)
	if text := s.data("monitoring", "prometheus-main", "prometheus.yaml"); !strings.Contains(text, "scrape_interval: 45s") {
		t.Errorf("the configuration of Prometheus does not have the new interval:\n%s", text)
	}

	// An invalid one changes nothing and is explained (C-376).
	s.edit(map[string]string{"prometheus": "scrapeInterval: often\n"})
	s.eventually(func() bool {
		c := s.condition("prometheus", "ConfigValid")
		return strings.HasPrefix(c, "False ConfigInvalid") && strings.Contains(c, "scrapeInterval")
	}, "prometheus has ConfigValid=False that names scrapeInterval")
	s.eventually(func() bool { return s.event("prometheus", "ConfigInvalid", "scrapeInterval") }, "a Warning names scrapeInterval")
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "prometheus.scrapeInterval") {
		t.Error("the log does not tell of the invalid edit")
	}
	s.edit(map[string]string{"prometheus": "scrapeInterval: 45s\n"})
	s.eventually(func() bool { return strings.HasPrefix(s.condition("prometheus", "ConfigValid"), "True") }, "the settings are valid again")
	s.wantRevisions(revisions) // what is in force never changed

	// A new fact concerns the modules that read it: one more ingress node, one more controller.
	s.label("ip-10-0-1-11.eu-central-1.compute.internal", "dedicated", "ingress")
	revisions = more(revisions, "ingress-nginx")
	s.wantRevisions(revisions)
	if got := s.fact("nodes", "roles", "ingress", "count"); got != float64(2) {
		t.Errorf("%v ingress nodes were discovered, expected 2", got)
	}
	s.eventually(func() bool { return s.running("ingress-nginx", "controller") == 2 }, "two pods of ingress-nginx run")

	// The user knows better than a hook: no load balancer is to be had here.
	s.edit(map[string]string{"global": "discoveryOverride: {cloud: {provider: none}}\n"})
	revisions = more(revisions, "ingress-nginx")
	s.wantRevisions(revisions)
	if provider, region := s.fact("cloud", "provider"), s.fact("cloud", "region"); provider != "none" || region != "eu-central-1" {
		t.Errorf("provider %v in region %v, expected none and what was discovered", provider, region)
	}
	if _, err := s.client.AppsV1().DaemonSets("ingress-nginx").Get(s.ctx, "ingress-nginx-controller", metav1.GetOptions{}); err != nil {
		t.Errorf("the controller is no DaemonSet: %v", err)
	}
	if _, err := s.client.AppsV1().Deployments("ingress-nginx").Get(s.ctx, "ingress-nginx-controller", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the controller still is a Deployment: %v", err)
	}

	// Without cert-manager, the chart makes the certificate of its webhook.
	s.edit(map[string]string{"certManagerEnabled": "false", "certManagerIssuersEnabled": "false",
		"global": "discoveryOverride: {cloud: {provider: none}, nodes: {imitated: false}}\n"})
	s.eventually(func() bool { return s.data("ingress-nginx", "", "tls.crt") != "" }, "ingress-nginx has made a certificate")
	s.eventually(func() bool {
		return s.phase("cert-manager") == "Disabled" && s.phase("cert-manager-issuers") == "Disabled"
	}, "cert-manager and its issuers are gone")
	s.eventually(func() bool { return strings.Contains(s.ask("/module/ingress-nginx/values.json"), `"cert"`) }, "a hook has kept it")
	s.settled("prometheus", "ingress-nginx")

	// A restart with nothing to do does nothing.
	before, certificate, password := s.revisions(), s.data("ingress-nginx", "", "tls.crt"), s.password()
	stop()
	s.config.ListenAddress = unusedAddress(t)
	s.start()
	s.settled("prometheus", "ingress-nginx")
	if got := s.revisions(); !maps.Equal(got, before) {
		t.Errorf("a restart took the revisions from %v to %v", before, got)
	}
	if s.data("ingress-nginx", "", "tls.crt") != certificate || s.password() != password {
		t.Error("a restart changed what was generated")
	}
}

// Three machines without a cloud: nodes get roles, objects are deleted, modules go and come back.
func TestModulesOnBareMetal(t *testing.T) {
	s := newSite(t, "bare-metal.yaml")
	s.start()
	s.settled(modulesOn...)
	s.eventually(func() bool { return s.running("ingress-nginx", "controller") == 1 }, "one pod of ingress-nginx runs")
	revisions := s.revisions()

	// Host ports are on every ingress node, so a new one gets a pod.
	s.label("worker-1", "dedicated", "ingress")
	s.eventually(func() bool { return s.fact("nodes", "roles", "ingress", "count") == float64(2) }, "two ingress nodes are discovered")
	s.eventually(func() bool { return s.running("ingress-nginx", "controller") == 2 }, "two pods of ingress-nginx run")
	s.settled(modulesOn...)
	now := s.revisions()
	revisions["ingress-nginx"] = now["ingress-nginx"]
	if !maps.Equal(now, revisions) {
		t.Errorf("a label of a node took the revisions from %v to %v", revisions, now)
	}

	// What is deleted comes back, all of it and each time, without a new revision.
	for range 2 {
		s.deleteDeployments("monitoring")
		s.deleteDeployments("cert-manager")
		s.settled(modulesOn...)
	}
	if now := s.revisions(); !maps.Equal(now, revisions) {
		t.Errorf("repairs took the revisions from %v to %v", revisions, now)
	}

	// A module that is switched off goes, and comes back with the password it had.
	password := s.password()
	s.edit(map[string]string{"prometheusEnabled": "false"})
	s.eventually(func() bool { return s.phase("prometheus") == "Disabled" }, "prometheus is Disabled")
	s.eventually(func() bool { return s.revisions()["prometheus"] == 0 }, "its release is gone")
	claims := s.claims("monitoring")
	if len(claims) != 2 {
		t.Errorf("claims %v are left, expected those of the two servers", claims)
	}
	s.edit(map[string]string{"prometheusEnabled": "true"})
	s.settled(modulesOn...)
	if got := s.password(); got != password {
		t.Error("the generated password is another one than before the module was off")
	}
	if got := s.claims("monitoring"); !maps.Equal(got, claims) {
		t.Errorf("claims are %v, expected the kept ones: %v", got, claims)
	}

	// All off in one edit: in reverse order; what was made goes, data and CRDs stay.
	s.edit(map[string]string{"certManagerEnabled": "false", "certManagerIssuersEnabled": "false",
		"prometheusEnabled": "false", "ingressNginxEnabled": "false"})
	s.eventually(func() bool { return len(s.revisions()) == 0 }, "all releases are gone")
	for _, m := range modulesOn {
		s.eventually(func() bool { return s.phase(m) == "Disabled" }, "%s is Disabled", m)
	}
	want := []string{"ingress-nginx", "prometheus", "cert-manager-issuers", "cert-manager"}
	if got := s.uninstalled(); len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("releases were uninstalled in the order %v, expected %v in the end", got, want)
	}
	for _, ns := range []string{"cert-manager", "ingress-nginx"} {
		s.eventually(func() bool { return s.namespaceGone(ns) }, "namespace %s is removed", ns)
	}
	if got := s.claims("monitoring"); !maps.Equal(got, claims) {
		t.Errorf("claims %v are left, expected %v", got, claims)
	}
	s.keepsCRDs("101-cert-manager")
	s.hidesPassword(password)
}

// acceptsEveryGolden sends every object of every golden render to the API server, which has to accept it strictly; and a
// pod of every template, which has to be allowed in the module's namespace.
func (s *site) acceptsEveryGolden() {
	s.Helper()
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(s.client.Discovery()))
	objects := 0
	for _, m := range loadModules(s.T) {
		for _, c := range loadCases(s.T, m) {
			text, err := os.ReadFile(filepath.Join(c.dir, "golden.yaml"))
			if err != nil {
				s.Fatal(err)
			}
			for _, o := range parse(s.T, string(text)) {
				objects++
				s.accepts(mapper, c.name, o)
				if pod := o.pod(); pod != nil {
					s.accepts(mapper, c.name, pod)
				}
			}
		}
	}
	if objects == 0 {
		s.Error("there are no golden renders")
	}
}

// accepts is a dry run under a name that is not taken.
func (s *site) accepts(mapper meta.RESTMapper, where string, o object) {
	s.Helper()
	u := &unstructured.Unstructured{Object: clone(o)}
	u.SetName(u.GetName() + "-tried")
	gv, err := api.ParseGroupVersion(u.GetAPIVersion())
	if err != nil {
		s.Fatal(err)
	}
	mapping, err := mapper.RESTMapping(api.GroupKind{Group: gv.Group, Kind: u.GetKind()}, gv.Version)
	if err != nil {
		s.Errorf("%s: %s: %v", where, o, err)
		return
	}
	_, err = s.dynamic.Resource(mapping.Resource).Namespace(u.GetNamespace()).Create(s.ctx, u,
		metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		s.Errorf("%s: %s is refused: %v", where, o, err)
	}
}

// pod is one of an object's template, nil if there is none. Claims and accounts are those of other objects.
func (o object) pod() object {
	template := o.podTemplate()
	if template == nil {
		return nil
	}
	spec := clone(sub(template, "spec"))
	delete(spec, "serviceAccountName")
	volumes, _ := spec["volumes"].([]any)
	for _, claim := range list(o, "spec", "volumeClaimTemplates") { // the controller adds a volume for each
		volumes = append(volumes, map[string]any{"name": str(claim.(map[string]any), "metadata", "name"), "emptyDir": map[string]any{}})
	}
	spec["volumes"] = volumes
	return object{"apiVersion": "v1", "kind": "Pod", "spec": spec, "metadata": map[string]any{
		"name": strings.ToLower(o.kind()) + "-" + o.name(), "namespace": o.namespace(), "labels": sub(template, "metadata", "labels")}}
}

// data is a key of a ConfigMap; without a name, of the Secret ingress-nginx-admission. It is "" without either.
func (s *site) data(namespace, name, key string) string {
	if name == "" {
		secret, err := s.client.CoreV1().Secrets(namespace).Get(s.ctx, "ingress-nginx-admission", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return string(secret.Data[key])
	}
	cm, err := s.client.CoreV1().ConfigMaps(namespace).Get(s.ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return cm.Data[key]
}

// deleteDeployments deletes all Deployments of a namespace and waits until all are back and available.
func (s *site) deleteDeployments(namespace string) {
	s.Helper()
	deployments := s.client.AppsV1().Deployments(namespace)
	list, err := deployments.List(s.ctx, metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	if len(list.Items) == 0 {
		s.Fatalf("there are no Deployments in %s", namespace)
	}
	for _, d := range list.Items {
		if err := deployments.Delete(s.ctx, d.Name, metav1.DeleteOptions{}); err != nil {
			s.Fatal(err)
		}
	}
	for _, old := range list.Items {
		s.eventually(func() bool {
			d, err := deployments.Get(s.ctx, old.Name, metav1.GetOptions{})
			return err == nil && d.UID != old.UID && d.Status.AvailableReplicas > 0
		}, "Deployment %s/%s is back", namespace, old.Name)
	}
}

// claims are the UIDs of the volume claims of a namespace.
func (s *site) claims(namespace string) map[string]string {
	s.Helper()
	list, err := s.client.CoreV1().PersistentVolumeClaims(namespace).List(s.ctx, metav1.ListOptions{})
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]string{}
	for _, c := range list.Items {
		if c.DeletionTimestamp == nil {
			out[c.Name] = string(c.UID)
		}
	}
	return out
}

// uninstalled are the modules in the order in which the log tells that their releases were removed.
func (s *site) uninstalled() (modules []string) {
	for line := range strings.Lines(s.log.String()) {
		if _, rest, ok := strings.Cut(line, `msg="release uninstalled" module=`); ok {
			modules = append(modules, strings.Fields(rest)[0])
		}
	}
	return modules
}

// keepsCRDs expects the CRDs of a module in the cluster.
func (s *site) keepsCRDs(dir string) {
	s.Helper()
	crds := api.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	m := loadModule(s.T, dir)
	if len(m.CRDs) == 0 {
		s.Errorf("module %s has no CRDs", m.Name)
	}
	for _, crd := range m.CRDs {
		if _, err := s.dynamic.Resource(crds).Get(s.ctx, crd.Name, metav1.GetOptions{}); err != nil {
			s.Errorf("CRD %s: %v", crd.Name, err)
		}
	}
}

// password is the one that a hook of prometheus generated, from the Secret beside the user's ConfigMap.
func (s *site) password() string {
	s.Helper()
	secret, err := s.client.CoreV1().Secrets(home).Get(s.ctx, "addon-operator-values", metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	var section map[string]any
	if err := yaml.Unmarshal(secret.Data["config.prometheus"], &section); err != nil {
		s.Fatal(err)
	}
	password := str(section, "auth", "password")
	if len(password) < 16 {
		s.Fatalf("the Secret holds no password for prometheus, its keys are %v", slices.Sorted(maps.Keys(secret.Data)))
	}
	return password
}

// hidesPassword expects a password nowhere but in Secrets.
func (s *site) hidesPassword(password string) {
	s.Helper()
	if strings.Contains(s.log.String(), password) {
		s.Error("the operator's log holds the password")
	}
	for _, gvr := range []api.GroupVersionResource{corev1.SchemeGroupVersion.WithResource("configmaps"),
		corev1.SchemeGroupVersion.WithResource("events"), report.Resource} {
		list, err := s.dynamic.Resource(gvr).List(s.ctx, metav1.ListOptions{})
		if err != nil {
			s.Fatal(err)
		}
		if len(list.Items) == 0 {
			s.Errorf("there are no %s to look at", gvr.Resource)
		}
		for _, o := range list.Items {
			if text, err := o.MarshalJSON(); err != nil || strings.Contains(string(text), password) {
				s.Errorf("%s %s/%s holds the password (%v)", gvr.Resource, o.GetNamespace(), o.GetName(), err)
			}
		}
	}
}

// Package modules_test renders the charts of all modules without a cluster: golden files, and rules that hold for every
// render. A case is a directory modules/<module>/testdata/<case> with values.yaml (global, the module's section, optionally
// modules) and golden.yaml; `go test ./modules -update` rewrites the latter.
package modules_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/helm"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

var update = flag.Bool("update", false, "rewrite the golden renders")

// testModule is a module as the operator reads it, with what renders it.
type testModule struct {
	*module.Descriptor
	client *helm.Client
}

// testCase is one set of values of a module.
type testCase struct {
	module *testModule
	name   string
	dir    string
	values map[string]any
}

func loadModules(t *testing.T) []*testModule {
	t.Helper()
	set, err := module.Load([]string{"."}, module.LoadOptions{UnnumberedWeight: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range set.Broken {
		t.Errorf("module %s: %v", name, err)
	}
	if len(set.Modules) == 0 {
		t.Fatal("no modules found")
	}
	// Without a cluster: Helm's default capabilities, nothing to look up.
	client, err := helm.New(helm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*testModule, 0, len(set.Modules))
	for _, m := range set.Modules {
		all = append(all, &testModule{Descriptor: m, client: client})
	}
	return all
}

// loadModule returns the module of a directory such as "402-ingress-nginx".
func loadModule(t *testing.T, dir string) *testModule {
	t.Helper()
	for _, m := range loadModules(t) {
		if filepath.Base(m.Dir) == dir {
			return m
		}
	}
	t.Fatalf("there is no module directory %s", dir)
	return nil
}

func loadCases(t *testing.T, m *testModule) []testCase {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.Dir, "testdata", "*", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Errorf("%s: no cases in testdata", m.Name)
	}
	cases := make([]testCase, 0, len(files))
	for _, file := range files {
		dir := filepath.Dir(file)
		values := map[string]any{}
		readYAML(t, file, &values)
		cases = append(cases, testCase{module: m, name: m.Name + "/" + filepath.Base(dir), dir: dir, values: values})
	}
	return cases
}

// forEachCase runs a check as a subtest of every case of every module.
func forEachCase(t *testing.T, check func(t *testing.T, c testCase)) {
	for _, m := range loadModules(t) {
		for _, c := range loadCases(t, m) {
			t.Run(c.name, func(t *testing.T) { check(t, c) })
		}
	}
}

// section is the module's section of in with the defaults of its schemas (C-298).
func (c testCase) section(in map[string]any) values.Map {
	section := sub(in, c.module.Key)
	if section == nil {
		section = values.Map{}
	}
	return c.module.Schemas.Values.Default(c.module.Schemas.Config.Default(section))
}

// render returns the manifests, chart hooks last, as the operator would apply them.
func (c testCase) render(in map[string]any) (string, error) {
	in = clone(in)
	in[c.module.Key] = c.section(in)
	if _, ok := in["global"]; !ok {
		in["global"] = map[string]any{}
	}
	snapshot, err := values.New(in)
	if err != nil {
		return "", err
	}
	out, err := c.module.client.Render(context.Background(), installed.Request{
		Module: c.module.Descriptor, Namespace: c.module.Namespace, Values: snapshot,
	})
	return out.Manifest + out.Hooks, err
}

func (c testCase) mustRender(t *testing.T, values map[string]any) string {
	t.Helper()
	text, err := c.render(values)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (c testCase) objects(t *testing.T) []object {
	t.Helper()
	return parse(t, c.mustRender(t, c.values))
}

// object is a rendered manifest.
type object map[string]any

func parse(t *testing.T, text string) []object {
	t.Helper()
	var objects []object
	for _, doc := range strings.Split("\n"+text, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		obj := object{}
		if err := yaml.UnmarshalStrict([]byte(doc), &obj); err != nil {
			t.Fatalf("not YAML: %v\n%s", err, doc)
		}
		if len(obj) > 0 {
			objects = append(objects, obj)
		}
	}
	return objects
}

func (o object) kind() string      { return str(o, "kind") }
func (o object) name() string      { return str(o, "metadata", "name") }
func (o object) namespace() string { return str(o, "metadata", "namespace") }
func (o object) String() string    { return o.kind() + " " + o.name() }

// podTemplate is nil for an object that makes no pods.
func (o object) podTemplate() map[string]any {
	switch o.kind() {
	case "Deployment", "DaemonSet", "StatefulSet", "Job":
		return sub(o, "spec", "template")
	case "CronJob":
		return sub(o, "spec", "jobTemplate", "spec", "template")
	}
	return nil
}

func containers(template map[string]any, field string) []map[string]any {
	var out []map[string]any
	for _, c := range list(template, "spec", field) {
		out = append(out, c.(map[string]any))
	}
	return out
}

func allContainers(template map[string]any) []map[string]any {
	return append(containers(template, "containers"), containers(template, "initContainers")...)
}

// schema is the part of an OpenAPI schema that people read.
type schema struct {
	Description string
	Properties  map[string]schema
}

func camel(name string) string {
	parts := strings.Split(name, "-")
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return strings.Join(parts, "")
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func clone[T any](in T) T {
	text, err := json.Marshal(in)
	if err != nil {
		panic(err) // JSON values only
	}
	var out T
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func at(in map[string]any, path ...string) any {
	var value any = in
	for _, key := range path {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

func sub(in map[string]any, path ...string) map[string]any {
	m, _ := at(in, path...).(map[string]any)
	return m
}

func list(in map[string]any, path ...string) []any {
	l, _ := at(in, path...).([]any)
	return l
}

func str(in map[string]any, path ...string) string {
	s, _ := at(in, path...).(string)
	return s
}

// set makes the parents it needs.
func set(in map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := in[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			in[key] = next
		}
		in = next
	}
	in[path[len(path)-1]] = value
}

func TestRendersMatchTheGoldenFiles(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		got := c.mustRender(t, c.values)
		path := filepath.Join(c.dir, "golden.yaml")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v (run with -update)", err)
		}
		if !bytes.Equal(want, []byte(got)) {
			t.Errorf("render differs from %s (run with -update and read the diff): %s", path, firstDifference(string(want), got))
		}
	})
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d: want %q, got %q", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(w), len(g))
}

func TestRendersAreTheSameEveryTime(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		if first, second := c.mustRender(t, c.values), c.mustRender(t, c.values); first != second {
			t.Errorf("two renders of the same values differ: %s", firstDifference(first, second))
		}
	})
}

// What a module reads of the global values and does not declare would change without waking it.
func TestModulesReadNoMoreThanTheirInputs(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		values := clone(c.values)
		global := sub(values, "global")
		kept := map[string]any{}
		for _, input := range c.module.Inputs {
			path := strings.Split(input, ".")
			if value := at(global, path...); value != nil {
				set(kept, value, path...)
			}
		}
		values["global"] = kept
		full, pruned := c.mustRender(t, c.values), c.mustRender(t, values)
		if full != pruned {
			t.Errorf("module.yaml inputs lack a path of global that the templates read: %s", firstDifference(full, pruned))
		}
	})
}

func TestModulesRenderBeforeAnythingWasDiscovered(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		values := clone(c.values)
		values["global"] = map[string]any{}
		if _, err := c.render(values); err != nil {
			t.Error(err)
		}
	})
}

func TestModulesSeeOnlyTheModulesTheyNameInTheirDescriptor(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		for key := range sub(c.values, "modules") {
			named := slices.ContainsFunc(c.module.Wants, func(name string) bool { return camel(name) == key }) ||
				slices.ContainsFunc(c.module.Requires, func(r module.Requirement) bool { return camel(r.Module) == key })
			if !named {
				t.Errorf("the case sets modules.%s, which module.yaml neither requires nor wants", key)
			}
		}
	})
}

func TestDescriptorsChartsAndSchemasAgree(t *testing.T) {
	for _, m := range loadModules(t) {
		t.Run(m.Name, func(t *testing.T) {
			var chart struct{ Name, Version string }
			readYAML(t, filepath.Join(m.Dir, "Chart.yaml"), &chart)
			if chart.Name != m.Name || chart.Version != m.Version {
				t.Errorf("Chart.yaml is of %s %s, module.yaml of %s %s", chart.Name, chart.Version, m.Name, m.Version)
			}
			if m.Namespace == "" || m.Description == "" || m.PodSecurity == "" {
				t.Error("module.yaml lacks namespace, description or podSecurity")
			}
			for _, warning := range append(m.Warnings, m.Schemas.Warnings...) {
				t.Error(warning)
			}
			exported := map[string]bool{}
			for _, file := range []string{"config-values.yaml", "values.yaml"} {
				var s schema
				readYAML(t, filepath.Join(m.Dir, "openapi", file), &s)
				describe(t, file+": "+m.Key, s)
				for name := range s.Properties {
					exported[name] = true
				}
			}
			for _, export := range m.Exports {
				if !exported[strings.Split(export, ".")[0]] {
					t.Errorf("exports %q, which is in neither schema", export)
				}
			}
		})
	}
}

func TestValuesOfTheCasesFitTheSchemas(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		if err := c.module.Schemas.Helm.Validate(c.section(c.values), c.module.Key); err != nil {
			t.Error(err)
		}
	})
}

// describe demands a description of every property.
func describe(t *testing.T, path string, s schema) {
	for name, property := range s.Properties {
		if property.Description == "" {
			t.Errorf("openapi: %s.%s has no description", path, name)
		}
		describe(t, path+"."+name, property)
	}
}

func TestObjectsAreNamedAndPlaced(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		seen := map[string]bool{}
		for _, o := range c.objects(t) {
			if str(o, "apiVersion") == "" || o.kind() == "" || o.name() == "" {
				t.Errorf("object without apiVersion, kind or name: %v", o)
			}
			if o.kind() == "Namespace" {
				t.Errorf("%s: the operator makes namespaces, not a chart", o)
			}
			if clusterScoped(o.kind()) != (o.namespace() == "") {
				t.Errorf("%s: namespace is %q", o, o.namespace())
			}
			id := o.String() + " " + o.namespace()
			if seen[id] {
				t.Errorf("%s is rendered twice", id)
			}
			seen[id] = true
		}
	})
}

func clusterScoped(kind string) bool {
	return slices.Contains([]string{
		"APIService", "ClusterIssuer", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "IngressClass",
		"MutatingWebhookConfiguration", "Namespace", "PersistentVolume", "PriorityClass", "StorageClass",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
	}, kind)
}

func TestWebhookConfigurationsAreOnlyWhereSomethingAnswers(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		for _, imitated := range []bool{true, false} {
			values := clone(c.values)
			set(values, imitated, "global", "discovery", "nodes", "imitated")
			for _, o := range parse(t, c.mustRender(t, values)) {
				if strings.HasSuffix(o.kind(), "WebhookConfiguration") && imitated {
					t.Errorf("%s is rendered on imitated nodes", o)
				}
			}
		}
	})
}

// allowed lists what breaks a rule below with a reason, as module/object/container/rule.
func allowed() map[string]string {
	return map[string]string{
		"ingress-nginx/controller/controller/readOnlyRootFilesystem": "nginx.conf, Lua and temporary files are written all over the image",
		"ingress-nginx/controller/controller/capabilities.add":       "the nginx binary carries the file capability NET_BIND_SERVICE and does not start without it",
	}
}

func TestContainersAreBoundedProbedAndConfined(t *testing.T) {
	exceptions := allowed()
	forEachCase(t, func(t *testing.T, c testCase) {
		for _, o := range c.objects(t) {
			template := o.podTemplate()
			if template == nil {
				continue
			}
			long := o.kind() != "Job" && o.kind() != "CronJob"
			check := func(container map[string]any, broken []string) {
				for _, rule := range broken {
					component := str(o, "metadata", "labels", "app.kubernetes.io/component")
					key := fmt.Sprintf("%s/%s/%s/%s", c.module.Name, component, str(container, "name"), rule)
					if exceptions[key] == "" {
						t.Errorf("%s: container breaks a rule: %s", o, key)
					}
				}
			}
			for _, container := range containers(template, "containers") {
				check(container, append(confined(container), probed(container, long)...))
			}
			for _, container := range containers(template, "initContainers") {
				check(container, confined(container))
			}
		}
	})
}

// confined names the rules on resources, image and security context that the container breaks.
func confined(container map[string]any) []string {
	rules := map[string]bool{
		"requests.cpu":                  at(container, "resources", "requests", "cpu") != nil,
		"requests.memory":               at(container, "resources", "requests", "memory") != nil,
		"image":                         tagged(str(container, "image")),
		"allowPrivilegeEscalation":      at(container, "securityContext", "allowPrivilegeEscalation") == false,
		"runAsNonRoot":                  at(container, "securityContext", "runAsNonRoot") == true,
		"readOnlyRootFilesystem":        at(container, "securityContext", "readOnlyRootFilesystem") == true,
		"capabilities.drop":             slices.Contains(list(container, "securityContext", "capabilities", "drop"), "ALL"),
		"capabilities.add":              len(list(container, "securityContext", "capabilities", "add")) == 0,
		"seccompProfile":                str(container, "securityContext", "seccompProfile", "type") == "RuntimeDefault",
		"securityContext.notPrivileged": at(container, "securityContext", "privileged") != true,
	}
	return broken(rules)
}

func probed(container map[string]any, long bool) []string {
	return broken(map[string]bool{
		"livenessProbe":  !long || sub(container, "livenessProbe") != nil,
		"readinessProbe": !long || sub(container, "readinessProbe") != nil,
	})
}

func broken(rules map[string]bool) []string {
	var out []string
	for rule, kept := range rules {
		if !kept {
			out = append(out, rule)
		}
	}
	sort.Strings(out)
	return out
}

// tagged reports whether an image reference is pinned by a tag other than latest.
func tagged(image string) bool {
	name := image[strings.LastIndex(image, "/")+1:]
	_, tag, ok := strings.Cut(name, ":")
	return ok && tag != "" && tag != "latest"
}

func TestOneValueReplacesTheRegistryOfEveryImage(t *testing.T) {
	const registry = "registry.example.org/mirror"
	forEachCase(t, func(t *testing.T, c testCase) {
		values := clone(c.values)
		set(values, registry, "global", "images", "registry")
		text := c.mustRender(t, values)
		for _, o := range parse(t, text) {
			for _, container := range allContainers(o.podTemplate()) {
				if image := str(container, "image"); !strings.HasPrefix(image, registry+"/") {
					t.Errorf("%s: image %s is not from %s", o, image, registry)
				}
			}
		}
		for _, host := range []string{"quay.io/", "registry.k8s.io/", "docker.io/", "ghcr.io/", "gcr.io/"} {
			if strings.Contains(text, host) {
				t.Errorf("the render still names %s", host)
			}
		}
	})
}

func TestReferencesBetweenObjectsResolve(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		objects := c.objects(t)
		pods := podTemplates(objects)
		for _, o := range objects {
			switch o.kind() {
			case "Deployment", "DaemonSet", "StatefulSet":
				checkSelector(t, o, sub(o, "spec", "selector", "matchLabels"), []map[string]any{o.podTemplate()})
			case "Service":
				if selector := sub(o, "spec", "selector"); selector != nil {
					checkPorts(t, o, checkSelector(t, o, selector, pods))
				}
			case "PodDisruptionBudget":
				checkSelector(t, o, sub(o, "spec", "selector", "matchLabels"), pods)
			case "RoleBinding", "ClusterRoleBinding":
				checkBinding(t, o, objects)
			}
			if template := o.podTemplate(); template != nil {
				checkPodReferences(t, o, template, objects)
			}
		}
	})
}

func podTemplates(objects []object) []map[string]any {
	var out []map[string]any
	for _, o := range objects {
		if template := o.podTemplate(); template != nil {
			out = append(out, template)
		}
	}
	return out
}

// checkSelector returns the templates the selector matches.
func checkSelector(t *testing.T, o object, selector map[string]any, templates []map[string]any) []map[string]any {
	t.Helper()
	var matched []map[string]any
	for _, template := range templates {
		labels := sub(template, "metadata", "labels")
		all := len(selector) > 0
		for key, value := range selector {
			all = all && labels[key] == value
		}
		if all {
			matched = append(matched, template)
		}
	}
	if len(matched) == 0 {
		t.Errorf("%s: selector %v matches no pod template of the render", o, selector)
	}
	return matched
}

func checkPorts(t *testing.T, o object, templates []map[string]any) {
	t.Helper()
	for _, p := range list(o, "spec", "ports") {
		target, ok := p.(map[string]any)["targetPort"].(string)
		if !ok {
			continue
		}
		for _, template := range templates {
			if !slices.Contains(portNames(template), target) {
				t.Errorf("%s: no container port is named %q", o, target)
			}
		}
	}
}

func portNames(template map[string]any) []string {
	var names []string
	for _, container := range containers(template, "containers") {
		for _, p := range list(container, "ports") {
			names = append(names, str(p.(map[string]any), "name"))
		}
	}
	return names
}

func find(objects []object, kind, name, namespace string) bool {
	return slices.ContainsFunc(objects, func(o object) bool {
		return o.kind() == kind && o.name() == name && o.namespace() == namespace
	})
}

func checkBinding(t *testing.T, o object, objects []object) {
	t.Helper()
	role, kind := str(o, "roleRef", "name"), str(o, "roleRef", "kind")
	namespace := o.namespace()
	if kind == "ClusterRole" {
		namespace = ""
	}
	if !strings.HasPrefix(role, "system:") && role != "extension-apiserver-authentication-reader" && !find(objects, kind, role, namespace) {
		t.Errorf("%s: there is no %s %s", o, kind, role)
	}
	for _, s := range list(o, "subjects") {
		subject := s.(map[string]any)
		if !find(objects, str(subject, "kind"), str(subject, "name"), str(subject, "namespace")) {
			t.Errorf("%s: there is no %v", o, subject)
		}
	}
}

// checkPodReferences allows Secrets that a controller writes later: the volume of one is named in the chart by its producer.
func checkPodReferences(t *testing.T, o object, template map[string]any, objects []object) {
	t.Helper()
	if name := str(template, "spec", "serviceAccountName"); name != "" && !find(objects, "ServiceAccount", name, o.namespace()) {
		t.Errorf("%s: there is no ServiceAccount %s", o, name)
	}
	volumes := map[string]bool{}
	for _, v := range append(list(template, "spec", "volumes"), list(o, "spec", "volumeClaimTemplates")...) {
		volume := v.(map[string]any)
		volumes[str(volume, "name")+str(volume, "metadata", "name")] = true
		if name := str(volume, "configMap", "name"); name != "" && !find(objects, "ConfigMap", name, o.namespace()) {
			t.Errorf("%s: there is no ConfigMap %s", o, name)
		}
		if name := str(volume, "secret", "secretName"); name != "" && !secretMade(objects, name, o.namespace()) {
			t.Errorf("%s: there is no Secret %s, nor a Certificate that makes it", o, name)
		}
	}
	for _, container := range allContainers(template) {
		for _, m := range list(container, "volumeMounts") {
			if name := str(m.(map[string]any), "name"); !volumes[name] {
				t.Errorf("%s: there is no volume %s", o, name)
			}
		}
	}
}

func secretMade(objects []object, name, namespace string) bool {
	return find(objects, "Secret", name, namespace) || slices.ContainsFunc(objects, func(o object) bool {
		return o.kind() == "Certificate" && o.namespace() == namespace && str(o, "spec", "secretName") == name
	})
}

// needs is testdata/rbac.yaml of a module: by ServiceAccount, what its program calls (`must`) and what it may call in some
// configuration (`may`), each as "<group>/<resource>: [verbs]"; the core group is "core".
type needs map[string]struct{ Must, May map[string][]string }

func TestServiceAccountsMayDoWhatTheirProgramsCallAndNoMore(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		path := filepath.Join(c.module.Dir, "testdata", "rbac.yaml")
		if _, err := os.Stat(path); err != nil {
			t.Skip("no rbac.yaml")
		}
		var table needs
		readYAML(t, path, &table)
		for account, granted := range grants(c.objects(t)) {
			need, ok := table[account]
			if !ok {
				t.Errorf("ServiceAccount %s has rights but is not in %s", account, path)
			}
			must, may := flatten(need.Must), flatten(need.May)
			for call := range must {
				if !granted[call] {
					t.Errorf("ServiceAccount %s must be allowed to %s", account, call)
				}
			}
			for call := range granted {
				if !must[call] && !may[call] {
					t.Errorf("ServiceAccount %s is allowed to %s, which its program does not call", account, call)
				}
			}
		}
	})
}

func flatten(table map[string][]string) map[string]bool {
	out := map[string]bool{}
	for resource, verbs := range table {
		for _, verb := range verbs {
			out[verb+" "+resource] = true
		}
	}
	return out
}

// grants is what the rendered roles allow, as "verb group/resource", by ServiceAccount.
func grants(objects []object) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, binding := range objects {
		if !strings.HasSuffix(binding.kind(), "RoleBinding") {
			continue
		}
		for _, role := range objects {
			if role.kind() != str(binding, "roleRef", "kind") || role.name() != str(binding, "roleRef", "name") {
				continue
			}
			for _, s := range list(binding, "subjects") {
				account := str(s.(map[string]any), "name")
				if out[account] == nil {
					out[account] = map[string]bool{}
				}
				maps.Copy(out[account], rules(role))
			}
		}
	}
	return out
}

func rules(role object) map[string]bool {
	out := map[string]bool{}
	for _, r := range list(role, "rules") {
		rule := r.(map[string]any)
		for _, verb := range list(rule, "verbs") {
			for _, url := range list(rule, "nonResourceURLs") {
				out[fmt.Sprintf("%s %s", verb, url)] = true
			}
			for _, group := range list(rule, "apiGroups") {
				if group == "" {
					group = "core"
				}
				for _, resource := range list(rule, "resources") {
					out[fmt.Sprintf("%s %s/%s", verb, group, resource)] = true
				}
			}
		}
	}
	return out
}

func TestRolesHaveNoWildcards(t *testing.T) {
	forEachCase(t, func(t *testing.T, c testCase) {
		for _, o := range c.objects(t) {
			if o.kind() != "Role" && o.kind() != "ClusterRole" {
				continue
			}
			for rule := range rules(o) {
				if strings.Contains(rule, "*") {
					t.Errorf("%s: wildcard in %q", o, rule)
				}
			}
		}
	})
}

package webhook

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

var update = flag.Bool("update", false, "rewrite golden files")

// goldenHooks are bindings with every field set, and with none.
func goldenHooks(owner hook.Owner) []hook.Webhook {
	cluster := admission.ClusterScope
	rules := []admission.RuleWithOperations{{
		Rule:       admission.Rule{APIGroups: []string{"apps", ""}, APIVersions: []string{"v1"}, Resources: []string{"deployments/*", "pods"}},
		Operations: []admission.OperationType{"CREATE", "UPDATE"},
	}, {
		Rule:       admission.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}, Scope: &cluster},
		Operations: []admission.OperationType{"*"},
	}}
	bare := hook.Admission{Route: hook.Route{Name: "private-repo.example.com"}, SideEffects: admission.SideEffectClassNone, TimeoutSeconds: 10, Rules: rules[:1]}
	full := hook.Admission{
		Route: hook.Route{Name: "all.example.com"}, FailurePolicy: admission.Ignore, SideEffects: admission.SideEffectClassNoneOnDryRun, TimeoutSeconds: 30,
		MatchConditions: []admission.MatchCondition{{Name: "not-system", Expression: "request.namespace != 'kube-system'"}},
		Labels:          &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		NamespaceLabels: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: metav1.LabelSelectorOpExists}}},
		Rules:           rules,
	}
	mutating := full
	mutating.Mutating = true
	return []hook.Webhook{
		{Hook: hook.ID{Owner: owner, Name: "hooks/policy.sh"}, Admissions: []hook.Admission{bare, full, mutating}},
		{Hook: hook.ID{Owner: owner, Name: "hooks/convert.sh"}, Conversions: []hook.Conversion{{
			Route: hook.Route{Name: "up"}, CRD: "crontabs.stable.example.com", Rules: []hook.ConversionRule{{From: "v1", To: "v2"}},
		}}},
	}
}

// documents are all that a registration writes, as YAML.
func documents(t *testing.T, s *Server, r *registration) string {
	t.Helper()
	var text strings.Builder
	put := func(title string, v any) {
		one, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("--- # " + title + "\n" + string(one))
	}
	meta := metav1.ObjectMeta{Name: s.cfg.configurationName(r.owner), Labels: s.cfg.labels(r.owner)}
	ca := []byte("PEM of the authority")
	put("validating", admission.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: s.cfg.validating(r, ca)})
	put("mutating", admission.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: s.cfg.mutating(r, ca)})
	for path, c := range r.conversions {
		put("spec.conversion of "+c.crd, s.cfg.conversion(path, ca))
	}
	return text.String()
}

// C-241, C-242, C-255, C-256: what is written where the API server reaches the
// operator by its Services; no such object may exist in the local cluster, whose
// API server has no way to them.
func TestConfigurationsOfTheServiceForm(t *testing.T) {
	for name, c := range map[string]struct {
		owner hook.Owner
		cfg   Config
	}{
		"standalone": {hook.Standalone, Config{Namespace: "hooks"}},
		"module": {hook.Owner{Module: "some-module"}, Config{
			Namespace: "addon-operator", ConfigurationName: "addon-operator", Instance: "addon-operator.addon-operator", FailurePolicy: admission.Ignore,
			Admission: Endpoint{Service: "addon-operator-admission"}, Conversion: Endpoint{Service: "addon-operator-conversion"},
		}},
		"url": {hook.Global, Config{URL: "https://192.0.2.1:9680/", Namespace: "hooks"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.setDefaults()
			s := &Server{cfg: c.cfg}
			r, err := newRegistration(c.owner, goldenHooks(c.owner))
			if err != nil {
				t.Fatal(err)
			}
			got := documents(t, s, r)
			file := "testdata/" + name + ".golden.yaml"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (run with -update to rewrite):\n%s", file, diff)
			}
		})
	}
}

// C-242.
func TestBindingIDIsWhatPathsAreMadeOf(t *testing.T) {
	for name, want := range map[string]string{
		"private-repo.example.com": "private-repo-example-com",
		"myCrdValidator":           "my-crd-validator",
		"a_b c/d":                  "a-b-c/d",
		"ä.b":                      "--b",
	} {
		if got := bindingID(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestEveryBindingHasAPathOfItsOwn(t *testing.T) {
	names := []hook.Admission{
		{Route: hook.Route{Name: "a.b-c.d"}}, {Route: hook.Route{Name: "a-b.c.d"}}, {Route: hook.Route{Name: "a.b-c.d"}, Mutating: true},
	}
	r, err := newRegistration(hook.Standalone, []hook.Webhook{{Admissions: names}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.admissions) != 3 || r.admissions["/hooks/a-b-c-d"].Name != "a.b-c.d" {
		t.Errorf("got %v", r.admissions)
	}
}

func TestTwoHooksWithOneNameAreRefused(t *testing.T) {
	id := func(name string) hook.ID { return hook.ID{Owner: hook.Global, Name: name} }
	_, err := newRegistration(hook.Global, []hook.Webhook{
		{Hook: id("one.sh"), Admissions: []hook.Admission{{Route: hook.Route{Name: "a.b.c"}}}},
		{Hook: id("two.sh"), Admissions: []hook.Admission{{Route: hook.Route{Name: "a.b.c"}}}},
	})
	if err == nil || !strings.Contains(err.Error(), "global/one.sh") || !strings.Contains(err.Error(), "global/two.sh") {
		t.Errorf("got %v", err)
	}
}

func TestOwnerAtKnowsWhatPointsHere(t *testing.T) {
	service, byURL := Config{Namespace: "ns"}, Config{Namespace: "ns", URL: "https://h:1"}
	for _, cfg := range []*Config{&service, &byURL} {
		cfg.setDefaults()
		for _, owner := range []hook.Owner{hook.Standalone, hook.Global, {Module: "m"}} {
			got, ok := cfg.ownerAt("a.b", cfg.conversion(conversionPath(owner, "a.b"), nil))
			if !ok || got != owner.String() {
				t.Errorf("%s: got %s, %t", owner, got, ok)
			}
		}
	}
	other := Config{Namespace: "other"}
	other.setDefaults()
	for sentence, conversion := range map[string]map[string]any{
		"nothing":              nil,
		"no webhook":           {"strategy": "None"},
		"another namespace":    other.conversion("/a.b", nil),
		"a URL":                byURL.conversion("/a.b", nil),
		"another CRD's path":   service.conversion("/c.d", nil),
		"a path of the others": service.conversion("/conversion/m/c.d", nil),
	} {
		if owner, ok := service.ownerAt("a.b", conversion); ok {
			t.Errorf("%s is taken for %s", sentence, owner)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	dir := t.TempDir()
	bad := dir + "/tls.crt"
	if err := os.WriteFile(bad, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"expected https://HOST:PORT":        func(c *Config) { c.URL = "http://h:1" },
		"use Fail or Ignore":                func(c *Config) { c.FailurePolicy = "fail" },
		"expected host:port":                func(c *Config) { c.Conversion.ListenAddress = "9681" },
		"no such file":                      func(c *Config) { c.Admission.ClientCAs = []string{dir + "/none"} },
		"has no certificate in PEM form":    func(c *Config) { c.Conversion.ClientCAs = []string{bad} },
		"tls.key: no such file":             func(c *Config) { c.Admission.Cert, c.Admission.Key = bad, dir+"/tls.key" },
		"the operator's namespace is not":   func(c *Config) { c.Secret = "x" },
		"Dynamic and Config.Logger are req": func(c *Config) { c.Logger = nil },
	} {
		cfg := quiet(t)
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestWithoutAnAddressRegisterSaysWhatToSet(t *testing.T) {
	s, err := New(quiet(t))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Register(t.Context(), hook.Standalone, goldenHooks(hook.Standalone))
	if err == nil || !strings.Contains(err.Error(), "--webhook-url") {
		t.Errorf("got %v", err)
	}
}

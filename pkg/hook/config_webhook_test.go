package hook

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admission "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// C-053, C-060, C-061, C-062, C-064: every key of the three lists, and defaults.
func TestParseConfigReadsWebhooksForEveryOwner(t *testing.T) {
	const text = `
configVersion: v1
kubernetes:
- {name: pods, kind: Pod, group: g}
- {name: nodes, kind: Node}
kubernetesValidating:
- name: private.example.com
  group: g
  includeSnapshotsFrom: [nodes]
  failurePolicy: Ignore
  sideEffects: NoneOnDryRun
  timeoutSeconds: 30
  matchConditions: [{name: not-system, expression: "request.namespace != 'kube-system'"}]
  labelSelector: {matchLabels: {a: b}}
  namespace: {labelSelector: {matchExpressions: [{key: k, operator: Exists}]}}
  rules:
  - {apiGroups: ["", apps], apiVersions: ["*"], resources: [pods, pods/status, "deployments/*"], operations: [CREATE, UPDATE], scope: Namespaced}
kubernetesMutating:
- name: defaults.example.com
  rules: [{apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"], operations: ["*"]}]
kubernetesCustomResourceConversion:
- {name: up, crdName: crontabs.stable.example.com, group: g, conversions: [{fromVersion: v1alpha1, toVersion: stable.example.com/v1}]}
`
	namespaced := admission.NamespacedScope
	want := Spec{
		Admissions: []Admission{
			{
				Route:         Route{Name: "private.example.com", Group: "g", Snapshots: []string{"nodes", "pods"}},
				FailurePolicy: admission.Ignore, SideEffects: admission.SideEffectClassNoneOnDryRun, TimeoutSeconds: 30,
				MatchConditions: []admission.MatchCondition{{Name: "not-system", Expression: "request.namespace != 'kube-system'"}},
				Labels:          &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
				NamespaceLabels: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Exists"}}},
				Rules: []admission.RuleWithOperations{{
					Rule:       admission.Rule{APIGroups: []string{"", "apps"}, APIVersions: []string{"*"}, Resources: []string{"pods", "pods/status", "deployments/*"}, Scope: &namespaced},
					Operations: []admission.OperationType{"CREATE", "UPDATE"},
				}},
			},
			{
				Route: Route{Name: "defaults.example.com"}, Mutating: true, SideEffects: admission.SideEffectClassNone, TimeoutSeconds: 10,
				Rules: []admission.RuleWithOperations{{
					Rule:       admission.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*/*"}},
					Operations: []admission.OperationType{"*"},
				}},
			},
		},
		Conversions: []Conversion{{
			Route: Route{Name: "up", Group: "g", Snapshots: []string{"pods"}}, CRD: "crontabs.stable.example.com",
			Rules: []ConversionRule{{From: "v1alpha1", To: "stable.example.com/v1"}},
		}},
	}
	for _, owner := range []Owner{Standalone, Global, someModule} {
		t.Run(owner.String(), func(t *testing.T) {
			spec, err := ParseConfig([]byte(text), owner)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, Spec{Admissions: spec.Admissions, Conversions: spec.Conversions}); diff != "" {
				t.Error(diff)
			}
			if len(spec.Warnings) != 0 {
				t.Errorf("got warnings %q", spec.Warnings)
			}
		})
	}
}

func TestAHookMayHaveNothingButWebhooks(t *testing.T) {
	for _, text := range []string{
		"configVersion: v1\nkubernetesCustomResourceConversion: [{name: a, crdName: a.b.c, conversions: [{fromVersion: v1, toVersion: v2}]}]",
		"configVersion: v1\nkubernetesMutating: [{name: a.b.c, rules: [{apiGroups: ['*'], apiVersions: [v1], resources: [pods], operations: [CREATE]}]}]",
	} {
		if _, err := ParseConfig([]byte(text), Standalone); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// C-031: of the orders a hook without modules has onStartup alone.
func TestStandaloneHooksHaveNoModuleOrders(t *testing.T) {
	spec, err := ParseConfig([]byte("configVersion: v1\nonStartup: 3"), Standalone)
	if err != nil || spec.Orders[OnStartup] != 3 {
		t.Errorf("got %+v, %v", spec, err)
	}
	for _, key := range []string{"beforeAll", "afterAll", "beforeHelm", "afterDeleteHelm"} {
		for _, version := range []string{"configVersion: v1\nonStartup: 1\n", ""} {
			_, err := ParseConfig([]byte(version+key+": 1"), Standalone)
			if err == nil || !strings.Contains(err.Error(), key+" is a forbidden property") {
				t.Errorf("%s: got %v", key, err)
			}
		}
	}
}

// C-060 … C-064, B-21: mutating bindings are checked as validating ones are.
func TestParseConfigReportsViolationsOfWebhooks(t *testing.T) {
	const rules = "rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE]}]"
	binding := func(list, more string) string {
		return "configVersion: v1\n" + list + ": [{name: a.b.c, " + more + "}]"
	}
	rule := func(groups, versions, resources, operations string) string {
		return "rules: [{apiGroups: [" + groups + "], apiVersions: [" + versions + "], resources: [" + resources + "], operations: [" + operations + "]}]"
	}
	for _, list := range []string{validatingKey, mutatingKey} {
		for name, c := range map[string]struct {
			text string
			want []string
		}{
			"no name":                         {"configVersion: v1\n" + list + ": [{" + rules + "}]", []string{"[0].name is required"}},
			"a name of two segments":          {"configVersion: v1\n" + list + ": [{name: a.b, " + rules + "}]", []string{"[0].name should be a domain with at least three segments"}},
			"a name that is no DNS name":      {"configVersion: v1\n" + list + ": [{name: A_b.c.d, " + rules + "}]", []string{"[0].name is not a DNS name"}},
			"a name twice":                    {"configVersion: v1\n" + list + ": [{name: a.b.c, " + rules + "}, {name: a.b.c, " + rules + "}]", []string{`[1].name is used twice in this list: "a.b.c"`}},
			"an unknown key":                  {binding(list, "queue: main, "+rules), []string{"[0].queue is a forbidden property"}},
			"wrong choices":                   {binding(list, "failurePolicy: fail, sideEffects: Some, "+rules), []string{"[0].failurePolicy should be one of [Ignore Fail]", "[0].sideEffects should be one of [None NoneOnDryRun]"}},
			"no time":                         {binding(list, "timeoutSeconds: 0, "+rules), []string{"[0].timeoutSeconds should be a whole number from 1 to 30, got 0"}},
			"too much time":                   {binding(list, "timeoutSeconds: 31, "+rules), []string{"[0].timeoutSeconds should be a whole number from 1 to 30, got 31"}},
			"time as text":                    {binding(list, "timeoutSeconds: '5', "+rules), []string{`[0].timeoutSeconds should be a whole number from 1 to 30, got "5"`}},
			"no rule":                         {binding(list, "rules: []"), []string{"[0].rules should have at least 1 item"}},
			"an empty rule":                   {binding(list, "rules: [{}]"), []string{"[0].rules[0].apiVersions is required", "apiGroups is required", "resources is required", "operations is required"}},
			"empty lists":                     {binding(list, rule("", "", "", "")), []string{"apiGroups should have", "apiVersions should have", "resources should have", "operations should have"}},
			"the wildcard not alone":          {binding(list, rule("'*', apps", "'*', v1", "'*', pods", "'*', CREATE")), []string{"apiGroups if '*' is present", "apiVersions if '*' is present", "resources[1] if '*' is present", "operations if '*' is present"}},
			"empty words":                     {binding(list, rule("''", "''", "''", "CREATE")), []string{"apiVersions[0] should not be empty", "resources[0] should not be empty"}},
			"everything, and more":            {binding(list, rule("''", "v1", "'*/*', pods", "CREATE")), []string{"resources if '*/*' is present"}},
			"subresources twice":              {binding(list, rule("''", "v1", "pods/*, pods/status", "CREATE")), []string{"resources[1] if 'pods/*' is present, must not specify pods/status"}},
			"one subresource twice":           {binding(list, rule("''", "v1", "'*/status', pods/status", "CREATE")), []string{"resources[1] if '*/status' is present, must not specify pods/status"}},
			"an unknown operation":            {binding(list, rule("''", "v1", "pods", "create")), []string{"operations[0] should be one of [CREATE UPDATE DELETE CONNECT *]"}},
			"an unknown scope":                {binding(list, "rules: [{apiGroups: [''], apiVersions: [v1], resources: [pods], operations: [CREATE], scope: All}]"), []string{"scope should be one of [Cluster Namespaced *]"}},
			"a namespace without selector":    {binding(list, "namespace: {}, "+rules), []string{"[0].namespace.labelSelector is required"}},
			"a match condition without words": {binding(list, "matchConditions: [{name: a b, expression: ''}, {name: x}], "+rules), []string{"matchConditions[0].name is not a qualified name", "matchConditions[0].expression should not be empty", "matchConditions[1].expression is required"}},
			"an unknown snapshot":             {binding(list, "includeSnapshotsFrom: [x], "+rules), []string{list + "[0].includeSnapshotsFrom: 'x' binding name not found"}},
		} {
			t.Run(list+": "+name, func(t *testing.T) { wantViolations(t, c.text, c.want) })
		}
	}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a conversion without keys":   {"configVersion: v1\nkubernetesCustomResourceConversion: [{}]", []string{"[0].name is required", "[0].crdName is required", "[0].conversions is required"}},
		"a conversion without a step": {"configVersion: v1\nkubernetesCustomResourceConversion: [{name: a, crdName: a.b, conversions: []}]", []string{"[0].conversions should have at least 1 item"}},
		"half a step":                 {"configVersion: v1\nkubernetesCustomResourceConversion: [{name: a, crdName: a.b, conversions: [{fromVersion: ''}]}]", []string{"conversions[0].toVersion is required", "conversions[0].fromVersion should not be empty"}},
		"no name of a CRD":            {"configVersion: v1\nkubernetesCustomResourceConversion: [{name: a, crdName: CronTab, conversions: [{fromVersion: a, toVersion: b}]}]", []string{"[0].crdName should be <plural>.<group>"}},
		"a name twice":                {"configVersion: v1\nkubernetesCustomResourceConversion: [{name: a, crdName: a.b, conversions: [{fromVersion: a, toVersion: b}]}, {name: a, crdName: a.b, conversions: [{fromVersion: b, toVersion: a}]}]", []string{"[1].name is used twice in this list"}},
	} {
		t.Run(name, func(t *testing.T) { wantViolations(t, c.text, c.want) })
	}
}

func wantViolations(t *testing.T, text string, want []string) {
	t.Helper()
	_, err := ParseConfig([]byte(text), Global)
	var invalid *Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("got %v", err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is missing in:\n%v", w, err)
		}
	}
	if len(invalid.Violations) != len(want) {
		t.Errorf("got %d violations, want %d:\n%v", len(invalid.Violations), len(want), err)
	}
}

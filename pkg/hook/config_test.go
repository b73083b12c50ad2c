package hook

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var someModule = Owner{Module: "some-module"}

// C-024, C-030 … C-053: a full configuration, in YAML and defaults spelled out.
func TestParseConfigReadsEveryKeyOfV1(t *testing.T) {
	spec, err := ParseConfig([]byte(`
configVersion: v1
onStartup: 5
beforeHelm: 10.5
settings: {executionMinInterval: 3s, executionBurst: "2", timeout: 1m30s}
schedule:
- {name: every, crontab: "*/5 * * * * *", allowFailure: true, queue: q, group: g, includeSnapshotsFrom: [pods]}
- {crontab: "@every 1m"}
kubernetes:
- name: pods
  apiVersion: v1
  kind: Pod
  executeHookOnEvent: [Added, Deleted]
  watchEvent: [Modified]
  executeHookOnSynchronization: false
  waitForSynchronization: false
  keepFullObjectsInMemory: false
  nameSelector: {matchNames: [a, b]}
  labelSelector: {matchLabels: {app: x}, matchExpressions: [{key: k, operator: In, values: [v]}]}
  fieldSelector: {matchExpressions: [{field: status.phase, operator: NotEquals, value: Running}, {field: spec.nodeName, operator: "=", value: "a,b"}]}
  namespace: {nameSelector: {matchNames: [default]}, labelSelector: {matchLabels: {team: x}}}
  jqFilter: .metadata.name
  includeSnapshotsFrom: [pods]
  allowFailure: true
  queue: pods
  group: g
- name: nodes
  kind: node
  executeHookOnEvent: []
  waitForSynchronization: false
  group: g
`), someModule)
	if err != nil {
		t.Fatal(err)
	}
	if got := spec.Kubernetes[0].Filter.String(); got != ".metadata.name" {
		t.Errorf("got filter %q", got)
	}
	spec.Kubernetes[0].Filter = nil
	want := Spec{
		Version: "v1", Timeout: 90 * time.Second, MinInterval: 3 * time.Second, Burst: 2,
		Orders: map[Binding]float64{OnStartup: 5, BeforeHelm: 10.5},
		Schedules: []Schedule{
			{Route: Route{Name: "every", Queue: "q", Group: "g", Snapshots: []string{"pods", "nodes"}, AllowFailure: true}, Crontab: "*/5 * * * * *"},
			{Route: Route{Name: "schedule", Queue: "main"}, Crontab: "@every 1m"},
		},
		Kubernetes: []Kubernetes{
			{
				Route:      Route{Name: "pods", Queue: "pods", Group: "g", Snapshots: []string{"pods", "nodes"}, AllowFailure: true},
				APIVersion: "v1", Kind: "Pod", Events: []WatchEvent{Added, Deleted},
				Names:           []string{"a", "b"},
				Labels:          &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}, MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "In", Values: []string{"v"}}}},
				Fields:          `status.phase!=Running,spec.nodeName=a\,b`,
				Namespaces:      []string{"default"},
				NamespaceLabels: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}},
			},
			{
				Route: Route{Name: "nodes", Queue: "main", Group: "g", Snapshots: []string{"pods", "nodes"}},
				Kind:  "node", OnSynchronization: true, WaitForSynchronization: true, KeepFullObjects: true,
			},
		},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
}

func TestParseConfigDefaults(t *testing.T) {
	spec, err := ParseConfig([]byte(`{"configVersion":"v1","settings":{"executionMinInterval":"1s"},"kubernetes":[{"kind":"Pod"}]}`), Global)
	if err != nil {
		t.Fatal(err)
	}
	k := spec.Kubernetes[0]
	if k.Name != "kubernetes" || !reflect.DeepEqual(k.Events, allEvents) || !k.OnSynchronization || !k.WaitForSynchronization || !k.KeepFullObjects {
		t.Errorf("got %+v", k)
	}
	if spec.Burst != 1 || spec.Timeout != 0 {
		t.Errorf("C-035: got burst %d, timeout %s", spec.Burst, spec.Timeout)
	}
}

func TestParseConfigReadsJSONWithTabsAndYAMLAfterAMarker(t *testing.T) {
	for _, text := range []string{
		"{\n\t\"configVersion\": \"v1\",\n\t\"onStartup\": 1\n}\n",
		"---\nconfigVersion: v1\nonStartup: 1\n",
		"# hello\n---\nconfigVersion: v1\nonStartup: 1\n---\n",
	} {
		spec, err := ParseConfig([]byte(text), Global)
		if err != nil || spec.Orders[OnStartup] != 1 || len(spec.Warnings) != 0 {
			t.Errorf("%q: got %+v, %v", text, spec, err)
		}
	}
	spec, err := ParseConfig([]byte("configVersion: v1\nonStartup: 1\n---\na: 1\n"), Global)
	if err != nil || len(spec.Warnings) != 1 {
		t.Errorf("two documents: got %+v, %v", spec, err)
	}
}

func TestParseConfigReportsViolationsWithPathAndAllowedValues(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		owner Owner
		want  []string
	}{
		"all of them together (C-027)": {
			`{"configVersion":"v1","foo":1,"onStartup":"x","schedule":[{"name":5}],"kubernetes":[{"apiVersion":"a/b/c","executeHookOnEvent":["Add"],"mode":"x"}]}`, Global,
			[]string{
				"foo is a forbidden property", "onStartup should be a number", "schedule[0].name should be a string", "schedule[0].crontab is required",
				"kubernetes[0].kind is required", "kubernetes[0].mode is a forbidden property", "kubernetes[0].apiVersion is invalid",
				`kubernetes[0].executeHookOnEvent[0] should be one of [Added Modified Deleted], got "Add"`,
			},
		},
		"empty output (C-026)":                 {"", Global, []string{"at least 1 property"}},
		"only a version (C-030)":               {"configVersion: v1", Global, []string{"at least 2 properties"}},
		"not an object":                        {"[1]", Global, []string{"the document should be an object"}},
		"a number as version (C-025)":          {"configVersion: 1\nonStartup: 1", Global, []string{"string value is expected for key 'configVersion'"}},
		"a later version (C-025)":              {"configVersion: v2\nonStartup: 1", Global, []string{"'configVersion' value 'v2' is unsupported"}},
		"a module's key in a global hook":      {"configVersion: v1\nbeforeHelm: 1", Global, []string{"beforeHelm is a forbidden property: allowed here are"}},
		"a global key in a module's hook":      {"configVersion: v1\nbeforeAll: 1", someModule, []string{"beforeAll is a forbidden property"}},
		"no items (C-031)":                     {"configVersion: v1\nschedule: []", Global, []string{"schedule should have at least 1 item"}},
		"a null binding":                       {"configVersion: v1\nkubernetes:", Global, []string{"kubernetes should be an array, got null"}},
		"bad settings (C-035)":                 {"configVersion: v1\nonStartup: 1\nsettings: {executionMinInterval: 5, executionBurst: x, timeout: -1s, a: 1}", Global, []string{"settings.executionMinInterval is invalid", "settings.executionBurst is invalid", "settings.timeout is invalid", "settings.a is a forbidden property"}},
		"a bad crontab (C-041)":                {"configVersion: v1\nschedule: [{crontab: '* * * *'}]", Global, []string{"invalid schedule config [0]: crontab is invalid: "}},
		"a zone without schedule":              {"configVersion: v1\nschedule: [{crontab: 'TZ=UTC'}]", Global, []string{"invalid schedule config [0]: crontab is invalid: "}},
		"a bad jqFilter":                       {"configVersion: v1\nkubernetes: [{kind: Pod}, {kind: Pod, jqFilter: '{'}]", Global, []string{"invalid kubernetes config [1] jqFilter: compile jqFilter: "}},
		"name twice selected (C-051)":          {"configVersion: v1\nkubernetes: [{kind: Pod, nameSelector: {matchNames: [a]}, fieldSelector: {matchExpressions: [{field: metadata.name, operator: '=', value: a}]}}]", Global, []string{"fieldSelector 'metadata.name' and nameSelector.matchNames are mutually exclusive"}},
		"an unknown snapshot (C-052)":          {"configVersion: v1\nschedule: [{crontab: '@daily', includeSnapshotsFrom: [x]}]", Global, []string{"'x' binding name not found"}},
		"an ambiguous snapshot (C-052)":        {"configVersion: v1\nkubernetes: [{kind: Pod, name: a}, {kind: Node, name: a, includeSnapshotsFrom: [a]}]", Global, []string{"there are 2 'a' binding names"}},
		"a snapshot as a string (C-052)":       {"configVersion: v1\nkubernetes: [{kind: Pod, name: a, includeSnapshotsFrom: a}]", Global, []string{"includeSnapshotsFrom should be an array"}},
		"an empty label selector":              {"configVersion: v1\nkubernetes: [{kind: Pod, labelSelector: {}}]", Global, []string{"labelSelector should have at least 1 property"}},
		"a label operator":                     {"configVersion: v1\nkubernetes: [{kind: Pod, labelSelector: {matchExpressions: [{key: a, operator: Is}]}}]", Global, []string{"matchExpressions[0].operator should be one of [In NotIn Exists DoesNotExist]"}},
		"a selector the server would reject":   {"configVersion: v1\nkubernetes: [{kind: Pod, labelSelector: {matchExpressions: [{key: a, operator: In}]}}]", Global, []string{"labelSelector is not a label selector"}},
		"a field operator":                     {"configVersion: v1\nkubernetes: [{kind: Pod, fieldSelector: {matchExpressions: [{field: a, operator: '>'}]}}]", Global, []string{"matchExpressions[0].value is required", "operator should be one of [= == Equals != NotEquals]"}},
		"a name selector without names":        {"configVersion: v1\nkubernetes: [{kind: Pod, nameSelector: {}, namespace: {}}]", Global, []string{"nameSelector.matchNames is required", "namespace should have at least 1 property"}},
		"a v0 event (C-072)":                   {"onKubernetesEvent: [{kind: Pod, event: [added]}]", Global, []string{"event 'added' is unsupported"}},
		"a v1 binding without version (C-070)": {"kubernetes: [{kind: Pod}]", Global, []string{"kubernetes is a forbidden property"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig([]byte(c.text), c.owner)
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in:\n%v", want, err)
				}
			}
			if len(invalid.Violations) != len(c.want) {
				t.Errorf("got %d violations, want %d:\n%v", len(invalid.Violations), len(c.want), err)
			}
		})
	}
}

func TestParseConfigSaysWhereTextIsNotYAML(t *testing.T) {
	_, err := ParseConfig([]byte("bash: jq: command not found\n\t- x: ["), Global)
	if err == nil || !strings.Contains(err.Error(), "config unmarshal: ") {
		t.Errorf("got %v", err)
	}
}

func TestParseConfigWarnsOfWhatIsIgnored(t *testing.T) {
	spec, err := ParseConfig([]byte("configVersion: v1\nkubernetesValidating: [{name: a.b.c}]\nkubernetes: [{kind: Pod, resynchronizationPeriod: soon}]"), someModule)
	if err != nil || len(spec.Warnings) != 2 {
		t.Errorf("C-061: got %v, %v", spec.Warnings, err)
	}
}

// C-070 … C-074.
func TestParseConfigReadsV0(t *testing.T) {
	spec, err := ParseConfig([]byte(`
onStartup: 1
schedule: [{crontab: "0 * * * *", allowFailure: true, anything: 1}]
onKubernetesEvent:
- {kind: pod, event: [add, update], objectName: a, selector: {matchLabels: {a: b}}, namespaceSelector: {matchNames: [x]}, jqFilter: .a, allowFailure: true}
- {name: all, kind: node, namespaceSelector: {any: true, matchNames: [x]}}
`), Global)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Kubernetes[0].Filter == nil {
		t.Error("no filter")
	}
	spec.Kubernetes[0].Filter = nil
	want := Spec{
		Version:   "v0",
		Orders:    map[Binding]float64{OnStartup: 1},
		Schedules: []Schedule{{Route: Route{Name: "schedule", Queue: "main", AllowFailure: true}, Crontab: "0 * * * *"}},
		Kubernetes: []Kubernetes{
			{Route: Route{Name: "onKubernetesEvent", Queue: "main", AllowFailure: true}, Kind: "pod", Events: []WatchEvent{Added, Modified}, KeepFullObjects: true, Names: []string{"a"}, Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, Namespaces: []string{"x"}},
			{Route: Route{Name: "all", Queue: "main"}, Kind: "node", Events: allEvents, KeepFullObjects: true},
		},
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Error(diff)
	}
}

func TestParseCrontabGrammar(t *testing.T) {
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for crontab, want := range map[string]time.Time{
		"*/10 * * * *":                   at.Add(10 * time.Minute),
		"30 * * * * *":                   at.Add(30 * time.Second),
		"@every 90s":                     at.Add(90 * time.Second),
		"TZ=UTC 0 3 * * *":               at.Add(3 * time.Hour),
		"CRON_TZ=Asia/Tokyo  0 12 * * *": at.Add(3 * time.Hour),
		" TZ=UTC @daily ":                at.Add(24 * time.Hour),
	} {
		s, err := ParseCrontab(crontab)
		if err != nil {
			t.Errorf("%q: %v", crontab, err)
			continue
		}
		if got := s.Next(at); !got.Equal(want) {
			t.Errorf("%q: got %s, want %s", crontab, got, want)
		}
	}
	for _, crontab := range []string{"", "TZ=UTC", "TZ= ", "CRON_TZ=Nowhere/X * * * * *", "@never", "* * * * * * *", "61 * * * *"} {
		if _, err := ParseCrontab(crontab); err == nil {
			t.Errorf("%q was accepted", crontab)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"configVersion: v1\nkubernetes: [{kind: Pod, jqFilter: .a, group: g, labelSelector: {matchLabels: {a: b}}}]",
		"onStartup: 1\nonKubernetesEvent: [{kind: pod, event: [add]}]", `{"configVersion":"v1","schedule":[{"crontab":"TZ=UTC @daily"}]}`, "---\n---\n", "",
	} {
		f.Add([]byte(s), "m")
	}
	f.Fuzz(func(t *testing.T, text []byte, module string) {
		spec, err := ParseConfig(text, Owner{Module: module})
		if err == nil && spec.Version != "v0" && spec.Version != "v1" {
			t.Errorf("got %+v", spec)
		}
		for _, s := range spec.Schedules {
			if _, err := ParseCrontab(s.Crontab); err != nil {
				t.Errorf("accepted a crontab that does not parse: %v", err)
			}
		}
	})
}

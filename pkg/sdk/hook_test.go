package sdk_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/sdk"
	"github.com/addon-operator/addon-operator/pkg/sdk/testdata/everything"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func specOf(t *testing.T, h sdk.Hook, owner hook.Owner) (hook.Spec, error) {
	t.Helper()
	text, err := h.Config()
	if err != nil {
		t.Fatal(err)
	}
	return hook.ParseConfig(text, owner)
}

// TestBindingsBecomeTheConfigurationTheyDescribe: C-030 … C-064.
func TestBindingsBecomeTheConfigurationTheyDescribe(t *testing.T) {
	t.Parallel()
	got, err := specOf(t, everything.Hook(), hook.Owner{Module: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	watched := &metav1.LabelSelector{MatchLabels: map[string]string{"watched": "yes"}}
	rules := []admissionregistration.RuleWithOperations{{
		Operations: []admissionregistration.OperationType{"CREATE"},
		Rule:       admissionregistration.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}}
	want := hook.Spec{
		Version: "v1", Timeout: time.Minute, MinInterval: 10 * time.Second, Burst: 2,
		Orders:    map[hook.Binding]float64{hook.OnStartup: 1, hook.BeforeHelm: 2, hook.AfterHelm: 3, hook.BeforeDeleteHelm: 4, hook.AfterDeleteHelm: 5},
		Schedules: []hook.Schedule{{Route: hook.Route{Name: "hourly", Queue: "main", Snapshots: []string{"pods"}}, Crontab: "0 * * * *"}},
		Kubernetes: []hook.Kubernetes{
			{
				Route:      hook.Route{Name: "pods", Queue: "main", Group: "all", Snapshots: []string{"pods"}},
				APIVersion: "v1", Kind: "Pod", Events: []hook.WatchEvent{hook.Added, hook.Modified, hook.Deleted},
				OnSynchronization: true, WaitForSynchronization: true, KeepFullObjects: false,
				Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}, Namespaces: []string{"a"},
			},
			{
				Route:      hook.Route{Name: "secrets", Queue: "q", AllowFailure: true, Snapshots: []string{"pods"}},
				APIVersion: "v1", Kind: "Secret", Events: []hook.WatchEvent{hook.Added, hook.Deleted},
				OnSynchronization: true, WaitForSynchronization: false, KeepFullObjects: true,
				Names: []string{"s"}, Fields: "type=Opaque", NamespaceLabels: watched,
			},
		},
		Admissions: []hook.Admission{
			{
				Route: hook.Route{Name: "check.hello.example.com"}, FailurePolicy: "Ignore", SideEffects: "None", TimeoutSeconds: 5, Rules: rules,
			},
			{Route: hook.Route{Name: "change.hello.example.com"}, Mutating: true, SideEffects: "None", TimeoutSeconds: 10, Rules: rules},
		},
		Conversions: []hook.Conversion{{
			Route: hook.Route{Name: "up"}, CRD: "crontabs.example.com", Rules: []hook.ConversionRule{{From: "v1", To: "v2"}},
		}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(&hook.Filter{}), cmpopts.IgnoreFields(hook.Spec{}, "Warnings")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if f := got.Kubernetes[0].Filter; f == nil || f.String() != "{name: .metadata.name, node: .spec.nodeName}" {
		t.Errorf("the filter is %v", f)
	}
}

func TestZeroFieldsHaveTheDefaultsTheyAreDocumentedWith(t *testing.T) {
	t.Parallel()
	binding := func(k sdk.Kubernetes[any]) hook.Kubernetes {
		k.Kind = "Pod"
		spec, err := specOf(t, sdk.Hook{On: []sdk.Binding{k}}, hook.Global)
		if err != nil {
			t.Fatal(err)
		}
		return spec.Kubernetes[0]
	}
	if got := binding(sdk.Kubernetes[any]{}); got.Name != "kubernetes" || !got.KeepFullObjects || len(got.Events) != 3 || !got.OnSynchronization || !got.WaitForSynchronization {
		t.Errorf("the zero binding is %+v", got)
	}
	if binding(sdk.Kubernetes[any]{JQFilter: ".a"}).KeepFullObjects {
		t.Error("with a JQFilter, full objects are kept unasked")
	}
	if !binding(sdk.Kubernetes[any]{JQFilter: ".a", KeepFullObjects: true}).KeepFullObjects {
		t.Error("with KeepFullObjects, full objects are not kept")
	}
	if got := binding(sdk.Kubernetes[any]{Events: []sdk.WatchEvent{}}).Events; len(got) != 0 {
		t.Errorf("an empty list of events is %v", got)
	}
	if binding(sdk.Kubernetes[any]{SkipSynchronization: true}).OnSynchronization {
		t.Error("SkipSynchronization is ignored")
	}
}

func TestGlobalMomentsAreThoseOfGlobalHooks(t *testing.T) {
	t.Parallel()
	h := sdk.Hook{On: []sdk.Binding{sdk.BeforeAll(1), sdk.AfterAll(2)}}
	spec, err := specOf(t, h, hook.Global)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[hook.Binding]float64{hook.BeforeAll: 1, hook.AfterAll: 2}, spec.Orders); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := specOf(t, h, hook.Owner{Module: "a"}); err == nil || !strings.Contains(err.Error(), "beforeAll") {
		t.Errorf("C-033: for a module the error is %v", err)
	}
}

func TestConfigurationsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for sentence, test := range map[string]struct {
		on    []sdk.Binding
		wants string
	}{
		"a moment twice":         {[]sdk.Binding{sdk.OnStartup(1), sdk.OnStartup(2)}, "onStartup is declared twice"},
		"a conversion of naught": {[]sdk.Binding{sdk.Converting{Name: "up"}}, "binding up has no Steps"},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			if _, err := (sdk.Hook{Name: "h", On: test.on}).Config(); err == nil || !strings.Contains(err.Error(), "hook h: ") || !strings.Contains(err.Error(), test.wants) {
				t.Errorf("the error is %v, want one with %q", err, test.wants)
			}
		})
	}
}

// TestTheSDKIsLight keeps what a hook has to link small.
func TestTheSDKIsLight(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const ours = "github.com/addon-operator/addon-operator/pkg/"
	allowed := map[string]bool{ours + "sdk": true, ours + "hook": true, ours + "values": true}
	for _, p := range strings.Fields(string(out)) {
		for _, heavy := range []string{"k8s.io/client-go", "helm.sh/", "github.com/prometheus/", "k8s.io/apiextensions-apiserver", "net/http/httptest"} {
			if strings.HasPrefix(p, heavy) {
				t.Errorf("it depends on %s", p)
			}
		}
		if strings.HasPrefix(p, ours) && !allowed[p] {
			t.Errorf("it depends on %s; allowed of the operator are the models of hooks and values", p)
		}
	}
}

// run does one run of f.
func run(t *testing.T, in hook.Input, f func(*sdk.Input) error) (hook.Output, error) {
	t.Helper()
	if in.Contexts == nil {
		in.Contexts = []byte(`[{"binding":"onStartup"}]`)
	}
	return sdk.Run(t.Context(), sdk.Hook{Name: "h", Run: func(_ context.Context, in *sdk.Input) error { return f(in) }}, in, discard())
}

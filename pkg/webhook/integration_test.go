package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// bed is a running Server and the real API server that asks it.
type bed struct {
	*Server
	t         *testing.T
	client    *kubernetes.Clientset
	dynamic   dynamic.Interface
	namespace string
	warnings  *warnings
	stop      func()
}

type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

// serve runs a Server on a free loopback port; everything it registered is
// withdrawn at the end of the test.
func serve(t *testing.T, change func(*Config)) *bed {
	t.Helper()
	w := &warnings{}
	rc := rest.CopyConfig(testkit.Cluster(t))
	rc.WarningHandler = w
	client := kubernetes.NewForConfigOrDie(rc)
	b := &bed{t: t, client: client, dynamic: dynamic.NewForConfigOrDie(rc), warnings: w}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "webhook-", Labels: map[string]string{"webhook": "test"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.namespace = ns.Name
	address := freePort(t)
	cfg := Config{
		Dynamic: b.dynamic, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
		Namespace: ns.Name, URL: "https://" + address, ConfigurationName: ns.Name, Instance: ns.Name,
		Admission: Endpoint{ListenAddress: address, Cert: "none"}, Conversion: Endpoint{Cert: "none"},
	}
	if change != nil {
		change(&cfg)
	}
	b.run(cfg)
	t.Cleanup(func() {
		b.stop()
		// A policy outlives its server, and would refuse what other tests do.
		for _, resource := range []schema.GroupVersionResource{validatingResource, mutatingResource} {
			of := metav1.ListOptions{LabelSelector: labelInstance + "=" + ns.Name}
			if err := b.dynamic.Resource(resource).DeleteCollection(context.WithoutCancel(t.Context()), metav1.DeleteOptions{}, of); err != nil {
				t.Error(err)
			}
		}
	})
	return b
}

func (b *bed) run(cfg Config) {
	b.t.Helper()
	s, err := New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Server = s
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// policy is a binding on the ConfigMaps of the test's namespace.
func (b *bed) policy(name string, mutating bool) hook.Admission {
	return hook.Admission{
		Route: hook.Route{Name: name}, Mutating: mutating, SideEffects: admission.SideEffectClassNone, TimeoutSeconds: 10,
		NamespaceLabels: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": b.namespace}},
		Rules: []admission.RuleWithOperations{{
			Rule:       admission.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			Operations: []admission.OperationType{"CREATE"},
		}},
	}
}

func (b *bed) hook(name string, answer func(context.Context, hook.Context) (hook.Output, error), bindings ...hook.Admission) hook.Webhook {
	return hook.Webhook{Hook: hook.ID{Owner: hook.Standalone, Name: name}, Admissions: bindings, Answer: answer}
}

func (b *bed) register(owner hook.Owner, hooks ...hook.Webhook) {
	b.t.Helper()
	if err := b.Register(b.t.Context(), owner, hooks); err != nil {
		b.t.Fatal(err)
	}
}

// try creates a ConfigMap without storing it.
func (b *bed) try(labels map[string]string) (*corev1.ConfigMap, error) {
	m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "x-", Labels: labels}}
	return b.client.CoreV1().ConfigMaps(b.namespace).Create(b.t.Context(), m, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
}

func (b *bed) eventuallyDenied(labels map[string]string, words string) {
	b.t.Helper()
	var err error
	testkit.Eventually(b.t, func() bool {
		_, err = b.try(labels)
		return err != nil && strings.Contains(err.Error(), words)
	}, func() string { return fmt.Sprintf("denied with %q, got %v", words, err) })
}

func (b *bed) eventuallyAllowed() {
	b.t.Helper()
	var err error
	testkit.Eventually(b.t, func() bool { _, err = b.try(nil); return err == nil }, func() string { return fmt.Sprint(err) })
}

func says(r hook.AdmissionResponse) func(context.Context, hook.Context) (hook.Output, error) {
	return func(context.Context, hook.Context) (hook.Output, error) { return hook.Output{Admission: &r}, nil }
}

// C-240 … C-247: what the hook answers is what the user sees.
func TestAValidatingHookDeniesAndWarns(t *testing.T) {
	b := serve(t, nil)
	var seen atomic.Pointer[hook.Context]
	b.register(hook.Standalone, b.hook("policy.sh", func(_ context.Context, c hook.Context) (hook.Output, error) {
		seen.Store(&c)
		var review struct {
			Kind    string
			Request struct {
				UID    string
				Object struct{ Metadata metav1.ObjectMeta }
			}
		}
		if err := json.Unmarshal(c.Review, &review); err != nil || review.Request.UID == "" || review.Kind != "AdmissionReview" {
			return hook.Output{}, fmt.Errorf("bad review %s: %w", c.Review, err)
		}
		switch review.Request.Object.Metadata.Labels["want"] {
		case "denied":
			return hook.Output{Admission: &hook.AdmissionResponse{Message: "the label is wrong"}}, nil
		case "broken":
			return hook.Output{}, &hook.RunError{Hook: hook.ID{Owner: hook.Standalone, Name: "policy.sh"}, Cause: "exit status 3", Stderr: "jq: error"}
		case "silent":
			return hook.Output{}, nil
		case "panic":
			return hook.Output{}, errors.New(strings.Split(c.Binding, ".")[len(c.Binding)])
		}
		return hook.Output{Admission: &hook.AdmissionResponse{Allowed: true, Warnings: []string{"do not do this often"}}}, nil
	}, b.policy("private.example.com", false)))

	b.eventuallyDenied(map[string]string{"want": "denied"}, `admission webhook "private.example.com" denied the request: the label is wrong`)
	b.eventuallyDenied(map[string]string{"want": "broken"}, "Hook failed: hook hooks/policy.sh: exit status 3: jq: error")
	b.eventuallyDenied(map[string]string{"want": "silent"}, `hook hooks/policy.sh wrote no answer for binding "private.example.com"`)
	b.eventuallyDenied(map[string]string{"want": "panic"}, "failed calling webhook")
	if _, err := b.try(nil); err != nil {
		t.Error(err)
	}
	b.warnings.mu.Lock()
	defer b.warnings.mu.Unlock()
	if !slices.Contains(b.warnings.text, "do not do this often") {
		t.Errorf("got warnings %q", b.warnings.text)
	}
	if c := seen.Load(); c.Binding != "private.example.com" || c.Type != hook.TypeValidating {
		t.Errorf("got context %+v", c)
	}
}

// C-246.
func TestAMutatingHookPatches(t *testing.T) {
	b := serve(t, nil)
	patch := `[{"op":"add","path":"/metadata/labels","value":{"made":"by-hook"}}]`
	b.register(hook.Owner{Module: "some-module"}, b.hook("hooks/mutate.sh", says(hook.AdmissionResponse{Allowed: true, Patch: []byte(patch)}), b.policy("defaults.example.com", true)))
	var got *corev1.ConfigMap
	var err error
	testkit.Eventually(t, func() bool {
		got, err = b.try(nil)
		return err == nil && got.Labels["made"] == "by-hook"
	}, func() string { return fmt.Sprint(got, err) })
	configuration, err := b.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(t.Context(), b.namespace+"-some-module", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if labels := configuration.Labels; labels[labelInstance] != b.namespace || labels[labelOwner] != "some-module" {
		t.Errorf("got labels %v", labels)
	}
}

// C-246: the API server would refuse it with words that nobody understands.
func TestAPatchOfAValidatingHookIsExplained(t *testing.T) {
	b := serve(t, nil)
	b.register(hook.Standalone, b.hook("v.sh", says(hook.AdmissionResponse{Allowed: true, Patch: []byte("[]")}), b.policy("private.example.com", false)))
	b.eventuallyDenied(nil, "only kubernetesMutating bindings may change objects")
}

// C-060: a hook that hangs is ended before the API server stops waiting.
func TestAHookThatHangsIsDeniedInTime(t *testing.T) {
	b := serve(t, nil)
	policy := b.policy("slow.example.com", false)
	policy.TimeoutSeconds = 1
	b.register(hook.Standalone, b.hook("slow.sh", func(ctx context.Context, _ hook.Context) (hook.Output, error) {
		<-ctx.Done()
		return hook.Output{}, context.Cause(ctx)
	}, policy))
	b.eventuallyDenied(nil, "Hook failed: hook hooks/slow.sh: no answer within")
}

func TestAnOwnersHooksAreReplacedAndWithdrawn(t *testing.T) {
	b := serve(t, nil)
	deny := says(hook.AdmissionResponse{Message: "no"})
	b.register(hook.Global, b.hook("a", deny, b.policy("a.example.com", false)), b.hook("b", deny, b.policy("b.example.com", true)))
	b.eventuallyDenied(nil, "no")
	b.register(hook.Global, b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false)))
	b.eventuallyAllowed()
	if _, err := b.dynamic.Resource(mutatingResource).Get(t.Context(), b.namespace+"-global", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the mutating configuration is still there: %v", err)
	}
	if err := b.Unregister(t.Context(), hook.Global); err != nil {
		t.Fatal(err)
	}
	if _, err := b.dynamic.Resource(validatingResource).Get(t.Context(), b.namespace+"-global", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the validating configuration is still there: %v", err)
	}
	b.eventuallyAllowed()
}

// C-243: whoever deletes or changes a policy by mistake gets it back.
func TestAConfigurationThatSomebodyDeletesOrChangesIsPutBack(t *testing.T) {
	b := serve(t, nil)
	b.register(hook.Standalone, b.hook("a", says(hook.AdmissionResponse{Message: "no"}), b.policy("a.example.com", false)))
	client := b.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	name := b.namespace + "-hooks"
	first, err := client.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	var now *admission.ValidatingWebhookConfiguration
	testkit.Eventually(t, func() bool {
		now, err = client.Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && now.UID != first.UID
	}, func() string { return "it is made again" })

	broken := now.DeepCopy()
	broken.Webhooks[0].FailurePolicy = pointer(admission.Ignore)
	broken.Labels = map[string]string{"theirs": "stays"}
	if _, err := client.Update(t.Context(), broken, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool {
		now, err = client.Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && *now.Webhooks[0].FailurePolicy == admission.Fail && now.Labels["theirs"] == "stays" && now.Labels[labelOwner] == "hooks"
	}, func() string { return fmt.Sprint("it is as it was: ", now, err) })
}

func TestOwnWritesAreNotRepeated(t *testing.T) {
	b := serve(t, nil)
	hooks := b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false), b.policy("b.example.com", true))
	b.register(hook.Standalone, hooks)
	client := b.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	first, err := client.Get(t.Context(), b.namespace+"-hooks", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.register(hook.Standalone, hooks)
	again, err := client.Get(t.Context(), b.namespace+"-hooks", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if first.ResourceVersion != again.ResourceVersion {
		t.Error("the same registration was written twice")
	}
}

// C-194, C-243: a policy must not lapse while the operator is replaced.
func TestConfigurationsStayAtShutdownAndGoWithOwnersThatDoNotComeBack(t *testing.T) {
	b := serve(t, nil)
	allow := says(hook.AdmissionResponse{Allowed: true})
	stays, goes := hook.Owner{Module: "stays"}, hook.Owner{Module: "goes"}
	b.register(stays, b.hook("a", allow, b.policy("a.example.com", false)))
	b.register(goes, b.hook("b", allow, b.policy("b.example.com", false), b.policy("c.example.com", true)))
	foreign := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}}
	foreign.SetName(b.namespace + "-of-a-chart")
	foreign.SetLabels(map[string]string{labelInstance: b.namespace})
	if _, err := b.dynamic.Resource(validatingResource).Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	b.stop()
	names := func() (all []string) {
		for _, resource := range []schema.GroupVersionResource{validatingResource, mutatingResource} {
			list, err := b.dynamic.Resource(resource).List(t.Context(), metav1.ListOptions{LabelSelector: labelInstance + "=" + b.namespace})
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range list.Items {
				all = append(all, strings.TrimPrefix(o.GetName(), b.namespace+"-"))
			}
		}
		return all
	}
	if got := names(); len(got) != 4 {
		t.Errorf("after shutdown there are %q", got)
	}
	b.run(b.cfg)
	if err := b.Keep(t.Context(), []hook.Owner{stays, hook.Global}); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"of-a-chart", "stays"}) {
		t.Errorf("after Keep there are %q", got)
	}
}

// What an owner's hooks do not want any more goes with its first registration in a
// new process, and with Unregister of an owner that registers nothing.
func TestLeftoversOfOwnersThatChangedGo(t *testing.T) {
	b := serve(t, nil)
	allow := says(hook.AdmissionResponse{Allowed: true})
	group, create := b.crd()
	create()
	changed, silent := hook.Owner{Module: "changed"}, hook.Owner{Module: "silent"}
	b.register(changed, b.hook("a", allow, b.policy("a.example.com", false), b.policy("b.example.com", true)), converter("c", group, hook.ConversionRule{From: "v1alpha1", To: "v1"}))
	b.register(silent, b.hook("b", allow, b.policy("c.example.com", false)))
	b.eventuallyStrategy("crontabs."+group, "Webhook")
	b.stop()
	b.run(b.cfg)
	b.register(changed, b.hook("a", allow, b.policy("b.example.com", true)))
	if err := b.Unregister(t.Context(), silent); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "None")
	for _, name := range []string{"changed", "silent"} {
		if _, err := b.dynamic.Resource(validatingResource).Get(t.Context(), b.namespace+"-"+name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the validating configuration of %s is still there: %v", name, err)
		}
	}
	if _, err := b.dynamic.Resource(mutatingResource).Get(t.Context(), b.namespace+"-changed", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func TestAConfigurationOfAnotherInstanceIsLeftAlone(t *testing.T) {
	told := make(chan string, 100)
	b := serve(t, func(c *Config) {
		c.Failed = func(owner hook.Owner, object string, err error) { told <- fmt.Sprint(owner, " ", object, ": ", err) }
	})
	theirs := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}}
	theirs.SetName(b.namespace + "-hooks")
	theirs.SetLabels(map[string]string{labelInstance: "other"})
	if _, err := b.dynamic.Resource(validatingResource).Create(t.Context(), theirs, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.dynamic.Resource(validatingResource).Delete(context.WithoutCancel(t.Context()), theirs.GetName(), metav1.DeleteOptions{})
	})
	err := b.Register(t.Context(), hook.Standalone, []hook.Webhook{b.hook("a", says(hook.AdmissionResponse{}), b.policy("a.example.com", false))})
	if err == nil || !strings.Contains(err.Error(), `belongs to the operator instance "other"`) {
		t.Errorf("got %v", err)
	}
	if got := <-told; !strings.HasPrefix(got, "hooks ValidatingWebhookConfiguration hooks: ") || !strings.Contains(got, "belongs to") {
		t.Errorf("told %q", got)
	}
	// When the other one has gone, it is written without being asked again.
	if err := b.dynamic.Resource(validatingResource).Delete(t.Context(), theirs.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool { return strings.HasSuffix(<-told, "<nil>") }, func() string { return "written" })
}

func TestWatchesOutliveTheAPIServer(t *testing.T) {
	b := serve(t, nil)
	b.register(hook.Standalone, b.hook("a", says(hook.AdmissionResponse{Message: "no"}), b.policy("a.example.com", false)))
	b.eventuallyDenied(nil, "no")
	testkit.StopAPIServer(t)
	testkit.StartAPIServer(t)
	client := b.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if err := client.Delete(t.Context(), b.namespace+"-hooks", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool {
		_, err := client.Get(t.Context(), b.namespace+"-hooks", metav1.GetOptions{})
		return err == nil
	}, func() string { return "it is made again" })
	b.eventuallyDenied(nil, "no")
}

const crontab = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, listKind: CronTabList}
  versions:
  - {name: v1alpha1, served: true, storage: false, schema: &schema {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v1beta1, served: true, storage: false, schema: *schema}
  - {name: v1, served: true, storage: true, schema: *schema}
`

// crd installs the CRD of a group of this test's own.
func (b *bed) crd() (group string, create func()) {
	group = b.namespace + ".example.com"
	client := b.dynamic.Resource(crdResource)
	name := "crontabs." + group
	b.t.Cleanup(func() { _ = client.Delete(context.WithoutCancel(b.t.Context()), name, metav1.DeleteOptions{}) })
	return group, func() {
		b.t.Helper()
		var u unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(strings.ReplaceAll(crontab, "GROUP", group)), &u.Object); err != nil {
			b.t.Fatal(err)
		}
		testkit.Eventually(b.t, func() bool {
			_, err := client.Create(b.t.Context(), &u, metav1.CreateOptions{})
			return err == nil
		}, func() string { return "the CRD is created" })
	}
}

// converter passes on objects of other versions, as C-257 asks for.
func converter(name, group string, rules ...hook.ConversionRule) hook.Webhook {
	w := hook.Webhook{Hook: hook.ID{Owner: hook.Standalone, Name: name}}
	w.Conversions = []hook.Conversion{{Route: hook.Route{Name: name}, CRD: "crontabs." + group, Rules: rules}}
	w.Answer = func(_ context.Context, c hook.Context) (hook.Output, error) {
		var review struct{ Request conversionRequest }
		if err := json.Unmarshal(c.Review, &review); err != nil {
			return hook.Output{}, err
		}
		out := &hook.ConversionResponse{}
		for _, o := range review.Request.Objects {
			var m map[string]any
			if err := json.Unmarshal(o, &m); err != nil {
				return hook.Output{}, err
			}
			spec, _ := m["spec"].(map[string]any)
			if spec["refuse"] == true {
				return hook.Output{Conversion: &hook.ConversionResponse{FailedMessage: "this one cannot be converted"}}, nil
			}
			if short(m["apiVersion"].(string)) == short(c.From) {
				m["apiVersion"] = group + "/" + short(c.To)
				way, _ := spec["way"].(string)
				spec["way"] = way + " " + short(c.From) + ">" + short(c.To)
			}
			text, err := json.Marshal(m)
			if err != nil {
				return hook.Output{}, err
			}
			out.Objects = append(out.Objects, text)
		}
		return hook.Output{Conversion: out}, nil
	}
	return w
}

// C-256, C-257, C-258, B-14: steps of two hooks make one way; the CRD comes later.
func TestConversionGoesHopByHopOnceItsCRDExists(t *testing.T) {
	b := serve(t, nil)
	group, create := b.crd()
	b.register(hook.Standalone,
		converter("up", group, hook.ConversionRule{From: "v1alpha1", To: group + "/v1beta1"}, hook.ConversionRule{From: "v1beta1", To: "v1"}),
		converter("down", group, hook.ConversionRule{From: "v1", To: "v1alpha1"}))
	create()
	at := func(version string) dynamic.ResourceInterface {
		return b.dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: "crontabs"}).Namespace(b.namespace)
	}
	made := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": group + "/v1alpha1", "kind": "CronTab", "metadata": map[string]any{"name": "a"}, "spec": map[string]any{"way": "made"},
	}}
	var stored *unstructured.Unstructured
	var err error
	// Until the API server has seen the conversion it changes nothing but the version.
	testkit.Eventually(t, func() bool {
		_ = at("v1").Delete(t.Context(), "a", metav1.DeleteOptions{})
		if _, err = at("v1alpha1").Create(t.Context(), made, metav1.CreateOptions{}); err != nil {
			return false
		}
		stored, err = at("v1").Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil && way(stored) == "made v1alpha1>v1beta1 v1beta1>v1"
	}, func() string { return fmt.Sprint(stored, err) })
	back, err := at("v1alpha1").Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || way(back) != "made v1alpha1>v1beta1 v1beta1>v1 v1>v1alpha1" {
		t.Errorf("got %v, %v", back, err)
	}

	refused := made.DeepCopy()
	refused.SetName("b")
	refused.Object["spec"] = map[string]any{"refuse": true}
	if _, err := at("v1alpha1").Create(t.Context(), refused, metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "this one cannot be converted") {
		t.Errorf("C-258: the failedMessage is lost: %v", err)
	}

	// Somebody turns the conversion off; it is turned on again.
	crds := b.dynamic.Resource(crdResource)
	if _, err := crds.Patch(t.Context(), "crontabs."+group, "application/merge-patch+json", []byte(`{"spec":{"conversion":{"strategy":"None","webhook":null}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "Webhook")

	// Somebody else takes the CRD over: then it is not ours to turn off.
	if err := b.Unregister(t.Context(), hook.Standalone); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "None")
	const theirs = `{"spec":{"conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/x"}}}}}`
	if _, err := crds.Patch(t.Context(), "crontabs."+group, "application/merge-patch+json", []byte(theirs), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "Webhook")
}

func way(u *unstructured.Unstructured) string {
	text, _, _ := unstructured.NestedString(u.Object, "spec", "way")
	return text
}

func (b *bed) eventuallyStrategy(crd, want string) {
	b.t.Helper()
	var got string
	testkit.Eventually(b.t, func() bool {
		u, err := b.dynamic.Resource(crdResource).Get(b.t.Context(), crd, metav1.GetOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		got, _, _ = unstructured.NestedString(u.Object, "spec", "conversion", "strategy")
		return got == want
	}, func() string { return "conversion strategy " + want + ", got " + got })
}

// C-256: of two owners the second is told who converts the CRD.
func TestACRDIsConvertedByOneOwner(t *testing.T) {
	b := serve(t, nil)
	group, _ := b.crd()
	rule := hook.ConversionRule{From: "v1alpha1", To: "v1"}
	first, second := hook.Owner{Module: "first"}, hook.Owner{Module: "second"}
	b.register(first, converter("a", group, rule))
	err := b.Register(t.Context(), second, []hook.Webhook{converter("b", group, rule)})
	if err == nil || !strings.Contains(err.Error(), "is converted by hook hooks/a already") {
		t.Errorf("got %v", err)
	}
	if err := b.Unregister(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	b.register(second, converter("b", group, rule))
}

// B-60: conversions left by an owner that does not come back are turned off.
func TestKeepTurnsOffConversionsOfOwnersThatAreGone(t *testing.T) {
	b := serve(t, nil)
	group, create := b.crd()
	create()
	owner := hook.Owner{Module: "m"}
	b.register(owner, converter("a", group, hook.ConversionRule{From: "v1alpha1", To: "v1"}))
	b.eventuallyStrategy("crontabs."+group, "Webhook")
	b.stop()
	b.run(b.cfg)
	if err := b.Keep(t.Context(), []hook.Owner{owner}); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "Webhook")
	if err := b.Keep(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	b.eventuallyStrategy("crontabs."+group, "None")
}

// traffic asks all the time until the returned function is called, which says how
// many requests there were and fails the test for each that failed.
func (b *bed) traffic() (asked *atomic.Int64, end func()) {
	asked = &atomic.Int64{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := b.try(nil); err != nil {
					b.t.Errorf("a request failed during the rotation: %v", err)
					return
				}
				asked.Add(1)
			}
		})
	}
	return asked, func() { close(stop); wg.Wait() }
}

// serving is the serial number of the certificate that the port shows.
func (b *bed) serving() string {
	c, err := b.Server.admission.certs.get(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return c.tls.Leaf.SerialNumber.String()
}

func (b *bed) bundle() []byte {
	b.t.Helper()
	c, err := b.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(b.t.Context(), b.namespace+"-hooks", metav1.GetOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return c.Webhooks[0].ClientConfig.CABundle
}

// C-240, B-60: files are read again, the bundle reaches the configurations, and no
// request fails meanwhile.
func TestCertificateFilesAreReplacedWhileRequestsRun(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	old, err := renew(issued{}, []string{"127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	put := func(files map[string][]byte) {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := os.WriteFile(filepath.Join(dir, name), files[name], 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(map[string][]byte{"tls.crt": old.Cert, "tls.key": old.Key, "ca.crt": old.CA})
	clock := clocktesting.NewFakeClock(now)
	b := serve(t, func(c *Config) {
		c.Clock = clock
		c.Admission.Cert, c.Admission.Key, c.Admission.CA = dir+"/tls.crt", dir+"/tls.key", dir+"/ca.crt"
	})
	b.register(hook.Standalone, b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false)))
	asked, end := b.traffic()
	defer end()

	next, err := renew(issued{}, []string{"127.0.0.1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	both := append(append([]byte{}, next.CA...), old.CA...)
	put(map[string][]byte{"ca.crt": both})
	testkit.Eventually(t, func() bool { clock.Step(filesEvery); return bytes.Equal(b.bundle(), both) }, func() string { return "the new bundle is registered" })
	b.seenBy(asked)
	before := b.serving()
	put(map[string][]byte{"tls.crt": next.Cert, "tls.key": next.Key})
	testkit.Eventually(t, func() bool { clock.Step(filesEvery); return b.serving() != before }, func() string { return "the new certificate is served" })
	b.seenBy(asked)
	put(map[string][]byte{"ca.crt": next.CA})
	testkit.Eventually(t, func() bool { clock.Step(filesEvery); return bytes.Equal(b.bundle(), next.CA) }, func() string { return "the old authority is gone" })
	b.seenBy(asked)
}

// seenBy waits until a good number of requests came through since.
func (b *bed) seenBy(asked *atomic.Int64) {
	b.t.Helper()
	since := asked.Load()
	testkit.Eventually(b.t, func() bool { return b.t.Failed() || asked.Load() > since+50 }, func() string { return "requests go through" })
}

func TestASelfIssuedCertificateIsRenewedWhileRequestsRun(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now().Add(-50 * 24 * time.Hour))
	b := serve(t, func(c *Config) { c.Clock = clock })
	b.register(hook.Standalone, b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false)))
	asked, end := b.traffic()
	defer end()
	b.seenBy(asked)
	before, bundle := b.serving(), b.bundle()
	clock.Step(40 * 24 * time.Hour)
	clock.Step(10 * 24 * time.Hour) // the real time
	if b.serving() != before {
		t.Error("renewed too early")
	}
	clock.Step(11 * 24 * time.Hour)
	testkit.Eventually(t, func() bool { clock.Step(renewEvery); return b.serving() != before }, func() string { return "a new certificate" })
	if !bytes.Equal(bundle, b.bundle()) {
		t.Error("the authority changed without need")
	}
	secret, err := b.client.CoreV1().Secrets(b.namespace).Get(t.Context(), b.cfg.IssuedSecret, metav1.GetOptions{})
	if err != nil || secret.Type != corev1.SecretTypeTLS || !bytes.Equal(secret.Data["ca.crt"], bundle) {
		t.Errorf("got %v, %v", secret, err)
	}
}

func TestReplicasAndRestartsShareTheSelfIssuedCertificate(t *testing.T) {
	b := serve(t, nil)
	b.register(hook.Standalone, b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false)))
	first := b.serving()
	other, err := New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := other.admission.certs.get(t.Context())
	if err != nil || c.tls.Leaf.SerialNumber.String() != first {
		t.Errorf("the second replica made its own certificate: %v", err)
	}
	// One that somebody deletes is made again, and all follow it.
	if err := b.client.CoreV1().Secrets(b.namespace).Delete(t.Context(), b.cfg.IssuedSecret, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	old := b.bundle()
	testkit.Eventually(t, func() bool { return b.serving() != first && !bytes.Equal(b.bundle(), old) }, func() string { return "a new authority, registered" })
	b.eventuallyAllowed()
}

func TestACertificateOfASecretIsFollowed(t *testing.T) {
	names := []string{"127.0.0.1"}
	made, err := renew(issued{}, names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b := serve(t, func(c *Config) { c.Secret = "from-cert-manager" })
	hooks := b.hook("a", says(hook.AdmissionResponse{Allowed: true}), b.policy("a.example.com", false))
	if err := b.Register(t.Context(), hook.Standalone, []hook.Webhook{hooks}); err == nil || !strings.Contains(err.Error(), "from-cert-manager") {
		t.Errorf("without its Secret: got %v", err)
	}
	data := func(i issued) map[string][]byte {
		return map[string][]byte{"tls.crt": i.Cert, "tls.key": i.Key, "ca.crt": i.CA}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "from-cert-manager"}, Data: data(made)}
	secrets := b.client.CoreV1().Secrets(b.namespace)
	if _, err := secrets.Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	configurations := b.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	testkit.Eventually(t, func() bool {
		_, err := configurations.Get(t.Context(), b.namespace+"-hooks", metav1.GetOptions{})
		return err == nil
	}, func() string { return "registered without being asked again" })
	b.eventuallyAllowed()
	next, err := renew(issued{}, names, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secret.Data = data(next)
	if _, err := secrets.Update(t.Context(), secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool { return bytes.Equal(b.bundle(), next.CA) }, func() string { return "the new bundle is registered" })
	b.eventuallyAllowed()
}

// C-194: a request that runs when the operator ends gets its answer.
func TestRequestsEndBeforeRunReturns(t *testing.T) {
	b := serve(t, nil)
	started, release := make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	b.register(hook.Standalone, b.hook("a", func(context.Context, hook.Context) (hook.Output, error) {
		if slow.Load() {
			started <- struct{}{}
			<-release
		}
		return hook.Output{Admission: &hook.AdmissionResponse{Message: "answered"}}, nil
	}, b.policy("a.example.com", false)))
	b.eventuallyDenied(nil, "answered")
	slow.Store(true)
	answer := make(chan error, 1)
	go func() {
		_, err := b.try(nil)
		answer <- err
	}()
	<-started
	ended := make(chan struct{})
	go func() { b.stop(); close(ended) }()
	close(release)
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "answered") {
		t.Errorf("got %v", err)
	}
	<-ended
}

package operator_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// withoutModules makes the Config one of hooks-only mode, whose webhooks the API server reaches on loopback.
func (c *conformance) withoutModules(configuration string) {
	c.t.Helper()
	with := operator.HooksOnly(filepath.Join(c.Dir, "hooks"))
	with.KubeConfig, with.Namespace = c.Config.KubeConfig, c.Config.Namespace
	with.TempDir, with.ListenAddress, with.DebugSocket = c.Config.TempDir, c.Config.ListenAddress, c.Config.DebugSocket
	with.OrderPatience, with.ShutdownGrace, with.Logger = c.Config.OrderPatience, c.Config.ShutdownGrace, c.Config.Logger
	c.Config = with
	c.webhooks(configuration)
}

// webhooks are reached on loopback; configurations are removed when the test has ended.
func (c *conformance) webhooks(configuration string) {
	address := freePort(c.t)
	c.Config.Webhooks.URL = "https://" + address
	c.Config.Webhooks.Admission.ListenAddress = address
	c.Config.Webhooks.ConfigurationName = configuration
	c.t.Cleanup(func() {
		ctx := context.Background()
		all := metav1.ListOptions{LabelSelector: "addon-operator.io/webhooks-of"}
		mine := func(name string) bool { return strings.HasPrefix(name, configuration+"-") }
		configurations := c.Client.AdmissionregistrationV1()
		if list, err := configurations.ValidatingWebhookConfigurations().List(ctx, all); err == nil {
			for _, w := range list.Items {
				if mine(w.Name) {
					_ = configurations.ValidatingWebhookConfigurations().Delete(ctx, w.Name, metav1.DeleteOptions{})
				}
			}
		}
		if list, err := configurations.MutatingWebhookConfigurations().List(ctx, all); err == nil {
			for _, w := range list.Items {
				if mine(w.Name) {
					_ = configurations.MutatingWebhookConfigurations().Delete(ctx, w.Name, metav1.DeleteOptions{})
				}
			}
		}
	})
}

// versions serves a namespaced kind in several versions, the last of them stored; its spec may hold anything.
func (c *conformance) versions(group, plural, kind string, versions ...string) {
	c.t.Helper()
	text := "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: " + plural + "." + group + "}\n" +
		"spec:\n  group: " + group + "\n  names: {plural: " + plural + ", kind: " + kind + "}\n  scope: Namespaced\n  versions:\n"
	for i, v := range versions {
		text += fmt.Sprintf("  - {name: %s, served: true, storage: %v, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}\n", v, i == len(versions)-1)
	}
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.Dynamic.Resource(crds).Create(c.ctx, obj, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
	name := plural + "." + group
	c.t.Cleanup(func() { _ = c.Dynamic.Resource(crds).Delete(context.Background(), name, metav1.DeleteOptions{}) })
}

// made creates an object of one version of a kind.
func (c *conformance) made(group, version, plural, kind, namespace, name string, spec map[string]any, dryRun ...string) error {
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": group + "/" + version, "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": spec}}
	_, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural}).
		Namespace(namespace).Create(c.ctx, obj, metav1.CreateOptions{DryRun: dryRun})
	return err
}

// spec reads that of an object in one version.
func (c *conformance) spec(group, version, plural, namespace, name string) any {
	c.t.Helper()
	obj, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: plural}).
		Namespace(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return obj.Object["spec"]
}

// The hooks of testdata/conformance/hooks-only, in hooks-only mode.
func TestConformanceOfHooksOnly(t *testing.T) {
	t.Parallel()
	c := newConformance(t, "hooks-only")
	c.withoutModules("shell-operator-hooks")
	c.namespace("conf-hooks", nil)
	c.namespace("conf-webhooks", map[string]string{"conf-webhooks": "yes"})
	c.put("conf-webhooks", "limits", "", "max", "7")
	c.put("conf-hooks", "existed", "v0")
	c.put("conf-hooks", "known", "reconnect")
	cut := c.throughProxy()
	c.versions("conf.example.com", "widgets", "Widget", "v1alpha0", "v1alpha1", "v1beta1", "v1")
	stop := c.start()
	c.eventually(func() bool {
		configurations := c.Client.AdmissionregistrationV1()
		_, err := configurations.ValidatingWebhookConfigurations().Get(c.ctx, "shell-operator-hooks-hooks", metav1.GetOptions{})
		_, err2 := configurations.MutatingWebhookConfigurations().Get(c.ctx, "shell-operator-hooks-hooks", metav1.GetOptions{})
		return err == nil && err2 == nil
	}, "the webhooks are registered")
	// The first: as long as this Synchronization fails, the hooks of the other parts wait in main behind it.
	t.Run("C-182, C-185, C-187: nobody waits for a Synchronization but its queue", func(t *testing.T) {
		c := c.on(t)
		c.hasContexts("hooks-unwaited", 2) // it fails, and the webhooks are registered all the same
		ticks := func() int {
			return strings.Count(strings.Join(c.lines("hooks-order"), "\n"), "c schedule Schedule")
		}
		before := ticks()
		c.touch("hooks-unwaited-ok")
		c.eventually(func() bool { return ticks() > before }, "it succeeds in the end, and main goes on")
	})
	t.Run("areas", func(t *testing.T) {
		for name, area := range map[string]func(*testing.T, *conformance){
			"hooks": conformHooks, "admission": conformAdmission, "conversion": conformConversion,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				area(t, c.on(t))
			})
		}
	})
	t.Run("C-148: a reconnect brings no event for what is known and unchanged", func(t *testing.T) {
		c := c.on(t)
		c.hasContexts("hooks-reconnect", 1)
		cut()
		c.put("conf-hooks", "new", "reconnect")
		c.hasContexts("hooks-reconnect", 2)
		cut()
		c.put("conf-hooks", "new", "reconnect", "n", "2")
		c.hasContexts("hooks-reconnect", 3)
		event := func(e, n string) string {
			return `[{"binding": "reconnect", "type": "Event", "watchEvent": "` + e + `", "filterResult": {"name": "new", "n": ` + n + `}}]`
		}
		c.same("runs", c.runs("hooks-reconnect"), `[[`+synchronization("reconnect", `{"filterResult": {"name": "known", "n": null}}`)+`], `+event("Added", "null")+`, `+event("Modified", `"2"`)+`]`)
	})
	t.Run("C-194, C-243: shutdown ends the hooks, and webhook configurations stay", func(t *testing.T) {
		c := c.on(t)
		c.put("conf-hooks", "hang", "")
		var leader, child int
		if _, err := fmt.Sscan(c.hasLines("hooks-hang", 1)[0], &leader, &child); err != nil {
			t.Fatal(err)
		}
		stop()
		for _, pid := range []int{leader, child} {
			if err := syscall.Kill(pid, 0); err == nil {
				state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may be a zombie of another parent
				if !strings.Contains(string(state), ") Z ") {
					t.Errorf("process %d is still there", pid)
				}
			}
		}
		if _, err := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(c.ctx, "shell-operator-hooks-hooks", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
		conversion := map[string]any{"spec": map[string]any{"conversion": map[string]any{"strategy": "None", "webhook": nil}}}
		body, _ := json.Marshal(conversion)
		_, _ = c.Dynamic.Resource(crds).Patch(c.ctx, "widgets.conf.example.com", "application/merge-patch+json", body, metav1.PatchOptions{})
	})
}

// throughProxy puts a relay between the operator and the API server; cut breaks all its connections.
func (c *conformance) throughProxy() (cut func()) {
	c.t.Helper()
	target := strings.TrimPrefix(c.cluster.Config(c.t).Host, "https://")
	listener, err := (&net.ListenConfig{}).Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for conn := range open {
			_ = conn.Close()
		}
	}
	var relays sync.WaitGroup
	relay := func(from net.Conn) {
		to, err := (&net.Dialer{}).Dial("tcp", target) //nolint:noctx // ended by cut
		if err != nil {
			_ = from.Close()
			return
		}
		mu.Lock()
		open[from], open[to] = true, true
		mu.Unlock()
		var both sync.WaitGroup
		for a, b := range map[net.Conn]net.Conn{from: to, to: from} {
			both.Go(func() {
				_, _ = io.Copy(a, b)
				_ = a.Close()
				_ = b.Close()
			})
		}
		both.Wait()
		mu.Lock()
		defer mu.Unlock()
		delete(open, from)
		delete(open, to)
	}
	relays.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { relay(conn) })
		}
	})
	c.t.Cleanup(func() {
		_ = listener.Close()
		cut()
		relays.Wait()
	})
	text, err := os.ReadFile(c.Config.KubeConfig)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Config.KubeConfig = filepath.Join(c.Dir, "kubeconfig")
	if err := os.WriteFile(c.Config.KubeConfig, []byte(strings.ReplaceAll(string(text), target, listener.Addr().String())), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return cut
}

// badHooks are what is said about each hook of 010-broken.
var badHooks = map[string][]string{
	"fails.sh":        {"exit status 4", "no such thing"},                                                                             // C-020
	"module-key.sh":   {"beforeHelm", "forbidden"},                                                                                    // C-031
	"empty-list.sh":   {"kubernetesValidating", "at least 1 item"},                                                                    // C-031
	"no-name.sh":      {"name is required", "queue"},                                                                                  // C-060
	"choices.sh":      {"failurePolicy", "Ignore Fail", "sideEffects", "NoneOnDryRun", "timeoutSeconds", "labelSelector is required"}, // C-060
	"rule.sh":         {"apiVersions is required", "apiGroups is required", "create", "CONNECT", "World", "Namespaced"},               // C-061
	"two-segments.sh": {"three segments"},                                                                                             // C-063
	"twice.sh":        {"used twice"},                                                                                                 // C-063
	"wildcard.sh":     {"'*'", "only item"},                                                                                           // C-063
	"conversion.sh":   {"name is required", "crdName is required", "conversions", "at least 1 item"},                                  // C-064
}

func conformHooks(t *testing.T, c *conformance) {
	parts := map[string]func(*conformance){
		"C-006, C-080, C-185: names and order": func(c *conformance) {
			want := []string{"002 onStartup ", "b onStartup ", "c onStartup ", "venv onStartup ", "c maps Synchronization", "002 maps Synchronization"}
			c.eventually(func() bool { return slices.Contains(c.lines("hooks-order"), want[len(want)-1]) }, "all hooks have started")
			got := slices.DeleteFunc(c.lines("hooks-order"), func(s string) bool { return strings.HasSuffix(s, " Schedule") })
			if !slices.Equal(got, want) {
				c.t.Errorf("got %q, want %q", got, want)
			}
			c.logs("hello from the folder", "hook:001-order/c.sh", "binding:maps", "queue:main")
		},
		"C-002, C-005: lib": func(c *conformance) { c.logs("level:WARN", "lib/tool.sh") },
		"C-021, C-100, C-101, C-102, C-104: environment and files": func(c *conformance) {
			if got := c.lines("hooks-config-environment"); len(got) < 2 || got[0] != c.Config.HooksDir || got[1] != "0" {
				c.t.Errorf("--config ran in, and with so many of the operator's files: %q", got)
			}
			l := c.look("hooks-look")
			if l.Args != 0 || l.Cwd != c.Config.HooksDir {
				c.t.Errorf("started with %d arguments in %s", l.Args, l.Cwd)
			}
			want := []string{"ADMISSION_RESPONSE_PATH", "BINDING_CONTEXT_PATH", "CONVERSION_RESPONSE_PATH", "KUBERNETES_PATCH_PATH", "METRICS_PATH", "VALIDATING_RESPONSE_PATH"}
			if got := slices.Sorted(maps.Keys(l.Files)); !slices.Equal(got, want) {
				c.t.Errorf("it has %v, want %v", got, want)
			}
			if l.Files["ADMISSION_RESPONSE_PATH"].Path != l.Files["VALIDATING_RESPONSE_PATH"].Path {
				c.t.Error("the two names of the admission response are two files")
			}
			for name, f := range l.Files {
				if (f.Size == 0) != (name != "BINDING_CONTEXT_PATH") || f.Mode != "600" || f.Dir != 700 || exists(f.Path) {
					c.t.Errorf("%s: %+v", name, f)
				}
			}
		},
		"C-109, C-224, C-505: operations and metrics": func(c *conformance) {
			c.hasMetric(`conf_hooks_only{hook="033-outputs.sh"} 1`)
			c.hasData("conf-hooks", "made-at-the-start", map[string]string{"by": "hook"})
		},
		"C-153, C-167: Synchronizations": func(c *conformance) {
			c.hasContexts("hooks-alone", 3)
			c.same("runs", c.runs("hooks-alone"), `[[`+synchronization("one")+`], [`+synchronization("two")+`],
				[{"binding": "four", "type": "Group", "groupName": "g", "snapshots": {"three": [], "four": []}}]]`)
		},
		"C-165, C-185: events combine in their own queue": func(c *conformance) {
			c.put("conf-hooks", "c-1", "combine")
			c.hasContexts("hooks-combine", 1)
			c.put("conf-hooks", "c-2", "combine")
			c.put("conf-hooks", "c-3", "combine")
			c.hasQueued("combine", 3)
			c.touch("hooks-combine-go")
			c.hasContexts("hooks-combine", 3)
			if got := fmt.Sprint(filterResults(c.runs("hooks-combine"))); got != "[[c-1] [c-2 c-3]]" {
				c.t.Errorf("got %s", got)
			}
		},
		"C-070 … C-074, C-129: the first generation": func(c *conformance) {
			c.put("conf-hooks", "v0-new", "v0")
			c.hasContexts("hooks-v0", 1)
			c.remove("conf-hooks", "v0-new")
			c.hasContexts("hooks-v0", 2)
			event := func(e string) string {
				return `[{"binding": "onKubernetesEvent", "resourceEvent": "` + e + `", "resourceNamespace": "conf-hooks", "resourceKind": "ConfigMap", "resourceName": "v0-new"}]`
			}
			c.same("runs", c.runs("hooks-v0"), `[`+event("add")+`, `+event("delete")+`]`)
		},
	}
	for hook, texts := range badHooks {
		parts["C-022, C-031, C-060 … C-064: "+hook+" concerns itself alone"] = func(c *conformance) {
			texts := append([]string{"010-broken/" + hook}, texts...)
			c.logs(texts...)
			if slices.Contains(c.lines("hooks-broken"), hook) {
				c.t.Error("it ran")
			}
		}
	}
	c.parallel(t, parts)
}

// review asks for a ConfigMap with an answer, and returns what the API server says.
func (c *conformance) review(name, label, answer string) error {
	c.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "conf-webhooks", Name: name, Labels: map[string]string{"conf": label}}}
	if answer != "" {
		cm.Data = map[string]string{"answer": answer}
	}
	_, err := c.Client.CoreV1().ConfigMaps("conf-webhooks").Create(c.ctx, cm, metav1.CreateOptions{})
	return err
}

// denied checks the error of a request that a webhook has not let through.
func (c *conformance) denied(err error, code int32, texts ...string) {
	c.t.Helper()
	var status *apierrors.StatusError
	if err == nil || !errors.As(err, &status) {
		c.t.Errorf("got %v, want a denial", err)
		return
	}
	if status.ErrStatus.Code != code {
		c.t.Errorf("got code %d, want %d: %v", status.ErrStatus.Code, code, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			c.t.Errorf("the message has no %q: %v", text, err)
		}
	}
}

func conformAdmission(t *testing.T, c *conformance) {
	const policy = `admission webhook "policy.conf.example.com" denied the request: `
	c.parallel(t, map[string]func(*conformance){
		"C-060, C-061, C-062, C-241, C-242: the configurations": conformConfigurations,
		"C-053, C-126, C-244, C-246: allowed, with a warning; what the hook sees": func(c *conformance) {
			if err := c.review("allowed", "reviewed", "yes"); err != nil {
				c.t.Fatal(err)
			}
			got := c.hasContexts("validating-allowed", 1)[0]
			review, _ := got["review"].(map[string]any)
			request, _ := review["request"].(map[string]any)
			if request["uid"] == "" || request["operation"] != "CREATE" || request["namespace"] != "conf-webhooks" {
				c.t.Errorf("got %v", request)
			}
			c.same("the object", request["object"], `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "allowed", "namespace": "conf-webhooks", "labels": {"conf": "reviewed"}}, "data": {"answer": "yes"}}`)
			delete(review, "request")
			c.same("the context", got, `{"binding": "policy.conf.example.com", "type": "Validating", "snapshots": {"limits": [{"filterResult": "7"}]},
				"review": {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}}`)
		},
		"C-246: denied": func(c *conformance) {
			c.denied(c.review("denied", "reviewed", "no"), http.StatusForbidden, policy+"more than 7")
		},
		"C-247: a hook that fails": func(c *conformance) {
			c.denied(c.review("fails", "reviewed", "fails"), http.StatusInternalServerError, policy+"Hook failed", "the policy is on holiday")
			c.denied(c.review("malformed", "reviewed", "malformed"), http.StatusInternalServerError, policy+"Hook failed", "ADMISSION_RESPONSE_PATH")
		},
		"C-247: a hook that says nothing; the failure policy decides": func(c *conformance) {
			c.denied(c.review("nothing", "reviewed", "nothing"), http.StatusInternalServerError, policy, "wrote no answer")
			if err := c.review("lenient", "lenient", "nothing"); err != nil {
				c.t.Error(err)
			}
		},
		"C-245: two requests at once": func(c *conformance) {
			done := make(chan error, 2)
			for n := range 2 {
				go func() { done <- c.review(fmt.Sprint("meet-", n+1), "reviewed", "meet") }()
			}
			for range 2 {
				if err := <-done; err != nil {
					c.t.Error(err)
				}
			}
		},
		"C-247: operations and metrics": func(c *conformance) {
			if err := c.review("effects", "reviewed", "effects"); err != nil {
				c.t.Fatal(err)
			}
			if c.data("conf-webhooks", "made-by-review") == nil || !c.metric(`conf_reviews{hook="webhooks/validating.sh"} 1`) {
				c.t.Error("they were not done when the answer came")
			}
		},
		"C-060, C-242: what no rule, selector or condition matches is not reviewed": func(c *conformance) {
			for name, answer := range map[string]string{"no-answer": "", "no-label": "no"} {
				label := map[string]string{"no-answer": "reviewed", "no-label": "other"}[name]
				if err := c.review(name, label, answer); err != nil {
					c.t.Error(err)
				}
				if len(c.lines("validating-"+name)) > 0 {
					c.t.Errorf("%s was reviewed", name)
				}
			}
		},
		"C-126, C-246: a patch": func(c *conformance) {
			if err := c.review("mutated", "mutated", "none"); err != nil {
				c.t.Fatal(err)
			}
			c.hasData("conf-webhooks", "mutated", map[string]string{"answer": "none", "colour": "blue"})
			if got := c.hasContexts("mutating", 1)[0]; got["type"] != "Mutating" || got["binding"] != "defaults.conf.example.com" || got["snapshots"] != nil {
				c.t.Errorf("got %v", got)
			}
		},
		"C-240, C-244, C-247, C-248: requests that are none of the API server's": conformRequests,
	})
}

// C-060 … C-062, C-241, C-242.
func conformConfigurations(c *conformance) {
	validating, err := c.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Get(c.ctx, "shell-operator-hooks-hooks", metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	mutating, err := c.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(c.ctx, "shell-operator-hooks-hooks", metav1.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range validating.Webhooks {
		if len(validating.Webhooks[i].ClientConfig.CABundle) == 0 {
			c.t.Error("no caBundle")
		}
		validating.Webhooks[i].ClientConfig.CABundle = nil
	}
	mutating.Webhooks[0].ClientConfig.CABundle = nil
	url := c.Config.Webhooks.URL
	c.same("validating", validating.Webhooks, `[{
		"name": "lenient.conf.example.com", "clientConfig": {"url": "`+url+`/hooks/lenient-conf-example-com"}, "matchPolicy": "Equivalent",
		"failurePolicy": "Ignore", "sideEffects": "None", "timeoutSeconds": 10, "admissionReviewVersions": ["v1", "v1beta1"],
		"objectSelector": {"matchLabels": {"conf": "lenient"}}, "namespaceSelector": {"matchLabels": {"conf-webhooks": "yes"}},
		"rules": [{"apiVersions": ["*"], "apiGroups": [""], "resources": ["configmaps"], "operations": ["*"], "scope": "*"}]}, {
		"name": "policy.conf.example.com", "clientConfig": {"url": "`+url+`/hooks/policy-conf-example-com"}, "matchPolicy": "Equivalent",
		"failurePolicy": "Fail", "sideEffects": "NoneOnDryRun", "timeoutSeconds": 20, "admissionReviewVersions": ["v1", "v1beta1"],
		"objectSelector": {"matchLabels": {"conf": "reviewed"}}, "namespaceSelector": {"matchLabels": {"conf-webhooks": "yes"}},
		"matchConditions": [{"name": "asks", "expression": "has(object.data) && \"answer\" in object.data"}],
		"rules": [{"apiVersions": ["v1"], "apiGroups": [""], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"], "scope": "Namespaced"}]}]`)
	c.same("mutating", mutating.Webhooks, `[{
		"name": "defaults.conf.example.com", "clientConfig": {"url": "`+url+`/hooks/defaults-conf-example-com"}, "matchPolicy": "Equivalent",
		"failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 10, "admissionReviewVersions": ["v1", "v1beta1"], "reinvocationPolicy": "Never",
		"objectSelector": {"matchLabels": {"conf": "mutated"}}, "namespaceSelector": {"matchLabels": {"conf-webhooks": "yes"}},
		"rules": [{"apiVersions": ["v1"], "apiGroups": [""], "resources": ["configmaps"], "operations": ["CREATE"], "scope": "*"}]}]`)
}

// C-240, C-244, C-247, C-248.
func conformRequests(c *conformance) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // what is served, not by whom
	ask := func(method, path, kind, body string) (int, string) {
		c.t.Helper()
		req, err := http.NewRequestWithContext(c.ctx, method, c.Config.Webhooks.URL+path, strings.NewReader(body))
		if err != nil {
			c.t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		resp, err := client.Do(req)
		if err != nil {
			c.t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	const path, kind = "/hooks/policy-conf-example-com", "application/json"
	review := `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u-1", "name": "direct", "object": {"data": {"answer": "ANSWER"}}}}`
	for name, of := range map[string]struct {
		method, path, kind, body string
		status                   int
	}{
		"health":                {http.MethodGet, "/healthz", "", "", http.StatusOK},
		"GET of a hook":         {http.MethodGet, path, kind, "", http.StatusMethodNotAllowed},
		"no JSON by its type":   {http.MethodPost, path, "text/plain", review, http.StatusUnsupportedMediaType},
		"no JSON":               {http.MethodPost, path, kind, "hello", http.StatusBadRequest},
		"a review of nothing":   {http.MethodPost, path, kind, `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}`, http.StatusBadRequest},
		"a review that is fine": {http.MethodPost, path, kind, strings.ReplaceAll(review, "ANSWER", "yes"), http.StatusOK},
	} {
		if status, text := ask(of.method, of.path, of.kind, of.body); status != of.status {
			c.t.Errorf("%s: got %d, want %d: %s", name, status, of.status, text)
		}
	}
	answer := func(text string) (out any) {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			c.t.Errorf("%v: %s", err, text)
		}
		return out
	}
	_, text := ask(http.MethodPost, path, kind, strings.ReplaceAll(review, "ANSWER", "yes"))
	c.same("allowed", answer(text), `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u-1", "allowed": true, "warnings": ["mind the gap"]}}`)
	_, text = ask(http.MethodPost, "/hooks/no-such", kind, review)
	c.same("an unknown path", answer(text), `{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u-1", "allowed": false,
		"status": {"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": "no hook found for 'hooks' 'no-such'"}}}`)
}

func conformConversion(t *testing.T, c *conformance) {
	const group, ns = "conf.example.com", "conf-webhooks"
	c.eventually(func() bool {
		crd, err := c.Dynamic.Resource(crds).Get(c.ctx, "widgets."+group, metav1.GetOptions{})
		strategy, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy")
		return err == nil && strategy == "Webhook"
	}, "the CRD points at the operator")
	widget := func(version, name, fail string) error {
		spec := map[string]any{"size": "big"}
		if fail != "" {
			spec["fail"] = fail
		}
		return c.made(group, version, "widgets", "Widget", ns, name, spec)
	}
	// The API server asks from the moment it has seen the change of the CRD.
	c.eventually(func() bool {
		_ = c.made(group, "v1alpha1", "widgets", "Widget", ns, "dry", map[string]any{}, metav1.DryRunAll)
		return len(c.lines("convert-1")) > 0
	}, "conversions are asked for")
	c.parallel(t, map[string]func(*conformance){
		"C-240, C-255, C-256: the CRD points at the operator": func(c *conformance) {
			crd, err := c.Dynamic.Resource(crds).Get(c.ctx, "widgets."+group, metav1.GetOptions{})
			if err != nil {
				c.t.Fatal(err)
			}
			conversion, _, _ := unstructured.NestedMap(crd.Object, "spec", "conversion")
			webhook := conversion["webhook"].(map[string]any)
			delete(webhook["clientConfig"].(map[string]any), "caBundle")
			c.same("spec.conversion", conversion, `{"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1", "v1beta1"], "clientConfig": {"url": "`+c.Config.Webhooks.URL+`/widgets.conf.example.com"}}}`)
		},
		"C-127, C-257: a chain of two hooks": func(c *conformance) {
			if err := widget("v1alpha1", "chained", ""); err != nil {
				c.t.Fatal(err)
			}
			c.same("converted", c.spec(group, "v1", "widgets", ns, "chained"), `{"size": "big", "hops": "12"}`)
			of := func(file string) (found map[string]any) {
				for _, x := range c.contexts(file) {
					if strings.Contains(fmt.Sprint(x), "name:chained") {
						found = x
					}
				}
				return found
			}
			for file, want := range map[string]string{
				"convert-1": `{"binding": "first", "type": "Conversion", "fromVersion": "v1alpha1", "toVersion": "v1beta1"}`,
				"convert-2": `{"binding": "second", "type": "Conversion", "fromVersion": "conf.example.com/v1beta1", "toVersion": "conf.example.com/v1"}`,
			} {
				x := of(file)
				review, _ := x["review"].(map[string]any)
				request, _ := review["request"].(map[string]any)
				if objects, _ := request["objects"].([]any); len(objects) != 1 || request["uid"] == "" || request["desiredAPIVersion"] != group+"/v1" {
					c.t.Errorf("%s: got %v", file, request)
				}
				delete(x, "review")
				c.same(file, x, want)
			}
		},
		"C-257: one hop": func(c *conformance) {
			if err := widget("v1beta1", "one-hop", ""); err != nil {
				c.t.Fatal(err)
			}
			c.same("converted", c.spec(group, "v1", "widgets", ns, "one-hop"), `{"size": "big", "hops": "2"}`)
		},
		"C-257, C-258: no way, and what hooks do wrong": func(c *conformance) {
			for fail, texts := range map[string][]string{
				"message": {"a widget of this size cannot be converted"},
				"exit":    {"Hook failed to convert to conf.example.com/v1", "out of paint"},
				"lost":    {"returned 0 objects instead of 1"},
				"left":    {"Conversion widgets.conf.example.com to conf.example.com/v1 was not successful"},
			} {
				err := widget("v1beta1", "wrong-"+fail, fail)
				for _, text := range texts {
					if err == nil || !strings.Contains(err.Error(), text) {
						c.t.Errorf("%s: got %v, want %q", fail, err, text)
					}
				}
			}
			err := widget("v1alpha0", "no-way", "")
			if err == nil || !strings.Contains(err.Error(), "Conversion widgets.conf.example.com to conf.example.com/v1 was not successful") {
				c.t.Errorf("got %v", err)
			}
		},
		"C-256: a CRD that comes later": func(c *conformance) {
			c.versions(group, "gadgets", "Gadget", "v1alpha1", "v1")
			c.eventually(func() bool {
				crd, err := c.Dynamic.Resource(crds).Get(c.ctx, "gadgets."+group, metav1.GetOptions{})
				if err != nil {
					return false
				}
				strategy, _, _ := unstructured.NestedString(crd.Object, "spec", "conversion", "strategy")
				return strategy == "Webhook"
			}, "the new CRD points at the operator")
		},
	})
}

// C-007, C-009, C-020, C-022, C-033, C-240: global hooks in the directory itself, one of them bad; no port without webhooks; no start without a directory.
func TestConformanceOfAFlatDirectory(t *testing.T) {
	t.Parallel()
	c := newConformance(t, "flat")
	if err := os.Remove(filepath.Join(c.Dir, "global-hooks", "hooks")); err != nil { // newBed has made it
		t.Fatal(err)
	}
	c.webhooks("conf-flat")
	c.Config.Logger = slog.New(slog.NewJSONHandler(c.log, nil))
	c.start()
	t.Run("C-022, C-033: a bad global hook is told of, and tried again", func(t *testing.T) {
		c := c.on(t)
		c.logs("level:ERROR", "global/module-key.sh", "beforeHelm", "forbidden")
	})
	t.Run("C-240: no webhooks, no port", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.Config.Webhooks.URL+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Error("somebody answers")
		}
	})
	t.Run("C-007, C-009: the other runs when the bad one has been mended", func(t *testing.T) {
		c := c.on(t)
		if err := os.Remove(filepath.Join(c.Dir, "global-hooks", "module-key.sh")); err != nil {
			t.Fatal(err)
		}
		c.logs("hello from a flat directory", "hook:good.sh")
	})
	t.Run("C-007: a missing directory ends the start", func(t *testing.T) {
		missing := c.Config
		missing.GlobalHooksDir = filepath.Join(c.Dir, "there-is-none")
		if err := operator.Run(t.Context(), missing); err == nil || !strings.Contains(err.Error(), "there-is-none does not exist") {
			t.Errorf("got %v", err)
		}
	})
}

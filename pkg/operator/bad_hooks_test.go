package operator_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// onTrigger is a hook that runs, in a queue of its own, for each change of the ConfigMap trigger.
func onTrigger(namespace, queue, settings, body string) string {
	return script(fmt.Sprintf(`settings: {%s}
kubernetes:
- {name: trigger, apiVersion: v1, kind: ConfigMap, queue: %s, executeHookOnSynchronization: false, jqFilter: .data,
   nameSelector: {matchNames: [trigger]}, namespace: {nameSelector: {matchNames: [%s]}}}`, settings, queue, namespace), body)
}

const timeoutSetting = "timeout: 2s"

// Hooks that hang, flood, leave children behind and write garbage into each output
// file: every one becomes a line of the module's status, an Event and a metric with
// its reason, others go on, and nothing is left of them.
func TestBadHooksAreShownAndStopNobody(t *testing.T) {
	b := newBed(t)
	leftover := fmt.Sprintf("%d", 1000000+os.Getpid())
	outputs := map[string]string{"values": "VALUES_JSON_PATCH_PATH", "config": "CONFIG_VALUES_JSON_PATCH_PATH",
		"operations": "KUBERNETES_PATCH_PATH", "metrics": "METRICS_PATH"}
	files := map[string]string{
		"modules/100-bad/openapi/values.yaml": "type: object\nproperties: {seen: {type: string}}\n",
		"modules/100-bad/hooks/hang.sh":       onTrigger(b.Namespace, "hang", timeoutSetting, "trap '' TERM\nsleep "+leftover+" & sleep "+leftover),
		"modules/100-bad/hooks/flood.sh": onTrigger(b.Namespace, "flood", "timeout: 5m",
			`{ yes "$(printf 'x%.0s' {1..4000})" || true; } | head -c 1073741824; echo flooded >&2; exit 7`),
		"modules/100-bad/hooks/children.sh": onTrigger(b.Namespace, "children", timeoutSetting,
			`for i in 1 2 3; do setsid bash -c "trap '' TERM; exec sleep `+leftover+`" & done; (sleep `+leftover+` & )`),
		"modules/100-bad/hooks/good.sh": onTrigger(b.Namespace, "good", timeoutSetting,
			`jq -c '{op: "add", path: "/bad/seen", value: last.filterResult.n}' "$BINDING_CONTEXT_PATH" >"$VALUES_JSON_PATCH_PATH"`),
		"modules/200-other/hooks/good.sh": onTrigger(b.Namespace, "main", timeoutSetting, "echo the other goes on"),
	}
	for name, variable := range outputs {
		files["modules/100-bad/hooks/"+name+".sh"] = onTrigger(b.Namespace, name, timeoutSetting, `printf '{"a": \x00' >"$`+variable+`"`)
	}
	b.chart("100-bad", shown("bad-shows", "seen", `{{ dig "seen" "nothing" .Values.bad | quote }}`))
	b.chart("200-other", shown("other-shows", "a", "b"))
	b.files(files)
	b.settings(map[string]string{"badEnabled": "true", "otherEnabled": "true"})
	stop := b.start()
	b.ready("bad", "other")

	b.configMap(b.Namespace, "trigger", map[string]string{"n": "1"})
	reason := func(hook, reason string) {
		t.Helper()
		series := fmt.Sprintf(`addon_operator_hook_run_failures_total{hook="hooks/%s.sh",module="bad",reason="%s"}`, hook, reason)
		b.eventually(func() bool { return strings.Contains(b.get("/metrics"), series) }, "/metrics has %s", series)
	}
	for name, variable := range outputs {
		reason(name, "output")
		b.eventually(func() bool { return b.event("bad", "HookFailed", "bad "+variable) }, "an Event names %s", variable)
	}
	reason("hang", "timeout")
	b.eventually(func() bool { return b.event("bad", "HookFailed", "hooks/hang.sh: no result within 2s") }, "an Event says that hang.sh did not end")
	reason("flood", "exit")
	b.eventually(func() bool { return b.event("bad", "HookFailed", "exit status 7: flooded") }, "an Event has the end of what flood.sh said")
	b.wants("bad", "HooksSucceeding", "False HookFailed", "and 3 more") // of the six that fail
	b.wants("bad", "Ready", "False HookFailed")
	if n := len(b.log.String()); n > 32<<20 {
		t.Errorf("a hook that printed 1 GiB left %d bytes in the log", n)
	}

	b.configMap(b.Namespace, "trigger", map[string]string{"n": "2"})
	b.eventually(func() bool { return b.shows("bad-shows", "seen", "2") }, "a good hook of the same module goes on, and so does Helm")
	b.eventually(func() bool { return strings.Count(b.log.String(), "the other goes on") >= 2 }, "the other module's hook has run twice")
	b.ready("other")
	b.eventually(func() bool {
		return strings.Contains(b.get("/metrics"), `addon_operator_module_hook_success_total{activation="Kubernetes",binding="trigger",hook="hooks/children.sh"`)
	}, "a hook that leaves children has succeeded")

	stop()
	b.eventually(func() bool { return running(leftover) == "" }, "nothing is left of hooks: %s", running(leftover))
	if left, _ := filepath.Glob(filepath.Join(b.Config.TempDir, "operator-*", "*")); len(left) > 0 {
		t.Errorf("files of runs are left: %q", left)
	}
}

// running is the command line of a process that sleeps that long, "" without one.
func running(seconds string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte("sleep\x00"+seconds)) {
			return f + " " + string(text)
		}
	}
	return ""
}

// A hook that writes garbage into a response file, or nothing, denies with a message
// that names it (B-14), and is counted.
func TestGarbageInAResponseIsAClearDenial(t *testing.T) {
	b := newBed(t)
	b.files(map[string]string{
		"folder/hooks/garbage.sh": validating("garbage.example.com", b.Namespace, "garbage", `printf '{"allowed": \x00' >"$ADMISSION_RESPONSE_PATH"`),
		"folder/hooks/silent.sh":  validating("silent.example.com", b.Namespace, "silent", `true`),
		"folder/hooks/late.sh":    validating("late.example.com", b.Namespace, "late", `sleep 600`),
	})
	b.hooksOnly()
	b.start()
	b.eventually(func() bool { return strings.Contains(b.get("/readyz"), "done") }, "the hooks have started")
	for name, words := range map[string]string{"garbage": "garbage.example.com", "silent": "silent.sh", "late": "late.example.com"} {
		b.eventually(func() bool {
			_, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx,
				&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"check": name}}}, metav1.CreateOptions{DryRun: []string{"All"}})
			return err != nil && strings.Contains(err.Error(), words)
		}, "creating %s is denied with a message that has %q", name, words)
	}
	for hook, reason := range map[string]string{"garbage.sh": "output"} {
		series := fmt.Sprintf(`shell_operator_hook_run_failures_total{hook="%s",module="",reason="%s"}`, hook, reason)
		b.eventually(func() bool { return strings.Contains(b.get("/metrics"), series) }, "/metrics has %s", series)
	}
}

// hooksOnly sets the bed up for a folder of hooks with webhooks on loopback.
func (b *bed) hooksOnly() {
	b.t.Helper()
	c := operator.HooksOnly(filepath.Join(b.Dir, "folder/hooks"))
	b.Config.HooksDir, b.Config.MetricsPrefix = c.HooksDir, c.MetricsPrefix
	b.webhooks()
}

// withdraw deletes the webhook configurations of the bed, which outlive its operator.
func (b *bed) withdraw() {
	ctx := context.Background() // that of the test has ended
	for _, owner := range append(b.modules(), "hooks", "global") {
		name := b.Namespace + "-" + owner
		_ = b.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(ctx, name, metav1.DeleteOptions{})
		_ = b.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, name, metav1.DeleteOptions{})
	}
}

// validating is a hook for ConfigMaps with a label in the bed's namespace.
func validating(name, namespace, label, body string) string {
	return script(fmt.Sprintf(`kubernetesValidating:
- name: %s
  timeoutSeconds: 3
  labelSelector: {matchLabels: {check: %s}}
  namespace: {labelSelector: {matchLabels: {reviewed-by: %s}}}
  rules: [{apiVersions: [v1], apiGroups: [""], resources: [configmaps], operations: [CREATE]}]`, name, label, namespace), body)
}

package operator_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

const editedTimes = 20

// C-327, C-381, B-06: the ConfigMap edited by a user and by a hook in the same second.
func TestTheConfigMapIsEditedByUserAndHookAtOnce(t *testing.T) {
	t.Parallel()
	edited(t, editedTimes)
}

// edited has a user and a hook write into one section at the same time, n times. The
// user writes lines with comments and a secret now and then, as kubectl edit does: what
// was read is changed and written, and again on conflict.
func edited(t *testing.T, n int) {
	b := newBed(t)
	b.chart("100-edited", shown("edited", "is", "here"))
	b.files(map[string]string{
		"modules/100-edited/openapi/config-values.yaml": "type: object\nproperties:\n  password: {type: string, x-secret: true}\n" +
			"  byHook: {type: object, additionalProperties: {type: string}}\n  byUser: {type: object, additionalProperties: {type: string}}\n",
		"modules/100-edited/hooks/patch.sh": script(`kubernetes:
- name: rounds
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  nameSelector: {matchNames: [round]}
  jqFilter: .data.round
  executeHookOnSynchronization: false`, `
jq -c '[.[] | select(.filterResult != null) | {op: "add", path: "/edited/byHook/r\(.filterResult)", value: "hook"}]' "$BINDING_CONTEXT_PATH" > "$CONFIG_VALUES_JSON_PATCH_PATH"`),
	})
	b.settings(map[string]string{"editedEnabled": "true", "edited": "# head\nbyHook: {}\n# the user's\nbyUser:\n  r0: user\n"})
	b.configMap(b.Namespace, "round", map[string]string{"round": "0"})
	b.start()
	b.ready("edited")
	b.eventually(func() bool { return strings.Contains(b.log.String(), "converged for the first time") }, "the operator has converged")
	for round := 1; round <= n; round++ {
		var writers sync.WaitGroup
		writers.Go(func() { b.configMap(b.Namespace, "round", map[string]string{"round": fmt.Sprint(round)}) })
		writers.Go(func() { b.userEditsAt(round) })
		writers.Wait()
		last := fmt.Sprintf("r%d: hook", round)
		b.eventually(func() bool { return strings.Contains(b.setting("edited"), last) }, "the hook's patch %d is written", round)
	}
	b.eventually(func() bool { return !strings.Contains(b.setting("edited"), "password") }, "secrets are moved")
	text := b.setting("edited")
	for round := 1; round <= n; round++ {
		for _, line := range []string{fmt.Sprintf("r%d: hook", round), fmt.Sprintf("  r%d: user # edit %d\n", round, round)} {
			if !strings.Contains(text, line) {
				t.Errorf("%q is lost", line)
			}
		}
	}
	if !strings.HasPrefix(text, "# head\n") || !strings.Contains(text, "# the user's\n") {
		t.Errorf("comments are lost:\n%s", text[:min(len(text), 2000)])
	}
	secret, err := b.Client.CoreV1().Secrets(b.Namespace).Get(b.ctx, b.Config.ConfigMap+"-values", metav1.GetOptions{})
	if want := fmt.Sprintf("password: generation-%d\n", n-n%5); err != nil || string(secret.Data["config.edited"]) != want {
		t.Errorf("expected %q in the Secret, got %q (%v)", want, secret.Data["config.edited"], err)
	}
	b.ready("edited")
}

// userEditsAt adds a line with a comment, and every fifth time a secret.
func (b *bed) userEditsAt(round int) {
	password := regexp.MustCompile("(?m)^password: .*\n") // of an edit that was not seen yet
	maps := b.Client.CoreV1().ConfigMaps(b.Namespace)
	err := retry.OnError(retry.DefaultBackoff, func(error) bool { return true }, func() error {
		cm, err := maps.Get(b.ctx, b.Config.ConfigMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		text := cm.Data["edited"]
		text = strings.Replace(text, "  r0: user\n", fmt.Sprintf("  r0: user\n  r%d: user # edit %d\n", round, round), 1)
		if round%5 == 0 {
			text = password.ReplaceAllString(text, "")
			text += fmt.Sprintf("password: generation-%d # soon gone\n", round)
		}
		cm.Data["edited"] = text
		_, err = maps.Update(b.ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		b.t.Errorf("edit %d: %v", round, err)
	}
}

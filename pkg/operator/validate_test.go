package operator_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// put writes data into the user's ConfigMap and returns what the API server says.
func (b *bed) put(data map[string]string) error {
	_, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Update(b.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Config.ConfigMap}, Data: data}, metav1.UpdateOptions{})
	return err
}

// --validate-configmap: a bad ConfigMap is refused with every key that is wrong, a good
// one accepted, and without an operator everything is (C-316a, C-371 … C-374).
func TestTheAPIServerRefusesABadConfigMapWhileTheOperatorAnswers(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.webhooks()
	b.Config.ValidateConfigMap = true
	b.files(map[string]string{
		"modules/100-refused/openapi/config-values.yaml": "type: object\nrequired: [password]\nproperties:\n  size: {type: integer}\n  password: {type: string, x-secret: true}\n",
		"modules/100-refused/hooks/before.sh": script("beforeHelm: 1", `
if [[ $(jq -r '.refused.size // "none"' "$CONFIG_VALUES_PATH") == 7 ]]; then
  echo '{"op":"add","path":"/refused/size","value":8}' > "$CONFIG_VALUES_JSON_PATCH_PATH"
fi`),
	})
	b.chart("100-refused", shown("refused", "size", "{{ .Values.refused.size | quote }}"))
	b.settings(map[string]string{"refusedEnabled": "true", "refused": "size: 1\npassword: a-password\n"})
	stop := b.start()
	b.ready("refused")
	b.eventually(func() bool { return strings.Contains(b.configurations(), "validating settings.configmap") }, "the webhook is registered")

	bad := map[string]string{"refusedEnabled": "yes", "refused": "size: big\npassword: a-password\nunknown: 1\n", "Wrong-key": "a: 1"}
	var err error
	b.eventually(func() bool { err = b.put(bad); return err != nil }, "a bad ConfigMap is refused")
	for _, text := range []string{"refusedEnabled: expected exactly", "refused.size", "unknown", "Wrong-key: bad module name"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the refusal lacks %q: %v", text, err)
		}
	}
	if err := b.put(map[string]string{"refusedEnabled": "true", "refused": "size: 7\npassword: a-password\n"}); err != nil {
		t.Error(err)
	}
	b.eventually(func() bool { return b.shows("refused", "size", "8") }, "the operator's own write for a hook passes")
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Data: map[string]string{"Wrong-key": "a"}}
	if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, other, metav1.CreateOptions{}); err != nil {
		t.Errorf("another ConfigMap is none of its business: %v", err)
	}

	stop()
	if err := b.put(bad); err != nil {
		t.Errorf("without an operator nothing must be refused: %v", err)
	}
	// What was bad already is not held against who mends another key.
	b.start()
	b.eventually(func() bool { return b.status() != "" }, "the operator is back")
	mended := map[string]string{"refusedEnabled": "true", "refused": bad["refused"], "Wrong-key": "a: 1"}
	if err := b.put(mended); err != nil {
		t.Error(err)
	}
}

package operator_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"

	"github.com/addon-operator/addon-operator/pkg/web"
)

const vaultSchema = `type: object
properties:
  generated: {type: string, x-secret: true}
  typed: {type: string, x-secret: true, minLength: 20}
  sourced: {type: string, maxLength: 40}
  port: {type: integer}
  step: {type: string}
`

// vaultHook has a secret of its own in the ConfigMap's section, one among its facts, and
// tells everybody about all that it was given.
const vaultHook = `
if [[ $(jq -r '.vault.generated // "none"' "$CONFIG_VALUES_PATH") == none ]]; then
  echo '[{"op":"add","path":"/vault/generated","value":"s3cr3t-generated"}]' > "$CONFIG_VALUES_JSON_PATCH_PATH"
fi
echo '[{"op":"add","path":"/vault/found","value":"s3cr3t-found"}]' > "$VALUES_JSON_PATCH_PATH"
if [[ $(jq -r '.vault.found // "none"' "$VALUES_PATH") != none ]]; then
  jq -r '.vault | "I use \(.generated), \(.found), \(.typed) and \(.sourced)"' "$VALUES_PATH"
  jq -c '{msg: "as JSON \(.vault.generated)", level: "warn", values: .vault, port: .vault.port}' "$VALUES_PATH"
  jq -r '.vault | map_values(select(type == "string") | @base64)' "$VALUES_PATH" >&2
  jq -c '{name: "vault_told", set: 1, labels: {of: .vault.typed, and: .vault.sourced}}' "$VALUES_PATH" > "$METRICS_PATH"
fi
case $(jq -r '.vault.step // ""' "$VALUES_PATH") in
hook)
  jq -r '"cannot log in with \(.vault.generated) or \(.vault.typed): \(.)"' "$VALUES_PATH" >&2
  exit 3 ;;
patch)
  echo '[{"op":"add","path":"/vault/found","value":["s3cr3t-refused"]}]' > "$VALUES_JSON_PATCH_PATH" ;;
esac`

const vaultTemplates = `
{{- with .Values.vault }}
{{- if eq (default "" .step) "render" }}{{ fail (printf "cannot use %s, %s and %s" .typed .generated .sourced) }}{{ end }}
apiVersion: v1
kind: Secret
metadata: {name: vault, namespace: {{ $.Release.Namespace }}}
data: {generated: {{ .generated | b64enc }}, typed: {{ .typed | b64enc }}, sourced: {{ .sourced | b64enc }}, found: {{ .found | b64enc }}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: vault
  namespace: {{ $.Release.Namespace }}
  labels: {step: {{ if eq (default "" .step) "reject" }}{{ printf "not a label: %s" .typed | quote }}{{ else }}fine{{ end }}}
data: {step: {{ default "" .step | quote }}}
{{- end }}
`

// secretsOfVault are the values that may be read in Secrets alone.
func secretsOfVault() []string {
	return []string{"s3cr3t-generated", "s3cr3t-typed-by-the-user", "s3cr3t-sourced", "s3cr3t-found", "s3cr3t-refused", "s3cr3t", "48151623"}
}

// shownSecrets are those that a text has, as they are or in base64.
func shownSecrets(text string) (out []string) {
	for _, s := range secretsOfVault() {
		if strings.Contains(text, s) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(s))) {
			out = append(out, s)
		}
	}
	return out
}

// C-316, C-327, C-381, C-473, C-480: secret values that a hook generated, that the user
// wrote into the ConfigMap and that came from a Secret of the user are in that Secret,
// the operator's Secret, the release and rendered objects, and nowhere else, whatever fails.
func TestSecretValuesAreInSecretsAndRenderedObjectsAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.Config.Logger = slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.chart("100-vault", vaultTemplates)
	b.files(map[string]string{
		"modules/100-vault/openapi/config-values.yaml": vaultSchema,
		"modules/100-vault/openapi/values.yaml":        "x-extend: {schema: config-values.yaml}\ntype: object\nproperties:\n  found: {type: string, x-secret: true}\n",
		"modules/100-vault/hooks/tell.sh":              script("beforeHelm: 1", vaultHook),
	})
	b.userSecret("s3cr3t-sourced")
	b.applied(map[string]string{
		"vaultEnabled":    "true",
		"vault":           "# of the user\ntyped: s3cr3t-typed-by-the-user # do not tell\nstep: \"\" # now\n",
		"vaultValuesFrom": "- {kind: Secret, name: user-vault, key: password, targetPath: sourced}\n- {kind: Secret, name: user-vault, key: more}\n",
	})
	b.start()
	b.ready("vault")
	if _, err := web.Send(b.ctx, b.Config.DebugSocket, "/config/set", url.Values{"name": {"log.configmap.events"}, "value": {"true"}}); err != nil {
		t.Error(err)
	}
	rendered := func(key string) string {
		s, err := b.Client.CoreV1().Secrets(b.Namespace).Get(b.ctx, "vault", metav1.GetOptions{})
		if err != nil {
			return ""
		}
		return string(s.Data[key])
	}
	for key, want := range map[string]string{"generated": "s3cr3t-generated", "typed": "s3cr3t-typed-by-the-user", "sourced": "s3cr3t-sourced", "found": "s3cr3t-found"} {
		b.eventually(func() bool { return rendered(key) == want }, "the rendered Secret has %s", key)
	}
	b.eventually(func() bool { return strings.HasPrefix(b.setting("vault"), "# of the user\nstep: \"\" # now\n") }, "the leaf is moved out of the user's text")
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "SecretMoved", "typed") }, "an Event tells of the move")
	kept, err := b.Client.CoreV1().Secrets(b.Namespace).Get(b.ctx, b.Config.ConfigMap+"-values", metav1.GetOptions{})
	if err != nil || len(shownSecrets(string(kept.Data["config.vault"]))) < 2 {
		t.Errorf("the operator's Secret lacks what was moved: %v", err)
	}
	b.secretsAreSafe("after the first convergence")

	steps := map[string]string{"hook": "False HookFailed", "patch": "False HookFailed", "render": "False RenderFailed", "reject": "False ApplyFailed"}
	for _, step := range []string{"hook", "patch", "render", "reject"} {
		b.edit("vault", strings.ReplaceAll(b.setting("vault"), "step: \"\" # now", "step: "+step+" # now"))
		b.wants("vault", "Ready", steps[step])
		if step != "patch" {
			b.wants("vault", "Ready", steps[step], "*****")
		}
		b.secretsAreSafe("while the step " + step + " fails")
		b.edit("vault", strings.ReplaceAll(b.setting("vault"), "step: "+step+" # now", "step: \"\" # now"))
		b.ready("vault")
	}

	// Violations of the schema at a secret leaf, at one that came from a Secret, and at one that may be shown.
	b.edit("vault", b.setting("vault")+"typed: [s3cr3t-refused]\n")
	b.wants("vault", "ConfigValid", "False ConfigInvalid", "vault.typed must be of type string", "the last valid value stays in force")
	b.secretsAreSafe("with a violation at a secret leaf")
	b.eventually(func() bool { return !strings.Contains(b.setting("vault"), "typed") }, "the invalid leaf is moved as well")
	b.edit("vault", b.setting("vault")+"typed: s3cr3t-typed-by-the-user\n")
	b.wants("vault", "ConfigValid", "True")
	b.userSecret("s3cr3t-sourced-" + strings.Repeat("and too long", 4))
	b.wants("vault", "ConfigValid", "False ConfigInvalid", "vault.sourced should be at most 40 chars long")
	b.secretsAreSafe("with a violation at a value that came from a Secret")
	b.userSecret("s3cr3t-sourced-anew")
	b.eventually(func() bool { return rendered("sourced") == "s3cr3t-sourced-anew" }, "the change of the user's Secret is rendered")
	b.edit("vault", b.setting("vault")+"step: [visible]\n")
	b.wants("vault", "ConfigValid", "False ConfigInvalid")
	b.secretsAreSafe("at the end")
	if got := b.ask("/module/vault/render?secrets=true"); len(shownSecrets(got)) == 0 {
		t.Error("a render that is asked for with its secrets does not have them")
	}
}

// userSecret writes the Secret that valuesFrom names.
func (b *bed) userSecret(password string) {
	b.t.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "user-vault"}, StringData: map[string]string{"password": password, "more": "port: 48151623\n"}}
	_, err := b.Client.CoreV1().Secrets(b.Namespace).Create(b.ctx, s, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = b.Client.CoreV1().Secrets(b.Namespace).Update(b.ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// applied writes the user's ConfigMap as kubectl apply does.
func (b *bed) applied(data map[string]string) {
	b.t.Helper()
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": b.Config.ConfigMap}, "data": data})
	if err != nil {
		b.t.Fatal(err)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: b.Config.ConfigMap,
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: string(text)}}, Data: data}
	if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, cm, metav1.CreateOptions{FieldManager: "kubectl-client-side-apply"}); err != nil {
		b.t.Fatal(err)
	}
}

// secretsAreSafe searches everything that people may read.
func (b *bed) secretsAreSafe(when string) {
	b.t.Helper()
	b.noneShown(when, "the log", b.log.String())
	for what, text := range b.readable() {
		b.noneShown(when, what, text)
	}
	for _, path := range append(b.publicPages(), "/metrics", "/metrics/hooks", "/status/converge", "/status/converge?output=json", "/debug/pprof/cmdline") {
		b.noneShown(when, path, b.get(path))
	}
	asked := 0
	for _, path := range b.debugPages() {
		body, err := web.Ask(b.ctx, b.Config.DebugSocket, path)
		if err == nil {
			asked++
		}
		b.noneShown(when, "the debug socket's "+path, fmt.Sprint(string(body), err))
	}
	if asked < 20 {
		b.t.Errorf("only %d pages of the debug socket are there", asked)
	}
}

func (b *bed) noneShown(when, where, text string) {
	b.t.Helper()
	if found := shownSecrets(text); len(found) > 0 {
		at := strings.Index(text, found[0])
		b.t.Errorf("%s: %s shows %q: …%s…", when, where, found, text[max(0, at-200):min(len(text), max(0, at)+200)])
	}
}

// readable are all objects but the Secrets that may hold the values: those of the bed's
// namespace, Modules and the Events on them.
func (b *bed) readable() map[string]string {
	b.t.Helper()
	out := map[string]string{}
	lists, err := b.Client.Discovery().ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		b.t.Fatal(err)
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range list.APIResources {
			if !strings.Contains(strings.Join(r.Verbs, " "), "list") || r.Name == "componentstatuses" || r.Name == "endpoints" { // deprecated
				continue
			}
			in := b.Dynamic.Resource(gv.WithResource(r.Name)).Namespace("")
			if r.Namespaced {
				in = b.Dynamic.Resource(gv.WithResource(r.Name)).Namespace(b.Namespace)
				if r.Name == "events" {
					in = b.Dynamic.Resource(gv.WithResource(r.Name)).Namespace("") // those on Modules are in another one
				}
			}
			objects, err := in.List(b.ctx, metav1.ListOptions{})
			if err != nil {
				continue // kinds of other tests come and go
			}
			for _, o := range objects.Items {
				name := o.GetName()
				if r.Name == "secrets" && (name == "user-vault" || name == "vault" || name == b.Config.ConfigMap+"-values" || strings.HasPrefix(name, "sh.helm.release.v1.vault.")) {
					continue
				}
				text, err := o.MarshalJSON()
				if err != nil {
					b.t.Fatal(err)
				}
				out[o.GetKind()+" "+name] = string(text)
			}
		}
	}
	for _, want := range []string{"ConfigMap " + b.Config.ConfigMap, "ConfigMap " + b.Config.ConfigMap + "-facts", "ConfigMap vault", "Module vault"} {
		if out[want] == "" {
			b.t.Errorf("%s was not searched", want)
		}
	}
	return out
}

// publicPages are those of the HTTP port.
func (b *bed) publicPages() (out []string) {
	for line := range strings.Lines(b.get("/discovery")) {
		for _, word := range strings.Fields(line) {
			if strings.HasPrefix(word, "/") && !strings.Contains(word, "/pprof/") {
				out = append(out, word)
			}
		}
	}
	return out
}

// debugPages are those of the debug socket, each in every format.
func (b *bed) debugPages() (out []string) {
	b.t.Helper()
	fill := strings.NewReplacer("{name}", "vault", "{name...}", "tell.sh", "{module}", "vault")
	for line := range strings.Lines(b.ask("/discovery")) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "GET" {
			continue
		}
		path := fill.Replace(fields[1])
		out = append(out, path, path+".json", path+".text", path+".yaml?global=true", path+"?debug=true", path+"?diff=true", path+"?showEmpty=true")
	}
	return out
}

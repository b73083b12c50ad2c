package modules_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// patchOperation is what a hook writes for a value (C-320).
type patchOperation struct {
	Op, Path string
	Value    any
}

// runHook runs an executable hook as the operator does (C-101) and returns the operations of its values patch.
func runHook(t *testing.T, hook string, values map[string]any, contexts ...map[string]any) []patchOperation {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, content any) string {
		text := []byte{}
		if content != nil {
			var err error
			if text, err = json.Marshal(content); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	patch := file("patch", nil)
	cmd := exec.CommandContext(t.Context(), hook)
	cmd.Env = append(os.Environ(),
		"BINDING_CONTEXT_PATH="+file("context", contexts),
		"VALUES_PATH="+file("values", values),
		"VALUES_JSON_PATCH_PATH="+patch,
	)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", hook, err, out)
	}
	text, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	var operations []patchOperation
	for decoder := json.NewDecoder(strings.NewReader(string(text))); decoder.More(); {
		var operation patchOperation
		if err := decoder.Decode(&operation); err != nil {
			t.Fatal(err)
		}
		operations = append(operations, operation)
	}
	return operations
}

const admissionHook = "./402-ingress-nginx/hooks/admission-certificate.sh"

func TestTheFirstAdmissionCertificateIsValidAndKeptByTheHook(t *testing.T) {
	c := testCase{module: loadModule(t, "402-ingress-nginx")}
	values := map[string]any{"global": map[string]any{}, "ingressNginx": map[string]any{}}

	first := c.mustRender(t, values)
	secret := one(t, parse(t, first), "Secret")
	checkServingCertificate(t, secret, "ingress-nginx-admission.ingress-nginx.svc")

	section := sub(values, "ingressNginx")
	section["internal"] = map[string]any{}
	operations := runHook(t, admissionHook, values, admissionContext(t, secret))
	if len(operations) != 1 || operations[0].Op != "add" || operations[0].Path != "/ingressNginx/internal" {
		t.Fatalf("patch is %v, want one add of /ingressNginx/internal", operations)
	}
	section["internal"] = operations[0].Value
	if second := c.mustRender(t, values); second != first {
		t.Errorf("the render with the kept certificate differs: %s", firstDifference(first, second))
	}
	if again := runHook(t, admissionHook, values, admissionContext(t, secret)); len(again) != 0 {
		t.Errorf("the hook replaces a certificate that it has: %v", again)
	}
}

// admissionContext is a grouped binding context with the Secret passed through the hook's own jqFilter.
func admissionContext(t *testing.T, secret object) map[string]any {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), admissionHook, "--config").Output()
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Kubernetes []struct{ Name, JqFilter string }
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	binding := config.Kubernetes[0]
	input, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	jq := exec.CommandContext(t.Context(), "jq", binding.JqFilter)
	jq.Stdin = strings.NewReader(string(input))
	filtered, err := jq.Output()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"binding": binding.Name, "type": "Group",
		"snapshots": map[string]any{binding.Name: []any{map[string]any{"filterResult": json.RawMessage(filtered)}}},
	}
}

func checkServingCertificate(t *testing.T, secret object, host string) {
	t.Helper()
	decode := func(key string) []byte {
		text, err := base64.StdEncoding.DecodeString(str(secret, "data", key))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s is not PEM", key)
		}
		return block.Bytes
	}
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(decode("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	cert, err := x509.ParseCertificate(decode("tls.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
		t.Error(err)
	}
	if len(decode("tls.key")) == 0 {
		t.Error("no key")
	}
}

// one returns the only object of a kind.
func one(t *testing.T, objects []object, kind string) object {
	t.Helper()
	var found []object
	for _, o := range objects {
		if o.kind() == kind {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("want one %s, got %v", kind, found)
	}
	return found[0]
}

func TestOneMoreIngressNodeChangesTheReleaseOfIngressNginxAlone(t *testing.T) {
	changes := map[string]bool{}
	forEachCase(t, func(t *testing.T, c testCase) {
		values := clone(c.values)
		set(values, 7, "global", "discovery", "nodes", "roles", "ingress", "count")
		set(values, 12, "global", "discovery", "nodes", "count")
		changed := c.mustRender(t, c.values) != c.mustRender(t, values)
		changes[c.name] = changed
		if changed && c.module.Name != "ingress-nginx" {
			t.Error("the render follows the number of ingress nodes")
		}
	})
	for _, name := range []string{"ingress-nginx/bare-metal", "ingress-nginx/bare-metal-imitated"} {
		if !changes[name] {
			t.Errorf("%s: the render does not follow the number of ingress nodes", name)
		}
	}
}

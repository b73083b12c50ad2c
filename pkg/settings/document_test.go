package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADocumentIsAConfigMapOrItsData(t *testing.T) { // C-370
	want := map[string]string{"aEnabled": "true", "a": "b: 1\n"}
	for sentence, text := range map[string]string{
		"the object":           "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: ns, resourceVersion: \"7\"}\ndata:\n  aEnabled: \"true\"\n  a: |\n    b: 1\n",
		"the object as JSON":   `{"apiVersion":"v1","kind":"ConfigMap","data":{"aEnabled":"true","a":"b: 1\n"}}`,
		"its data":             "aEnabled: \"true\"\na: |\n  b: 1\n",
		"data with a mark":     "\xef\xbb\xbfaEnabled: \"true\"\na: |\n  b: 1\n",
		"a key called kind is": "aEnabled: \"true\"\na: |\n  b: 1\n",
	} {
		got, _, _, err := ParseDocument([]byte(text))
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%s: %v\n%s", sentence, err, d)
		}
	}
	for text, want := range map[string]string{
		"a: [": "expected one YAML", "- a": "expected a ConfigMap", "a: true": "key a: expected a text", "a: {b: 1}": "key a: expected a text, got",
		"{apiVersion: v1, kind: Secret, data: {}}": "expected kind ConfigMap", "": "expected a ConfigMap",
	} {
		if _, _, _, err := ParseDocument([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParseDocument: anything may be piped into plan.
func FuzzParseDocument(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\ndata: {a: b}"))
	f.Add([]byte("{a: 1}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		data, _, _, err := ParseDocument(text)
		if err == nil && data == nil {
			t.Error("neither data nor an error")
		}
	})
}

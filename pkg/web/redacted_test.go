package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/web"
)

// C-473
func TestAnAnswerHasNoSecretUnlessItIsAskedFor(t *testing.T) {
	const text = "value: secret"
	h := web.Redacted(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n, err := fmt.Fprint(w, text); err != nil || n != len(text) {
			t.Errorf("Write returned %d, %v", n, err)
		}
	}), func(s string) string { return strings.ReplaceAll(s, "secret", "*****") })
	for path, want := range map[string]string{
		"/module/a/values.yaml": "value: *****", "/module/a/render": "value: *****", "/module/a/values.yaml?secrets=true": "value: *****",
		"/module/a/render?secrets=true": "value: secret",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
}

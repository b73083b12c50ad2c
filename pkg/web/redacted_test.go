package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/web"
)

func TestAnAnswerHasNoSecret(t *testing.T) {
	const text = "value: secret"
	w := httptest.NewRecorder()
	web.Redacted(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n, err := fmt.Fprint(w, text); err != nil || n != len(text) {
			t.Errorf("Write returned %d, %v", n, err)
		}
	}), func(s string) string { return strings.ReplaceAll(s, "secret", "*****") }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if got := w.Body.String(); got != "value: *****" {
		t.Errorf("answer: %q", got)
	}
}

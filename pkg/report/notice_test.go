package report_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
)

func TestARollbackIsToldToAWebhookOnce(t *testing.T) {
	var got []map[string]any
	answers := map[string]int{"/ok": http.StatusNoContent, "/no": http.StatusTeapot, "/moved": http.StatusFound}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		text, _ := io.ReadAll(req.Body)
		var body map[string]any
		if err := json.Unmarshal(text, &body); err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %s: %v", req.Method, req.Header, text, err)
		}
		got = append(got, body)
		w.Header().Set("Location", "/ok")
		w.WriteHeader(answers[req.URL.Path])
	}))
	defer server.Close()
	r := report.New(report.Config{Namespace: "ns", ConfigMap: "cm"})
	rel := source.Release{Module: "m", Version: "1.1.0", Digest: "sha256:0123456789", Source: "corp", Channel: "ea", Phase: source.RolledBack, Reason: "Unhealthy", Message: "why", Since: at(3)}
	if err := r.RolledBack(t.Context(), server.URL+"/ok?token=hunter22", rel); err != nil {
		t.Error(err)
	}
	want := []map[string]any{{"operator": "ns.cm", "phase": "RolledBack", "module": "m", "version": "1.1.0", "digest": "sha256:0123456789", "source": "corp", "channel": "ea", "release": "m-1.1.0-01234567",
		"reason": "Unhealthy", "message": "why", "time": "2026-11-22T10:03:00Z"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for url, text := range map[string]string{server.URL + "/no?token=hunter22": "/no answered 418", server.URL + "/moved?token=hunter22": "answered 302",
		"http://127.0.0.1:1/x?token=hunter22": "rollbackWebhook http://127.0.0.1:1/x", "http://[::1/?token=hunter22": "expected an http"} {
		if err := r.RolledBack(t.Context(), url, rel); err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if len(got) != 3 {
		t.Errorf("%d posts, expected 3: no redirect is followed", len(got))
	}
}

package operator_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

const healthCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tickets.health.example.com}
spec:
  group: health.example.com
  scope: Namespaced
  names: {plural: tickets, singular: ticket, kind: Ticket, listKind: TicketList}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// TestReadyFollowsTheHealthChecksOfAModule: an expression over an object of a CRD, a
// server, and an executable that lies among the hooks.
func TestReadyFollowsTheHealthChecksOfAModule(t *testing.T) {
	b := newBed(t)
	var code atomic.Int64
	code.Store(http.StatusOK)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/of/"+b.Namespace {
			w.WriteHeader(int(code.Load()))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	tickets := schema.GroupVersionResource{Group: "health.example.com", Version: "v1", Resource: "tickets"}
	sick := filepath.Join(b.Dir, "sick")
	definition := func(more string) string {
		return fmt.Sprintf(`health:
  - name: issued
    cel: object.status.conditions.exists(c, c.type == "Issued" && c.status == "True")
    kind: Ticket
    group: health.example.com
  - {name: api, http: "%s/of/{{namespace}}", interval: 1s}
  - {name: own, hook: healthy.sh, interval: 1s}
%s`, server.URL, more)
	}
	b.chart("100-checked", "---\napiVersion: health.example.com/v1\nkind: Ticket\nmetadata: {name: one, namespace: {{ .Release.Namespace }}}\nspec: {size: {{ .Values.checked.size | default 1 }}}\n")
	b.files(map[string]string{
		"modules/100-checked/module.yaml":      definition(""),
		"modules/100-checked/crds/ticket.yaml": healthCRD,
		"modules/100-checked/hooks/healthy.sh": "#!/usr/bin/env bash\n" + `[[ $# == 0 && $(cat "$BINDING_CONTEXT_PATH") == '[{"binding":"health"}]' ]] || { echo "called as no check: $*" >&2; exit 9; }
grep -q '"checked":' "$VALUES_PATH" || exit 8
echo '{"name": "checked_never", "set": 1}' >>"$METRICS_PATH"
if [[ -e ` + sick + ` ]]; then echo some noise >&2; cat ` + sick + ` >&2; exit 1; fi
`,
		"modules/100-checked/hooks/before.sh": script("beforeHelm: 1", "true"),
	})
	b.settings(map[string]string{"checkedEnabled": "true"})
	stop := b.start()

	// The expression: false until the status says so.
	b.wants("checked", "Ready", "False WaitingForObjects", "Ticket", "issued")
	b.patch(types.MergePatchType, tickets, "one", `{"status":{"conditions":[{"type":"Issued","status":"True"}]}}`, "status")
	b.ready("checked")
	revision := b.revision("checked")

	// The server.
	code.Store(http.StatusServiceUnavailable)
	b.wants("checked", "Ready", "False HealthCheckFailed", "check api: answers 503 Service Unavailable")
	if c := b.condition("checked", "Healthy"); !strings.HasPrefix(c, "False HealthCheckFailed") {
		t.Error(c)
	}
	if phase := b.module("checked")["phase"]; phase != "Verifying" {
		t.Errorf("phase %v", phase)
	}
	b.eventually(func() bool {
		m := b.get("/metrics")
		return strings.Contains(m, `addon_operator_module_health_check{check="api",module="checked"} 0`) &&
			strings.Contains(m, `addon_operator_module_health_check{check="own",module="checked"} 1`)
	}, "the metric shows which check fails")
	code.Store(http.StatusNoContent)
	b.ready("checked")

	// The executable, which stands among the hooks and is none.
	b.write("sick", 0o644, "the disk is full\n")
	b.wants("checked", "Ready", "False HealthCheckFailed", "check own: the disk is full")
	if err := os.Remove(sick); err != nil {
		t.Fatal(err)
	}
	b.ready("checked")
	if strings.Contains(b.get("/metrics/hooks"), "checked_never") || !strings.Contains(b.log.String(), "is not applied") {
		t.Error("what a check wrote was applied, or nothing was said of it")
	}

	// The expression again.
	b.patch(types.MergePatchType, tickets, "one", `{"status":{"conditions":[{"type":"Issued","status":"False"}]}}`, "status")
	b.wants("checked", "Ready", "False", "issued")
	b.patch(types.MergePatchType, tickets, "one", `{"status":{"conditions":[{"type":"Issued","status":"True"}]}}`, "status")
	b.ready("checked")
	if now := b.revision("checked"); now != revision {
		t.Errorf("checks made revision %d of %d", now, revision)
	}

	// Another version of the module has another check, which counts at once.
	b.write("modules/100-checked/module.yaml", 0o644, definition("  - {name: other, http: \""+server.URL+"/missing\", interval: 1s}\n"))
	b.wants("checked", "Ready", "False HealthCheckFailed", "check other: answers 404 Not Found")
	b.write("modules/100-checked/module.yaml", 0o644, definition(""))
	b.ready("checked")

	// A pause stops no check.
	b.edit("checkedPausedUntil", "2999-01-01T00:00:00Z")
	b.wants("checked", "Paused", "True")
	code.Store(http.StatusInternalServerError)
	b.wants("checked", "Healthy", "False HealthCheckFailed", "check api: answers 500")
	code.Store(http.StatusOK)
	b.edit("checkedPausedUntil", "")
	b.ready("checked")

	// Nobody asks for a module that is off.
	b.edit("checkedEnabled", "false")
	b.wants("checked", "Ready", "False Disabled")
	b.eventually(func() bool { return !strings.Contains(b.get("/metrics"), "module_health_check{") }, "the metric of a module that is off is gone")
	stop()
	if strings.Contains(b.log.String(), "called as no check") {
		t.Error("a health check was asked for --config")
	}
	if err := b.Dynamic.Resource(crds).Delete(b.ctx, "tickets.health.example.com", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

package operator_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// metricNames are those of C-501 … C-512 of an operator with modules, without prefix. The
// text is why a scrape of one at rest need not show it; empty for those that it shows.
func metricNames() map[string]string {
	const failure = "something has to fail first: metrics.TestMetricsWithModulesBearTheNamesOfTheContract"
	out := map[string]string{
		// C-501
		"live_ticks": "", "tasks_queue_length": "", "tasks_queue_action_duration_seconds": "",
		"d8_telemetry_tasks_queue_compaction_operations_total": "a queue has to be long", "d8_telemetry_tasks_queue_compaction_tasks_by_hook": "a queue has to be long",
		// C-502
		"kube_snapshot_objects": "", "kube_jq_filter_duration_seconds": "", "kube_event_duration_seconds": "",
		// C-503
		"kubernetes_client_watch_errors_total": "", "kubernetes_client_request_latency_seconds": "", "kubernetes_client_request_result_total": "",
		"kubernetes_client_rate_limiter_latency_seconds": "", "binding_monitor_missing_total": failure,
		"factory_informer_dead_total": "left out: an informer that ends is started again, and none is dead",
		// C-504
		"task_wait_in_queue_seconds_total": "",
		// C-507
		"tasks_queue_head_info": "something has to wait or run at the moment of the scrape", "binding_count": "", "config_values_errors_total": "", "modules_discover_errors_total": "",
		// C-508
		"module_run_seconds": "", "module_run_errors_total": "", "module_delete_errors_total": "", "module_helm_seconds": "", "helm_operation_seconds": "",
		"modules_helm_release_redeployed_total": "", "modules_absent_resources_total": "",
		"helm_fallback_total": "left out: there is one engine, and nothing to fall back to", "d8_telemetry_helm_fallback_total": "left out, likewise",
		// C-509
		"mm_module_info": "", "mm_module_enabled": "", "d8_telemetry_module_enabled": "", "mm_module_maintenance": "",
		// C-511
		"convergence_seconds": "", "convergence_total": "",
		// C-512
		"kube_snapshot_bytes": "left out: nothing knows that size without making the text",
	}
	for _, owner := range []string{"module", "global"} {
		for name, why := range map[string]string{"run_seconds": "", "run_user_cpu_seconds": "", "run_sys_cpu_seconds": "", "run_max_rss_bytes": "a run has to be long enough to tell", "success_total": "",
			"run_success_total": "", "errors_total": "", "run_errors_total": "", "allowed_errors_total": failure, "run_allowed_errors_total": failure} {
			if owner == "global" && strings.Contains(name, "errors") {
				why = failure
			}
			out[owner+"_hook_"+name] = why
		}
	}
	return out
}

// C-500 … C-513: what an operator at work shows at /metrics.
func TestAScrapeShowsTheMetricsOfTheContract(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.Config.KubeQPS, b.Config.KubeBurst = 1e4, 1e4
	b.chart("100-metered", shown("metered", "note", "{{ .Values.metered.note | quote }}"))
	b.chart("110-troubled", shown("troubled", "note", "here"))
	b.files(map[string]string{
		"modules/100-metered/hooks/watch.sh": script(`beforeHelm: 1
kubernetes:
- name: maps
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  jqFilter: .data`, "true"),
		"modules/110-troubled/hooks/fails.sh": script("afterDeleteHelm: 1\nafterHelm: 1", `[[ -e `+b.Dir+`/fine ]] || exit 3`),
		"global-hooks/hooks/fact.sh":          script("beforeAll: 1", `echo '[{"op":"add","path":"/global/fact","value":"seen"}]' > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.settings(map[string]string{"meteredEnabled": "true", "troubledEnabled": "true", "metered": "note: first\n"})
	b.start()
	b.ready("metered")
	b.wants("troubled", "Ready", "False")
	b.write("fine", 0o644, "")
	b.ready("troubled")
	b.edit("metered", "note: second\n")
	b.eventually(func() bool { return b.shows("metered", "note", "second") }, "the edit is applied")
	b.ready("metered")
	b.converged()
	if err := b.Client.CoreV1().ConfigMaps(b.Namespace).Delete(b.ctx, "metered", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { return b.exists("metered") }, "the object is back")
	b.edit("meteredMaintenance", "NoResourceReconciliation")
	b.converged()
	if err := os.Remove(filepath.Join(b.Dir, "fine")); err != nil { // the removal fails once
		t.Fatal(err)
	}
	b.edit("troubledEnabled", "false")
	b.eventually(func() bool { return b.scrape()["addon_operator_module_delete_errors_total"] }, "a removal failed")
	b.write("fine", 0o644, "")

	shown := func(name string) string {
		if after, ok := strings.CutPrefix(name, "d8_telemetry_"); ok && after != "module_enabled" {
			return "d8_telemetry_addon_operator_" + after
		}
		if name == "d8_telemetry_module_enabled" {
			return name
		}
		return "addon_operator_" + name
	}
	var missing []string
	testkit.Eventually(t, func() bool {
		missing = nil
		now := b.scrape()
		for name, why := range metricNames() {
			if why == "" && !now[shown(name)] {
				missing = append(missing, name)
			}
			if strings.HasPrefix(why, "left out") && now[shown(name)] {
				t.Errorf("%s is there and said to be left out", name)
			}
		}
		return len(missing) == 0
	}, func() string { return fmt.Sprintf("all metrics are shown; the last scrape lacked %v", missing) })
	if text := b.get("/metrics"); !strings.Contains(text, `addon_operator_convergence_total{activation="OperatorStartup"} 1`) {
		t.Error("no convergence of the start") // C-511
	}
}

// scrape is the names of the metrics with series at /metrics.
func (b *bed) scrape() map[string]bool {
	b.t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(b.get("/metrics")))
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[string]bool{}
	for name := range families {
		out[name] = true
	}
	return out
}

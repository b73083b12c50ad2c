package metrics

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/status"
)

// everything calls every method once or more.
func everything(s *Self, ids ...hook.ID) {
	usage := hook.Usage{Wall: time.Second, User: time.Second, System: time.Second, MaxRSS: 1 << 20}
	b := hook.Kubernetes{Route: hook.Route{Name: "pods", Queue: "main"}, Kind: "Pod"}
	queues := []Queue{{Name: "empty", Head: Task{Type: "HookRun"}}}
	for _, id := range ids {
		r := Run{ID: id, Binding: "pods", Queue: "main", Activation: "Kubernetes", Usage: usage, Waited: time.Second}
		s.HookRun(r)
		r.Failed, r.Reason = true, hook.ReasonTimeout
		s.HookRun(r)
		r.AllowFailure, r.Reason = true, ""
		s.HookRun(r)
		s.BindingsStarted(id, time.Second, nil)
		s.BindingsStarted(id, time.Second, errors.New("x"))
		s.Objects(id, b, 5)
		s.Filtered(id, b, time.Millisecond)
		s.Handled(id, b, time.Millisecond)
		s.Bindings(id, 2)
		s.Compacted("main", id)
		queues = append(queues, Queue{Name: id.Owner.String(), Length: 21, Head: Task{Hook: id, Type: "HookRun"}, Hooks: map[hook.ID]int{id: 21, {Name: "few"}: 20}})
	}
	s.WatchQueues(func() []Queue { return queues })
	s.QueueAction("main", "add", time.Microsecond)
	s.MonitorMissing("pods")
	s.Requested(Request{Component: "main", Method: "GET", Host: "h", Path: "/api/v1/pods/{name}", Code: 200, Took: time.Millisecond})
	s.Requested(Request{Component: "main", Method: "GET", Host: "h", Path: "/api/v1/pods/{name}"})
	s.WatchFailed("expired")
	s.ModuleRun("m", "Inputs", time.Second, time.Second, true, true)
	s.Enabled("m", "1.0.0", false)
	s.Enabled("m", "1.1.0", true)
	s.ConfigProblem()
	s.Checks(status.Module{Name: "m", Checks: []status.Check{{Name: "api", Looked: true}, {Name: "gone"}}})
	s.Checks(status.Module{Name: "m", Checks: []status.Check{{Name: "api", Looked: true}, {Name: "disk", Problem: "full"}}})
	s.HelmOperation("m", "Inputs", "template", time.Second)
	s.ModuleDeleteFailed("m")
	s.DiscoverFailed()
	s.Converged("OperatorStartup", time.Second)
	s.Throttled("GET", "/api", time.Second)
	s.Reviewed(ids[0], "b", "Validating", "allowed", time.Second)
	s.Polled("corp", "ea", time.Unix(1, 0), nil)
	s.Polled("corp", "ea", time.Unix(1, 0), errors.New("x"))
	s.Followed("corp", "ea", catalog.Document{Seq: 7, ExpiresAt: time.Unix(9, 0)})
	s.Release(source.Release{Module: "m", Version: "2.0.0", Source: "corp", Channel: "ea", Phase: source.Deployed})
	s.Moved(source.Release{Module: "m", Phase: source.RolledBack}, source.RollingBack)
	s.YankedRuns("m", true)
	s.WatchHookMetrics(NewHooks())
}

// names are those of all metrics, each with the names of its labels.
func names(t *testing.T, reg prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		out[f.GetName()] = f.GetType().String()[:1] + " " + strings.Join(labels, ",")
	}
	return out
}

// common are the metrics of both modes (C-501 … C-504).
func common(prefix, hookLabels, bindingLabels string) map[string]string {
	return map[string]string{
		prefix + "live_ticks":                                                "C ",
		prefix + "tasks_queue_length":                                        "G queue",
		prefix + "tasks_queue_action_duration_seconds":                       "H queue_action,queue_name",
		"d8_telemetry_" + prefix + "tasks_queue_compaction_operations_total": "C hook,queue_name",
		"d8_telemetry_" + prefix + "tasks_queue_compaction_tasks_by_hook":    "G hook,queue_name",
		prefix + "kube_snapshot_objects":                                     "G " + bindingLabels,
		prefix + "kube_jq_filter_duration_seconds":                           "H " + bindingLabels,
		prefix + "kube_event_duration_seconds":                               "H " + bindingLabels,
		prefix + "kubernetes_client_watch_errors_total":                      "C error_type",
		prefix + "kubernetes_client_request_latency_seconds":                 "H component,url,verb",
		prefix + "kubernetes_client_request_result_total":                    "C code,component,host,method",
		prefix + "binding_monitor_missing_total":                             "C binding",
		prefix + "task_wait_in_queue_seconds_total":                          "C binding," + hookLabels + ",queue",
		prefix + "kubernetes_client_rate_limiter_latency_seconds":            "H url,verb",
		prefix + "webhook_review_seconds":                                    "H binding," + hookLabels + ",result,type",
		prefix + "hook_run_failures_total":                                   "C hook,module,reason",
	}
}

// C-500 … C-504, C-507 … C-510, C-512.
func TestMetricsWithModulesBearTheNamesOfTheContract(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "addon_operator_"), own, global)
	want := common("addon_operator_", "hook,module", "binding,hook,kind,module,queue")
	for name, labels := range map[string]string{
		"tasks_queue_head_info": "G hook,module,queue,task_type", "binding_count": "G hook,module",
		"config_values_errors_total": "C ",
		"module_run_seconds":         "H activation,module", "module_run_errors_total": "C module",
		"module_helm_seconds":        "H activation,module",
		"module_delete_errors_total": "C module", "modules_discover_errors_total": "C ", "helm_operation_seconds": "H activation,module,operation",
		"convergence_seconds": "C activation", "convergence_total": "C activation",
		"modules_helm_release_redeployed_total": "C module", "module_health_check": "G check,module",
		"source_poll_failed": "G channel,source", "source_poll_failures_total": "C channel,source", "source_polled_timestamp_seconds": "G channel,source",
		"source_document_seq": "G channel,source", "source_document_expiry_timestamp_seconds": "G channel,source",
		"release_phase": "G channel,module,phase,reason,source,version", "release_rollbacks_total": "C module", "module_yanked_running": "G module",
		"mm_module_info": "G critical,enabled,module", "mm_module_enabled": "G module,version",
	} {
		want["addon_operator_"+name] = labels
	}
	want["d8_telemetry_module_enabled"] = "G module,version"
	for owner, labels := range map[string]string{"module": "activation,binding,hook,module,queue", "global": "activation,binding,hook,queue"} {
		for name, kind := range map[string]string{
			"run_seconds": "H ", "run_user_cpu_seconds": "H ", "run_sys_cpu_seconds": "H ", "run_max_rss_bytes": "G ",
			"errors_total": "C ", "allowed_errors_total": "C ", "success_total": "C ",
			"run_errors_total": "C ", "run_allowed_errors_total": "C ", "run_success_total": "C ",
		} {
			want["addon_operator_"+owner+"_hook_"+name] = kind + labels
		}
	}
	same(t, names(t, reg), want)
	lint(t, reg)
}

// C-500 … C-506.
func TestMetricsWithoutModulesBearTheNamesOfTheContract(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "shell_operator_", Standalone()), alone)
	want := common("shell_operator_", "hook", "binding,hook,queue")
	for name, kind := range map[string]string{
		"run_seconds": "H", "run_user_cpu_seconds": "H", "run_sys_cpu_seconds": "H", "run_max_rss_bytes": "G",
		"run_errors_total": "C", "run_allowed_errors_total": "C", "run_success_total": "C",
	} {
		want["shell_operator_hook_"+name] = kind + " binding,hook,queue"
	}
	for name, kind := range map[string]string{"seconds": "G", "errors_total": "C", "success": "G"} {
		want["shell_operator_hook_enable_kubernetes_bindings_"+name] = kind + " hook"
	}
	same(t, names(t, reg), want)
	lint(t, reg)
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: got %q, want %q", name, got[name], w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is in no list", name)
		}
	}
}

// lint holds our names against the rules of Prometheus, but for those that the contract gives.
func lint(t *testing.T, reg prometheus.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	theirs := []string{"live_ticks", "binding_count", "convergence_seconds"}
	for _, p := range problems {
		if !slices.ContainsFunc(theirs, func(name string) bool { return strings.HasSuffix(p.Metric, "_"+name) }) {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	gather(t, reg)
}

func TestQueueActionsCanBeLeftOut(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "p_", WithoutQueueActions()), own)
	if got := names(t, reg); got["p_tasks_queue_action_duration_seconds"] != "" || got["p_tasks_queue_length"] == "" {
		t.Errorf("got %v", got)
	}
}

func TestRunsAreCountedByOutcomeAndReason(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "p_"), own)
	got := gather(t, reg)
	labels := `{activation="Kubernetes",binding="pods",hook="hooks/h",module="m",queue="main"} 1`
	for _, line := range []string{
		"p_module_hook_success_total" + labels, "p_module_hook_errors_total" + labels, "p_module_hook_allowed_errors_total" + labels,
		"p_module_hook_run_success_total" + labels, // C-512
		`p_hook_run_failures_total{hook="hooks/h",module="m",reason="timeout"} 1`,
		`p_hook_run_failures_total{hook="hooks/h",module="m",reason="exit"} 1`,
		`p_task_wait_in_queue_seconds_total{binding="pods",hook="hooks/h",module="m",queue="main"} 3`,
		`p_kubernetes_client_request_result_total{code="200",component="main",host="h",method="GET"} 1`,
		`p_kubernetes_client_request_result_total{code="<error>",component="main",host="h",method="GET"} 1`,
		`p_kubernetes_client_watch_errors_total{error_type="eof"} 0`,
		`p_tasks_queue_head_info{hook="hooks/h",module="m",queue="m",task_type="HookRun"} 1`,
		`p_tasks_queue_length{queue="empty"} 0`,
		`p_mm_module_enabled{module="m",version="1.1.0"} 1`,
	} {
		if !strings.Contains(got+"\n", line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if strings.Contains(got, `version="1.0.0"`) {
		t.Error("the version before is still shown")
	}
	if strings.Contains(got, `hook="few"`) {
		t.Error("a hook with 20 tasks is shown (C-501)")
	}
}

// C-513, B-64.
func TestBucketsAreThoseOfTheContract(t *testing.T) {
	for prefix, c := range map[string]struct {
		opts  []Option
		id    hook.ID
		lines []string
	}{
		"a_": {nil, own, []string{`a_module_hook_run_seconds_bucket{activation="Kubernetes",binding="pods",hook="hooks/h",module="m",queue="main",le="0.02"} 0`, `le="500"} 3`}},
		"s_": {[]Option{Standalone()}, alone, []string{`s_hook_run_seconds_bucket{binding="pods",hook="h.sh",queue="main",le="0.001"} 0`, `s_hook_run_seconds_bucket{binding="pods",hook="h.sh",queue="main",le="0"} 0`, `le="10"} 3`}},
	} {
		reg := prometheus.NewPedanticRegistry()
		everything(NewSelf(reg, prefix, c.opts...), c.id)
		got := gather(t, reg)
		for _, line := range c.lines {
			if !strings.Contains(got, line+"\n") {
				t.Errorf("%s is missing", line)
			}
		}
	}
}

func TestSeriesOfAnOwnerAreForgotten(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := NewSelf(reg, "p_")
	other := hook.ID{Owner: hook.Owner{Module: "other"}, Name: "hooks/o"}
	everything(s, own, global, other)
	s.queues.compacted.Reset() // not the owner's: its queue may be shared
	has := func(text string) bool {
		for line := range strings.Lines(gather(t, reg)) {
			if strings.Contains(line, text) && !strings.HasPrefix(line, "p_tasks_queue_") && !strings.HasPrefix(line, "d8_telemetry_p_tasks") {
				return true
			}
		}
		return false
	}
	s.Forget(own.Owner)
	if has(`hook="hooks/h"`) || !has(`hook="hooks/g"`) || !has(`hook="hooks/o"`) || !has(`p_mm_module_enabled{module="m"`) {
		t.Error(gather(t, reg))
	}
	s.ForgetModule("m")
	if has(`module="m"`) || !has(`hook="hooks/g"`) {
		t.Error(gather(t, reg))
	}
	s.Forget(hook.Global)
	if has(`hook="hooks/g"`) || !has(`hook="hooks/o"`) {
		t.Error(gather(t, reg))
	}
}

func TestHealthChecksAreShown(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "p_"), own)
	got := gather(t, reg)
	for line, want := range map[string]bool{`p_module_health_check{check="api",module="m"} 1`: true,
		`p_module_health_check{check="disk",module="m"} 0`: true, `check="gone"`: false} {
		if strings.Contains(got, line) != want {
			t.Errorf("%s: %v\n%s", line, !want, got)
		}
	}
}

func TestABindingThatIsNotWatchedHasNoObjects(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := NewSelf(reg, "p_")
	b := hook.Kubernetes{Route: hook.Route{Name: "pods", Queue: "main"}, Kind: "Pod"}
	s.Objects(own, b, 5)
	if got := gather(t, reg); !strings.Contains(got, `p_kube_snapshot_objects{binding="pods",hook="hooks/h",kind="Pod",module="m",queue="main"} 5`) {
		t.Error(got)
	}
	s.Stopped(own, b)
	if got := gather(t, reg); strings.Contains(got, "kube_snapshot_objects") {
		t.Error(got)
	}
}

func TestNamesThatAreNotUTF8AreShownAllTheSame(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	everything(NewSelf(reg, "p_"), hook.ID{Owner: hook.Owner{Module: "m"}, Name: "hooks/\xff"})
	if got := gather(t, reg); !strings.Contains(got, "hook=\"hooks/\uFFFD\"") {
		t.Error(got)
	}
}

func TestReleasesAndSourcesAreShownOnceAndForgotten(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := NewSelf(reg, "p_")
	bad := source.Release{Module: "m", Version: "1.1.0", Digest: "sha256:ab", Source: "corp", Channel: "ea", Phase: source.Pending, Reason: "WaitingForApproval"}
	good := source.Release{Module: "m", Version: "1.0.0", Digest: "sha256:cd", Source: "corp", Phase: source.Deployed}
	phases := func(want string) {
		t.Helper()
		text := "# HELP p_release_phase 1 for each release on its way, in force or undone.\n# TYPE p_release_phase gauge\n" + want
		if err := testutil.GatherAndCompare(reg, strings.NewReader(text), "p_release_phase"); err != nil {
			t.Error(err)
		}
	}
	s.Release(bad)
	s.Release(good)
	phases(`p_release_phase{channel="",module="m",phase="Deployed",reason="",source="corp",version="1.0.0"} 1
p_release_phase{channel="ea",module="m",phase="Pending",reason="WaitingForApproval",source="corp",version="1.1.0"} 1
`)
	if got := testutil.ToFloat64(s.channels.rollbacks.WithLabelValues("m")); got != 0 {
		t.Error(got)
	}
	bad.Phase, bad.Reason = source.RolledBack, "Unhealthy"
	s.Moved(bad, source.RollingBack)
	s.Release(bad)
	good.Phase = source.Superseded
	s.Release(good)
	phases(`p_release_phase{channel="ea",module="m",phase="RolledBack",reason="Unhealthy",source="corp",version="1.1.0"} 1
`)
	if got := testutil.ToFloat64(s.channels.rollbacks.WithLabelValues("m")); got != 1 {
		t.Error(got)
	}
	s.Polled("corp", "ea", time.Unix(5, 0), nil)
	s.Polled("corp", "ea", time.Unix(9, 0), errors.New("no answer"))
	s.Followed("corp", "ea", catalog.Document{Seq: 3, ExpiresAt: time.Unix(7, 0)})
	s.Followed("corp", "ea", catalog.Document{Seq: 4})
	s.Polled("other", "ea", time.Unix(5, 0), errors.New("no answer"))
	for name, want := range map[string]int{"p_source_polled_timestamp_seconds": 1, "p_source_poll_failed": 2, "p_source_poll_failures_total": 2, "p_source_document_seq": 1, "p_source_document_expiry_timestamp_seconds": 0} {
		if n, err := testutil.GatherAndCount(reg, name); err != nil || n != want {
			t.Errorf("%s: %d series, expected %d (%v)", name, n, want, err)
		}
	}
	if got := testutil.ToFloat64(s.channels.polled.WithLabelValues("corp", "ea")); got != 5 {
		t.Errorf("a failed poll counts as an answer: %v", got)
	}
	s.YankedRuns("m", true)
	s.KeepSources(nil)
	s.KeepReleases(nil)
	s.ForgetModule("m")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "p_source_") || strings.HasPrefix(f.GetName(), "p_release_") || f.GetName() == "p_module_yanked_running" {
			t.Errorf("%s is left", f.GetName())
		}
	}
}

func TestThePageOfMetricsNamesEachOfThem(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for prefix, c := range map[string]struct {
		opts []Option
		id   hook.ID
	}{"addon_operator_": {nil, own}, "shell_operator_": {[]Option{Standalone()}, alone}} {
		reg := prometheus.NewPedanticRegistry()
		s := NewSelf(reg, prefix, c.opts...)
		everything(s, c.id, global)
		for name := range names(t, reg) {
			for _, of := range []string{"module_hook_", "global_hook_"} { // the page writes this part once
				name = strings.Replace(name, prefix+of, prefix+"<kind>_hook_", 1)
			}
			if shown := strings.Replace(name, prefix, "{P}", 1); !strings.Contains(string(page), "`"+shown+"`") {
				t.Errorf("docs/metrics.md does not name `%s`", shown)
			}
		}
	}
}

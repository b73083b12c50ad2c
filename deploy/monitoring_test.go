package deploy_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/metrics"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/status"
)

var update = flag.Bool("update", false, "write generated manifests anew")

type alertRule struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	text, err := os.ReadFile("monitoring/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := sigsyaml.UnmarshalStrict(text, &struct{ Groups []any }{}); err != nil {
		t.Fatal(err)
	}
	if err := sigsyaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

// The manifest for the Prometheus Operator holds the same rules.
func TestThePrometheusRuleIsTheRuleFile(t *testing.T) {
	text, err := os.ReadFile("monitoring/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, groups, ok := strings.Cut(string(text), "groups:\n")
	if !ok {
		t.Fatal("rules.yaml has no groups")
	}
	want := "# Made of rules.yaml by go test ./deploy -update.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\n" +
		"metadata:\n  name: addon-operator\n  namespace: addon-operator\n  labels: {app.kubernetes.io/name: addon-operator}\nspec:\n  groups:\n" +
		regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(groups, "  $1")
	const file = "monitoring/prometheusrule.yaml"
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%s is not what rules.yaml says (%v): run go test ./deploy -run PrometheusRule -update", file, err)
	}
}

func TestEveryAlertSaysWhatToDoAndWhereToRead(t *testing.T) {
	for _, r := range alertRules(t) {
		if !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: severity, summary or description is missing", r.Alert)
		}
		_, page, ok := strings.Cut(r.Annotations["runbook_url"], "/docs/")
		page, _, _ = strings.Cut(page, "#")
		if _, err := os.Stat("../docs/" + page); err != nil || !ok {
			t.Errorf("%s: its runbook %s is no page of docs/", r.Alert, r.Annotations["runbook_url"])
		}
	}
}

// metricName finds metrics in queries.
var metricName = regexp.MustCompile(`\b(?:addon_operator|d8_telemetry|process|go)_[a-z0-9_]+\b`)

// Alerts and dashboard read only what the operator shows (C-500 … C-513).
func TestEveryMetricOfAlertsAndDashboardExists(t *testing.T) {
	shown := shownMetrics(t)
	queries := map[string]string{}
	for _, r := range alertRules(t) {
		queries["alert "+r.Alert] = r.Expr
	}
	text, err := os.ReadFile("monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries["panel "+p.Title] += " " + target.Expr
		}
	}
	for _, where := range slices.Sorted(maps.Keys(queries)) {
		names := metricName.FindAllString(queries[where], -1)
		if len(names) == 0 {
			t.Errorf("%s reads no metric: %s", where, queries[where])
		}
		for _, name := range names {
			if base := strings.TrimSuffix(name, "_bucket"); !shown[name] && !shown[base] {
				t.Errorf("%s reads %s, which the operator does not show", where, name)
			}
		}
	}
}

// shownMetrics are the names of the metrics of an operator that has done a bit of everything.
func shownMetrics(t *testing.T) map[string]bool {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := metrics.NewSelf(reg, "addon_operator_")
	id := hook.ID{Owner: hook.Owner{Module: "m"}, Name: "h"}
	s.ModuleRun("m", "Inputs", time.Second, time.Second, true, true)
	s.Conditions(status.Module{Name: "m", Conditions: []status.Condition{{Type: status.Ready}}})
	s.WatchProgress(func() (bool, int) { return true, 0 })
	s.WatchQueues(func() []metrics.Queue { return []metrics.Queue{{Name: "main", Length: 1}} })
	s.HookRun(metrics.Run{ID: id, Usage: hook.Usage{Wall: time.Second}, Failed: true, Reason: hook.ReasonExit})
	s.Requested(metrics.Request{Code: 200})
	s.Objects(id, hook.Kubernetes{}, 1)
	s.Polled("corp", "ea", time.Unix(1, 0), nil)
	s.Followed("corp", "ea", catalog.Document{Seq: 1, ExpiresAt: time.Unix(1, 0)})
	s.Release(source.Release{Module: "m", Version: "1.0.0", Phase: source.Deployed})
	s.YankedRuns("m", true)
	out := map[string]bool{
		"addon_operator_leader":                         true, // with high availability, pkg/operator/ha.go
		"addon_operator_hook_metrics_refused_total":     true, // once one was, pkg/metrics/hooks.go
		"addon_operator_modules_absent_resources_total": true, // once one was, pkg/metrics/modules.go
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		out[f.GetName()] = true
	}
	return out
}

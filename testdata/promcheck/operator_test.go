package promcheck_test

import (
	"context"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"sigs.k8s.io/yaml"
)

const monitoring = "../../deploy/monitoring/"

// operatorAlerts are the alerts on the operator itself, read by Prometheus' own parser.
func operatorAlerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(monitoring+"rules.yaml", false, model.UTF8Validation, queries(), quiet())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	out := map[string]rulefmt.Rule{}
	for _, r := range groups.Groups[0].Rules {
		out[r.Alert] = r
	}
	return out
}

// unitTest is one test of promtool's format, as far as rules_test.yaml uses it.
type unitTest struct {
	Name        string `json:"name"`
	InputSeries []struct {
		Series string `json:"series"`
		Values string `json:"values"`
	} `json:"input_series"`
	AlertRuleTest []struct {
		EvalTime  model.Duration `json:"eval_time"`
		Alertname string         `json:"alertname"`
		ExpAlerts []struct {
			Labels map[string]string `json:"exp_labels"`
		} `json:"exp_alerts"`
	} `json:"alert_rule_test"`
}

// TestTheAlertsOnTheOperatorFire runs deploy/monitoring/rules_test.yaml with Prometheus' own
// evaluation of alerting rules, minute by minute, and wants every alert tested.
func TestTheAlertsOnTheOperatorFire(t *testing.T) {
	text, err := os.ReadFile(monitoring + "rules_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tests []unitTest `json:"tests"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	alerts := operatorAlerts(t)
	tested := map[string]bool{}
	for _, test := range file.Tests {
		t.Run(test.Name, func(t *testing.T) {
			series := "load 1m\n"
			for _, s := range test.InputSeries {
				series += "\t" + s.Series + " " + s.Values + "\n"
			}
			for _, a := range test.AlertRuleTest {
				var want []string
				for _, e := range a.ExpAlerts {
					want = append(want, labels.FromMap(e.Labels).String())
					tested[a.Alertname] = true
				}
				if got := firing(t, alerts[a.Alertname], series, time.Duration(a.EvalTime)); !slices.Equal(got, want) {
					t.Errorf("%s: want %q, got %q", a.Alertname, want, got)
				}
			}
		})
	}
	for name := range alerts {
		if !tested[name] {
			t.Errorf("no test sees %s fire", name)
		}
	}
}

// firing are the labels of the alerts that fire after a time.
func firing(t *testing.T, r rulefmt.Rule, series string, after time.Duration) []string {
	t.Helper()
	expr, err := queries().ParseExpr(r.Expr)
	if err != nil {
		t.Fatal(err)
	}
	engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
	query := rules.EngineQueryFunc(engine, promqltest.LoadedStorage(t, series))
	rule := rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), 0, labels.FromMap(r.Labels), labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, quiet())
	for at := time.Duration(0); at <= after; at += time.Minute {
		if _, err := rule.Eval(context.Background(), 0, time.Unix(0, 0).Add(at), query, &url.URL{}, 0); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for _, a := range rule.ActiveAlerts() {
		if a.State == rules.StateFiring {
			l := a.Labels.Map()
			delete(l, model.AlertNameLabel)
			out = append(out, labels.FromMap(l).String())
			for name, text := range a.Annotations.Map() {
				if strings.Contains(text, "error expanding") || strings.Contains(text, "<no value>") {
					t.Errorf("annotation %s: %s", name, text)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// Package promcheck_test reads what the prometheus module renders with Prometheus' own parsers, of the version whose image
// the module pins: the golden renders for configuration and rules, the dashboards for their queries, and the rules once
// more by evaluating them on made-up series.
package promcheck_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/kubernetes"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const moduleDir = "../../modules/300-prometheus"

type configMap struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
}

// configMaps is what a golden render holds, by name.
func configMaps(t *testing.T, golden string) map[string]configMap {
	t.Helper()
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]configMap{}
	for _, doc := range strings.Split("\n"+string(text), "\n---\n") {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind != "ConfigMap" {
			continue
		}
		var m configMap
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			t.Fatal(err)
		}
		out[m.Metadata.Name] = m
	}
	return out
}

func forEachRender(t *testing.T, check func(t *testing.T, maps map[string]configMap)) {
	files, err := filepath.Glob(filepath.Join(moduleDir, "testdata", "*", "golden.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no golden renders", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) { check(t, configMaps(t, file)) })
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func queries() parser.Parser { return parser.NewParser(parser.Options{}) }

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Load(text, quiet())
	if err != nil {
		t.Fatalf("Prometheus refuses the configuration: %v", err)
	}
	return c
}

func TestPrometheusAcceptsTheMainConfiguration(t *testing.T) {
	forEachRender(t, func(t *testing.T, maps map[string]configMap) {
		c := load(t, maps["prometheus-main"].Data["prometheus.yaml"])
		roles := map[string]kubernetes.Role{}
		for _, job := range c.ScrapeConfigs {
			for _, sd := range job.ServiceDiscoveryConfigs {
				roles[job.JobName] = sd.(*kubernetes.SDConfig).Role
			}
		}
		want := map[string]kubernetes.Role{
			"apiserver": kubernetes.RoleEndpointSlice, "kubelet": kubernetes.RoleNode, "cadvisor": kubernetes.RoleNode,
			"kube-state-metrics": kubernetes.RolePod, "node-exporter": kubernetes.RolePod, "pods": kubernetes.RolePod,
		}
		for job, role := range want {
			if roles[job] != role {
				t.Errorf("job %s: want role %s, got %q", job, role, roles[job])
			}
		}
		if c.StorageConfig.TSDBConfig.Retention.Time == 0 || c.StorageConfig.TSDBConfig.Retention.Size == 0 {
			t.Error("retention is not bounded by time and size")
		}
		// Rules look at ranges of 5m, in which a rate needs two samples.
		if interval := time.Duration(c.GlobalConfig.ScrapeInterval); interval > 2*time.Minute {
			t.Errorf("scrape interval %s is too long for the rules", interval)
		}
	})
}

func TestPrometheusAcceptsTheLongTermConfiguration(t *testing.T) {
	seen := false
	forEachRender(t, func(t *testing.T, maps map[string]configMap) {
		m, ok := maps["prometheus-longterm"]
		if !ok {
			t.Skip("switched off")
		}
		seen = true
		c := load(t, m.Data["prometheus.yaml"])
		job := c.ScrapeConfigs[0]
		if len(c.ScrapeConfigs) != 1 || job.MetricsPath != "/federate" || !job.HonorLabels {
			t.Errorf("want one job that federates and keeps the labels of the source, got %v", job)
		}
		if _, err := queries().ParseMetricSelectors(job.Params["match[]"]); err != nil {
			t.Error(err)
		}
	})
	if !seen {
		t.Error("no case has the long-term Prometheus")
	}
}

func TestPrometheusAcceptsTheRules(t *testing.T) {
	forEachRender(t, func(t *testing.T, maps map[string]configMap) {
		for name, text := range maps["prometheus-main-rules"].Data {
			if _, errs := rulefmt.Parse([]byte(text), false, model.UTF8Validation, queries(), quiet()); len(errs) > 0 {
				t.Errorf("%s: %v", name, errs)
			}
		}
	})
}

func ruleFiles(t *testing.T) []rulefmt.Rule {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleDir, "files", "rules", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal("no rules", err)
	}
	var out []rulefmt.Rule
	for _, file := range files {
		groups, errs := rulefmt.ParseFile(file, false, model.UTF8Validation, queries(), quiet())
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		for _, group := range groups.Groups {
			out = append(out, group.Rules...)
		}
	}
	return out
}

func TestAlertsSayHowBadWhatAndWhatToDo(t *testing.T) {
	names := map[string]bool{}
	for _, rule := range ruleFiles(t) {
		if rule.Alert == "" {
			continue
		}
		if names[rule.Alert] {
			t.Errorf("%s: there are two alerts of that name", rule.Alert)
		}
		names[rule.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info", "none"}, rule.Labels["severity"]) {
			t.Errorf("%s: severity is %q", rule.Alert, rule.Labels["severity"])
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s: no summary or description", rule.Alert)
		}
	}
}

// query is an expression of a rule or a panel, and where it stands.
type query struct{ where, expr string }

func dashboardQueries(t *testing.T) []query {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(moduleDir, "files", "dashboards", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no dashboards", err)
	}
	// What Grafana puts in before it asks.
	variables := strings.NewReplacer("$__rate_interval", "2m", "$namespace", "a|b", "$node", ".*")
	var out []query
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				out = append(out, query{filepath.Base(file) + ", panel " + p.Title, variables.Replace(target.Expr)})
			}
		}
	}
	return out
}

// metrics lists the names an expression selects.
func metrics(t *testing.T, q query) []string {
	t.Helper()
	expr, err := queries().ParseExpr(q.expr)
	if err != nil {
		t.Errorf("%s: %v", q.where, err)
		return nil
	}
	var out []string
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			for _, m := range selector.LabelMatchers {
				if m.Name == labels.MetricName && m.Type == labels.MatchEqual {
					out = append(out, m.Value)
				}
			}
		}
		return nil
	})
	return out
}

// A name with a colon is one of ours: a dashboard or an alert on one that nobody records would stay empty for ever.
func TestDashboardsAndRulesReadRecordedSeriesThatExist(t *testing.T) {
	recorded := map[string]bool{}
	all := dashboardQueries(t)
	for _, rule := range ruleFiles(t) {
		if rule.Record != "" {
			recorded[rule.Record] = true
		}
		all = append(all, query{"rule " + rule.Record + rule.Alert, rule.Expr})
	}
	for _, q := range all {
		for _, name := range metrics(t, q) {
			if strings.Contains(name, ":") && !recorded[name] {
				t.Errorf("%s reads %s, which no rule records", q.where, name)
			}
		}
	}
}

// The long-term Prometheus holds what it federates, and no more.
func TestTheTrendsDashboardReadsOnlyWhatIsFederated(t *testing.T) {
	maps := configMaps(t, filepath.Join(moduleDir, "testdata", "aws", "golden.yaml"))
	job := load(t, maps["prometheus-longterm"].Data["prometheus.yaml"]).ScrapeConfigs[0]
	selectors, err := queries().ParseMetricSelectors(job.Params["match[]"])
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range dashboardQueries(t) {
		if !strings.HasPrefix(q.where, "trends.json") {
			continue
		}
		for _, name := range metrics(t, q) {
			if !slices.ContainsFunc(selectors, func(s []*labels.Matcher) bool { return s[0].Matches(name) }) {
				t.Errorf("%s reads %s, which is not federated", q.where, name)
			}
		}
	}
}

// A metric that the scrape configuration throws away must not be in a rule or a dashboard.
func TestNothingReadsADroppedMetric(t *testing.T) {
	maps := configMaps(t, filepath.Join(moduleDir, "testdata", "aws", "golden.yaml"))
	var dropped []*regexp.Regexp
	for _, job := range load(t, maps["prometheus-main"].Data["prometheus.yaml"]).ScrapeConfigs {
		for _, relabel := range job.MetricRelabelConfigs {
			dropped = append(dropped, regexp.MustCompile("^(?:"+relabel.Regex.String()+")$"))
		}
	}
	if len(dropped) == 0 {
		t.Fatal("nothing is dropped")
	}
	all := dashboardQueries(t)
	for _, rule := range ruleFiles(t) {
		all = append(all, query{"rule " + rule.Record + rule.Alert, rule.Expr})
	}
	for _, q := range all {
		for _, name := range metrics(t, q) {
			for _, re := range dropped {
				if re.MatchString(name) {
					t.Errorf("%s reads %s, which is dropped at the scrape", q.where, name)
				}
			}
		}
	}
}

// Tag v3.x.y of Prometheus is v0.3xx.y as a Go module.
func TestTheParsersAreThoseOfThePinnedImage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(moduleDir, "templates", "_helpers.tpl"))
	if err != nil {
		t.Fatal(err)
	}
	tag := regexp.MustCompile(`prometheus/prometheus:v3\.(\d+)\.(\d+)`).FindStringSubmatch(string(text))
	if tag == nil {
		t.Fatal("the image of Prometheus is not in the helpers")
	}
	requirements, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	minor, err := strconv.Atoi(tag[1])
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("github.com/prometheus/prometheus v0.3%02d.%s\n", minor, tag[2])
	if !strings.Contains(string(requirements), want) {
		t.Errorf("the module runs v3.%s.%s, go.mod lacks %s", tag[1], tag[2], want)
	}
}

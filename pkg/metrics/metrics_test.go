package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

var (
	own    = hook.ID{Owner: hook.Owner{Module: "m"}, Name: "hooks/h"}
	global = hook.ID{Owner: hook.Global, Name: "hooks/g"}
)

func samples(t *testing.T, text string) []hook.Sample {
	t.Helper()
	list, _, err := hook.ParseSamples([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type run struct {
	by   hook.ID
	text string
}

func TestHookMetrics(t *testing.T) {
	for name, c := range map[string]struct {
		runs []run
		want string // without HELP and TYPE
		err  string // of the last run
	}{
		"counters accumulate, fractions and all (C-228, B-12)": {[]run{{own, `{"name":"c","add":1.5}`}, {own, `{"name":"c","add":1}`}},
			`c{hook="hooks/h",module="m"} 2.5`, ""},
		"gauges stay (C-228)": {[]run{{own, `{"name":"g","set":1,"labels":{"a":"x"}}`}, {own, `{"name":"g","set":2,"labels":{"a":"y"}}`}},
			"g{a=\"x\",hook=\"hooks/h\",module=\"m\"} 1\ng{a=\"y\",hook=\"hooks/h\",module=\"m\"} 2", ""},
		"label names are united (C-225)": {[]run{{own, `{"name":"g","set":1,"labels":{"a":"x"}}`}, {global, `{"name":"g","set":2,"labels":{"b":"y"}}`}},
			"g{a=\"\",b=\"y\",hook=\"hooks/g\",module=\"\"} 2\ng{a=\"x\",b=\"\",hook=\"hooks/h\",module=\"m\"} 1", ""},
		"our labels win (C-224)": {[]run{{own, `{"name":"g","set":1,"labels":{"hook":"x","module":"y"}}`}}, `g{hook="hooks/h",module="m"} 1`, ""},
		"a group is replaced as a whole, by any hook (C-227)": {[]run{
			{own, `{"name":"a","set":1,"group":"x"} {"name":"b","set":1,"group":"x"} {"name":"b","set":1,"group":"y"}`},
			{global, `{"name":"b","set":2,"group":"x"}`}},
			"b{hook=\"hooks/g\",module=\"\"} 2\nb{hook=\"hooks/h\",module=\"m\"} 1", ""},
		"a group expires (C-227)":                          {[]run{{own, `{"name":"a","set":1,"group":"x"} {"name":"b","set":1}`}, {global, `{"group":"x","action":"expire"}`}}, `b{hook="hooks/h",module="m"} 1`, ""},
		"expire without a group clears the hook's (C-222)": {[]run{{own, `{"name":"a","set":1}`}, {global, `{"name":"b","set":1}`}, {own, `{"action":"expire"}`}}, `b{hook="hooks/g"} 1`, ""},
		"another type loses its sample (C-223)":            {[]run{{own, `{"name":"a","set":1}`}, {own, `{"name":"a","add":1} {"name":"b","set":3}`}}, "a{hook=\"hooks/h\",module=\"m\"} 1\nb{hook=\"hooks/h\",module=\"m\"} 3", "choose another name"},
		"the first buckets win (C-230)": {[]run{{own, `{"name":"h","action":"observe","value":1,"buckets":[1,5]}`}, {own, `{"name":"h","action":"observe","value":3,"buckets":[2]}`}},
			"h_bucket{hook=\"hooks/h\",module=\"m\",le=\"1\"} 1\nh_bucket{hook=\"hooks/h\",module=\"m\",le=\"5\"} 2\nh_bucket{hook=\"hooks/h\",module=\"m\",le=\"+Inf\"} 2\nh_sum{hook=\"hooks/h\",module=\"m\"} 4\nh_count{hook=\"hooks/h\",module=\"m\"} 2", ""},
		"a bad name spoils nothing else":  {[]run{{own, `{"name":"a-b","set":1} {"name":"b","set":1}`}}, `b{hook="hooks/h",module="m"} 1`, "letters"},
		"a bad label spoils nothing else": {[]run{{own, `{"name":"a","set":1,"labels":{"x-y":"1"}} {"name":"b","set":1}`}}, `b{hook="hooks/h",module="m"} 1`, `"x-y"`},
		"a name is free again when its series are gone": {[]run{{own, `{"name":"a","set":1,"group":"x"}`}, {own, `{"action":"expire","group":"x"}`}, {own, `{"name":"a","add":2}`}},
			`a{hook="hooks/h",module="m"} 2`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHooks()
			var err error
			for _, r := range c.runs {
				err = h.Apply(r.by, samples(t, r.text))
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v", err)
			}
			if got := expose(t, h); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestForgetDropsAnOwnersSeries(t *testing.T) {
	h := NewHooks()
	if err := h.Apply(own, samples(t, `{"name":"a","set":1} {"name":"b","set":1,"group":"x"}`)); err != nil {
		t.Fatal(err)
	}
	if err := h.Apply(global, samples(t, `{"name":"a","set":2}`)); err != nil {
		t.Fatal(err)
	}
	h.Forget(own.Owner)
	if got := expose(t, h); got != `a{hook="hooks/g"} 2` {
		t.Error(got)
	}
}

func expose(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return strings.Join(out, "\n")
}

func TestSelfMetricsBearTheNamesOfTheContract(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	s := NewSelf(reg, "addon_operator_")
	usage := hook.Usage{Wall: time.Second, User: time.Second, System: time.Second, MaxRSS: 1 << 20}
	for _, id := range []hook.ID{own, global} {
		s.HookRun(Run{ID: id, Binding: "beforeHelm", Queue: "main", Activation: "Inputs", Usage: usage})
		s.HookRun(Run{ID: id, Binding: "beforeHelm", Queue: "main", Activation: "Inputs", Usage: usage, Failed: true})
		s.HookRun(Run{ID: id, Binding: "beforeHelm", Queue: "main", Activation: "Inputs", Usage: usage, Failed: true, AllowFailure: true})
	}
	s.ModuleRun("m", "Inputs", time.Second, time.Second, true, true)
	s.Enabled("m", "1.0.0", true)
	s.ConfigProblem()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range families {
		have[f.GetName()] = true
	}
	for _, name := range []string{ // C-501, C-507 … C-510
		"live_ticks", "config_values_errors_total", "module_run_seconds", "module_run_errors_total", "module_helm_seconds",
		"modules_helm_release_redeployed_total", "mm_module_enabled",
		"module_hook_run_seconds", "module_hook_run_user_cpu_seconds", "module_hook_run_sys_cpu_seconds", "module_hook_run_max_rss_bytes",
		"module_hook_errors_total", "module_hook_allowed_errors_total", "module_hook_success_total",
		"global_hook_run_seconds", "global_hook_run_user_cpu_seconds", "global_hook_run_sys_cpu_seconds", "global_hook_run_max_rss_bytes",
		"global_hook_errors_total", "global_hook_allowed_errors_total", "global_hook_success_total",
	} {
		if !have["addon_operator_"+name] {
			t.Errorf("%s is missing", name)
		}
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Metric != "addon_operator_live_ticks" { // the contract's name has no _total
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

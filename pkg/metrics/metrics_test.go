package metrics

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

var (
	own    = hook.ID{Owner: hook.Owner{Module: "m"}, Name: "hooks/h"}
	global = hook.ID{Owner: hook.Global, Name: "hooks/g"}
	alone  = hook.ID{Owner: hook.Standalone, Name: "h.sh"}
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
		"gauges stay, under their own name (C-226, C-228)": {[]run{{own, `{"name":"g","set":1,"labels":{"a":"x"}}`}, {own, `{"name":"g","set":2,"labels":{"a":"y"}}`}},
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
		"a bad name spoils nothing else":                                                {[]run{{own, `{"name":"a-b","set":1} {"name":"b","set":1}`}}, `b{hook="hooks/h",module="m"} 1`, "letters"},
		"a bad label spoils nothing else":                                               {[]run{{own, `{"name":"a","set":1,"labels":{"x-y":"1"}} {"name":"b","set":1}`}}, `b{hook="hooks/h",module="m"} 1`, `"x-y"`},
		"a counter does not go down (C-229, B-12)":                                      {[]run{{own, `{"name":"a","add":1}`}, {own, `{"name":"a","add":-1}`}}, `a{hook="hooks/h",module="m"} 1`, `hook m/hooks/h: metric "a": adding -1: a counter never goes down`},
		"a counter of a group begins anew (C-227)":                                      {[]run{{own, `{"name":"a","add":1,"group":"x"}`}, {own, `{"name":"a","add":2,"group":"x"} {"name":"a","add":3,"group":"x"}`}}, `a{hook="hooks/h",module="m"} 5`, ""},
		"a group is emptied before the first operation, wherever expire stands (C-227)": {[]run{{own, `{"name":"a","set":1,"group":"x"}`}, {own, `{"name":"b","set":2,"group":"x"} {"group":"x","action":"expire"}`}}, `b{hook="hooks/h",module="m"} 2`, ""},
		"a hook without modules has no module label (C-224)":                            {[]run{{alone, `{"name":"a","set":1}`}}, `a{hook="h.sh"} 1`, ""},
		"of equal series of two groups the newest is shown":                             {[]run{{own, `{"name":"a","set":1,"group":"z"}`}, {own, `{"name":"a","set":2,"group":"b"}`}, {own, `{"name":"a","set":3}`}}, `a{hook="hooks/h",module="m"} 3`, ""},
		"a value is finite":                                                             {[]run{{own, `{"name":"a","set":1e308} {"name":"c","add":1.7e308} {"name":"c","add":1.7e308}`}}, "a{hook=\"hooks/h\",module=\"m\"} 1e+308\nc{hook=\"hooks/h\",module=\"m\"} 1.7e+308", `metric "c": the sum of`},
		"a gauge may be negative":                                                       {[]run{{own, `{"name":"a","set":-1.5}`}}, `a{hook="hooks/h",module="m"} -1.5`, ""},
		"text is escaped":                                                               {[]run{{own, `{"name":"a","set":1,"labels":{"x":"\"\\\n}é"}}`}}, `a{hook="hooks/h",module="m",x="\"\\\n}é"} 1`, ""},
		"le belongs to histograms":                                                      {[]run{{own, `{"name":"a","action":"observe","value":1,"buckets":[1],"labels":{"le":"1"}} {"name":"b","set":1,"labels":{"le":"1"}}`}}, `b{hook="hooks/h",le="1",module="m"} 1`, "reserved"},
		"a histogram's suffixes are taken":                                              {[]run{{own, `{"name":"h","action":"observe","value":1,"buckets":[]}`}, {own, `{"name":"h_count","set":1}`}}, "h_bucket{hook=\"hooks/h\",module=\"m\",le=\"+Inf\"} 1\nh_sum{hook=\"hooks/h\",module=\"m\"} 1\nh_count{hook=\"hooks/h\",module=\"m\"} 1", "the histogram h shows"},
		"a histogram does not take what is there":                                       {[]run{{own, `{"name":"h_sum","set":1} {"name":"h","action":"observe","value":1,"buckets":[1]}`}}, `h_sum{hook="hooks/h",module="m"} 1`, "there is such a metric already"},
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

// expose is the text format without comments, after the text parser has read it.
func expose(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	return gather(t, reg)
}

func gather(t *testing.T, reg prometheus.Gatherer) string {
	t.Helper()
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
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(text.String()))
	if err != nil {
		t.Fatalf("Prometheus cannot read this: %v\n%s", err, text.String())
	}
	for _, f := range families {
		if got := parsed[f.GetName()]; got == nil || got.GetType() != f.GetType() || len(got.GetMetric()) != len(f.GetMetric()) {
			t.Errorf("Prometheus reads %s as %v", f.GetName(), got)
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

// Samples of hooks in process did not come through the parser of METRICS_PATH.
func TestApplyRefusesWhatJSONCannotSay(t *testing.T) {
	for name, s := range map[string]hook.Sample{
		"not a number":     {Name: "a", Action: "set", Value: math.NaN()},
		"infinity":         {Name: "a", Action: "add", Value: math.Inf(1)},
		"a bucket of NaN":  {Name: "a", Action: "observe", Buckets: []float64{math.NaN()}},
		"an odd action":    {Name: "a", Action: "inc"},
		"no UTF-8":         {Name: "a", Action: "set", Labels: map[string]string{"x": "\xff"}},
		"an empty name":    {Action: "set"},
		"a reserved label": {Name: "a", Action: "set", Labels: map[string]string{"__name__": "b"}},
		"many buckets":     {Name: "a", Action: "observe", Buckets: make([]float64, maxBuckets+1)},
	} {
		h := NewHooks()
		if err := h.Apply(own, []hook.Sample{s}); err == nil || !strings.Contains(err.Error(), "hook m/hooks/h: metric ") {
			t.Errorf("%s: got %v", name, err)
		}
		if got := expose(t, h); got != "" {
			t.Errorf("%s: got %s", name, got)
		}
	}
	h := NewHooks()
	odd := hook.ID{Owner: hook.Global, Name: "h\xff"}
	if err := h.Apply(odd, []hook.Sample{{Name: "a", Action: "observe", Buckets: []float64{1, 1, math.Inf(1)}}}); err != nil {
		t.Error(err)
	}
	if got := expose(t, h); !strings.Contains(got, "a_count{hook=\"h\uFFFD\"} 1") {
		t.Error(got)
	}
}

func TestAFloodOfSeriesIsBoundedAndOtherHooksGoOn(t *testing.T) {
	flood := func(n int, of func(i int) hook.Sample) []hook.Sample {
		var out []hook.Sample
		for i := range n {
			out = append(out, of(i))
		}
		return out
	}
	long := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		samples []hook.Sample
		series  int
		err     string
	}{
		"of values": {flood(maxSeries+500, func(i int) hook.Sample {
			return hook.Sample{Name: "a", Action: "set", Group: "g", Labels: map[string]string{"i": strconv.Itoa(i)}}
		}), maxSeries, "10000 series and no more are kept"},
		"of metrics": {flood(maxSeries+500, func(i int) hook.Sample {
			return hook.Sample{Name: "a" + strconv.Itoa(i), Action: "add"}
		}), maxSeries, "10000 series"},
		"of bytes": {flood(10, func(i int) hook.Sample {
			return hook.Sample{Name: "a", Action: "set", Labels: map[string]string{"i": strconv.Itoa(i) + long}}
		}), 3, "4194304 bytes"},
		"of label names": {flood(1000, func(i int) hook.Sample {
			return hook.Sample{Name: "a", Action: "set", Labels: map[string]string{"l" + strconv.Itoa(i): "x"}}
		}), maxLabels - 2, "more than 64 label names"}, // beside hook and module
	} {
		t.Run(name, func(t *testing.T) {
			h := NewHooks()
			reg := prometheus.NewPedanticRegistry()
			NewSelf(reg, "p_").WatchHookMetrics(h)
			for range 2 {
				err := h.Apply(own, c.samples)
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "m/hooks/h") {
					t.Fatalf("got %v", err)
				}
				if n := strings.Count(err.Error(), "\n"); n > maxErrors || len(err.Error()) > 10_000 {
					t.Errorf("%d lines of errors, %d bytes", n, len(err.Error()))
				}
			}
			if got := strings.Count(expose(t, h), "\n") + 1; got != c.series {
				t.Errorf("%d series", got)
			}
			own := fmt.Sprintf("p_hook_metrics_refused_total{hook=\"hooks/h\",module=\"m\"} %d\n", 2*(len(c.samples)-c.series)) +
				fmt.Sprintf("p_hook_metrics_series{hook=\"hooks/h\",module=\"m\"} %d\n", c.series)
			if got := gather(t, reg); !strings.Contains(got, own) {
				t.Errorf("%s is missing", own)
			}
			if err := h.Apply(global, []hook.Sample{{Name: "b", Action: "set"}}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExpiredSeriesMakeRoom(t *testing.T) {
	h := NewHooks()
	for range 3 {
		var list []hook.Sample
		for i := range maxSeries {
			list = append(list, hook.Sample{Name: "a", Action: "set", Group: "g", Labels: map[string]string{"i": strconv.Itoa(i)}})
		}
		if err := h.Apply(own, list); err != nil {
			t.Fatal(err)
		}
	}
	h.Forget(own.Owner)
	if len(h.shares)+len(h.families) != 0 {
		t.Errorf("left over: %v, %v", h.shares, h.families)
	}
}

func TestHooksPublishWhileMetricsAreRead(t *testing.T) {
	h := NewHooks()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(h)
	NewSelf(reg, "p_").WatchHookMetrics(h)
	var wg sync.WaitGroup
	for i := range 8 {
		id := hook.ID{Owner: hook.Owner{Module: "m" + strconv.Itoa(i%2)}, Name: strconv.Itoa(i)}
		wg.Go(func() {
			for range 50 {
				if err := h.Apply(id, samples(t, `{"name":"c","add":1} {"name":"g","set":1,"group":"g"} {"name":"h","action":"observe","value":1,"buckets":[1]}`)); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 10 {
				if _, err := reg.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	// Of each hook: the counter, and two buckets, sum and count of the histogram.
	if got := expose(t, h); strings.Count(got, `} 50`) != 8*5 {
		t.Error(got)
	}
}

// Whatever hooks write, /metrics/hooks can be read.
func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"name":"a","group":"g","action":"observe","value":1.5,"buckets":[1,2.5],"labels":{"x":"y"}}`), []byte(`{"name":"a_count","set":1}`))
	f.Add([]byte(`{"name":"a","add":1,"labels":{"le":"x"}} {"name":"b","set":-1}`), []byte(`{"group":"g","action":"expire"} {"action":"expire"} {"name":"a","set":1}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		h := NewHooks()
		for _, r := range []struct {
			id   hook.ID
			text []byte
		}{{own, first}, {global, second}, {own, second}} {
			if list, _, err := hook.ParseSamples(r.text); err == nil {
				_ = h.Apply(r.id, list)
			}
		}
		expose(t, h)
		h.Forget(own.Owner)
		h.Forget(hook.Global)
		if len(h.shares)+len(h.families) != 0 {
			t.Errorf("left over: %v, %v", h.shares, h.families)
		}
	})
}

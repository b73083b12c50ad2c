package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for name, c := range map[string]struct {
		in   []float64
		want float64
	}{
		"nothing":                           {nil, 0},
		"one value":                         {[]float64{3}, 3},
		"the middle of an odd number":       {[]float64{9, 1, 3}, 3},
		"halfway between two of the middle": {[]float64{4, 1, 2, 9}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := median(c.in); got != c.want {
				t.Errorf("got %g, expected %g", got, c.want)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	ratio := func(operator, helm, hooks []float64) row {
		return row{what: firstConverge, unit: "s", ratio: 1.4, values: map[contender][]float64{byOperator: operator, byHelm: helm, byHooks: hooks}}
	}
	for name, c := range map[string]struct {
		row  row
		over bool
		text string
	}{
		"as fast as both floors":         {ratio([]float64{2}, []float64{1}, []float64{1}), false, "≤ 1.4 × ok"},
		"slower than both floors by far": {ratio([]float64{3}, []float64{1}, []float64{1}), true, "≤ 1.4 × over"},
		"one slow run of three is none":  {ratio([]float64{2, 2, 9}, []float64{1}, []float64{1}), false, "≤ 1.4 × ok"},
		"too much memory": {row{what: peakMemory, unit: "MB", atMost: 130, values: map[contender][]float64{byOperator: {131}}},
			true, "≤ 130 MB over"},
		"no target": {row{what: peakMemory, unit: "MB", values: map[contender][]float64{byOperator: {500}}}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.row.over(); got != c.over {
				t.Errorf("over: got %t", got)
			}
			if got := c.row.target(); got != c.text {
				t.Errorf("got %q, expected %q", got, c.text)
			}
		})
	}
}

func TestOnlyTheTableOfFiftyModulesHasTargets(t *testing.T) {
	s := sheet{}
	s.took(noopRestart, byOperator, time.Hour)
	if !s.modules(aimedModules, 0).over() {
		t.Error("a restart of one hour is not over the target")
	}
	if s.modules(aimedModules+1, 0).over() {
		t.Error("another number of modules has a target")
	}
}

func TestTablesInMarkdownHaveOneRowForEachMeasurement(t *testing.T) {
	s := sheet{}
	s.took(firstConverge, byOperator, 2*time.Second)
	s.took(firstConverge, byOperator, 3*time.Second)
	s.took(firstConverge, byHelm, time.Second)
	s.took(firstConverge, byHooks, time.Second)
	var out bytes.Buffer
	if err := printAll(&out, []table{s.distinct(20)}, true); err != nil {
		t.Fatal(err)
	}
	want := "| first converge | 2.50 s (2.00–3.00) | 1.00 s | 1.00 s | – | 1.25 × | ≤ 1.4 × ok |\n"
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("got\n%s\nexpected at the end\n%s", out.String(), want)
	}
}

func TestNumbers(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want int
		bad  bool
	}{
		"a list":                        {"10,50, 200", 3, false},
		"nothing":                       {"", 0, false},
		"a word":                        {"ten", 0, true},
		"less than the edits work with": {"1", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := numbers(c.in)
			if len(got) != c.want || (err != nil) != c.bad {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

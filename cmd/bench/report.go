package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// measure is a row of a table.
type measure string

const (
	firstConverge  measure = "first converge"
	noopRestart    measure = "no-op restart"
	factChanged    measure = "one global fact changed"
	moduleEdited   measure = "one module edited"
	objectRestored measure = "deleted object restored"
	peakMemory     measure = "peak memory"
	idleMemory     measure = "idle memory"
)

// contender is a column of a table.
type contender string

const (
	byOperator contender = "operator"
	byHelm     contender = "helm"
	byObjects  contender = "objects"
	byHooks    contender = "hooks"
	byBare     contender = "bare" // the one request, or the one Helm action, that there is no way around
)

// sheet holds what was measured, in seconds or MB.
type sheet map[measure]map[contender][]float64

func (s sheet) took(what measure, who contender, d time.Duration) { s.add(what, who, d.Seconds()) }

func (s sheet) add(what measure, who contender, v float64) {
	if s[what] == nil {
		s[what] = map[contender][]float64{}
	}
	s[what][who] = append(s[what][who], v)
}

// row is one line of a table.
type row struct {
	what   measure
	values map[contender][]float64
	unit   string
	// atMost bounds the operator's median, ratio its quotient by the Helm and hook floors; 0 is no bound.
	atMost, ratio float64
}

// table is a set of rows.
type table struct {
	title string
	rows  []row
	plain [][]string // in place of rows, its heading first
	// missed: what plain shows is over its target.
	missed bool
}

// Only tables of this many modules have targets: the targets were set for it.
const aimedModules = 50

// modules is the table of n modules of equal weight.
func (s sheet) modules(n int, idle time.Duration) table {
	t := table{title: fmt.Sprintf("%d modules of 1 Deployment, %d ConfigMaps and one bash hook; idle is %s after convergence", n, configMaps, idle)}
	rows := []row{
		{what: firstConverge, unit: "s", ratio: 1.4}, {what: noopRestart, unit: "s", atMost: 1.5},
		{what: factChanged, unit: "s", ratio: 1.4}, {what: moduleEdited, unit: "s", atMost: 0.5},
		{what: objectRestored, unit: "s", atMost: 5},
		{what: peakMemory, unit: "MB", atMost: 130}, {what: idleMemory, unit: "MB", atMost: 90},
	}
	for _, r := range rows {
		r.values = s[r.what]
		if n != aimedModules {
			r.atMost, r.ratio = 0, 0
		}
		t.rows = append(t.rows, r)
	}
	return t
}

// distinct is the table of n modules that go one after the other.
func (s sheet) distinct(n int) table {
	return table{
		title: fmt.Sprintf("%d modules of distinct weights, beside the same work done one by one", n),
		rows:  []row{{what: firstConverge, values: s[firstConverge], unit: "s", ratio: 1.4}},
	}
}

// watched is the table of one hook that watches n objects.
func (s sheet) watched(n int, idle time.Duration) table {
	return table{
		title: fmt.Sprintf("%d ConfigMaps of %d KB watched with a jqFilter and keepFullObjectsInMemory: false; idle is %s after the last event", n, watchedBytes>>10, idle),
		rows: []row{
			{what: peakMemory, values: s[peakMemory], unit: "MB", atMost: 120},
			{what: idleMemory, values: s[idleMemory], unit: "MB"},
		},
	}
}

// mostRequests of a poll with nothing new.
const mostRequests = 1

// channels is the table of n modules that follow a channel.
func (s sheet) channels(n int) table {
	t := table{
		title: fmt.Sprintf("%d modules that follow a channel, polled every %s; the floors are one HEAD, and one upgrade with the bare Helm SDK", n, channelInterval),
		plain: [][]string{{"", "operator", "floor", "target"}},
	}
	for _, r := range []row{
		{what: pollRequests, unit: "HEAD", atMost: mostRequests}, {what: pollBytes, unit: "B"},
		{what: promoted, unit: "s"}, {what: foundPromoted, unit: "s"}, {what: undone, unit: "s"},
	} {
		r.values = s[r.what]
		t.missed = t.missed || r.over()
		t.plain = append(t.plain, []string{string(r.what), r.cell(byOperator), r.cell(byBare), r.target()})
	}
	return t
}

// median of a sorted or unsorted list; 0 of an empty one.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// quotient is the operator's median over the sum of the Helm and hook floors;
// false when one of them was not measured.
func (r row) quotient() (float64, bool) {
	floor := median(r.values[byHelm]) + median(r.values[byHooks])
	if len(r.values[byHelm]) == 0 || len(r.values[byHooks]) == 0 || floor == 0 {
		return 0, false
	}
	return median(r.values[byOperator]) / floor, true
}

// over says whether the row misses its target.
func (r row) over() bool {
	q, ok := r.quotient()
	return r.atMost > 0 && median(r.values[byOperator]) > r.atMost || r.ratio > 0 && ok && q > r.ratio
}

func (t table) over() bool { return t.missed || slices.ContainsFunc(t.rows, row.over) }

// target is the bound and whether it is kept.
func (r row) target() string {
	text := ""
	switch {
	case r.atMost > 0:
		text = fmt.Sprintf("≤ %g %s", r.atMost, r.unit)
	case r.ratio > 0:
		text = fmt.Sprintf("≤ %g ×", r.ratio)
	default:
		return ""
	}
	if r.over() {
		return text + " over"
	}
	return text + " ok"
}

// cell is the median with the range of all runs.
func (r row) cell(who contender) string {
	v := r.values[who]
	if len(v) == 0 {
		return "–"
	}
	format := "%.2f"
	if r.unit != "s" {
		format = "%.0f"
	}
	text := strings.TrimSuffix(fmt.Sprintf(format+" "+r.unit, median(v)), " ")
	if len(v) > 1 {
		text += fmt.Sprintf(" ("+format+"–"+format+")", slices.Min(v), slices.Max(v))
	}
	return text
}

func (r row) cells() []string {
	ratio := "–"
	if q, ok := r.quotient(); ok {
		ratio = fmt.Sprintf("%.2f ×", q)
	}
	return []string{string(r.what), r.cell(byOperator), r.cell(byHelm), r.cell(byHooks), r.cell(byObjects), ratio, r.target()}
}

func (t table) lines() [][]string {
	if t.plain != nil {
		return t.plain
	}
	out := [][]string{{"", "operator", "Helm floor", "hook floor", "plain writes", "operator / (Helm + hooks)", "target"}}
	for _, r := range t.rows {
		out = append(out, r.cells())
	}
	return out
}

// printAll writes the tables, and what they were measured on.
func printAll(out io.Writer, tables []table, markdown bool) error {
	b := bufio.NewWriter(out)
	fmt.Fprintf(b, "%d cores, %s, %s %s/%s; median (least–most) of all runs.\n", runtime.NumCPU(), processor(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, t := range tables {
		fmt.Fprintf(b, "\n%s\n\n", t.title)
		if markdown {
			t.markdown(b)
			continue
		}
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		for _, cells := range t.lines() {
			fmt.Fprintln(w, strings.Join(cells, "\t"))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return b.Flush()
}

func (t table) markdown(b *bufio.Writer) {
	for i, cells := range t.lines() {
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(b, "|%s\n", strings.Repeat("---|", len(cells)))
		}
	}
}

// processor is the model name of the first core.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return "unknown processor"
}

package hooktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Options of Test.
type Options struct {
	// Only, if not nil, chooses cases by String.
	Only *regexp.Regexp
	// Update writes what was found into the golden files.
	Update bool
	// Parallel is how many cases run at once. Default: the number of cores.
	Parallel int
}

// Outcome is what became of one case.
type Outcome struct {
	Case Case
	// Problem is why it failed: a diff, or why it could not be run. Empty when it passed.
	Problem string
	Result  Result
	// Updated tells that its golden file was written.
	Updated bool
}

// Passed reports whether nothing was found.
func (o Outcome) Passed() bool { return o.Problem == "" }

// Report is the outcome of all cases, in the order of files and cases.
type Report struct {
	Outcomes []Outcome
	Wall     time.Duration
}

// Failed counts the cases that did not pass.
func (r Report) Failed() int {
	n := 0
	for _, o := range r.Outcomes {
		if !o.Passed() {
			n++
		}
	}
	return n
}

// Test runs the cases at and below paths. The error is about the paths; what is
// wrong with a file of cases is the outcome of that file.
func Test(ctx context.Context, d *Desk, paths []string, opts Options) (Report, error) {
	start := time.Now()
	names, err := FindCases(paths)
	if err != nil {
		return Report{}, err
	}
	var all []Outcome
	golden := map[string]*goldenFile{}
	for _, file := range names {
		cases, err := ReadCases(file)
		if err != nil {
			all = append(all, Outcome{Case: Case{File: file}, Problem: err.Error()})
			continue
		}
		for _, c := range cases {
			if opts.Only == nil || opts.Only.MatchString(c.String()) {
				all = append(all, Outcome{Case: c})
			}
		}
		golden[file] = readGolden(file, cases)
	}
	if opts.Parallel <= 0 {
		opts.Parallel = runtime.GOMAXPROCS(0)
	}
	var group errgroup.Group
	group.SetLimit(opts.Parallel)
	for i := range all {
		if all[i].Problem != "" {
			continue
		}
		group.Go(func() error {
			all[i].run(ctx, d, golden[all[i].Case.File], opts.Update)
			return nil
		})
	}
	_ = group.Wait() // what goes wrong is in the outcomes
	if opts.Update {
		update(all, golden)
	}
	return Report{Outcomes: all, Wall: time.Since(start)}, ctx.Err()
}

// run plays the case and compares.
func (o *Outcome) run(ctx context.Context, d *Desk, golden *goldenFile, updates bool) {
	var err error
	if o.Result, err = d.Run(ctx, o.Case.Scene); err != nil {
		o.Problem = err.Error()
		return
	}
	begin := time.Now()
	defer func() { o.Result.Harness += time.Since(begin) }()
	want, from := o.Case.Want, "want"
	if want == nil {
		var ok bool
		if want, ok = golden.records[o.Case.Name]; !ok && golden.err == nil && !updates {
			o.Problem = fmt.Sprintf("nothing is expected of it: write a want, or run it with --update, which makes %s\n%s",
				Golden(o.Case.File), YAML(o.Result.Record(false)))
			return
		}
		from = Golden(o.Case.File)
		if golden.err != nil {
			o.Problem = golden.err.Error()
			return
		}
		if updates {
			return // compared and written when all have run
		}
	}
	o.Problem = o.compare(want, from)
}

// compare is the difference between a record and the result, with the log when there is one.
func (o *Outcome) compare(want map[string]any, from string) string {
	var out strings.Builder
	for _, p := range asList(want[recordLog]) {
		if text, ok := p.(string); ok && !o.logged(text) {
			fmt.Fprintf(&out, "no line of the log matches %q\n", text)
		}
	}
	expected := maps.Clone(want)
	delete(expected, recordLog)
	got := o.settled(expected)
	expectedText, _ := plain(expected).(map[string]any)
	out.WriteString(explain.Unified(from, "result", YAML(any(expectedText)), YAML(any(got))))
	if out.Len() == 0 {
		return ""
	}
	var own *hook.RunError
	if errors.As(o.Result.Err, &own) || len(o.Result.Log) > 0 {
		out.WriteString("log of the hook:\n")
		for _, l := range o.Result.Log {
			fmt.Fprintf(&out, "  %s\n", l)
		}
	}
	return out.String()
}

// settled is the record with patterns of want where they match.
func (o *Outcome) settled(want map[string]any) map[string]any {
	got, _ := settle(plain(want), plain(o.Result.Record(false)), plain(o.Result.Record(true))).(map[string]any)
	return got
}

// logged: patterns see a line as the operator would log it, without its level.
func (o *Outcome) logged(pattern string) bool {
	re, err := regexp.Compile(pattern)
	return err == nil && slices.ContainsFunc(o.Result.Log, func(l LogLine) bool { return re.MatchString(l.Text) })
}

// goldenFile is what cases of one file expect, by name; the only case of a file
// that has no cases has the empty name.
type goldenFile struct {
	records map[string]map[string]any
	single  bool
	exists  bool
	err     error
}

func readGolden(file string, cases []Case) *goldenFile {
	g := &goldenFile{records: map[string]map[string]any{}, single: len(cases) == 1 && cases[0].Name == ""}
	text, err := os.ReadFile(Golden(file))
	if errors.Is(err, fs.ErrNotExist) {
		return g
	}
	g.exists = true
	if err == nil {
		err = g.parse(text)
	}
	if err != nil {
		g.err = fmt.Errorf("%s: %w", Golden(file), err)
	}
	return g
}

func (g *goldenFile) parse(text []byte) error {
	v, err := values.DecodeYAML(text)
	if err != nil {
		return err
	}
	m, _ := v.(map[string]any)
	if g.single {
		m = map[string]any{"": v}
	}
	for name, v := range m {
		if v == nil {
			v = map[string]any{}
		}
		record, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%q: expected a result, got %.60v", name, v)
		}
		if err := checkRecord(record); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		g.records[name] = tidy(record)
	}
	return nil
}

// update writes golden files anew where they differ. Patterns that still match
// stay, and so do expectations about the log.
func update(all []Outcome, golden map[string]*goldenFile) {
	for file, g := range golden {
		if g.err != nil {
			continue
		}
		next := map[string]map[string]any{}
		ran := map[string]bool{}
		var of []*Outcome
		for i := range all {
			o := &all[i]
			if o.Case.File != file || o.Case.Want != nil {
				continue
			}
			ran[o.Case.Name] = true
			if o.Problem != "" {
				continue
			}
			want := g.records[o.Case.Name]
			record := o.settled(want)
			if logs, ok := want[recordLog]; ok && slices.ContainsFunc(asList(logs), func(p any) bool { s, _ := p.(string); return o.logged(s) }) {
				record[recordLog] = logs
			}
			next[o.Case.Name] = record
			of = append(of, o)
		}
		if len(ran) == 0 {
			continue
		}
		g.keep(file, next)
		if err := g.write(file, next, of); err != nil {
			for _, o := range of {
				o.Problem = err.Error()
			}
		}
	}
}

// keep leaves the records of cases that exist and did not run this time.
func (g *goldenFile) keep(file string, next map[string]map[string]any) {
	cases, err := ReadCases(file)
	if err != nil {
		return
	}
	for _, c := range cases {
		if _, ok := next[c.Name]; ok || c.Want != nil {
			continue
		}
		if record, ok := g.records[c.Name]; ok {
			next[c.Name] = record
		}
	}
}

func (g *goldenFile) write(file string, next map[string]map[string]any, of []*Outcome) error {
	var doc any = next
	if g.single {
		doc = next[""]
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(Golden(file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if g.exists && string(old) == string(text) {
		return nil
	}
	for _, o := range of {
		o.Updated = true
	}
	return os.WriteFile(Golden(file), text, 0o644)
}

// Write prints a report for people: failures with their differences, and each
// file with its times; with verbose, each case.
func (r Report) Write(w io.Writer, verbose bool) {
	for i := 0; i < len(r.Outcomes); {
		j := i
		for j < len(r.Outcomes) && r.Outcomes[j].Case.File == r.Outcomes[i].Case.File {
			j++
		}
		writeFile(w, r.Outcomes[i:j], verbose)
		i = j
	}
	var t times
	for _, o := range r.Outcomes {
		t.add(o)
	}
	fmt.Fprintf(w, "%d passed, %d failed in %s; %s, loading %s\n", len(r.Outcomes)-r.Failed(), r.Failed(), ms(r.Wall), t, ms(t.loading))
}

func writeFile(w io.Writer, of []Outcome, verbose bool) {
	var t times
	failed := 0
	for _, o := range of {
		t.add(o)
		if !o.Passed() {
			failed++
		}
	}
	word := "ok"
	if failed > 0 {
		word = "FAIL"
	}
	fmt.Fprintf(w, "%-4s %s: %d of %d passed; %s\n", word, of[0].Case.File, len(of)-failed, len(of), t)
	for _, o := range of {
		if o.Passed() && !verbose && !o.Updated {
			continue
		}
		word := "ok"
		switch {
		case !o.Passed():
			word = "FAIL"
		case o.Updated:
			word = "new"
		}
		one := times{}
		one.add(o)
		fmt.Fprintf(w, "  %-4s %s; hook %s, harness %s\n", word, nameOf(o.Case), ms(one.hook), ms(one.harness))
		for line := range strings.Lines(o.Problem) {
			fmt.Fprintf(w, "       %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
}

func nameOf(c Case) string {
	if c.Name == "" {
		return c.File
	}
	return c.Name
}

// times are those of some cases: the hooks' own, and what it cost to ask them.
type times struct {
	n                      int
	hook, harness, loading time.Duration
}

func (t *times) add(o Outcome) {
	t.n++
	t.hook += o.Result.Usage.Wall
	t.harness += o.Result.Harness
	t.loading += o.Result.Loading
}

func (t times) String() string {
	n := time.Duration(max(1, t.n))
	return fmt.Sprintf("a case: hook %s, harness %s", ms(t.hook/n), ms(t.harness/n))
}

func ms(d time.Duration) string {
	switch {
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

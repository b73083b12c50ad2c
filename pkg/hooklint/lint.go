package hooklint

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/hooktest"
)

// Severity tells what a finding means to the operator.
type Severity string

const (
	// Error: the operator refuses the hook, or cannot start it.
	Error Severity = "error"
	// Warning: it runs, and its author will regret something.
	Warning Severity = "warning"
)

// Finding is one thing to mend in a file.
type Finding struct {
	Severity Severity `json:"severity"`
	// Rule names what can be silenced; for errors of a configuration it is "config".
	Rule string `json:"rule"`
	// Line is the line of the file, ConfigLine that of the --config output; 0 when unknown.
	Line       int `json:"line,omitempty"`
	ConfigLine int `json:"configLine,omitempty"`
	// Path is the place in the configuration, such as kubernetes[0].jqFilter.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	// Fix is the way out, empty where the message has it.
	Fix string `json:"fix,omitempty"`
}

// File is what became of one file.
type File struct {
	// Path is as the user would write it: relative to the working directory where it lies below that.
	Path string `json:"path"`
	// Owner is global, standalone, or a module's name.
	Owner string `json:"owner"`
	Hook  bool   `json:"hook"`
	// Why says why the file is, or is not, taken for a hook.
	Why string `json:"why"`
	// Bindings are what its configuration declares, one line each.
	Bindings []string  `json:"bindings,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// Silenced are the rules that a comment of the file turns off.
	Silenced []string `json:"silenced,omitempty"`
}

// Report is the outcome of one lint.
type Report struct {
	Files    []File `json:"files"`
	Hooks    int    `json:"hooks"`
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
}

// Finder lists what is below a hooks directory; *exec.Runner is one.
type Finder interface {
	Find(owner hook.Owner, dir string) ([]exec.File, error)
}

// Options of Lint.
type Options struct {
	// Owner overrides what the place of the files says; see hooktest.ParseOwner.
	Owner *hook.Owner
	// Timeout bounds each --config. Default 1 minute.
	Timeout time.Duration
	// Env is the environment of hooks. Default os.Environ().
	Env []string
}

// Lint looks at files and directories: a hook, a directory of hooks, of a module,
// of modules, or of global hooks. The error is about the paths themselves; what
// is wrong with hooks is in the report.
func Lint(ctx context.Context, find Finder, paths []string, opts Options) (Report, error) {
	var jobs []job
	for _, path := range paths {
		more, err := jobsOf(find, path, opts)
		if err != nil {
			return Report{}, err
		}
		jobs = append(jobs, more...)
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(a.file.Path, b.file.Path) })
	jobs = slices.CompactFunc(jobs, func(a, b job) bool { return a.file.Path == b.file.Path })
	files := make([]File, len(jobs))
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, j := range jobs {
		group.Go(func() error {
			files[i] = j.lint(ctx, opts)
			return nil
		})
	}
	_ = group.Wait() // what goes wrong is a finding of the file
	r := Report{Files: files}
	for _, f := range files {
		if f.Hook {
			r.Hooks++
		}
		for _, x := range f.Findings {
			if x.Severity == Error {
				r.Errors++
			} else {
				r.Warnings++
			}
		}
	}
	return r, ctx.Err()
}

// job is one file and the place that it lies in.
type job struct {
	place hooktest.Place
	file  exec.File
	asked bool // named by the user, so that a file that is skipped is an error
}

func jobsOf(find Finder, path string, opts Options) ([]job, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		place, err := hooktest.Locate(path, opts.Owner)
		if err != nil {
			return nil, err
		}
		return oneFile(find, place, path)
	}
	if opts.Owner == nil {
		modules, err := modulesIn(path)
		if err != nil {
			return nil, err
		}
		if len(modules) > 0 {
			var jobs []job
			for _, dir := range modules {
				more, err := jobsOf(find, dir, opts)
				if err != nil {
					return nil, err
				}
				jobs = append(jobs, more...)
			}
			return jobs, nil
		}
	}
	place, err := hooktest.Locate(path, opts.Owner)
	if err != nil {
		return nil, err
	}
	jobs, err := inPlace(find, place)
	if err != nil {
		return nil, err
	}
	// A directory below the hooks directory shows what is in it, and no more.
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if within(place.Dir, full) && place.Dir != full {
		jobs = slices.DeleteFunc(jobs, func(j job) bool { return !within(full, j.file.Path) })
	}
	return jobs, nil
}

func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func inPlace(find Finder, place hooktest.Place) ([]job, error) {
	files, err := find.Find(place.Owner, place.Dir)
	if err != nil {
		return nil, err
	}
	jobs := make([]job, 0, len(files))
	for _, f := range files {
		jobs = append(jobs, job{place: place, file: f})
	}
	return jobs, nil
}

func oneFile(find Finder, place hooktest.Place, path string) ([]job, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	jobs, err := inPlace(find, place)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.file.Path == full {
			j.asked = true
			return []job{j}, nil
		}
	}
	return []job{{place: place, asked: true, file: exec.File{Path: full, Name: filepath.Base(full),
		Why: "it lies in a directory that is not searched for hooks"}}}, nil
}

// modulesIn are the directories of path that hold modules with hooks; nothing when
// path is something else.
func modulesIn(path string) ([]string, error) {
	if place, err := hooktest.Locate(path, nil); err == nil && !place.Owner.IsStandalone() {
		return nil, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		dir := filepath.Join(path, e.Name())
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if place, err := hooktest.Locate(dir, nil); err == nil && place.Owner.Module != "" {
			out = append(out, dir)
		}
	}
	return out, nil
}

// lint is all there is to say about one file.
func (j job) lint(ctx context.Context, opts Options) File {
	f := File{Path: shown(j.file.Path), Owner: ownerName(j.place.Owner), Hook: j.file.Hook, Why: j.file.Why}
	if strings.HasSuffix(j.file.Name, "/") {
		f.Path += "/"
		return f
	}
	text, err := readSome(j.file.Path)
	if err != nil {
		f.Findings = []Finding{{Severity: Error, Rule: "config", Message: "cannot be read: " + err.Error()}}
		return f
	}
	s := newScript(text)
	f.Silenced = s.silenced
	if !j.file.Hook {
		f.Findings = s.filter(skipped(j, s))
		return f
	}
	found := s.habits()
	if fatal := slices.ContainsFunc(found, func(x Finding) bool { return x.Severity == Error }); !fatal {
		more, bindings := j.configuration(ctx, opts, s)
		found, f.Bindings = append(found, more...), bindings
	}
	f.Findings = s.filter(found)
	slices.SortStableFunc(f.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.ConfigLine, b.ConfigLine))
	})
	return f
}

// skipped tells the author of a file that may have been meant to be a hook.
func skipped(j job, s script) []Finding {
	switch {
	case j.file.Warn && s.interpreter != "" && !strings.HasPrefix(j.file.Why, "it is executable"):
		return []Finding{{Severity: Warning, Rule: ruleExecutable, Line: 1, Message: "has a #! line, as if it were meant to be a hook",
			Fix: "make it one, or silence the rule"}}
	case j.file.Warn:
		return []Finding{{Severity: Warning, Rule: ruleExecutable, Message: j.file.Why}}
	case j.asked:
		return []Finding{{Severity: Error, Rule: "config", Message: "is no hook: " + j.file.Why}}
	}
	return nil
}

// configuration asks the hook for its bindings and judges the answer.
func (j job) configuration(ctx context.Context, opts Options, s script) ([]Finding, []string) {
	answer := ask(ctx, j.place, j.file.Path, opts)
	if answer.cause != "" {
		return []Finding{{Severity: Error, Rule: "config", Message: answer.cause, Fix: answer.fix}}, nil
	}
	at := newLineMap(s.text, answer.text)
	place := func(x Finding, line int) Finding {
		x.ConfigLine = line
		x.Line = at.inFile(line, x.Path[strings.LastIndexAny(x.Path, ".]")+1:])
		return x
	}
	spec, err := hook.ParseConfig(answer.text, j.place.Owner)
	if err != nil {
		var out []Finding
		for _, v := range faults(err, answer.text, j.place.Owner) {
			out = append(out, place(Finding{Severity: Error, Rule: "config", Path: v.path, Message: v.message, Fix: v.fix}, v.line))
		}
		return out, nil
	}
	root := parse(answer.text)
	var out []Finding
	for _, x := range regrets(spec, s) {
		out = append(out, place(x, lineOf(root, x.Path)))
	}
	return out, describe(spec)
}

func ownerName(o hook.Owner) string {
	if o.IsStandalone() {
		return "standalone"
	}
	return o.String()
}

// shown is a path below the working directory without it.
func shown(path string) string {
	cwd, err := os.Getwd()
	if err != nil || !within(cwd, path) {
		return path
	}
	rel, err := filepath.Rel(cwd, path)
	if err != nil {
		return path
	}
	return rel
}

// readSome is the file, or its beginning if it is large: a binary, not a script.
func readSome(path string) ([]byte, error) {
	const enough = 1 << 20
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is a directory")}
	}
	text := make([]byte, min(info.Size(), enough))
	n, err := f.Read(text)
	if n == 0 && info.Size() == 0 {
		return nil, nil
	}
	return text[:n], err
}

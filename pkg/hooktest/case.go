package hooktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Case is one declarative test of a hook.
type Case struct {
	// File is where it is written, Name its name there; empty when it is the only one.
	File, Name string
	Scene      Scene
	// Want is the expected record as the case itself has it, nil where the golden file has it.
	Want map[string]any
}

// String is the file with the name of the case.
func (c Case) String() string {
	if c.Name == "" {
		return c.File
	}
	return c.File + ": " + c.Name
}

// Golden is the file that keeps what cases of File without a want of their own expect.
func Golden(file string) string {
	if filepath.Base(file) == "case.yaml" {
		return filepath.Join(filepath.Dir(file), "golden.yaml")
	}
	return strings.TrimSuffix(file, ".case.yaml") + ".golden.yaml"
}

// isCase tells case files by their name from manifests, values and golden files.
func isCase(name string) bool { return name == "case.yaml" || strings.HasSuffix(name, ".case.yaml") }

// FindCases lists the case files at and below paths, in order.
func FindCases(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		found := false
		err := filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() {
				if strings.HasPrefix(e.Name(), ".") && file != path {
					return fs.SkipDir
				}
				return nil
			}
			if file == path || isCase(e.Name()) {
				out, found = append(out, file), true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("%s holds no cases: they are called case.yaml or NAME.case.yaml", path)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// ReadCases reads the cases of a file.
func ReadCases(file string) ([]Case, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	cases, err := ParseCases(file, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return cases, nil
}

// caseKeys are what a case may say; a file may say each once for all its cases.
var caseKeys = []string{"name", "hook", "owner", "binding", "event", "object", "review", "fromVersion", "toVersion",
	"contexts", "objects", "values", "configValues", "env", "want", "cases"}

// ParseCases reads the text of a case file. Paths in it are relative to the file's
// directory.
func ParseCases(file string, text []byte) ([]Case, error) {
	v, err := values.DecodeYAML(text)
	if err != nil {
		return nil, err
	}
	top, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("expected an object with the key hook")
	}
	p := parser{file: file, dir: filepath.Dir(file)}
	if _, ok := top["cases"]; !ok {
		c, err := p.one(top)
		return []Case{c}, err
	}
	list, ok := top["cases"].([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("cases: expected a list of cases")
	}
	shared := maps.Clone(top)
	delete(shared, "cases")
	var out []Case
	names := map[string]bool{}
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("cases[%d]: expected an object", i)
		}
		if m["cases"] != nil {
			return nil, fmt.Errorf("cases[%d]: cases have no cases of their own", i)
		}
		name, _ := m["name"].(string)
		if name == "" || names[name] {
			return nil, fmt.Errorf("cases[%d]: give it a name that no other case of the file has", i)
		}
		names[name] = true
		c, err := p.one(inherit(shared, m))
		if err != nil {
			return nil, fmt.Errorf("case %q: %w", name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

// inherit is a case with what its file says for all: objects come first, values
// and variables are merged, the rest is replaced.
func inherit(shared, own map[string]any) map[string]any {
	out := maps.Clone(shared)
	// What wakes the hook is said in one of two ways; that of the case counts.
	if own["contexts"] != nil {
		for _, key := range []string{"binding", "event", "object", "review", "objects"} {
			delete(out, key)
		}
	} else if own["binding"] != nil {
		delete(out, "contexts")
	}
	for key, v := range own {
		before, had := out[key]
		switch key {
		case "objects":
			if had {
				v = append(slices.Clone(asList(before)), asList(v)...)
			}
		case "values", "configValues", "env":
			left, okLeft := before.(map[string]any)
			if right, ok := v.(map[string]any); ok && okLeft {
				v = values.Merge(left, right)
			}
		}
		out[key] = v
	}
	return out
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

// parser reads one file; errs are all that is wrong with a case.
type parser struct {
	file, dir string
	errs      []error
}

func (p *parser) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (p *parser) one(m map[string]any) (Case, error) {
	p.errs = nil
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(caseKeys, key) {
			p.fail("%s is no key of a case: it has %s", key, strings.Join(caseKeys, ", "))
		}
	}
	c := Case{File: p.file, Name: p.text(m, "name")}
	c.Scene = Scene{
		Trigger: Trigger{Binding: p.text(m, "binding"), Event: p.event(m), From: p.text(m, "fromVersion"), To: p.text(m, "toVersion"),
			Object: p.object(m), Review: p.json(m, "review")},
		Contexts: p.contexts(m), Objects: p.objects(m), Values: p.values(m, "values"), ConfigValues: p.values(m, "configValues"), Env: p.env(m),
	}
	p.place(m, &c.Scene)
	c.Want = p.want(m)
	return c, errors.Join(p.errs...)
}

func (p *parser) text(m map[string]any, key string) string {
	v, ok := m[key]
	if !ok {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		p.fail("%s: expected a string, got %.60v", key, v)
	}
	return s
}

func (p *parser) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

func (p *parser) place(m map[string]any, s *Scene) {
	name := p.text(m, "hook")
	if name == "" {
		p.fail("hook is required: the path of the executable, from %s on", p.dir)
		return
	}
	owner, err := ParseOwner(p.text(m, "owner"))
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	if s.Hook, err = filepath.Abs(p.path(name)); err == nil {
		s.Place, err = Locate(s.Hook, owner)
	}
	if err != nil {
		p.fail("hook: %w", err)
	}
}

func (p *parser) event(m map[string]any) hook.WatchEvent {
	e := hook.WatchEvent(p.text(m, "event"))
	switch e {
	case "", hook.Added, hook.Modified, hook.Deleted:
		return e
	}
	p.fail("event: expected Added, Modified or Deleted, got %q", e)
	return ""
}

// read is v, or the content of the file that it names.
func (p *parser) read(key string, v any) any {
	name, ok := v.(string)
	if !ok {
		return v
	}
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		p.fail("%s: %w", key, err)
		return nil
	}
	out, err := values.DecodeYAML(text)
	if err != nil {
		p.fail("%s: %s: %w", key, name, err)
	}
	return out
}

func (p *parser) json(m map[string]any, key string) json.RawMessage {
	v, ok := m[key]
	if !ok {
		return nil
	}
	text, err := compact(p.read(key, v))
	if err != nil {
		p.fail("%s: %w", key, err)
	}
	return text
}

func (p *parser) object(m map[string]any) Object {
	v, ok := m["object"]
	if !ok {
		return nil
	}
	if v = p.read("object", v); v == nil {
		return nil
	}
	list, err := objectsOf(v)
	switch {
	case err != nil:
		p.fail("object: %w", err)
	case len(list) != 1:
		p.fail("object: expected one, got %d", len(list))
	default:
		return list[0]
	}
	return nil
}

func (p *parser) objects(m map[string]any) []Object {
	v, ok := m["objects"]
	if !ok {
		return nil
	}
	out := []Object{}
	for i, e := range asList(v) {
		var more []Object
		var err error
		if name, ok := e.(string); ok {
			more, err = ReadObjects(p.path(name))
		} else {
			more, err = objectsOf(e)
		}
		if err != nil {
			p.fail("objects[%d]: %w", i, err)
		}
		out = append(out, more...)
	}
	return out
}

// contexts is raw text as it is, or a list as JSON.
func (p *parser) contexts(m map[string]any) []byte {
	v, ok := m["contexts"]
	if !ok {
		return nil
	}
	for _, key := range []string{"binding", "event", "object", "review", "objects"} {
		if m[key] != nil {
			p.fail("contexts and %s exclude each other: contexts are given to the hook as they are", key)
		}
	}
	switch v := v.(type) {
	case string:
		return []byte(v)
	case []any:
		text, err := compact(v)
		if err != nil {
			p.fail("contexts: %w", err)
		}
		return text
	}
	p.fail("contexts: expected a list, or the text of the file")
	return nil
}

func (p *parser) values(m map[string]any, key string) values.Map {
	v, ok := m[key]
	if !ok {
		return nil
	}
	switch v := p.read(key, v).(type) {
	case nil:
		return nil
	case map[string]any:
		return v
	default:
		p.fail("%s: expected an object with the keys global and that of the module, or a file", key)
	}
	return nil
}

func (p *parser) env(m map[string]any) map[string]string {
	v, ok := m["env"]
	if !ok {
		return nil
	}
	vars, ok := v.(map[string]any)
	if !ok {
		p.fail("env: expected an object of strings")
		return nil
	}
	out := map[string]string{}
	for key, v := range vars {
		if strings.ContainsAny(key, "=\x00") || key == "" {
			p.fail("env: %q is no name of a variable", key)
			continue
		}
		out[key] = strings.ReplaceAll(fmt.Sprint(v), "\x00", "")
	}
	return out
}

func (p *parser) want(m map[string]any) map[string]any {
	v, ok := m["want"]
	if !ok {
		return nil
	}
	if v == nil {
		v = map[string]any{}
	}
	out, ok := v.(map[string]any)
	if !ok {
		p.fail("want: expected an object, {} when nothing is to come of the run")
		return nil
	}
	if err := checkRecord(out); err != nil {
		p.fail("want: %w", err)
	}
	return tidy(out)
}

// checkRecord refuses keys and patterns that nothing is compared with.
func checkRecord(m map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(recordKeys, key) {
			return fmt.Errorf("%s is no key of a result: it has %s", key, strings.Join(recordKeys, ", "))
		}
	}
	for _, l := range asList(m[recordLog]) {
		text, isText := l.(string)
		if l != nil && !isText {
			return fmt.Errorf("%s: expected regular expressions, got %.60v", recordLog, l)
		}
		if _, err := regexp.Compile(text); err != nil {
			return fmt.Errorf("%s: %w", recordLog, err)
		}
	}
	return checkPatterns(m)
}

func checkPatterns(v any) error {
	if text, ok := pattern(v); ok {
		_, err := regexp.Compile(text)
		return err
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := checkPatterns(v[key]); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	case []any:
		for i, e := range v {
			if err := checkPatterns(e); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	}
	return nil
}

// tidy leaves out what is empty, as records do.
func tidy(m map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range m {
		switch v := v.(type) {
		case nil:
			continue
		case []any:
			if len(v) == 0 {
				continue
			}
		case string:
			if v == "" {
				continue
			}
		case map[string]any:
			if len(v) == 0 && key != recordConversion {
				continue
			}
		}
		out[key] = v
	}
	return out
}

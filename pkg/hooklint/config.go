package hooklint

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// fault is one violation of a configuration, taken apart.
type fault struct {
	path    string // kubernetes[0].jqFilter; empty for the document
	message string
	fix     string
	line    int // of the --config output, 0 when unknown
}

// faults explains why ParseConfig refused output.
func faults(err error, output []byte, owner hook.Owner) []fault {
	var invalid *hook.Invalid
	if !errors.As(err, &invalid) {
		return []fault{{message: err.Error(), line: lineIn(err.Error()), fix: notADocument(output)}}
	}
	root := parse(output)
	out := make([]fault, 0, len(invalid.Violations))
	for _, v := range invalid.Violations {
		f := split(v)
		f.line = lineOf(root, f.path)
		f.fix = fixFor(f, root, owner)
		if strings.HasPrefix(f.fix, "did you mean") {
			// The list of all that is allowed would hide the word that was meant.
			f.message, _, _ = strings.Cut(f.message, ": allowed here are ")
		}
		out = append(out, f)
	}
	return out
}

var (
	indexed  = regexp.MustCompile(`^invalid (\S+) config \[(\d+)\]:?( jqFilter:)?\s*`)
	atPath   = regexp.MustCompile(`^([A-Za-z_][^\s:]*):? `)
	yamlLine = regexp.MustCompile(`line (\d+)`)
)

// split parts a violation into the path it is about and what it says.
func split(violation string) fault {
	if m := indexed.FindStringSubmatch(violation); m != nil {
		rest := violation[len(m[0]):]
		key := ""
		switch {
		case m[3] != "":
			key = ".jqFilter"
		case strings.HasPrefix(rest, "crontab"):
			key = ".crontab"
		case strings.HasPrefix(rest, "fieldSelector"):
			key = ".fieldSelector"
		}
		return fault{path: m[1] + "[" + m[2] + "]" + key, message: rest}
	}
	if rest, ok := strings.CutPrefix(violation, "the document "); ok {
		return fault{message: rest}
	}
	if m := atPath.FindStringSubmatch(violation); m != nil {
		return fault{path: m[1], message: violation[len(m[0]):]}
	}
	return fault{message: violation}
}

func lineIn(text string) int {
	m := yamlLine.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1]) // digits; what does not fit is no line
	return n
}

// parse is the document of output with its lines, nil where there is none.
func parse(output []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Unmarshal(output, &doc); err != nil || len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// lineOf is the line of the deepest part of path that exists.
func lineOf(root *yaml.Node, path string) int {
	if root == nil {
		return 0
	}
	line, node := root.Line, root
	for path != "" && node != nil {
		var next *yaml.Node
		next, line, path = step(node, path, line)
		node = next
	}
	return line
}

// step follows one element of path; keys may contain dots, so that the longest that fits counts.
func step(node *yaml.Node, path string, line int) (*yaml.Node, int, string) {
	for node.Kind == yaml.AliasNode && node.Alias != nil {
		node = node.Alias
	}
	path = strings.TrimPrefix(path, ".")
	if rest, ok := strings.CutPrefix(path, "["); ok {
		number, rest, _ := strings.Cut(rest, "]")
		i, err := strconv.Atoi(number)
		if err != nil || node.Kind != yaml.SequenceNode || i < 0 || i >= len(node.Content) {
			return nil, line, ""
		}
		return node.Content[i], node.Content[i].Line, rest
	}
	if node.Kind != yaml.MappingNode {
		return nil, line, ""
	}
	best := -1
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i].Value
		rest, ok := strings.CutPrefix(path, key)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if best < 0 || len(key) > len(node.Content[best].Value) {
			best = i
		}
	}
	if best < 0 {
		return nil, line, ""
	}
	key := node.Content[best]
	return node.Content[best+1], key.Line, path[len(key.Value):]
}

var (
	allowedHere = regexp.MustCompile(`is a forbidden property: allowed here are (.*)$`)
	oneOf       = regexp.MustCompile(`should be one of \[(.*)\], got "?([^"]*)"?$`)
	notFound    = regexp.MustCompile(`^'(.*)' binding name not found`)
	isGot       = regexp.MustCompile(`^should be (an array|a string|a number|true or false|an object), got (.*)$`)
)

// elsewhere tells where keys belong that authors put into the wrong place.
var elsewhere = map[string]string{
	"onKubernetesEvent": "it is of configurations without configVersion: write kubernetes with executeHookOnEvent",
	"event":             "write executeHookOnEvent: [Added, Modified, Deleted]",
	"selector":          "write labelSelector",
	"objectName":        "write nameSelector: {matchNames: [NAME]}",
	"namespaceSelector": "write namespace: {nameSelector: {matchNames: [NAME]}}",
	"mode":              "remove it: keepFullObjectsInMemory: false says what it once said",
	"matchNames":        "it belongs into nameSelector",
	"matchLabels":       "it belongs into labelSelector",
	"matchExpressions":  "it belongs into labelSelector or fieldSelector",
	"crontab":           "it belongs into an element of schedule",
	"timeout":           "it belongs into settings",
	"debounce":          "write settings: {executionMinInterval: 5s} for the whole hook",
	"cron":              "write crontab",
	"beforeAll":         "only global hooks have it: a module's hook has beforeHelm",
	"afterAll":          "only global hooks have it: a module's hook has afterHelm",
	"beforeHelm":        "only hooks of modules have it: a global hook has beforeAll",
	"afterHelm":         "only hooks of modules have it: a global hook has afterAll",
	"beforeDeleteHelm":  "only hooks of modules have it",
	"afterDeleteHelm":   "only hooks of modules have it",
}

// fixFor is the way out of a violation, "" where its message says all.
func fixFor(f fault, root *yaml.Node, owner hook.Owner) string {
	key := f.path[strings.LastIndexAny(f.path, ".]")+1:]
	if m := allowedHere.FindStringSubmatch(f.message); m != nil {
		return unknownKey(key, strings.Split(m[1], ", "), owner)
	}
	if m := oneOf.FindStringSubmatch(f.message); m != nil {
		return meant(m[2], strings.Fields(m[1]))
	}
	if m := notFound.FindStringSubmatch(f.message); m != nil {
		return namesFix(m[1], bindingNames(root))
	}
	if m := isGot.FindStringSubmatch(f.message); m != nil {
		return shapeFix(key, m[1], m[2])
	}
	switch {
	case strings.Contains(f.message, "is unsupported: use v1"):
		return "write configVersion: v1"
	case strings.HasPrefix(f.message, "event '"):
		return "write add, update or delete"
	case strings.HasSuffix(f.message, "is required"):
		return requiredFix(key)
	case strings.HasPrefix(f.message, "string value is expected for key 'configVersion'"):
		return "write configVersion: v1, without quotes it is a string already"
	case strings.Contains(f.message, "at least 2 properties"), strings.Contains(f.message, "at least 1 property: it declares no binding"):
		return "add a binding, such as onStartup: 10 or schedule: [{crontab: \"*/5 * * * *\"}]"
	case strings.Contains(f.message, "should have at least 1 item"):
		return "add an element or remove the key"
	case strings.HasSuffix(f.path, ".crontab"):
		return `five fields such as "*/5 * * * *", six with leading seconds, or @every 30s`
	case strings.HasSuffix(f.path, ".jqFilter"):
		return "try the program with jq -n '…'; inside YAML, quote it or write it below |"
	}
	return ""
}

func unknownKey(key string, allowed []string, owner hook.Owner) string {
	if text, ok := elsewhere[key]; ok && !slices.Contains(allowed, key) {
		if strings.HasPrefix(text, "only ") && owner.IsStandalone() {
			return "hooks without modules have no such moment: use onStartup, schedule or kubernetes; or lint with --global or --module NAME"
		}
		return text
	}
	return meant(key, allowed)
}

// meant is a suggestion out of what is allowed.
func meant(got string, allowed []string) string {
	if w := nearest(got, allowed); w != "" {
		return "did you mean " + w + "?"
	}
	return ""
}

func namesFix(name string, names []string) string {
	if fix := meant(name, names); fix != "" {
		return fix
	}
	if len(names) == 0 {
		return "the hook has no kubernetes binding with a name"
	}
	return "the kubernetes bindings of this hook are " + strings.Join(names, ", ")
}

// shapeFix shows the key with a value of the right shape.
func shapeFix(key, want, got string) string {
	switch want {
	case "an array":
		if strings.HasPrefix(got, `"`) {
			return fmt.Sprintf("write %s: [%s]", key, strings.Trim(got, `"`))
		}
		if got == "an object" {
			return fmt.Sprintf("write %s: [{…}], or begin the element with - ", key)
		}
	case "a string":
		return fmt.Sprintf("quote it: %s: \"%s\"", key, got)
	case "a number", "true or false":
		if text := strings.Trim(got, `"`); text != got {
			return "leave the quotes out: " + key + ": " + text
		}
	}
	return ""
}

func requiredFix(key string) string {
	examples := map[string]string{
		"kind": "kind: Pod", "crontab": `crontab: "*/5 * * * *"`, "matchNames": "matchNames: [NAME]",
		"name": "name: check.example.com", "operator": "operator: Exists", "rules": "rules: [{apiGroups: [apps], apiVersions: [v1], resources: [deployments], operations: [CREATE]}]",
	}
	if e, ok := examples[key]; ok {
		return "add " + e
	}
	return "add " + key
}

// bindingNames are the names of the kubernetes bindings that the document shows.
func bindingNames(root *yaml.Node) []string {
	var doc struct {
		Kubernetes []struct{ Name string }
	}
	if root == nil || root.Decode(&doc) != nil {
		return nil
	}
	var out []string
	for _, k := range doc.Kubernetes {
		if k.Name != "" {
			out = append(out, k.Name)
		}
	}
	return out
}

// notADocument says what is wrong with output that is neither JSON nor YAML.
func notADocument(output []byte) string {
	text := strings.TrimSpace(string(output))
	switch {
	case text == "":
		return "print the configuration to stdout when the first argument is --config"
	case strings.Contains(text, "\t"):
		return "YAML is indented with spaces; there is a tab in it"
	}
	return "print nothing but one document of YAML or JSON to stdout; messages belong to stderr"
}

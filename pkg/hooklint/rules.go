package hooklint

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// The rules, by the names that comments silence them with.
const (
	ruleShebang       = "shebang"           // a script without #!
	ruleCRLF          = "crlf"              // line ends of Windows
	ruleExecutable    = "executable"        // a script that is skipped
	ruleErrexit       = "errexit"           // a shell script that goes on after errors
	ruleXtrace        = "xtrace"            // set -x writes values to the log
	ruleV0            = "v0-config"         // a configuration of the first generation
	ruleIgnored       = "ignored-key"       // what the hook says and nobody heeds
	ruleFullObjects   = "full-objects"      // all objects of a large kind, whole
	ruleUnusedObjects = "unused-objects"    // whole objects beside a filter, and never read
	ruleNoisyFilter   = "noisy-filter"      // a filter whose result moves with every update
	ruleImpureFilter  = "impure-filter"     // a filter that depends on more than the object
	ruleDefaultName   = "default-name"      // a snapshot asked for by a default name
	ruleDuplicateName = "duplicate-name"    // bindings that contexts cannot tell apart
	ruleBusySchedule  = "busy-schedule"     // queue main, several times a minute
	ruleUnusedBinding = "unused-binding"    // a watch that nothing comes of
	ruleLostSnapshots = "without-snapshots" // a schedule that cannot see what the hook watches
)

// Rules lists the rules that can be silenced, with what they are about.
func Rules() map[string]string {
	return map[string]string{
		ruleShebang:       "an executable script has no #! line (always an error)",
		ruleCRLF:          "a script has CRLF line ends (always an error)",
		ruleExecutable:    "a script is skipped, for it is not executable or lies in lib",
		ruleErrexit:       "a shell script goes on after a failing command",
		ruleXtrace:        "a shell script traces itself: values and secrets get into the log",
		ruleV0:            "the configuration has no configVersion",
		ruleIgnored:       "the configuration says something that has no effect",
		ruleFullObjects:   "a binding keeps all objects of a large kind whole",
		ruleUnusedObjects: "a binding with a jqFilter keeps whole objects that the script never reads",
		ruleNoisyFilter:   "a jqFilter's result moves with every update of the object",
		ruleImpureFilter:  "a jqFilter depends on the time or the environment",
		ruleDefaultName:   "a snapshot is asked for by the default name of a binding",
		ruleDuplicateName: "several bindings have one name",
		ruleBusySchedule:  "a schedule runs several times a minute in queue main",
		ruleUnusedBinding: "a binding neither runs the hook nor shows in a snapshot",
		ruleLostSnapshots: "a schedule gets no snapshots although the hook watches objects",
	}
}

// script is the text of a file and what it gives away.
type script struct {
	text        []byte
	interpreter string // of the #! line: bash, sh, python3; empty without one
	binary      bool
	silenced    []string
}

var (
	shebang   = regexp.MustCompile(`^#!\s*(\S+)(?:[ \t]+(?:-S[ \t]+)?([^\r\n]*))?`)
	ignore    = regexp.MustCompile(`(?m)^[ \t]*(?:#|//)[ \t]*hook-lint:[ \t]*ignore=([a-z0-9,-]+)`)
	errexit   = regexp.MustCompile(`(?m)^[ \t]*set[ \t]+(-[a-zA-Z]*e|-o[ \t]+errexit|.*[ \t]-[a-zA-Z]*e\b|.*-o[ \t]+errexit)`)
	xtrace    = regexp.MustCompile(`(?m)^[ \t]*set[ \t]+(-[a-wyzA-Z]*x|-o[ \t]+xtrace)`)
	framework = regexp.MustCompile(`(?m)^[ \t]*hook::run\b`)
)

func newScript(text []byte) script {
	s := script{text: text, binary: bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0}
	if m := shebang.FindSubmatch(text); m != nil {
		s.interpreter = filepath.Base(string(m[1]))
		if words := strings.Fields(string(m[2])); s.interpreter == "env" && len(words) > 0 {
			s.interpreter = words[0]
		}
	}
	if s.binary {
		return s
	}
	for _, m := range ignore.FindAllSubmatch(text, -1) {
		s.silenced = append(s.silenced, strings.Split(string(m[1]), ",")...)
	}
	return s
}

// filter leaves out what the author does not want to hear; errors stay.
func (s script) filter(found []Finding) []Finding {
	return slices.DeleteFunc(found, func(x Finding) bool {
		return x.Severity != Error && slices.Contains(s.silenced, x.Rule)
	})
}

func (s script) shell() bool {
	return slices.Contains([]string{"bash", "sh", "dash", "ash", "zsh", "ksh"}, s.interpreter)
}

// habits are what the text alone tells of a hook.
func (s script) habits() []Finding {
	if s.binary {
		return nil
	}
	var out []Finding
	if s.interpreter == "" {
		return []Finding{{Severity: Error, Rule: ruleShebang, Line: 1, Message: "a script without a #! line cannot be started", Fix: "begin it with #!/usr/bin/env bash"}}
	}
	if at := bytes.Index(s.text, []byte("\r\n")); at >= 0 {
		return []Finding{{Severity: Error, Rule: ruleCRLF, Line: s.line(at),
			Message: `line ends are CRLF: the kernel looks for an interpreter "` + s.interpreter + `\r"`, Fix: "sed -i 's/\\r$//' FILE, and *.sh text eol=lf in .gitattributes"}}
	}
	if !s.shell() {
		return out
	}
	firstLine, _, _ := bytes.Cut(s.text, []byte("\n"))
	if !errexit.Match(s.text) && !regexp.MustCompile(`\s-[a-z]*e`).Match(firstLine) {
		x := Finding{Severity: Warning, Rule: ruleErrexit, Line: 1, Message: "goes on after a failing command, so that a run may end well with half its output", Fix: "set -euo pipefail"}
		if framework.Match(s.text) {
			x.Fix += " before hook::run"
		}
		out = append(out, x)
	}
	if at := xtrace.FindIndex(s.text); at != nil {
		out = append(out, Finding{Severity: Warning, Rule: ruleXtrace, Line: s.line(at[0]), Message: "set -x writes every command with its arguments to the log, secrets included", Fix: "remove it"})
	}
	return out
}

func (s script) line(at int) int { return 1 + bytes.Count(s.text[:at], []byte("\n")) }

// reads tells whether the script mentions a word at all; of a binary nobody knows.
func (s script) reads(word string) bool { return s.binary || bytes.Contains(s.text, []byte(word)) }

// rule is one habit that a configuration may show.
type rule func(hook.Spec, script) []Finding

// regrets runs the rules over a configuration that is valid.
func regrets(spec hook.Spec, s script) []Finding {
	var out []Finding
	for _, r := range []rule{oldVersion, ignoredKeys, fullObjects, unusedObjects, noisyFilter, impureFilter, defaultName, duplicateName, busySchedule, unusedBinding, lostSnapshots} {
		out = append(out, r(spec, s)...)
	}
	return out
}

func warn(rule, path, fix, format string, args ...any) Finding {
	return Finding{Severity: Warning, Rule: rule, Path: path, Message: fmt.Sprintf(format, args...), Fix: fix}
}

func oldVersion(spec hook.Spec, _ script) []Finding {
	if spec.Version != "v0" {
		return nil
	}
	return []Finding{warn(ruleV0, "", "write configVersion: v1 and kubernetes in place of onKubernetesEvent",
		"is of the first generation: no snapshots, no Synchronization, every run alone")}
}

func ignoredKeys(spec hook.Spec, _ script) []Finding {
	var out []Finding
	for _, w := range spec.Warnings {
		path, message := "", w
		if m := atPath.FindStringSubmatch(w); m != nil && strings.ContainsAny(m[1], ".[") {
			path, message = m[1], w[len(m[0]):]
		}
		out = append(out, warn(ruleIgnored, path, "remove it", "%s", message))
	}
	return out
}

// largeKinds are kinds of which a cluster has many, or large, or restless objects.
var largeKinds = []string{
	"pod", "po", "event", "ev", "secret", "configmap", "cm", "replicaset", "rs", "endpoints", "ep", "endpointslice",
	"job", "lease", "node", "no", "customresourcedefinition", "crd", "persistentvolume", "pv", "persistentvolumeclaim", "pvc",
}

func fullObjects(spec hook.Spec, _ script) []Finding {
	var out []Finding
	for i, k := range spec.Kubernetes {
		kind := strings.ToLower(k.Kind)
		large := slices.Contains(largeKinds, kind) || slices.Contains(largeKinds, strings.TrimSuffix(kind, "s"))
		narrowed := len(k.Names) > 0 || len(k.Namespaces) > 0 || k.NamespaceLabels != nil || k.Labels != nil || k.Fields != ""
		if spec.Version == "v0" || !large || narrowed || k.Filter != nil || !k.KeepFullObjects {
			continue
		}
		out = append(out, warn(ruleFullObjects, kubernetesPath(i), "add a jqFilter with keepFullObjectsInMemory: false, or a selector",
			"keeps every %s of the cluster whole, and every update of one runs the hook", k.Kind))
	}
	return out
}

func kubernetesPath(i int) string { return fmt.Sprintf("kubernetes[%d]", i) }

func unusedObjects(spec hook.Spec, s script) []Finding {
	var out []Finding
	for i, k := range spec.Kubernetes {
		if spec.Version == "v0" || k.Filter == nil || !k.KeepFullObjects || s.reads("object") {
			continue
		}
		out = append(out, warn(ruleUnusedObjects, kubernetesPath(i), "add keepFullObjectsInMemory: false",
			"keeps whole objects beside what jqFilter makes of them, and the script reads none"))
	}
	return out
}

// noisy are fields that move although nothing of interest has.
var noisy = regexp.MustCompile(`resourceVersion|managedFields|lastHeartbeatTime|renewTime|lastProbeTime|lastUpdateTime|lastTransitionTime`)

func noisyFilter(spec hook.Spec, _ script) []Finding {
	var out []Finding
	for i, k := range spec.Kubernetes {
		if k.Filter == nil || len(k.Events) == 0 {
			continue
		}
		program := strings.TrimSpace(k.Filter.String())
		found := noisy.FindString(program)
		switch {
		case strings.Contains(program, "del("):
			continue
		case found == "" && slices.Contains([]string{".", ".metadata", ".status", ". | .metadata", ". | .status"}, program):
			found = program
		case found == "":
			continue
		}
		out = append(out, warn(ruleNoisyFilter, kubernetesPath(i)+".jqFilter", "take the fields that the hook needs",
			"gives %s, which moves with every update, so that each of them runs the hook", found))
	}
	return out
}

var impure = regexp.MustCompile(`(^|[^.\w$"-])(now|env|input|inputs|input_filename|localtime|strflocaltime|\$ENV|\$__loc__)\b`)

func impureFilter(spec hook.Spec, _ script) []Finding {
	var out []Finding
	for i, k := range spec.Kubernetes {
		if k.Filter == nil {
			continue
		}
		m := impure.FindStringSubmatch(withoutStrings(k.Filter.String()))
		if m == nil {
			continue
		}
		out = append(out, warn(ruleImpureFilter, kubernetesPath(i)+".jqFilter", "compute it in the hook, from what the filter gives",
			"uses %s: its result is kept until the object changes, and it sees neither environment nor files", m[2]))
	}
	return out
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|#[^\n]*`)

// withoutStrings blanks out strings and comments of a jq program.
func withoutStrings(program string) string { return quoted.ReplaceAllString(program, `""`) }

func defaultName(spec hook.Spec, _ script) []Finding {
	var out []Finding
	check := func(kind string, i int, r hook.Route) {
		if slices.Contains(r.Snapshots, "kubernetes") && r.Group == "" {
			out = append(out, warn(ruleDefaultName, fmt.Sprintf("%s[%d].includeSnapshotsFrom", kind, i), "give the binding a name",
				"asks for the snapshot of a binding by its default name: a second binding without a name makes it ambiguous"))
		}
	}
	for i, b := range spec.Schedules {
		check("schedule", i, b.Route)
	}
	for i, b := range spec.Kubernetes {
		check("kubernetes", i, b.Route)
	}
	return out
}

func duplicateName(spec hook.Spec, _ script) []Finding {
	if spec.Version == "v0" {
		return nil
	}
	var out []Finding
	first := map[string]int{}
	for i, b := range spec.Kubernetes {
		if at, ok := first[b.Name]; ok {
			out = append(out, warn(ruleDuplicateName, kubernetesPath(i), "give each its own",
				"has the name %s, as kubernetes[%d] has: snapshots show the first of them only", b.Name, at))
			continue
		}
		first[b.Name] = i
	}
	return out
}

// busy is the shortest time between two ticks that queue main should have to bear.
const busy = 30 * time.Second

func busySchedule(spec hook.Spec, _ script) []Finding {
	var out []Finding
	for i, b := range spec.Schedules {
		every := period(b.Crontab)
		if b.Queue != hook.DefaultQueue || every == 0 || every >= busy {
			continue
		}
		out = append(out, warn(ruleBusySchedule, fmt.Sprintf("schedule[%d].crontab", i), "give it a queue of its own: queue: "+b.Name,
			"ticks every %s in queue main, where all else of its owner waits for it", every))
	}
	return out
}

// period is the shortest time between ticks in the hour that follows a fixed
// moment; 0 when there are fewer than two.
func period(crontab string) time.Duration {
	s, err := hook.ParseCrontab(crontab)
	if err != nil {
		return 0
	}
	at := s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	shortest := time.Duration(0)
	for range 100 {
		next := s.Next(at)
		if next.IsZero() || !next.After(at) || next.Sub(at) > time.Hour {
			break
		}
		if d := next.Sub(at); shortest == 0 || d < shortest {
			shortest = d
		}
		at = next
	}
	return shortest
}

func unusedBinding(spec hook.Spec, _ script) []Finding {
	if spec.Version == "v0" {
		return nil
	}
	// Runs by order see all snapshots (C-128), but for onStartup.
	for b := range spec.Orders {
		if b != hook.OnStartup {
			return nil
		}
	}
	shown := map[string]bool{}
	show := func(r hook.Route) {
		for _, name := range r.Snapshots {
			shown[name] = true
		}
	}
	for _, b := range spec.Schedules {
		show(b.Route)
	}
	for _, b := range spec.Admissions {
		show(b.Route)
	}
	for _, b := range spec.Conversions {
		show(b.Route)
	}
	runs := func(k hook.Kubernetes) bool { return len(k.Events) > 0 || k.OnSynchronization }
	for _, b := range spec.Kubernetes {
		if runs(b) {
			show(b.Route)
		}
	}
	var out []Finding
	for i, b := range spec.Kubernetes {
		if !runs(b) && !shown[b.Name] {
			out = append(out, warn(ruleUnusedBinding, kubernetesPath(i), "name it in includeSnapshotsFrom of a binding that runs, or remove it",
				"neither runs the hook nor shows in the snapshots of a binding that does"))
		}
	}
	return out
}

func lostSnapshots(spec hook.Spec, s script) []Finding {
	var out []Finding
	if spec.Version == "v0" || len(spec.Kubernetes) == 0 || !s.reads("snapshots") || s.binary {
		return nil
	}
	for i, b := range spec.Schedules {
		if len(b.Snapshots) == 0 {
			out = append(out, warn(ruleLostSnapshots, fmt.Sprintf("schedule[%d]", i), "add includeSnapshotsFrom, or a group in common with the kubernetes bindings",
				"gets no snapshots, and the script reads some"))
		}
	}
	return out
}

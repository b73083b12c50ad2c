package operator_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// ask is an answer of the debug socket.
func (b *bed) ask(path string) string {
	b.t.Helper()
	body, err := web.Ask(b.ctx, b.Config.DebugSocket, path)
	if err != nil {
		b.t.Fatalf("%s: %v", path, err)
	}
	return string(body)
}

// asked is an answer in JSON.
func (b *bed) asked(path string, into any) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.ask(path)), into); err != nil {
		b.t.Fatalf("%s: %v", path, err)
	}
}

// refused is the text of an error of the debug socket.
func (b *bed) refused(path string) string {
	b.t.Helper()
	body, err := web.Ask(b.ctx, b.Config.DebugSocket, path)
	if err == nil {
		b.t.Fatalf("%s is answered: %s", path, body)
	}
	return err.Error()
}

type operations struct{ Count, Added, Deleted, Modified, Cleaned int }

type shownBinding struct {
	Snapshot   []map[string]any
	Operations struct{ SinceStart, SinceLastExecution operations }
}

const debugSecret = "a-very-secret-word"

// debugBed is an operator with two modules and a global hook, converged.
func debugBed(t *testing.T) *bed {
	t.Helper()
	b := newBed(t)
	b.Config.DebugAddress = freePort(t)
	b.Config.LogLevel = &slog.LevelVar{}
	b.Config.Logger = slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: b.Config.LogLevel}))
	b.chart("100-debug-a", shown("debug-a", "note", "{{ .Values.debugA.note | quote }}")+`---
apiVersion: v1
kind: Secret
metadata: {name: debug-a, namespace: {{ .Release.Namespace }}}
stringData: {password: {{ .Values.debugA.password | quote }}, fixed: same}
`)
	b.chart("200-debug-b", shown("debug-b", "note", "here"))
	b.files(map[string]string{
		"modules/100-debug-a/openapi/config-values.yaml": `type: object
properties:
  note: {type: string, default: none}
  password: {type: string, x-secret: true}
`,
		"modules/200-debug-b/module.yaml": "requires: [{module: debug-a}]\n",
		"modules/100-debug-a/hooks/watch.sh": script(`beforeHelm: 1
kubernetes:
- name: maps
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  labelSelector: {matchLabels: {debug: "yes"}}
  jqFilter: .data
  executeHookOnSynchronization: false
  executeHookOnEvent: []
- name: secrets
  apiVersion: v1
  kind: Secret
  namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}
  labelSelector: {matchLabels: {debug: "yes"}}
  executeHookOnSynchronization: false
  queue: slow`, "true"),
		"global-hooks/hooks/fact.sh": script("beforeAll: 1", `echo '[{"op":"add","path":"/global/fact","value":"seen"}]' > "$VALUES_JSON_PATCH_PATH"`),
	})
	for _, name := range []string{"one", "two"} {
		b.labelled(name, map[string]string{"n": "1"})
	}
	_, err := b.Client.CoreV1().Secrets(b.Namespace).Create(b.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "watched", Labels: map[string]string{"debug": "yes"}}, StringData: map[string]string{"word": debugSecret}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.settings(map[string]string{"debugAEnabled": "true", "debugBEnabled": "true", "debugA": "note: first\npassword: " + debugSecret + "\n", "global": "colour: red\n"})
	b.start()
	b.ready("debug-a", "debug-b")
	b.converged()
	return b
}

// labelled writes a ConfigMap that the hook of debugBed watches.
func (b *bed) labelled(name string, data map[string]string) {
	b.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"debug": "yes"}}, Data: data}
	if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Update(b.ctx, cm, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Create(b.ctx, cm, metav1.CreateOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// C-383, C-473, C-480 … C-484, B-62: every route of the debug socket, against an operator at work.
func TestTheInsideOfARunningOperator(t *testing.T) {
	t.Parallel()
	b := debugBed(t)
	b.values()
	b.snapshots()
	b.rendered()
	b.monitored()
	b.queuesShown()
	b.graphs()
	b.overTCP()
	b.runtimeParameters()
	conformCommands(b)

	for path, want := range map[string]string{
		"/module/none/values.json": `module "none" is in no modules directory`, "/module/none/render": "not found", "/hook/list.text": "this operator runs modules",
		"/global/none.json": "not found", "/graph?format=jpeg": "expected text, dot or svg", "/queue/other": "not found", "/module/debug-a/render?diff=maybe": "",
	} {
		if want == "" {
			b.ask(path)
		} else if got := b.refused(path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	// No answer has the secret, in any form; whatever is listed is asked.
	for line := range strings.Lines(b.ask("/discovery")) {
		fields := strings.Fields(line)
		if fields[0] != http.MethodGet || strings.HasPrefix(fields[1], "/hook/") {
			continue
		}
		path := strings.NewReplacer("{name}", "debug-a").Replace(fields[1])
		for _, query := range []string{"", "?global=true", "?debug=true", "?diff=true"} {
			if text := b.ask(path + query); strings.Contains(text, debugSecret) || strings.Contains(text, "YS12ZXJ5LXNlY3JldC13b3Jk") {
				t.Errorf("%s%s shows a secret:\n%s", path, query, text)
			}
		}
	}
}

func (b *bed) values() {
	t := b.t
	t.Helper()
	var list struct{ EnabledModules []string }
	b.asked("/module/list.json", &list)
	if !slices.Equal(list.EnabledModules, []string{"debug-a", "debug-b"}) {
		t.Errorf("module list: %v", list)
	}
	var v map[string]map[string]any
	b.asked("/module/debug-a/values.json?global=true", &v)
	if v["debugA"]["note"] != "first" || v["debugA"]["password"] != "*****" || v["global"]["fact"] != "seen" || v["global"]["colour"] != "red" {
		t.Errorf("module values: %v", v)
	}
	if text := b.ask("/module/debug-a/config.yaml"); text != "note: first\npassword: '*****'\n" {
		t.Errorf("module config: %s", text)
	}
	if text := b.ask("/global/config.yaml"); text != "colour: red\n" {
		t.Errorf("global config: %s", text)
	}
	if text := b.ask("/global/patches.json"); !strings.Contains(text, "/global/fact") {
		t.Errorf("global patches: %s", text)
	}
	var names []string
	if b.asked("/global/list.json", &names); !slices.Contains(names, "snapshots") {
		t.Errorf("global list: %v", names)
	}
	if text := b.ask("/"); !strings.Contains(text, "/discovery") {
		t.Errorf("banner: %s", text)
	}
}

// snapshots is C-482.
func (b *bed) snapshots() {
	t := b.t
	t.Helper()
	binding := func(name string) shownBinding {
		var all map[string]map[string]shownBinding
		b.asked("/module/debug-a/snapshots.json", &all)
		return all["hooks/watch.sh"][name]
	}
	if got := binding("maps"); len(got.Snapshot) != 2 || fmt.Sprint(got.Snapshot[0]["filterResult"]) != "map[n:1]" ||
		got.Operations.SinceStart != (operations{Count: 2, Added: 2}) || got.Operations.SinceLastExecution != (operations{Count: 2}) {
		t.Errorf("snapshot: %+v", got)
	}
	b.labelled("one", map[string]string{"n": "2"})
	b.labelled("three", map[string]string{"n": "3"})
	if err := b.Client.CoreV1().ConfigMaps(b.Namespace).Delete(b.ctx, "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := operations{Count: 2, Added: 1, Deleted: 1, Modified: 1}
	testkit.Eventually(t, func() bool { return binding("maps").Operations.SinceLastExecution == want }, func() string {
		return fmt.Sprintf("the operations since the last run are %+v; they are %+v", want, binding("maps"))
	})
	if got := binding("maps").Operations.SinceStart; got != (operations{Count: 2, Added: 3, Deleted: 1, Modified: 1}) {
		t.Errorf("operations since the start: %+v", got)
	}
	if got := binding("secrets"); len(got.Snapshot) != 1 || !strings.Contains(fmt.Sprint(got.Snapshot), "*****") {
		t.Errorf("snapshot of Secrets: %+v", got)
	}
	if text := b.ask("/global/snapshots.yaml"); text != "hooks/fact.sh: {}\n" {
		t.Errorf("global snapshots: %s", text)
	}
}

func (b *bed) rendered() {
	t := b.t
	t.Helper()
	text := b.ask("/module/debug-a/render")
	if !strings.Contains(text, "note: first") || !strings.Contains(text, "kind: Secret") || !strings.Contains(text, "password: '*****'") || !strings.Contains(text, "# Source: ") {
		t.Errorf("render:\n%s", text)
	}
	if text := b.ask("/module/debug-a/render?diff=true"); text != "" {
		t.Errorf("what is applied differs from the render:\n%s", text)
	}
	if text := b.ask("/module/debug-a/render?debug=true"); !strings.Contains(text, "# Source: debug-a/templates/all.yaml") {
		t.Errorf("render --debug:\n%s", text)
	}
}

func (b *bed) monitored() {
	t := b.t
	t.Helper()
	var all map[string][]struct {
		Object, State string
		Present       bool
	}
	b.asked("/module/resource-monitor.json", &all)
	if len(all["debug-a"]) != 2 || len(all["debug-b"]) != 1 || !all["debug-b"][0].Present || all["debug-b"][0].State != "Current" ||
		all["debug-b"][0].Object != "ConfigMap/"+b.Namespace+"/debug-b" {
		t.Errorf("resource monitor: %+v", all)
	}
}

// queuesShown: a pass that fails and one that waits are seen with what they wait for.
func (b *bed) queuesShown() {
	t := b.t
	t.Helper()
	if text := b.ask("/queue/list.text?showEmpty=true"); !strings.Contains(text, "Queue 'main': length 0") || !strings.Contains(text, "Queue 'main/debug-a': length 0") ||
		!strings.Contains(text, "Queue 'slow': length 0") || !strings.Contains(text, "- total: empty.") {
		t.Errorf("queues at rest:\n%s", text)
	}
	b.edit("debugA", "note: '{{ oops'\npassword: "+debugSecret+"\n")
	b.eventually(func() bool { return b.shows("debug-a", "note", "{{ oops") }, "the edit is shown")
	b.files(map[string]string{"modules/100-debug-a/hooks/watch.sh": script("beforeHelm: 1", "echo 'no such luck' >&2; exit 7")})
	b.edit("debugA", "note: third\npassword: "+debugSecret+"\n")
	testkit.Eventually(t, func() bool {
		text := b.ask("/queue/main.text")
		return strings.Contains(text, "ModuleRun:main:debug-a:Retry (due at ") && strings.Contains(text, ":failures 1") && strings.Contains(text, "no such luck")
	}, func() string { return "queue main shows the failed pass; it shows\n" + b.ask("/queue/main.text") })
	// What is wanted is not applied: the render differs from the release.
	if text := b.ask("/module/debug-a/render?diff=true"); !strings.Contains(text, "--- release/ConfigMap/"+b.Namespace+"/debug-a\n+++ rendered/ConfigMap/"+b.Namespace+"/debug-a\n") ||
		!strings.Contains(text, "-  note: '{{ oops'\n+  note: third\n") || strings.Contains(text, "Secret") {
		t.Errorf("render --diff:\n%s", text)
	}
	var dump struct {
		Active []struct {
			Name       string
			TasksCount int
			Tasks      []struct {
				Index       int
				Description string
			}
		}
		Summary struct{ MainQueueTasks, TotalTasks int }
	}
	b.asked("/queue/list.json", &dump)
	if dump.Summary.MainQueueTasks < 1 || len(dump.Active) < 1 || dump.Active[0].Name != "main" || dump.Active[0].Tasks[0].Index != 1 {
		t.Errorf("queue list: %+v", dump)
	}
	b.files(map[string]string{"modules/100-debug-a/hooks/watch.sh": script("beforeHelm: 1", "true")})
	b.edit("debugA", "note: fourth\npassword: "+debugSecret+"\n")
	b.ready("debug-a")
	b.converged()
}

func (b *bed) graphs() {
	t := b.t
	t.Helper()
	dot := b.ask("/graph?format=text")
	for _, part := range []string{`"hook hooks/fact.sh" -> "global"`, `"debug-a" -> "debug-b" [style=solid`, `100 debug-a\nDeployed`} {
		if !strings.Contains(dot, part) {
			t.Errorf("the graph lacks %s:\n%s", part, dot)
		}
	}
	var svg struct {
		XMLName xml.Name `xml:"svg"`
	}
	if err := xml.Unmarshal([]byte(b.ask("/graph?format=svg")), &svg); err != nil {
		t.Errorf("the drawing: %v", err)
	}
}

// overTCP is C-484.
func (b *bed) overTCP() {
	t := b.t
	t.Helper()
	for path, want := range map[string]int{"/queue/list.json": 200, "/module/list": 200, "/module/debug-a/values.yaml": 200, "/discovery": 200,
		"/module/debug-a/snapshots": 404, "/module/debug-a/render": 404, "/global/patches": 404, "/config/set": 404} {
		req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.Config.DebugAddress+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want || strings.Contains(string(body), debugSecret) {
			t.Errorf("%s over TCP: %d %s %v", path, resp.StatusCode, body, err)
		}
	}
}

// runtimeParameters is C-483 and C-383.
func (b *bed) runtimeParameters() {
	t := b.t
	t.Helper()
	set := func(name, value, duration string) error {
		_, err := web.Send(b.ctx, b.Config.DebugSocket, "/config/set", url.Values{"name": {name}, "value": {value}, "duration": {duration}})
		return err
	}
	for want, form := range map[string][3]string{
		`parameter "none"`: {"none", "x", ""}, "expected debug, info": {"log.level", "loud", ""}, "expected true or false": {"log.configmap.events", "maybe", ""},
		"duration": {"log.level", "debug", "soon"}, "more than 0": {"log.level", "debug", "-1s"}, "name and value": {"", "", ""},
	} {
		if err := set(form[0], form[1], form[2]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", form, err)
		}
	}
	if err := set("log.level", "debug", ""); err != nil {
		t.Fatal(err)
	}
	if text := b.ask("/config/list.text"); !strings.Contains(text, "log.level=debug") || !strings.Contains(text, "(until ") || b.Config.LogLevel.Level() != slog.LevelDebug {
		t.Errorf("debug does not end by itself: %s", text)
	}
	if err := set("log.level", "warn", "10ms"); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { return b.Config.LogLevel.Level() == slog.LevelInfo }, "the level from before the first override is back")
	if err := set("log.configmap.events", "true", ""); err != nil {
		t.Fatal(err)
	}
	b.edit("debugA", fmt.Sprintf("note: %q\npassword: %s\n", time.Now().Format(time.TimeOnly), debugSecret))
	b.eventually(func() bool { return strings.Contains(b.log.String(), "ConfigMap section in force") }, "the change is logged")
	if strings.Contains(b.log.String(), debugSecret) {
		t.Error("the log shows a secret")
	}
	if err := set("log.configmap.events", "false", ""); err != nil {
		t.Fatal(err)
	}
	b.converged()
	b.ready("debug-a")
}

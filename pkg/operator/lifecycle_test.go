package operator_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// logging is a hook that writes its name and what it was run for into the bed's log, and
// then does what body says; $binding is the binding, or Synchronization.
func (b *bed) logging(name, config, body string) string {
	return script(config, `binding=$(jq -r '.[0] | if .type == "Synchronization" then .type else .binding end' "$BINDING_CONTEXT_PATH")
echo "`+name+` $binding" >> "`+b.Dir+`/runs"
`+body)
}

// runs are the lines of the bed's log.
func (b *bed) runs() []string {
	text, err := os.ReadFile(filepath.Join(b.Dir, "runs"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// inOrder fails the test unless the lines are in the log, each after the one before.
func (b *bed) inOrder(lines ...string) {
	b.t.Helper()
	runs := b.runs()
	at := 0
	for _, line := range lines {
		i := slices.Index(runs[at:], line)
		if i < 0 {
			b.t.Fatalf("%q is not in its place in the runs:\n%s", line, strings.Join(runs, "\n"))
		}
		at += i + 1
	}
}

func (b *bed) count(line string) (n int) {
	for _, l := range b.runs() {
		if l == line {
			n++
		}
	}
	return n
}

// C-400, C-401, C-402, C-405, C-415 … C-420: what runs when, from the start to the first
// convergence and after it. C-302, C-303: what hooks and charts are given. C-384: the
// ConfigMap stays the user's.
func TestTheLifeOfModulesFollowsTheContract(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	watch := func(name string) string {
		return "kubernetes: [{name: " + name + ", kind: ConfigMap, namespace: {nameSelector: {matchNames: [" + b.Namespace + "]}}, nameSelector: {matchNames: [seen]}}]\n"
	}
	allowed := filepath.Join(b.Dir, "allowed")
	b.files(map[string]string{
		"modules/values.yaml":               "lifeFirstEnabled: true\nlifeSecondEnabled: true\n",
		"global-hooks/hooks/010-startup.sh": b.logging("global", "onStartup: 10", ""),
		"global-hooks/hooks/020-watch.sh":   b.logging("global", watch("seen"), ""),
		"global-hooks/hooks/030-all.sh":     b.logging("global", "beforeAll: 1\nafterAll: 1", ""),
		// What it finds at its start is shown by the first release; afterHelm changes a value once.
		"modules/100-life-first/hooks/all.sh": b.logging("first", "onStartup: 1\nbeforeHelm: 1\nafterHelm: 1\nafterDeleteHelm: 1\n"+watch("seen"), `
jq -r '"hook sees " + (.global.enabledModules | join(","))' "$VALUES_PATH" >> "`+b.Dir+`/runs"
case $binding in
onStartup) echo '{"op":"add","path":"/lifeFirst/startup","value":"found"}' > "$VALUES_JSON_PATCH_PATH" ;;
Synchronization) echo '{"op":"add","path":"/lifeFirst/synchronized","value":"found"}' > "$VALUES_JSON_PATCH_PATH" ;;
afterHelm) echo '{"op":"add","path":"/lifeFirst/after","value":"found"}' > "$VALUES_JSON_PATCH_PATH" ;;
esac`),
		"modules/200-life-second/hooks/all.sh": b.logging("second", "onStartup: 1\nbeforeHelm: 1", `
[[ $binding != beforeHelm || -e "`+allowed+`" ]] || { echo "not allowed yet" >&2; exit 1; }`),
	})
	b.chart("100-life-first", shown("life-first", "modules", `{{ .Values.global.enabledModules | join "," | quote }}`,
		"keys", `{{ keys .Values | sortAlpha | join "," | quote }}`, "startup", "{{ .Values.lifeFirst.startup | quote }}",
		"synchronized", "{{ .Values.lifeFirst.synchronized | quote }}", "after", "{{ .Values.lifeFirst.after | quote }}"))
	b.chart("200-life-second", shown("life-second", "is", "here"))
	b.settings(map[string]string{"lifeFirst": "note: mine # a comment\n"})
	b.start()
	b.ready("life-first")
	b.wants("life-second", "Ready", "False HookFailed", "not allowed yet")
	b.converged()

	b.inOrder("global onStartup", "global Synchronization", "global beforeAll", "first onStartup", "first Synchronization",
		"first beforeHelm", "first afterHelm", "first beforeHelm", "first afterHelm", "global afterAll")
	b.inOrder("global beforeAll", "second onStartup", "second beforeHelm", "global afterAll")
	if n := b.count("first beforeHelm"); n != 2 {
		t.Errorf("%d runs of beforeHelm, expected 2: the first, and one since afterHelm changed a value (C-417, C-418)", n)
	}
	if b.count("hook sees life-first,life-second") == 0 {
		t.Error("hooks see the modules that are on (C-302)")
	}
	for key, want := range map[string]string{"modules": "life-first,life-second", "keys": "global,lifeFirst",
		"startup": "found", "synchronized": "found", "after": "found"} {
		if !b.shows("life-first", key, want) {
			t.Errorf("the chart does not show %s: %s", key, want)
		}
	}
	if code := b.code("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz answers %d after the first convergence (C-402)", code)
	}

	t.Log("a retry goes on where it failed (C-416)")
	b.write("allowed", 0o644, "")
	b.ready("life-second")
	if n := b.count("second onStartup"); n != 1 {
		t.Errorf("%d runs of onStartup, expected 1", n)
	}

	t.Log("each enabling starts anew (C-420); what was asked of a module that is off is not done (C-419)")
	b.edit("lifeFirstEnabled", "false")
	b.eventually(func() bool { return !b.exists("life-first") && b.count("first afterDeleteHelm") == 1 }, "the module is removed")
	b.wants("life-first", "Enabled", "False Disabled")
	b.edit("lifeFirst", "note: other # a comment\n")
	b.converged()
	before := len(b.runs())
	b.edit("lifeFirstEnabled", "true")
	b.ready("life-first")
	if again := b.runs()[before:]; again[0] == "first beforeHelm" || !slices.Contains(again, "first onStartup") || !slices.Contains(again, "first Synchronization") {
		t.Errorf("the start is not there:\n%s", strings.Join(again, "\n"))
	}
	b.converged()

	cm, err := b.Client.CoreV1().ConfigMaps(b.Namespace).Get(b.ctx, b.Config.ConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(cm.Annotations) != 0 || len(cm.Data) != 2 || cm.Data["lifeFirst"] != "note: other # a comment\n" {
		t.Errorf("the user's ConfigMap became %v %v (C-384)", cm.Annotations, cm.Data)
	}
}

// code is the status of a page of the operator's port, 0 while there is none.
func (b *bed) code(path string) int {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.Config.ListenAddress+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

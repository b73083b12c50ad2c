package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// The operator runs with a token of deploy/'s ServiceAccount here, so this also tells that deploy/rbac.yaml is enough.
func TestOnceItPrintsTheFactsAndATableOfReadyModulesAndLeavesNothingBehind(t *testing.T) {
	local := testkit.Shared(t)
	// Not t.TempDir: the path of a socket may have no more than 104 bytes.
	temp, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp)
	t.Setenv("PATH", filepath.Join(local.Dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out bytes.Buffer
	err = run(t.Context(), options{Once: true, Timeout: 5 * time.Minute, Root: testkit.Root(), Kubeconfig: local.Kubeconfig, Out: &out})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"provider: aws", "region: ", "defaultClass: ", "count: 3", "distribution: ", "domain: cluster.local"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the facts lack %q:\n%s", want, out.String())
		}
	}
	rows := map[string][]string{}
	for line := range strings.Lines(out.String()) {
		if words := strings.Fields(line); len(words) >= 6 {
			rows[words[0]] = words
		}
	}
	for _, module := range []string{"cert-manager", "cert-manager-issuers", "prometheus", "ingress-nginx"} {
		// NAME ENABLED VERSION PHASE READY REASON AGE
		if row := rows[module]; len(row) < 6 || row[1] != "true" || row[4] != "True" {
			t.Errorf("the table does not show %s as Ready: %q", module, row)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestFactsAreFoundWithAndWithoutTheirSection(t *testing.T) {
	t.Parallel()
	const want = "apiVersions: 2 versions and kinds\ncloud:\n  provider: aws\n"
	for sentence, text := range map[string]string{
		"below global":   "global: {discovery: {cloud: {provider: aws}, apiVersions: [v1, v1/Pod]}}",
		"at the top":     "discovery: {cloud: {provider: aws}, apiVersions: [v1, v1/Pod]}",
		"beside another": "{discovery: {cloud: {provider: aws}, apiVersions: [v1, v1/Pod]}, images: {registry: x}}",
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			got, err := discovered([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := discovered([]byte("global: {}")); err == nil {
		t.Error("values without facts are no error")
	}
}

func TestWantedModulesAreThoseThatTheConfigMapSwitchesOn(t *testing.T) {
	t.Parallel()
	got, err := enabledModules("../../deploy/configmap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cert-manager", "cert-manager-issuers", "ingress-nginx", "prometheus"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestALineSaysWhatAPersonWantsToKnow(t *testing.T) {
	t.Parallel()
	status := func(phase, ready, reason, message string, revision int64) map[string]any {
		return map[string]any{"phase": phase, "reason": reason, "revision": revision,
			"conditions": []any{map[string]any{"type": "Ready", "status": ready, "message": message}}}
	}
	for want, c := range map[string]map[string]any{
		"Deployed, revision 2":                              status("Deployed", "True", "Ready", "", 2),
		"Waiting, WaitingForModule: waits for cert-manager": status("Waiting", "False", "WaitingForModule", "waits for cert-manager", 0),
		"Failing, revision 1, HookFailed: hook x failed":    status("Failing", "False", "HookFailed", "hook x failed\nlong tail", 1),
		"Running": status("Running", "Unknown", "Running", "", 0),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			got := stateOf(&unstructured.Unstructured{Object: map[string]any{"status": c}}).String()
			if got != want {
				t.Errorf("got %q", got)
			}
		})
	}
}

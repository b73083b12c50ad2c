package operator_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// The volume of hooks' files is full: runs fail with a message that names the directory
// and the way out, Helm goes on, and all recovers when there is room again.
func TestAFullDiskIsNamedAndGotOver(t *testing.T) {
	b := newBed(t)
	b.Config.TempDir = filepath.Join(b.Dir, "small")
	if err := os.Mkdir(b.Config.TempDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", b.Config.TempDir, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("a small volume cannot be mounted here (needs root and CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(b.Config.TempDir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	b.chart("100-disk-hooks", shown("disk-hooks", "note", "{{ .Values.diskHooks.note | quote }}", "seen", "{{ .Values.diskHooks.seen | quote }}"))
	b.chart("200-disk-none", shown("disk-none", "note", "{{ .Values.diskNone.note | quote }}"))
	b.files(map[string]string{
		"modules/values.yaml": "diskHooks: {note: first, seen: none}\ndiskNone: {note: first}\n",
		"modules/100-disk-hooks/hooks/before.sh": script("beforeHelm: 1",
			`jq '[{op: "add", path: "/diskHooks/seen", value: .diskHooks.note}]' "$VALUES_PATH" > "$VALUES_JSON_PATCH_PATH"`),
		"modules/100-disk-hooks/hooks/event.sh": onTrigger(b.Namespace, "main", "timeout: 1m", "echo an event was seen"),
	})
	b.settings(map[string]string{"diskHooksEnabled": "true", "diskNoneEnabled": "true"})
	stop := b.start()
	t.Cleanup(stop) // before the volume goes
	b.ready("disk-hooks", "disk-none")

	filler := filepath.Join(b.Config.TempDir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	_ = f.Close()
	b.edit("diskHooks", "note: second\n", "diskNone", "note: second\n")
	b.configMap(b.Namespace, "trigger", map[string]string{"n": "1"})
	b.wants("disk-hooks", "Reconciled", "False HookFailed", "no space left on device", b.Config.TempDir, "--tmp-dir", "next try at")
	b.wants("disk-hooks", "HooksSucceeding", "False HookFailed", "event.sh", b.Config.TempDir)
	b.eventually(func() bool { return b.event("disk-hooks", "HookFailed", b.Config.TempDir) }, "an Event names the directory")
	b.eventually(func() bool { return b.shows("disk-none", "note", "second") }, "Helm goes on")
	b.ready("disk-none")
	if !b.shows("disk-hooks", "note", "first") {
		t.Error("an upgrade went past a hook that could not run")
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	b.eventually(func() bool { return b.shows("disk-hooks", "note", "second") && b.shows("disk-hooks", "seen", "second") }, "what was wanted is there")
	b.eventually(func() bool { return strings.Contains(b.log.String(), "an event was seen") }, "the event is not lost")
	b.ready("disk-hooks", "disk-none")
	b.noPending()
}

// C-310 … C-316: schemas that cannot be used, and values that a new schema refuses.
func TestInvalidSchemasKeepReleasesAndAreExplained(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	schemaOf := map[string]string{}
	for dir, key := range map[string]string{"100-schema-bad": "schemaBad", "200-schema-strict": "schemaStrict", "300-schema-good": "schemaGood"} {
		_, name, _ := strings.Cut(dir, "-")
		b.chart(dir, shown(name, "note", "{{ .Values."+key+".note | quote }}"))
		schemaOf[name] = "modules/" + dir + "/openapi/config-values.yaml"
		b.files(map[string]string{schemaOf[name]: noteSchema})
	}
	b.settings(map[string]string{"schemaBadEnabled": "true", "schemaStrictEnabled": "true", "schemaGoodEnabled": "true", "schemaStrict": "note: anything\n"})
	stop := b.start()
	b.ready("schema-bad", "schema-strict", "schema-good")
	stop()
	before := b.revisions("schema-bad", "schema-strict")

	// A new version brings one schema that is none, and one that the settings violate.
	b.files(map[string]string{
		schemaOf["schema-bad"]:    "type: object\nproperties:\n  note: {type: strin}\n",
		schemaOf["schema-strict"]: "type: object\nproperties:\n  note: {type: string, enum: [none, one], default: none}\n",
	})
	stop = b.start()
	b.ready("schema-good")
	b.wants("schema-bad", "Ready", "False ModuleMissing", "config-values.yaml", "note", "strin", "release")
	b.wants("schema-strict", "ConfigValid", "False ConfigInvalid", "schemaStrict.note", "none", "one", "nothing is changed until it is corrected")
	b.eventually(func() bool { return b.event("schema-bad", "ModuleMissing", "strin") }, "an Event explains the schema")
	b.eventually(func() bool { return b.event("schema-strict", "ConfigInvalid", "schemaStrict.note") }, "an Event explains the value")
	b.edit("schemaGood", "note: edited\n")
	b.eventually(func() bool { return b.shows("schema-good", "note", "edited") }, "others go on")
	b.sameRevisions(before)
	if !b.shows("schema-bad", "note", "none") || !b.shows("schema-strict", "note", "anything") {
		t.Error("what ran is not there any more")
	}
	b.edit("schemaStrict", "note: one\n")
	b.eventually(func() bool { return b.shows("schema-strict", "note", "one") }, "the corrected value is used")
	b.ready("schema-strict")
	stop()

	// A schema of global values that is none concerns everything: the start ends and says where.
	b.files(map[string]string{"global-hooks/openapi/config-values.yaml": "type: object\nproperties:\n  zone: {type: strin}\n"})
	err := operator.Run(b.ctx, b.Config)
	if err == nil || !strings.Contains(err.Error(), filepath.Join("global-hooks", "openapi")) || !strings.Contains(err.Error(), "zone") || !strings.Contains(err.Error(), "strin") {
		t.Errorf("the start with an invalid global schema ended with %v", err)
	}
	b.files(map[string]string{
		"global-hooks/openapi/config-values.yaml": "type: object\nproperties: {zone: {type: string}}\n",
		schemaOf["schema-bad"]:                    noteSchema,
	})
	b.start()
	b.ready("schema-bad", "schema-strict", "schema-good")
	b.noPending()
}

// DESIGN 4, fuse: two hooks of a module that fight, a hook that writes the time, and a
// loop through the cluster of a module's hook and a global one.
func TestHooksThatFightAreNamedWithWhatTheyWrite(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-fight", shown("fight", "mode", "{{ .Values.fight.mode | quote }}", "token", "{{ .Values.fight.token | quote }}"))
	b.chart("200-dated", shown("dated", "at", "{{ .Values.dated.at | quote }}"))
	b.chart("300-echoed", shown("echoed", "count", "{{ .Values.global.count | quote }}"))
	b.chart("400-calm", shown("calm", "is", "here"))
	patch := func(path, value string) string { return `{"op":"add","path":"` + path + `","value":"` + value + `"}` }
	date := `jq -n '[{op: "add", path: "/dated/at", value: (now | tostring)}]' > "$VALUES_JSON_PATCH_PATH"`
	b.files(map[string]string{
		"modules/values.yaml":                   "global: {count: 0}\nfight: {mode: none, token: none}\ndated: {at: never}\n",
		"modules/100-fight/openapi/values.yaml": "type: object\nproperties:\n  mode: {type: string}\n  token: {type: string, x-secret: true}\n  calm: {type: boolean}\n",
		"modules/100-fight/hooks/one.sh":        script("beforeHelm: 1", `echo '[`+patch("/fight/mode", "bright")+`,`+patch("/fight/token", "first-of-two-tokens")+`]' > "$VALUES_JSON_PATCH_PATH"`),
		"modules/100-fight/hooks/two.sh":        script("afterHelm: 1", `[[ $(jq .fight.calm "$VALUES_PATH") == true ]] || echo '[`+patch("/fight/mode", "dark")+`,`+patch("/fight/token", "second-of-two-tokens")+`]' > "$VALUES_JSON_PATCH_PATH"`),
		"modules/200-dated/hooks/date.sh":       script("afterHelm: 1", date),
		"modules/300-echoed/module.yaml":        "inputs: [count]\n",
		"modules/400-calm/module.yaml":          "inputs: [nothing]\n",
		"modules/100-fight/module.yaml":         "inputs: [nothing]\n",
		"modules/200-dated/module.yaml":         "inputs: [nothing]\n",
		"modules/300-echoed/hooks/echo.sh": script("afterHelm: 1", `
[[ -e `+filepath.Join(b.Dir, "enough")+` ]] || jq '{operation: "CreateOrUpdate", object: {apiVersion: "v1", kind: "ConfigMap", metadata: {name: "echo", namespace: "`+b.Namespace+`"}, data: {count: ((.global.count | tonumber) + 1 | tostring)}}}' "$VALUES_PATH" > "$KUBERNETES_PATCH_PATH"`),
		"global-hooks/hooks/count.sh": script(`kubernetes:
- {name: echo, apiVersion: v1, kind: ConfigMap, jqFilter: .data.count, nameSelector: {matchNames: [echo]}, namespace: {nameSelector: {matchNames: [`+b.Namespace+`]}}, includeSnapshotsFrom: [echo]}`,
			`jq '[{op: "add", path: "/global/count", value: (.[-1].snapshots.echo[0].filterResult // "0")}]' "$BINDING_CONTEXT_PATH" > "$VALUES_JSON_PATCH_PATH"`),
	})
	b.settings(map[string]string{"fightEnabled": "true", "datedEnabled": "true", "echoedEnabled": "true", "calmEnabled": "true"})
	b.start()
	b.wants("fight", "Ready", "False Oscillating", "fight.mode", `"bright" by fight/hooks/one.sh`, `"dark" by fight/hooks/two.sh`, "fight.token", "let one hook alone")
	b.wants("dated", "Ready", "False Oscillating", "dated.at", "dated/hooks/date.sh", "no time")
	b.wants("echoed", "Ready", "False Oscillating", "global.count", "global/hooks/count.sh")
	b.ready("calm")
	for _, text := range []string{b.condition("fight", "Ready"), b.log.String()} {
		if strings.Contains(text, "of-two-tokens") {
			t.Error("a secret value is shown")
		}
	}
	b.eventually(func() bool { return b.event("fight", "Oscillating", "hooks/two.sh") }, "an Event names the hooks")

	// The ConfigMap, a hook's file and the cluster end it.
	b.files(map[string]string{"modules/200-dated/hooks/date.sh": strings.Replace(script("afterHelm: 1", date), "(now | tostring)", `"today"`, 1), "enough": ""})
	b.edit("fight", "calm: true\n", "dated", "edited: true\n", "echoed", "edited: true\n")
	b.ready("fight", "dated", "echoed")
	b.converged()
	if !b.shows("fight", "mode", "bright") || !b.shows("dated", "at", "today") {
		t.Error("what was wanted is not there")
	}
	if !slices.Contains(b.enabled(), "calm") {
		t.Error("the module that has no part in it is gone")
	}
}

// enabled are the modules whose resource says that they are on.
func (b *bed) enabled() (names []string) {
	for _, m := range b.modules() {
		if strings.HasPrefix(b.condition(m, "Enabled"), "True") {
			names = append(names, m)
		}
	}
	return names
}

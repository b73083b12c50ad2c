package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Modules on disk are read anew when their files change: each change concerns its own
// module, and what cannot be read changes nothing (C-288 said that it needs a restart).
func TestModulesThatChangeOnDiskArePutInForceWhole(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	hook := func(key string) string {
		return script("onStartup: 1", `echo started >> "`+b.Dir+`/starts"
echo '{"op":"add","path":"/rereadHooked/`+key+`","value":"found"}' > "$VALUES_JSON_PATCH_PATH"`)
	}
	starts := func() int {
		text, _ := os.ReadFile(filepath.Join(b.Dir, "starts"))
		return strings.Count(string(text), "started")
	}
	b.files(map[string]string{
		"modules/values.yaml":                   "rereadPlainEnabled: true\nrereadHookedEnabled: true\nrereadNewEnabled: true\n",
		"modules/100-reread-hooked/hooks/on.sh": hook("first"),
		"modules/100-reread-plain/values.yaml":  "rereadPlain: {size: small}\n",
	})
	b.chart("100-reread-hooked", shown("reread-hooked", "first", "{{ .Values.rereadHooked.first | quote }}", "second", "{{ .Values.rereadHooked.second | quote }}"))
	b.chart("100-reread-plain", shown("reread-plain", "size", "{{ .Values.rereadPlain.size }}"))
	b.settings(nil)
	b.start()
	b.ready("reread-plain", "reread-hooked")
	b.converged()
	if !b.shows("reread-hooked", "first", "found") || starts() != 1 {
		t.Fatal("the hook's first fact must be shown")
	}

	t.Log("a template and a static value change")
	b.files(map[string]string{"modules/100-reread-plain/values.yaml": "rereadPlain: {size: large}\n"})
	b.chart("100-reread-plain", shown("reread-plain", "size", "{{ .Values.rereadPlain.size }}", "more", "here"))
	b.eventually(func() bool {
		return b.shows("reread-plain", "size", "large") && b.shows("reread-plain", "more", "here")
	}, "the new version is shown")
	b.converged()
	if starts() != 1 || b.revision("reread-hooked") != 1 {
		t.Error("the other module must not have been touched")
	}

	t.Log("a module is added")
	b.chart("050-reread-new", shown("reread-new", "is", "new"))
	b.ready("reread-new")

	t.Log("a schema breaks")
	revisions := b.revisions("reread-plain")
	b.files(map[string]string{"modules/100-reread-plain/openapi/values.yaml": "type: [\n"})
	b.wants("reread-plain", "Ready", "False ModuleInvalid", "openapi", "stays in force")
	b.converged()
	b.sameRevisions(revisions)
	if !b.shows("reread-plain", "size", "large") {
		t.Error("what runs must stay as it is")
	}
	b.files(map[string]string{"modules/100-reread-plain/openapi/values.yaml": "type: object\nproperties: {size: {type: string}}\n"})
	b.ready("reread-plain")

	t.Log("a hook changes: it starts anew, and what it does not write again is gone")
	b.files(map[string]string{"modules/100-reread-hooked/hooks/on.sh": hook("second")})
	b.eventually(func() bool {
		return b.shows("reread-hooked", "second", "found") && b.shows("reread-hooked", "first", "")
	}, "the new fact is shown, the old one is gone")
	if starts() != 2 {
		t.Errorf("%d starts of the hook, expected 2", starts())
	}
	b.ready("reread-hooked")
	b.converged()

	t.Log("a directory goes: the release stays; and is back")
	revisions = b.revisions("reread-plain")
	from, to := filepath.Join(b.Config.ModulesDir, "100-reread-plain"), filepath.Join(b.Dir, "away")
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	b.wants("reread-plain", "Ready", "False ModuleMissing", "its release stays as it is")
	b.converged()
	if !b.exists("reread-plain") {
		t.Error("nothing may be removed because a directory is missing")
	}
	if err := os.Rename(to, from); err != nil {
		t.Fatal(err)
	}
	b.ready("reread-plain")
	b.converged()
	b.sameRevisions(revisions)
}

// Global hooks and common values are read anew as well.
func TestGlobalHooksThatChangeOnDiskStartAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	hook := func(value string) string {
		return script("onStartup: 1", `echo '{"op":"add","path":"/global/found","value":"`+value+`"}' > "$VALUES_JSON_PATCH_PATH"`)
	}
	b.files(map[string]string{
		"modules/values.yaml":       "rereadGlobalEnabled: true\nglobal: {common: old}\n",
		"global-hooks/hooks/one.sh": hook("one"),
	})
	b.chart("100-reread-global", shown("reread-global", "found", "{{ .Values.global.found }}", "common", "{{ .Values.global.common }}"))
	b.settings(nil)
	b.start()
	b.ready("reread-global")
	b.files(map[string]string{"global-hooks/hooks/one.sh": hook("two")})
	b.eventually(func() bool { return b.shows("reread-global", "found", "two") }, "the new hook's fact is shown")
	b.files(map[string]string{"modules/values.yaml": "rereadGlobalEnabled: true\nglobal: {common: new}\n"})
	b.eventually(func() bool { return b.shows("reread-global", "common", "new") }, "the new common value is shown")
	b.files(map[string]string{"modules/values.yaml": "rereadGlobalEnabled: [\n"})
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "ModulesUnreadable", "stays in force") }, "the operator tells of values it cannot read")
	b.ready("reread-global")
}

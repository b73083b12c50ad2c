package operator_test

import (
	"strings"
	"testing"
)

const noteSchema = `type: object
properties:
  note: {type: string, default: none}
  generated: {type: string}
`

// C-316, C-371 … C-380: an edit concerns the module it is about; one that cannot
// be used changes nothing and is explained.
func TestAnEditConcernsOneModuleAndAnInvalidOneNone(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for dir, key := range map[string]string{"100-edit-a": "editA", "100-edit-b": "editB"} {
		b.chart(dir, shown(strings.TrimPrefix(dir, "100-"), "note", "{{ .Values."+key+".note | quote }}"))
		b.files(map[string]string{"modules/" + dir + "/openapi/config-values.yaml": noteSchema})
	}
	b.settings(map[string]string{"editAEnabled": "true", "editBEnabled": "true", "editA": "note: one\n"})
	b.start()
	b.ready("edit-a", "edit-b")
	if got := b.revisions("edit-a", "edit-b"); got["edit-a"] != 1 || got["edit-b"] != 1 {
		t.Fatalf("revisions after the first start: %v", got)
	}

	b.edit("editA", "note: two\n")
	b.eventually(func() bool { return b.shows("edit-a", "note", "two") }, "the edited note is shown")
	b.converged()
	b.sameRevisions(map[string]int{"edit-a": 2, "edit-b": 1})

	for sentence, text := range map[string]string{
		"a violation of the schema": "note: 5\n",
		"a key the schema forbids":  "remark: hello\n",
		"broken YAML":               "note: [\n",
		"text in place of a map":    "hello\n",
	} {
		b.edit("editA", text)
		b.wants("edit-a", "ConfigValid", "False ConfigInvalid")
		b.wants("edit-a", "Ready", "False ConfigInvalid")
		message, _, _ := strings.Cut(strings.TrimPrefix(b.condition("edit-a", "ConfigValid"), "False ConfigInvalid "), " (until")
		b.eventually(func() bool { return b.event("edit-a", "ConfigInvalid", message[:min(len(message), 60)]) }, "%s: an Event says %q", sentence, message)
		if !strings.Contains(b.log.String(), "ConfigMap key is not used") {
			t.Errorf("%s: the log does not explain it", sentence)
		}
		b.edit("editA", "note: two\n")
		b.wants("edit-a", "ConfigValid", "True")
		b.ready("edit-a")
	}
	b.sameRevisions(map[string]int{"edit-a": 2, "edit-b": 1})

	// One bad key holds up no other key of the same edit.
	b.edit("editA", "note: 5\n", "editB", "note: fine\n")
	b.eventually(func() bool { return b.shows("edit-b", "note", "fine") }, "the good key is used")
	b.wants("edit-a", "Ready", "False ConfigInvalid", "note")
	b.ready("edit-b")
	b.sameRevisions(map[string]int{"edit-a": 2, "edit-b": 2})
	b.edit("editA", "note: two\n")
	b.wants("edit-a", "ConfigValid", "True")

	b.edit("editAEnabled", "yes")
	b.wants("edit-a", "ConfigValid", "False ConfigInvalid", `exactly "true" or "false"`)
	b.wants("edit-a", "Enabled", "True")
	b.eventually(func() bool { return b.event("edit-a", "ConfigInvalid", "exactly") }, "an Event explains the flag")
	b.edit("editAEnabled", "true", "global", "just text\n")
	b.wants("edit-a", "ConfigValid", "False ConfigInvalid", "the global section", "expected an object", "the last valid value stays in force")
	b.wants("edit-b", "Ready", "False ConfigInvalid", "the global section")
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "ConfigInvalid", "expected an object") }, "an Event explains the global section")
	b.edit("global", "")
	b.ready("edit-a", "edit-b")
	b.converged()
	b.sameRevisions(map[string]int{"edit-a": 2, "edit-b": 2})
	if !b.shows("edit-a", "note", "two") {
		t.Error("an invalid edit changed what runs")
	}
}

const settingsWithComments = `# why this module is here
note: first # asked for by the network team

# kept for later
# generated: no
`

// C-327, C-380: a config patch leaves the user's text alone and wakes nobody.
func TestCommentsOfTheUserSurviveTheConfigPatchOfAHook(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-comment-a", shown("comment-a", "generated", "{{ .Values.commentA.generated | quote }}", "note", "{{ .Values.commentA.note | quote }}"))
	b.chart("100-comment-b", shown("comment-b", "note", "here"))
	b.files(map[string]string{
		"modules/100-comment-a/openapi/config-values.yaml": noteSchema,
		"modules/100-comment-a/hooks/generate.sh": script("beforeHelm: 1",
			`if [[ $(jq -r .commentA.generated "$CONFIG_VALUES_PATH") == null ]]; then
  echo '[{"op":"add","path":"/commentA/generated","value":"by the hook"}]' > "$CONFIG_VALUES_JSON_PATCH_PATH"
fi`),
	})
	other := "# not yours\n{}  # nothing\n"
	b.settings(map[string]string{"commentAEnabled": "true", "commentBEnabled": "true", "commentA": settingsWithComments, "commentB": other})
	b.start()
	b.ready("comment-a", "comment-b")
	b.eventually(func() bool { return b.shows("comment-a", "generated", "by the hook") }, "the generated value is shown")
	text := b.setting("commentA")
	for _, line := range strings.Split(strings.TrimSpace(settingsWithComments), "\n") {
		if !strings.Contains(text, line) {
			t.Errorf("the line %q is lost; the text is now\n%s", line, text)
		}
	}
	if !strings.Contains(text, "generated: by the hook") {
		t.Errorf("the patch is not in the text:\n%s", text)
	}
	if got := b.setting("commentB"); got != other {
		t.Errorf("another key was written: %q", got)
	}
	b.converged()
	b.sameRevisions(map[string]int{"comment-a": 1, "comment-b": 1})

	b.edit("commentA", strings.Replace(text, "first", "second", 1))
	b.eventually(func() bool { return b.shows("comment-a", "note", "second") }, "the user's edit is shown")
	b.converged()
	b.sameRevisions(map[string]int{"comment-a": 2, "comment-b": 1})
	if !b.shows("comment-a", "generated", "by the hook") {
		t.Error("the generated value is lost")
	}
}

package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// C-377, C-382: an absent ConfigMap switches nothing off.
func TestAnAbsentConfigMapUninstallsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-absent-a", shown("absent-a", "is", "here"))
	b.chart("100-absent-b", shown("absent-b", "is", "here"))
	b.settings(map[string]string{"absentAEnabled": "true", "absentBEnabled": "true"})
	stop := b.start()
	b.ready("absent-a", "absent-b")
	remove := func() {
		t.Helper()
		if err := b.Client.CoreV1().ConfigMaps(b.Namespace).Delete(b.ctx, b.Config.ConfigMap, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "ConfigMissing", "the last decisions stand") }, "an Event tells that the ConfigMap is gone")
	b.converged()
	b.sameRevisions(map[string]int{"absent-a": 1, "absent-b": 1})

	missing := func() {
		t.Helper()
		for _, name := range []string{"absent-a", "absent-b"} {
			b.eventually(func() bool { return strings.HasPrefix(b.condition(name, "Ready"), "False ConfigMissing") }, "%s says that its settings are missing", name)
		}
	}
	missing()

	// A process that never saw the ConfigMap knows no settings, so it upgrades nothing.
	stop()
	b.start()
	b.converged()
	missing()
	b.sameRevisions(map[string]int{"absent-a": 1, "absent-b": 1})

	// One that is back speaks again.
	b.settings(map[string]string{"absentAEnabled": "true"})
	b.eventually(func() bool { return b.revision("absent-b") == 0 }, "what the ConfigMap no longer enables is removed")
	b.ready("absent-a")
	b.sameRevisions(map[string]int{"absent-a": 1})
}

// A directory that is gone ends the start with a reason; one that is empty or has
// lost a module keeps every release.
func TestMissingModulesUninstallNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.Config.PurgeGrace = time.Hour
	b.chart("100-missing-a", shown("missing-a", "is", "here"))
	b.chart("100-missing-b", shown("missing-b", "is", "here"))
	b.settings(map[string]string{"missingAEnabled": "true", "missingBEnabled": "true"})
	stop := b.start()
	b.ready("missing-a", "missing-b")
	stop()

	elsewhere := filepath.Join(b.Dir, "elsewhere")
	if err := os.Rename(b.Config.ModulesDir, elsewhere); err != nil {
		t.Fatal(err)
	}
	err := operator.Run(b.ctx, b.Config)
	if err == nil || !strings.Contains(err.Error(), b.Config.ModulesDir) {
		t.Errorf("a start without the modules directory: %v", err)
	}

	if err := os.Mkdir(b.Config.ModulesDir, 0o755); err != nil {
		t.Fatal(err)
	}
	stop = b.start()
	b.converged()
	b.wants("missing-a", "Ready", "False ModuleMissing", "in no modules directory")
	b.eventually(func() bool { return b.event("missing-b", "ModuleMissing", "stays") }, "an Event tells of the missing module")
	stop()
	b.sameRevisions(map[string]int{"missing-a": 1, "missing-b": 1})

	if err := os.Rename(filepath.Join(elsewhere, "100-missing-a"), filepath.Join(b.Config.ModulesDir, "100-missing-a")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.ready("missing-a")
	b.wants("missing-b", "Ready", "False ModuleMissing")
	b.sameRevisions(map[string]int{"missing-a": 1, "missing-b": 1})
}

// A module that cannot be read keeps its release and says why.
func TestAModuleThatCannotBeReadKeepsItsRelease(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.Config.PurgeGrace = time.Second
	b.chart("100-unread-a", shown("unread-a", "is", "here"))
	b.chart("100-unread-b", shown("unread-b", "is", "here"))
	b.settings(map[string]string{"unreadAEnabled": "true", "unreadBEnabled": "true"})
	stop := b.start()
	b.ready("unread-a", "unread-b")
	stop()
	b.files(map[string]string{"modules/100-unread-a/module.yaml": "requires: 5\n"})
	b.start()
	b.ready("unread-b")
	b.wants("unread-a", "Ready", "False ModuleMissing", "requires")
	b.sameRevisions(map[string]int{"unread-a": 1, "unread-b": 1})
}

// Before global hooks have spoken for the first time nothing is switched on or
// off, except by the user's explicit word.
func TestAFailingGlobalHookUninstallsNothing(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.chart("100-patient-a", shown("patient-a", "is", "here"))
	b.chart("100-patient-b", shown("patient-b", "is", "here"))
	flag := script("onStartup: 1", `echo '{"op":"add","path":"/patientBEnabled","value":true}' > "$VALUES_JSON_PATCH_PATH"`)
	b.files(map[string]string{"global-hooks/hooks/flags.sh": flag})
	b.settings(map[string]string{"patientAEnabled": "true"})
	stop := b.start()
	b.ready("patient-a", "patient-b") // b by the dynamic flag
	stop()

	b.files(map[string]string{"global-hooks/hooks/flags.sh": script("onStartup: 1", `echo "the cloud is away" >&2; exit 1`)})
	b.start()
	b.wants("patient-b", "Ready", "False WaitingForGlobalHook", "flags.sh", "the cloud is away")
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "HookFailed", "the cloud is away") }, "an Event names the hook")
	b.sameRevisions(map[string]int{"patient-a": 1, "patient-b": 1})

	b.edit("patientAEnabled", "false")
	b.eventually(func() bool { return b.revision("patient-a") == 0 && !b.exists("patient-a") }, "the user's explicit word acts at once")
	b.sameRevisions(map[string]int{"patient-b": 1})

	b.files(map[string]string{"global-hooks/hooks/flags.sh": flag})
	b.ready("patient-b")
	b.sameRevisions(map[string]int{"patient-b": 1})
}

// Purge: announced, after the grace, and only what is ours.
func TestAReleaseWithoutModuleIsPurgedAfterTheGrace(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.Config.PurgeGrace = time.Second
	b.chart("100-purged", shown("purged", "is", "here"))
	b.chart("100-stays", shown("stays", "is", "here"))
	b.settings(map[string]string{"purgedEnabled": "true", "staysEnabled": "true"})
	stop := b.start()
	b.ready("purged", "stays")
	stop()
	if err := os.RemoveAll(filepath.Join(b.Config.ModulesDir, "100-purged")); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.eventually(func() bool { return b.revision("purged") == 0 && !b.exists("purged") }, "the release is purged")
	b.eventually(func() bool { return b.event(b.Config.ConfigMap, "Purge", "purged") }, "an Event announced it")
	b.eventually(func() bool { return b.module("purged") == nil }, "the Module resource of a purged release is gone")
	b.sameRevisions(map[string]int{"stays": 1})
}

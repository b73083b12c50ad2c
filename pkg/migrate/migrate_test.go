package migrate

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/utils/ptr"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// facts are of a cluster for which there is nothing to change.
func facts() Facts {
	return Facts{
		Namespace: "addons", ConfigMap: "addon-operator",
		Operators: []Operator{{Object: "Deployment addons/addon-operator", Replicas: 1, Env: map[string]string{"ADDON_OPERATOR_NAMESPACE": "", "ADDON_OPERATOR_HA": "true"}}},
		Settings:  map[string]string{"podReloader": "replicas: 2", "podReloaderEnabled": "true"},
		Modules: &module.Set{Modules: []*module.Descriptor{{Name: "pod-reloader", Key: "podReloader"},
			{Name: "spare", Key: "spare", StaticEnabled: ptr.To(true)}, {Name: "off", Key: "off"}},
			Broken: map[string]error{}},
	}
}

func release(name, checksum string) installed.Release {
	return installed.Release{Name: name, Revision: 3, Status: installed.Deployed, PredecessorChecksum: checksum}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Facts)
		kind   Kind
		object string // contained in the finding's
		text   string // contained in the finding's What
	}{
		"C-435: a release of the predecessor is taken over": {func(f *Facts) { f.Releases = []installed.Release{release("pod-reloader", "c")} }, Takes, "release addons/pod-reloader", "taken over by one upgrade"},
		"static values may switch a module on":              {func(f *Facts) { f.Releases = []installed.Release{release("spare", "c")} }, Takes, "spare", "one upgrade"},
		"a release of plain Helm is taken over":             {func(f *Facts) { f.Releases = []installed.Release{release("pod-reloader", "")} }, Takes, "pod-reloader", "made by Helm"},
		"C-426: a release of no module is left":             {func(f *Facts) { f.Releases = []installed.Release{release("own-app", "")} }, Differs, "own-app", "left alone"},
		"a release whose module is off goes":                {func(f *Facts) { f.Releases = []installed.Release{release("off", "c")} }, Differs, "release addons/off", "is uninstalled"},
		"one of plain Helm whose module is off stays":       {func(f *Facts) { f.Releases = []installed.Release{release("off", "")} }, Takes, "release addons/off", "left alone"},
		"a release whose module cannot be read stays": {func(f *Facts) {
			f.Modules.Broken["sick"] = errors.New("no")
			f.Releases = []installed.Release{release("sick", "c")}
		}, Takes, "sick", "left as it is"},
		"C-437: an action that was cut short": {func(f *Facts) {
			r := release("pod-reloader", "c")
			r.Status = installed.PendingUpgrade
			f.Releases = []installed.Release{r}
		}, Takes, "pod-reloader", "cut short"},
		"a release of this operator": {func(f *Facts) {
			r := release("pod-reloader", "")
			r.Instance = "addons.addon-operator"
			f.Releases = []installed.Release{r}
		}, Takes, "pod-reloader", "already"},
		"a release of another operator": {func(f *Facts) {
			r := release("pod-reloader", "")
			r.Instance = "b.c"
			f.Releases = []installed.Release{r}
		}, Takes, "pod-reloader", "another operator"},
		"releases without directories of modules":      {func(f *Facts) { f.Modules = nil; f.Releases = []installed.Release{release("x", "c")} }, Takes, "release addons/x", "if there is a module"},
		"C-431: records in ConfigMaps":                 {func(f *Facts) { f.Elsewhere = []string{"old"} }, Change, "release addons/old", "ConfigMaps"},
		"C-372: a section that is no map":              {func(f *Facts) { f.Settings["spare"] = "text" }, Change, "key spare", "this key alone"},
		"C-373: a flag that is neither true nor false": {func(f *Facts) { f.Settings["spareEnabled"] = "yes" }, Change, "key spareEnabled", `"yes"`},
		"C-373: the old way to switch a module off":    {func(f *Facts) { f.Settings["spare"] = "false" }, Change, "key spare", ""},
		"C-374: a key that is not camelCase":           {func(f *Facts) { f.Settings["pod-reloader"] = "{}" }, Change, "key pod-reloader", "camelCased"},
		"C-374: a section of no module":                {func(f *Facts) { f.Settings["nobody"] = "a: 1" }, Differs, "key nobody", "no module"},
		"a flag of no module":                          {func(f *Facts) { f.Settings["nobodyEnabled"] = "true" }, Differs, "key nobodyEnabled", "no module"},
		"C-377: no ConfigMap":                          {func(f *Facts) { f.Settings = nil }, Differs, "ConfigMap addons/addon-operator", "does not exist"},
		"C-430: variables of Helm 2":                   {func(f *Facts) { f.Operators[0].Env["HELM2"] = "yes" }, Change, "Deployment", "Helm 2"},
		"C-430: nelm":                                  {func(f *Facts) { f.Operators[0].Env["USE_NELM"] = "true" }, Differs, "Deployment", "Helm's own library"},
		"C-339: other deciders":                        {func(f *Facts) { f.Operators[0].Env["ADDON_OPERATOR_APPLIED_MODULE_EXTENDERS"] = "Static" }, Change, "Deployment", "C-339"},
		"a chroot of hooks":                            {func(f *Facts) { f.Operators[0].Env["ADDON_OPERATOR_SHELL_CHROOT_DIR"] = "/c" }, Change, "Deployment", "root"},
		"C-431: another driver":                        {func(f *Facts) { f.Operators[0].Env["HELM_DRIVER"] = "sql" }, Change, "Deployment", "Secrets"},
		"C-462: variables that were not read":          {func(f *Facts) { f.Operators[0].Env["MODULES_DIR"] = "/m" }, Differs, "Deployment", "C-462"},
		"several replicas without a Lease":             {func(f *Facts) { f.Operators[0].Env = nil; f.Operators[0].Replicas = 2 }, Change, "Deployment", "2 replicas"},
		"one replica without a Lease":                  {func(f *Facts) { f.Operators[0].Env = nil }, Step, "Deployment", "without the Lease"},
		"no Deployment":                                {func(f *Facts) { f.Operators = nil }, Differs, "namespace addons", "no Deployment"},
		"C-450: a Lease that is held": {func(f *Facts) {
			f.Lease = &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("op.1-2-3-4.addons.pod")}}
		}, Step, "Lease", "op.1-2-3-4"},
		"a module that cannot be read": {func(f *Facts) { f.Modules.Broken["sick"] = errors.New("bad schema") }, Change, "module sick", "bad schema"},
		"a module with a warning":      {func(f *Facts) { f.Modules.Modules[0].Warnings = []string{"enabled is not executable"} }, Differs, "module pod-reloader", "not executable"},
		"a hook that is refused":       {func(f *Facts) { f.Hooks = []Hook{{File: "hooks/a.sh", Message: "unknown key", Refused: true}} }, Change, "hook hooks/a.sh", "unknown key"},
		"no directories":               {func(f *Facts) { f.Modules = nil }, Step, "modules", "no directories"},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			if Changes(Check(f)) {
				t.Fatalf("the facts are not good to begin with: %+v", Check(f))
			}
			c.change(&f)
			found := Check(f)
			for _, x := range found {
				if x.Kind == c.kind && strings.Contains(x.Object, c.object) && strings.Contains(x.What, c.text) {
					if x.Kind == Change && x.WayOut == "" {
						t.Errorf("no way out: %+v", x)
					}
					if c.kind == Change && !Changes(found) {
						t.Error("nothing has to be changed")
					}
					return
				}
			}
			t.Errorf("no %s of %s with %q among %+v", c.kind, c.object, c.text, found)
		})
	}
}

func TestHarmlessValuesAreNoFindings(t *testing.T) {
	f := facts()
	for name, value := range map[string]string{"HELM_DRIVER": "Secrets", "USE_NELM": "false", "ADDON_OPERATOR_ADMISSION_SERVER_ENABLED": "false",
		"ADDON_OPERATOR_APPLIED_MODULE_EXTENDERS": "Static,DynamicallyEnabled,KubeConfig,ScriptEnabled"} {
		f.Operators[0].Env[name] = value
	}
	for _, x := range Check(f) {
		if strings.HasPrefix(x.Object, "Deployment") {
			t.Errorf("%+v", x)
		}
	}
}

func TestWhatHasToBeChangedComesFirst(t *testing.T) {
	f := facts()
	f.Releases, f.Elsewhere = []installed.Release{release("pod-reloader", "c")}, []string{"old"}
	found := Check(f)
	var text bytes.Buffer
	if err := Print(&text, found); err != nil || !strings.HasPrefix(text.String(), string(Change)) || !strings.Contains(text.String(), "to change first: 1") {
		t.Errorf("%v\n%s", err, text.String())
	}
}

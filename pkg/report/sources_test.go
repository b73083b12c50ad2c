package report_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/source"
)

const publicKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEWcpMTzyAFjYS2zLTXyjQFUDUvtKG
q4j1vJmQnNuhqIi1nnbPXbhEfPcCdw1i4UHHbbTAlIzvHB2EFVdTmZJZDw==
-----END PUBLIC KEY-----
`

// source makes a ModuleSource of a spec in YAML; keys are added.
func (b *bed) source(name, spec string) (*unstructured.Unstructured, error) {
	b.t.Helper()
	var s map[string]any
	if err := yaml.Unmarshal([]byte(spec), &s); err != nil {
		b.t.Fatal(err)
	}
	if _, ok := s["verify"]; !ok {
		s["verify"] = map[string]any{"keys": []any{publicKey}}
	}
	return b.dynamic.Resource(report.Sources).Create(b.t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "addon-operator.io/v1alpha1", "kind": "ModuleSource", "metadata": map[string]any{"name": name}, "spec": s,
	}}, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

// of is a field of a resource, nil where there is none.
func (b *bed) of(res schema.GroupVersionResource, name string, path ...string) any {
	obj, err := b.dynamic.Resource(res).Get(b.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	v, _, _ := unstructured.NestedFieldNoCopy(obj.Object, path...)
	return v
}

// table is what kubectl get prints of one resource: the columns and the cells, without the age.
func (b *bed) table(res schema.GroupVersionResource, name string) (columns []string, cells []any) {
	b.t.Helper()
	text, err := b.typed.CoreV1().RESTClient().Get().AbsPath("/apis/addon-operator.io/v1alpha1/"+res.Resource+"/"+name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(text, &table); err != nil {
		b.t.Fatal(err)
	}
	for i, c := range table.ColumnDefinitions {
		if c.Priority != 0 {
			continue
		}
		columns = append(columns, strings.ToUpper(c.Name))
		if c.Name != "Age" {
			cells = append(cells, table.Rows[0].Cells[i])
		}
	}
	return columns, cells
}

func TestASpecOfAModuleSourceIsCheckedByTheAPIServer(t *testing.T) {
	b := newBed(t)
	long := strings.Repeat("n", 64)
	for sentence, c := range map[string]struct{ name, spec, want string }{
		"no URL":                              {"bad", "{}", "spec.url"},
		"another scheme":                      {"bad", "{url: 'https://host/root'}", "spec.url"},
		"a URL without a root":                {"bad", "{url: 'oci://host'}", "spec.url"},
		"a URL with credentials":              {"bad", "{url: 'oci://me:secret@host/root'}", "spec.url"},
		"a URL with a tag":                    {"bad", "{url: 'oci://host/root:tag'}", "spec.url"},
		"a layout with a relative path":       {"bad", "{url: 'oci-layout://a/b'}", "spec.url"},
		"nobody to trust":                     {"bad", "{url: 'oci://host/root', verify: {keys: []}}", "spec.verify.keys"},
		"a private key":                       {"bad", "{url: 'oci://host/root', verify: {keys: ['-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----']}}", "spec.verify.keys"},
		"two authorities":                     {"bad", "{url: 'oci://host/root', ca: {secretRef: {name: a}, configMapRef: {name: b}}}", "name one of secretRef and configMapRef"},
		"no authority":                        {"bad", "{url: 'oci://host/root', ca: {}}", "name one of secretRef and configMapRef"},
		"an interval of days":                 {"bad", "{url: 'oci://host/root', interval: 2d}", "spec.interval"},
		"an interval of nothing":              {"bad", "{url: 'oci://host/root', interval: 0s}", "expected 1s to 168h"},
		"a timeout of an hour":                {"bad", "{url: 'oci://host/root', timeout: 1h}", "expected 1s to 10m"},
		"a channel as a tag of another":       {"bad", "{url: 'oci://host/root', channel: stable-184}", "that ends in -NUMBER"},
		"a channel with a slash":              {"bad", "{url: 'oci://host/root', channel: a/b}", "spec.channel"},
		"another mode":                        {"bad", "{url: 'oci://host/root', update: {mode: Never}}", "spec.update.mode"},
		"a window with seconds":               {"bad", "{url: 'oci://host/root', update: {windows: [{cron: '0 0 2 * * 6', duration: 4h}]}}", "spec.update.windows[0].cron"},
		"a window of no length":               {"bad", "{url: 'oci://host/root', update: {windows: [{cron: '0 2 * * 6', duration: 0m}]}}", "expected 1m to 168h"},
		"a freeze that ends before it begins": {"bad", "{url: 'oci://host/root', update: {freezes: [{from: '2027-01-03T00:00:00Z', to: '2026-12-20T00:00:00Z'}]}}", "from must be before to"},
		"a freeze of dates":                   {"bad", "{url: 'oci://host/root', update: {freezes: [{from: '2026-12-20', to: '2027-01-03'}]}}", "spec.update.freezes[0].from"},
		"a webhook that is a file":            {"bad", "{url: 'oci://host/root', update: {rollbackWebhook: 'file:///etc/passwd'}}", "spec.update.rollbackWebhook"},
		"a field that does not exist":         {"bad", "{url: 'oci://host/root', chanel: ea}", "chanel"},
		"the name of what lies on disk":       {"embedded", "{url: 'oci://host/root'}", "stands for the modules in the operator"},
		"a name that is no label":             {long, "{url: 'oci://host/root'}", "at most 63 characters"},
	} {
		_, err := b.source(c.name, c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: expected an error with %q, got: %v", sentence, c.want, err)
		}
	}
}

func TestAModuleSourceGetsDefaultsAndMayHaveEverything(t *testing.T) {
	b := newBed(t)
	obj, err := b.source("defaults", "{url: 'oci-layout:///srv/modules of ours'}")
	if err != nil {
		t.Fatal(err)
	}
	spec := obj.Object["spec"].(map[string]any)
	update := spec["update"].(map[string]any)
	for name, want := range map[string]any{"interval": "5m", "timeout": "30s", "plainHTTP": false, "suspend": false} {
		if spec[name] != want {
			t.Errorf("spec.%s: %v, expected %v", name, spec[name], want)
		}
	}
	for name, want := range map[string]any{"mode": "Auto", "soak": "5m", "timeout": "15m", "urgentIgnoresWindows": false, "leaveYanked": false} {
		if update[name] != want {
			t.Errorf("spec.update.%s: %v, expected %v", name, update[name], want)
		}
	}
	if _, err := b.source("everything", everything); err != nil {
		t.Fatal(err)
	}
	if got := b.of(report.Sources, "everything", "spec", "ca", "configMapRef", "key"); got != "ca.crt" {
		t.Error(got)
	}
}

// everything is a spec with all fields.
const everything = `
url: oci://registry.example.com:5000/modules/of_us
auth: {secretRef: {name: pull}}
ca: {configMapRef: {name: authorities}}
plainHTTP: true
interval: 1h30m
timeout: 10s
channel: my-feature
modules: [prometheus, "ingress-*"]
update:
  mode: Manual
  windows: [{cron: "0 2 * * 6", duration: 4h, timeZone: Europe/Berlin}]
  freezes: [{from: "2026-12-20T00:00:00+01:00", to: "2027-01-03T00:00:00+01:00"}]
  soak: 0s
  timeout: 1m
  urgentIgnoresWindows: true
  leaveYanked: true
  rollbackWebhook: https://example.com/hook?token=x
serviceAccountName: corp
suspend: true
`

func at(minute int) time.Time { return time.Date(2026, 11, 22, 10, minute, 0, 0, time.UTC) }

func TestAModuleSourceShowsItsStatus(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	defer stop()
	obj, err := b.source("shows", "{url: 'oci://host/root', channel: ea}")
	if err != nil {
		t.Fatal(err)
	}
	st := source.Status{
		Name: "shows", UID: string(obj.GetUID()), Generation: 1, Modules: 7, Polled: at(1), NextPoll: at(6),
		Conditions: []source.Condition{{Type: source.Available, Reason: "PollFailed", Message: "no answer"}, {Type: source.Stale, Status: true, Reason: "Expired", Message: "m"}},
		Channels:   []source.ChannelStatus{{Channel: "ea", Seq: 184, Digest: "sha256:ab", CreatedAt: at(0), Expires: at(59)}},
		Rejected:   []source.Rejected{{Module: "m", Version: "1.0.0", Digest: "sha256:cd", Reason: "Unhealthy", Time: at(2), Values: "not shown"}},
	}
	r.ReportSource(st)
	r.ReportSource(source.Status{Name: "nobody-made-it"})
	b.until(func() bool { return b.of(report.Sources, "shows", "status", "modules") == int64(7) })
	columns, cells := b.table(report.Sources, "shows")
	if want := []string{"NAME", "URL", "CHANNEL", "READY", "MODULES", "STALE", "REASON", "AGE"}; !slices.Equal(columns, want) {
		t.Error(columns)
	}
	if want := []any{"shows", "oci://host/root", "ea", "False", float64(7), "True", "PollFailed"}; !slices.Equal(cells, want) {
		t.Error(cells)
	}
	for field, want := range map[string]string{"rejected": `[{"digest":"sha256:cd","module":"m","reason":"Unhealthy","time":"2026-11-22T10:02:00Z","version":"1.0.0"}]`,
		"channels": `[{"channel":"ea","createdAt":"2026-11-22T10:00:00Z","digest":"sha256:ab","expiresAt":"2026-11-22T10:59:00Z","seq":184}]`} {
		if text, _ := json.Marshal(b.of(report.Sources, "shows", "status", field)); string(text) != want {
			t.Errorf("%s: %s", field, text)
		}
	}
	if _, err := b.dynamic.Resource(report.Sources).Get(t.Context(), "nobody-made-it", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("a ModuleSource was made: %v", err)
	}
	// Another one of the same name has the same status written.
	if err := b.dynamic.Resource(report.Sources).Delete(t.Context(), "shows", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	r.ReportSource(st)
	if obj, err = b.source("shows", "{url: 'oci://host/root', channel: ea}"); err != nil {
		t.Fatal(err)
	}
	st.UID = string(obj.GetUID())
	r.EventOnSource("shows", true, "PollFailed", "early")
	r.ReportSource(st)
	b.until(func() bool { return b.of(report.Sources, "shows", "status", "modules") == int64(7) })
	r.EventOnSource("shows", true, "PollFailed", "no answer")
	b.until(func() bool { return b.eventOn("ModuleSource", "shows", obj.GetUID()) != nil })
}

func (b *bed) eventOn(kind, name string, uid types.UID) *corev1.Event {
	list, err := b.typed.CoreV1().Events("default").List(b.t.Context(), metav1.ListOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name && e.InvolvedObject.UID == uid {
			return &e
		}
	}
	return nil
}

func TestAModuleReleaseShowsItsStateAndKeepsWhatItsUserWrote(t *testing.T) {
	b := newBed(t)
	r, stop := b.start(opened())
	defer stop()
	rel := source.Release{Module: "prometheus", Version: "2.7.1+Build.1", Digest: "sha256:0123456789abcdef", Source: "corp", Channel: "ea",
		Phase: source.Scheduled, Reason: "OutsideWindow", Message: "until Saturday", Since: at(0), NotBefore: at(30), Doc: 184, PromotedAt: at(0)}
	name := rel.Name()
	if name != "prometheus-2.7.1-build.1-01234567" {
		t.Error(name)
	}
	r.ReportRelease(rel)
	b.until(func() bool { return b.of(report.Releases, name, "status", "phase") == "Scheduled" })
	columns, cells := b.table(report.Releases, name)
	if want := []string{"NAME", "MODULE", "VERSION", "CHANNEL", "PHASE", "NOT-BEFORE", "APPROVED", "REASON", "AGE"}; !slices.Equal(columns, want) {
		t.Error(columns)
	}
	if want := []any{name, "prometheus", "2.7.1+Build.1", "ea", "Scheduled", "2026-11-22T10:30:00Z", nil, "OutsideWindow"}; !slices.Equal(cells, want) {
		t.Errorf("%#v", cells)
	}
	if labels, _ := b.of(report.Releases, name, "metadata", "labels").(map[string]any); labels["addon-operator.io/module"] != "prometheus" || labels["addon-operator.io/source"] != "corp" {
		t.Error(labels)
	}
	if _, err := b.dynamic.Resource(report.Releases).Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec": {"approved": true, "retry": "x"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	rel.Phase, rel.Approved, rel.ReadySince, rel.Retried = source.Verifying, true, at(5), "x"
	rel.NotBefore = time.Time{}
	before := b.patches.Load()
	for range 3 {
		r.ReportRelease(rel)
		b.until(func() bool { return b.of(report.Releases, name, "status", "phase") == "Verifying" })
	}
	if n := b.patches.Load() - before; n != 1 {
		t.Errorf("%d writes of one state", n)
	}
	if got := b.of(report.Releases, name, "spec", "retry"); got != "x" {
		t.Errorf("spec.retry is %v", got)
	}
	if _, cells := b.table(report.Releases, name); cells[6] != true || cells[5] != nil {
		t.Error(cells)
	}

	// What is overtaken goes; what somebody deletes comes back.
	old := source.Release{Module: "prometheus", Version: "2.6.4", Phase: source.Superseded}
	r.ReportRelease(old)
	b.until(func() bool { return b.of(report.Releases, old.Name(), "status", "phase") == "Superseded" })
	if err := b.dynamic.Resource(report.Releases).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.KeepReleases(t.Context(), map[string]bool{name: true}); err != nil {
		t.Fatal(err)
	}
	b.until(func() bool { return b.of(report.Releases, name, "status", "phase") == "Verifying" })
	if _, err := b.dynamic.Resource(report.Releases).Get(t.Context(), old.Name(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the overtaken release is still there: %v", err)
	}
}

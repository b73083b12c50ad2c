package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/testkit"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

const prometheusSchema = `
type: object
properties:
  retention: {type: string}
  size: {type: integer}
  edits: {type: object, additionalProperties: {type: string}}
  auth: {type: object, properties: {user: {type: string}, password: {type: string, x-secret: true}}}
`

// fixture is a Store on a namespace of its own.
type fixture struct {
	*Store
	t      *testing.T
	client kubernetes.Interface
	ns     string
	clock  atomic.Int64 // seconds

	mu       sync.Mutex
	notified []string
}

func setup(t *testing.T) *fixture {
	t.Helper()
	cfg := rest.CopyConfig(testkit.Cluster(t))
	// Idle connections would look like leaks.
	cfg.UserAgent = t.Name()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, client: client}
	ns, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "config-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.ns = ns.Name
	f.Store = f.another()
	return f
}

// another is a Store as after a restart.
func (f *fixture) another() *Store {
	set, err := schema.Load([]byte(prometheusSchema), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return New(Config{
		Client: f.client, Namespace: f.ns, Name: "addon-operator",
		Schemas: func(section string) *schema.Set {
			if section == "prometheus" {
				return &set
			}
			return nil
		},
		Notify: func(key, reason, message string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.notified = append(f.notified, key+" "+reason+" "+message)
		},
		Now: func() time.Time { return time.Unix(f.clock.Load(), 0) },
	})
}

func (f *fixture) user(data map[string]string) {
	f.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "addon-operator"}, Data: data}
	_, err := f.client.CoreV1().ConfigMaps(f.ns).Create(f.t.Context(), cm, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		f.edit(func(cm *corev1.ConfigMap) { cm.Data = data })
		return
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// edit is what `kubectl edit` does: read, change, write, and again on conflict.
func (f *fixture) edit(change func(*corev1.ConfigMap)) {
	f.t.Helper()
	for {
		cm := f.configMap("addon-operator")
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		change(cm)
		_, err := f.client.CoreV1().ConfigMaps(f.ns).Update(f.t.Context(), cm, metav1.UpdateOptions{})
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			f.t.Error(err)
			return
		}
	}
}

func (f *fixture) configMap(name string) *corev1.ConfigMap {
	f.t.Helper()
	cm, err := f.client.CoreV1().ConfigMaps(f.ns).Get(f.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return cm
}

func (f *fixture) secret() map[string]string {
	f.t.Helper()
	s, err := f.client.CoreV1().Secrets(f.ns).Get(f.t.Context(), "addon-operator-values", metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}
	return out
}

func (f *fixture) load() settings.Settings {
	f.t.Helper()
	now, err := f.Load(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return now
}

func (f *fixture) patch(text string) (settings.Settings, error) {
	f.t.Helper()
	ops, err := values.ParsePatch([]byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.Patch(f.t.Context(), "prometheus", ops)
}

func (f *fixture) mustPatch(text string) settings.Settings {
	f.t.Helper()
	now, err := f.patch(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return now
}

// run runs the Store until the test ends; readings come on the channel.
func (f *fixture) run() <-chan settings.Settings {
	ctx, stop := context.WithCancel(context.Background())
	out := make(chan settings.Settings, 1000)
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, func(s settings.Settings) { out <- s }) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
	return out
}

func (f *fixture) next(ch <-chan settings.Settings) settings.Settings {
	f.t.Helper()
	select {
	case s := <-ch:
		return s
	case <-time.After(time.Minute):
		f.t.Fatal("no reading was handed on")
		return settings.Settings{}
	}
}

func TestAnAbsentConfigMapIsReadAsSuch(t *testing.T) { // C-377, B-02
	f := setup(t)
	if got := f.load(); got.Exists || len(got.Sections) > 0 || got.Problems != nil {
		t.Errorf("%+v", got)
	}
	readings := f.run()
	f.user(map[string]string{"prometheus": "retention: 1d", "prometheusEnabled": "true"})
	got := f.next(readings)
	if !got.Exists || !got.Enabled["prometheus"] || got.Sections["prometheus"]["retention"] != "1d" {
		t.Errorf("%+v", got)
	}
	if err := f.client.CoreV1().ConfigMaps(f.ns).Delete(t.Context(), "addon-operator", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := f.next(readings); got.Exists {
		t.Errorf("deleted: %+v", got)
	}
	if _, err := f.patch(`{"op":"add","path":"/prometheus/retention","value":"2d"}`); !errors.Is(err, ErrMissing) {
		t.Errorf("a deleted ConfigMap must not be made anew with one section: %v", err)
	}
}

func TestLoadFailsOnlyWhenTheAPICannotBeRead(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{"prometheus": "a: [", "bad-key": "x"})
	if got := f.load(); len(got.Problems) != 2 {
		t.Errorf("%+v", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := f.Load(ctx); err == nil {
		t.Error("expected the API's error")
	}
}

func TestOwnWritesWakeNobody(t *testing.T) { // C-380, B-05
	f := setup(t)
	f.user(map[string]string{"prometheus": "retention: 1d", "other": "a: 1"})
	f.load()
	readings := f.run()
	for i := range 10 {
		got := f.mustPatch(fmt.Sprintf(`[{"op":"add","path":"/prometheus/size","value":%d},{"op":"add","path":"/prometheus/auth","value":{"password":"p%d"}}]`, i, i))
		if got.Sections["prometheus"]["size"] != int64(i) {
			t.Fatalf("%+v", got)
		}
	}
	if err := f.SaveFacts(t.Context(), settings.Facts{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["other"] = "a: 2" })
	got := f.next(readings)
	if got.Sections["other"]["a"] != int64(2) || got.Sections["prometheus"]["size"] != int64(9) {
		t.Errorf("the first reading handed on must be the user's edit: %+v", got)
	}
	// A comment changes the text, not what it means.
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["other"] = "a: 2 # two" })
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["other"] = "a: 3" })
	if got := f.next(readings); got.Sections["other"]["a"] != int64(3) {
		t.Errorf("%+v", got)
	}
	select {
	case got := <-readings:
		t.Errorf("one reading too many: %+v", got)
	default:
	}
}

// An edit of another section that a patch met on its way is handed on by Run, for
// who patches looks at its own section only.
func TestEditsThatAPatchMeetsAreHandedOn(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{"prometheus": "retention: 1d", "other": "a: 1"})
	f.load()
	f.edit(func(cm *corev1.ConfigMap) { cm.Data["other"] = "a: 2"; cm.Data["otherEnabled"] = "true" })
	f.mustPatch(`{"op":"add","path":"/prometheus/size","value":1}`)
	got := f.next(f.run())
	if d := cmp.Diff(values.Map{"a": int64(2)}, got.Sections["other"]); d != "" || !got.Enabled["other"] {
		t.Error(d)
	}
}

func TestAPatchKeepsCommentsAndOtherKeys(t *testing.T) { // C-381, B-17
	f := setup(t)
	text := "# by the team\nretention: 15d   # agreed\n\nedits: {a: b}\n"
	f.user(map[string]string{"prometheus": text, "other": "# mine\na:   1"})
	f.edit(func(cm *corev1.ConfigMap) {
		cm.Labels, cm.Annotations = map[string]string{"l": "x"}, map[string]string{"a": "y"}
	})
	got := f.mustPatch(`{"op":"add","path":"/prometheus/size","value":5}`)
	if got.Sections["prometheus"]["size"] != int64(5) || got.Sections["prometheus"]["retention"] != "15d" {
		t.Errorf("%+v", got)
	}
	cm := f.configMap("addon-operator")
	if d := cmp.Diff(map[string]string{"prometheus": text + "size: 5\n", "other": "# mine\na:   1"}, cm.Data); d != "" {
		t.Error(d)
	}
	if cm.Labels["l"] != "x" || cm.Annotations["a"] != "y" {
		t.Error("labels and annotations must stay")
	}
	f.mustPatch(`{"op":"add","path":"/prometheus/size","value":5}`)
	if again := f.configMap("addon-operator"); again.ResourceVersion != cm.ResourceVersion {
		t.Error("a patch that changes nothing was written")
	}
	if got := f.mustPatch(`[{"op":"remove","path":"/prometheus/size"},{"op":"remove","path":"/prometheus/retention"},{"op":"remove","path":"/prometheus/edits"}]`); len(got.Sections["prometheus"]) != 0 {
		t.Errorf("%+v", got)
	}
	if text := f.configMap("addon-operator").Data["prometheus"]; !strings.HasSuffix(text, "{}\n") {
		t.Errorf("an empty section must be written as {}: %q", text)
	}
}

func TestAPatchMakesAnAbsentConfigMap(t *testing.T) { // C-377, C-381
	f := setup(t)
	f.load()
	got := f.mustPatch(`{"op":"add","path":"/prometheus/auth","value":{"password":"p"}}`)
	f.mustPatch(`{"op":"remove","path":"/prometheus/auth"}`)
	if !got.Exists { // {"auth": {}} is public
		t.Errorf("%+v", got)
	}
	if d := cmp.Diff(map[string]string{}, f.secret()); d != "" {
		t.Error(d)
	}
	if text := f.configMap("addon-operator").Data["prometheus"]; text != "{}\n" {
		t.Errorf("an empty section is written as {}: %q", text)
	}
}

func TestAPatchThatDoesNotFitChangesNothing(t *testing.T) { // C-323
	f := setup(t)
	f.user(map[string]string{"prometheus": "retention: 1d"})
	before := f.configMap("addon-operator").ResourceVersion
	for _, text := range []string{
		`{"op":"add","path":"/prometheus/none/x","value":1}`,
		`{"op":"add","path":"/prometheus","value":1}`,
		`{"op":"add","path":"/other","value":{}}`,
		`{"op":"remove","path":"/prometheus"}`,
	} {
		if _, err := f.patch(text); err == nil {
			t.Errorf("%s was carried out", text)
		}
	}
	f.user(map[string]string{"prometheus": "a: ["})
	if _, err := f.patch(`{"op":"add","path":"/prometheus/x","value":1}`); err == nil || !strings.Contains(err.Error(), "correct it") {
		t.Errorf("a text that is no YAML: %v", err)
	}
	if got := f.configMap("addon-operator"); got.Data["prometheus"] != "a: [" || got.ResourceVersion == before {
		t.Errorf("%v", got.Data)
	}
}

func TestNoEditIsLostBetween50UsersAndAHook(t *testing.T) { // C-327, B-06
	f := setup(t)
	f.user(map[string]string{"prometheus": "# kept\nedits: {}\nretention: 1d\n"})
	f.load()
	readings := f.run()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			f.edit(func(cm *corev1.ConfigMap) {
				cm.Data["prometheus"] += fmt.Sprintf("u%d: x # by user\n", i)
				cm.Data[fmt.Sprintf("u%dEnabled", i)] = "true"
			})
		})
	}
	for i := range 25 {
		wg.Go(func() {
			if _, err := f.patch(fmt.Sprintf(`[{"op":"add","path":"/prometheus/edits/h%d","value":"y"},{"op":"add","path":"/prometheus/auth","value":{"password":"p%d"}}]`, i, i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	last := f.another()
	got, err := last.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	edits, _ := got.Sections["prometheus"]["edits"].(values.Map)
	for i := range 50 {
		if got.Sections["prometheus"][fmt.Sprintf("u%d", i)] != "x" || !got.Enabled[strings.ToLower(fmt.Sprintf("U%d", i))] {
			t.Errorf("edit %d of a user is lost", i)
		}
	}
	for i := range 25 {
		if edits[fmt.Sprintf("h%d", i)] != "y" {
			t.Errorf("patch %d of a hook is lost", i)
		}
	}
	if text := f.configMap("addon-operator").Data["prometheus"]; strings.Count(text, "# by user") != 50 || !strings.HasPrefix(text, "# kept\n") {
		t.Errorf("comments are lost:\n%s", text)
	}
	for now := f.next(readings); len(now.Enabled) < 50; now = f.next(readings) {
	}
}

func TestSecretLeavesAreInNoConfigMap(t *testing.T) {
	f := setup(t)
	f.load()
	f.user(map[string]string{"other": "a: 1"})
	got := f.mustPatch(`[{"op":"add","path":"/prometheus/auth","value":{}},{"op":"add","path":"/prometheus/auth/password","value":"hunter2"},{"op":"add","path":"/prometheus/auth/user","value":"u"}]`)
	want := values.Map{"auth": values.Map{"user": "u", "password": "hunter2"}}
	if d := cmp.Diff(want, got.Sections["prometheus"]); d != "" {
		t.Error(d)
	}
	again, err := f.another().Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, again.Sections["prometheus"]); d != "" {
		t.Error(d)
	}
	text, _ := json.Marshal(f.configMap("addon-operator"))
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("%s", text)
	}
	if d := cmp.Diff(map[string]string{"config.prometheus": "auth:\n  password: hunter2\n"}, f.secret()); d != "" {
		t.Error(d)
	}
	readings := f.run()
	patch := []byte(`{"stringData":{"config.prometheus":"auth: {password: changed}"}}`)
	if _, err := f.client.CoreV1().Secrets(f.ns).Patch(t.Context(), "addon-operator-values", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	for now := f.next(readings); ; now = f.next(readings) {
		if auth, _ := now.Sections["prometheus"]["auth"].(values.Map); auth["password"] == "changed" {
			break
		}
	}
}

func TestASecretLeafOfTheUserMovesOnTheNextWrite(t *testing.T) {
	f := setup(t)
	section := "# by hand\nauth:\n  user: u\n  password: hunter2 # secret\n"
	applied, _ := json.Marshal(map[string]any{"kind": "ConfigMap", "data": map[string]string{"prometheus": section, "other": "x: y"}})
	f.user(map[string]string{"prometheus": section, "other": "x: y"})
	f.edit(func(cm *corev1.ConfigMap) {
		cm.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: string(applied)}
	})
	if _, err := f.client.CoreV1().Secrets(f.ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "addon-operator-values"},
		StringData: map[string]string{"config.prometheus": "auth: {password: old}", "facts.x": "{}"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if auth := f.load().Sections["prometheus"]["auth"].(values.Map); auth["password"] != "hunter2" {
		t.Errorf("what the user wrote must win: %v", auth)
	}
	got := f.mustPatch(`{"op":"add","path":"/prometheus/size","value":1}`)
	if auth := got.Sections["prometheus"]["auth"].(values.Map); auth["password"] != "hunter2" {
		t.Errorf("%v", auth)
	}
	cm := f.configMap("addon-operator")
	text, _ := json.Marshal(cm)
	if strings.Contains(string(text), "hunter2") {
		t.Errorf("%s", text)
	}
	if cm.Data["prometheus"] != "# by hand\nauth:\n  user: u\nsize: 1\n" {
		t.Error(cm.Data["prometheus"])
	}
	if !strings.Contains(cm.Annotations[corev1.LastAppliedConfigAnnotation], "user: u") {
		t.Errorf("the rest of the annotation must stay: %s", cm.Annotations)
	}
	if s := f.secret(); !strings.Contains(s["config.prometheus"], "hunter2") || s["facts.x"] != "{}" {
		t.Error(s)
	}
}

func TestABadKeyOfTheSecretKeepsItsLastLeaves(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{})
	f.mustPatch(`{"op":"add","path":"/prometheus/auth","value":{"password":"hunter2"}}`)
	readings := f.run()
	patch := []byte(`{"stringData":{"config.prometheus":"[hunter2"}}`)
	if _, err := f.client.CoreV1().Secrets(f.ns).Patch(t.Context(), "addon-operator-values", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	got := f.next(readings)
	for len(got.Problems) == 0 {
		got = f.next(readings)
	}
	if auth := got.Sections["prometheus"]["auth"].(values.Map); auth["password"] != "hunter2" {
		t.Errorf("%v", auth)
	}
	if p := got.Problems[0]; p.Key != "prometheus" || strings.Contains(p.Message, "hunter2") {
		t.Error(p)
	}
}

func TestAWriteUndoneThreeTimesIsNotRepeated(t *testing.T) {
	f := setup(t)
	f.user(map[string]string{"prometheus": "retention: 1d"})
	write := `{"op":"add","path":"/prometheus/retention","value":"2d"}`
	undo := func() { f.edit(func(cm *corev1.ConfigMap) { cm.Data["prometheus"] = "retention: 1d" }) }
	for range 3 {
		f.mustPatch(write)
		undo()
	}
	// A hook that changes its own mind is nobody's contest.
	for i := range 8 {
		f.mustPatch(fmt.Sprintf(`{"op":"add","path":"/prometheus/size","value":%d}`, i%2))
	}
	_, err := f.patch(write)
	if !errors.Is(err, ErrContested) || !strings.Contains(err.Error(), "prometheus.retention") {
		t.Fatalf("expected a contest, got %v", err)
	}
	if text := f.configMap("addon-operator").Data["prometheus"]; !strings.Contains(text, "1d") {
		t.Error(text)
	}
	f.mu.Lock()
	if len(f.notified) != 1 || !strings.Contains(f.notified[0], ReasonContested) {
		t.Error(f.notified)
	}
	f.mu.Unlock()
	f.clock.Add(601)
	if _, err := f.patch(write); err != nil {
		t.Errorf("after ten minutes it is tried again: %v", err)
	}
}

func TestFactsSurviveARestart(t *testing.T) {
	f := setup(t)
	empty, err := f.LoadFacts(t.Context())
	if err != nil || len(empty.Sets) > 0 {
		t.Fatal(err, empty)
	}
	op := func(path string, v any) values.Stamped {
		return values.Stamped{Op: values.Op{Op: "add", Path: path, Value: v}, Seq: 1}
	}
	facts := settings.Facts{
		Sets: map[string]map[string]settings.FactSet{
			"global":     {"hooks/a.sh": {HookDigest: "d", Ops: []values.Stamped{op("/global/x", int64(1))}}},
			"prometheus": {"b": {Ops: []values.Stamped{op("/prometheus/size", int64(2)), op("/prometheus/auth/password", "hunter2")}}},
		},
		Flags: map[string]settings.Flag{"prometheus": {On: true, Hook: "a"}}, Decisions: map[string]bool{"prometheus": true}, Seq: 3,
		Channels: source.Memory{
			Marks:  map[string]source.Mark{"oci://host/root ea": {Seq: 7, Digest: "sha256:ab"}},
			Tracks: map[string]source.Track{"prometheus": {Good: "d"}},
			Layers: map[string]values.Map{"prometheus/good": {"password": "hunter4"}},
		},
	}
	f.mustPatch(`{"op":"add","path":"/prometheus/auth","value":{"password":"hunter3"}}`)
	if err := f.SaveFacts(t.Context(), facts); err != nil {
		t.Fatal(err)
	}
	cm := f.configMap("addon-operator-facts")
	if text, _ := json.Marshal(cm); strings.Contains(string(text), "hunter") {
		t.Errorf("%s", text)
	}
	if s := f.secret(); !strings.Contains(s["config.prometheus"], "hunter3") || !strings.Contains(s["facts.prometheus"], "hunter2") || !strings.Contains(s["channels.prometheus"], "hunter4") {
		t.Error(s)
	}
	for _, store := range []*Store{f.Store, f.another()} {
		if err := store.SaveFacts(t.Context(), facts); err != nil {
			t.Fatal(err)
		}
	}
	if again := f.configMap("addon-operator-facts"); again.ResourceVersion != cm.ResourceVersion {
		t.Error("the same facts were written again")
	}
	got, err := f.another().LoadFacts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(facts, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			next := facts
			next.Seq = int64(10 + i)
			if err := f.another().SaveFacts(t.Context(), next); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := f.patch(fmt.Sprintf(`{"op":"add","path":"/prometheus/auth/password","value":"p%d"}`, i)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := f.secret(); !strings.Contains(s["facts.prometheus"], "hunter2") || !strings.Contains(s["config.prometheus"], "password: p") {
		t.Error(s)
	}
}

func TestFactsThatCannotBeReadAreReported(t *testing.T) {
	f := setup(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "addon-operator-facts"}, Data: map[string]string{"version": "99"}}
	if _, err := f.client.CoreV1().ConfigMaps(f.ns).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.LoadFacts(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.notified) != 1 || !strings.Contains(f.notified[0], ReasonFactsUnreadable) {
		t.Error(f.notified)
	}
	if err := f.SaveFacts(t.Context(), settings.Facts{Seq: 1}); err != nil {
		t.Error(err)
	}
}

func TestRunEndsWithItsWorkers(t *testing.T) {
	f := setup(t)
	before := goleak.IgnoreCurrent()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	seen := make(chan struct{}, 10)
	go func() { done <- f.Run(ctx, func(settings.Settings) { seen <- struct{}{} }) }()
	f.user(map[string]string{"global": "a: 1"})
	<-seen
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}

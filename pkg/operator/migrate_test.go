package operator_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/addon-operator/addon-operator/pkg/migrate"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

// predecessor installs a module's chart in the way of the predecessor: Helm's SDK, its
// own label on the record (C-435), heritage on the objects (C-433).
func (b *bed) predecessor(dir, name string, values map[string]any) {
	b.t.Helper()
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = &b.Config.KubeConfig, &b.Namespace
	cfg := &action.Configuration{}
	if err := cfg.Init(flags, b.Namespace, "secrets", func(string, ...any) {}); err != nil {
		b.t.Fatal(err)
	}
	chart, err := loader.Load(filepath.Join(b.Config.ModulesDir, dir))
	if err != nil {
		b.t.Fatal(err)
	}
	install := action.NewInstall(cfg)
	install.ReleaseName, install.Namespace, install.SkipCRDs = name, b.Namespace, true
	install.Labels = map[string]string{"moduleChecksum": "0123456789abcdef0123456789abcdef"}
	install.PostRenderer = heritage{}
	if _, err := install.Run(chart, values); err != nil {
		b.t.Fatal(err)
	}
}

type heritage struct{}

func (heritage) Run(in *bytes.Buffer) (*bytes.Buffer, error) {
	return bytes.NewBufferString(strings.ReplaceAll(in.String(), "metadata: {", "metadata: {labels: {heritage: addon-operator}, ")), nil
}

// A cluster of the predecessor: migrate check says what will be, the operator does
// it, and nothing is installed anew (C-426, C-431, C-435).
func TestAClusterOfThePredecessorIsTakenOver(t *testing.T) {
	b := newBed(t)
	web := "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: moved, namespace: {{ .Release.Namespace }}}\n" +
		"spec: {replicas: {{ .Values.moved.replicas }}, selector: {matchLabels: {app: moved}}, template: {metadata: {labels: {app: moved}}, spec: {containers: [{name: x, image: registry.invalid/x}]}}}\n"
	b.chart("100-moved", web+shown("moved", "is", "here"))
	b.chart("200-gone", shown("gone", "is", "here"))
	b.files(map[string]string{
		"modules/values.yaml":           "movedEnabled: true\nmoved: {replicas: 1}\n",
		"modules/100-moved/hooks/on.sh": script("beforeHelm: 1", "true"),
	})
	b.settings(map[string]string{"moved": "replicas: 2\n"})
	values := map[string]any{"global": map[string]any{}, "moved": map[string]any{"replicas": 2}, "gone": map[string]any{}}
	b.predecessor("100-moved", "moved", values)
	b.predecessor("200-gone", "gone", values)
	if err := os.RemoveAll(filepath.Join(b.Config.ModulesDir, "200-gone")); err != nil { // a release of no module
		t.Fatal(err)
	}
	one := int32(1)
	labels := map[string]string{"app": "addon-operator"}
	_, err := b.Client.AppsV1().Deployments(b.Namespace).Create(b.ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "addon-operator"},
		Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "x", Image: "registry.invalid/addon-operator",
				Env: []corev1.EnvVar{{Name: "USE_NELM", Value: "true"}}}}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	object, err := b.Client.AppsV1().Deployments(b.Namespace).Get(b.ctx, "moved", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	found, err := operator.MigrateCheck(b.ctx, b.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []migrate.Finding{
		{Kind: migrate.Takes, Object: "release " + b.Namespace + "/moved", What: "one upgrade"},
		{Kind: migrate.Differs, Object: "release " + b.Namespace + "/gone", What: "left alone"},
		{Kind: migrate.Differs, Object: "Deployment " + b.Namespace + "/addon-operator", What: "USE_NELM"},
		{Kind: migrate.Step, Object: "Deployment " + b.Namespace + "/addon-operator", What: "Lease"},
	} {
		if !hasFinding(found, want) {
			t.Errorf("no finding like %+v among %s", want, pretty(found))
		}
	}
	if migrate.Changes(found) {
		t.Errorf("something has to be changed: %s", pretty(found))
	}
	if b.revision("moved") != 1 || b.revision("gone") != 1 || b.exists("addon-operator-facts") {
		t.Error("the check has written")
	}

	b.Config.PurgeGrace = 1 // nothing is purged all the same
	stop := b.start()
	b.ready("moved")
	b.converged()
	stop()
	after, err := b.Client.AppsV1().Deployments(b.Namespace).Get(b.ctx, "moved", metav1.GetOptions{})
	if err != nil || after.UID != object.UID || after.Generation != object.Generation {
		t.Errorf("the Deployment was %s of generation %d and is %s of %d: %v", object.UID, object.Generation, after.UID, after.Generation, err)
	}
	if b.revision("moved") != 2 {
		t.Errorf("release moved has revision %d, expected one upgrade", b.revision("moved"))
	}
	stop = b.start() // and no second one
	b.ready("moved")
	b.converged()
	stop()
	b.sameRevisions(map[string]int{"moved": 2, "gone": 1})
	if !b.shows("gone", "is", "here") {
		t.Error("the release of no module is gone")
	}
	found, err = operator.MigrateCheck(b.ctx, b.Config)
	if err != nil || !hasFinding(found, migrate.Finding{Kind: migrate.Takes, Object: "release " + b.Namespace + "/moved", What: "of this operator already"}) {
		t.Errorf("after the takeover: %v %s", err, pretty(found))
	}

	b.migrateCommand()
}

// migrateCommand checks the exit codes of `addon-operator migrate check`.
func (b *bed) migrateCommand() {
	b.t.Helper()
	binary := operatorBinary(b.t)
	run := func(kubeconfig string) (string, int) {
		out, err := exec.CommandContext(b.ctx, binary, "migrate", "check", "--namespace", b.Namespace, "--kube-config", kubeconfig,
			"--modules-dir", b.Config.ModulesDir, "--global-hooks-dir", b.Config.GlobalHooksDir).CombinedOutput()
		status := (*exec.ExitError)(nil)
		if errors.As(err, &status) {
			return string(out), status.ExitCode()
		}
		return string(out), 0
	}
	if out, code := run(b.Config.KubeConfig); code != 0 || !strings.Contains(out, "to change first: 0") {
		b.t.Errorf("nothing to change: exit %d\n%s", code, out)
	}
	b.edit("moved", "[]", "movedEnabled", "perhaps")
	b.files(map[string]string{"modules/100-moved/hooks/on.sh": script("beforeHelp: 1", "true")})
	out, code := run(b.Config.KubeConfig)
	if code != 1 || !strings.Contains(out, "key movedEnabled") || !strings.Contains(out, "beforeHelp") {
		b.t.Errorf("three faults: exit %d\n%s", code, out)
	}
	if out, code := run(filepath.Join(b.Dir, "nothing")); code != 2 {
		b.t.Errorf("no cluster: exit %d\n%s", code, out)
	}
}

func hasFinding(found []migrate.Finding, want migrate.Finding) bool {
	for _, f := range found {
		if f.Kind == want.Kind && f.Object == want.Object && strings.Contains(f.What, want.What) {
			return true
		}
	}
	return false
}

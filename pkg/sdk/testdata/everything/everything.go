// Package everything holds a hook that uses all of the SDK, so that a test can compare what it asks for as an executable and in process.
package everything

import (
	"context"
	"errors"
	"fmt"
	"time"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/sdk"
)

type pod struct {
	Name string `json:"name"`
	Node string `json:"node"`
}

var (
	pods = sdk.Kubernetes[pod]{
		Name: "pods", APIVersion: "v1", Kind: "Pod", Group: "all", JQFilter: `{name: .metadata.name, node: .spec.nodeName}`,
		Namespaces: []string{"a"}, Labels: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
	}
	secrets = sdk.Kubernetes[metav1.PartialObjectMetadata]{
		Name: "secrets", APIVersion: "v1", Kind: "Secret", Events: []sdk.WatchEvent{sdk.Added, sdk.Deleted}, Queue: "q", NoWait: true,
		Names: []string{"s"}, Fields: []sdk.Field{{Field: "type", Operator: "=", Value: "Opaque"}}, AllowFailure: true,
		NamespaceLabels: &metav1.LabelSelector{MatchLabels: map[string]string{"watched": "yes"}}, IncludeSnapshotsFrom: []string{"pods"},
	}
)

// Hook is for a module called hello.
func Hook() sdk.Hook {
	return sdk.Hook{
		Name: "everything",
		On: []sdk.Binding{
			sdk.OnStartup(1), sdk.BeforeHelm(2), sdk.AfterHelm(3), sdk.BeforeDeleteHelm(4), sdk.AfterDeleteHelm(5),
			sdk.Schedule{Name: "hourly", Crontab: "0 * * * *", IncludeSnapshotsFrom: []string{"pods"}},
			pods, secrets,
			sdk.Validating{Name: "check.hello.example.com", Rules: rules(), TimeoutSeconds: 5, FailurePolicy: admissionregistration.Ignore},
			sdk.Mutating{Name: "change.hello.example.com", Rules: rules()},
			sdk.Converting{Name: "up", CRD: "crontabs.example.com", Steps: []sdk.Step{{From: "v1", To: "v2"}}},
		},
		Settings: sdk.Settings{Timeout: time.Minute, MinInterval: 10 * time.Second, Burst: 2},
		Run:      run,
	}
}

func rules() []admissionregistration.RuleWithOperations {
	return []admissionregistration.RuleWithOperations{{
		Operations: []admissionregistration.OperationType{admissionregistration.Create},
		Rule:       admissionregistration.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}}
}

func run(_ context.Context, in *sdk.Input) error {
	for _, c := range in.Contexts {
		if err := handle(in, c); err != nil {
			return err
		}
	}
	mode, err := sdk.GetOr(in.Values, "hello.mode", "")
	if err != nil {
		return err
	}
	switch mode {
	case "fail":
		return errors.New("it is to fail\nin two lines")
	case "panic":
		panic("it is to panic")
	}
	record(in)
	return nil
}

func handle(in *sdk.Input, c sdk.Context) error {
	switch c.Type {
	case sdk.TypeGroup:
		all, err := pods.Snapshot(in)
		if err != nil {
			return err
		}
		in.Values.Set("hello.pods", all)
	case sdk.TypeEvent:
		some, err := secrets.Items(c)
		if err != nil {
			return err
		}
		in.Values.Set("hello.secret", fmt.Sprintf("%s %s", c.WatchEvent, some[0].Name))
	case sdk.TypeValidating:
		request, err := c.AdmissionRequest()
		if err != nil {
			return err
		}
		in.Admission.Deny("no "+request.Name, "careful")
	case sdk.TypeMutating:
		in.Admission.Patch(sdk.Add("/metadata/labels/a~1b", "<x>"), sdk.Replace("/spec/n", 1), sdk.Remove("/spec/m"), sdk.Test("/spec/n", 1))
	case sdk.TypeConversion:
		return in.Conversion.Each(c, func(o map[string]any) error {
			o["converted"] = true
			return nil
		})
	}
	return nil
}

func record(in *sdk.Input) {
	in.Values.Set("hello.labels", map[string]any{"whole": 1, "half": 0.5, "big": int64(1) << 60, "null": nil, "text": "<&>"})
	in.Values.Remove("/hello/a~1b")
	in.ConfigValues.Set("hello.seen", true)
	in.Objects.CreateOrUpdate(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c", "namespace": "n"}, "data": map[string]any{"a": "b"},
	})
	in.Objects.Create(map[string]any{"kind": "Namespace", "metadata": map[string]any{"name": "n"}, "spec": map[string]any{"n": 3}})
	in.Objects.CreateIfNotExists(metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n"},
	})
	target := sdk.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "n", Name: "d"}
	in.Objects.Delete(target)
	in.Objects.DeleteInBackground(target)
	in.Objects.DeleteNonCascading(target)
	in.Objects.JQPatch(target, ".spec.replicas += 1")
	target.Subresource, target.IgnoreMissing = "status", true
	in.Objects.MergePatch(target, map[string]any{"status": map[string]any{"n": 1, "gone": nil}})
	in.Objects.JSONPatch(target, sdk.Remove("/a"), sdk.PatchOp{Op: "move", From: "/b", Path: "/c"})
	in.Metrics.Add("runs_total", 1, nil)
	in.Metrics.Group("g").Set("pods", 1.5, sdk.Labels{"node": "x"})
	in.Metrics.Observe("seconds", 0.25, []float64{0.1, 1}, nil)
	in.Metrics.ExpireGroup("old")
	in.Log.Warn("it has run", "contexts", len(in.Contexts))
}

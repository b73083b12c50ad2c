package doctor

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// deployment of an operator; edit changes it.
func deployment(edit func(*appsv1.Deployment)) appsv1.Deployment {
	one := int32(1)
	labels := map[string]string{"app.kubernetes.io/name": "addon-operator"}
	d := appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "op", Namespace: "ns", Labels: labels},
		Spec: appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "op", Image: "example.com/op:1",
				Env: []corev1.EnvVar{{Name: envConfigMap, Value: "cm"}}}}}}},
	}
	if edit != nil {
		edit(&d)
	}
	return d
}

// facts of an operator that is well; edit changes them.
func facts(edit func(*Facts)) Facts {
	f := Facts{Now: now, Namespace: "ns", ConfigMap: "cm", Deployments: []appsv1.Deployment{deployment(nil)},
		Settings: &corev1.ConfigMap{Data: map[string]string{}}, OwnCRDs: map[string]map[string]any{modulesCRD: {}}}
	edit(&f)
	return f
}

func pod(edit func(*corev1.PodStatus)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{"app.kubernetes.io/name": "addon-operator"}}}
	edit(&p.Status)
	return p
}

func waits(reason string) func(*corev1.PodStatus) {
	return func(s *corev1.PodStatus) {
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: "op", Image: "example.com/op:1", RestartCount: 7,
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}}}}
	}
}

func module(phase, typ, reason string, since time.Duration) Module {
	c := func(typ, status string) metav1.Condition {
		return metav1.Condition{Type: typ, Status: metav1.ConditionStatus(status), Reason: reason, Message: "so it is", LastTransitionTime: ago(since)}
	}
	return Module{Name: "m", Enabled: phase != "Disabled", Phase: phase, Reason: reason, Conditions: []metav1.Condition{c(typ, "False")}}
}

func ha(renewed time.Duration) func(*Facts) {
	return func(f *Facts) {
		f.Deployments = []appsv1.Deployment{deployment(func(d *appsv1.Deployment) {
			two := int32(2)
			d.Spec.Replicas = &two
			d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: envHA, Value: "true"})
		})}
		holder, seconds, at := "a", int32(10), metav1.NewMicroTime(now.Add(-renewed))
		f.Lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "l"},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}}
	}
}

func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*Facts)
		want string // "severity object: problem" of the one finding, in parts separated by …; empty for none
	}{
		"all is well":                      {func(*Facts) {}, ""},
		"what could not be read is said":   {func(f *Facts) { f.Unread = []Unread{{"Pods", "forbidden"}} }, "warning Pods: …forbidden"},
		"no operator is installed":         {func(f *Facts) { f.Deployments = nil }, "error Namespace ns: no Deployment"},
		"an operator elsewhere that talks": {func(f *Facts) { f.Deployments, f.Socket = nil, &Socket{Path: "/s"} }, ""},
		"the operator is scaled to 0": {func(f *Facts) {
			f.Deployments = []appsv1.Deployment{deployment(func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32) })}
		}, "error Deployment ns/op: is scaled to 0"},
		"two replicas without an election": {func(f *Facts) {
			f.Deployments = []appsv1.Deployment{deployment(func(d *appsv1.Deployment) { *d.Spec.Replicas = 2 })}
		}, "error Deployment ns/op: has 2 replicas without an election"},
		"an operator of another ConfigMap is none of our business": {func(f *Facts) {
			f.Deployments = append(f.Deployments, deployment(func(d *appsv1.Deployment) {
				d.Spec.Template.Spec.Containers[0].Env[0].Value = "other"
			}))
		}, ""},
		"two operators of one ConfigMap": {func(f *Facts) {
			f.Deployments = append(f.Deployments, deployment(func(d *appsv1.Deployment) { d.Name = "second" }))
		}, "error Deployment ns/second: is another operator"},
		"pods that cannot be made": {func(f *Facts) {
			f.Deployments[0].Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: "quota"}}
		}, "error Deployment ns/op: …quota"},
		"an image that cannot be had": {func(f *Facts) { f.Pods = []corev1.Pod{pod(waits("ImagePullBackOff"))} }, "error Pod ns/p: image example.com/op:1 cannot be had"},
		"a container that crashes":    {func(f *Facts) { f.Pods = []corev1.Pod{pod(waits("CrashLoopBackOff"))} }, "error Pod ns/p: …7 times…OOMKilled with exit code 137"},
		"a container that is just being made": {func(f *Facts) {
			f.Pods = []corev1.Pod{pod(func(s *corev1.PodStatus) { waits("ContainerCreating")(s); s.ContainerStatuses[0].RestartCount = 0 })}
		}, ""},
		"a container that was restarted often": {func(f *Facts) {
			f.Pods = []corev1.Pod{pod(func(s *corev1.PodStatus) {
				s.ContainerStatuses = []corev1.ContainerStatus{{Name: "op", RestartCount: 3}}
			})}
		}, "warning Pod ns/p: …restarted 3 times"},
		"a pod without a node": {func(f *Facts) {
			f.Pods = []corev1.Pod{pod(func(s *corev1.PodStatus) {
				s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no room"}}
			})}
		}, "error Pod ns/p: cannot be scheduled: no room"},
		"a pod that is long not Ready": {func(f *Facts) {
			f.Pods = []corev1.Pod{pod(func(s *corev1.PodStatus) {
				s.Phase = corev1.PodRunning
				s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: ago(time.Hour)}}
			})}
		}, "warning Pod ns/p: is not Ready for 60m"},
		"a leader that renews":             {ha(2 * time.Second), ""},
		"a leader that does not":           {ha(time.Minute), "error Lease ns/l: was renewed last 60s ago by a"},
		"a leader whose clock is ahead":    {ha(-time.Minute), "warning Lease ns/l: …clocks differ"},
		"an election that nobody ever won": {func(f *Facts) { ha(0)(f); f.Lease = nil }, "error Namespace ns: has no Lease"},
		"a socket that nobody answers at":  {func(f *Facts) { f.Socket = &Socket{"/s", "refused"} }, "warning Socket /s: …refused"},
		"a ConfigMap that is missing":      {func(f *Facts) { f.Settings = nil }, "warning ConfigMap ns/cm: does not exist"},
		"one that is missing though modules are installed": {func(f *Facts) {
			f.Settings, f.Releases = nil, []Release{{Release: installed.Release{Name: "other", Instance: "of.another"}}}
		}, "error ConfigMap ns/cm: does not exist although"},
		"a key that cannot be read": {func(f *Facts) { f.Settings.Data["m"] = "[1]" }, "error ConfigMap ns/cm key m: expected an object"},
		"a warning of an hour ago is over": {func(f *Facts) {
			f.Events = []corev1.Event{{Type: "Warning", Reason: "ConfigContested", LastTimestamp: ago(2 * time.Hour)}}
		}, ""},
		"a contested ConfigMap": {func(f *Facts) {
			f.Events = []corev1.Event{{Type: "Warning", Reason: "ConfigContested", Message: "again", LastTimestamp: ago(time.Minute)}}
		}, "warning ConfigMap ns/cm: ConfigContested 60s ago: again"},
		"a module that fails":                     {func(f *Facts) { f.Modules = []Module{module("Failing", "Ready", "HookFailed", time.Second)} }, "error Module m: Failing for 1s: HookFailed"},
		"a module that has just begun":            {func(f *Facts) { f.Modules = []Module{module("Running", "Ready", "Running", time.Second)} }, "note Module m: "},
		"a module that waits for long":            {func(f *Facts) { f.Modules = []Module{module("Waiting", "Ready", "WaitingForModule", time.Hour)} }, "warning Module m: "},
		"a module that is off":                    {func(f *Facts) { f.Modules = []Module{module("Disabled", "Ready", "Disabled", time.Hour)} }, ""},
		"a bad key of a module that is off":       {func(f *Facts) { f.Modules = []Module{module("Disabled", "ConfigValid", "ConfigInvalid", time.Hour)} }, "error Module m: …ConfigInvalid"},
		"a bad key of a module that still works":  {func(f *Facts) { f.Modules = []Module{module("Deployed", "ConfigValid", "ConfigInvalid", time.Hour)} }, "warning Module m: …ConfigInvalid"},
		"a directory that cannot be read":         {func(f *Facts) { f.Broken = map[string]string{"m": "no Chart.yaml"} }, "error Module m: …no Chart.yaml"},
		"an upgrade under way":                    {release("pending-upgrade", time.Second), "note release ns/m revision 1: is pending-upgrade for 1s"},
		"an upgrade that never ended":             {release("pending-upgrade", time.Hour), "error release ns/m revision 1: is pending-upgrade for 60m"},
		"an upgrade that failed":                  {release("failed", time.Hour), "error release ns/m revision 1: has failed"},
		"a release of another operator":           {func(f *Facts) { release("failed", 0)(f); f.Releases[0].Instance = "of.another" }, ""},
		"a CRD that is being deleted":             {func(f *Facts) { at := ago(time.Minute); f.CRDs = []CRD{{Name: "c", Deleting: &at}} }, "error CustomResourceDefinition c: is being deleted"},
		"a namespace that goes":                   {func(f *Facts) { f.Terminating = []Terminating{{Name: "x", Since: ago(time.Second)}} }, "note Namespace x: "},
		"a namespace that does not go":            {func(f *Facts) { f.Terminating = []Terminating{{Name: "x", Since: ago(time.Hour)}} }, "warning Namespace x: "},
		"the operator's own namespace that goes":  {func(f *Facts) { f.Terminating = []Terminating{{Name: "ns", Since: ago(time.Second)}} }, "error Namespace ns: "},
		"a webhook of a module that is off":       {webhook(Webhook{Owner: "m"}), "error V webhook e of m: belongs to a module that is off"},
		"a webhook of a port that is not there":   {webhook(Webhook{Owner: "global", Service: "ns/s", Port: 9}), "error V webhook e of global: points at port 9"},
		"a webhook without an operator behind it": {webhook(Webhook{Owner: "global", Service: "ns/s", Port: 443}), "error V webhook e of global: …behind which nobody is"},
	} {
		t.Run(name, func(t *testing.T) {
			found := Examine(facts(c.edit))
			if c.want == "" && len(found) == 0 {
				return
			}
			var b bytes.Buffer
			if err := Print(&b, found); err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !fits(string(found[0].Severity)+" "+found[0].Object+": "+found[0].Problem, c.want) {
				t.Errorf("expected %q, got\n%s", c.want, b.String())
			}
			for _, f := range found {
				if f.Expected == "" || f.WayOut == "" {
					t.Errorf("no way out of %s", f.Problem)
				}
			}
		})
	}
}

func fits(text, parts string) bool {
	if parts == "" {
		return false
	}
	for _, part := range strings.Split(parts, "…") {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

func release(status installed.Status, since time.Duration) func(*Facts) {
	return func(f *Facts) {
		f.Modules = []Module{{Name: "m", Enabled: true}}
		f.Releases = []Release{{Release: installed.Release{Name: "m", Revision: 1, Status: status, Updated: now.Add(-since), Instance: "ns.cm"}}}
	}
}

func webhook(w Webhook) func(*Facts) {
	w.Object, w.Entry = "V", "e"
	return func(f *Facts) {
		f.Modules = []Module{{Name: "m"}}
		f.Webhooks = []Webhook{w}
		f.Services = map[string]*Service{"ns/s": {Ports: []int32{443}}}
	}
}

func TestTheWorstComesFirst(t *testing.T) {
	found := Examine(facts(func(f *Facts) {
		f.Terminating = []Terminating{{Name: "x", Since: ago(time.Second)}, {Name: "y", Since: ago(time.Hour)}, {Name: "ns", Since: ago(time.Second)}}
	}))
	if len(found) != 3 || found[0].Severity != Error || found[2].Severity != Note {
		t.Errorf("got %+v", found)
	}
	if Bad(found[2:]) || !Bad(found) {
		t.Error("notes alone are not bad, warnings are")
	}
}

// Every reason of package status has a way out of its own; those that need none are named here.
func TestEveryReasonOfAModuleHasAWayOut(t *testing.T) {
	none := map[string]bool{"Ready": true, "Applied": true, "Unchanged": true, "Disabled": true, "Current": true}
	file, err := parser.ParseFile(token.NewFileSet(), "../status/status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	other := Facts{}.wayOut("no such reason", Module{Name: "m"})
	seen := 0
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || !strings.HasPrefix(v.Names[0].Name, "Reason") {
			return true
		}
		reason, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		seen++
		if got := (Facts{}).wayOut(reason, Module{Name: "m"}); got == other && !none[reason] {
			t.Errorf("reason %s has no way out: say in wayOut what to do about it", reason)
		}
		return true
	})
	if seen < 20 {
		t.Errorf("%d reasons found in package status: is the file another one?", seen)
	}
}

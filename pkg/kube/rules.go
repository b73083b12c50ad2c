package kube

import (
	"context"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/health"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
)

var autoscalers = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}

// rules are what a module says of its objects.
type rules struct {
	checks []module.HealthCheck
	drift  []module.DriftRule
	rules  []rule
}

// rule is a health check by expression.
type rule struct {
	check   module.HealthCheck
	program *health.Program
}

// Configure sets which objects of a module are judged by an expression, and which of
// their fields others may change. The same again does nothing.
func (t *Tracker) Configure(name string, checks []module.HealthCheck, ignore []module.DriftRule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rules[name]
	if reflect.DeepEqual(old.checks, checks) && reflect.DeepEqual(old.drift, ignore) {
		return
	}
	r := rules{checks: checks, drift: ignore}
	for _, c := range checks {
		if c.CEL == "" {
			continue
		}
		p, err := health.Compile(c.CEL)
		if err != nil { // the loader has compiled it before
			t.log.Error("health check is left out", "module", name, "check", c.Name, "error", err)
			continue
		}
		r.rules = append(r.rules, rule{c, p})
	}
	t.rules[name] = r
	m := t.modules[name]
	if m == nil {
		return
	}
	for ref, tr := range m.objects {
		tr.rules = t.rulesFor(name, ref)
		if k := t.kinds[kindOf(ref)]; k != nil {
			k.relist() // states are not kept, so they are judged anew
		}
	}
	t.touch(name)
}

// rulesFor are the health rules of an object.
func (t *Tracker) rulesFor(name string, ref object.Ref) []rule {
	var out []rule
	for _, r := range t.rules[name].rules {
		if drift.Selects(r.check.Group, r.check.Kind, r.check.ObjectName, ref) {
			out = append(out, r)
		}
	}
	return out
}

// Spared lists the fields of an object, as JSON pointers, that a writer must leave as
// they are: by the module's rules, and replicas while a HorizontalPodAutoscaler
// targets the object. What annotations of the object say comes on top. It waits until
// autoscalers were listed, or cannot be.
func (t *Tracker) Spared(ctx context.Context, name string, ref object.Ref) []string {
	select {
	case <-t.scalers.known:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spared(name, ref)
}

func (t *Tracker) spared(name string, ref object.Ref) []string {
	var out []string
	for _, r := range t.rules[name].drift {
		if drift.Selects(r.Group, r.Kind, r.ObjectName, ref) {
			out = append(out, r.Paths...)
		}
	}
	if t.scalers.targets[targetOf(ref)] > 0 {
		out = append(out, drift.Replicas)
	}
	return out
}

// unspared are the places of leaves of a tracked object that nobody else may change.
func (t *Tracker) unspared(name string, ref object.Ref, tr *tracked, leaves []int) (paths []string, first int) {
	if len(leaves) == 0 {
		return nil, 0
	}
	ignored := drift.ParseAll(append(t.spared(name, ref), tr.annotated...))
	for i, place := range tr.shape.places(leaves) {
		if drift.Covers(ignored, place) {
			continue
		}
		if paths == nil {
			first = i
		}
		paths = append(paths, drift.PointerTo(place))
	}
	return paths, first
}

// scaleTarget is what an autoscaler scales.
type scaleTarget struct{ group, kind, namespace, name string }

func targetOf(ref object.Ref) scaleTarget {
	return scaleTarget{drift.Group(ref), ref.Kind, ref.Namespace, ref.Name}
}

// scalers are the HorizontalPodAutoscalers of the cluster; guarded by Tracker.mu.
type scalers struct {
	known   chan struct{} // closed when they were listed once, or cannot be
	closed  bool
	byName  map[id]scaleTarget
	targets map[scaleTarget]int
	listed  map[id]bool
	failed  bool
}

func newScalers() scalers {
	return scalers{known: make(chan struct{}), byName: map[id]scaleTarget{}, targets: map[scaleTarget]int{}}
}

func (s *scalers) ready() {
	if !s.closed {
		s.closed = true
		close(s.known)
	}
}

// scalerSink keeps Tracker.scalers.
type scalerSink struct{ t *Tracker }

func (s scalerSink) begin() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.t.scalers.listed = map[id]bool{}
}

func (s scalerSink) put(o metav1.Object) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return
	}
	of, _, _ := unstructured.NestedStringMap(u.Object, "spec", "scaleTargetRef")
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	i := id{o.GetNamespace(), o.GetName()}
	if s.t.scalers.listed != nil {
		s.t.scalers.listed[i] = true
	}
	s.t.scaled(i, targetOf(object.Ref{APIVersion: of["apiVersion"], Kind: of["kind"], Namespace: i.namespace, Name: of["name"]}))
}

func (s scalerSink) remove(o metav1.Object) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.t.scaled(id{o.GetNamespace(), o.GetName()}, scaleTarget{})
}

func (s scalerSink) end() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	for i := range s.t.scalers.byName {
		if !s.t.scalers.listed[i] {
			s.t.scaled(i, scaleTarget{})
		}
	}
	s.t.scalers.listed = nil
	s.t.scalers.ready()
}

func (s scalerSink) fault(err error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if err != nil && !s.t.scalers.failed {
		s.t.log.Warn("autoscalers cannot be watched; replicas that they set count as drift until this works", "error", err)
	}
	s.t.scalers.failed = err != nil
	if err != nil {
		s.t.scalers.ready()
	}
}

// scaled notes what an autoscaler targets now, the zero target for nothing.
func (t *Tracker) scaled(i id, now scaleTarget) {
	old, had := t.scalers.byName[i]
	if had && old == now {
		return
	}
	delete(t.scalers.byName, i)
	if had {
		if t.scalers.targets[old]--; t.scalers.targets[old] <= 0 {
			delete(t.scalers.targets, old)
		}
	}
	if now != (scaleTarget{}) {
		t.scalers.byName[i] = now
		t.scalers.targets[now]++
	}
	for ref, name := range t.owners {
		if of := targetOf(ref); of == now || had && of == old {
			t.dirty[name] = true
			signal(t.wake)
		}
	}
}

// judgeBy is the health of a state by kstatus and the rules for it: a rule takes the
// place of kstatus for kinds that Kubernetes does not define, and comes on top for its own.
func judgeBy(u *unstructured.Unstructured, rules []rule) verdict {
	v := judge(u)
	if len(rules) == 0 || v.state == object.Terminating {
		return v
	}
	if known(u) && v.state != object.Current {
		return v
	}
	v = verdict{state: object.Current}
	at := slices.IndexFunc(rules, func(r rule) bool {
		v.message = r.program.Says(r.check.Name, u.Object)
		return v.message != ""
	})
	if at >= 0 {
		v.state = object.InProgress
	}
	return v
}

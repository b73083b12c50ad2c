package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	kubernetesKeys = []string{
		"name", "apiVersion", "kind", "executeHookOnEvent", "watchEvent", "executeHookOnSynchronization",
		"waitForSynchronization", "keepFullObjectsInMemory", "nameSelector", "labelSelector", "fieldSelector",
		"namespace", "jqFilter", "includeSnapshotsFrom", "allowFailure", "queue", "group", "resynchronizationPeriod",
	}
	allEvents      = []WatchEvent{Added, Modified, Deleted}
	labelOperators = []string{"In", "NotIn", "Exists", "DoesNotExist"}
	fieldOperators = []string{"=", "==", "Equals", "!=", "NotEquals"}
)

// kubernetes reads one binding of version v1 (C-050).
func (c *checker) kubernetes(i int, e node) Kubernetes {
	e.require("kind")
	k := Kubernetes{
		Route:                  c.route(e, "kubernetes"),
		APIVersion:             e.apiVersion("apiVersion"),
		Kind:                   e.text("kind"),
		Events:                 c.events(e),
		OnSynchronization:      e.flag("executeHookOnSynchronization", true),
		WaitForSynchronization: e.flag("waitForSynchronization", true) || !e.has("queue"),
		KeepFullObjects:        e.flag("keepFullObjectsInMemory", true),
		Names:                  c.matchNames(e, "nameSelector"),
		Labels:                 c.labelSelector(e, "labelSelector"),
		Fields:                 c.fieldSelector(i, e),
		Filter:                 c.jqFilter(i, e),
	}
	if ns, ok := e.child("namespace", []string{"nameSelector", "labelSelector"}); ok {
		if len(ns.m) == 0 {
			c.fail(ns.path, "should have at least 1 property: nameSelector or labelSelector")
		}
		k.Namespaces = c.matchNames(ns, "nameSelector")
		k.NamespaceLabels = c.labelSelector(ns, "labelSelector")
	}
	k.Resync = c.period(e, "resynchronizationPeriod")
	return k
}

// shortestPeriod is the least resynchronizationPeriod: each one lists all objects.
const shortestPeriod = time.Second

// period reads a duration such as 10m. Hooks were never told that theirs is none,
// so that is a warning.
func (c *checker) period(e node, key string) time.Duration {
	text := e.text(key)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	switch path := join(e.path, key); {
	case err != nil || d < 0:
		c.warn("%s is ignored: expected a duration such as 10m, got %q", path, text)
		return 0
	case d > 0 && d < shortestPeriod:
		c.warn("%s is %s: expected at least that, got %s", path, shortestPeriod, text)
		return shortestPeriod
	}
	return d
}

func (n node) apiVersion(key string) string {
	v := n.text(key)
	if _, err := schema.ParseGroupVersion(v); err != nil {
		n.c.fail(join(n.path, key), "is invalid: expected group/version or version, got %q", v)
	}
	return v
}

// events reads executeHookOnEvent, or else its older name watchEvent.
func (c *checker) events(e node) []WatchEvent {
	var out []WatchEvent
	found := false
	for _, key := range []string{"executeHookOnEvent", "watchEvent"} {
		if !e.has(key) {
			continue
		}
		events := c.eventList(e, key)
		if !found {
			out, found = events, true
		}
	}
	if !found {
		return append(out, allEvents...)
	}
	return out
}

func (c *checker) eventList(e node, key string) []WatchEvent {
	var out []WatchEvent
	for i, v := range e.list(key, 0) {
		s, _ := v.(string)
		switch ev := WatchEvent(s); ev {
		case Added, Modified, Deleted:
			out = append(out, ev)
		default:
			c.fail(fmt.Sprintf("%s[%d]", join(e.path, key), i), "should be one of %v, got %s", allEvents, show(v))
		}
	}
	return out
}

func (c *checker) matchNames(e node, key string) []string {
	s, ok := e.child(key, []string{"matchNames"})
	if !ok || !s.require("matchNames") {
		return nil
	}
	return s.texts("matchNames", 0)
}

func (c *checker) labelSelector(e node, key string) *metav1.LabelSelector {
	s, ok := e.child(key, []string{"matchLabels", "matchExpressions"})
	if !ok {
		return nil
	}
	if len(s.m) == 0 {
		c.fail(s.path, "should have at least 1 property: matchLabels or matchExpressions")
	}
	before := len(c.violations)
	out := &metav1.LabelSelector{}
	if labels, ok := s.child("matchLabels", nil); ok {
		out.MatchLabels = map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(labels.m)) {
			out.MatchLabels[name] = labels.text(name)
		}
	}
	s.children("matchExpressions", 0, []string{"key", "operator", "values"}, func(_ int, r node) {
		r.require("key", "operator")
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key:      r.text("key"),
			Operator: metav1.LabelSelectorOperator(r.choice("operator", labelOperators)),
			Values:   r.texts("values", 0),
		})
	})
	// Found here, a bad selector is one message at load and not a monitor that cannot start.
	if before == len(c.violations) {
		if _, err := metav1.LabelSelectorAsSelector(out); err != nil {
			c.fail(s.path, "is not a label selector: %s", oneLine(err))
		}
	}
	return out
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

func (c *checker) fieldSelector(i int, e node) string {
	s, ok := e.child("fieldSelector", []string{"matchExpressions"})
	if !ok || !s.require("matchExpressions") {
		return ""
	}
	var terms []fields.Selector
	s.children("matchExpressions", 0, []string{"field", "operator", "value"}, func(_ int, r node) {
		r.require("field", "operator", "value")
		field, value := r.text("field"), r.text("value")
		switch r.choice("operator", fieldOperators) {
		case "!=", "NotEquals":
			terms = append(terms, fields.OneTermNotEqualSelector(field, value))
		default:
			terms = append(terms, fields.OneTermEqualSelector(field, value))
		}
		if field == "metadata.name" && e.has("nameSelector") {
			c.fail(fmt.Sprintf("invalid kubernetes config [%d]:", i),
				"fieldSelector 'metadata.name' and nameSelector.matchNames are mutually exclusive")
		}
	})
	return fields.AndSelectors(terms...).String()
}

func (c *checker) jqFilter(i int, e node) *Filter {
	program := e.text("jqFilter")
	if program == "" {
		return nil
	}
	f, err := CompileFilter(program)
	if err != nil {
		c.fail(fmt.Sprintf("invalid kubernetes config [%d] jqFilter:", i), "%s", oneLine(err))
	}
	return f
}

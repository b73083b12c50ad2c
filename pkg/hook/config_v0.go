package hook

import "fmt"

var v0Events = map[string]WatchEvent{"add": Added, "update": Modified, "delete": Deleted}

// v0 reads a configuration without configVersion (C-070 … C-074). Only its root
// has a closed list of keys.
func (c *checker) v0(doc any, owner Owner) Spec {
	root, ok := c.object("", doc, rootKeys(owner, "schedule", "onKubernetesEvent"))
	if !ok {
		return Spec{}
	}
	bindings := len(root.m)
	if root.has("configVersion") {
		bindings--
	}
	if bindings < 1 {
		c.fail("", "should have at least 1 property: it declares no binding (is configVersion: v1 missing?)")
	}
	spec := Spec{Orders: c.orders(root, owner)}
	root.children("schedule", 0, nil, func(i int, e node) {
		s := c.schedule(i, e)
		s.Queue, s.Group, s.Snapshots = DefaultQueue, "", nil
		spec.Schedules = append(spec.Schedules, s)
	})
	root.children("onKubernetesEvent", 0, nil, func(i int, e node) {
		spec.Kubernetes = append(spec.Kubernetes, c.kubernetesV0(i, e))
	})
	return spec
}

// kubernetesV0 reads one binding of version v0 (C-072). Such a hook is never run
// for Synchronization (C-074).
func (c *checker) kubernetesV0(i int, e node) Kubernetes {
	k := Kubernetes{
		Route: Route{
			Name: e.text("name"), Queue: DefaultQueue, AllowFailure: e.flag("allowFailure", false),
		},
		Kind:            e.text("kind"),
		KeepFullObjects: true,
		Filter:          c.jqFilter(i, e),
	}
	if k.Name == "" {
		k.Name = "onKubernetesEvent"
	}
	for j, v := range e.list("event", 0) {
		s, _ := v.(string)
		event, ok := v0Events[s]
		if !ok {
			c.fail(fmt.Sprintf("%s.event[%d]:", e.path, j), "event '%s' is unsupported: use add, update or delete", s)
			continue
		}
		k.Events = append(k.Events, event)
	}
	if !e.has("event") {
		k.Events = append(k.Events, allEvents...)
	}
	if name := e.text("objectName"); name != "" {
		k.Names = []string{name}
	}
	if _, ok := e.m["selector"].(map[string]any); ok {
		k.Labels = c.labelSelector(e, "selector")
	}
	if ns, ok := e.child("namespaceSelector", nil); ok && !ns.flag("any", false) {
		k.Namespaces = ns.texts("matchNames", 0)
	}
	return k
}

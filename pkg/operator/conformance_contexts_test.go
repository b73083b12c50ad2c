package operator_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// configMapJSON is a ConfigMap of conf-contexts as contexts show it; data is JSON.
func configMapJSON(name, data string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": %q, "namespace": "conf-contexts"}, "data": %s}`, name, data)
}

// synchronization is a context of conf-contexts whose items are JSON.
func synchronization(binding string, items ...string) string {
	return fmt.Sprintf(`{"binding": %q, "type": "Synchronization", "objects": [%s]}`, binding, strings.Join(items, ", "))
}

func conformContexts(t *testing.T, c *conformance) {
	const ns = "conf-contexts"
	c.parallel(t, map[string]func(*conformance){
		"C-120, C-121, C-135: onStartup": func(c *conformance) {
			c.same("contexts", c.runs("startup"), `[[{"binding": "onStartup"}]]`)
		},
		"C-128: lifecycle bindings": func(c *conformance) {
			const snapshots = `{"names": [{"filterResult": "full"}], "none": []}`
			c.same("contexts", c.runs("lifecycle")[:2], `[[{"binding": "beforeHelm", "snapshots": `+snapshots+`}], [{"binding": "afterHelm", "snapshots": `+snapshots+`}]]`)
			c.same("contexts", c.runs("lifecycle-plain")[:1], `[[{"binding": "beforeHelm", "snapshots": {}}]]`)
		},
		"C-133: of bindings of one name the first has the snapshot": func(c *conformance) {
			c.same("contexts", c.runs("twins")[0], `[{"binding": "beforeHelm", "snapshots": {"twin": [{"filterResult": "results-1"}]}}]`)
		},
		"C-120, C-123, C-124, C-140, C-141, C-145: whole objects": func(c *conformance) {
			object := func(colour string) string {
				return `{"object": ` + configMapJSON("full", `{"colour": "`+colour+`"}`) + `}`
			}
			event := func(event, colour string) string {
				return `{"binding": "full", "type": "Event", "watchEvent": "` + event + `", "object": ` + configMapJSON("full", `{"colour": "`+colour+`"}`) + `}`
			}
			c.same("at the start", c.runs("full")[0], `[`+synchronization("full", object("red"))+`]`)
			c.put(ns, "full", "", "colour", "green")
			c.same("after a change", c.hasContexts("full", 2)[1], event("Modified", "green"))
			c.remove(ns, "full")
			c.same("after the end, with the last known state", c.hasContexts("full", 3)[2], event("Deleted", "green"))
			c.put(ns, "full", "", "colour", "blue")
			c.same("made anew", c.hasContexts("full", 4)[3], event("Added", "blue"))
			c.same("bare items at the start", c.runs("bare")[0], `[`+synchronization("bare", `{}`)+`]`)
			c.same("bare events", c.hasContexts("bare", 4)[1:], `[
				{"binding": "bare", "type": "Event", "watchEvent": "Modified"},
				{"binding": "bare", "type": "Event", "watchEvent": "Deleted"},
				{"binding": "bare", "type": "Event", "watchEvent": "Added"}]`)
		},
		"C-124, C-130, C-131, C-140: filter results, objects and snapshots": func(c *conformance) {
			item := func(colour string) string {
				return `"object": ` + configMapJSON("filtered", `{"colour": "`+colour+`"}`) + `, "filterResult": "` + colour + `"`
			}
			c.same("at the start", c.runs("filtered")[0], `[{"binding": "filtered", "type": "Synchronization", "objects": [{`+item("red")+`}], "snapshots": {"filtered": [{`+item("red")+`}]}}]`)
			c.put(ns, "filtered", "", "colour", "green")
			c.same("after a change", c.hasContexts("filtered", 2)[1], `{"binding": "filtered", "type": "Event", "watchEvent": "Modified", `+item("green")+`, "snapshots": {"filtered": [{`+item("green")+`}]}}`)
		},
		"C-141, C-160: filter results alone": func(c *conformance) {
			c.same("at the start", c.runs("lean")[0], `[{"binding": "lean", "type": "Synchronization", "objects": [{"filterResult": {"colour": "red", "size": "1"}}],
				"snapshots": {"lean": [{"filterResult": {"colour": "red", "size": "1"}}]}}]`)
			c.put(ns, "lean", "", "colour", "green", "size", "1")
			c.same("after a change", c.hasContexts("lean", 2)[1], `{"binding": "lean", "type": "Event", "watchEvent": "Modified", "filterResult": {"colour": "green", "size": "1"},
				"snapshots": {"lean": [{"filterResult": {"colour": "green", "size": "1"}}]}}`)
		},
		"C-142: no result, one, several": func(c *conformance) {
			c.same("at the start", c.runs("results")[0], `[`+synchronization("results", `{"filterResult": null}`, `{"filterResult": "a"}`, `{"filterResult": ["a", "b"]}`)+`]`)
			c.put(ns, "results-1", "", "list", "")
			c.same("after a change", c.hasContexts("results", 2)[1], `{"binding": "results", "type": "Event", "watchEvent": "Modified", "filterResult": null}`)
		},
		"C-143: jq sees the whole object": func(c *conformance) {
			c.same("at the start", c.runs("whole")[0], `[`+synchronization("whole", `{"filterResult": {"managers": true, "keys": ["apiVersion", "data", "kind", "metadata"]}}`)+`]`)
		},
		"C-122, C-123: default names, nothing that matches": func(c *conformance) {
			c.same("at the start", c.runs("default-name")[0], `[`+synchronization("kubernetes")+`]`)
			c.same("a tick", c.hasContexts("default-name", 2)[1], `{"binding": "schedule", "type": "Schedule"}`)
		},
		"C-041, C-122, C-132, C-135: schedules, with six fields and @every": func(c *conformance) {
			c.eventually(func() bool {
				seen := map[any]bool{}
				for _, x := range c.contexts("schedule") {
					seen[x["binding"]] = true
				}
				return len(seen) == 2
			}, "both schedules have ticked")
			for _, x := range c.contexts("schedule") {
				if x["binding"] == "with" {
					c.same("a tick", x, `{"binding": "with", "type": "Schedule", "snapshots": {"lean": [{"filterResult": "1"}]}}`)
				} else {
					c.same("a tick", x, `{"binding": "without", "type": "Schedule"}`)
				}
			}
		},
		"C-053, C-125, C-130: groups": func(c *conformance) {
			first := `{"other": [], "first": [{"filterResult": "1"}], "second": [{"filterResult": "2"}]}`
			second := `{"first": [{"filterResult": "1"}], "second": [{"filterResult": "2"}]}`
			c.same("at the start", c.runs("group")[0], `[{"binding": "first", "type": "Group", "groupName": "both", "snapshots": `+first+`}]`)
			c.eventually(func() bool {
				return slices.ContainsFunc(c.contexts("group"), func(x map[string]any) bool { return x["binding"] == "tick" })
			}, "the schedule has ticked")
			c.put(ns, "group-second", "", "n", "3")
			of := func() (found map[string]any) {
				for _, x := range c.contexts("group") {
					if x["binding"] == "second" {
						return x
					}
				}
				return nil
			}
			c.eventually(func() bool { return of() != nil }, "the second binding has run the hook")
			c.same("an event", of(), `{"binding": "second", "type": "Group", "groupName": "both", "snapshots": `+strings.ReplaceAll(second, `"2"`, `"3"`)+`}`)
		},
		"C-050, C-146: some events run the hook, all move the snapshot": func(c *conformance) {
			c.put(ns, "events-2", "", "n", "2")
			c.eventually(func() bool { return len(c.contexts("legacy-events")) == 1 }, "Added is seen")
			c.put(ns, "events-1", "", "n", "7")
			c.same("Modified", c.hasContexts("events", 1)[0], `{"binding": "events", "type": "Event", "watchEvent": "Modified", "filterResult": "events-1=7",
				"snapshots": {"events": [{"filterResult": "events-1=7"}, {"filterResult": "events-2=2"}]}}`)
			c.remove(ns, "events-2")
			c.same("Added and Deleted", c.hasContexts("legacy-events", 2), `[
				{"binding": "legacy", "type": "Event", "watchEvent": "Added", "filterResult": "events-2"},
				{"binding": "legacy", "type": "Event", "watchEvent": "Deleted", "filterResult": "events-2"}]`)
			c.put(ns, "events-1", "", "n", "8")
			c.same("the next", c.hasContexts("events", 2)[1]["snapshots"], `{"events": [{"filterResult": "events-1=8"}]}`)
		},
		"C-132, C-134: snapshots are of the start of the run, in order": func(c *conformance) {
			c.put(ns, "order-b", "order")
			c.hasContexts("order", 1)
			c.put(ns, "order-c", "order") // queued, alone
			c.hasQueued("order", 2)
			c.put("conf-monitors", "order-z", "order") // its event comes after the run that shows it has been queued
			c.hasQueued("order", 3)
			c.put(ns, "order-a", "order")
			c.hasQueued("order", 4)
			c.touch("order-go")
			want := `["conf-contexts/order-a", "conf-contexts/order-b", "conf-contexts/order-c", "conf-monitors/order-z"]`
			for i, x := range c.hasContexts("order", 4)[1:] {
				c.same("event", x, fmt.Sprintf(`{"binding": "order", "type": "Event", "watchEvent": "Added", "object": %q, "order": %s, "names": %s}`,
					[]string{"order-c", "order-z", "order-a"}[i], want, want))
			}
		},
		"C-144: a filter that fails": func(c *conformance) {
			c.put(ns, "number", "", "n", "many")
			c.logs("hooks/jq-error.sh", "jqFilter", "number")
			c.put(ns, "number", "", "n", "3")
			c.same("contexts", c.hasContexts("jq-error", 2), `[
				{"binding": "number", "type": "Synchronization", "objects": [{"filterResult": 1}], "snapshots": {"number": [{"filterResult": 1}]}},
				{"binding": "number", "type": "Event", "watchEvent": "Modified", "filterResult": 3, "snapshots": {"number": [{"filterResult": 3}]}}]`)
			c.wants("conf-jqstart", "Ready", "False", "jqFilter", "jqstart")
			if len(c.runs("jqstart")) > 0 {
				c.t.Error("the hook ran although its binding cannot start")
			}
			c.put(ns, "jqstart", "", "n", "1")
			c.ready("conf-jqstart")
			c.same("contexts", c.runs("jqstart"), `[[`+synchronization("number", `{"filterResult": 1}`)+`]]`)
		},
		"C-145: changes that do not show": func(c *conformance) {
			c.put(ns, "unchanged", "", "shown", "1", "hidden", "2")
			c.eventually(func() bool { return len(c.lines("touched")) == 1 }, "the hook without filter has seen it")
			c.put(ns, "unchanged", "", "shown", "2", "hidden", "2")
			c.remove(ns, "unchanged")
			c.same("with a filter", c.hasContexts("unchanged", 2), `[
				{"binding": "unchanged", "type": "Event", "watchEvent": "Modified", "filterResult": "2"},
				{"binding": "unchanged", "type": "Event", "watchEvent": "Deleted", "filterResult": "2"}]`)
			c.same("without", c.hasContexts("touched", 3), `[
				{"binding": "touched", "watchEvent": "Modified", "data": {"shown": "1", "hidden": "2"}},
				{"binding": "touched", "watchEvent": "Modified", "data": {"shown": "2", "hidden": "2"}},
				{"binding": "touched", "watchEvent": "Deleted", "data": {"shown": "2", "hidden": "2"}}]`)
		},
		"C-147: coming under a selector and leaving it": func(c *conformance) {
			c.put(ns, "selected", "", "n", "1")
			c.put(ns, "selected", "selected", "n", "2")
			c.put(ns, "selected", "selected", "n", "3")
			c.hasContexts("selected", 2)
			c.put(ns, "selected", "", "n", "4")
			got := c.hasContexts("selected", 3)
			delete(got[2], "filterResult") // either state may be the last known
			c.same("contexts", got, `[
				{"binding": "selected", "type": "Event", "watchEvent": "Added", "filterResult": "2"},
				{"binding": "selected", "type": "Event", "watchEvent": "Modified", "filterResult": "3"},
				{"binding": "selected", "type": "Event", "watchEvent": "Deleted"}]`)
		},
		"C-050, C-134, C-150, C-151, C-152: selectors": conformSelectors,
	})
}

func conformSelectors(c *conformance) {
	const one, two, three = "conf-selectors/", "conf-selectors-2/", "conf-selectors-3/"
	all := func(prefixes ...string) (names []string) {
		for _, p := range prefixes {
			names = append(names, p+"a", p+"b", p+"c")
		}
		return names
	}
	contexts := c.contexts("selectors")
	if len(contexts) != 1 {
		c.t.Fatalf("a group is one context: got %v", contexts)
	}
	got := map[string][]string{}
	for binding, items := range contexts[0]["snapshots"].(map[string]any) {
		got[binding] = []string{}
		for _, item := range items.([]any) {
			got[binding] = append(got[binding], fmt.Sprint(item.(map[string]any)["filterResult"]))
		}
	}
	// Without full objects the order is that of namespace/kind/name as text, in which "-" comes before "/" (C-134).
	for binding, want := range map[string][]string{
		"plural": all(one), "short": all(one), "lower-case": all(one), "version": all(one), "group-version": {},
		"names": {one + "a", one + "c"}, "labels": {one + "a"}, "in": {one + "a", one + "b"}, "not-in": {one + "b", one + "c"},
		"exists": {one + "a", one + "b"}, "does-not-exist": {one + "c"},
		"field-eq": {one + "b"}, "field-eqeq": {one + "b"}, "field-equals": {one + "b"},
		"field-ne": {one + "a", one + "c"}, "field-not-equals": {one + "a", one + "c"},
		"all-namespaces": all(two, three, one), "names-in-namespaces": {two + "a", two + "b", one + "a", one + "b"},
		"namespace-labels": all(three, one), "both-of-namespaces": all(one),
	} {
		if !slices.Equal(got[binding], want) {
			c.t.Errorf("%s: got %v, want %v", binding, got[binding], want)
		}
	}
}

func conformMonitors(t *testing.T, c *conformance) {
	c.parallel(t, map[string]func(*conformance){
		"C-151: namespaces come and go": func(c *conformance) {
			names := func(n int, labels map[string]string) {
				c.t.Helper()
				ns, err := c.Client.CoreV1().Namespaces().Get(c.ctx, fmt.Sprint("conf-monitors-", n), metav1.GetOptions{})
				if err != nil {
					c.t.Fatal(err)
				}
				ns.Labels = labels
				if _, err := c.Client.CoreV1().Namespaces().Update(c.ctx, ns, metav1.UpdateOptions{}); err != nil {
					c.t.Fatal(err)
				}
			}
			const a, b = `{"filterResult": "conf-monitors-1/a"}`, `{"filterResult": "conf-monitors-2/b"}`
			names(2, map[string]string{"conf-monitors": "yes"})
			c.hasContexts("namespaces", 2)
			names(1, nil)
			c.same("contexts", c.hasContexts("namespaces", 3), `[
				{"binding": "dynamic", "type": "Synchronization", "objects": [`+a+`], "snapshots": {"dynamic": [`+a+`]}},
				{"binding": "dynamic", "type": "Event", "watchEvent": "Added", "filterResult": "conf-monitors-2/b", "snapshots": {"dynamic": [`+a+`, `+b+`]}},
				{"binding": "dynamic", "type": "Event", "watchEvent": "Deleted", "filterResult": "conf-monitors-1/a", "snapshots": {"dynamic": [`+b+`]}}]`)
		},
		"C-153: events wait for the success of Synchronization": func(c *conformance) {
			c.hasContexts("locked", 1) // it waits, and will fail
			c.put("conf-monitors", "locked", "locked", "n", "2")
			c.put("conf-monitors", "locked-2", "locked", "n", "0")
			c.touch("locked-go")
			c.hasContexts("locked", 2)
			c.eventually(func() bool { return c.queued("locked") == 0 }, "Synchronization has succeeded")
			for _, r := range c.runs("locked") {
				if len(r) != 1 || r[0]["type"] != "Synchronization" {
					c.t.Errorf("before the success of Synchronization the hook got %v", r)
				}
			}
			n := len(c.runs("locked"))
			c.same("the last Synchronization", c.runs("locked")[n-1], `[`+synchronization("locked", `{"filterResult": "2"}`, `{"filterResult": "0"}`)+`]`)
			c.put("conf-monitors", "locked", "locked", "n", "3")
			c.same("the first event", c.hasContexts("locked", n+1)[n], `{"binding": "locked", "type": "Event", "watchEvent": "Modified", "filterResult": "3"}`)
		},
		"C-154: no run for what exists, events at once": func(c *conformance) {
			c.put("conf-monitors", "silent", "silent", "n", "2")
			c.same("contexts", c.hasContexts("silent", 1), `[{"binding": "silent", "type": "Event", "watchEvent": "Modified", "filterResult": "2"}]`)
		},
		"C-155: kinds that come later": func(c *conformance) {
			for _, x := range c.contexts("late") {
				if objects, ok := x["objects"].([]any); !ok || len(objects) > 0 {
					c.t.Errorf("got %v", x)
				}
			}
			before := len(c.contexts("late"))
			c.crd("conflates", "ConfLate")
			c.thing("conflates", "ConfLate", "conf-monitors", "first", 1)
			c.eventually(func() bool {
				got := c.contexts("late")
				return len(got) > before && strings.Contains(fmt.Sprint(got[len(got)-1]), "filterResult")
			}, "the hook runs for the kind that came")
			got := c.contexts("late")
			if last := got[len(got)-1]; last["type"] == "Synchronization" {
				c.same("the context", last, `{"binding": "late", "type": "Synchronization", "objects": [{"filterResult": 1}], "snapshots": {"late": [{"filterResult": 1}], "never": []}}`)
			} else {
				c.same("the context", last, `{"binding": "late", "type": "Event", "watchEvent": "Added", "filterResult": 1, "snapshots": {"late": [{"filterResult": 1}], "never": []}}`)
			}
		},
		"C-156: one watch for two hooks": func(c *conformance) {
			c.thing("confshareds", "ConfShared", "conf-monitors", "shared", 10)
			for n := range 2 {
				file := fmt.Sprint("shared-", n+1)
				c.same(file, c.hasContexts(file, 2)[1], fmt.Sprintf(`{"binding": "shared", "type": "Event", "watchEvent": "Added", "filterResult": %d}`, 11+n))
			}
			text, err := c.Client.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(c.ctx)
			if err != nil {
				c.t.Fatal(err)
			}
			watches := 0
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "apiserver_longrunning_requests{") && strings.Contains(line, `resource="confshareds"`) && strings.Contains(line, `scope="namespace"`) {
					_, value, _ := strings.Cut(line, "} ")
					_, _ = fmt.Sscan(value, &watches)
				}
			}
			if watches != 1 {
				c.t.Errorf("the API server serves %d watches, want 1", watches)
			}
		},
	})
}

func conformV0(t *testing.T, c *conformance) {
	c.parallel(t, map[string]func(*conformance){
		"C-025, C-070, C-072, C-073, C-074, C-129: namespaces": func(c *conformance) {
			name := "conf-v0-" + c.Namespace // namespaces take their time to go, so each test has another
			c.namespace(name, map[string]string{"conf": "v0"})
			t.Cleanup(func() { _ = c.Client.CoreV1().Namespaces().Delete(context.Background(), name, metav1.DeleteOptions{}) })
			c.hasContexts("v0-namespaces", 1)
			c.same("runs", c.runs("v0-namespaces"), `[[{"binding": "onKubernetesEvent", "resourceEvent": "add", "resourceNamespace": "", "resourceKind": "Namespace", "resourceName": "`+name+`"}]]`)
		},
		"C-072, C-073, C-074, C-129, C-145: all events, a filter, a selector": func(c *conformance) {
			c.put("conf-v0", "maps", "v0", "n", "1")
			c.hasContexts("v0-all", 1)
			c.put("conf-v0", "maps", "v0", "n", "1", "hidden", "1")
			c.put("conf-v0", "other", "no", "n", "1")
			c.put("conf-v0", "maps", "v0", "n", "2")
			c.hasContexts("v0-all", 2)
			c.remove("conf-v0", "maps")
			c.hasContexts("v0-all", 3)
			event := func(e string) string {
				return `[{"binding": "maps", "resourceEvent": "` + e + `", "resourceNamespace": "conf-v0", "resourceKind": "ConfigMap", "resourceName": "maps"}]`
			}
			c.same("runs", c.runs("v0-all"), `[`+event("add")+`, `+event("update")+`, `+event("delete")+`]`)
		},
		"C-072, C-074, C-129: one object, some events, any namespace": func(c *conformance) {
			c.put("conf-v0", "v0-some", "")
			c.put("conf-v0", "v0-some", "", "n", "1")
			c.hasContexts("v0-some", 1)
			c.remove("conf-v0", "v0-some")
			c.hasContexts("v0-some", 2)
			event := func(e string) string {
				return `[{"binding": "onKubernetesEvent", "resourceEvent": "` + e + `", "resourceNamespace": "conf-v0", "resourceKind": "ConfigMap", "resourceName": "v0-some"}]`
			}
			c.same("runs", c.runs("v0-some"), `[`+event("update")+`, `+event("delete")+`]`)
		},
		"C-070, C-129: onStartup and lifecycle": func(c *conformance) {
			c.same("runs", c.runs("v0-startup")[:3], `[[{"binding": "onStartup"}], [{"binding": "beforeHelm"}], [{"binding": "afterHelm"}]]`)
		},
		"C-041, C-071, C-129: schedules": func(c *conformance) {
			c.eventually(func() bool {
				seen := map[any]bool{}
				for _, r := range c.runs("v0-schedule") {
					if len(r) != 1 || len(r[0]) != 1 {
						c.t.Fatalf("got %v", r)
					}
					seen[r[0]["binding"]] = true
				}
				return seen["schedule"] && seen["named"] && len(seen) == 2
			}, "both schedules tick")
		},
	})
}

// conformSwitching switches a module off, changes one of its hooks, and switches it on again.
func conformSwitching(c *conformance) {
	if got := c.lines("reread"); !slices.Equal(got, []string{"one"}) {
		c.t.Errorf("got %q", got)
	}
	c.edit("confRereadEnabled", "false", "confContextsEnabled", "false")
	c.wants("conf-reread", "Enabled", "False")
	c.eventually(func() bool {
		all := c.contexts("lifecycle")
		return all[len(all)-1]["binding"] == "afterDeleteHelm"
	}, "the hooks around the removal have run")
	n := len(c.contexts("lifecycle"))
	const snapshots = `{"names": [{"filterResult": "full"}], "none": []}`
	c.same("the last contexts", c.contexts("lifecycle")[n-2:], `[{"binding": "beforeDeleteHelm", "snapshots": `+snapshots+`}, {"binding": "afterDeleteHelm", "snapshots": `+snapshots+`}]`)
	hook := filepath.Join(c.Dir, "modules", "100-conf-reread", "hooks", "numbers.sh")
	text, err := os.ReadFile(hook)
	if err != nil {
		c.t.Fatal(err)
	}
	changed := strings.ReplaceAll(strings.ReplaceAll(string(text), "onStartup: 1", "beforeHelm: 1"), `"one"`, `"two"`)
	if err := os.WriteFile(hook, []byte(changed), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.edit("confRereadEnabled", "true")
	c.ready("conf-reread")
	if got := c.lines("reread"); !slices.Equal(got, []string{"one", "two"}) {
		c.t.Errorf("got %q", got)
	}
}

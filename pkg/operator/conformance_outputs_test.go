package operator_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func conformObjects(t *testing.T, c *conformance) {
	const ns = "conf-objects"
	byHook := map[string]string{"by": "hook"}
	c.parallel(t, map[string]func(*conformance){
		"C-200, C-202, C-203, C-210: Create, CreateIfNotExists, CreateOrUpdate": func(c *conformance) {
			for _, name := range []string{"created", "made-if-missing", "replaced", "made-or-updated", "from-json-text", "from-yaml-text"} {
				c.hasData(ns, name, byHook)
			}
			c.hasData(ns, "kept", map[string]string{"by": "user", "old": "1"})
			cm, err := c.Client.CoreV1().ConfigMaps(ns).Get(c.ctx, "created", metav1.GetOptions{})
			if err != nil {
				c.t.Fatal(err)
			}
			// Without a name of its own the field manager is the program.
			if m := cm.ManagedFields[0]; m.Operation != metav1.ManagedFieldsOperationUpdate || m.Manager != "addon-operator" {
				c.t.Errorf("field manager %q by %s", m.Manager, m.Operation)
			}
		},
		"C-202, C-204, C-205: Delete, DeleteInBackground, DeleteNonCascading": func(c *conformance) {
			for _, name := range []string{"deleted", "deleted-in-background", "deleted-alone"} {
				c.eventually(func() bool { return c.data(ns, name) == nil }, "%s is gone", name)
			}
		},
		"C-202, C-203, C-204, C-209: JQPatch, MergePatch, JSONPatch": func(c *conformance) {
			c.hasData(ns, "jq-patched", byHook)
			c.hasData(ns, "merge-patched", map[string]string{"by": "hook", "json": "text", "yaml": "text"})
			c.hasData(ns, "json-patched", map[string]string{"by": "hook", "text": "yes"})
		},
		"C-207, C-212: subresources and numbers": func(c *conformance) {
			thing, err := c.Dynamic.Resource(confResource("confthings")).Namespace(ns).Get(c.ctx, "thing", metav1.GetOptions{})
			if err != nil {
				c.t.Fatal(err)
			}
			c.same("status", thing.Object["status"], `{"merged": true, "patched": true, "filtered": 7}`)
			c.same("spec", thing.Object["spec"], `{"n": 7}`)
			raw, err := c.Client.CoreV1().RESTClient().Get().AbsPath("/apis/conf.example.com/v1/namespaces/conf-objects/confthings/numbers").DoRaw(c.ctx)
			if err != nil {
				c.t.Fatal(err)
			}
			var numbers struct{ Spec map[string]json.RawMessage }
			if err := json.Unmarshal(raw, &numbers); err != nil {
				c.t.Fatal(err)
			}
			got := map[string]string{}
			for k, v := range numbers.Spec {
				got[k] = string(v)
			}
			want := map[string]string{"n": "9007199254740993", "zero": "0", "float": "0.5", "list": "[1,2.25]", "again": "3",
				"merged": "9007199254740995", "filtered": "9007199254740995"}
			if !maps.Equal(got, want) {
				c.t.Errorf("got %v, want %v", got, want)
			}
		},
		"C-201: invalid documents": func(c *conformance) {
			c.put(ns, "run-invalid", "")
			c.logs("hooks/invalid.sh", "can't validate document", "document 2", "CreateOrUpdate", "document 3", "operation", "document 4", "name", "document 5", "jqFilter", "document 6", "mergePatch")
			if c.data(ns, "of-invalid") != nil {
				c.t.Error("a valid operation beside invalid ones was done")
			}
			c.put(ns, "run-unknown-key", "")
			c.eventually(func() bool { return c.data(ns, "of-unknown-key") != nil }, "an unknown key is ignored")
		},
		"C-204, C-206: operations that fail": func(c *conformance) {
			c.put(ns, "run-failing", "")
			c.logs("hooks/failing.sh", "level:ERROR", "already exists", "missing-1", "missing-2", "missing-3")
			c.hasData(ns, "after-the-first-failure", byHook)
			c.hasData(ns, "after-all-failures", byHook)
			c.hasData(ns, "kept", map[string]string{"by": "user", "old": "1"})
		},
		"C-208: ignoreHookError": func(c *conformance) {
			c.put(ns, "run-ignored-error", "")
			c.logs("hooks/ignored-error.sh", "failed all the same", "level:ERROR")
			thing, err := c.Dynamic.Resource(confResource("confthings")).Namespace(ns).Get(c.ctx, "thing", metav1.GetOptions{})
			if err != nil {
				c.t.Fatal(err)
			}
			if status, _ := thing.Object["status"].(map[string]any); status["ignored"] != nil {
				c.t.Error("an operation of a failed hook was done")
			}
		},
		"C-211: no limit of requests": func(c *conformance) {
			if strings.Contains(c.log.String(), "client-side throttling") {
				c.t.Error("requests were held back")
			}
		},
	})
}

// ofHook are labels of a hook of the module.
func ofHook(hook, more string) string {
	return more + `hook="hooks/` + hook + `.sh",module="conf-metrics"`
}

func conformMetrics(t *testing.T, c *conformance) {
	const ns = "conf-metrics"
	c.parallel(t, map[string]func(*conformance){
		"C-220, C-221, C-223, C-226: counters, gauges, histograms": func(c *conformance) {
			for line, labels := range map[string]string{
				`conf_counter{%,of="long"} 1`: "", `conf_counter{%,of="short"} 2`: "",
				`conf_gauge{%,of="long"} -1.5`: "", `conf_gauge{%,of="short"} 0`: "",
				`conf_histogram_bucket{%,le="1"} 0`: "", `conf_histogram_bucket{%,le="5"} 1`: "", `conf_histogram_bucket{%,le="10"} 1`: "",
				`conf_histogram_bucket{%,le="+Inf"} 1`: "", `conf_histogram_sum{%} 3`: "", `conf_histogram_count{%} 1`: "",
				`conf_reused{%} 1`: "", `conf_after_the_reused{%} 1`: "",
			} {
				c.hasMetric(strings.ReplaceAll(line, "%", ofHook("kinds", labels)))
			}
			types := c.get("/metrics/hooks")
			for name, kind := range map[string]string{"conf_counter": "counter", "conf_gauge": "gauge", "conf_histogram": "histogram"} {
				if !regexp.MustCompile(`(?m)^# TYPE ` + name + ` ` + kind + `$`).MatchString(types) {
					c.t.Errorf("%s is no %s", name, kind)
				}
			}
			c.logs("conf_reused", "choose another name")
		},
		"C-228, C-229, C-230: what stays between runs": func(c *conformance) {
			labels := ofHook("accumulate", "")
			c.hasMetric(`conf_accumulated{` + labels + `} 0.5`)
			c.put(ns, "accumulate", "", "n", "1")
			c.hasMetric(`conf_accumulated{` + labels + `} 1`)
			c.hasMetric(`conf_stays{` + labels + `,n="0"} 0`)
			c.hasMetric(`conf_stays{` + labels + `,n="1"} 1`)
			c.hasMetric(`conf_buckets_bucket{` + labels + `,le="1"} 2`)
			c.hasMetric(`conf_buckets_bucket{` + labels + `,le="2"} 2`)
			if strings.Contains(c.get("/metrics/hooks"), `conf_buckets_bucket{`+labels+`,le="3"}`) {
				c.t.Error("later buckets replaced the first")
			}
		},
		"C-222, C-227: groups are replaced, and expire": func(c *conformance) {
			labels := ofHook("group", "")
			c.hasMetric(`conf_grouped{` + labels + `,n="0"} 1`)
			c.put(ns, "group", "", "n", "1")
			c.hasMetric(`conf_grouped{` + labels + `,n="1"} 1`)
			c.hasMetric(`conf_grouped_too{` + labels + `} 1`)
			if c.metric(`conf_grouped{` + labels + `,n="0"} 1`) {
				c.t.Error("a series of the group's earlier state is left")
			}
			own := `conf_own{` + ofHook("expire", "") + `} 1`
			c.put(ns, "expire", "", "n", "set")
			c.hasMetric(own)
			c.put(ns, "expire", "", "n", "group")
			c.eventually(func() bool { return !strings.Contains(c.get("/metrics/hooks"), "conf_grouped_too") }, "the group is cleared")
			c.hasMetric(`conf_grouped{` + labels + `,n="stays"} 1`)
			c.hasMetric(own)
			c.put(ns, "expire", "", "n", "own")
			c.eventually(func() bool { return !c.metric(own) }, "the hook's own series are cleared")
		},
		"C-224, C-225: labels": func(c *conformance) {
			c.hasMetric(`conf_labels{a="x",b="",` + ofHook("labels", "") + `} 1`)
			c.hasMetric(`conf_labels{a="",b="y",` + ofHook("labels", "") + `} 2`)
			c.hasMetric(`conf_of_global{hook="hooks/metrics/global.sh"} 1`)
		},
		"C-221, C-222: what is passed over": func(c *conformance) {
			c.hasMetric(`conf_not_skipped{` + ofHook("skipped", "") + `} 1`)
			if strings.Contains(c.get("/metrics/hooks"), "conf_skipped") {
				c.t.Error("a sample without a valid action counts")
			}
			c.logs("level:WARN", "hooks/skipped.sh", "multiply")
			c.logs("level:WARN", "hooks/skipped.sh", "both add and set")
		},
		"C-222: what is missing": func(c *conformance) {
			c.logs("level:ERROR", "hooks/missing.sh", "bad metrics", "name is required", "value is required", "buckets is required")
			if strings.Contains(c.get("/metrics/hooks"), "conf_of_missing") {
				c.t.Error("a sample beside invalid ones counts")
			}
		},
		"C-220: no JSON": func(c *conformance) {
			c.logs("level:ERROR", "hooks/syntax.sh", "got bad metrics")
			if strings.Contains(c.get("/metrics/hooks"), "conf_of_syntax") {
				c.t.Error("a sample before the error counts")
			}
		},
	})
}

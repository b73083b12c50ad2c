package hook

import (
	"fmt"
	"slices"
	"strings"

	admission "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	validatingKey = "kubernetesValidating"
	mutatingKey   = "kubernetesMutating"
	conversionKey = "kubernetesCustomResourceConversion"

	// defaultTimeoutSeconds and maxTimeoutSeconds are those of the API (C-060).
	defaultTimeoutSeconds = 10
	maxTimeoutSeconds     = 30
	// maxMatchConditions is the API server's limit for one webhook.
	maxMatchConditions = 64
)

var (
	webhookKeys   = []string{validatingKey, mutatingKey, conversionKey}
	admissionKeys = []string{
		"name", "group", "includeSnapshotsFrom", "failurePolicy", "sideEffects", "timeoutSeconds",
		"matchConditions", "labelSelector", "namespace", "rules",
	}
	ruleKeys       = []string{"apiVersions", "apiGroups", "resources", "operations", "scope"}
	conversionKeys = []string{"name", "crdName", "conversions", "group", "includeSnapshotsFrom"}

	failurePolicies = []string{string(admission.Ignore), string(admission.Fail)}
	sideEffects     = []string{string(admission.SideEffectClassNone), string(admission.SideEffectClassNoneOnDryRun)}
	operations      = []string{"CREATE", "UPDATE", "DELETE", "CONNECT", "*"}
	scopes          = []string{"Cluster", "Namespaced", "*"}
)

// webhooks reads the admission and conversion bindings (C-060 … C-064).
func (c *checker) webhooks(root node, spec *Spec) {
	for _, key := range []string{validatingKey, mutatingKey} {
		names := map[string]bool{}
		root.children(key, 1, admissionKeys, func(_ int, e node) {
			a := c.admission(e)
			a.Mutating = key == mutatingKey
			c.unique(e, names, a.Name)
			spec.Admissions = append(spec.Admissions, a)
		})
	}
	ofCRD := map[string]map[string]bool{} // a name may stand for several CRDs
	root.children(conversionKey, 1, conversionKeys, func(_ int, e node) {
		b := c.conversion(e)
		if ofCRD[b.CRD] == nil {
			ofCRD[b.CRD] = map[string]bool{}
		}
		c.unique(e, ofCRD[b.CRD], b.Name)
		spec.Conversions = append(spec.Conversions, b)
	})
}

// key is the configuration key of the list that the binding stood in.
func (a Admission) key() string {
	if a.Mutating {
		return mutatingKey
	}
	return validatingKey
}

func (c *checker) unique(e node, names map[string]bool, name string) {
	if name != "" && names[name] {
		c.fail(join(e.path, "name"), "is used twice in this list: %q", name)
	}
	names[name] = true
}

// webhookRoute is the part of route that makes sense where nothing queues.
func (c *checker) webhookRoute(e node) Route {
	e.require("name")
	return Route{Name: e.text("name"), Group: e.text("group"), Snapshots: e.texts("includeSnapshotsFrom", 1)}
}

// admission reads one kubernetesValidating or kubernetesMutating binding. What
// the API server would refuse is refused here, with the path in the hook's words.
func (c *checker) admission(e node) Admission {
	a := Admission{
		Route:           c.webhookRoute(e),
		FailurePolicy:   admission.FailurePolicyType(e.choice("failurePolicy", failurePolicies)),
		SideEffects:     admission.SideEffectClass(e.choice("sideEffects", sideEffects)),
		TimeoutSeconds:  e.timeoutSeconds("timeoutSeconds"),
		MatchConditions: c.matchConditions(e),
		Labels:          c.labelSelector(e, "labelSelector"),
	}
	if a.SideEffects == "" {
		a.SideEffects = admission.SideEffectClassNone
	}
	if _, isText := e.m["name"].(string); isText {
		c.webhookName(e, a.Name)
	}
	if ns, ok := e.child("namespace", []string{"labelSelector"}); ok {
		ns.require("labelSelector")
		a.NamespaceLabels = c.labelSelector(ns, "labelSelector")
	}
	if !e.has("rules") {
		c.warn("%s has no rules: nothing is ever reviewed by it", e.path)
	}
	e.children("rules", 1, ruleKeys, func(_ int, r node) { a.Rules = append(a.Rules, c.admissionRule(r)) })
	return a
}

// webhookName demands what the API server does of a webhook's name (C-063, B-21).
func (c *checker) webhookName(e node, name string) {
	path := join(e.path, "name")
	if why := validation.IsDNS1123Subdomain(name); len(why) > 0 {
		c.fail(path, "is not a DNS name: %q: %s", name, strings.Join(why, "; "))
		return
	}
	if strings.Count(name, ".") < 2 {
		c.fail(path, "should be a domain with at least three segments separated by dots, such as %s.example.com; got %q", name, name)
	}
}

func (n node) timeoutSeconds(key string) int32 {
	v, ok := n.m[key]
	if !ok {
		return defaultTimeoutSeconds
	}
	seconds, ok := v.(int64)
	if !ok || seconds < 1 || seconds > maxTimeoutSeconds {
		n.c.fail(join(n.path, key), "should be a whole number from 1 to %d, got %s", maxTimeoutSeconds, show(v))
		return defaultTimeoutSeconds
	}
	return int32(seconds)
}

func (c *checker) matchConditions(e node) []admission.MatchCondition {
	var out []admission.MatchCondition
	names := map[string]bool{}
	e.children("matchConditions", 0, []string{"name", "expression"}, func(_ int, m node) {
		m.require("name", "expression")
		one := admission.MatchCondition{Name: m.text("name"), Expression: m.text("expression")}
		if _, isText := m.m["name"].(string); isText {
			if why := validation.IsQualifiedName(one.Name); len(why) > 0 {
				c.fail(join(m.path, "name"), "is not a qualified name: %s", strings.Join(why, "; "))
			}
		}
		if _, isText := m.m["expression"].(string); isText && strings.TrimSpace(one.Expression) == "" {
			c.fail(join(m.path, "expression"), "should not be empty")
		}
		c.unique(m, names, one.Name)
		out = append(out, one)
	})
	if len(out) > maxMatchConditions {
		c.fail(join(e.path, "matchConditions"), "should have at most %d items, got %d", maxMatchConditions, len(out))
	}
	return out
}

// admissionRule reads one rule (C-061) and checks it as the API server does (C-063).
func (c *checker) admissionRule(r node) admission.RuleWithOperations {
	r.require("apiVersions", "apiGroups", "resources", "operations")
	rule := admission.RuleWithOperations{
		Rule: admission.Rule{
			APIGroups:   c.wildcard(r, "apiGroups"),
			APIVersions: c.wildcard(r, "apiVersions"),
			Resources:   r.texts("resources", 1),
		},
	}
	c.noEmpty(r, "apiVersions", rule.APIVersions)
	c.noEmpty(r, "resources", rule.Resources)
	c.resources(join(r.path, "resources"), rule.Resources)
	for i, op := range c.wildcard(r, "operations") {
		if !slices.Contains(operations, op) {
			c.fail(fmt.Sprintf("%s[%d]", join(r.path, "operations"), i), "should be one of [%s], got %q", strings.Join(operations, " "), op)
		}
		rule.Operations = append(rule.Operations, admission.OperationType(op))
	}
	if scope := r.choice("scope", scopes); scope != "" {
		of := admission.ScopeType(scope)
		rule.Scope = &of
	}
	return rule
}

// wildcard is a list in which * stands alone or not at all.
func (c *checker) wildcard(r node, key string) []string {
	list := r.texts(key, 1)
	if len(list) > 1 && slices.Contains(list, "*") {
		c.fail(join(r.path, key), "if '*' is present, it must be the only item, got [%s]", strings.Join(list, " "))
	}
	return list
}

func (c *checker) noEmpty(r node, key string, list []string) {
	for i, s := range list {
		if s == "" {
			c.fail(fmt.Sprintf("%s[%d]", join(r.path, key), i), "should not be empty")
		}
	}
}

// resources finds items that an item before them covers, which the API server
// refuses: */* covers all, * every resource, pods/* and */status their subresources.
func (c *checker) resources(path string, list []string) {
	if len(list) > 1 && slices.Contains(list, "*/*") {
		c.fail(path, "if '*/*' is present, it must be the only item, got [%s]", strings.Join(list, " "))
		return
	}
	for i, item := range list {
		for _, cover := range list[:i] {
			if covers(cover, item) {
				c.fail(fmt.Sprintf("%s[%d]", path, i), "if '%s' is present, must not specify %s", cover, item)
				break
			}
		}
	}
}

func covers(cover, item string) bool {
	resource, sub, hasSub := strings.Cut(item, "/")
	switch {
	case cover == item:
		return false
	case !hasSub:
		return cover == "*"
	}
	return cover == resource+"/*" || cover == "*/"+sub
}

// conversion reads one kubernetesCustomResourceConversion binding (C-064).
func (c *checker) conversion(e node) Conversion {
	e.require("crdName", "conversions")
	b := Conversion{Route: c.webhookRoute(e), CRD: e.text("crdName")}
	if _, isText := e.m["name"].(string); isText && b.Name == "" {
		c.fail(join(e.path, "name"), "should not be empty")
	}
	if _, isText := e.m["crdName"].(string); isText && (len(validation.IsDNS1123Subdomain(b.CRD)) > 0 || !strings.Contains(b.CRD, ".")) {
		c.fail(join(e.path, "crdName"), "should be <plural>.<group> such as crontabs.stable.example.com, got %q", b.CRD)
	}
	e.children("conversions", 1, []string{"fromVersion", "toVersion"}, func(_ int, r node) {
		r.require("fromVersion", "toVersion")
		b.Rules = append(b.Rules, ConversionRule{From: r.filled("fromVersion"), To: r.filled("toVersion")})
	})
	return b
}

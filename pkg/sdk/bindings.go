package sdk

import (
	"fmt"
	"time"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// WatchEvent is a kind of change of an object.
type WatchEvent = hook.WatchEvent

// The kinds of change.
const (
	Added    = hook.Added
	Modified = hook.Modified
	Deleted  = hook.Deleted
)

// Schedule runs a hook at times (C-040).
type Schedule struct {
	// Name is the binding's name. Default "schedule".
	Name string `json:"name,omitempty"`
	// Crontab has five fields, or six with seconds first, or is @hourly, @every 5m … (C-041).
	Crontab      string `json:"crontab"`
	Queue        string `json:"queue,omitempty"`
	Group        string `json:"group,omitempty"`
	AllowFailure bool   `json:"allowFailure,omitempty"`
	// IncludeSnapshotsFrom names Kubernetes bindings whose objects the run needs (C-052).
	IncludeSnapshotsFrom []string `json:"includeSnapshotsFrom,omitempty"`
}

func (s Schedule) declare(d document) error { return d.add("schedule", s) }

// Kubernetes runs a hook when objects change (C-050), and keeps them for
// snapshots. T is what the hook wants of each object: what the JQFilter makes of
// it, or without one the object.
type Kubernetes[T any] struct {
	// Name is the binding's name and the key of its snapshot. Default "kubernetes".
	Name string
	// APIVersion may be empty: the server's preferred version of Kind.
	APIVersion, Kind string
	// JQFilter is the jq program that makes a T of an object. Changes that leave its result as it was run nothing.
	JQFilter string
	// KeepFullObjects keeps whole objects beside the results of the JQFilter, for
	// Item.Object. Unlike in a written configuration the default is not to (C-141).
	KeepFullObjects bool
	// Names, Labels, Fields, Namespaces and NamespaceLabels select objects; empty selects all.
	Names           []string
	Labels          *metav1.LabelSelector
	Fields          []Field
	Namespaces      []string
	NamespaceLabels *metav1.LabelSelector
	// Events run the hook; nil means all three, an empty list none.
	Events []WatchEvent
	// SkipSynchronization: do not run the hook for what exists at the start.
	SkipSynchronization bool
	// NoWait: the owner does not wait for the run at the start. It needs a Queue (C-187).
	NoWait bool
	// Group is for hooks that compute all from snapshots: one context of type Group for
	// whatever happened to any binding of the group (C-125).
	Group string
	// Queue is the lane. Default "main".
	Queue string
	// AllowFailure makes a failed run count as done (C-183).
	AllowFailure bool
	// IncludeSnapshotsFrom names Kubernetes bindings whose objects the run needs (C-052).
	IncludeSnapshotsFrom []string
	// Resync is how often every object is looked at again; 0 is never.
	Resync time.Duration
}

// Field is one term of a field selector: metadata.name = a. Operators are =, ==, Equals, != and NotEquals.
type Field struct {
	Field    string `json:"field"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

func (k Kubernetes[T]) declare(d document) error {
	b := document{"kind": k.Kind}
	set := func(there bool, key string, value any) {
		if there {
			b[key] = value
		}
	}
	set(k.Name != "", "name", k.Name)
	set(k.APIVersion != "", "apiVersion", k.APIVersion)
	set(k.JQFilter != "", "jqFilter", k.JQFilter)
	set(k.JQFilter != "" && !k.KeepFullObjects, "keepFullObjectsInMemory", false)
	set(len(k.Names) > 0, "nameSelector", matchNames(k.Names))
	set(k.Labels != nil, "labelSelector", k.Labels)
	set(len(k.Fields) > 0, "fieldSelector", document{"matchExpressions": k.Fields})
	namespace := document{}
	if len(k.Namespaces) > 0 {
		namespace["nameSelector"] = matchNames(k.Namespaces)
	}
	if k.NamespaceLabels != nil {
		namespace["labelSelector"] = k.NamespaceLabels
	}
	set(len(namespace) > 0, "namespace", namespace)
	set(k.Events != nil, "executeHookOnEvent", k.Events)
	set(k.SkipSynchronization, "executeHookOnSynchronization", false)
	set(k.NoWait, "waitForSynchronization", false)
	set(k.Group != "", "group", k.Group)
	set(k.Queue != "", "queue", k.Queue)
	set(k.AllowFailure, "allowFailure", true)
	set(len(k.IncludeSnapshotsFrom) > 0, "includeSnapshotsFrom", k.IncludeSnapshotsFrom)
	set(k.Resync != 0, "resynchronizationPeriod", k.Resync.String())
	return d.add("kubernetes", b)
}

func matchNames(names []string) document { return document{"matchNames": names} }

// Snapshot is Snapshot of this binding.
func (k Kubernetes[T]) Snapshot(in *Input) ([]T, error) { return Snapshot[T](in, k.name()) }

// Items are the objects that a context of this binding is about: all there are of
// a Synchronization, one of an Event (of Deleted its last state), none of others.
func (k Kubernetes[T]) Items(c Context) ([]T, error) {
	if c.Binding != k.name() {
		return nil, nil
	}
	return decodeItems[T](k.name(), c.Items)
}

func (k Kubernetes[T]) name() string {
	if k.Name == "" {
		return "kubernetes"
	}
	return k.Name
}

// Webhook is what Validating and Mutating have in common (C-060).
type Webhook struct {
	// Name is a DNS name of at least three segments.
	Name  string
	Group string
	// IncludeSnapshotsFrom names Kubernetes bindings whose objects the run needs (C-052).
	IncludeSnapshotsFrom []string
	// Rules say which requests are reviewed.
	Rules []admissionregistration.RuleWithOperations
	// Labels select objects, NamespaceLabels their namespaces; nil selects all.
	Labels, NamespaceLabels *metav1.LabelSelector
	MatchConditions         []admissionregistration.MatchCondition
	// FailurePolicy is Fail or Ignore. Default: the operator's.
	FailurePolicy admissionregistration.FailurePolicyType
	// SideEffects is None or NoneOnDryRun. Default None.
	SideEffects admissionregistration.SideEffectClass
	// TimeoutSeconds is from 1 to 30. Default 10.
	TimeoutSeconds int
}

// Validating has the hook accept or deny requests to the API server; see Input.Admission.
type Validating Webhook

// Mutating has the hook change objects before they are stored; see Input.Admission.
type Mutating Webhook

func (v Validating) declare(d document) error {
	return d.add("kubernetesValidating", Webhook(v).document())
}
func (m Mutating) declare(d document) error {
	return d.add("kubernetesMutating", Webhook(m).document())
}

func (w Webhook) document() document {
	b := document{"name": w.Name, "rules": w.Rules}
	set := func(there bool, key string, value any) {
		if there {
			b[key] = value
		}
	}
	set(w.Group != "", "group", w.Group)
	set(len(w.IncludeSnapshotsFrom) > 0, "includeSnapshotsFrom", w.IncludeSnapshotsFrom)
	set(w.Labels != nil, "labelSelector", w.Labels)
	set(w.NamespaceLabels != nil, "namespace", document{"labelSelector": w.NamespaceLabels})
	set(len(w.MatchConditions) > 0, "matchConditions", w.MatchConditions)
	set(w.FailurePolicy != "", "failurePolicy", w.FailurePolicy)
	set(w.SideEffects != "", "sideEffects", w.SideEffects)
	set(w.TimeoutSeconds != 0, "timeoutSeconds", w.TimeoutSeconds)
	return b
}

// Converting has the hook convert custom resources between versions (C-064); see Input.Conversion.
type Converting struct {
	Name string `json:"name"`
	// CRD is the name of the CustomResourceDefinition, such as crontabs.stable.example.com.
	CRD   string `json:"crdName"`
	Steps []Step `json:"conversions"`
	Group string `json:"group,omitempty"`
	// IncludeSnapshotsFrom names Kubernetes bindings whose objects the run needs (C-052).
	IncludeSnapshotsFrom []string `json:"includeSnapshotsFrom,omitempty"`
}

// Step is a conversion that the hook can do. Versions are full (group/v1) or short (v1).
type Step struct {
	From string `json:"fromVersion"`
	To   string `json:"toVersion"`
}

func (c Converting) declare(d document) error {
	if len(c.Steps) == 0 {
		return fmt.Errorf("binding %s has no Steps: say which versions it converts", c.Name)
	}
	return d.add("kubernetesCustomResourceConversion", c)
}

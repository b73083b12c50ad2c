// Package object is the identity and the observed health of one Kubernetes object.
package object

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Ref names one object in the cluster. Namespace is empty for cluster-scoped kinds.
type Ref struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String is Kind/namespace/name, as users read it in messages.
func (r Ref) String() string {
	if r.Namespace == "" {
		return fmt.Sprintf("%s/%s", r.Kind, r.Name)
	}
	return fmt.Sprintf("%s/%s/%s", r.Kind, r.Namespace, r.Name)
}

// Compare orders by kind, namespace, name and apiVersion.
func (r Ref) Compare(o Ref) int {
	return cmp.Or(cmp.Compare(r.Kind, o.Kind), cmp.Compare(r.Namespace, o.Namespace),
		cmp.Compare(r.Name, o.Name), cmp.Compare(r.APIVersion, o.APIVersion))
}

// Sort orders refs in place by Compare.
func Sort(refs []Ref) { slices.SortFunc(refs, Ref.Compare) }

// State is what kstatus says of an object (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus).
type State string

const (
	// Current: the object has reached what its spec asks for.
	Current State = "Current"
	// InProgress: its controller is still working.
	InProgress State = "InProgress"
	// Failed: its controller gave up or reports an error.
	Failed State = "Failed"
	// Terminating: a deletion was requested and has not ended.
	Terminating State = "Terminating"
	// Missing: the object is not in the cluster.
	Missing State = "Missing"
	// Unknown: the object has not been observed yet.
	Unknown State = "Unknown"
)

// Health is the observed state of one object. Message says what it waits for.
type Health struct {
	Ref
	State   State
	Message string
}

// Drift says how a live object differs from what was applied.
type Drift struct {
	Ref
	// Gone is true when the object was deleted, false when fields we set were changed.
	Gone bool
	// Paths are the fields that differ, as JSON pointers (RFC 6901); items of lists by merge key or index.
	Paths []string
	// Rewritten: the API server holds another value than was written to it: an admission
	// policy or webhook changes it on the way.
	Rewritten bool
	// Manager is the field manager that owns the first of the fields, or wrote last; "" when not known.
	Manager string
}

// String says what happened to the object.
func (d Drift) String() string {
	switch {
	case d.Gone:
		return d.Ref.String() + " was deleted"
	case d.Rewritten:
		return fmt.Sprintf("%s has another value at %s than was written", d.Ref, d.Fields())
	case d.Manager == "":
		return fmt.Sprintf("%s was changed at %s", d.Ref, d.Fields())
	}
	return fmt.Sprintf("%s was changed at %s by %s", d.Ref, d.Fields(), d.Manager)
}

// Fields lists the first of the paths.
func (d Drift) Fields() string {
	const most = 5
	if len(d.Paths) > most {
		return fmt.Sprintf("%s and %d more fields", strings.Join(d.Paths[:most], ", "), len(d.Paths)-most)
	}
	return strings.Join(d.Paths, ", ")
}

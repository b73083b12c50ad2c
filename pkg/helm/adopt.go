package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/module"
)

// owned is the metadata that decides whether an object may be written or deleted.
type owned struct {
	Metadata struct {
		Labels            map[string]string       `json:"labels"`
		Annotations       map[string]string       `json:"annotations"`
		DeletionTimestamp *metav1.Time            `json:"deletionTimestamp"`
		Finalizers        []string                `json:"finalizers"`
		OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
}

func (it *item) owned() (owned, error) {
	var o owned
	if err := json.Unmarshal(it.live, &o); err != nil {
		return o, fmt.Errorf("%s: answer of the API server: %w", it.Ref, err)
	}
	return o, nil
}

// owner is the Helm release that the live object belongs to, "" for none.
func (o owned) owner() (name, namespace string) {
	a := o.Metadata.Annotations
	return a[releaseNameAnnotation], a[releaseNamespaceAnnotation]
}

// claim is a release that wants to write objects, and what it may take over (C-432).
type claim struct {
	name, namespace string
	adopt           module.Adoption
	// home holds the records; releases of the predecessor bear it as their namespace.
	home string
	// first: no record of the release is known. An object that bears its name is then errMarked.
	first bool
}

// errMarked: an object bears the name of a release of which no record is known, so it
// may be stored in another place.
var errMarked = errors.New("belongs to a release of this name that is stored elsewhere")

// refusal is an object that is not taken over.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

func isRefusal(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// check answers whether the live object may be written: an absent one, one of ours, and
// one that the policy lets us take over.
func (c claim) check(it *item) error {
	if it.live == nil {
		return nil
	}
	o, err := it.owned()
	if err != nil {
		return err
	}
	if o.Metadata.DeletionTimestamp != nil {
		return fmt.Errorf("%s is being deleted and waits for finalizers %q; it is created anew once it is gone", it.Ref, o.Metadata.Finalizers)
	}
	name, namespace := o.owner()
	switch {
	case name == c.name && c.first && (namespace == c.namespace || namespace == c.home) && it.base == nil && !it.created:
		return fmt.Errorf("%s %w", it.Ref, errMarked)
	case name == c.name && (namespace == c.namespace || it.base != nil && !it.unsure): // it may bear the namespace the module had before
		return nil
	case c.adopt == module.AdoptAlways:
		return nil
	case name != "":
		return refuse("%s belongs to release %s of namespace %s and is not taken over by release %s of namespace %s; remove it from one of them, or say adopt: always in module.yaml",
			it.Ref, name, namespace, c.name, c.namespace)
	case it.base != nil && !it.unsure: // ours; somebody took the mark off
		return nil
	}
	return c.checkUnowned(it, o)
}

// Values of the label managed-by that claim nothing: without the annotations of a
// release "Helm" is what a release left behind.
var ownManagers = []string{"", managedByHelm, FieldManager} //nolint:gochecknoglobals // constant list

func (c claim) checkUnowned(it *item, o owned) error {
	const wayOut = "delete it, or say adopt: always in module.yaml"
	if c.adopt == module.AdoptNever {
		return refuse("%s is there already and adopt: never forbids to take it over; delete it, or change adopt in module.yaml", it.Ref)
	}
	if refs := o.Metadata.OwnerReferences; len(refs) > 0 {
		return refuse("%s belongs to %s %s (ownerReferences) and is not taken over; %s", it.Ref, refs[0].Kind, refs[0].Name, wayOut)
	}
	if m := o.Metadata.Labels[managedByLabel]; !slices.Contains(ownManagers, m) {
		return refuse("%s is managed by %q (label %s) and is not taken over; %s", it.Ref, m, managedByLabel, wayOut)
	}
	return nil
}

// ask reads the wanted objects and checks all of them before anything is written.
func (a *applying) ask(ctx context.Context) error {
	return a.objects.each(a.target, func(it *item) error {
		if it.created {
			return nil
		}
		if err := a.objects.get(ctx, it); err != nil {
			return err
		}
		return a.who.check(it)
	})
}

// withdraw is for a first install that met an object it may not take over: it names
// all such objects and deletes what it made, so that a refused module leaves nothing
// behind. Later attempts ask first.
func (a *applying) withdraw(ctx context.Context, met error) error {
	err := a.ask(ctx)
	if err == nil {
		err = met // gone meanwhile
	}
	var made []*item
	for _, it := range a.target {
		if it.created {
			made = append(made, it)
		}
	}
	slices.Reverse(made)
	return errors.Join(err, a.objects.eachKind(made, func(it *item) error { return a.objects.remove(ctx, it) }))
}

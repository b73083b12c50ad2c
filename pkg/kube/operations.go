package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// deleteWait bounds how long a Delete waits for the object to be gone (C-202).
const deleteWait = 20 * time.Second

// Execute performs the operations in order (C-202 … C-212). One that fails does
// not stop those after it; the errors are joined, each naming verb and object (C-206).
func (c *Clients) Execute(ctx context.Context, ops []hook.Operation) error {
	var failed []error
	for _, op := range ops {
		ref := target(op)
		if err := c.execute(ctx, op, ref); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", op.Verb, describe(ref), c.refused(err)))
		}
	}
	return errors.Join(failed...)
}

// target is the object an operation is about; for the Create verbs it is that of
// the object itself (C-204).
func target(op hook.Operation) object.Ref {
	u := unstructured.Unstructured{Object: op.Object}
	ref := object.Ref{APIVersion: op.APIVersion, Kind: op.Kind, Namespace: op.Namespace, Name: op.Name}
	if op.Object == nil {
		return ref
	}
	ref.APIVersion, ref.Kind = u.GetAPIVersion(), u.GetKind()
	if ref.Name = u.GetName(); ref.Name == "" {
		ref.Name = u.GetGenerateName()
	}
	if ns := u.GetNamespace(); ns != "" {
		ref.Namespace = ns
	}
	return ref
}

// describe is "Kind namespace/name".
func describe(ref object.Ref) string { return ref.Kind + " " + id{ref.Namespace, ref.Name}.String() }

func (c *Clients) execute(ctx context.Context, op hook.Operation, ref object.Ref) error {
	client, _, err := c.clientFor(ref)
	if err != nil {
		return err
	}
	switch op.Verb {
	case hook.Create, hook.CreateIfNotExists, hook.CreateOrUpdate:
		return create(ctx, client, op, ref)
	case hook.Delete:
		return deleteAndWait(ctx, client, ref.Name)
	case hook.DeleteInBackground:
		return remove(ctx, client, ref.Name, metav1.DeletePropagationBackground)
	case hook.DeleteNonCascading:
		return remove(ctx, client, ref.Name, metav1.DeletePropagationOrphan)
	case hook.JQPatch, hook.MergePatch, hook.JSONPatch:
		err := patch(ctx, client, op, ref.Name)
		if op.IgnoreMissingObject && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	return fmt.Errorf("unknown operation %q", op.Verb)
}

// create makes the object; the verb says what an object that exists means.
func create(ctx context.Context, client dynamic.ResourceInterface, op hook.Operation, ref object.Ref) error {
	u := &unstructured.Unstructured{Object: values.Normalize(values.Clone(op.Object)).(map[string]any)}
	if ref.Namespace != "" && u.GetNamespace() == "" {
		u.SetNamespace(ref.Namespace)
	}
	_, err := client.Create(ctx, u, metav1.CreateOptions{})
	switch {
	case !apierrors.IsAlreadyExists(err) || op.Verb == hook.Create:
		return err
	case op.Verb == hook.CreateIfNotExists:
		return nil
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		live, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		u.SetResourceVersion(live.GetResourceVersion())
		_, err = client.Update(ctx, u, metav1.UpdateOptions{})
		return err
	})
}

// remove asks for the deletion; that of a missing object is done (C-205).
func remove(ctx context.Context, client dynamic.ResourceInterface, name string, how metav1.DeletionPropagation) error {
	err := client.Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &how})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// deleteAndWait returns when the object that exists now is gone; one made anew
// under its name does not hold it up.
func deleteAndWait(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := remove(ctx, client, name, metav1.DeletePropagationForeground); err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, deleteWait)
	defer stop()
	var finalizers []string
	err = await(ctx, client, name, func(u *unstructured.Unstructured) (bool, error) {
		if u == nil || u.GetUID() != live.GetUID() {
			return true, nil
		}
		finalizers = u.GetFinalizers()
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("still there after %s, held by finalizers %q: find out who should remove them, or use DeleteInBackground: %w",
			deleteWait, finalizers, err)
	}
	return err
}

func patch(ctx context.Context, client dynamic.ResourceInterface, op hook.Operation, name string) error {
	sub := subresources(op.Subresource)
	switch op.Verb {
	case hook.MergePatch:
		_, err := client.Patch(ctx, name, types.MergePatchType, op.Patch, metav1.PatchOptions{}, sub...)
		return err
	case hook.JSONPatch:
		_, err := client.Patch(ctx, name, types.JSONPatchType, op.Patch, metav1.PatchOptions{}, sub...)
		return err
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return jqPatch(ctx, client, op, name, sub) })
}

// jqPatch reads the object, filters it, and writes the result if it differs (C-202, C-207).
func jqPatch(ctx context.Context, client dynamic.ResourceInterface, op hook.Operation, name string, sub []string) error {
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if op.Filter == nil {
		return errors.New("jqFilter is missing")
	}
	result, err := op.Filter.Apply(live.Object)
	if err != nil {
		return fmt.Errorf("jqFilter: %w", err)
	}
	wanted, ok := result.(map[string]any)
	if !ok {
		return fmt.Errorf("jqFilter answered %T, expected the whole object", result)
	}
	if same(wanted, live.Object) {
		return nil
	}
	_, err = client.Update(ctx, &unstructured.Unstructured{Object: wanted}, metav1.UpdateOptions{}, sub...)
	return err
}

// same compares as JSON where Go's types differ: 1 and 1.0 are one number to the API.
func same(a, b map[string]any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	left, errLeft := compact(a)
	right, errRight := compact(b)
	return errLeft == nil && errRight == nil && bytes.Equal(left, right)
}

// subresources splits "status", "/status" or "a/b" into path segments.
func subresources(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '/' })
}

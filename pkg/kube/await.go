package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// await watches one object until done answers true or an error, or ctx ends. done
// gets each state of the object; nil means that it does not exist.
func await(ctx context.Context, client dynamic.ResourceInterface, name string, done func(*unstructured.Unstructured) (bool, error)) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var b backoff
	for {
		ended, err := awaitOnce(ctx, client, name, done)
		switch {
		case ended || (err != nil && (!retryable(err) && !apierrors.IsGone(err) && !apierrors.IsResourceExpired(err))):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		b.pause(ctx)
	}
}

// awaitOnce is one list and one watch of the object.
func awaitOnce(ctx context.Context, client dynamic.ResourceInterface, name string, done func(*unstructured.Unstructured) (bool, error)) (bool, error) {
	opts := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
	list, err := client.List(ctx, opts)
	if err != nil {
		return false, err
	}
	var now *unstructured.Unstructured
	if len(list.Items) > 0 {
		now = &list.Items[0]
	}
	if ok, err := done(now); ok || err != nil {
		return true, err
	}
	opts.ResourceVersion = list.GetResourceVersion()
	w, err := client.Watch(ctx, opts)
	if err != nil {
		return false, err
	}
	defer w.Stop()
	for ev := range w.ResultChan() {
		u, _ := ev.Object.(*unstructured.Unstructured)
		switch ev.Type {
		case watch.Added, watch.Modified:
		case watch.Deleted:
			u = nil
		default:
			return false, fmt.Errorf("watch %s: %w", name, apierrors.FromObject(ev.Object))
		}
		if ok, err := done(u); ok || err != nil {
			return true, err
		}
	}
	return false, nil
}

package helm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"helm.sh/helm/v3/pkg/release"
	helmtime "helm.sh/helm/v3/pkg/time"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// hookRun runs the chart hooks of one release as Helm does (C-441,
// https://helm.sh/docs/topics/charts_hooks/): by weight, one after another, with
// their deletion policies, waiting for Jobs and Pods to end.
type hookRun struct {
	*Client
	kinds   *kinds
	release *release.Release
}

func (h *hookRun) run(ctx context.Context, event release.HookEvent) error {
	hooks := hooksOf(h.release.Hooks, event)
	for i, hook := range hooks {
		if err := h.one(ctx, hook); err != nil {
			err = fmt.Errorf("chart hook %s %s/%s: %w", event, hook.Kind, hook.Name, err)
			return errors.Join(err, h.clean(ctx, hooks[i:i+1], release.HookFailed), h.clean(ctx, hooks[:i], release.HookSucceeded))
		}
	}
	slices.Reverse(hooks)
	return h.clean(ctx, hooks, release.HookSucceeded)
}

func hooksOf(hooks []*release.Hook, event release.HookEvent) []*release.Hook {
	var out []*release.Hook
	for _, h := range hooks {
		if slices.Contains(h.Events, event) {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b *release.Hook) int {
		return cmp.Or(cmp.Compare(a.Weight, b.Weight), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func (h *hookRun) one(ctx context.Context, hook *release.Hook) error {
	if len(hook.DeletePolicies) == 0 {
		hook.DeletePolicies = []release.HookDeletePolicy{release.HookBeforeHookCreation}
	}
	if err := h.clean(ctx, []*release.Hook{hook}, release.HookBeforeHookCreation); err != nil {
		return err
	}
	items, err := h.items(hook)
	if err != nil {
		return err
	}
	hook.LastRun = release.HookExecution{StartedAt: helmtime.Time{Time: h.cfg.Now()}, Phase: release.HookPhaseFailed}
	defer func() { hook.LastRun.CompletedAt = helmtime.Time{Time: h.cfg.Now()} }()
	err = h.objects.each(items, func(it *item) error { return h.objects.create(ctx, it) })
	if err != nil {
		return err
	}
	if err := h.objects.each(items, func(it *item) error { return h.await(ctx, it) }); err != nil {
		return err
	}
	hook.LastRun.Phase = release.HookPhaseSucceeded
	return nil
}

// await waits until it has ended, for Config.Timeout at most, and says of one that did
// not end well what its pods did.
func (h *hookRun) await(ctx context.Context, it *item) error {
	limited, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	err := h.objects.waitFinished(limited, it)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if limited.Err() != nil {
		err = fmt.Errorf("%s did not end within %s", it.Ref, h.cfg.Timeout)
	}
	if why := h.objects.whyNotFinished(ctx, it); why != "" {
		err = fmt.Errorf("%w: %s", err, why)
	}
	return err
}

func (h *hookRun) items(hook *release.Hook) ([]*item, error) {
	docs, err := parseDocuments(hook.Path, hook.Manifest)
	if err != nil {
		return nil, err
	}
	return h.kinds.items(docs, h.release.Name, h.release.Namespace)
}

// clean deletes the objects of hooks that have the policy, and waits until they are gone.
func (h *hookRun) clean(outer context.Context, hooks []*release.Hook, policy release.HookDeletePolicy) error {
	for _, hook := range hooks {
		if !slices.Contains(hook.DeletePolicies, policy) || hook.Kind == "CustomResourceDefinition" {
			continue
		}
		items, err := h.items(hook)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(outer, h.cfg.Timeout)
		err = h.objects.each(items, func(it *item) error { return h.objects.removeAndWait(ctx, it) })
		if ctx.Err() != nil && outer.Err() == nil {
			err = fmt.Errorf("it is not gone within %s: %w", h.cfg.Timeout, err)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("delete chart hook %s/%s (%s): %w", hook.Kind, hook.Name, policy, err)
		}
	}
	return nil
}

func (o *objects) removeAndWait(ctx context.Context, it *item) error {
	if err := o.get(ctx, it); err != nil || it.live == nil {
		return err
	}
	if err := o.remove(ctx, it); err != nil {
		return err
	}
	return o.until(ctx, it, func(obj *unstructured.Unstructured) (bool, error) { return obj == nil, nil })
}

// waitFinished waits for a Job or a Pod to end; other kinds are done when created.
func (o *objects) waitFinished(ctx context.Context, it *item) error {
	switch it.mapping.GroupVersionKind.GroupKind() {
	case batchv1.SchemeGroupVersion.WithKind("Job").GroupKind():
		return o.until(ctx, it, jobEnded)
	case corev1.SchemeGroupVersion.WithKind("Pod").GroupKind():
		return o.until(ctx, it, podEnded)
	}
	return nil
}

func jobEnded(obj *unstructured.Unstructured) (bool, error) {
	if obj == nil {
		return true, nil // its TTL, or somebody, removed it
	}
	var job batchv1.Job
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &job); err != nil {
		return false, err
	}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return true, nil
		case c.Type == batchv1.JobFailed:
			return false, fmt.Errorf("Job %s/%s failed: %s: %s", obj.GetNamespace(), obj.GetName(), c.Reason, c.Message)
		}
	}
	return false, nil
}

func podEnded(obj *unstructured.Unstructured) (bool, error) {
	if obj == nil {
		return true, nil
	}
	phase, _, err := unstructured.NestedString(obj.Object, "status", "phase")
	if phase == string(corev1.PodFailed) {
		return false, fmt.Errorf("Pod %s/%s failed", obj.GetNamespace(), obj.GetName())
	}
	return phase == string(corev1.PodSucceeded), err
}

// until watches one object until done says so; done gets nil when it is gone. A refusal ends
// the wait: the one who acts may create the object and yet not see it.
func (o *objects) until(ctx context.Context, it *item, done func(*unstructured.Unstructured) (bool, error)) error {
	var api dynamic.ResourceInterface = o.watch.Resource(it.mapping.Resource)
	if it.Namespace != "" {
		api = o.watch.Resource(it.mapping.Resource).Namespace(it.Namespace)
	}
	sel := fields.OneTermEqualSelector("metadata.name", it.Name).String()
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	allowed := func(err error) error {
		if apierrors.IsForbidden(err) {
			refuse(o.explained(err))
		}
		return err
	}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			opts.FieldSelector = sel
			list, err := api.List(ctx, opts)
			return list, allowed(err)
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			opts.FieldSelector = sel
			w, err := api.Watch(ctx, opts)
			return w, allowed(err)
		},
	}
	absent := func(s cache.Store) (bool, error) {
		if len(s.ListKeys()) > 0 {
			return false, nil
		}
		return done(nil)
	}
	_, err := watchtools.UntilWithSync(ctx, lw, &unstructured.Unstructured{}, absent, func(e watch.Event) (bool, error) {
		obj, ok := e.Object.(*unstructured.Unstructured)
		switch {
		case e.Type == watch.Deleted:
			return done(nil)
		case !ok:
			return false, fmt.Errorf("watch %s: unexpected %T", it.Ref, e.Object)
		}
		return done(obj)
	})
	if cause := context.Cause(ctx); apierrors.IsForbidden(cause) {
		err = cause
	}
	if err != nil {
		return fmt.Errorf("wait for %s: %w", it.Ref, err)
	}
	return nil
}

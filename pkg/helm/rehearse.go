package helm

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// rehearse asks for every write of an action with dryRun, where a ServiceAccount acts, and
// names all that it has no right to: an account that may do a part only changes nothing and
// leaves no revision. What else may fail, the action itself finds out.
func (a *applying) rehearse(ctx context.Context) error {
	if a.account == "" {
		return nil
	}
	ofRights := func(do func(context.Context, *item) error) func(*item) error {
		return func(it *item) error {
			if err := do(ctx, it); lacksRight(err) {
				return err
			}
			return ctx.Err()
		}
	}
	return errors.Join(
		a.objects.each(a.target, ofRights(func(ctx context.Context, it *item) error { return a.objects.wouldApply(ctx, it, a.who.name) })),
		a.objects.each(a.removed, ofRights(a.objects.wouldRemove)))
}

func (o *objects) wouldRemove(ctx context.Context, it *item) error {
	err := o.rest.Delete().AbsPath(append(it.path(), it.Name)...).
		SetHeader("Accept", runtime.ContentTypeJSON).SetHeader("Content-Type", runtime.ContentTypeJSON).
		Param("dryRun", metav1.DryRunAll).Do(ctx).Error()
	if err != nil {
		return fmt.Errorf("delete %s: %w", it.Ref, o.explained(err))
	}
	return nil
}

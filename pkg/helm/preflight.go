package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// Preflight asks the API server whether it would take every object of a render, by
// requests with dryRun: schemas, admission policies and webhooks, quotas, rights and owners
// are looked at, and nothing is written. Objects of kinds that the module itself brings, and objects
// in a namespace that is not there yet, cannot be asked about and pass. Every refusal is in
// the joined error.
func (c *Client) Preflight(ctx context.Context, req installed.Request, r installed.Rendered) error {
	c, err := c.as(req.Module.Origin.ServiceAccount)
	if err != nil {
		return err
	}
	items, err := c.preflightItems(ctx, req, r)
	if err != nil {
		return err
	}
	if err := checkSizes(items); err != nil {
		return err
	}
	who := claim{name: req.Module.Name, namespace: req.Namespace, home: c.cfg.Namespace, adopt: req.Module.Adopt}
	refused := make(chan error, len(items))
	err = c.objects.each(items, func(it *item) error {
		if err := c.objects.try(ctx, it, who); err != nil {
			refused <- err
		}
		return ctx.Err()
	})
	close(refused)
	failed := []error{err}
	for e := range refused {
		failed = append(failed, e)
	}
	return errors.Join(failed...)
}

func (c *Client) preflightItems(ctx context.Context, req installed.Request, r installed.Rendered) ([]*item, error) {
	kinds := c.kinds()
	docs, old, err := c.documentsBeside(ctx, kinds, req.Module.Name, r)
	if err != nil {
		return nil, err
	}
	var items []*item
	for _, d := range docs {
		it, err := kinds.item(d, req.Module.Name, req.Namespace)
		if isNoKind(err) && brings(req.Module, d) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if was := old.items[it.key()]; was != nil {
			it.base = was.want
		}
		items = append(items, it)
	}
	return items, nil
}

// brings says whether the document's kind is that of one of the module's own CRDs.
func brings(m *module.Descriptor, d document) bool {
	ref := d.ref()
	for _, crd := range m.CRDs {
		var def struct {
			Spec struct {
				Group string
				Names struct{ Kind string }
			}
		}
		if json.Unmarshal(crd.Text, &def) == nil && def.Spec.Names.Kind == ref.Kind && schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group == def.Spec.Group {
			return true
		}
	}
	return false
}

// try asks for one object.
func (o *objects) try(ctx context.Context, it *item, who claim) error {
	if err := o.get(ctx, it); err != nil {
		return err
	}
	if err := who.check(it); err != nil {
		return err
	}
	err := o.wouldApply(ctx, it, who.name)
	if it.live == nil && it.Namespace != "" && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// wouldApply is apply without a change, of what is known of the object so far.
func (o *objects) wouldApply(ctx context.Context, it *item, release string) error {
	if it.live == nil {
		_, err := answer(o.rest.Post().AbsPath(it.path()...).
			SetHeader("Accept", runtime.ContentTypeJSON).SetHeader("Content-Type", runtime.ContentTypeJSON).
			Param("fieldManager", FieldManager).Param("dryRun", metav1.DryRunAll).
			Body(it.want).Do(ctx))
		if err != nil {
			return fmt.Errorf("create %s: %w", it.Ref, o.explained(err))
		}
		return nil
	}
	merged, err := o.spared(ctx, it, release)
	if err != nil {
		return err
	}
	text, kind, err := merged.mergePatch()
	if err != nil || string(text) == "{}" || len(text) == 0 {
		return err
	}
	_, err = answer(o.rest.Patch(kind).AbsPath(append(it.path(), it.Name)...).
		SetHeader("Accept", runtime.ContentTypeJSON).
		Param("fieldManager", FieldManager).Param("dryRun", metav1.DryRunAll).
		Body(text).Do(ctx))
	if err != nil {
		return fmt.Errorf("patch %s: %w", it.Ref, o.explained(err))
	}
	return nil
}

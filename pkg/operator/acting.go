package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// acting does for modules what they ask for as the ServiceAccount of their origin. The
// namespaces of modules are the operator's own business.
type acting struct{ *kube.Clients }

// Execute implements converge.Objects.
func (a acting) Execute(ctx context.Context, account string, ops []hook.Operation) error {
	as, err := a.As(account)
	if err != nil {
		return err
	}
	return as.Execute(ctx, ops)
}

// EnsureCRDs implements converge.Cluster.
func (a acting) EnsureCRDs(ctx context.Context, m *module.Descriptor, labels map[string]string) error {
	as, err := a.As(m.Origin.ServiceAccount)
	if err != nil {
		return err
	}
	return as.EnsureCRDs(ctx, m.CRDs, labels)
}

// CheckCRDs implements converge.Cluster.
func (a acting) CheckCRDs(ctx context.Context, m *module.Descriptor, labels map[string]string) error {
	as, err := a.As(m.Origin.ServiceAccount)
	if err != nil {
		return err
	}
	return as.CheckCRDs(ctx, m.CRDs, labels)
}

// actingWebhooks registers webhooks of a hook with an account only when the account might
// make them itself: who reviews objects of others sees and changes them with no other right.
type actingWebhooks struct {
	*webhook.Server
	clients *kube.Clients
}

// Register implements hookrun.Webhooks.
func (w actingWebhooks) Register(ctx context.Context, o hook.Owner, hooks []hook.Webhook) error {
	var errs []error
	for _, h := range hooks {
		if h.Account != "" {
			errs = append(errs, w.mayRegister(ctx, h))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return w.Server.Register(ctx, o, hooks)
}

func (w actingWebhooks) mayRegister(ctx context.Context, h hook.Webhook) error {
	as, err := w.clients.As(h.Account)
	if err != nil {
		return err
	}
	var errs []error
	for resource, needed := range needs(h) {
		group, verb := "admissionregistration.k8s.io", "create"
		if resource == "customresourcedefinitions" {
			group, verb = "apiextensions.k8s.io", "update"
		}
		if !needed {
			continue
		}
		if err := as.MayDo(ctx, verb, group, resource); err != nil {
			errs = append(errs, &hook.RunError{Hook: h.Hook, Cause: fmt.Sprintf("its webhooks are not registered: %v", err)})
		}
	}
	return errors.Join(errs...)
}

// needs are the resources that the webhooks of a hook are written into.
func needs(h hook.Webhook) map[string]bool {
	out := map[string]bool{"customresourcedefinitions": len(h.Conversions) > 0}
	for _, a := range h.Admissions {
		if a.Mutating {
			out["mutatingwebhookconfigurations"] = true
		} else {
			out["validatingwebhookconfigurations"] = true
		}
	}
	return out
}

package operator

import (
	"context"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/module"
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

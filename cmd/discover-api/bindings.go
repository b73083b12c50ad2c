package main

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/sdk"
)

// The bindings tell when to ask the API server again, and what needs no asking.
var (
	// An API server renews its Lease all the time, but takes a new identity only when it starts, perhaps with a new version.
	apiServers = sdk.Kubernetes[string]{
		Name: "api-servers", Group: "api", APIVersion: "coordination.k8s.io/v1", Kind: "Lease",
		Namespaces: []string{"kube-system"},
		Labels:     &metav1.LabelSelector{MatchLabels: map[string]string{"apiserver.kubernetes.io/identity": "kube-apiserver"}},
		JQFilter:   ".spec.holderIdentity",
	}
	// Built-in versions and those of aggregated API servers. The versions of CRDs ("true") come with the CRDs.
	apiServices = sdk.Kubernetes[apiService]{
		Name: "api-services", Group: "api", APIVersion: "apiregistration.k8s.io/v1", Kind: "APIService",
		Labels: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kube-aggregator.kubernetes.io/automanaged", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}},
		}},
		JQFilter: `{
			group: (.spec.group // ""),
			version: .spec.version,
			aggregated: (.spec.service != null),
			available: any(.status.conditions[]?; .type == "Available" and .status == "True")
		}`,
	}
	crds = sdk.Kubernetes[crd]{
		Name: "crds", Group: "api", APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition",
		JQFilter: `{
			group: .spec.group,
			kind: .spec.names.kind,
			versions: [.spec.versions[] | select(.served) | .name],
			established: any(.status.conditions[]?; .type == "Established" and .status == "True")
		}`,
	}
	nodes = sdk.Kubernetes[node]{
		Name: "nodes", Group: "api", APIVersion: "v1", Kind: "Node",
		JQFilter: fmt.Sprintf(`(.metadata.labels // {}) as $labels | {
			imitated: (.metadata.annotations // {} | has("kwok.x-k8s.io/node")),
			marks: (%s | map(select(. as $mark | $labels | has($mark))))
		}`, labels(nodeMarks)),
	}
)

// snapshotsOf is what the bindings saw.
func snapshotsOf(in *sdk.Input) (s snapshots, err error) {
	if s.APIServices, err = apiServices.Snapshot(in); err != nil {
		return s, err
	}
	if s.CRDs, err = crds.Snapshot(in); err != nil {
		return s, err
	}
	s.Nodes, err = nodes.Snapshot(in)
	return s, err
}

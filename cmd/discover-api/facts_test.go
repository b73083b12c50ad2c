package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"v1.36.3": "1.36.3", "v1.29.4-eks-036c24b": "1.29.4", "v1.30.1-gke.1329000": "1.30.1", "v1.33.1+k3s1": "1.33.1",
		"v1.37.0-rc.1": "1.37.0-rc.1", "v1.37.0-alpha.2.41+0123456789abcd": "1.37.0-alpha.2", "": "", "latest": "",
		"v0.0.0-master+$Format:%H$": "0.0.0",
	}
	for gitVersion, want := range tests {
		if got := version(gitVersion); got != want {
			t.Errorf("version(%q) = %q, want %q", gitVersion, got, want)
		}
	}
}

func TestDistribution(t *testing.T) {
	t.Parallel()
	marked := func(marks ...string) []node { return []node{{}, {Marks: marks}} }
	tests := map[string]struct {
		gitVersion string
		nodes      []node
		want       string
	}{
		"upstream":                                {"v1.36.3", marked(), "kubernetes"},
		"by version":                              {"v1.29.4-eks-036c24b", marked(), "eks"},
		"by version of gke":                       {"v1.30.1-gke.1329000", nil, "gke"},
		"by version of k3s":                       {"v1.33.1+k3s1", nil, "k3s"},
		"by version of rke2":                      {"v1.33.1+rke2r1", nil, "rke2"},
		"by label of one node":                    {"v1.33.1", marked("kubernetes.azure.com/cluster"), "aks"},
		"a version tells more than a label":       {"v1.33.1+k3s1", marked("minikube.k8s.io/name"), "k3s"},
		"imitated nodes are kwok on any cloud":    {"v1.29.4-eks-036c24b", []node{{Imitated: true, Marks: []string{"x"}}}, "kwok"},
		"one imitated node of two decides naught": {"v1.33.1", []node{{Imitated: true}, {}}, "kubernetes"},
		"no nodes":                                {"v1.33.1", nil, "kubernetes"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := distribution(test.gitVersion, test.nodes); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestAPIVersions(t *testing.T) {
	t.Parallel()
	metrics := apiService{Group: "metrics.k8s.io", Version: "v1beta1", Aggregated: true}
	issuers := crd{Group: "cert-manager.io", Kind: "Issuer", Versions: []string{"v1", "v1alpha1"}, Established: true}
	tests := map[string]struct {
		services []apiService
		crds     []crd
		kinds    map[string][]string
		before   []string
		want     []string
	}{
		"built-in versions and kinds, sorted": {
			services: []apiService{{Version: "v1"}, {Group: "apps", Version: "v1"}},
			kinds:    map[string][]string{"v1": {"Service", "Pod"}, "apps/v1": {"Deployment"}},
			want:     []string{"apps/v1", "apps/v1/Deployment", "v1", "v1/Pod", "v1/Service"},
		},
		"kinds of no listed version don't count": {
			services: []apiService{{Version: "v1"}},
			kinds:    map[string][]string{"v1": {}, "cert-manager.io/v1": {"Issuer"}},
			want:     []string{"v1"},
		},
		"established CRDs in every served version": {
			crds: []crd{issuers, {Group: "cert-manager.io", Kind: "Certificate", Versions: []string{"v1"}, Established: true}},
			want: []string{
				"cert-manager.io/v1", "cert-manager.io/v1/Certificate", "cert-manager.io/v1/Issuer",
				"cert-manager.io/v1alpha1", "cert-manager.io/v1alpha1/Issuer",
			},
		},
		"a CRD that is not established serves nothing": {
			crds:   []crd{{Group: "cert-manager.io", Kind: "Issuer", Versions: []string{"v1"}}},
			before: []string{"cert-manager.io/v1", "cert-manager.io/v1/Issuer"},
			want:   []string{},
		},
		"an aggregated API that does not answer keeps its kinds": {
			services: []apiService{metrics},
			before:   []string{"metrics.k8s.io/v1beta1", "metrics.k8s.io/v1beta1/NodeMetrics", "v1/Pod"},
			want:     []string{"metrics.k8s.io/v1beta1", "metrics.k8s.io/v1beta1/NodeMetrics"},
		},
		"an aggregated API that answers with fewer kinds has fewer": {
			services: []apiService{metrics},
			kinds:    map[string][]string{"metrics.k8s.io/v1beta1": {"PodMetrics"}},
			before:   []string{"metrics.k8s.io/v1beta1/NodeMetrics"},
			want:     []string{"metrics.k8s.io/v1beta1", "metrics.k8s.io/v1beta1/PodMetrics"},
		},
		"nothing": {want: []string{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := snapshots{APIServices: test.services, CRDs: test.crds}
			if diff := cmp.Diff(test.want, apiVersions(s, test.kinds, test.before)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

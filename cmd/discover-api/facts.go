package main

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// snapshots are what the bindings saw.
type snapshots struct {
	APIServices []apiService
	CRDs        []crd
	Nodes       []node
}

// apiService is an API version that is built in or, when aggregated, served by another API server.
type apiService struct {
	Group      string `json:"group"`
	Version    string `json:"version"`
	Aggregated bool   `json:"aggregated"`
	Available  bool   `json:"available"`
}

func (s apiService) groupVersion() string { return join(s.Group, s.Version) }

type crd struct {
	Group       string   `json:"group"`
	Kind        string   `json:"kind"`
	Versions    []string `json:"versions"`
	Established bool     `json:"established"`
}

type node struct {
	Imitated bool     `json:"imitated"`
	Marks    []string `json:"marks"`
}

// answers are what the API server says about itself.
type answers struct {
	// GitVersion as of GET /version, such as v1.36.3-eks-0123456.
	GitVersion string
	// Kinds by group/version. A version whose kinds could not be learned is absent.
	Kinds map[string][]string
}

type kubernetes struct {
	Version      string `json:"version"`
	Distribution string `json:"distribution"`
}

// apiVersions lists "group/version" and "group/version/Kind" of all that is served, sorted.
//
// Custom resources are taken from their CRDs and not from the server's discovery document, which follows a CRD with a delay
// that no event ends. An aggregated API that does not answer keeps the kinds it had: its outage is no change of the cluster.
func apiVersions(s snapshots, kinds map[string][]string, before []string) []string {
	list := []string{}
	for _, service := range s.APIServices {
		gv := service.groupVersion()
		list = append(list, gv)
		if known, ok := kinds[gv]; ok {
			for _, kind := range known {
				list = append(list, gv+"/"+kind)
			}
			continue
		}
		for _, entry := range before {
			if strings.HasPrefix(entry, gv+"/") {
				list = append(list, entry)
			}
		}
	}
	for _, c := range s.CRDs {
		if !c.Established {
			continue
		}
		for _, v := range c.Versions {
			gv := join(c.Group, v)
			list = append(list, gv, gv+"/"+c.Kind)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func join(group, version string) string {
	if group == "" {
		return version
	}
	return group + "/" + version
}

// release is the part of a git version that upstream Kubernetes gives it; what follows is a distribution's own.
var release = regexp.MustCompile(`^v(\d+\.\d+\.\d+(-(alpha|beta|rc)\.\d+)?)`)

// version is the release of Kubernetes without "v" and vendor suffix, "" if the text is no version.
func version(gitVersion string) string {
	if found := release.FindStringSubmatch(gitVersion); found != nil {
		return found[1]
	}
	return ""
}

// mark tells a distribution by a piece of text: of a version, or a label of nodes.
type mark struct{ text, distribution string }

var (
	versionMarks = []mark{
		{"-eks-", "eks"}, {"-gke.", "gke"}, {"+k3s", "k3s"}, {"+rke2", "rke2"}, {"+k0s", "k0s"},
	}
	nodeMarks = []mark{
		{"kubernetes.azure.com/cluster", "aks"},
		{"cloud.google.com/gke-nodepool", "gke"},
		{"eks.amazonaws.com/nodegroup", "eks"},
		{"doks.digitalocean.com/node-id", "doks"},
		{"node.openshift.io/os_id", "openshift"},
		{"minikube.k8s.io/name", "minikube"},
		{"microk8s.io/cluster", "microk8s"},
	}
)

// labels are the texts of marks as a list in jq.
func labels(marks []mark) string {
	var quoted []string
	for _, m := range marks {
		quoted = append(quoted, strconv.Quote(m.text))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// distribution names who built the cluster; "kubernetes" is upstream, or one that leaves no marks.
func distribution(gitVersion string, nodes []node) string {
	if imitated(nodes) {
		return "kwok"
	}
	for _, m := range versionMarks {
		if strings.Contains(gitVersion, m.text) {
			return m.distribution
		}
	}
	for _, m := range nodeMarks {
		if slices.ContainsFunc(nodes, func(n node) bool { return slices.Contains(n.Marks, m.text) }) {
			return m.distribution
		}
	}
	return "kubernetes"
}

// imitated is true when there are nodes and kwok plays all of them, whatever cloud their labels name.
func imitated(nodes []node) bool {
	return len(nodes) > 0 && !slices.ContainsFunc(nodes, func(n node) bool { return !n.Imitated })
}

package hooks_test

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write testdata/facts from what the hooks say now")

// TestFactsOfNodeManifests runs the hooks that look at nodes on every file of testdata/nodes. The facts they must state are in
// global-hooks/testdata/facts.
func TestFactsOfNodeManifests(t *testing.T) {
	files, err := filepath.Glob("../testdata/nodes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no node manifests in testdata/nodes (%v)", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := readObjects(t, file)
			facts := map[string]any{}
			for _, key := range []string{"cloud", "nodes", "network"} {
				facts[key] = bashHook(t, key).fact(t, key, objects)
			}
			golden := filepath.Join("testdata", "facts", name+".yaml")
			if *update {
				writeGolden(t, golden, facts)
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatalf("%v: run with -update and check what it wrote", err)
			}
			if diff := cmp.Diff(fromYAML(t, string(want)), any(facts)); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}

func writeGolden(t *testing.T, path string, facts map[string]any) {
	t.Helper()
	text, err := yaml.Marshal(facts)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestCloud(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ nodes, want string }{
		"region and zone of aws come from the providerID without labels": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "aws:///eu-central-1b/i-0d1c9a2b3c4d5e6f7"}},
			         {metadata: {name: b}, spec: {providerID: "aws:///eu-central-1a/i-0d1c9a2b3c4d5e6f8"}}]`,
			want: `{provider: aws, region: eu-central-1, zones: [eu-central-1a, eu-central-1b]}`,
		},
		"a local zone of aws belongs to its parent region": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "aws:///us-west-2-lax-1a/i-0d1c9a2b3c4d5e6f7"}}]`,
			want:  `{provider: aws, region: us-west-2, zones: [us-west-2-lax-1a]}`,
		},
		"labels win over the providerID": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}},
			          spec: {providerID: "aws:///eu-central-1b/i-0d1c9a2b3c4d5e6f7"}}]`,
			want: `{provider: aws, region: r1, zones: [z1]}`,
		},
		"the labels of old clusters are understood": {
			nodes: `[{metadata: {name: a, labels: {failure-domain.beta.kubernetes.io/region: r1, failure-domain.beta.kubernetes.io/zone: z1}},
			          spec: {providerID: "vsphere://4223c1d1-6a9f-6a4d-5a5c-3b5e3c1a2f00"}}]`,
			want: `{provider: vsphere, region: r1, zones: [z1]}`,
		},
		"the zone of gce is part of the providerID": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "gce://my-project/europe-west3-a/node-1"}}]`,
			want:  `{provider: gce, region: europe-west3, zones: [europe-west3-a]}`,
		},
		"the fault domain of an azure node is no zone": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/region: westeurope, topology.kubernetes.io/zone: "0"}},
			          spec: {providerID: "azure:///subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/a"}}]`,
			want: `{provider: azure, region: westeurope, zones: []}`,
		},
		"openstack with a region in the providerID": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/zone: nova}},
			          spec: {providerID: "openstack://RegionOne/0a845519-c3b8-4ba0-8dc5-5f0454e4b112"}}]`,
			want: `{provider: openstack, region: RegionOne, zones: [nova]}`,
		},
		"openstack without a region": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "openstack:///0a845519-c3b8-4ba0-8dc5-5f0454e4b112"}}]`,
			want:  `{provider: openstack, region: "", zones: []}`,
		},
		"the region of yandex is in the name of the zone": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/zone: ru-central1-d}}, spec: {providerID: "yandex://fv4abc"}}]`,
			want:  `{provider: yandex, region: ru-central1, zones: [ru-central1-d]}`,
		},
		"digitalocean has no zones": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/region: fra1}}, spec: {providerID: "digitalocean://1234567"}}]`,
			want:  `{provider: digitalocean, region: fra1, zones: []}`,
		},
		"cloud and dedicated servers of hetzner are one cloud": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/zone: fsn1-dc14}}, spec: {providerID: "hcloud://1234567"}},
			         {metadata: {name: b, labels: {topology.kubernetes.io/zone: fsn1-dc8}}, spec: {providerID: "hrobot://4321"}}]`,
			want: `{provider: hetzner, region: fsn1, zones: [fsn1-dc14, fsn1-dc8]}`,
		},
		"racks of bare metal are zones": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/zone: rack-2}}}, {metadata: {name: b, labels: {topology.kubernetes.io/zone: rack-1}}, spec: {}}]`,
			want:  `{provider: none, region: "", zones: [rack-1, rack-2]}`,
		},
		"a cloud without a file is none": {
			nodes: `[{metadata: {name: a, labels: {topology.kubernetes.io/region: r1}}, spec: {providerID: "nimbus://1"}}]`,
			want:  `{provider: none, region: r1, zones: []}`,
		},
		"bare metal nodes of a cloud's cluster don't outvote it": {
			nodes: `[{metadata: {name: a}, spec: {}}, {metadata: {name: b}, spec: {}}, {metadata: {name: c}, spec: {providerID: "gce://p/europe-west3-a/c"}}]`,
			want:  `{provider: gce, region: europe-west3, zones: [europe-west3-a]}`,
		},
		"of several clouds most nodes decide": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "aws:///eu-central-1a/i-1"}},
			         {metadata: {name: b}, spec: {providerID: "hcloud://1"}}, {metadata: {name: c}, spec: {providerID: "hcloud://2"}}]`,
			want: `{provider: hetzner, region: "", zones: []}`,
		},
		"of equally many the first by name": {
			nodes: `[{metadata: {name: a}, spec: {providerID: "hcloud://1"}}, {metadata: {name: b}, spec: {providerID: "aws:///eu-central-1a/i-1"}}]`,
			want:  `{provider: aws, region: eu-central-1, zones: [eu-central-1a]}`,
		},
		"no nodes are no cloud": {nodes: `[]`, want: `{provider: none, region: "", zones: []}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectFact(t, "cloud", nodesOf(t, test.nodes), test.want)
		})
	}
}

// expectFact compares what a hook states about objects with what it has to state.
func expectFact(t *testing.T, key string, objects []*unstructured.Unstructured, want string) {
	t.Helper()
	if diff := cmp.Diff(fromYAML(t, want), bashHook(t, key).fact(t, key, objects)); diff != "" {
		t.Errorf("global.discovery.%s (-want +got):\n%s", key, diff)
	}
}

func TestAnUnknownCloudIsNamedInTheLog(t *testing.T) {
	t.Parallel()
	h := bashHook(t, "cloud")
	nodes := nodesOf(t, `[{metadata: {name: a}, spec: {providerID: "nimbus://1"}}, {metadata: {name: b}, spec: {providerID: "stratus://1"}}]`)
	_, stderr, err := h.run(t, []any{group(h.snapshots(t, nodes))})
	if err != nil {
		t.Fatal(err)
	}
	// One JSON line is one record of the operator's log (C-112).
	record, ok := fromYAML(t, stderr).(map[string]any)
	if !ok || record["level"] != "info" || !strings.Contains(record["msg"].(string), "nimbus://, stratus://") {
		t.Errorf("log is %q, want one record of level info that names nimbus and stratus", stderr)
	}
}

func TestNodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ nodes, want string }{
		"a role by label and taint": {
			nodes: `[{metadata: {name: a, labels: {dedicated: ingress}}, spec: {taints: [{key: dedicated, value: ingress, effect: NoSchedule}]}},
			         {metadata: {name: b, labels: {dedicated: ingress}}, spec: {}}, {metadata: {name: c}}]`,
			want: `{count: 3, controlPlaneCount: 0, imitated: false, roles: {ingress: {count: 2, labelled: 2, tainted: true}}}`,
		},
		"a taint alone makes a role that no nodeSelector finds": {
			nodes: `[{metadata: {name: a}, spec: {taints: [{key: dedicated, value: system, effect: NoExecute}]}}]`,
			want:  `{count: 1, controlPlaneCount: 0, imitated: false, roles: {system: {count: 1, labelled: 0, tainted: true}}}`,
		},
		"a label alone needs no toleration, and a preference is none": {
			nodes: `[{metadata: {name: a, labels: {dedicated: ingress}}, spec: {taints: [{key: dedicated, value: ingress, effect: PreferNoSchedule}]}}]`,
			want:  `{count: 1, controlPlaneCount: 0, imitated: false, roles: {ingress: {count: 1, labelled: 1, tainted: false}}}`,
		},
		"a node may have two roles, and other taints are none": {
			nodes: `[{metadata: {name: a, labels: {dedicated: ingress}}, spec: {taints: [
			           {key: dedicated, value: system, effect: NoSchedule}, {key: node.kubernetes.io/not-ready, effect: NoSchedule},
			           {key: dedicated, effect: NoSchedule}]}}]`,
			want: `{count: 1, controlPlaneCount: 0, imitated: false,
			        roles: {ingress: {count: 1, labelled: 1, tainted: false}, system: {count: 1, labelled: 0, tainted: true}}}`,
		},
		"control-plane nodes by either name, by label or taint": {
			nodes: `[{metadata: {name: a, labels: {node-role.kubernetes.io/control-plane: ""}}},
			         {metadata: {name: b, labels: {node-role.kubernetes.io/master: "true"}}},
			         {metadata: {name: c}, spec: {taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}}, {metadata: {name: d}}]`,
			want: `{count: 4, controlPlaneCount: 3, imitated: false, roles: {}}`,
		},
		"imitated when kwok plays every node": {
			nodes: `[{metadata: {name: a, annotations: {kwok.x-k8s.io/node: fake}}}, {metadata: {name: b, annotations: {kwok.x-k8s.io/node: fake}}}]`,
			want:  `{count: 2, controlPlaneCount: 0, imitated: true, roles: {}}`,
		},
		"not imitated when one node is real": {
			nodes: `[{metadata: {name: a, annotations: {kwok.x-k8s.io/node: fake}}}, {metadata: {name: b}}]`,
			want:  `{count: 2, controlPlaneCount: 0, imitated: false, roles: {}}`,
		},
		"no nodes are not imitated": {nodes: `[]`, want: `{count: 0, controlPlaneCount: 0, imitated: false, roles: {}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectFact(t, "nodes", nodesOf(t, test.nodes), test.want)
		})
	}
}

const kubeadmConfig = `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kubeadm-config, namespace: kube-system}
data:
  ClusterConfiguration: |
    apiServer: {}
    apiVersion: kubeadm.k8s.io/v1beta4
    kind: ClusterConfiguration
    kubernetesVersion: v1.36.3
    networking:
      dnsDomain: k8s.example.com
      podSubnet: 10.244.0.0/16,fd00:10:244::/56
      serviceSubnet: "10.96.0.0/12"
`

func TestDNS(t *testing.T) {
	t.Parallel()
	service := func(namespace, name, app, address string) string {
		return `
---
apiVersion: v1
kind: Service
metadata: {name: ` + name + `, namespace: ` + namespace + `, labels: {` + app + `}}
spec: {clusterIP: "` + address + `"}
`
	}
	corefile := func(kubernetes string) string {
		return `
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        # kubernetes commented.out
        health { lameduck 5s }
        ` + kubernetes + `
           pods insecure
           fallthrough in-addr.arpa ip6.arpa
        }
        forward . /etc/resolv.conf
    }
`
	}
	kubeDNS := service("kube-system", "kube-dns", "k8s-app: kube-dns", "10.96.0.10")
	tests := map[string]struct{ objects, want string }{
		"CoreDNS behind kube-dns": {
			objects: kubeDNS + corefile("kubernetes cluster.local in-addr.arpa ip6.arpa {"),
			want:    `{address: 10.96.0.10, domain: cluster.local}`,
		},
		"a domain of one's own, reverse zones first": {
			objects: kubeDNS + corefile("kubernetes in-addr.arpa k8s.internal. {"),
			want:    `{address: 10.96.0.10, domain: k8s.internal}`,
		},
		"the Corefile wins over what kubeadm was told": {
			objects: corefile("kubernetes k8s.internal {") + kubeadmConfig,
			want:    `{address: "", domain: k8s.internal}`,
		},
		"a Corefile that names no zone leaves it to kubeadm": {
			objects: corefile("kubernetes {") + kubeadmConfig,
			want:    `{address: "", domain: k8s.example.com}`,
		},
		"nothing but the Service": {
			objects: service("kube-system", "coredns", "k8s-app: coredns", "10.0.0.10"),
			want:    `{address: 10.0.0.10, domain: cluster.local}`,
		},
		"kube-dns goes before others, headless ones don't count": {
			objects: service("kube-system", "a-dns", "k8s-app: kube-dns", "10.0.0.1") + kubeDNS +
				service("kube-system", "headless", "k8s-app: kube-dns", "None"),
			want: `{address: 10.96.0.10, domain: cluster.local}`,
		},
		"Services elsewhere don't count": {
			objects: service("default", "kube-dns", "k8s-app: kube-dns", "10.0.0.1"),
			want:    `{address: "", domain: cluster.local}`,
		},
		"OpenShift": {
			objects: service("openshift-dns", "dns-default", "dns.operator.openshift.io/owning-dns: default", "172.30.0.10"),
			want:    `{address: 172.30.0.10, domain: cluster.local}`,
		},
		"no DNS at all": {objects: "", want: `{address: "", domain: cluster.local}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectFact(t, "dns", parseObjects(t, test.objects), test.want)
		})
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	const nodes = `
---
apiVersion: v1
kind: Node
metadata: {name: a}
spec: {podCIDR: 10.1.1.0/24, podCIDRs: [10.1.1.0/24, "fd00:1:1::/64"]}
---
apiVersion: v1
kind: Node
metadata: {name: b}
spec: {podCIDR: 10.1.0.0/24}
---
apiVersion: v1
kind: Node
metadata: {name: c}
spec: {}
`
	const serviceCIDRs = `
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: more}
spec: {cidrs: [10.200.0.0/16]}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.97.0.0/16, "fd00:97::/112"]}
`
	tests := map[string]struct{ objects, want string }{
		"pods by node, Services by ServiceCIDR": {
			objects: nodes + serviceCIDRs,
			want: `{podSubnets: [10.1.0.0/24, 10.1.1.0/24, "fd00:1:1::/64"],
			        serviceSubnets: [10.200.0.0/16, 10.97.0.0/16, "fd00:97::/112"]}`,
		},
		"the range of the cluster tells more than those of its nodes": {
			objects: nodes + kubeadmConfig,
			want:    `{podSubnets: [10.244.0.0/16, "fd00:10:244::/56"], serviceSubnets: [10.96.0.0/12]}`,
		},
		"ServiceCIDR objects are newer than what kubeadm was told": {
			objects: serviceCIDRs + kubeadmConfig,
			want:    `{podSubnets: [10.244.0.0/16, "fd00:10:244::/56"], serviceSubnets: [10.200.0.0/16, 10.97.0.0/16, "fd00:97::/112"]}`,
		},
		"nothing known": {objects: "", want: `{podSubnets: [], serviceSubnets: []}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectFact(t, "network", parseObjects(t, test.objects), test.want)
		})
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	class := func(name, annotation, created string) string {
		return `
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: ` + name + `, creationTimestamp: "` + created + `", annotations: {` + annotation + `}}
provisioner: example.com/disk
`
	}
	const isDefault = `storageclass.kubernetes.io/is-default-class: "true"`
	const early, late = "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
	tests := map[string]struct{ objects, want string }{
		"the marked one":          {class("a", "", late) + class("b", isDefault, early), `{defaultClass: b}`},
		"marked false is not":     {class("a", `storageclass.kubernetes.io/is-default-class: "false"`, late), `{defaultClass: ""}`},
		"the old mark counts":     {class("a", `storageclass.beta.kubernetes.io/is-default-class: "true"`, late), `{defaultClass: a}`},
		"the newest of two":       {class("a", isDefault, early) + class("b", isDefault, late), `{defaultClass: b}`},
		"of equal age by name":    {class("b", isDefault, late) + class("a", isDefault, late), `{defaultClass: a}`},
		"no class, and no marked": {class("a", "", late), `{defaultClass: ""}`},
		"nothing":                 {"", `{defaultClass: ""}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expectFact(t, "storage", parseObjects(t, test.objects), test.want)
		})
	}
}

// TestHooksWakeForWhatMattersOnly: an object whose filter result stays the same wakes no hook (C-145), so nothing that moves
// by itself may be part of one.
func TestHooksWakeForWhatMattersOnly(t *testing.T) {
	t.Parallel()
	node := nodesOf(t, `[{metadata: {name: a, resourceVersion: "1", labels: {dedicated: ingress, topology.kubernetes.io/zone: z}},
	  spec: {providerID: "aws:///eu-central-1a/i-1", podCIDRs: [10.0.0.0/24], taints: [{key: dedicated, value: ingress, effect: NoSchedule}]},
	  status: {conditions: [{type: Ready, status: "True", lastHeartbeatTime: "2025-01-01T00:00:00Z"}], images: []}}]`)[0]
	labels := map[string]string{"example.com/other": "x"}
	maps.Copy(labels, node.GetLabels())
	fields := []struct {
		value any
		path  []string
	}{
		{"2", []string{"metadata", "resourceVersion"}},
		{"true", []string{"metadata", "annotations", "volumes.kubernetes.io/controller-managed-attach-detach"}},
		{[]any{map[string]any{"type": "Ready", "status": "False", "lastHeartbeatTime": "2025-01-01T00:05:00Z"}}, []string{"status", "conditions"}},
		{[]any{map[string]any{"names": []any{"registry.example.com/x:1"}}}, []string{"status", "images"}},
		{true, []string{"spec", "unschedulable"}},
		{[]any{
			map[string]any{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
			map[string]any{"key": "dedicated", "value": "ingress", "effect": "NoSchedule"},
		}, []string{"spec", "taints"}},
	}
	for _, key := range factKeys(t) {
		expectNoWake(t, bashHook(t, key), node, func(noisy *unstructured.Unstructured) {
			noisy.SetLabels(labels)
			for _, field := range fields {
				if err := unstructured.SetNestedField(noisy.Object, field.value, field.path...); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestBindingsAreFrugal(t *testing.T) {
	t.Parallel()
	for _, key := range factKeys(t) {
		h := bashHook(t, key)
		for _, b := range h.bindings {
			if b.KeepFullObjects == nil || *b.KeepFullObjects || b.JQFilter == "" {
				t.Errorf("binding %s of %s has to have a jqFilter and keepFullObjectsInMemory: false", b.Name, key)
			}
			if b.Group == "" || b.Group != h.bindings[0].Group {
				t.Errorf("binding %s of %s has to be of the one group of its hook, so that a run has all snapshots", b.Name, key)
			}
		}
	}
}

// TestRunsAreIdempotent: C-165 puts several contexts into one run; the order of objects and the number of contexts change
// nothing, to the byte.
func TestRunsAreIdempotent(t *testing.T) {
	t.Parallel()
	nodes := nodesOf(t, `[
	  {metadata: {name: a, labels: {dedicated: ingress, topology.kubernetes.io/zone: b}}, spec: {providerID: "hcloud://1", podCIDR: 10.0.1.0/24}},
	  {metadata: {name: b, labels: {dedicated: system, topology.kubernetes.io/zone: a}}, spec: {providerID: "hcloud://2", podCIDR: 10.0.0.0/24}}]`)
	for _, key := range factKeys(t) {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			h := bashHook(t, key)
			snapshots := h.snapshots(t, nodes)
			reversed := map[string]any{}
			for name, items := range snapshots {
				list := slices.Clone(items.([]any))
				slices.Reverse(list)
				reversed[name] = list
			}
			want := patchOf(t, h, []any{group(snapshots)})
			runs := map[string][]any{
				"other order of objects": {group(reversed)},
				"Synchronization, Event, Group and beforeAll together": {
					map[string]any{"binding": "onStartup"},
					map[string]any{"binding": "nodes", "type": "Synchronization", "objects": []any{}, "snapshots": snapshots},
					map[string]any{"binding": "nodes", "type": "Event", "watchEvent": "Deleted", "filterResult": nil, "snapshots": snapshots},
					group(snapshots),
					map[string]any{"binding": "every-hour", "type": "Schedule"},
					map[string]any{"binding": "beforeAll", "snapshots": snapshots},
				},
				"the last context without snapshots": {group(snapshots), map[string]any{"binding": "every-hour", "type": "Schedule"}},
			}
			for name, contexts := range runs {
				if got := patchOf(t, h, contexts); got != want {
					t.Errorf("%s: patch is\n%swant\n%s", name, got, want)
				}
			}
		})
	}
}

func patchOf(t *testing.T, h hook, contexts []any) string {
	t.Helper()
	patch, stderr, err := h.run(t, contexts)
	if err != nil {
		t.Fatalf("%v: %s", err, stderr)
	}
	return string(patch)
}

func TestEmptyAndPoorSnapshotsGiveTheFactOfNothing(t *testing.T) {
	t.Parallel()
	for _, key := range factKeys(t) {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			h := bashHook(t, key)
			want := patchOf(t, h, []any{group(h.snapshots(t, nil))})
			poor := map[string]any{}
			for _, b := range h.bindings {
				poor[b.Name] = []any{map[string]any{"filterResult": nil}, map[string]any{}}
			}
			for name, snapshots := range map[string]map[string]any{"no bindings": {}, "items without filter results": poor} {
				if got := patchOf(t, h, []any{group(snapshots)}); got != want {
					t.Errorf("%s: patch is\n%swant\n%s", name, got, want)
				}
			}
		})
	}
}

// TestContextsThatSayNothingFailTheRun: a failing run changes no fact (C-108), so a hook that cannot know must fail.
func TestContextsThatSayNothingFailTheRun(t *testing.T) {
	t.Parallel()
	contexts := map[string]string{
		"empty file": "", "no contexts": "[]", "no snapshots": `[{"binding":"beforeAll"}]`, "cut off": `[{"snapshots":{"nodes":[`,
		"no array": `"text"`, "snapshots of another shape": `[{"snapshots":[1]}]`,
	}
	for _, key := range factKeys(t) {
		for name, text := range contexts {
			t.Run(key+", "+name, func(t *testing.T) {
				t.Parallel()
				patch, stderr, err := bashHook(t, key).runText(t, []byte(text))
				if err == nil || stderr == "" || len(patch) > 0 {
					t.Errorf("got error %v, stderr %q, patch %q; want a failed run that says why and changes nothing", err, stderr, patch)
				}
			})
		}
	}
}

func TestAHookOutsideTheOperatorSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(bashHook(t, "nodes").path)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "BINDING_CONTEXT_PATH") || !strings.Contains(string(out), "--config") {
		t.Errorf("got error %v and %q, want the missing variable and the way out", err, out)
	}
}

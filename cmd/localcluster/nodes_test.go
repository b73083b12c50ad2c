package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const nodeFiles = "../../testdata/nodes"

func TestTheEmbeddedNodesAreThoseOfTheProject(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join(nodeFiles, "aws.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(defaultNodes) {
		t.Error("default-nodes.yaml differs from testdata/nodes/aws.yaml: copy it")
	}
}

func TestEveryNodeFileLoadsWithOneNodeForIngress(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(nodeFiles, "*.yaml"))
	if err != nil || len(files) < 9 {
		t.Fatalf("%d node files, %v", len(files), err)
	}
	for _, file := range files {
		nodes, err := loadNodes(file)
		if err != nil {
			t.Error(err)
			continue
		}
		bareMetal := filepath.Base(file) == "bare-metal.yaml"
		ingress := 0
		for _, n := range nodes {
			if n.Annotations[imitatedNodeAnnotation] != "fake" {
				t.Errorf("%s: Node %s is not marked as imitated", file, n.Name)
			}
			if (n.Spec.ProviderID == "") != bareMetal {
				t.Errorf("%s: Node %s has the provider ID %q", file, n.Name, n.Spec.ProviderID)
			}
			if n.Labels["dedicated"] == "ingress" && len(n.Spec.Taints) == 1 &&
				n.Spec.Taints[0] == (corev1.Taint{Key: "dedicated", Value: "ingress", Effect: corev1.TaintEffectNoSchedule}) {
				ingress++
			}
		}
		if len(nodes) != 3 || ingress != 1 {
			t.Errorf("%s: %d nodes, %d for ingress; want 3 and 1", file, len(nodes), ingress)
		}
	}
}

func TestNodeManifestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text  string
		nodes int
		fails string
	}{
		"one node":               {"apiVersion: v1\nkind: Node\nmetadata: {name: a}\n", 1, ""},
		"a list":                 {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n", 2, ""},
		"comments and empties":   {"# nodes\n---\n---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\n# end\n", 1, ""},
		"nothing":                {"# nothing\n", 0, "no Node in it"},
		"another kind":           {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", 0, "want v1 Node"},
		"another kind in a list": {"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n", 0, "want v1 Node"},
		"an unknown field":       {"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {taint: []}\n", 0, "unknown field"},
		"no name":                {"apiVersion: v1\nkind: Node\n", 0, "no metadata.name"},
		"a name twice":           {"apiVersion: v1\nkind: Node\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: a}\n", 0, "twice"},
		"no YAML":                {"\tx", 0, "document 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nodes, err := parseNodes([]byte(test.text))
			if test.fails == "" && err != nil || test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails)) {
				t.Fatalf("error %v, want %q", err, test.fails)
			}
			if len(nodes) != test.nodes {
				t.Errorf("%d nodes, want %d", len(nodes), test.nodes)
			}
		})
	}
}

func FuzzParseNodes(f *testing.F) {
	f.Add(defaultNodes)
	f.Add([]byte("apiVersion: v1\nkind: List\nitems: [null]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		nodes, err := parseNodes(text)
		if (err == nil) == (len(nodes) == 0) {
			t.Fatalf("%d nodes with error %v", len(nodes), err)
		}
		for _, n := range nodes {
			completeNode(n)
		}
	})
}

package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// defaultNodes is testdata/nodes/aws.yaml of the project; a test keeps them equal.
//
//go:embed default-nodes.yaml
var defaultNodes []byte

// loadNodes reads Node manifests (YAML or JSON documents, or a v1 List of them) from
// the file, or the default ones when path is empty, and completes them.
func loadNodes(path string) ([]*corev1.Node, error) {
	text, name := defaultNodes, "the default nodes"
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return nil, err
		}
		name = path
	}
	nodes, err := parseNodes(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, n := range nodes {
		completeNode(n)
	}
	return nodes, nil
}

// parseNodes reads all documents strictly: an unknown field or another kind is an error.
func parseNodes(text []byte) ([]*corev1.Node, error) {
	var nodes []*corev1.Node
	seen := map[string]bool{}
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for i := 1; ; i++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		found, err := parseNodeDocument(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		nodes = append(nodes, found...)
	}
	for _, n := range nodes {
		if n.Name == "" {
			return nil, errors.New("a Node has no metadata.name")
		}
		if seen[n.Name] {
			return nil, fmt.Errorf("Node %s is there twice", n.Name)
		}
		seen[n.Name] = true
	}
	if len(nodes) == 0 {
		return nil, errors.New("no Node in it: at least one is needed to schedule pods")
	}
	return nodes, nil
}

func parseNodeDocument(doc []byte) ([]*corev1.Node, error) {
	var head struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
	}
	if err := yaml.Unmarshal(doc, &head); err != nil {
		return nil, err
	}
	switch {
	case head.APIVersion == "" && head.Kind == "" && len(bytes.TrimSpace(stripComments(doc))) == 0:
		return nil, nil
	case head.APIVersion == "v1" && (head.Kind == "List" || head.Kind == "NodeList"):
		return parseNodeItems(head.Items)
	case head.APIVersion != "v1" || head.Kind != "Node":
		return nil, fmt.Errorf("found %s %s, want v1 Node", head.APIVersion, head.Kind)
	}
	node := &corev1.Node{}
	if err := yaml.UnmarshalStrict(doc, node); err != nil {
		return nil, err
	}
	return []*corev1.Node{node}, nil
}

func parseNodeItems(items []json.RawMessage) ([]*corev1.Node, error) {
	var nodes []*corev1.Node
	for i, item := range items {
		node := &corev1.Node{}
		if err := yaml.UnmarshalStrict(item, node); err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		if node.APIVersion != "v1" || node.Kind != "Node" {
			return nil, fmt.Errorf("item %d: found %s %s, want v1 Node", i+1, node.APIVersion, node.Kind)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// completeNode sets what every kubelet sets and the file leaves out, and the
// annotation by which kwok imitates the node.
func completeNode(n *corev1.Node) {
	n.Annotations = withDefaults(n.Annotations, nil)
	n.Annotations[imitatedNodeAnnotation] = "fake"
	info := &n.Status.NodeInfo
	setDefault(&info.Architecture, "amd64")
	setDefault(&info.OperatingSystem, "linux")
	setDefault(&info.KubeletVersion, kubernetesVersion())
	n.Labels = withDefaults(n.Labels, map[string]string{
		corev1.LabelHostname:   n.Name,
		corev1.LabelArchStable: info.Architecture,
		corev1.LabelOSStable:   info.OperatingSystem,
	})
	if n.Status.Allocatable == nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
}

func withDefaults(m, defaults map[string]string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	for k, v := range defaults {
		if _, ok := m[k]; !ok {
			m[k] = v
		}
	}
	return m
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func stripComments(doc []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(doc) {
		trimmed := bytes.TrimSpace(line)
		if !bytes.HasPrefix(trimmed, []byte("#")) && !bytes.Equal(trimmed, []byte("---")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

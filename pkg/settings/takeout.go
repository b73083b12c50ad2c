package settings

import (
	"bytes"
	"errors"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrTangled is in the chain of TakeOut's errors for text of which a part cannot be
// taken out by itself.
var ErrTangled = errors.New("its YAML cannot be edited without losing something of it")

// TakeOut removes values from the YAML text of a section, so that it means rest,
// which lacks some keys of it. Unlike SetSection it never writes a text anew: the
// order and the comments of all that stays are kept, or it is ErrTangled, such as
// for values that an alias brings.
func TakeOut(text string, rest values.Map) (string, error) {
	have, err := sectionOf(text)
	if err != nil {
		return "", err
	}
	if same(have, rest) {
		return text, nil
	}
	var doc yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(text), &doc); err != nil || len(doc.Content) == 0 {
		return "", ErrTangled
	}
	prune(doc.Content[0], have, rest)
	notes := commentsOf(&doc)
	if out, ok := rewrite(text, have, rest); ok && means(out, rest) && hasAll(out, notes) && inOrder(out, &doc) {
		return out, nil
	}
	if out, ok := encode(&doc); ok && means(out, rest) && hasAll(out, notes) {
		return out, nil
	}
	return "", ErrTangled
}

// prune takes the keys out of a tree that rest does not have.
func prune(n *yamlv3.Node, have, rest values.Map) {
	if n.Kind != yamlv3.MappingNode {
		return
	}
	var kept []*yamlv3.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		old, known := have[key.Value]
		next, stays := rest[key.Value]
		if known && !stays {
			continue
		}
		below, isMap := old.(values.Map)
		after, okMap := next.(values.Map)
		if isMap && okMap {
			prune(value, below, after)
		}
		kept = append(kept, key, value)
	}
	n.Content = kept
}

func encode(doc *yamlv3.Node) (string, bool) {
	var out bytes.Buffer
	e := yamlv3.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(doc); err != nil || e.Close() != nil {
		return "", false
	}
	return out.String(), true
}

// commentsOf are the comments of a tree, each line by itself.
func commentsOf(n *yamlv3.Node) []string {
	var out []string
	for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(c) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	for _, e := range n.Content {
		out = append(out, commentsOf(e)...)
	}
	return out
}

func hasAll(text string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}

// inOrder says that the keys of a text stand in the order of a tree.
func inOrder(text string, doc *yamlv3.Node) bool {
	var got yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(text), &got); err != nil {
		return false
	}
	return strings.Join(keysOf(&got), "\n") == strings.Join(keysOf(doc), "\n")
}

func keysOf(n *yamlv3.Node) []string {
	var out []string
	for i, e := range n.Content {
		if n.Kind == yamlv3.MappingNode && i%2 == 0 {
			out = append(out, e.Value)
		}
		out = append(out, keysOf(e)...)
	}
	return out
}

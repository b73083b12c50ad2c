package schema

import (
	"maps"
	"slices"
	"strconv"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// child is a schema directly below another one.
type child struct {
	// where is the keyword, then the name or index if the keyword has several.
	where []string
	node  values.Map
}

// put replaces the child in a shallow copy of its parent.
func (c child) put(parent, node values.Map) {
	keyword := c.where[0]
	if len(c.where) == 1 {
		parent[keyword] = node
		return
	}
	switch group := parent[keyword].(type) {
	case values.Map:
		group = maps.Clone(group)
		group[c.where[1]] = node
		parent[keyword] = group
	case []any:
		group = slices.Clone(group)
		if i, err := strconv.Atoi(c.where[1]); err == nil {
			group[i] = node
		}
		parent[keyword] = group
	}
}

// eachChild calls f for every schema directly below node, in a fixed order.
func eachChild(node values.Map, f func(child) error) error {
	for _, keyword := range []string{"properties", "patternProperties", "definitions", "allOf", "anyOf", "oneOf", "items", "additionalProperties", "additionalItems", "not"} {
		switch group := node[keyword].(type) {
		case values.Map:
			if !slices.Contains([]string{"properties", "patternProperties", "definitions"}, keyword) {
				if err := f(child{where: []string{keyword}, node: group}); err != nil {
					return err
				}
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(group)) {
				if sub, ok := group[name].(values.Map); ok {
					if err := f(child{where: []string{keyword, name}, node: sub}); err != nil {
						return err
					}
				}
			}
		case []any:
			for i, e := range group {
				if sub, ok := e.(values.Map); ok {
					if err := f(child{where: []string{keyword, strconv.Itoa(i)}, node: sub}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

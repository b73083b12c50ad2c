package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

var verbs = []string{
	string(Create), string(CreateIfNotExists), string(CreateOrUpdate),
	string(Delete), string(DeleteInBackground), string(DeleteNonCascading),
	string(JQPatch), string(MergePatch), string(JSONPatch),
}

// ParseOperations reads KUBERNETES_PATCH_PATH (C-200 … C-209): a stream of JSON
// documents or else of YAML ones. The error lists the violations of all documents;
// then none of them may be executed. Keys that the contract does not know are ignored.
func ParseOperations(text []byte) ([]Operation, error) {
	docs, err := operationDocuments(text)
	if err != nil {
		return nil, err
	}
	c := &checker{}
	var out []Operation
	for i, doc := range docs {
		if e, ok := c.object(fmt.Sprintf("document %d", i+1), doc, nil); ok {
			out = append(out, c.operation(e))
		}
	}
	if err := c.err("can't validate document"); err != nil {
		return nil, err
	}
	return out, nil
}

func operationDocuments(text []byte) ([]any, error) {
	docs, jsonErr := jsonStream(text)
	if jsonErr == nil {
		return docs, nil
	}
	docs = nil
	for _, part := range splitYAML(text) {
		if len(bytes.TrimSpace(part)) == 0 {
			continue // a decoder for each of a million markers would take a minute
		}
		doc, err := decodeYAML(part)
		if err != nil {
			if looksLikeJSON(text) {
				return nil, fmt.Errorf("object operations: document %d is not JSON: %w", len(docs)+1, jsonErr)
			}
			return nil, fmt.Errorf("object operations: document %d is not YAML: %s", len(docs)+1, oneLine(err))
		}
		if doc != nil {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

func looksLikeJSON(text []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) }

// jsonStream reads documents up to the end; null ones are left out.
func jsonStream(text []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var docs []any
	for {
		var doc any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if doc != nil {
			docs = append(docs, values.Normalize(doc))
		}
	}
}

func (c *checker) operation(e node) Operation {
	if !e.require("operation") {
		return Operation{}
	}
	op := Operation{
		Verb:                Verb(e.choice("operation", verbs)),
		Subresource:         strings.TrimLeft(e.text("subresource"), "/"),
		IgnoreMissingObject: e.flag("ignoreMissingObject", false),
		IgnoreHookError:     e.flag("ignoreHookError", false),
	}
	switch op.Verb {
	case "":
		return op
	case Create, CreateIfNotExists, CreateOrUpdate:
		c.createOperation(e, &op)
		return op
	}
	e.require("kind", "name")
	op.APIVersion = e.apiVersion("apiVersion")
	op.Kind = e.filled("kind")
	op.Namespace = e.text("namespace")
	op.Name = e.filled("name")
	switch op.Verb {
	case JQPatch:
		op.Filter = c.operationFilter(e)
	case MergePatch:
		op.Patch = c.mergePatch(e)
	case JSONPatch:
		op.Patch = c.jsonPatch(e)
	}
	return op
}

// filled is a string that must not be empty when it is there.
func (n node) filled(key string) string {
	s := n.text(key)
	if _, isText := n.m[key].(string); isText && s == "" {
		n.c.fail(join(n.path, key), "should not be empty")
	}
	return s
}

// createOperation takes what identifies the object from the object itself (C-204).
func (c *checker) createOperation(e node, op *Operation) {
	v, ok := c.embedded(e, "object")
	if !ok {
		return
	}
	object, ok := c.object(join(e.path, "object"), v, nil)
	if !ok {
		return
	}
	object.require("kind")
	op.Object = object.m
	op.APIVersion = object.apiVersion("apiVersion")
	op.Kind = object.filled("kind")
	meta, ok := object.child("metadata", nil)
	if !ok {
		if !object.has("metadata") {
			c.fail(join(object.path, "metadata.name"), "is required")
		}
		return
	}
	op.Namespace = meta.text("namespace")
	op.Name = meta.text("name")
	if op.Name == "" && meta.text("generateName") == "" {
		c.fail(join(meta.path, "name"), "is required")
	}
}

// embedded is the value at key, parsed when it is a string with JSON or YAML (C-203).
func (c *checker) embedded(e node, key string) (any, bool) {
	if !e.require(key) {
		return nil, false
	}
	text, ok := e.m[key].(string)
	if !ok {
		return e.m[key], true
	}
	v, err := decodeText(text)
	if err != nil {
		c.fail(join(e.path, key), "is neither JSON nor YAML: %s", oneLine(err))
		return nil, false
	}
	return v, true
}

func (c *checker) operationFilter(e node) *Filter {
	if !e.require("jqFilter") {
		return nil
	}
	program := e.text("jqFilter")
	f, err := CompileFilter(program)
	if err != nil {
		c.fail(join(e.path, "jqFilter"), "%s", oneLine(err))
	}
	return f
}

func (c *checker) mergePatch(e node) []byte {
	v, ok := c.embedded(e, "mergePatch")
	if !ok {
		return nil
	}
	patch, ok := c.object(join(e.path, "mergePatch"), v, nil)
	if !ok {
		return nil
	}
	return c.marshal(patch.path, patch.m)
}

var patchOps = []string{"add", "remove", "replace", "move", "copy", "test"}

// jsonPatch checks each element of a patch by its operation, so that a remove
// needs no value (C-209).
func (c *checker) jsonPatch(e node) []byte {
	patch, ok := c.embedded(e, "jsonPatch")
	if !ok {
		return nil
	}
	c.patchList(join(e.path, "jsonPatch"), patch)
	return c.marshal(join(e.path, "jsonPatch"), patch)
}

// patchList checks the form of a JSON patch (RFC 6902) that stands at path.
func (c *checker) patchList(path string, patch any) {
	list := node{c: c, m: map[string]any{path: patch}}
	list.children(path, 0, nil, func(_ int, p node) {
		p.require("op", "path")
		p.text("path")
		switch p.choice("op", patchOps) {
		case "add", "replace", "test":
			p.require("value")
		case "move", "copy":
			p.require("from")
			p.text("from")
		}
	})
}

func (c *checker) marshal(path string, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		c.fail(path, "cannot be written as JSON: %v", err)
	}
	return text
}

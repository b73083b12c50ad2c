package sdk

import (
	"encoding/json"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Objects records operations on objects of the cluster, done in the order of
// the calls when the run has succeeded (C-200 … C-207).
type Objects struct{ out *output }

// Target names the object of an operation.
type Target struct {
	// APIVersion may be empty: the server's preferred version of Kind.
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind"`
	// Namespace is empty for objects of the cluster.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Subresource, such as status, is for the three patches (C-207).
	Subresource string `json:"subresource,omitempty"`
	// IgnoreMissing makes a patch of an object that does not exist no error.
	IgnoreMissing bool `json:"ignoreMissingObject,omitempty"`
}

// Create creates an object: a typed one whose TypeMeta is set, an unstructured
// one, or a map. It is an error if it exists; then the other operations are done
// all the same, and the run fails (C-206).
func (o *Objects) Create(object any) { o.create(hook.Create, object) }

// CreateIfNotExists is Create that leaves an existing object as it is.
func (o *Objects) CreateIfNotExists(object any) { o.create(hook.CreateIfNotExists, object) }

// CreateOrUpdate is Create that replaces an existing object.
func (o *Objects) CreateOrUpdate(object any) { o.create(hook.CreateOrUpdate, object) }

func (o *Objects) create(verb hook.Verb, object any) {
	o.out.line(&o.out.operations, string(verb), struct {
		Operation hook.Verb `json:"operation"`
		Object    any       `json:"object"`
	}{verb, object})
}

// Delete deletes an object and waits until it and what it owns are gone. An
// object that does not exist is fine (C-205).
func (o *Objects) Delete(t Target) { o.delete(hook.Delete, t) }

// DeleteInBackground deletes an object and does not wait.
func (o *Objects) DeleteInBackground(t Target) { o.delete(hook.DeleteInBackground, t) }

// DeleteNonCascading deletes an object and leaves what it owns.
func (o *Objects) DeleteNonCascading(t Target) { o.delete(hook.DeleteNonCascading, t) }

func (o *Objects) delete(verb hook.Verb, t Target) {
	o.out.line(&o.out.operations, string(verb), struct {
		Operation hook.Verb `json:"operation"`
		Target
	}{verb, t})
}

// MergePatch applies a merge patch (RFC 7386): a map or anything that JSON writes as an object.
func (o *Objects) MergePatch(t Target, patch any) {
	o.out.line(&o.out.operations, "MergePatch", struct {
		Operation hook.Verb `json:"operation"`
		Target
		Patch any `json:"mergePatch"`
	}{hook.MergePatch, t, patch})
}

// JSONPatch applies a JSON patch (RFC 6902).
func (o *Objects) JSONPatch(t Target, patch ...PatchOp) {
	o.out.line(&o.out.operations, "JSONPatch", struct {
		Operation hook.Verb `json:"operation"`
		Target
		Patch []PatchOp `json:"jsonPatch"`
	}{hook.JSONPatch, t, orNone(patch)})
}

// JQPatch replaces the object by what a jq program makes of it.
func (o *Objects) JQPatch(t Target, program string) {
	o.out.line(&o.out.operations, "JQPatch", struct {
		Operation hook.Verb `json:"operation"`
		Target
		Program string `json:"jqFilter"`
	}{hook.JQPatch, t, program})
}

// PatchOp is one operation of a JSON patch (RFC 6902). Add, Replace, Remove and
// Test make the usual ones.
type PatchOp struct {
	Op    string
	Path  string
	From  string // of move and copy
	Value any    // of add, replace and test
}

// Add is a PatchOp; the path is a JSON pointer, and "-" appends to a list.
func Add(path string, value any) PatchOp { return PatchOp{Op: "add", Path: path, Value: value} }

// Replace is a PatchOp on a path that exists.
func Replace(path string, value any) PatchOp {
	return PatchOp{Op: "replace", Path: path, Value: value}
}

// Remove is a PatchOp on a path that exists.
func Remove(path string) PatchOp { return PatchOp{Op: "remove", Path: path} }

// Test is a PatchOp that fails the whole patch if the value is another.
func Test(path string, value any) PatchOp { return PatchOp{Op: "test", Path: path, Value: value} }

// MarshalJSON leaves out what the operation has not.
func (p PatchOp) MarshalJSON() ([]byte, error) {
	m := document{"op": p.Op, "path": p.Path}
	switch p.Op {
	case "move", "copy":
		m["from"] = p.From
	case "remove":
	default:
		m["value"] = p.Value
	}
	return json.Marshal(m)
}

func orNone(patch []PatchOp) []PatchOp {
	if patch == nil {
		return []PatchOp{}
	}
	return patch
}

package hooktest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Preview is what an object operation would make of an object.
type Preview struct {
	Operation hook.Operation
	// Before and After are the object, nil where there is none. Without a DryRun,
	// what an API server would add is not in After.
	Before, After Object
	// Err is why the operation would fail.
	Err error
}

// Live finds the object that an operation is about; nil when there is none.
type Live func(hook.Operation) (Object, error)

// DryRun has a server say what it would store for after, in the place of before.
// An error is what it objects to.
type DryRun func(op hook.Operation, before, after Object) (Object, error)

// LiveIn finds it among objects of files.
func LiveIn(objects []Object) Live {
	return func(op hook.Operation) (Object, error) {
		for _, o := range objects {
			meta, _ := o["metadata"].(Object)
			ns, _ := meta["namespace"].(string)
			kind, _ := o["kind"].(string)
			if isKind(op.Kind, kind) && meta["name"] == op.Name && ns == op.Namespace && (op.APIVersion == "" || op.APIVersion == o["apiVersion"]) {
				return o, nil
			}
		}
		return nil, nil
	}
}

// PreviewAll tells what operations would do, one after another (C-206): each sees
// what those before it left.
func PreviewAll(ops []hook.Operation, live Live, dry DryRun) []Preview {
	changed := map[string]Object{}
	out := make([]Preview, 0, len(ops))
	for _, op := range ops {
		p := Preview{Operation: op}
		key := op.APIVersion + "\x00" + op.Kind + "\x00" + op.Namespace + "\x00" + op.Name
		known := false
		if p.Before, known = changed[key]; !known {
			p.Before, p.Err = live(op)
		}
		if p.Err == nil {
			p.After, p.Err = after(op, p.Before)
		}
		// A server knows nothing of what earlier operations would have made of the object.
		if p.Err == nil && p.After != nil && dry != nil && !known {
			p.After, p.Err = dry(op, p.Before, p.After)
		}
		if p.Err == nil {
			changed[key] = p.After
		}
		out = append(out, p)
	}
	return out
}

// after is the object when the operation is done (C-202).
func after(op hook.Operation, before Object) (Object, error) {
	switch op.Verb {
	case hook.Create, hook.CreateIfNotExists, hook.CreateOrUpdate:
		switch {
		case before == nil || op.Verb == hook.CreateOrUpdate:
			return op.Object, nil
		case op.Verb == hook.CreateIfNotExists:
			return before, nil
		}
		return before, errors.New("the object exists: use CreateOrUpdate or CreateIfNotExists")
	case hook.Delete, hook.DeleteInBackground, hook.DeleteNonCascading:
		return nil, nil
	}
	if before == nil {
		if op.IgnoreMissingObject {
			return nil, nil
		}
		return nil, errors.New("there is no such object: set ignoreMissingObject: true if that is fine")
	}
	return patched(op, before)
}

func patched(op hook.Operation, before Object) (Object, error) {
	if op.Verb == hook.JQPatch {
		result, err := op.Filter.Apply(before)
		if err != nil {
			return nil, err
		}
		o, ok := result.(Object)
		if !ok {
			return nil, fmt.Errorf("jqFilter answered %T, expected the whole object", result)
		}
		return o, nil
	}
	text, err := json.Marshal(before)
	if err != nil {
		return nil, err
	}
	if op.Verb == hook.MergePatch {
		text, err = jsonpatch.MergePatch(text, op.Patch)
	} else {
		var patch jsonpatch.Patch
		if patch, err = jsonpatch.DecodePatch(op.Patch); err == nil {
			text, err = patch.Apply(text)
		}
	}
	if err != nil {
		return nil, err
	}
	v, err := values.Decode(text)
	if err != nil {
		return nil, err
	}
	o, _ := v.(Object)
	return o, nil
}

// Diff is the change in YAML, without what the API server keeps for itself;
// data of Secrets is masked.
func (p Preview) Diff() string {
	before, after := readable(p.Before), readable(p.After)
	if p.Before != nil && p.After != nil {
		hideSecrets(before, after)
	} else {
		hideSecrets(before, nil)
		hideSecrets(nil, after)
	}
	return explain.Unified("live", "after", YAML(any(before)), YAML(any(after)))
}

// readable is a copy of o without managedFields and its like.
func readable(o Object) Object {
	if o == nil {
		return nil
	}
	out := maps.Clone(o)
	if meta, ok := out["metadata"].(Object); ok {
		meta = maps.Clone(meta)
		for _, key := range []string{"managedFields", "resourceVersion", "uid", "generation", "creationTimestamp"} {
			delete(meta, key)
		}
		out["metadata"] = meta
	}
	return out
}

// hideSecrets masks the data of two states of a Secret so that a change still shows.
func hideSecrets(before, after Object) {
	for _, field := range []string{"data", "stringData"} {
		old, now := secretData(before, field), secretData(after, field)
		for key, v := range old {
			w, both := now[key]
			if both && fmt.Sprint(v) != fmt.Sprint(w) {
				old[key], now[key] = masked+" (before)", masked+" (after)"
				continue
			}
			old[key] = masked
			if both {
				now[key] = masked
			}
		}
		for key, v := range now {
			if v != any(masked) && v != any(masked+" (after)") {
				now[key] = masked
			}
		}
	}
}

// secretData is a copy of a field of a Secret, put in its place.
func secretData(o Object, field string) Object {
	if o["kind"] != "Secret" {
		return nil
	}
	data, ok := o[field].(Object)
	if !ok {
		return nil
	}
	data = maps.Clone(data)
	o[field] = data
	return data
}

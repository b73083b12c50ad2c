package hooktest

import (
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/values"
)

const masked = schema.Masked

// Keys of a record.
const (
	recordError        = "error"
	recordLog          = "log"
	recordValues       = "values"
	recordConfigValues = "configValues"
	recordEnabled      = "enabled"
	recordOperations   = "operations"
	recordMetrics      = "metrics"
	recordAdmission    = "admission"
	recordConversion   = "conversion"
)

var recordKeys = []string{recordError, recordLog, recordValues, recordConfigValues, recordEnabled, recordOperations, recordMetrics, recordAdmission, recordConversion}

// Record is what a result says, in the form in which it is compared and kept. What
// is empty has no key. secrets are shown only to patterns.
func (r Result) Record(secrets bool) map[string]any {
	mask := func(ops []values.Op) []values.Op { return ops }
	if !secrets && r.sections != nil {
		mask = r.sections.maskedOps
	}
	out := map[string]any{}
	put := func(key string, list []any) {
		if len(list) > 0 {
			out[key] = list
		}
	}
	if r.Err != nil {
		out[recordError] = cause(r.Err)
	}
	put(recordValues, opsOf(mask(r.ownOps(r.Values))))
	put(recordConfigValues, opsOf(mask(r.ownOps(r.Config))))
	if len(r.Flags) > 0 {
		flags := map[string]any{}
		for key, on := range r.Flags {
			flags[key+hook.EnabledSuffix] = nil
			if on != nil {
				flags[key+hook.EnabledSuffix] = *on
			}
		}
		out[recordEnabled] = flags
	}
	var list []any
	for _, op := range r.Operations {
		list = append(list, OperationDocument(op, secrets))
	}
	put(recordOperations, list)
	list = nil
	for _, s := range r.Samples {
		list = append(list, sampleDocument(s))
	}
	put(recordMetrics, list)
	if a := r.Admission; a != nil {
		out[recordAdmission] = admissionDocument(a)
	}
	if c := r.Conversion; c != nil {
		out[recordConversion] = conversionDocument(c)
	}
	return out
}

// cause is the first line of why a run failed: what follows tells of the machine.
func cause(err error) string {
	var own *hook.RunError
	if errors.As(err, &own) {
		return own.Cause
	}
	return err.Error()
}

// ownOps leaves out enabled flags, which have a key of their own.
func (r Result) ownOps(ops []values.Op) []values.Op {
	return slices.DeleteFunc(slices.Clone(ops), func(op values.Op) bool {
		path := values.Pointer(op.Path)
		return r.Hook.Owner.IsGlobal() && len(path) == 1 && path[0] != "global"
	})
}

func opsOf(ops []values.Op) []any {
	out := make([]any, 0, len(ops))
	for _, op := range ops {
		doc := map[string]any{"op": op.Op, "path": op.Path}
		if op.Op != "remove" {
			doc["value"] = op.Value
		}
		out = append(out, doc)
	}
	return out
}

// OperationDocument is an operation as a hook may write it (C-202); data of
// Secrets is masked unless secrets is true.
func OperationDocument(op hook.Operation, secrets bool) map[string]any {
	doc := map[string]any{"operation": string(op.Verb)}
	put := func(key, v string) {
		if v != "" {
			doc[key] = v
		}
	}
	put("subresource", op.Subresource)
	if op.IgnoreMissingObject {
		doc["ignoreMissingObject"] = true
	}
	if op.Object != nil {
		o := maps.Clone(op.Object)
		if !secrets {
			hideSecrets(o, nil)
		}
		doc["object"] = o
		return doc
	}
	put("apiVersion", op.APIVersion)
	put("kind", op.Kind)
	put("namespace", op.Namespace)
	put("name", op.Name)
	if op.Filter != nil {
		doc["jqFilter"] = op.Filter.String()
	}
	switch op.Verb {
	case hook.MergePatch:
		patch := decoded(op.Patch)
		if m, ok := patch.(map[string]any); ok && !secrets && strings.EqualFold(op.Kind, "Secret") {
			m["kind"] = "Secret"
			hideSecrets(m, nil)
			delete(m, "kind")
		}
		doc["mergePatch"] = patch
	case hook.JSONPatch:
		patch := decoded(op.Patch)
		if list, ok := patch.([]any); ok && !secrets && strings.EqualFold(op.Kind, "Secret") {
			for _, e := range list {
				if m, ok := e.(map[string]any); ok && m["value"] != nil {
					m["value"] = masked
				}
			}
		}
		doc["jsonPatch"] = patch
	}
	return doc
}

// decoded is JSON that was checked when it was read.
func decoded(text []byte) any {
	if len(text) == 0 {
		return nil
	}
	v, err := values.Decode(text)
	if err != nil {
		return string(text)
	}
	return v
}

func sampleDocument(s hook.Sample) map[string]any {
	doc := map[string]any{"action": s.Action}
	if s.Name != "" {
		doc["name"] = s.Name
	}
	if s.Group != "" {
		doc["group"] = s.Group
	}
	if s.Action != "expire" {
		doc["value"] = s.Value
	}
	if len(s.Buckets) > 0 {
		doc["buckets"] = s.Buckets
	}
	if len(s.Labels) > 0 {
		doc["labels"] = s.Labels
	}
	return doc
}

func admissionDocument(a *hook.AdmissionResponse) map[string]any {
	doc := map[string]any{"allowed": a.Allowed}
	if a.Message != "" {
		doc["message"] = a.Message
	}
	if len(a.Warnings) > 0 {
		doc["warnings"] = a.Warnings
	}
	if a.Patch != nil {
		doc["patch"] = decoded(a.Patch)
	}
	return doc
}

func conversionDocument(c *hook.ConversionResponse) map[string]any {
	doc := map[string]any{}
	if c.FailedMessage != "" {
		doc["failedMessage"] = c.FailedMessage
	}
	if len(c.Objects) > 0 {
		objects := make([]any, len(c.Objects))
		for i, o := range c.Objects {
			objects[i] = decoded(o)
		}
		doc["convertedObjects"] = objects
	}
	return doc
}

// plain is v in the types that JSON has, so that records compare whatever they were made of.
func plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return decoded(text)
}

// matchKey marks an object that stands for any string that the pattern matches.
const matchKey = "$match"

// pattern is the regular expression that v stands for.
func pattern(v any) (string, bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	p, ok := m[matchKey].(string)
	return p, ok
}

// settle puts the patterns of want into the place of what they match: raw is what
// they are held against, shown what is to be compared.
func settle(want, shown, raw any) any {
	if p, ok := pattern(want); ok {
		text, isText := raw.(string)
		if re, err := regexp.Compile(p); err == nil && isText && re.MatchString(text) {
			return want
		}
		return shown
	}
	switch w := want.(type) {
	case map[string]any:
		s, okShown := shown.(map[string]any)
		r, okRaw := raw.(map[string]any)
		if !okShown || !okRaw {
			return shown
		}
		out := maps.Clone(s)
		for key, v := range w {
			if _, ok := s[key]; ok {
				out[key] = settle(v, s[key], r[key])
			}
		}
		return out
	case []any:
		s, okShown := shown.([]any)
		r, okRaw := raw.([]any)
		if !okShown || !okRaw || len(s) != len(r) {
			return shown
		}
		out := slices.Clone(s)
		for i := range min(len(w), len(s)) {
			out[i] = settle(w[i], s[i], r[i])
		}
		return out
	}
	return shown
}

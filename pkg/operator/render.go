package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/redact"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// render shows what the module's chart gives with the values of now (C-473). Values of
// Secrets are masked unless they are asked for.
func (i *inspector) render(ctx context.Context, m *module.Descriptor, q web.Query) (any, error) {
	if !m.HasChart {
		return nil, fmt.Errorf("module %s has no chart: it has neither Chart.yaml nor templates: %w", m.Name, web.ErrNotFound)
	}
	vals, err := i.loop.ChartValues(m.Name)
	if err != nil {
		return nil, err
	}
	req := installed.Request{Module: m, Namespace: m.Namespace, Values: vals}
	if req.Namespace == "" {
		req.Namespace = i.namespace
	}
	masked := redact.Manifest
	if q.Is("secrets") {
		masked = func(text string) string { return text }
	}
	if q.Is("debug") {
		text, err := i.helm.Templates(ctx, req)
		return masked(text), err
	}
	r, err := i.helm.Render(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("%w; --debug shows what the templates give", err)
	}
	if q.Is("diff") {
		return i.diff(ctx, m, r, q.Is("secrets"))
	}
	return masked(r.Manifest + r.Hooks), nil
}

// diff is the unified diff from the objects of the release to those of a render, by
// object; empty when applying would change nothing. Values of Secrets show whether they
// changed, unless they are asked for.
func (i *inspector) diff(ctx context.Context, m *module.Descriptor, r installed.Rendered, secrets bool) (string, error) {
	have, err := i.helm.Objects(ctx, m.Name)
	if err != nil {
		return "", err
	}
	before, after := map[object.Ref]map[string]any{}, map[object.Ref]map[string]any{}
	for _, o := range have {
		if before[o.Ref], err = decoded(o.Manifest); err != nil {
			return "", err
		}
		dropOwnership(before[o.Ref])
	}
	docs, err := documents(r.Manifest)
	if err != nil {
		return "", err
	}
	if len(docs) != len(r.Objects) {
		return "", fmt.Errorf("the render of %s has %d documents for %d objects; this is a bug", m.Name, len(docs), len(r.Objects))
	}
	for n, ref := range r.Objects {
		dropOwnership(docs[n])
		after[ref] = docs[n]
	}
	refs := make([]object.Ref, 0, len(before)+len(after))
	for ref := range before {
		refs = append(refs, ref)
	}
	for ref := range after {
		if before[ref] == nil {
			refs = append(refs, ref)
		}
	}
	object.Sort(refs)
	var out strings.Builder
	for _, ref := range refs {
		if !secrets {
			maskPair(before[ref], after[ref])
		}
		text, err := objectDiff(ref, before[ref], after[ref])
		if err != nil {
			return "", err
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

// dropOwnership takes out what Helm adds when it applies (see
// https://helm.sh/docs/chart_best_practices/labels and the annotations of adoption).
func dropOwnership(o map[string]any) {
	meta, _ := o["metadata"].(map[string]any)
	for field, keys := range map[string][]string{
		"annotations": {"meta.helm.sh/release-name", "meta.helm.sh/release-namespace"}, "labels": {"app.kubernetes.io/managed-by"},
	} {
		m, ok := meta[field].(map[string]any)
		if !ok {
			continue
		}
		for _, k := range keys {
			delete(m, k)
		}
		if len(m) == 0 {
			delete(meta, field)
		}
	}
}

// objectDiff compares two versions of an object; nil is none.
func objectDiff(ref object.Ref, before, after map[string]any) (string, error) {
	names := [2]string{"release/" + ref.String(), "rendered/" + ref.String()}
	var texts [2]string
	for n, o := range []map[string]any{before, after} {
		if o == nil {
			names[n] = "/dev/null"
			continue
		}
		text, err := yaml.Marshal(o)
		if err != nil {
			return "", err
		}
		texts[n] = string(text)
	}
	return explain.Unified(names[0], names[1], texts[0], texts[1]), nil
}

// maskPair masks two versions of a Secret so that a changed value still shows as one.
func maskPair(before, after map[string]any) {
	changed := map[[2]string]bool{}
	for _, field := range []string{"data", "stringData"} {
		old, _ := before[field].(map[string]any)
		now, _ := after[field].(map[string]any)
		for k, v := range now {
			if was, ok := old[k]; ok && was != v {
				changed[[2]string{field, k}] = true
			}
		}
	}
	for _, o := range []map[string]any{before, after} {
		if o != nil {
			maskObject(o)
		}
	}
	if after["kind"] != "Secret" {
		return
	}
	for at := range changed {
		after[at[0]].(map[string]any)[at[1]] = redact.Masked + " (changed)"
	}
}

// documents are the objects of a rendered manifest, in its order.
func documents(manifest string) ([]map[string]any, error) {
	var out []map[string]any
	for _, doc := range strings.Split("\n"+manifest, "\n---\n") {
		if strings.TrimSpace(doc) == "" {
			continue
		}
		text, err := yaml.YAMLToJSON([]byte(doc))
		if err != nil {
			return nil, err
		}
		o, err := decoded(text)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// decoded is a JSON object whose numbers stay as they are written.
func decoded(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o map[string]any
	return o, d.Decode(&o)
}

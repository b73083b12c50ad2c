package operator

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/explain"
	"github.com/addon-operator/addon-operator/pkg/installed"
	"github.com/addon-operator/addon-operator/pkg/web"
)

// moduleDiff compares what a module's chart gives now with what is in the cluster.
func (i *inspector) moduleDiff(ctx context.Context, q web.Query) (any, error) {
	m, err := i.named(q.Parts["name"])
	if err != nil {
		return nil, err
	}
	if !m.HasChart {
		return nil, fmt.Errorf("module %s has no chart: %w", m.Name, web.ErrNotFound)
	}
	vals, err := i.loop.ChartValues(m.Name)
	if err != nil {
		return nil, err
	}
	req := installed.Request{Module: m, Namespace: cmp.Or(m.Namespace, i.namespace), Values: vals}
	r, err := i.helm.Render(ctx, req)
	if err != nil {
		return nil, err
	}
	list, err := i.helm.Compare(ctx, req, r)
	if err != nil {
		return nil, err
	}
	return diffOf(m.Name, list, i.store.Redact)
}

func diffOf(module string, list []installed.Compared, redact func(string) string) (explain.ModuleDiff, error) {
	var before, after []explain.Object
	notes := map[string]string{}
	for _, c := range list {
		live, err := shownObject(c, c.Live)
		if err != nil {
			return explain.ModuleDiff{}, err
		}
		then, err := shownObject(c, c.Then)
		if err != nil {
			return explain.ModuleDiff{}, err
		}
		before, after = append(before, live...), append(after, then...)
		notes[c.String()] = c.Note
	}
	d := explain.ModuleDiff{Module: module, Objects: explain.Objects(before, after, redact)}
	for n := range d.Objects {
		o := &d.Objects[n]
		o.Note = cmp.Or(notes[o.Object], o.Note)
		delete(notes, o.Object)
	}
	d.Same = len(notes)
	for _, c := range list { // of kinds that are not there
		if c.Live == nil && c.Then == nil {
			d.Objects = append(d.Objects, explain.ObjectDiff{Object: c.String(), Kind: explain.Added, Note: c.Note})
			d.Same--
		}
	}
	return d, nil
}

// shownObject is an object without what the API server keeps about it.
func shownObject(c installed.Compared, text []byte) ([]explain.Object, error) {
	if text == nil {
		return nil, nil
	}
	var content map[string]any
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Ref, err)
	}
	delete(content, "status")
	if meta, ok := content["metadata"].(map[string]any); ok {
		for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"} {
			delete(meta, field)
		}
		if notes, ok := meta["annotations"].(map[string]any); ok { // kubectl keeps the whole object there
			delete(notes, "kubectl.kubernetes.io/last-applied-configuration")
		}
	}
	return []explain.Object{{Ref: c.Ref, Content: content}}, nil
}

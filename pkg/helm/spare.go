package helm

import (
	"context"
	"encoding/json"
	"fmt"

	kjson "k8s.io/apimachinery/pkg/util/json"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/object"
)

// Spare answers the fields of an object, as JSON pointers, that a merge must leave as
// they are in the cluster, beside those that its annotation names.
type Spare func(ctx context.Context, release string, ref object.Ref) []string

// spared is the item as it is to be merged: base and want say of the fields that
// others own what is in the cluster.
func (o *objects) spared(ctx context.Context, it *item, release string) (*item, error) {
	pointers := drift.Annotated(annotationsOf(it.obj))
	live, err := fieldsOf(it.live)
	if err != nil {
		return nil, fmt.Errorf("%s: answer of the API server: %w", it.Ref, err)
	}
	pointers = append(pointers, drift.Annotated(annotationsOf(live))...)
	if o.spare != nil {
		pointers = append(pointers, o.spare(ctx, release, it.Ref)...)
	}
	paths := drift.ParseAll(pointers)
	if len(paths) == 0 {
		return it, nil
	}
	out := *it
	for _, side := range []*[]byte{&out.base, &out.want} {
		if *side == nil {
			continue
		}
		fields, err := fieldsOf(*side)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", it.Ref, err)
		}
		drift.Leave(fields, live, paths)
		if *side, err = json.Marshal(fields); err != nil {
			return nil, fmt.Errorf("%s: %w", it.Ref, err)
		}
	}
	return &out, nil
}

func fieldsOf(text []byte) (map[string]any, error) {
	var m map[string]any
	err := kjson.Unmarshal(text, &m)
	return m, err
}

func annotationsOf(fields map[string]any) map[string]string {
	meta, _ := fields["metadata"].(map[string]any)
	list, _ := meta["annotations"].(map[string]any)
	out := make(map[string]string, 1)
	if text, ok := list[drift.Annotation].(string); ok {
		out[drift.Annotation] = text
	}
	return out
}

package kube

import (
	"encoding/json"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/drift"
)

// managerOf is the field manager that owns a place, the newest of several, status
// aside; "" when nobody does.
func managerOf(u *unstructured.Unstructured, place []drift.Step) string {
	name, newest := "", int64(-1)
	for _, f := range u.GetManagedFields() {
		if f.Subresource == "status" || f.FieldsV1 == nil || f.Time == nil || f.Time.Unix() < newest {
			continue
		}
		var fields map[string]any
		if json.Unmarshal(f.FieldsV1.Raw, &fields) == nil && owns(fields, place) { //nolint:staticcheck // Raw is what there is to read
			name, newest = f.Manager, f.Time.Unix()
		}
	}
	return name
}

// owns reads the sets of managedFields (https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management):
// "f:key" for fields, "k:{…}" for items by merge key. A set that ends before the place does owns all below.
func owns(fields map[string]any, place []drift.Step) bool {
	if len(place) == 0 || len(fields) == 0 {
		return true
	}
	if s := place[0]; !s.Item {
		below, ok := fields["f:"+s.Name].(map[string]any)
		return ok && owns(below, place[1:])
	}
	for set, v := range fields {
		text, ok := strings.CutPrefix(set, "k:")
		below, isMap := v.(map[string]any)
		if ok && isMap && keyed(text, place[0].Name) && owns(below, place[1:]) {
			return true
		}
	}
	return false
}

// keyed says whether a merge key of an item has a value.
func keyed(text, value string) bool {
	var key map[string]any
	if json.Unmarshal([]byte(text), &key) != nil {
		return false
	}
	for _, v := range key {
		if drift.Unquoted(drift.Scalar(v)) == value {
			return true
		}
	}
	return false
}

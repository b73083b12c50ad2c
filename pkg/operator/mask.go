package operator

import (
	"github.com/addon-operator/addon-operator/pkg/redact"
)

// maskItem blanks out what a snapshot shows of a Secret.
func maskItem(kind string, item map[string]any) {
	if kind != "Secret" && kind != "secrets" && kind != "secret" {
		return
	}
	if o, ok := item["object"].(map[string]any); ok {
		maskObject(o)
	}
	if _, ok := item["filterResult"]; ok {
		item["filterResult"] = redact.Masked
	}
}

// maskObject blanks out the values of a Secret; other objects stay as they are.
func maskObject(o map[string]any) {
	if o["kind"] != "Secret" || o["apiVersion"] != "v1" {
		return
	}
	for _, field := range []string{"data", "stringData"} {
		if data, ok := o[field].(map[string]any); ok {
			for k := range data {
				data[k] = redact.Masked
			}
		}
	}
	// kubectl keeps the whole object there.
	if meta, ok := o["metadata"].(map[string]any); ok {
		if notes, ok := meta["annotations"].(map[string]any); ok {
			delete(notes, "kubectl.kubernetes.io/last-applied-configuration")
		}
	}
}

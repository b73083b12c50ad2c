package settings

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// ParseDocument reads a ConfigMap as people keep it in a file: the object as kubectl
// writes it, as YAML or JSON, or its data alone, a map of texts. name and namespace are
// those of the object, empty where it has none.
func ParseDocument(text []byte) (data map[string]string, namespace, name string, err error) {
	v, err := values.DecodeYAML(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	if err != nil {
		return nil, "", "", fmt.Errorf("expected one YAML or JSON document, a ConfigMap or its data: %w", err)
	}
	doc, ok := v.(values.Map)
	if !ok {
		return nil, "", "", errors.New("expected a ConfigMap or its data, an object whose values are texts")
	}
	part, isObject := doc, doc["apiVersion"] != nil && doc["kind"] != nil
	if isObject {
		if doc["kind"] != "ConfigMap" || doc["apiVersion"] != "v1" {
			return nil, "", "", fmt.Errorf("expected kind ConfigMap of v1, got %v of %v", doc["kind"], doc["apiVersion"])
		}
		meta, _ := doc["metadata"].(values.Map)
		namespace, _ = meta["namespace"].(string)
		name, _ = meta["name"].(string)
		part, _ = doc["data"].(values.Map)
	}
	data = make(map[string]string, len(part))
	for key, e := range part {
		text, ok := e.(string)
		if !ok {
			return nil, "", "", fmt.Errorf("key %s: expected a text, got %s; write `%s: |` and the values below it, or quote the value", key, kind(e), key)
		}
		data[key] = text
	}
	return data, namespace, name, nil
}

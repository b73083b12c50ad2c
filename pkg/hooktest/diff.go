package hooktest

import "sigs.k8s.io/yaml"

// YAML is v as people read it; nothing is the empty text.
func YAML(v any) string {
	switch m := v.(type) {
	case nil:
		return ""
	case map[string]any:
		if len(m) == 0 {
			return ""
		}
	}
	text, err := yaml.Marshal(v)
	if err != nil {
		return "# cannot be shown: " + err.Error() + "\n"
	}
	return string(text)
}

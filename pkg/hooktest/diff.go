package hooktest

import (
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"
)

// Diff is the unified diff of two texts; empty when they are equal.
func Diff(from, to, before, after string) string {
	if before == after {
		return ""
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: splitLines(before), B: splitLines(after), FromFile: from, ToFile: to, Context: 3,
	})
	if err != nil { // writing to memory does not fail
		return err.Error()
	}
	return text
}

// splitLines keeps the ends of lines; the last has one, too.
func splitLines(text string) []string {
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	lines := strings.SplitAfter(text, "\n")
	return lines[:len(lines)-1]
}

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

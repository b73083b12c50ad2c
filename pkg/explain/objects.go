package explain

import (
	"fmt"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/object"
	"github.com/addon-operator/addon-operator/pkg/schema"
)

// Object is one side of a comparison.
type Object struct {
	Ref object.Ref
	// Content is the object as JSON values.
	Content map[string]any
}

// ObjectDiff is how one object differs.
type ObjectDiff struct {
	// Object is its apiVersion, kind, namespace and name as text.
	Object string `json:"object"`
	// Kind is added, changed or removed.
	Kind string `json:"kind"`
	// Lines counts what is added and removed.
	Plus  int `json:"plus"`
	Minus int `json:"minus"`
	// Note is what could not be found out, or what stands in the way.
	Note string `json:"note,omitempty"`
	// Text is the unified diff of the YAML, values of Secrets masked.
	Text string `json:"text,omitempty"`
}

// Objects compares two sets of objects by identity, in the order of after; what is
// gone comes last. The values of Secrets are replaced by a mark that differs when
// they do; redact, if not nil, is applied to the texts besides.
func Objects(before, after []Object, redact func(string) string) []ObjectDiff {
	old := map[object.Ref]map[string]any{}
	for _, o := range before {
		old[o.Ref] = o.Content
	}
	var out []ObjectDiff
	known := map[object.Ref]bool{}
	for _, o := range after {
		known[o.Ref] = true
		was, had := old[o.Ref]
		switch {
		case !had:
			out = append(out, compare(o.Ref, Added, nil, o.Content, redact))
		default:
			if d := compare(o.Ref, Changed, was, o.Content, redact); d.Text != "" || d.Note != "" {
				out = append(out, d)
			}
		}
	}
	for _, o := range before {
		if !known[o.Ref] {
			out = append(out, compare(o.Ref, Removed, o.Content, nil, redact))
		}
	}
	return out
}

func compare(ref object.Ref, kind string, before, after map[string]any, redact func(string) string) ObjectDiff {
	before, after = hideSecrets(before, after)
	a, b := text(before), text(after)
	d := ObjectDiff{Object: ref.String(), Kind: kind}
	same := a == b
	if redact != nil {
		a, b = redact(a), redact(b)
	}
	if d.Text = Unified(ref.String(), ref.String(), a, b); d.Text == "" && !same {
		d.Note = "differs in a secret value"
	}
	for line := range strings.Lines(d.Text) {
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"):
		case strings.HasPrefix(line, "+"):
			d.Plus++
		case strings.HasPrefix(line, "-"):
			d.Minus++
		}
	}
	return d
}

// changedSecret stands for a secret value that differs from the one that Masked stands for.
const changedSecret = schema.Masked + " (changed)"

// hideSecrets masks data and stringData of Secrets on both sides.
func hideSecrets(before, after map[string]any) (a, b map[string]any) {
	if !isSecret(before) && !isSecret(after) {
		return before, after
	}
	a, b = shallow(before), shallow(after)
	for _, field := range []string{"data", "stringData"} {
		x, _ := a[field].(map[string]any)
		y, _ := b[field].(map[string]any)
		if x != nil {
			a[field] = masked(x, nil)
		}
		if y != nil {
			b[field] = masked(y, x)
		}
	}
	return a, b
}

func isSecret(o map[string]any) bool { return o["kind"] == "Secret" && o["apiVersion"] == "v1" }

func shallow(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func masked(data, before map[string]any) map[string]any {
	out := make(map[string]any, len(data))
	for k, v := range data {
		out[k] = schema.Masked
		if old, had := before[k]; had && old != v {
			out[k] = changedSecret
		}
	}
	return out
}

func text(v map[string]any) string {
	if len(v) == 0 {
		return ""
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		return "# cannot be shown: " + err.Error() + "\n"
	}
	return string(out)
}

// Unified is the unified diff of two texts; empty when they are equal.
func Unified(from, to, before, after string) string {
	if before == after {
		return ""
	}
	out, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(before), B: lines(after), FromFile: from, ToFile: to, Context: 3,
	})
	if err != nil { // writing to memory does not fail
		return err.Error()
	}
	return out
}

// lines keeps the ends of lines; the last has one, too.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	out := strings.SplitAfter(text, "\n")
	return out[:len(out)-1]
}

// Manifest reads a rendered text: YAML documents separated by lines of three dashes,
// each one object with apiVersion, kind and metadata.name.
func Manifest(text string) ([]Object, error) {
	var out []Object
	for i, doc := range documents(text) {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(doc), &content); err != nil {
			return nil, fmt.Errorf("object %d of the rendered text: %w", i+1, err)
		}
		if len(content) > 0 {
			out = append(out, Object{Ref: refOf(content), Content: content})
		}
	}
	return out, nil
}

func documents(text string) []string {
	var out []string
	var doc strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimRight(line, " \r\n") == "---" {
			out = append(out, doc.String())
			doc.Reset()
			continue
		}
		doc.WriteString(line)
	}
	return append(out, doc.String())
}

func refOf(o map[string]any) object.Ref {
	word := func(m map[string]any, key string) string { s, _ := m[key].(string); return s }
	meta, _ := o["metadata"].(map[string]any)
	return object.Ref{APIVersion: word(o, "apiVersion"), Kind: word(o, "kind"), Namespace: word(meta, "namespace"), Name: word(meta, "name")}
}

// Tally says how many objects are added, changed and removed: "+1 ~2 -1 objects".
func Tally(list []ObjectDiff) string {
	count := map[string]int{}
	for _, d := range list {
		count[d.Kind]++
	}
	var words []string
	for _, k := range []struct{ kind, text string }{{Added, "added"}, {Changed, "changed"}, {Removed, "removed"}} {
		if n := count[k.kind]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, k.text))
		}
	}
	return strings.Join(words, ", ")
}

// Texts joins the unified diffs.
func Texts(list []ObjectDiff) string {
	var b strings.Builder
	for _, d := range list {
		if d.Note != "" {
			fmt.Fprintf(&b, "# %s: %s\n", d.Object, d.Note)
		}
		b.WriteString(d.Text)
	}
	return b.String()
}

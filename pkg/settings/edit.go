package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// EditSection performs operations on the YAML text of a section; paths start
// below the section. As values the result is what values.Apply makes of it, but
// that a remove of an absent path is no error: somebody else was faster. Text
// that the operations do not touch stays byte for byte, comments and order
// included; if they change nothing, all of it does. Empty text is {}.
func EditSection(text string, ops []values.Op) (string, error) {
	doc, err := sectionOf(text)
	if err != nil {
		return "", err
	}
	want, err := Perform(doc, ops)
	if err != nil {
		return "", err
	}
	return SetSection(text, want)
}

// maxSingly is up to how many operations are tried one by one: each writes and reads
// the whole document.
const maxSingly = 1000

// Perform is values.Apply for operations whose goal may have been reached
// already: removing what is absent is no error.
func Perform(doc values.Map, ops []values.Op) (values.Map, error) {
	if out, err := values.ApplyLoosely(doc, ops); err == nil || len(ops) > maxSingly {
		return out, err
	}
	return singly(doc, ops)
}

// singly passes over removes that fail for other reasons too, such as of an item of
// what is no list.
func singly(doc values.Map, ops []values.Op) (values.Map, error) {
	for _, op := range ops {
		next, err := values.Apply(doc, []values.Op{op})
		if err != nil {
			if op.Op == "remove" && errors.Is(err, values.ErrAbsent) {
				continue
			}
			return nil, err
		}
		doc = next
	}
	return doc, nil
}

// SetSection rewrites the YAML text of a section so that it means want, and
// leaves the text of everything that means that already as it is.
func SetSection(text string, want values.Map) (string, error) {
	have, err := sectionOf(text)
	if err != nil {
		return "", err
	}
	if same(have, want) {
		return text, nil
	}
	if out, ok := rewrite(text, have, want); ok && means(out, want) {
		return out, nil
	}
	// Flow style, anchors and the like: write it anew, under the comment at its head.
	plain, err := yaml.Marshal(want)
	if err != nil {
		return "", fmt.Errorf("section cannot be written as YAML: %w", err)
	}
	if out := head(text) + string(plain); means(out, want) {
		return out, nil
	}
	if !means(string(plain), want) {
		return "", errors.New("section cannot be written as YAML that reads back the same; it may hold control characters")
	}
	return string(plain), nil
}

func sectionOf(text string) (values.Map, error) {
	v, err := values.DecodeYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("section is not YAML: %w; correct the text in the ConfigMap", err)
	}
	switch m := v.(type) {
	case values.Map:
		return m, nil
	case nil:
		return values.Map{}, nil
	}
	return nil, fmt.Errorf("section: expected an object, got %s; correct the text in the ConfigMap", kind(v))
}

// same compares as JSON text: 1 and 1.0 are one value there and in YAML.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func means(text string, want values.Map) bool {
	got, err := sectionOf(text)
	return err == nil && same(got, want)
}

// head is the comment that a text starts with.
func head(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !isComment(line) && strings.TrimSpace(line) != "" {
			break
		}
		out.WriteString(line)
	}
	return ended(out.String())
}

func isComment(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "#") }

// ended closes the last line of a text that has one.
func ended(text string) string {
	if text != "" && !strings.HasSuffix(text, "\n") {
		return text + "\n"
	}
	return text
}

// rewrite replaces the lines of entries that differ. It gives up on text whose
// root is not a mapping in block style.
func rewrite(text string, have, want values.Map) (string, bool) {
	var doc yamlv3.Node
	if err := yamlv3.Unmarshal([]byte(text), &doc); err != nil {
		return "", false
	}
	if doc.Kind == 0 || len(have) == 0 {
		plain, err := yaml.Marshal(want)
		return head(text) + string(plain), err == nil && doc.Kind == 0
	}
	root := doc.Content[0]
	e := &editor{lines: slices.Collect(strings.Lines(text))}
	if !isBlock(root, yamlv3.MappingNode) || !e.mapping(root, have, want, e.bodyEnd(root)) {
		return "", false
	}
	out := e.apply()
	if len(want) == 0 {
		out = ended(out) + "{}\n"
	}
	return out, true
}

// editor collects the lines to replace. Lines and columns of its own count from 0.
type editor struct {
	lines []string
	edits []edit
}

// edit puts text in place of lines [from, to).
type edit struct {
	from, to int
	text     string
}

func (e *editor) apply() string {
	edits := slices.Clone(e.edits)
	slices.SortStableFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out strings.Builder
	at := 0
	for _, d := range edits {
		out.WriteString(strings.Join(e.lines[at:d.from], ""))
		if s := out.String(); d.text != "" && s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteString("\n")
		}
		out.WriteString(d.text)
		at = max(at, d.to)
	}
	out.WriteString(strings.Join(e.lines[at:], ""))
	return out.String()
}

// isBlock says whether the lines of a node can be edited one by one.
func isBlock(n *yamlv3.Node, kind yamlv3.Kind) bool {
	return n.Kind == kind && len(n.Content) > 0 && n.Anchor == "" && n.Style&(yamlv3.FlowStyle|yamlv3.TaggedStyle) == 0
}

// bodyEnd is the line after the root: the end, or a document marker.
func (e *editor) bodyEnd(root *yamlv3.Node) int {
	for i := root.Line; i < len(e.lines); i++ {
		if strings.HasPrefix(e.lines[i], "---") || strings.HasPrefix(e.lines[i], "...") {
			return i
		}
	}
	return len(e.lines)
}

// entry is one key with its value, or one item, as lines [from, to) that start at column col.
type entry struct {
	from, to, col int
	value         *yamlv3.Node
}

// trim leaves blank lines and comments at the end of lines [from, to) to what
// comes after an entry at column col.
func (e *editor) trim(from, to, col int) int {
	for to > from+1 {
		line := e.lines[to-1]
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if strings.TrimSpace(line) != "" && (!isComment(line) || indent > col) {
			break
		}
		to--
	}
	return to
}

// entries finds the lines of the nodes of a mapping's keys or a sequence's items.
func (e *editor) entries(heads, vals []*yamlv3.Node, col, end int) ([]entry, bool) {
	out := make([]entry, len(heads))
	for i, h := range heads {
		from, to := h.Line-1, end
		if i+1 < len(heads) {
			to = heads[i+1].Line - 1
		}
		if from >= to || to > len(e.lines) || col > len(e.lines[from]) {
			return nil, false
		}
		lead := e.lines[from][:col]
		if i > 0 {
			lead = strings.TrimLeft(lead, " ")
		} else {
			lead = strings.TrimLeft(lead, " -") // "- key: value", "- - item"
		}
		if lead != "" {
			return nil, false
		}
		out[i] = entry{from: from, to: e.trim(from, to, col), col: col, value: vals[i]}
	}
	return out, true
}

// mapping edits the lines of a block mapping that ends before line end.
func (e *editor) mapping(n *yamlv3.Node, have, want values.Map, end int) bool {
	var keys, vals []*yamlv3.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		keys, vals = append(keys, n.Content[i]), append(vals, n.Content[i+1])
	}
	list, ok := e.entries(keys, vals, keys[0].Column-1, end)
	if !ok {
		return false
	}
	written := map[string]bool{}
	for i, at := range list {
		if keys[i].Tag == "!!merge" { // "<<": what it brings is compared below
			continue
		}
		key := keys[i].Value
		written[key] = true
		next, keep := want[key]
		switch {
		case !keep && !e.remove(at):
			return false
		case keep && !same(have[key], next):
			comment := vals[i].LineComment
			if comment == "" {
				comment = keys[i].LineComment
			}
			if !e.value(at, have[key], next) && !e.replace(at, values.Map{key: next}, comment) {
				return false
			}
		}
	}
	last := list[len(list)-1]
	for _, key := range slices.Sorted(maps.Keys(want)) {
		// A key that is not written but known comes from a merge key.
		if old, known := have[key]; written[key] || known && same(old, want[key]) {
			continue
		}
		if !e.insert(last.to, last.col, values.Map{key: want[key]}) {
			return false
		}
	}
	return true
}

// value edits inside the value of an entry; false if it must be written anew.
func (e *editor) value(at entry, have, want any) bool {
	mark := len(e.edits)
	ok := false
	switch want := want.(type) {
	case values.Map:
		old, isMap := have.(values.Map)
		ok = isMap && len(want) > 0 && isBlock(at.value, yamlv3.MappingNode) && e.mapping(at.value, old, want, at.to)
	case []any:
		old, isList := have.([]any)
		ok = isList && len(want) > 0 && isBlock(at.value, yamlv3.SequenceNode) && e.sequence(at.value, old, want, at.to)
	}
	if !ok {
		e.edits = e.edits[:mark]
	}
	return ok
}

// sequence edits the lines of a block sequence. Items that are equal from the
// front and from the back stay.
func (e *editor) sequence(n *yamlv3.Node, have, want []any, end int) bool {
	list, ok := e.entries(n.Content, n.Content, n.Column-1, end)
	if !ok || len(list) != len(have) {
		return false
	}
	for _, at := range list {
		if at.col >= len(e.lines[at.from]) || e.lines[at.from][at.col] != '-' {
			return false
		}
	}
	front := 0
	for front < min(len(have), len(want)) && same(have[front], want[front]) {
		front++
	}
	back := 0
	for back < min(len(have), len(want))-front && same(have[len(have)-1-back], want[len(want)-1-back]) {
		back++
	}
	old, next := list[front:len(list)-back], want[front:len(want)-back]
	for i, at := range old {
		switch {
		case i >= len(next):
			ok = ok && e.remove(at)
		case !same(have[front+i], next[i]):
			ok = ok && (e.value(at, have[front+i], next[i]) || e.replace(at, []any{next[i]}, at.value.LineComment))
		}
	}
	where := list[0].from
	if n := front + len(old); n > 0 {
		where = list[n-1].to
	}
	for _, v := range next[min(len(old), len(next)):] {
		ok = ok && e.insert(where, list[0].col, []any{v})
	}
	return ok
}

// remove drops an entry, unless something else is on its first line.
func (e *editor) remove(at entry) bool {
	if strings.TrimSpace(e.lines[at.from][:at.col]) != "" {
		return false
	}
	e.edits = append(e.edits, edit{from: at.from, to: at.to})
	return true
}

// replace writes an entry anew, with the comment at the end of its first line.
func (e *editor) replace(at entry, v any, comment string) bool {
	text, ok := render(v, at.col)
	if !ok {
		return false
	}
	first, rest, _ := strings.Cut(text, "\n")
	if comment != "" && !strings.Contains(comment, "\n") && (rest == "" || strings.HasSuffix(first, ":")) {
		first += " " + comment
	}
	text = e.lines[at.from][:at.col] + first[at.col:] + "\n" + rest
	e.edits = append(e.edits, edit{from: at.from, to: at.to, text: text})
	return true
}

func (e *editor) insert(line, col int, v any) bool {
	text, ok := render(v, col)
	e.edits = append(e.edits, edit{from: line, to: line, text: text})
	return ok
}

// render writes a value as block YAML, indented by col.
func render(v any, col int) (string, bool) {
	plain, err := yaml.Marshal(v)
	if err != nil {
		return "", false
	}
	var out strings.Builder
	for line := range strings.Lines(string(plain)) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(strings.Repeat(" ", col))
		}
		out.WriteString(line)
	}
	return out.String(), true
}

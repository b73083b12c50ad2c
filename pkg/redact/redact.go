// Package redact takes secret values out of text for people: logs, Events,
// statuses and answers of the debug socket.
//
// Where a value has a path, package schema masks it by that. Here is the second
// net, for text of which nobody knows where it came from: what a hook printed,
// what Helm or the API server quote in an error. It finds values that are known,
// as they are and as they are usually written: quoted, in base64, in a URL, line
// by line. Texts shorter than MinLength are left alone, for they would be found
// everywhere.
package redact

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// Masked stands where a secret value was.
const Masked = "*****"

// MinLength is the length in bytes from which a secret value is looked for in text.
const MinLength = 6

// Set is a set of secret texts. It does not change; nil is the empty one.
type Set struct{ replacer *strings.Replacer }

// NewSet makes a Set of secret texts. Texts that keep names are no secrets to it,
// such as names of modules, without which a log could not be read.
func NewSet(texts []string, keep func(string) bool) *Set {
	var all []string
	for _, text := range texts {
		for _, v := range variants(text) {
			if len(v) >= MinLength && (keep == nil || !keep(v)) {
				all = append(all, v)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	// Where several begin at one place the longest is meant.
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	pairs := make([]string, 0, 2*len(all))
	for _, v := range slices.Compact(all) {
		pairs = append(pairs, v, Masked)
	}
	return &Set{replacer: strings.NewReplacer(pairs...)}
}

// Text returns text with Masked in place of each secret.
func (s *Set) Text(text string) string {
	if s == nil || len(text) < MinLength {
		return text
	}
	return s.replacer.Replace(text)
}

// lineLength is from which length one line of a secret of several is one itself.
const lineLength = 12

// variants are the ways in which a text is usually written.
func variants(text string) []string {
	text = strings.TrimSpace(text)
	out := []string{text, strings.Trim(strconv.Quote(text), `"`), inURL(text, "%20"), inURL(text, "+"), base64.StdEncoding.EncodeToString([]byte(text)),
		base64.StdEncoding.EncodeToString([]byte(text + "\n"))}
	if escaped, err := json.Marshal(text); err == nil {
		out = append(out, strings.Trim(string(escaped), `"`))
	}
	if !strings.Contains(text, "\n") {
		return out
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if len(line) >= lineLength && !strings.HasPrefix(line, "-----") {
			out = append(out, line)
		}
	}
	return out
}

// inURL escapes what RFC 3986 reserves, and blanks as told.
func inURL(text, blank string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', strings.IndexByte("-_.~", b) >= 0:
			out.WriteByte(b)
		case b == ' ':
			out.WriteString(blank)
		default:
			fmt.Fprintf(&out, "%%%02X", b)
		}
	}
	return out.String()
}

// Texts are the leaves of a value as text; keys are none.
func Texts(v any) []string {
	switch v := v.(type) {
	case values.Map:
		var out []string
		for _, e := range v {
			out = append(out, Texts(e)...)
		}
		return out
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, Texts(e)...)
		}
		return out
	case string:
		return append([]string{v}, inside(v)...)
	case int64, float64:
		text, err := json.Marshal(v)
		if err == nil {
			return []string{string(text)}
		}
	}
	return nil
}

// inside are the leaves of text that is a document itself, such as a kubeconfig
// or the JSON of a registry's credentials.
func inside(text string) []string {
	if !strings.ContainsAny(text, "{:") || len(text) > 64<<10 {
		return nil
	}
	switch v, err := values.DecodeYAML([]byte(text)); v := v.(type) {
	case values.Map, []any:
		if err == nil {
			return leaves(v)
		}
	}
	return nil
}

// leaves are the texts of a document that look like secrets, for its others are
// names and numbers that stand everywhere.
func leaves(v any) []string {
	var out []string
	switch v := v.(type) {
	case values.Map:
		for _, e := range v {
			out = append(out, leaves(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, leaves(e)...)
		}
	case string:
		if len(v) >= lineLength {
			out = append(out, v)
		}
	}
	return out
}

// Manifest masks data and stringData of the Secrets in a manifest of several
// documents. What is no YAML is left as it is.
func Manifest(text string) string {
	docs := splitDocs(text)
	for i, doc := range docs {
		if strings.Contains(doc, "Secret") {
			docs[i] = maskSecret(doc)
		}
	}
	return strings.Join(docs, "")
}

// splitDocs cuts before each document marker.
func splitDocs(text string) []string {
	var out []string
	var doc strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "---") && doc.Len() > 0 {
			out = append(out, doc.String())
			doc.Reset()
		}
		doc.WriteString(line)
	}
	return append(out, doc.String())
}

// maskSecret keeps the marker and the comments before a document.
func maskSecret(doc string) string {
	head, body := cutHead(doc)
	v, err := values.DecodeYAML([]byte(body))
	obj, ok := v.(values.Map)
	if err != nil || !ok || obj["kind"] != "Secret" && obj["kind"] != "SecretList" && obj["kind"] != "List" {
		return doc
	}
	if !maskObject(obj) {
		return doc
	}
	out, err := yaml.Marshal(obj)
	if err != nil {
		return doc
	}
	return head + string(out)
}

func cutHead(doc string) (head, body string) {
	for line := range strings.Lines(doc) {
		if !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "#") {
			break
		}
		head += line
	}
	return head, doc[len(head):]
}

// maskObject changes obj and says whether there was anything to mask.
func maskObject(obj values.Map) bool {
	masked := false
	if items, ok := obj["items"].([]any); ok {
		for _, e := range items {
			if m, ok := e.(values.Map); ok {
				masked = maskObject(m) || masked
			}
		}
	}
	if obj["kind"] != "Secret" {
		return masked
	}
	for _, field := range []string{"data", "stringData"} {
		data, ok := obj[field].(values.Map)
		for key := range data {
			data[key] = Masked
		}
		masked = masked || ok
	}
	return masked
}

package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
)

// Parse reads and checks a document. It does not look at a signature: verify the same bytes
// with Keys first.
//
// Names of fields are told apart by case, none may be there twice, and unknown ones are
// refused (see the package's comment). Errors name the module and the field.
func Parse(data []byte) (Document, error) {
	if len(data) > MaxDocument {
		return Document{}, fmt.Errorf("channel document: %d bytes; expected at most %d", len(data), MaxDocument)
	}
	if !utf8.Valid(data) {
		return Document{}, errors.New("channel document: not valid UTF-8")
	}
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return Document{}, errors.New("channel document: expected a JSON object")
	}
	var d Document
	strict, err := kjson.UnmarshalStrict(data, &d)
	if err != nil {
		return Document{}, fmt.Errorf("channel document: %w", err)
	}
	if len(strict) > 0 {
		return Document{}, fmt.Errorf("channel document: %w (a field that is not known may restrict what is allowed; "+
			"if a newer addon-operator wrote it, upgrade this one)", errors.Join(strict[:min(len(strict), 5)]...))
	}
	if err := d.Check(); err != nil {
		return Document{}, err
	}
	return d, nil
}

// Encode checks the document and gives its bytes: indented JSON with sorted names and times in
// UTC, the same bytes for the same document. They are what is signed, stored and digested.
func Encode(d Document) ([]byte, error) {
	d = clone(d)
	tidy(&d)
	if err := d.Check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("channel document: %w", err)
	}
	if out.Len() > MaxDocument {
		return nil, fmt.Errorf("channel document: %d bytes; expected at most %d: list fewer modules or versions", out.Len(), MaxDocument)
	}
	return out.Bytes(), nil
}

// Digest is the OCI digest of bytes, sha256:<64 hex>.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// tidy gives a document the form that Encode writes.
func tidy(d *Document) {
	d.CreatedAt, d.ExpiresAt = whole(d.CreatedAt), whole(d.ExpiresAt)
	if d.Modules == nil {
		d.Modules = map[string]Entry{}
	}
	for name, e := range d.Modules {
		d.Modules[name] = tidied(e)
	}
	if d.Global != nil {
		e := tidied(*d.Global)
		d.Global = &e
	}
}

func tidied(e Entry) Entry {
	e.PromotedAt = whole(e.PromotedAt)
	slices.SortStableFunc(e.Available, func(a, b Ref) int { return compare(b.Version, a.Version) })
	slices.SortStableFunc(e.Yanked, func(a, b Yanked) int { return compare(b.Version, a.Version) })
	return e
}

// whole is a time in UTC and whole seconds: people compare and type them.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// clone shares nothing with the original that an edit writes to.
func clone(d Document) Document {
	d.Modules = maps.Clone(d.Modules)
	for name, e := range d.Modules {
		d.Modules[name] = cloned(e)
	}
	if d.Global != nil {
		e := cloned(*d.Global)
		d.Global = &e
	}
	d.Annotations = maps.Clone(d.Annotations)
	return d
}

func cloned(e Entry) Entry {
	e.Path, e.Available, e.Yanked = slices.Clone(e.Path), slices.Clone(e.Available), slices.Clone(e.Yanked)
	e.Annotations = maps.Clone(e.Annotations)
	return e
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

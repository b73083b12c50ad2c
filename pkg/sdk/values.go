package sdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrAbsent is in the chain of errors of Get for a path that has no value.
var ErrAbsent = errors.New("is absent")

// Values are JSON values as they were when the run began, and a record of changes
// to them. Reading does not see the changes.
//
// A path is dotted, global.discovery.nodes.count, or a JSON pointer (RFC 6901)
// where keys have dots in them: /global/discovery/labels/example.com~1a. Numbers
// count elements of lists.
type Values struct {
	source string
	text   []byte
	parsed any
	patch  *[]values.Op
	failed func(error)
}

// Get is the value at a path as T. The error wraps ErrAbsent if there is none.
func Get[T any](v *Values, path string) (T, error) {
	var out T
	found, ok, err := v.find(path)
	if err == nil && !ok {
		err = fmt.Errorf("value %s %w", path, ErrAbsent)
	}
	if err != nil {
		return out, err
	}
	return decodeValue[T](path, found)
}

// GetOr is the value at a path as T, or the fallback if there is none or it is null.
func GetOr[T any](v *Values, path string, fallback T) (T, error) {
	found, ok, err := v.find(path)
	if err != nil || !ok || found == nil {
		return fallback, err
	}
	return decodeValue[T](path, found)
}

func decodeValue[T any](path string, found any) (T, error) {
	out, same := found.(T)
	if same {
		return out, nil
	}
	text, err := json.Marshal(found)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return out, fmt.Errorf("value %s is no %T: %w", path, out, err)
	}
	return out, nil
}

// Has tells whether there is a value at a path, be it null.
func (v *Values) Has(path string) bool {
	_, ok, err := v.find(path)
	return err == nil && ok
}

// Set records that the value at a path becomes value, which may be anything that
// encoding/json writes. The parent must exist when the patch is applied (C-323).
// Setting what is there already changes nothing, and keeps a fact stated.
func (v *Values) Set(path string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		v.failed(fmt.Errorf("set value %s: %w", path, err))
		return
	}
	*v.patch = append(*v.patch, values.Op{Op: "add", Path: pointer(path), Value: json.RawMessage(text)})
}

// Remove records that the value at a path goes away. It must exist when the
// patch is applied (C-323): ask Has.
func (v *Values) Remove(path string) {
	*v.patch = append(*v.patch, values.Op{Op: "remove", Path: pointer(path)})
}

func (v *Values) find(path string) (any, bool, error) {
	if v.parsed == nil {
		if isNull(v.text) {
			return nil, false, fmt.Errorf("%s holds no values: expected a JSON object", v.source)
		}
		parsed, err := values.Decode(v.text)
		if err != nil {
			return nil, false, fmt.Errorf("%s: expected JSON: %w", v.source, err)
		}
		v.parsed = parsed
	}
	at := v.parsed
	for _, key := range values.Pointer(pointer(path)) {
		switch parent := at.(type) {
		case map[string]any:
			next, ok := parent[key]
			if !ok {
				return nil, false, nil
			}
			at = next
		case []any:
			i, err := strconv.ParseUint(key, 10, 31)
			if there := err == nil && int(i) < len(parent); !there {
				return nil, false, nil
			}
			at = parent[i]
		default:
			return nil, false, nil
		}
	}
	return at, true, nil
}

// pointer is a path as a JSON pointer.
func pointer(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1", ".", "/")
	return "/" + escape.Replace(path)
}

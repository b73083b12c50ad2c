package sdk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"

	admission "k8s.io/api/admission/v1"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Input is what one run gets, and where it records what it asks for. It belongs to
// the run; only Log may be used by several goroutines at once.
type Input struct {
	// Contexts say what happened, in order; there is at least one (C-120).
	Contexts []Context
	// Values are the effective values: {"global": …, "<camel>": …} (C-106).
	Values *Values
	// ConfigValues are those of the user's ConfigMap alone; Set and Remove change it (C-327).
	ConfigValues *Values
	// Objects records operations on objects of the cluster.
	Objects *Objects
	// Metrics records metrics.
	Metrics *Metrics
	// Admission and Conversion record the answer to a review.
	Admission  *Admission
	Conversion *Conversion
	// Log writes to the operator's log.
	Log *slog.Logger

	out       *output
	snapshots map[string]json.RawMessage
}

// Types of contexts; empty for OnStartup, BeforeHelm and the like.
const (
	TypeSchedule        = hook.TypeSchedule
	TypeSynchronization = hook.TypeSynchronization
	TypeEvent           = hook.TypeEvent
	TypeGroup           = hook.TypeGroup
	TypeValidating      = hook.TypeValidating
	TypeMutating        = hook.TypeMutating
	TypeConversion      = hook.TypeConversion
)

// Context is one thing that happened (C-120 … C-128).
type Context struct {
	// Binding is the name of the binding, or onStartup, beforeHelm …
	Binding string
	// Type is one of the Type constants.
	Type hook.Type
	// Group is set for TypeGroup.
	Group string
	// WatchEvent is set for TypeEvent.
	WatchEvent WatchEvent
	// Items are the objects of a Synchronization, or the one of an Event.
	Items []Item
	// From and To are the versions of this step of a conversion.
	From, To string

	review json.RawMessage
}

// Item is one object; a nil field was not asked for (C-123).
type Item struct {
	Object       json.RawMessage `json:"object"`
	FilterResult json.RawMessage `json:"filterResult"`
}

// AdmissionRequest is the request that a Validating or Mutating context asks about (C-126).
func (c Context) AdmissionRequest() (*admission.AdmissionRequest, error) {
	var review struct{ Request *admission.AdmissionRequest }
	if err := c.decodeReview(&review); err != nil {
		return nil, err
	}
	if review.Request == nil {
		return nil, fmt.Errorf("context of binding %s is of type %q and holds no admission request", c.Binding, c.Type)
	}
	return review.Request, nil
}

// ConversionRequest is what a Conversion context asks for (C-127).
type ConversionRequest struct {
	UID               string            `json:"uid"`
	DesiredAPIVersion string            `json:"desiredAPIVersion"`
	Objects           []json.RawMessage `json:"objects"`
}

// ConversionRequest is the request of a Conversion context; Conversion.Each reads it by itself.
func (c Context) ConversionRequest() (*ConversionRequest, error) {
	var review struct{ Request *ConversionRequest }
	if err := c.decodeReview(&review); err != nil {
		return nil, err
	}
	if review.Request == nil {
		return nil, fmt.Errorf("context of binding %s is of type %q and holds no conversion request", c.Binding, c.Type)
	}
	return review.Request, nil
}

func (c Context) decodeReview(into any) error {
	if c.review == nil {
		return nil
	}
	if err := json.Unmarshal(c.review, into); err != nil {
		return fmt.Errorf("review of binding %s: %w", c.Binding, err)
	}
	return nil
}

// Snapshot is every object of a Kubernetes binding as T, by namespace and name
// (C-130, C-134). It is an error if no context of the run shows that binding.
func Snapshot[T any](in *Input, binding string) ([]T, error) {
	items, err := in.Snapshot(binding)
	if err != nil {
		return nil, err
	}
	return decodeItems[T](binding, items)
}

// Snapshot is every object of a Kubernetes binding, undecoded; see the function Snapshot.
func (in *Input) Snapshot(binding string) ([]Item, error) {
	text, ok := in.snapshots[binding]
	if !ok {
		return nil, fmt.Errorf("none of the %d binding contexts has snapshots of %q: give the bindings a common Group, or name it in IncludeSnapshotsFrom", len(in.Contexts), binding)
	}
	var items []Item
	if err := json.Unmarshal(text, &items); err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", binding, err)
	}
	return items, nil
}

func decodeItems[T any](binding string, items []Item) ([]T, error) {
	out := make([]T, len(items))
	for i, it := range items {
		text := it.FilterResult
		if text == nil {
			text = it.Object
		}
		if text == nil {
			return nil, fmt.Errorf("object %d of %s is empty: give the binding a JQFilter, or keep full objects", i, binding)
		}
		if err := decode(text, &out[i]); err != nil {
			return nil, fmt.Errorf("object %d of %s is no %T: %w", i, binding, out[i], err)
		}
	}
	return out, nil
}

// decode is json.Unmarshal, but for values without a type of their own, in which whole numbers stay whole (C-212).
func decode[T any](text []byte, into *T) error {
	switch any(into).(type) {
	case *any, *map[string]any, *[]any:
		v, err := values.Decode(text)
		if out, ok := v.(T); ok && err == nil {
			*into = out
			return nil
		}
	}
	return json.Unmarshal(text, into)
}

// fileContext is a Context as it is written in BINDING_CONTEXT_PATH.
type fileContext struct {
	Binding      string                     `json:"binding"`
	Type         hook.Type                  `json:"type"`
	GroupName    string                     `json:"groupName"`
	WatchEvent   WatchEvent                 `json:"watchEvent"`
	Object       json.RawMessage            `json:"object"`
	FilterResult json.RawMessage            `json:"filterResult"`
	Objects      []Item                     `json:"objects"`
	FromVersion  string                     `json:"fromVersion"`
	ToVersion    string                     `json:"toVersion"`
	Review       json.RawMessage            `json:"review"`
	Snapshots    map[string]json.RawMessage `json:"snapshots"`
}

// newInput reads what a run gets.
func newInput(raw hook.Input, log *slog.Logger) (*Input, error) {
	var contexts []fileContext
	if err := json.Unmarshal(raw.Contexts, &contexts); err != nil {
		return nil, fmt.Errorf("BINDING_CONTEXT_PATH: expected a JSON list of binding contexts: %w", err)
	}
	out := &output{}
	in := &Input{
		Values:       &Values{source: "VALUES_PATH", text: raw.Values, patch: &out.values, failed: out.fail},
		ConfigValues: &Values{source: "CONFIG_VALUES_PATH", text: raw.ConfigValues, patch: &out.config, failed: out.fail},
		Objects:      &Objects{out},
		Metrics:      &Metrics{out: out},
		Admission:    &Admission{out},
		Conversion:   &Conversion{out},
		Log:          log,
		out:          out,
		snapshots:    map[string]json.RawMessage{},
	}
	for _, c := range contexts {
		in.Contexts = append(in.Contexts, c.context())
		for name, items := range c.Snapshots {
			in.snapshots[name] = items // the same in all contexts of a run (C-132)
		}
	}
	return in, nil
}

func (f fileContext) context() Context {
	c := Context{
		Binding: f.Binding, Type: f.Type, Group: f.GroupName, WatchEvent: f.WatchEvent,
		Items: f.Objects, From: f.FromVersion, To: f.ToVersion, review: f.Review,
	}
	if f.Type == TypeEvent {
		c.Items = []Item{{Object: f.Object, FilterResult: f.FilterResult}}
	}
	return c
}

// isNull tells of text that JSON has no value there.
func isNull(text []byte) bool { return len(text) == 0 || bytes.Equal(text, []byte("null")) }

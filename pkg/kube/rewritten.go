package kube

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	quantity "k8s.io/apimachinery/pkg/api/resource"

	"github.com/addon-operator/addon-operator/pkg/drift"
)

// rewritten are the leaves at which the API server holds another value than the
// manifest sets, although it answered a write of this manifest: an admission policy
// or webhook changed it. What is only written in another way does not count, nor do
// fields that it left out or filled in for an empty value.
func (s *shape) rewritten(manifest, live map[string]any) []int {
	var wanted []any
	s.walk(manifest, func(_ []drift.Step, v any, _ bool) { wanted = append(wanted, v) })
	var out []int
	n := 0
	s.walk(live, func(place []drift.Step, v any, there bool) {
		if there && !means(wanted[n], v, place) {
			out = append(out, n)
		}
		n++
	})
	return out
}

// means says whether what the server holds is what a manifest asked for.
func means(want, got any, place []drift.Step) bool {
	switch w := want.(type) {
	case nil:
		return true
	case string:
		g, ok := got.(string)
		return w == "" || ok && sameText(w, g) || !ok && sameNumber(w, got)
	case bool:
		return w == got
	case []any:
		g, ok := got.([]any)
		return !ok || slices.IndexFunc(w, func(e any) bool { return !holds(g, e, place) }) < 0
	case int64, float64, json.Number:
		return empty(want, place) || sameNumber(want, got)
	}
	return true // objects deeper than the shape goes, and lengths of lists
}

func holds(list []any, e any, place []drift.Step) bool {
	return slices.ContainsFunc(list, func(o any) bool { return means(e, o, place) })
}

// empty: a port or a cluster IP of zero asks the server to choose; a scale of zero does not.
func empty(v any, place []drift.Step) bool {
	last := place[len(place)-1].Name
	return sameNumber(v, int64(0)) && last != "replicas" && last != "minReplicas"
}

func sameNumber(a, b any) bool {
	x, errX := quantity.ParseQuantity(drift.Unquoted(drift.Scalar(a)))
	y, errY := quantity.ParseQuantity(drift.Unquoted(drift.Scalar(b)))
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

func sameText(a, b string) bool {
	if a == b || sameNumber(a, b) {
		return true
	}
	if x, err := time.ParseDuration(a); err == nil {
		y, err := time.ParseDuration(b)
		return err == nil && x == y
	}
	if x, err := time.Parse(time.RFC3339Nano, a); err == nil {
		y, err := time.Parse(time.RFC3339Nano, b)
		return err == nil && x.Equal(y)
	}
	x, errX := base64.StdEncoding.DecodeString(a)
	y, errY := base64.StdEncoding.DecodeString(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

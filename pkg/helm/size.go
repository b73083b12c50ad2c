package helm

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	corev1 "k8s.io/api/core/v1"
)

// maxObjectBytes is etcd's default limit of a request
// (https://etcd.io/docs/v3.5/dev-guide/limit/); data of a ConfigMap or Secret may have
// corev1.MaxSecretSize.
const maxObjectBytes = 3 << 19

// pack encodes a release into at most limit bytes. What is too large is tried with the
// best compression and without the templates and files that plain helm stores.
func pack(rel *release.Release, limit int) ([]byte, error) {
	data, err := encodeRelease(rel, gzip.DefaultCompression)
	if err != nil || len(data) <= limit {
		return data, err
	}
	slim := *rel
	if rel.Chart != nil {
		slim.Chart = &chart.Chart{Metadata: rel.Chart.Metadata}
	}
	if data, err = encodeRelease(&slim, gzip.BestCompression); err != nil || len(data) <= limit {
		return data, err
	}
	return nil, fmt.Errorf("%w: its record has %d bytes when packed, and a Secret holds %d, of which %d are kept for its end; "+
		"the largest parts before packing are %s; move large data out of the chart, make its values smaller, or split the module",
		errTooLarge, len(data), maxRecordBytes, reservedBytes, strings.Join(contributors(&slim), ", "))
}

var errTooLarge = errors.New("release is too large")

// part is a piece of a release and its size in bytes.
type part struct {
	name string
	size int
}

// contributors names the largest parts of a release, the largest first.
func contributors(rel *release.Release) []string {
	var parts []part
	if docs, err := parseDocuments("manifest", rel.Manifest); err == nil {
		parts = append(parts, documentParts("", docs)...)
	}
	for _, h := range rel.Hooks {
		parts = append(parts, part{"chart hook " + h.Kind + "/" + h.Name, len(h.Manifest)})
	}
	for key, v := range rel.Config {
		parts = append(parts, valueParts("values "+key, v)...)
	}
	return largest(parts)
}

func documentParts(prefix string, docs []document) []part {
	out := make([]part, 0, len(docs))
	for _, d := range docs {
		if j, err := json.Marshal(d.obj); err == nil {
			out = append(out, part{prefix + d.ref().String(), len(j)})
		}
	}
	return out
}

// valueParts are the keys of a section of the values.
func valueParts(name string, v any) []part {
	m, ok := v.(map[string]any)
	if !ok {
		m, name = map[string]any{name: v}, ""
	}
	var out []part
	for key, e := range m {
		if j, err := json.Marshal(e); err == nil {
			out = append(out, part{strings.TrimPrefix(name+"."+key, "."), len(j)})
		}
	}
	return out
}

func largest(parts []part) []string {
	const most = 5
	slices.SortFunc(parts, func(a, b part) int { return cmp.Or(cmp.Compare(b.size, a.size), strings.Compare(a.name, b.name)) })
	var out []string
	for _, p := range parts[:min(most, len(parts))] {
		out = append(out, fmt.Sprintf("%s with %d", p.name, p.size))
	}
	return out
}

// checkSizes refuses objects that the API server cannot store.
func checkSizes(items []*item) error {
	var errs []error
	for _, it := range items {
		if len(it.want) < corev1.MaxSecretSize {
			continue
		}
		size, limit, what := len(it.want), maxObjectBytes, "bytes"
		if it.Kind == "ConfigMap" || it.Kind == "Secret" {
			size, limit, what = dataSize(it.obj), corev1.MaxSecretSize, "bytes of data"
		}
		if size > limit {
			errs = append(errs, fmt.Errorf("%s has %d %s, and the cluster stores %d at most; split it, or keep the data outside of Kubernetes",
				it.Ref, size, what, limit))
		}
	}
	return errors.Join(errs...)
}

func dataSize(obj map[string]any) int {
	n := 0
	for field, decoded := range map[string]func(int) int{
		"stringData": func(n int) int { return n },
		"data":       func(n int) int { return n },
		"binaryData": func(n int) int { return n / 4 * 3 },
	} {
		if field == "data" && obj["kind"] == "Secret" {
			decoded = func(n int) int { return n / 4 * 3 }
		}
		m, _ := obj[field].(map[string]any)
		for _, v := range m {
			s, _ := v.(string)
			n += decoded(len(s))
		}
	}
	return n
}

// shorten keeps the description of a revision from filling its record.
func shorten(s string) string {
	const most = 4 << 10
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

package helm

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/releaseutil"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/object"
)

// Metadata by which Helm knows its objects (https://helm.sh/docs/faq/changes_since_helm2).
const (
	managedByLabel             = "app.kubernetes.io/managed-by"
	managedByHelm              = "Helm"
	releaseNameAnnotation      = "meta.helm.sh/release-name"
	releaseNamespaceAnnotation = "meta.helm.sh/release-namespace"
	resourcePolicyAnnotation   = "helm.sh/resource-policy"
	resourcePolicyKeep         = "keep"
	hookAnnotation             = "helm.sh/hook"
)

// document is one object of a rendered or stored text.
type document struct {
	// source is the template it came from, "" when not known.
	source string
	obj    map[string]any
}

const sourcePrefix = "# Source: "

// parseDocuments reads a stream of YAML documents and flattens lists. Documents
// without content are left out.
func parseDocuments(source, text string) ([]document, error) {
	parts := releaseutil.SplitManifests(text)
	keys := slices.Collect(maps.Keys(parts))
	slices.SortFunc(keys, func(a, b string) int {
		if releaseutil.BySplitManifestsOrder([]string{a, b}).Less(0, 1) {
			return -1
		}
		return 1
	})
	var out []document
	for _, k := range keys {
		docs, err := parseDocument(cmp.Or(sourceOf(parts[k]), source), parts[k])
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

func sourceOf(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	s, _ := strings.CutPrefix(line, sourcePrefix)
	if s == line {
		return ""
	}
	return strings.TrimSpace(s)
}

func parseDocument(source, text string) ([]document, error) {
	j, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: not YAML: %w", source, err)
	}
	if string(j) == "null" {
		return nil, nil
	}
	var v any
	if err := kjson.Unmarshal(j, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	obj, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: expected a Kubernetes object, got %.40q", source, j)
	}
	if len(obj) == 0 {
		return nil, nil
	}
	return flatten(document{source: source, obj: obj})
}

// flatten replaces a List by its items.
func flatten(d document) ([]document, error) {
	items, ok := d.obj["items"].([]any)
	if kind, _ := d.obj["kind"].(string); !ok || !strings.HasSuffix(kind, "List") {
		return []document{d}, d.check()
	}
	var out []document
	for i, it := range items {
		obj, ok := it.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: item %d of the list is no object", d.source, i)
		}
		docs, err := flatten(document{source: d.source, obj: obj})
		if err != nil {
			return nil, err
		}
		out = append(out, docs...)
	}
	return out, nil
}

func (d document) check() error {
	switch r := d.ref(); {
	case r.APIVersion == "" || r.Kind == "":
		return fmt.Errorf("%s: object %q without apiVersion or kind", d.source, r.Name)
	case r.Name == "":
		return fmt.Errorf("%s: %s without metadata.name (generateName cannot be kept in a release)", d.source, r.Kind)
	}
	if _, err := schema.ParseGroupVersion(d.ref().APIVersion); err != nil {
		return fmt.Errorf("%s: %s: %w", d.source, d.ref(), err)
	}
	return nil
}

func (d document) metadata() map[string]any {
	m, ok := d.obj["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		d.obj["metadata"] = m
	}
	return m
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func (d document) ref() object.Ref {
	md, _ := d.obj["metadata"].(map[string]any)
	return object.Ref{
		APIVersion: text(d.obj, "apiVersion"), Kind: text(d.obj, "kind"),
		Namespace: text(md, "namespace"), Name: text(md, "name"),
	}
}

func (d document) gvk() schema.GroupVersionKind {
	r := d.ref()
	return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
}

func (d document) annotation(key string) string {
	md, _ := d.obj["metadata"].(map[string]any)
	a, _ := md["annotations"].(map[string]any)
	return text(a, key)
}

// add sets entries of metadata.labels or metadata.annotations.
func (d document) add(field string, entries map[string]string) {
	if len(entries) == 0 {
		return
	}
	md := d.metadata()
	m, ok := md[field].(map[string]any)
	if !ok {
		m = make(map[string]any, len(entries))
		md[field] = m
	}
	for k, v := range entries {
		m[k] = v
	}
}

// own marks the object as Helm does, so that helm's own commands accept it.
func (d document) own(release, namespace string) {
	d.add("labels", map[string]string{managedByLabel: managedByHelm})
	d.add("annotations", map[string]string{releaseNameAnnotation: release, releaseNamespaceAnnotation: namespace})
}

// ignored says whether readiness of the object means nothing: it removes itself.
func (d document) ignored() bool {
	spec, _ := d.obj["spec"].(map[string]any)
	return spec["ttlSecondsAfterFinished"] != nil || d.annotation(hookAnnotation) != ""
}

// writeDocuments is the inverse of parseDocuments.
func writeDocuments(docs []document) (string, error) {
	var b bytes.Buffer
	for _, d := range docs {
		j, err := json.Marshal(d.obj)
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", d.source, d.ref(), err)
		}
		y, err := yaml.JSONToYAML(j)
		if err != nil {
			return "", fmt.Errorf("%s: %s: %w", d.source, d.ref(), err)
		}
		fmt.Fprintf(&b, "---\n%s%s\n%s", sourcePrefix, d.source, y)
	}
	return b.String(), nil
}

// sortByKind orders objects as Helm does for installing or uninstalling, keeping the
// order within a kind; kinds that Helm does not list come last, by name.
func sortByKind[T any](objs []T, kind func(T) string, order releaseutil.KindSortOrder) {
	rank := make(map[string]int, len(order))
	for i, k := range order {
		rank[k] = i - len(order)
	}
	slices.SortStableFunc(objs, func(a, b T) int {
		ka, kb := kind(a), kind(b)
		if ra, rb := rank[ka], rank[kb]; ra != rb || ra != 0 {
			return cmp.Compare(ra, rb)
		}
		return strings.Compare(ka, kb)
	})
}

func sortDocuments(docs []document, order releaseutil.KindSortOrder) {
	sortByKind(docs, func(d document) string { return text(d.obj, "kind") }, order)
}

func sortItems(items []*item, order releaseutil.KindSortOrder) {
	sortByKind(items, func(it *item) string { return it.Kind }, order)
}

// checkUnique reports objects that are in docs twice.
func checkUnique(docs []document) error {
	seen := make(map[object.Ref]string, len(docs))
	var errs []error
	for _, d := range docs {
		r := d.ref()
		if first, twice := seen[r]; twice {
			errs = append(errs, fmt.Errorf("%s is rendered twice, by %s and by %s; give one of them another name", r, first, d.source))
		}
		seen[r] = d.source
	}
	return errors.Join(errs...)
}

package hooktest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// Object is a Kubernetes object; whole numbers are int64.
type Object = map[string]any

// ReadObjects reads manifests from a file, or from all files of a directory that
// end in .yaml, .yml or .json. A List is read as what is in it.
func ReadObjects(path string) ([]Object, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = manifestsIn(path); err != nil {
			return nil, err
		}
	}
	var out []Object
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		objects, err := ParseObjects(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, objects...)
	}
	return out, nil
}

func manifestsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s holds no .yaml, .yml or .json file", dir)
	}
	return out, nil
}

// ParseObjects reads a stream of manifests, YAML documents or JSON.
func ParseObjects(text []byte) ([]Object, error) {
	var out []Object
	docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for i := 1; ; i++ {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		v, err := values.DecodeYAML(doc)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		if v == nil {
			continue
		}
		objects, err := objectsOf(v)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		out = append(out, objects...)
	}
}

// objectsOf is v as objects: one, or the items of a list.
func objectsOf(v any) ([]Object, error) {
	o, ok := v.(Object)
	if !ok {
		return nil, fmt.Errorf("expected an object with kind and metadata, got %.60v", v)
	}
	kind, _ := o["kind"].(string)
	if items, ok := o["items"].([]any); ok && (kind == "" || strings.HasSuffix(kind, "List")) {
		var out []Object
		for i, item := range items {
			more, err := objectsOf(item)
			if err != nil {
				return nil, fmt.Errorf("items[%d]: %w", i, err)
			}
			out = append(out, more...)
		}
		return out, nil
	}
	meta, _ := o["metadata"].(Object)
	if name, _ := meta["name"].(string); kind == "" || name == "" {
		return nil, errors.New("an object needs kind and metadata.name")
	}
	if _, ok := o["apiVersion"]; !ok {
		o["apiVersion"] = "v1"
	}
	return []Object{o}, nil
}

// shortNames are those of the kinds that every cluster has.
var shortNames = map[string]string{
	"po": "pod", "svc": "service", "cm": "configmap", "ns": "namespace", "no": "node", "sa": "serviceaccount", "ep": "endpoints",
	"ev": "event", "pv": "persistentvolume", "pvc": "persistentvolumeclaim", "deploy": "deployment", "ds": "daemonset",
	"sts": "statefulset", "rs": "replicaset", "cj": "cronjob", "ing": "ingress", "netpol": "networkpolicy", "pdb": "poddisruptionbudget",
	"hpa": "horizontalpodautoscaler", "sc": "storageclass", "crd": "customresourcedefinition", "crds": "customresourcedefinition",
	"quota": "resourcequota", "rc": "replicationcontroller", "pc": "priorityclass", "csr": "certificatesigningrequest",
}

// isKind tells whether a binding's kind, which may be a plural or a short name in
// any case, means the kind of an object.
func isKind(wanted, kind string) bool {
	wanted, kind = strings.ToLower(wanted), strings.ToLower(kind)
	if full, ok := shortNames[wanted]; ok {
		wanted = full
	}
	plural := kind + "s"
	switch {
	case strings.HasSuffix(kind, "s"), strings.HasSuffix(kind, "x"), strings.HasSuffix(kind, "ch"):
		plural = kind + "es"
	case strings.HasSuffix(kind, "y"):
		plural = strings.TrimSuffix(kind, "y") + "ies"
	}
	return wanted == kind || wanted == plural
}

// selects tells whether a binding selects an object; namespaces are the Namespace
// objects known, by name.
func selects(b hook.Kubernetes, o Object, namespaces map[string]map[string]string) (bool, error) {
	u := unstructured.Unstructured{Object: o}
	if b.APIVersion != "" && b.APIVersion != u.GetAPIVersion() || !isKind(b.Kind, u.GetKind()) {
		return false, nil
	}
	if len(b.Names) > 0 && !slices.Contains(b.Names, u.GetName()) {
		return false, nil
	}
	if b.NamespaceLabels != nil {
		if ok, err := matches(b.NamespaceLabels, namespaces[u.GetNamespace()]); !ok || err != nil {
			return false, err
		}
	} else if len(b.Namespaces) > 0 && !slices.Contains(b.Namespaces, u.GetNamespace()) {
		return false, nil
	}
	if b.Labels != nil {
		if ok, err := matches(b.Labels, u.GetLabels()); !ok || err != nil {
			return false, err
		}
	}
	return matchesFields(b.Fields, o)
}

func matches(selector *metav1.LabelSelector, set map[string]string) (bool, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return s.Matches(labels.Set(set)), nil
}

// matchesFields reads any field of the object; an API server knows fewer.
func matchesFields(selector string, o Object) (bool, error) {
	if selector == "" {
		return true, nil
	}
	s, err := fields.ParseSelector(selector)
	if err != nil {
		return false, err
	}
	set := fields.Set{}
	for _, r := range s.Requirements() {
		set[r.Field] = ""
		if v, ok := values.Get(o, strings.Split(r.Field, ".")...); ok && v != nil {
			set[r.Field] = fmt.Sprint(v)
		}
	}
	return s.Matches(set), nil
}

// namespacesOf are the labels of the Namespace objects, by name. A namespace
// carries its own name as a label, as the API server sees to.
func namespacesOf(objects []Object) map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, o := range objects {
		u := unstructured.Unstructured{Object: o}
		if u.GetKind() != "Namespace" || u.GetAPIVersion() != "v1" {
			continue
		}
		set := map[string]string{corev1.LabelMetadataName: u.GetName()}
		for k, v := range u.GetLabels() {
			set[k] = v
		}
		out[u.GetName()] = set
	}
	return out
}

// project is what a binding shows of an object (C-140 … C-143).
func project(b hook.Kubernetes, o Object) (hook.Item, error) {
	var item hook.Item
	if b.Filter != nil {
		result, err := b.Filter.Run(o)
		if err != nil {
			return item, fmt.Errorf("binding %s: %s: %w", b.Name, describe(o), err)
		}
		item.FilterResult = result
	}
	if !b.KeepFullObjects {
		return item, nil
	}
	text, err := compact(o)
	item.Object = text
	return item, err
}

func describe(o Object) string {
	u := unstructured.Unstructured{Object: o}
	if ns := u.GetNamespace(); ns != "" {
		return u.GetKind() + " " + ns + "/" + u.GetName()
	}
	return u.GetKind() + " " + u.GetName()
}

func compact(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// files are objects that no cluster holds.
type files struct{ objects []Object }

// snapshot is what a binding sees of them, in the order of C-134.
func (f files) snapshot(b hook.Kubernetes) ([]hook.Item, error) {
	if b.Kind == "" {
		return nil, nil
	}
	type row struct {
		key  string
		item hook.Item
	}
	var rows []row
	namespaces := namespacesOf(f.objects)
	for _, o := range f.objects {
		ok, err := selects(b, o, namespaces)
		if err != nil {
			return nil, fmt.Errorf("binding %s: %w", b.Name, err)
		}
		if !ok {
			continue
		}
		item, err := project(b, o)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{key: idOf(o), item: item})
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.key, b.key) })
	items := make([]hook.Item, len(rows))
	for i, r := range rows {
		items[i] = r.item
	}
	return items, nil
}

func idOf(o Object) string {
	u := unstructured.Unstructured{Object: o}
	return u.GetNamespace() + "\x00" + u.GetName()
}

// same tells whether two objects are one: of a kind, with one name.
func same(a, b Object) bool {
	left, right := unstructured.Unstructured{Object: a}, unstructured.Unstructured{Object: b}
	return left.GroupVersionKind().GroupKind() == right.GroupVersionKind().GroupKind() && idOf(a) == idOf(b)
}

// with is the objects after an event of one.
func (f files) with(o Object, event hook.WatchEvent) files {
	out := slices.DeleteFunc(slices.Clone(f.objects), func(have Object) bool { return same(have, o) })
	if event != hook.Deleted {
		out = append(out, o)
	}
	return files{out}
}

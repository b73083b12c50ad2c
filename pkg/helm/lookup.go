package helm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// question is one call of the template function lookup; an empty name asks for a list.
type question struct{ apiVersion, kind, namespace, name string }

func (q question) compare(o question) int {
	return slices.Compare([]string{q.apiVersion, q.kind, q.namespace, q.name}, []string{o.apiVersion, o.kind, o.namespace, o.name})
}

// answers are digests of what was found.
type answers map[question]string

// withAnswers is an input digest that covers what was looked up.
func withAnswers(input string, found answers) string {
	parts := []string{"looked up", input}
	asked := make([]question, 0, len(found))
	for q := range found {
		asked = append(asked, q)
	}
	slices.SortFunc(asked, question.compare)
	for _, q := range asked {
		parts = append(parts, q.apiVersion, q.kind, q.namespace, q.name, found[q])
	}
	return digest(parts...)
}

// questions remembers what the charts of modules looked up in their newest render.
type questions struct {
	mu       sync.Mutex
	byModule map[string]asked
}

type asked struct {
	digest string // of the module that asked
	list   []question
}

func (k *questions) of(m *module.Descriptor) ([]question, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	a, ok := k.byModule[m.Name]
	return a.list, ok && a.digest == m.Digest && m.Digest != ""
}

func (k *questions) note(m *module.Descriptor, list []question) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byModule == nil {
		k.byModule = map[string]asked{}
	}
	k.byModule[m.Name] = asked{m.Digest, list}
}

// ask looks everything up once more.
func (c *Client) ask(ctx context.Context, list []question) (answers, error) {
	look := &lookups{ctx: ctx, client: c}
	var g errgroup.Group
	g.SetLimit(c.cfg.Parallel)
	for _, q := range list {
		g.Go(func() error { return look.repeat(q) })
	}
	err := g.Wait()
	_, found := look.log()
	return found, err
}

// lookups serves the template function lookup from the shared clients and keeps what was
// asked. Helm gives it no context, so it carries the one of its render.
type lookups struct {
	ctx    context.Context //nolint:containedctx // see above; lives for one render
	client *Client

	mu    sync.Mutex
	found answers
}

func (l *lookups) called() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.found) > 0
}

func (l *lookups) log() ([]question, answers) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]question, 0, len(l.found))
	for q := range l.found {
		list = append(list, q)
	}
	return list, l.found
}

func (l *lookups) note(q question, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found == nil {
		l.found = answers{}
	}
	l.found[q] = answer
}

// repeat asks one question as the template function does.
func (l *lookups) repeat(q question) error {
	client, namespaced, err := l.GetClientFor(q.apiVersion, q.kind)
	if err != nil {
		return err
	}
	var api dynamic.ResourceInterface = client
	if namespaced && q.namespace != "" {
		api = client.Namespace(q.namespace)
	}
	if q.name == "" {
		_, err = api.List(l.ctx, metav1.ListOptions{})
	} else {
		_, err = api.Get(l.ctx, q.name, metav1.GetOptions{})
	}
	if err != nil && !transient(err) {
		l.note(q, "") // another answer than before, as when its kind has appeared: the render tells what is wrong
		return nil
	}
	return err
}

// GetClientFor implements engine.ClientProvider.
func (l *lookups) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, false, err
	}
	about := &lookup{all: l, q: question{apiVersion: apiVersion, kind: kind}}
	m, err := l.client.kinds().mapping(schema.FromAPIVersionAndKind(apiVersion, kind))
	if meta.IsNoMatchError(err) {
		return about, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("lookup %s %s: %w", apiVersion, kind, err)
	}
	about.kind = l.client.lookup.Resource(m.Resource)
	about.api = about.kind
	return about, m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// lookup is what a template sees of one kind. One that the cluster does not have has no
// objects: a template may ask before the CRD is there.
type lookup struct {
	dynamic.NamespaceableResourceInterface // never called: Helm gets and lists
	all                                    *lookups
	q                                      question
	kind                                   dynamic.NamespaceableResourceInterface
	api                                    dynamic.ResourceInterface
}

// noKind is the answer for a kind that the cluster does not have.
const noKind = "no kind"

var errNotLookup = errors.New("lookup only gets and lists")

// Namespace implements dynamic.NamespaceableResourceInterface.
func (k *lookup) Namespace(ns string) dynamic.ResourceInterface {
	in := *k
	in.q.namespace = ns
	if k.kind != nil {
		in.api = k.kind.Namespace(ns)
	}
	return &in
}

// Get implements dynamic.ResourceInterface.
func (k *lookup) Get(_ context.Context, name string, opts metav1.GetOptions, sub ...string) (*unstructured.Unstructured, error) {
	if len(sub) > 0 {
		return nil, errNotLookup
	}
	q := k.q
	q.name = name
	if k.api == nil {
		k.all.note(q, noKind)
		return &unstructured.Unstructured{Object: map[string]any{}}, nil
	}
	obj, err := k.api.Get(k.all.ctx, name, opts)
	switch {
	case apierrors.IsNotFound(err):
		k.all.note(q, "")
	case err == nil:
		k.all.note(q, seenDigest(obj.Object))
	}
	return obj, k.all.client.objects.explained(err)
}

// List implements dynamic.ResourceInterface.
func (k *lookup) List(_ context.Context, opts metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	if k.api == nil {
		k.all.note(k.q, noKind)
		return &unstructured.UnstructuredList{Object: map[string]any{}}, nil
	}
	list, err := k.api.List(k.all.ctx, opts)
	if err != nil {
		return list, k.all.client.objects.explained(err)
	}
	parts := make([]string, 0, len(list.Items))
	for i := range list.Items {
		parts = append(parts, seenDigest(list.Items[i].Object))
	}
	slices.Sort(parts)
	k.all.note(k.q, values.Digest([]byte(strings.Join(parts, "\n"))))
	return list, nil
}

// seenDigest is over an object without what every write moves.
func seenDigest(obj map[string]any) string {
	shown := maps.Clone(obj)
	if md, ok := obj["metadata"].(map[string]any); ok {
		md = maps.Clone(md)
		delete(md, "managedFields")
		delete(md, "resourceVersion")
		shown["metadata"] = md
	}
	j, err := json.Marshal(shown)
	if err != nil {
		return ""
	}
	return values.Digest(j)
}

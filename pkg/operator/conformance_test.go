package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// conformance is an operator that runs hooks of testdata/conformance. They write
// what they see below the directory that CONFORMANCE_RECORD names.
type conformance struct {
	*bed
	cluster *testkit.LocalCluster
	record  string
}

// records is the directory of all conformance tests of the process that run now:
// hooks inherit the operator's environment, and a process has one. Each file in it
// is written by one hook.
var records struct {
	mu    sync.Mutex
	dir   string
	users int
}

// recordDir is there until the last test that asked for it has ended.
func recordDir(t *testing.T) string {
	t.Helper()
	records.mu.Lock()
	defer records.mu.Unlock()
	if records.users == 0 {
		dir, err := os.MkdirTemp("", "conformance-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Setenv("CONFORMANCE_RECORD", dir); err != nil { //nolint:usetesting // t.Setenv is not for parallel tests
			t.Fatal(err)
		}
		records.dir = dir
	}
	records.users++
	t.Cleanup(func() {
		records.mu.Lock()
		defer records.mu.Unlock()
		if records.users--; records.users == 0 {
			_ = os.RemoveAll(records.dir)
		}
	})
	return records.dir
}

// newConformance copies one set of testdata/conformance, whose files a test may then edit.
func newConformance(t *testing.T, set string) *conformance {
	t.Helper()
	c := &conformance{record: recordDir(t), bed: newBed(t), cluster: testkit.Shared(t)}
	copyTree(t, filepath.Join(testkit.Root(), "testdata", "conformance", set), c.Dir)
	c.Config.Logger = slog.New(slog.NewJSONHandler(c.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	return c
}

// copyTree copies files with their modes, and links as links.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case e.IsDir():
			return os.MkdirAll(target, 0o755)
		case e.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
}

// on is the fixture for a subtest.
func (c *conformance) on(t *testing.T) *conformance {
	b := *c.bed
	b.t, b.ctx = t, t.Context()
	return &conformance{bed: &b, cluster: c.cluster, record: c.record}
}

// lines are what a hook wrote to a file so far, whole lines only.
func (c *conformance) lines(file string) []string {
	text, err := os.ReadFile(filepath.Join(c.record, file))
	if err != nil {
		return nil
	}
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")[:bytes.Count(text, []byte{'\n'})]
}

// runs are the binding contexts that a hook got, one array a run.
func (c *conformance) runs(file string) (runs [][]map[string]any) {
	c.t.Helper()
	for _, line := range c.lines(file) {
		var contexts []map[string]any
		if err := json.Unmarshal([]byte(line), &contexts); err != nil {
			c.t.Fatalf("%s: %v: %s", file, err, line)
		}
		runs = append(runs, contexts)
	}
	return runs
}

// contexts are those of all runs, one after another.
func (c *conformance) contexts(file string) (all []map[string]any) {
	for _, r := range c.runs(file) {
		all = append(all, r...)
	}
	return all
}

// hasContexts waits for the n-th context of a file.
func (c *conformance) hasContexts(file string, n int) []map[string]any {
	c.t.Helper()
	c.eventually(func() bool { return len(c.contexts(file)) >= n }, "%s has %d contexts; it has %d", file, n, len(c.contexts(file)))
	return c.contexts(file)
}

func (c *conformance) hasLines(file string, n int) []string {
	c.t.Helper()
	c.eventually(func() bool { return len(c.lines(file)) >= n }, "%s has %d lines", file, n)
	return c.lines(file)
}

// touch makes a file that hooks wait for.
func (c *conformance) touch(file string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.record, file), nil, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// same compares what a hook got with JSON; what the API server adds to metadata is left out.
func (c *conformance) same(what string, got any, want string) {
	c.t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		c.t.Fatalf("%s: %v: %s", what, err, want)
	}
	text, err := json.Marshal(got)
	if err != nil {
		c.t.Fatal(err)
	}
	var have any
	_ = json.Unmarshal(text, &have) // it was JSON a moment ago
	if have = plain(have); !reflect.DeepEqual(have, wanted) {
		c.t.Errorf("%s: got\n%s\nwant\n%s", what, pretty(have), pretty(wanted))
	}
}

// plain drops the keys of metadata that differ from run to run.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		if meta, ok := v["metadata"].(map[string]any); ok && v["kind"] != nil {
			for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields"} {
				delete(meta, key)
			}
		}
		for k := range v {
			v[k] = plain(v[k])
		}
	}
	return v
}

// logged are the log records that fit.
func (c *conformance) logged(fits func(r map[string]any) bool) (found []map[string]any) {
	for line := range strings.Lines(c.log.String()) {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil && fits(r) {
			found = append(found, r)
		}
	}
	return found
}

// logs waits for a record that contains all texts, wherever in it they stand.
func (c *conformance) logs(texts ...string) {
	c.t.Helper()
	c.eventually(func() bool {
		for line := range strings.Lines(c.log.String()) {
			var r map[string]any
			if json.Unmarshal([]byte(line), &r) != nil {
				continue
			}
			whole := fmt.Sprint(r)
			if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(whole, text) }) {
				return true
			}
		}
		return false
	}, "the log has a record with %q", texts)
}

// metric says whether /metrics/hooks has a line.
func (c *conformance) metric(line string) bool {
	return slices.Contains(strings.Split(c.get("/metrics/hooks"), "\n"), line)
}

func (c *conformance) hasMetric(line string) {
	c.t.Helper()
	testkit.Eventually(c.t, func() bool { return c.metric(line) }, func() string {
		return fmt.Sprintf("/metrics/hooks has %s; it has\n%s", line, c.get("/metrics/hooks"))
	})
}

// queued is the number of tasks in a queue.
func (c *conformance) queued(queue string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", c.Config.DebugSocket)
	}}}
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, "http://socket/queue/list.json", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	var queues struct {
		Active []struct {
			Name       string
			TasksCount int
		}
	}
	if err := json.Unmarshal(text, &queues); err != nil {
		c.t.Fatalf("queue list: %v: %s", err, text)
	}
	for _, q := range queues.Active {
		if q.Name == queue {
			return q.TasksCount
		}
	}
	return 0
}

// hasQueued waits for a queue to hold n tasks, the running one included.
func (c *conformance) hasQueued(queue string, n int) {
	c.t.Helper()
	testkit.Eventually(c.t, func() bool { return c.queued(queue) == n }, func() string {
		return fmt.Sprintf("queue %s holds %d tasks; it holds %d", queue, n, c.queued(queue))
	})
}

// namespace makes a namespace of a fixed name, and empties one that is left from an earlier test.
func (c *conformance) namespace(name string, labels map[string]string) {
	c.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	_, err := c.Client.CoreV1().Namespaces().Create(c.ctx, ns, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if _, err = c.Client.CoreV1().Namespaces().Update(c.ctx, ns, metav1.UpdateOptions{}); err == nil {
			err = c.Client.CoreV1().ConfigMaps(name).DeleteCollection(c.ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}
		for _, plural := range []string{"confthings", "confshareds", "conflates"} { // not all may be there
			_ = c.Dynamic.Resource(confResource(plural)).Namespace(name).DeleteCollection(c.ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// put writes a ConfigMap with a label conf and data; pairs are keys and values.
func (c *conformance) put(namespace, name, label string, pairs ...string) {
	c.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string]string{}}
	if label != "" {
		cm.Labels = map[string]string{"conf": label}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		cm.Data[pairs[i]] = pairs[i+1]
	}
	_, err := c.Client.CoreV1().ConfigMaps(namespace).Create(c.ctx, cm, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		_, err = c.Client.CoreV1().ConfigMaps(namespace).Update(c.ctx, cm, metav1.UpdateOptions{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *conformance) remove(namespace, name string) {
	c.t.Helper()
	if err := c.Client.CoreV1().ConfigMaps(namespace).Delete(c.ctx, name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// data is that of a ConfigMap, nil when there is none.
func (c *conformance) data(namespace, name string) map[string]string {
	cm, err := c.Client.CoreV1().ConfigMaps(namespace).Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	if cm.Data == nil {
		return map[string]string{}
	}
	return cm.Data
}

func (c *conformance) hasData(namespace, name string, want map[string]string) {
	c.t.Helper()
	if got := c.data(namespace, name); !maps.Equal(got, want) || (got == nil) != (want == nil) {
		c.t.Errorf("ConfigMap %s/%s: got %v, want %v", namespace, name, got, want)
	}
}

// crd serves a namespaced kind of conf.example.com/v1, with a status subresource, and waits until it is.
func (c *conformance) crd(plural, kind string) {
	c.t.Helper()
	text := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ` + plural + `.conf.example.com}
spec:
  group: conf.example.com
  names: {plural: ` + plural + `, kind: ` + kind + `}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`
	obj := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &obj.Object); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.Dynamic.Resource(crds).Create(c.ctx, obj, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = c.Dynamic.Resource(crds).Delete(context.Background(), plural+".conf.example.com", metav1.DeleteOptions{})
	})
	c.eventually(func() bool {
		_, err := c.Dynamic.Resource(confResource(plural)).List(c.ctx, metav1.ListOptions{})
		return err == nil
	}, "%s is served", plural)
}

func confResource(plural string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "conf.example.com", Version: "v1", Resource: plural}
}

// thing makes an object of a kind of conf.example.com/v1 whose spec has a number n.
func (c *conformance) thing(plural, kind, namespace, name string, n int64) {
	c.t.Helper()
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "conf.example.com/v1", "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": namespace}, "spec": map[string]any{"n": n}}}
	c.eventually(func() bool {
		_, err := c.Dynamic.Resource(confResource(plural)).Namespace(namespace).Create(c.ctx, obj, metav1.CreateOptions{})
		return err == nil
	}, "%s %s is created", kind, name)
}

// parallel runs the parts of an area at the same time.
func (c *conformance) parallel(t *testing.T, parts map[string]func(*conformance)) {
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			part(c.on(t))
		})
	}
}

package kube

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/addon-operator/addon-operator/pkg/object"
)

var storageClasses = schema.GroupVersionResource{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"}

type kindKey struct{ apiVersion, kind string }

func kindOf(ref object.Ref) kindKey { return kindKey{ref.APIVersion, ref.Kind} }

func nameOf(ref object.Ref) id { return id{ref.Namespace, ref.Name} }

// remembered is the last state of an object that is not judged yet.
type remembered struct {
	text    []byte // compact JSON
	gone    bool
	version uint64 // 0: found missing by a listing
	listing uint64
}

// kindWatch is the tracker's watch of one kind; all of it is guarded by Tracker.mu.
type kindWatch struct {
	kindKey
	t    *Tracker
	feed *feed // nil until its resource is known
	stop context.CancelFunc

	ended      bool
	synced     bool // listed once
	unserved   bool
	err        error
	listing    uint64
	remembered map[id]remembered
	tombstones map[id]bool // where remembered may tell of an end
}

func (k *kindWatch) ref(i id) object.Ref {
	return object.Ref{APIVersion: k.apiVersion, Kind: k.kind, Namespace: i.namespace, Name: i.name}
}

func (k *kindWatch) relist() {
	if k.feed != nil {
		k.feed.relist()
	}
}

// close ends the watch; Tracker.mu is held.
func (k *kindWatch) close() {
	k.ended = true
	if k.stop != nil {
		k.stop()
	}
}

// enter locks the tracker unless the watch was ended.
func (k *kindWatch) enter() bool {
	k.t.mu.Lock()
	if k.ended {
		k.t.mu.Unlock()
		return false
	}
	return true
}

func (k *kindWatch) begin() {
	if k.enter() {
		defer k.t.mu.Unlock()
		k.listing++
	}
}

func (k *kindWatch) put(o metav1.Object) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok || !k.enter() {
		return
	}
	defer k.t.mu.Unlock()
	i := id{o.GetNamespace(), o.GetName()}
	ref := k.ref(i)
	module, owned := k.t.owners[ref]
	if owned {
		tr := k.t.modules[module].objects[ref]
		tr.listing = k.listing
		tr.look(u)
		if k.t.held[ref] == 0 {
			tr.compare(k.t.seed, u)
			k.changed(module)
			return
		}
		k.changed(module)
	}
	text, err := compact(u.Object)
	if err == nil {
		k.remembered[i] = remembered{text: text, version: number(u.GetResourceVersion()), listing: k.listing}
	}
}

func (k *kindWatch) remove(o metav1.Object) {
	if k.enter() {
		defer k.t.mu.Unlock()
		k.lost(id{o.GetNamespace(), o.GetName()}, number(o.GetResourceVersion()))
	}
}

// lost judges or remembers that an object is gone.
func (k *kindWatch) lost(i id, version uint64) {
	ref := k.ref(i)
	if k.t.held[ref] > 0 {
		k.remembered[i], k.tombstones[i] = remembered{gone: true, version: version, listing: k.listing}, true
		return
	}
	delete(k.remembered, i)
	if module, owned := k.t.owners[ref]; owned {
		k.t.gone(ref, k.t.modules[module].objects[ref], version)
		k.changed(module)
	}
}

func (k *kindWatch) fault(err error) {
	if !k.enter() {
		return
	}
	defer k.t.mu.Unlock()
	if err != nil && k.err == nil {
		k.t.log.Warn("objects of releases cannot be watched; trying again", "kind", k.kind, "error", err)
	}
	if (err == nil) != (k.err == nil) {
		for ref, module := range k.t.owners {
			if kindOf(ref) == k.kindKey {
				k.changed(module)
			}
		}
	}
	k.err = err
}

func (k *kindWatch) changed(module string) {
	k.t.dirty[module] = true
	signal(k.t.wake)
}

// end sweeps what the listing did not show.
func (k *kindWatch) end() {
	if !k.enter() {
		return
	}
	defer k.t.mu.Unlock()
	k.synced = true
	for i, r := range k.remembered {
		if r.listing != k.listing && !r.gone {
			k.lost(i, 0)
		}
	}
	for ref, module := range k.t.owners {
		if kindOf(ref) != k.kindKey {
			continue
		}
		if tr := k.t.modules[module].objects[ref]; tr.listing != k.listing {
			k.lost(nameOf(ref), 0)
		}
	}
}

// classSink keeps the names of storage classes that bind on first use.
type classSink struct {
	t      *Tracker
	listed map[string]bool
}

func (s *classSink) begin() { s.listed = map[string]bool{} }

func (s *classSink) put(o metav1.Object) {
	u, ok := o.(*unstructured.Unstructured)
	if !ok {
		return
	}
	mode, _, _ := unstructured.NestedString(u.Object, "volumeBindingMode")
	if s.listed != nil {
		s.listed[o.GetName()] = true
	}
	s.set(o.GetName(), mode == "WaitForFirstConsumer")
}

func (s *classSink) remove(o metav1.Object) { s.set(o.GetName(), false) }

func (s *classSink) end() {
	s.t.mu.Lock()
	var lost []string
	for name := range s.t.classes {
		if !s.listed[name] {
			lost = append(lost, name)
		}
	}
	s.t.mu.Unlock()
	for _, name := range lost {
		s.set(name, false)
	}
	s.listed = nil
}

func (s *classSink) fault(err error) {
	if err != nil {
		s.t.log.Warn("storage classes cannot be watched; trying again", "error", err)
	}
}

func (s *classSink) set(name string, firstUse bool) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.t.classes == nil || s.t.classes[name] == firstUse {
		return
	}
	if firstUse {
		s.t.classes[name] = true
	} else {
		delete(s.t.classes, name)
	}
	for ref, module := range s.t.owners {
		if kindOf(ref) == (kindKey{"v1", "PersistentVolumeClaim"}) {
			s.t.dirty[module] = true
		}
	}
	signal(s.t.wake)
}

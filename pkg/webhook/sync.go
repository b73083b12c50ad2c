package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/retry"
)

// key is one object that is kept as the table says.
type key struct {
	kind kind
	name string // of the owner, or of the CRD
}

type kind string

const (
	validatingKind kind = "ValidatingWebhookConfiguration"
	mutatingKind   kind = "MutatingWebhookConfiguration"
	crdKind        kind = "CustomResourceDefinition"
)

var configurationKinds = []kind{validatingKind, mutatingKind}

func (r *registration) empty() bool { return len(r.admissions) == 0 && len(r.conversions) == 0 }

// keys are the objects that the registration makes.
func (r *registration) keys() (keys []key) {
	if len(r.bound(false)) > 0 {
		keys = append(keys, key{validatingKind, r.owner.String()})
	}
	if len(r.bound(true)) > 0 {
		keys = append(keys, key{mutatingKind, r.owner.String()})
	}
	for _, crd := range r.crds() {
		keys = append(keys, key{crdKind, crd})
	}
	return keys
}

// enqueue adds the keys of some kinds; match nil is all of them.
func (s *Server) enqueue(kinds []kind, match func(key) bool) {
	for _, k := range s.allKeys() {
		for _, of := range kinds {
			if k.kind == of && (match == nil || match(k)) {
				s.queue.Add(k)
			}
		}
	}
}

// work writes what watches and failures ask for, until the queue is shut down.
func (s *Server) work(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { <-ctx.Done(); s.queue.ShutDown() })
	for {
		k, stop := s.queue.Get()
		if stop {
			return
		}
		if err := s.sync(ctx, k, true); err != nil && ctx.Err() == nil {
			s.cfg.Logger.Warn("webhook registration failed and is tried again", "object", string(k.kind), "of", k.name, "error", err)
		}
		s.queue.Done(k)
	}
}

// syncAll writes keys now; those that fail are tried again in the background.
func (s *Server) syncAll(ctx context.Context, keys []key) error {
	var all []error
	for _, k := range keys {
		all = append(all, s.sync(ctx, k, false))
	}
	return errors.Join(all...)
}

// sync makes one object as the table says. background marks calls that nobody
// asked for, in which a contested object is left alone for a while.
func (s *Server) sync(ctx context.Context, k key, background bool) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if pause := s.contest.pause(k, s.cfg.Clock.Now()); background && pause > 0 {
		s.queue.AddAfter(k, pause)
		return nil
	}
	var wrote bool
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) { // B-60
		switch k.kind {
		case crdKind:
			wrote, err = s.syncCRD(ctx, k.name)
		default:
			wrote, err = s.syncConfiguration(ctx, k)
		}
		return err
	})
	if wrote && background && s.contest.wrote(k, s.cfg.Clock.Now()) {
		s.cfg.Logger.Warn("somebody keeps undoing a webhook registration; it is restored less often",
			"object", string(k.kind), "of", k.name, "every", contestPause)
	}
	if err != nil {
		err = fmt.Errorf("%s of %s: %w", k.kind, k.name, err)
		s.queue.AddRateLimited(k)
	} else {
		s.queue.Forget(k)
	}
	s.tell(k, err)
	return err
}

func (s *Server) tell(k key, err error) {
	var of *registration
	if k.kind == crdKind {
		of = s.converter(k.name)
	} else {
		of = s.registered(k.name)
	}
	if of != nil {
		s.cfg.Failed(of.owner, string(k.kind)+" "+k.name, err)
	}
}

// contest bounds how often an object is restored that somebody else keeps changing.
type contest map[key][]time.Time

const (
	contestWindow = time.Minute
	contestWrites = 5
	contestPause  = time.Minute
)

// wrote notes a write and reports whether it was one too many.
func (c *contest) wrote(k key, now time.Time) bool {
	if *c == nil {
		*c = contest{}
	}
	var recent []time.Time
	for _, t := range (*c)[k] {
		if now.Sub(t) < contestWindow {
			recent = append(recent, t)
		}
	}
	(*c)[k] = append(recent, now)
	return len(recent)+1 == contestWrites
}

func (c *contest) pause(k key, now time.Time) time.Duration {
	writes := (*c)[k]
	if len(writes) < contestWrites {
		return 0
	}
	return contestPause - now.Sub(writes[len(writes)-1])
}

// syncConfiguration creates, updates or deletes one configuration of an owner.
func (s *Server) syncConfiguration(ctx context.Context, k key) (wrote bool, err error) {
	r := s.registered(k.name)
	if r == nil {
		return s.deleteConfiguration(ctx, k)
	}
	wanted, err := s.configuration(ctx, r, k.kind)
	if err != nil {
		return false, err
	}
	if wanted == nil {
		return s.deleteConfiguration(ctx, k)
	}
	client := s.cfg.Dynamic.Resource(resourceOf(k.kind))
	live, err := client.Get(ctx, wanted.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, wanted, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = apierrors.NewConflict(resourceOf(k.kind).GroupResource(), wanted.GetName(), err)
		}
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	if other := live.GetLabels()[labelInstance]; other != "" && other != s.cfg.Instance {
		return false, fmt.Errorf("%s belongs to the operator instance %q: give this one another --validating-webhook-configuration-name", live.GetName(), other)
	}
	same, err := sameConfiguration(k.kind, live, wanted)
	if err != nil || same {
		return false, err
	}
	next := live.DeepCopy()
	next.SetLabels(laidOver(live.GetLabels(), wanted.GetLabels()))
	next.Object["webhooks"] = wanted.Object["webhooks"]
	_, err = client.Update(ctx, next, metav1.UpdateOptions{})
	return err == nil, err
}

// configuration is the wanted object; nil if the owner has no bindings of the kind.
// The port that it points at is open when it is returned.
func (s *Server) configuration(ctx context.Context, r *registration, of kind) (*unstructured.Unstructured, error) {
	if len(r.bound(of == mutatingKind)) == 0 {
		return nil, nil
	}
	c, err := s.ready(ctx, s.admission)
	if err != nil {
		return nil, err
	}
	meta := metav1.ObjectMeta{Name: s.cfg.configurationName(r.owner), Labels: s.cfg.labels(r.owner)}
	var typed any = &admission.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: s.cfg.validating(r, c.ca)}
	if of == mutatingKind {
		typed = &admission.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: s.cfg.mutating(r, c.ca)}
	}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	u := &unstructured.Unstructured{Object: m}
	u.SetAPIVersion(admission.SchemeGroupVersion.String())
	u.SetKind(string(of))
	return u, err
}

// ready opens a port and answers its certificate.
func (s *Server) ready(ctx context.Context, e *endpoint) (*certificate, error) {
	c, err := e.certs.get(ctx)
	if err != nil {
		return nil, err
	}
	return c, e.open(ctx)
}

// sameConfiguration compares what the operator decides on: labels and entries.
func sameConfiguration(of kind, live, wanted *unstructured.Unstructured) (bool, error) {
	if !reflect.DeepEqual(live.GetLabels(), laidOver(live.GetLabels(), wanted.GetLabels())) {
		return false, nil
	}
	entries := func(u *unstructured.Unstructured) (any, error) {
		if of == mutatingKind {
			var c admission.MutatingWebhookConfiguration
			err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c)
			return c.Webhooks, err
		}
		var c admission.ValidatingWebhookConfiguration
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c)
		return c.Webhooks, err
	}
	a, err := entries(live)
	if err != nil {
		return false, err
	}
	b, err := entries(wanted)
	return equality.Semantic.DeepEqual(a, b), err
}

func laidOver(base, over map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, over)
	return out
}

// deleteConfiguration deletes a configuration that is ours.
func (s *Server) deleteConfiguration(ctx context.Context, k key) (bool, error) {
	client := s.cfg.Dynamic.Resource(resourceOf(k.kind))
	live, err := client.Get(ctx, s.cfg.ConfigurationName+"-"+k.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if labels := live.GetLabels(); labels[labelInstance] != s.cfg.Instance || labels[labelOwner] != k.name {
		return false, nil
	}
	return s.delete(ctx, resourceOf(k.kind), live)
}

func (s *Server) delete(ctx context.Context, resource schema.GroupVersionResource, live *unstructured.Unstructured) (bool, error) {
	uid := live.GetUID()
	err := s.cfg.Dynamic.Resource(resource).Delete(ctx, live.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return err == nil, err
}

func resourceOf(k kind) schema.GroupVersionResource {
	switch k {
	case mutatingKind:
		return mutatingResource
	case crdKind:
		return crdResource
	}
	return validatingResource
}

// syncCRD points spec.conversion of a CRD at this Server, or away from it. One
// that does not exist is waited for by its watch.
func (s *Server) syncCRD(ctx context.Context, name string) (wrote bool, err error) {
	client := s.cfg.Dynamic.Resource(crdResource)
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.cfg.Logger.Debug("conversion waits for its CRD", "crd", name)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	next := live.DeepCopy()
	if r := s.converter(name); r != nil {
		err = s.pointHere(ctx, next, r)
	} else {
		err = s.pointAway(next)
	}
	if err != nil || reflect.DeepEqual(next.Object, live.Object) {
		return false, err
	}
	_, err = client.Update(ctx, next, metav1.UpdateOptions{})
	return err == nil, err
}

// pointHere sets the conversion of a CRD, and the label by which it is found again
// when its owner is gone.
func (s *Server) pointHere(ctx context.Context, crd *unstructured.Unstructured, r *registration) error {
	wanted, err := s.wantedConversion(ctx, r, crd.GetName())
	if err != nil {
		return err
	}
	crd.SetLabels(laidOver(crd.GetLabels(), map[string]string{labelOwner: r.owner.String()}))
	return unstructured.SetNestedMap(crd.Object, wanted, "spec", "conversion")
}

// pointAway takes back what pointHere did, unless the conversion is somebody else's now.
func (s *Server) pointAway(crd *unstructured.Unstructured) error {
	now, _, _ := unstructured.NestedMap(crd.Object, "spec", "conversion")
	if _, ours := s.cfg.ownerAt(crd.GetName(), now); !ours {
		return nil
	}
	labels := crd.GetLabels()
	delete(labels, labelOwner)
	crd.SetLabels(labels)
	return unstructured.SetNestedMap(crd.Object, map[string]any{"strategy": "None"}, "spec", "conversion")
}

func (s *Server) wantedConversion(ctx context.Context, r *registration, crd string) (map[string]any, error) {
	e := s.conversion
	if s.cfg.onePort() {
		e = s.admission
	}
	c, err := s.ready(ctx, e)
	if err != nil {
		return nil, err
	}
	return s.cfg.conversion(conversionPath(r.owner, crd), c.ca), nil
}

// leftovers are the objects that an earlier process of this instance made, by owner.
type leftovers map[string][]key

// leftBy takes the leftovers of some owners, which are listed once in a process.
func (s *Server) leftBy(ctx context.Context, match func(owner string) bool) (keys []key, err error) {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	if s.left == nil {
		if s.left, err = s.listLeft(ctx); err != nil {
			s.left = nil
			return nil, fmt.Errorf("webhooks of earlier processes: %w", err)
		}
	}
	for owner, of := range s.left {
		if match(owner) {
			keys = append(keys, of...)
			delete(s.left, owner)
		}
	}
	return keys, nil
}

func (s *Server) listLeft(ctx context.Context) (leftovers, error) {
	left := leftovers{}
	for _, of := range []kind{validatingKind, mutatingKind, crdKind} {
		selector := s.ours()
		if of == crdKind { // may be anybody's; where it points says whether it is ours
			selector = labelOwner
		}
		list, err := s.cfg.Dynamic.Resource(resourceOf(of)).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return nil, err
		}
		for _, o := range list.Items {
			owner := o.GetLabels()[labelOwner]
			k := key{of, owner}
			if of == crdKind {
				k.name = o.GetName()
			}
			left[owner] = append(left[owner], k)
		}
	}
	return left, nil
}

// ours selects the configurations that this instance made.
func (s *Server) ours() string { return labelInstance + "=" + s.cfg.Instance + "," + labelOwner }

// followConfigurations restores configurations that somebody changes or deletes.
// Own writes wake it too: then content is compared, and nothing is written.
func (s *Server) followConfigurations(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-s.admission.certs.needed:
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, of := range configurationKinds {
		wg.Go(func() {
			client := s.cfg.Dynamic.Resource(resourceOf(of))
			follow(ctx, client, metav1.ListOptions{LabelSelector: s.ours()}, s.cfg.Logger, func(name string) {
				owner := strings.TrimPrefix(name, s.cfg.ConfigurationName+"-")
				s.enqueue([]kind{of}, func(k key) bool { return name == "" || k.name == owner })
			})
		})
	}
}

// followCRDs keeps one watch for each CRD that is converted here.
func (s *Server) followCRDs(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	watched := map[string]context.CancelFunc{}
	for {
		select {
		case <-ctx.Done():
			for _, stop := range watched {
				stop()
			}
			return
		case <-s.crds:
		}
		wanted := sets.New[string]()
		for _, k := range s.allKeys() {
			if k.kind == crdKind {
				wanted.Insert(k.name)
			}
		}
		for name := range wanted {
			if watched[name] != nil {
				continue
			}
			one, stop := context.WithCancel(ctx)
			watched[name] = stop
			wg.Go(func() {
				only := metav1.ListOptions{FieldSelector: "metadata.name=" + name}
				follow(one, s.cfg.Dynamic.Resource(crdResource), only, s.cfg.Logger, func(string) { s.queue.Add(key{crdKind, name}) })
			})
		}
		for name, stop := range watched {
			if !wanted.Has(name) {
				stop()
				delete(watched, name)
			}
		}
	}
}

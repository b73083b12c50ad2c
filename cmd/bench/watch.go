package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// wanted is a set of objects with their content: "Deployment/m000" with "", or
// "ConfigMap/m000-1" with the fact and the note it shows.
type wanted map[string]string

func (w wanted) deployment(name string) { w["Deployment/"+name] = "" }

func (w wanted) configMap(name, fact, note string) { w["ConfigMap/"+name] = fact + "/" + note }

// observer watches a namespace independently of what is measured.
type observer struct {
	stop    context.CancelFunc
	readers sync.WaitGroup
	lost    chan error

	mu      sync.Mutex
	missing wanted
	done    chan time.Time
}

// source opens a watch from a resource version on.
type source func(context.Context, metav1.ListOptions) (watch.Interface, error)

func observe(ctx context.Context, c *cluster, namespace string) (*observer, error) {
	ns, err := c.typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	o := &observer{stop: stop, lost: make(chan error, 2)}
	for _, s := range []source{c.typed.CoreV1().ConfigMaps(namespace).Watch, c.typed.AppsV1().Deployments(namespace).Watch} {
		w, err := s(ctx, from(ns.ResourceVersion))
		if err != nil {
			o.close()
			return nil, err
		}
		o.readers.Go(func() { o.follow(ctx, s, w, ns.ResourceVersion) })
	}
	return o, nil
}

func from(version string) metav1.ListOptions {
	return metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}
}

func (o *observer) close() {
	o.stop()
	o.readers.Wait()
}

// follow reads a watch, and goes on where it was when the API server ends it, as it
// does with watchers that a busy machine makes slow.
func (o *observer) follow(ctx context.Context, s source, w watch.Interface, version string) {
	for {
		var err error
		version, err = o.read(w, version)
		w.Stop()
		if err == nil && ctx.Err() == nil {
			w, err = s(ctx, from(version))
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.lost <- fmt.Errorf("the watch for what is measured: %w", err)
			return
		}
	}
}

// read answers the version of the last event when the watch has ended.
func (o *observer) read(w watch.Interface, version string) (string, error) {
	for e := range w.ResultChan() {
		switch obj := e.Object.(type) {
		case *corev1.ConfigMap:
			version = obj.ResourceVersion
			if e.Type == watch.Added || e.Type == watch.Modified {
				o.saw("ConfigMap/"+obj.Name, obj.Data["fact"]+"/"+obj.Data["note"])
			}
		case *appsv1.Deployment:
			version = obj.ResourceVersion
			if e.Type == watch.Added { // later events only tell its status
				o.saw("Deployment/"+obj.Name, "")
			}
		default:
			return version, apierrors.FromObject(e.Object)
		}
	}
	return version, nil
}

func (o *observer) saw(key, content string) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if want, ok := o.missing[key]; !ok || want != content {
		return
	}
	delete(o.missing, key)
	if len(o.missing) == 0 {
		o.done <- now
	}
}

// expect begins a measurement: only what is seen from now on counts.
func (o *observer) expect(w wanted) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.missing, o.done = maps.Clone(w), make(chan time.Time, 1)
}

// wait answers when the last expected object was seen. It ends early with the
// error that died sends, if any.
func (o *observer) wait(ctx context.Context, died <-chan error) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case at := <-o.done:
		return at, nil
	case err := <-o.lost:
		return time.Time{}, err
	case err := <-died:
		return time.Time{}, err
	case <-ctx.Done():
		return time.Time{}, fmt.Errorf("%w; not seen as wanted: %s", ctx.Err(), o.left())
	}
}

// left names some of what is missing.
func (o *observer) left() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	keys := slices.Sorted(maps.Keys(o.missing))
	const some = 5
	if len(keys) > some {
		return fmt.Sprintf("%v and %d more", keys[:some], len(keys)-some)
	}
	return fmt.Sprint(keys)
}

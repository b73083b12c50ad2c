package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
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

func observe(ctx context.Context, c *cluster, namespace string) (*observer, error) {
	ctx, stop := context.WithCancel(ctx)
	o := &observer{stop: stop, lost: make(chan error, 2)}
	configMaps, err := c.typed.CoreV1().ConfigMaps(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		stop()
		return nil, err
	}
	deployments, err := c.typed.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		stop()
		configMaps.Stop()
		return nil, err
	}
	for _, w := range []watch.Interface{configMaps, deployments} {
		o.readers.Go(func() { o.read(ctx, w) })
	}
	return o, nil
}

func (o *observer) close() {
	o.stop()
	o.readers.Wait()
}

func (o *observer) read(ctx context.Context, w watch.Interface) {
	defer w.Stop()
	for e := range w.ResultChan() {
		switch obj := e.Object.(type) {
		case *corev1.ConfigMap:
			if e.Type != watch.Deleted {
				o.saw("ConfigMap/"+obj.Name, obj.Data["fact"]+"/"+obj.Data["note"])
			}
		case *appsv1.Deployment:
			if e.Type == watch.Added { // later events only tell its status
				o.saw("Deployment/"+obj.Name, "")
			}
		default:
			o.lost <- fmt.Errorf("watch: unexpected event %s %v", e.Type, e.Object)
			return
		}
	}
	if ctx.Err() == nil {
		o.lost <- errors.New("watch ended: the API server closed it")
	}
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

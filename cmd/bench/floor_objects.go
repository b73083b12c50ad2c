package main

import (
	"context"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// objectFloor writes the rendered objects and nothing else.
type objectFloor struct {
	work     workload
	cluster  *cluster
	parallel int
}

// render gives the objects of the modules from first to before last.
func (f *objectFloor) render(first, last int) ([]*unstructured.Unstructured, error) {
	charts, err := f.work.charts()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for i := first; i < last; i++ {
		values, err := chartutil.ToRenderValues(charts[i], f.work.values(i),
			chartutil.ReleaseOptions{Name: f.work.modules.Name(i), Namespace: f.work.namespace}, nil)
		if err != nil {
			return nil, err
		}
		files, err := engine.Render(charts[i], values)
		if err != nil {
			return nil, err
		}
		for name, text := range files {
			if path.Ext(name) != ".yaml" {
				continue
			}
			for document := range strings.SplitSeq(text, "\n---\n") {
				o := &unstructured.Unstructured{}
				if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				out = append(out, o)
			}
		}
	}
	return out, nil
}

func (f *objectFloor) api(o *unstructured.Unstructured) dynamic.ResourceInterface {
	resource := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	if o.GetKind() == "Deployment" {
		resource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	}
	return f.cluster.dynamic.Resource(resource).Namespace(f.work.namespace)
}

func (f *objectFloor) each(ctx context.Context, objects []*unstructured.Unstructured, do func(context.Context, *unstructured.Unstructured) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(f.parallel)
	for _, o := range objects {
		group.Go(func() error { return do(ctx, o) })
	}
	return group.Wait()
}

func (f *objectFloor) create(ctx context.Context, objects []*unstructured.Unstructured) error {
	return f.each(ctx, objects, func(ctx context.Context, o *unstructured.Unstructured) error {
		_, err := f.api(o).Create(ctx, o, metav1.CreateOptions{})
		return err
	})
}

// update writes the ConfigMaps: they are what a changed fact or setting changes.
func (f *objectFloor) update(ctx context.Context, objects []*unstructured.Unstructured) error {
	return f.each(ctx, objects, func(ctx context.Context, o *unstructured.Unstructured) error {
		if o.GetKind() != "ConfigMap" {
			return nil
		}
		_, err := f.api(o).Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
}

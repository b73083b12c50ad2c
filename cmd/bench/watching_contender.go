package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
)

// watchCommand is the first argument of a process that only watches: KIND KUBECONFIG
// follow. Each contender has a process of its own, so that memory is comparable.
const watchCommand = "watch-contender"

// The kinds of contender.
const (
	bareInformer   = "informer"
	fullBinding    = "full"
	projectBinding = "projected"
)

// watched is the selection of every contender.
var watchedLabels = map[string]string{"bench": "watched"}

// contend watches until ctx ends and writes one line for everything it sees:
// microseconds since 1970, and "listed", "heap BYTES" or the key of a change.
func contend(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("expected the kind of contender and a kubeconfig")
	}
	seen := func(what string) { fmt.Fprintln(out, time.Now().UnixMicro(), what) }
	var stop func()
	var err error
	switch args[0] {
	case bareInformer:
		stop, err = watchBare(ctx, args[1], seen)
	case fullBinding, projectBinding:
		stop, err = watchBinding(ctx, args[1], args[0] == fullBinding, seen)
	default:
		return fmt.Errorf("no contender %q", args[0])
	}
	if err != nil {
		return err
	}
	defer stop()
	seen("listed")
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	seen(fmt.Sprintf("heap %d", m.HeapAlloc))
	<-ctx.Done()
	return nil
}

// watchBare is client-go's informer with a handler and nothing else.
func watchBare(ctx context.Context, kubeconfig string, seen func(string)) (func(), error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, watchedNamespace,
		func(o *metav1.ListOptions) {
			o.LabelSelector = metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: watchedLabels})
		})
	informer := factory.ForResource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(_, now any) {
		if u, ok := now.(*unstructured.Unstructured); ok {
			key, _, _ := unstructured.NestedString(u.Object, "data", "key")
			seen(fmt.Sprintf("%q", key))
		}
	}})
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return func() { stop(); factory.Shutdown() }, err
}

// watchBinding is the monitor of a hook's binding with a handler in this process.
func watchBinding(ctx context.Context, kubeconfig string, full bool, seen func(string)) (func(), error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	clients, err := kube.NewClients(cfg)
	if err != nil {
		return nil, err
	}
	filter, err := hook.CompileFilter(".data.key")
	if err != nil {
		return nil, err
	}
	w, err := kube.NewWatcher(clients, slog.New(slog.DiscardHandler)).Watch(ctx, hook.ID{Name: "bench"}, hook.Kubernetes{
		APIVersion: "v1", Kind: "ConfigMap", Events: []hook.WatchEvent{hook.Added, hook.Modified, hook.Deleted},
		Namespaces: []string{watchedNamespace}, Labels: &metav1.LabelSelector{MatchLabels: watchedLabels},
		Filter: filter, KeepFullObjects: full,
	}, hook.WatchHandler{Event: func(_ hook.WatchEvent, i hook.Item) { seen(string(i.FilterResult)) }})
	if err != nil {
		return nil, err
	}
	w.Unlock()
	return w.Stop, nil
}

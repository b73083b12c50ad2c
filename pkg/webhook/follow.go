package webhook

import (
	"context"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

const followMax = 30 * time.Second

// follow calls changed with the name of each object that appears, changes or goes,
// and with "" when any of them may have, until ctx ends. Nothing is cached:
// whoever is called looks for himself.
func follow(ctx context.Context, client dynamic.ResourceInterface, of metav1.ListOptions, log *slog.Logger, changed func(name string)) {
	pause := time.Second
	for ctx.Err() == nil {
		err := followOnce(ctx, client, of, changed)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = time.Second
		} else {
			log.Debug("watch of webhook objects failed", "error", err, "retryIn", pause)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, followMax)
	}
}

// followOnce is one list and one watch; the API server ends a watch after some minutes.
func followOnce(ctx context.Context, client dynamic.ResourceInterface, of metav1.ListOptions, changed func(name string)) error {
	list, err := client.List(ctx, of)
	if err != nil {
		return err
	}
	changed("")
	of.ResourceVersion = list.GetResourceVersion()
	w, err := client.Watch(ctx, of)
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		o, ok := e.Object.(metav1.Object)
		if !ok || e.Type == watch.Error {
			return apierrors.FromObject(e.Object)
		}
		changed(o.GetName())
	}
	return nil
}

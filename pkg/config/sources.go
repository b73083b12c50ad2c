package config

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// object is an object of the user in the operator's namespace that values come from.
type object struct{ kind, name string }

// lay puts what valuesFrom names beneath the sections of a reading. The error is
// that of an API server that does not answer; all else is a problem of one key.
func (s *Store) lay(ctx context.Context, now *settings.Settings) error {
	objects := map[object]data{}
	var failed error
	now.Lay(func(source settings.ValuesSource) (values.Map, error) {
		at := object{source.Kind, source.Name}
		if s.ours(at) {
			return nil, errors.New("it is the operator's own; keep values in an object of yours")
		}
		d, ok := objects[at]
		if !ok {
			var err error
			if d, err = s.readObject(ctx, at); err != nil {
				failed = errors.Join(failed, err)
				return nil, err
			}
			objects[at] = d
		}
		return d.layer(source)
	}, s.known)
	return failed
}

func (s *Store) ours(o object) bool {
	if o.kind == settings.KindSecret {
		return o.name == s.secretName()
	}
	return o.name == s.cfg.Name || o.name == s.factsName()
}

// data is what an object holds, or why it cannot be read.
type data struct {
	texts  map[string]string
	absent bool
	denied error
}

func (s *Store) readObject(ctx context.Context, o object) (data, error) {
	out := data{texts: map[string]string{}}
	var err error
	if o.kind == settings.KindSecret {
		var secret *corev1.Secret
		if secret, err = s.secrets.Get(ctx, o.name, metav1.GetOptions{}); err == nil {
			for key, text := range secret.Data {
				out.texts[key] = string(text)
			}
		}
	} else {
		var cm *corev1.ConfigMap
		if cm, err = s.maps.Get(ctx, o.name, metav1.GetOptions{}); err == nil {
			out.texts = cm.Data
		}
	}
	switch {
	case apierrors.IsNotFound(err):
		return data{absent: true}, nil
	case apierrors.IsForbidden(err):
		return data{denied: err}, nil
	case err != nil:
		return data{}, fmt.Errorf("%s %s/%s cannot be read: %w", o.kind, s.cfg.Namespace, o.name, err)
	}
	return out, nil
}

// layer returns nil for what is optional and absent.
func (d data) layer(source settings.ValuesSource) (values.Map, error) {
	text, ok := d.texts[source.Key]
	switch {
	case d.denied != nil:
		return nil, fmt.Errorf("it cannot be read: %w; let the operator read it", d.denied)
	case !ok && source.Optional:
		return nil, nil
	case d.absent:
		return nil, errors.New("there is no such object in the operator's namespace; create it, or mark the source as optional")
	case !ok:
		return nil, errors.New("it has no such key; add it, name another, or mark the source as optional")
	}
	return source.Layer(text)
}

// sourceWatches follow the objects that values come from, one watch each. Only the
// goroutine that made them uses them.
type sourceWatches struct {
	*Store
	running map[object]context.CancelFunc
	workers sync.WaitGroup
}

// follow watches what a reading names, and nothing else.
func (w *sourceWatches) follow(ctx context.Context, s settings.Settings) {
	wanted := map[object]bool{}
	for _, sources := range s.ValuesFrom {
		for _, source := range sources {
			if at := (object{source.Kind, source.Name}); !w.ours(at) {
				wanted[at] = true
			}
		}
	}
	for at, stop := range w.running {
		if !wanted[at] {
			stop()
			delete(w.running, at)
		}
	}
	for at := range wanted {
		if w.running[at] == nil {
			w.start(ctx, at)
		}
	}
}

func (w *sourceWatches) start(ctx context.Context, at object) {
	var informer cache.SharedIndexInformer
	if at.kind == settings.KindSecret {
		informer = coreinformers.NewFilteredSecretInformer(w.cfg.Client, w.cfg.Namespace, 0, cache.Indexers{}, byName(at.name))
	} else {
		informer = coreinformers.NewFilteredConfigMapInformer(w.cfg.Client, w.cfg.Namespace, 0, cache.Indexers{}, byName(at.name))
	}
	// The content is read when it counts; the watch needs to know that it moved.
	err := errors.Join(informer.SetTransform(onlyVersion), onChange(informer, sameVersion, w.Look))
	if err != nil {
		w.cfg.Logger.Error("object with values cannot be watched", "kind", at.kind, "name", at.name, "error", err)
		return
	}
	ctx, stop := context.WithCancel(ctx)
	w.running[at] = stop
	w.workers.Go(func() { informer.RunWithContext(ctx) })
}

// stop ends all watches and waits for them.
func (w *sourceWatches) stop() {
	for _, stop := range w.running {
		stop()
	}
	w.workers.Wait()
}

// onlyVersion drops what an informer would keep of an object.
func onlyVersion(v any) (any, error) {
	switch o := v.(type) {
	case *corev1.Secret:
		o.Data, o.ManagedFields, o.Annotations = nil, nil, nil
	case *corev1.ConfigMap:
		o.Data, o.BinaryData, o.ManagedFields, o.Annotations = nil, nil, nil, nil
	}
	return v, nil
}

func sameVersion(a, b metav1.Object) bool { return a.GetResourceVersion() == b.GetResourceVersion() }

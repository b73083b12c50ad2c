package leader

import (
	"context"
	"fmt"
	"reflect"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// lease reads and writes the object. Every write names the resourceVersion that it
// was made from, so that of two writers one fails.
type lease struct {
	cfg    Config
	client client.LeaseInterface
}

func newLease(cfg Config) (*lease, error) {
	rc := rest.CopyConfig(cfg.REST)
	rc.QPS, rc.RateLimiter = -1, nil
	// One connection a request in HTTP/1.1: one that hangs is given up with its request
	// and not used by the next, as the shared connection of HTTP/2 would be.
	rc.NextProtos = []string{"http/1.1"}
	c, err := client.NewForConfig(rc)
	if err != nil {
		return nil, err
	}
	return &lease{cfg: cfg, client: c.Leases(cfg.Namespace)}, nil
}

// get is nil when there is none.
func (l *lease) get(ctx context.Context) (*coordinationv1.Lease, error) {
	got, err := l.client.Get(ctx, l.cfg.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Lease %s/%s: %w", l.cfg.Namespace, l.cfg.Name, err)
	}
	return got, nil
}

// take makes this replica the holder of a Lease that is free, as it was seen. It
// answers nil when somebody else was faster.
func (l *lease) take(ctx context.Context, before *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	at := metav1.NewMicroTime(time.Now())
	if before == nil {
		next := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: l.cfg.Namespace, Name: l.cfg.Name}}
		l.fill(next, at)
		next.Spec.AcquireTime, next.Spec.LeaseTransitions = &at, ptr.To(int32(0))
		got, err := l.client.Create(ctx, next, metav1.CreateOptions{})
		return l.won(got, err)
	}
	next := before.DeepCopy()
	l.fill(next, at)
	next.Spec.AcquireTime, next.Spec.LeaseTransitions = &at, ptr.To(ptr.Deref(before.Spec.LeaseTransitions, 0)+1)
	got, err := l.client.Update(ctx, next, metav1.UpdateOptions{})
	return l.won(got, err)
}

func (l *lease) fill(next *coordinationv1.Lease, at metav1.MicroTime) {
	next.Spec.HolderIdentity = &l.cfg.Identity
	next.Spec.LeaseDurationSeconds = ptr.To(int32(l.cfg.Duration / time.Second))
	next.Spec.RenewTime = &at
}

func (l *lease) won(got *coordinationv1.Lease, err error) (*coordinationv1.Lease, error) {
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("take Lease %s/%s: %w", l.cfg.Namespace, l.cfg.Name, err)
	}
	return got, nil
}

// renew writes a new renewTime. ErrLost is that another holds the Lease, or that
// somebody took it away; any other error may be tried again.
func (l *lease) renew(ctx context.Context, before *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	next := before.DeepCopy()
	l.fill(next, metav1.NewMicroTime(time.Now()))
	got, err := l.client.Update(ctx, next, metav1.UpdateOptions{})
	if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return got, err
	}
	// Changed by another, by a request of ours whose answer was lost, or deleted.
	live, err := l.get(ctx)
	switch {
	case err != nil:
		return nil, err
	case live == nil:
		next.ResourceVersion, next.UID = "", ""
		got, err := l.client.Create(ctx, next, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("%w: the Lease was deleted and another replica made it anew", ErrLost)
		}
		return got, err
	case holderOf(live) != l.cfg.Identity:
		return nil, fmt.Errorf("%w: the Lease is held by %q now", ErrLost, holderOf(live))
	case !sameTerm(live, before):
		return nil, fmt.Errorf("%w: another process leads under the same identity %q; each needs its own", ErrLost, l.cfg.Identity)
	}
	l.fill(live, metav1.NewMicroTime(time.Now()))
	return l.client.Update(ctx, live, metav1.UpdateOptions{})
}

// release frees the Lease if it is still ours, in the way of client-go: no holder
// and a duration of a second.
func (l *lease) release(ctx context.Context) error {
	live, err := l.get(ctx)
	if err != nil || live == nil || holderOf(live) != l.cfg.Identity {
		return err
	}
	at := metav1.NewMicroTime(time.Now())
	live.Spec.HolderIdentity, live.Spec.LeaseDurationSeconds = ptr.To(""), ptr.To(int32(1))
	live.Spec.AcquireTime, live.Spec.RenewTime = &at, &at
	_, err = l.client.Update(ctx, live, metav1.UpdateOptions{})
	return err
}

// watch puts the newest Lease into changes, nil when it was deleted, until ctx ends.
// It begins anew when the server ends it, or refuses it: then polling has to do.
func (l *lease) watch(ctx context.Context, changes chan *coordinationv1.Lease) {
	for ctx.Err() == nil {
		w, err := l.client.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + l.cfg.Name})
		if err == nil {
			l.follow(w, changes)
		}
		t := time.NewTimer(l.cfg.Renew)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

func (l *lease) follow(w watch.Interface, changes chan *coordinationv1.Lease) {
	defer w.Stop()
	for e := range w.ResultChan() {
		got, ok := e.Object.(*coordinationv1.Lease)
		if !ok {
			return
		}
		if e.Type == watch.Deleted {
			got = nil
		}
		select { // only the newest counts
		case <-changes:
		default:
		}
		changes <- got
	}
}

func holderOf(l *coordinationv1.Lease) string { return ptr.Deref(l.Spec.HolderIdentity, "") }

func lastsOf(l *coordinationv1.Lease) time.Duration {
	return time.Duration(ptr.Deref(l.Spec.LeaseDurationSeconds, 0)) * time.Second
}

func sameSpec(a, b *coordinationv1.Lease) bool {
	return a.UID == b.UID && reflect.DeepEqual(a.Spec, b.Spec)
}

// sameTerm says whether both are of one stay in office.
func sameTerm(a, b *coordinationv1.Lease) bool {
	return a.UID == b.UID && ptr.Deref(a.Spec.LeaseTransitions, 0) == ptr.Deref(b.Spec.LeaseTransitions, 0) &&
		a.Spec.AcquireTime.Equal(b.Spec.AcquireTime)
}

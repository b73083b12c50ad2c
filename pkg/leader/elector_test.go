package leader

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// arena is a namespace with replicas that want the Lease.
type arena struct {
	t         *testing.T
	client    kubernetes.Interface
	namespace string
}

func newArena(t *testing.T) *arena {
	t.Helper()
	c, err := kubernetes.NewForConfig(testkit.Cluster(t))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "lease-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return &arena{t: t, client: c, namespace: ns.Name}
}

// replica is one that runs until stop; leads is closed when it leads, and its work
// ends when finish is closed and its context has ended.
type replica struct {
	*Elector
	leads  chan struct{}
	finish chan struct{}
	stop   context.CancelFunc
	ended  chan error
}

func (a *arena) join(identity string) *replica {
	a.t.Helper()
	e, err := New(Config{REST: testkit.Cluster(a.t), Namespace: a.namespace, Identity: identity, Duration: 3 * time.Second,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &replica{Elector: e, leads: make(chan struct{}), finish: make(chan struct{}), stop: stop, ended: make(chan error, 1)}
	go func() {
		r.ended <- e.Run(ctx, func(ctx context.Context) error {
			close(r.leads)
			<-ctx.Done()
			select {
			case <-r.finish:
			case <-e.Lost():
			}
			return context.Cause(ctx)
		})
	}()
	return r
}

func (a *arena) lease() *coordinationv1.Lease {
	a.t.Helper()
	l, err := a.client.CoordinationV1().Leases(a.namespace).Get(a.t.Context(), LeaseName, metav1.GetOptions{})
	if err != nil {
		a.t.Fatal(err)
	}
	return l
}

func within[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("did not happen within a minute: %s", what)
	}
	return v
}

// C-450
func TestOneReplicaLeadsAndTheOtherFollowsOnceItsWorkHasEnded(t *testing.T) {
	a := newArena(t)
	first := a.join("a")
	within(t, first.leads, "a leads")
	second := a.join("b")
	testkit.Eventually(t, func() bool { return second.Leader() == "a" }, func() string { return "b sees that a leads" })
	if err := first.Fence().Write(); err != nil {
		t.Errorf("the leader may not write: %v", err)
	}
	if err := second.Fence().Write(); !errors.Is(err, ErrStandby) {
		t.Errorf("the standby is told %v", err)
	}

	// The leader is told to end, but its work goes on: it keeps the Lease meanwhile.
	renewed := a.lease().Spec.RenewTime
	first.stop()
	for range 2 {
		testkit.Eventually(t, func() bool { return !a.lease().Spec.RenewTime.Equal(renewed) }, func() string { return "the Lease is renewed" })
		renewed = a.lease().Spec.RenewTime
	}
	if err := first.Fence().Write(); err != nil {
		t.Errorf("work that goes on may not write: %v", err)
	}
	close(first.finish)
	if err := within(t, first.ended, "a ends"); !errors.Is(err, context.Canceled) {
		t.Errorf("a ended with %v", err)
	}
	within(t, second.leads, "b leads")
	if err := first.Fence().Write(); !errors.Is(err, ErrLost) {
		t.Errorf("after the release a may write: %v", err)
	}
	l := a.lease()
	if holderOf(l) != "b" || ptr.Deref(l.Spec.LeaseTransitions, 0) != 1 || ptr.Deref(l.Spec.LeaseDurationSeconds, 0) != 3 {
		t.Errorf("the Lease is %+v", l.Spec)
	}
	second.stop()
	close(second.finish)
	within(t, second.ended, "b ends")
	if l := a.lease(); holderOf(l) != "" || ptr.Deref(l.Spec.LeaseDurationSeconds, 0) != 1 {
		t.Errorf("the Lease is not released: %+v", l.Spec)
	}
}

func TestAStandbyThatIsToldToEndLeavesTheLeaseAlone(t *testing.T) {
	a := newArena(t)
	first := a.join("a")
	within(t, first.leads, "a leads")
	second := a.join("b")
	testkit.Eventually(t, func() bool { return second.Leader() == "a" }, func() string { return "b sees that a leads" })
	second.stop()
	if err := within(t, second.ended, "b ends"); err != nil {
		t.Errorf("b ended with %v", err)
	}
	if holderOf(a.lease()) != "a" {
		t.Errorf("the Lease is %+v", a.lease().Spec)
	}
	first.stop()
	close(first.finish)
	within(t, first.ended, "a ends")
}

// A holder that does not renew, dead or of the predecessor, is left its own time.
func TestALeaseIsTakenWhenItsHolderHasNotRenewedItForItsDuration(t *testing.T) {
	a := newArena(t)
	at := metav1.NewMicroTime(time.Now().Add(time.Hour)) // whose clock is wrong by much
	_, err := a.client.CoordinationV1().Leases(a.namespace).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: LeaseName},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("dead"), LeaseDurationSeconds: ptr.To(int32(2)), AcquireTime: &at,
			RenewTime: &at, LeaseTransitions: ptr.To(int32(7))},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rs := []*replica{a.join("a"), a.join("b")}
	led := 0
	select {
	case <-rs[0].leads:
	case <-rs[1].leads:
		led = 1
	case <-time.After(time.Minute):
		t.Fatal("nobody leads within a minute")
	}
	other := rs[1-led]
	testkit.Eventually(t, func() bool { return other.Leader() == rs[led].cfg.Identity }, func() string { return "the other sees who leads" })
	if n := ptr.Deref(a.lease().Spec.LeaseTransitions, 0); n != 8 {
		t.Errorf("%d transitions", n)
	}
	for _, r := range []*replica{other, rs[led]} {
		close(r.finish)
		r.stop()
		within(t, r.ended, "it ends")
	}
}

func TestALeaderWhoseLeaseIsTakenStops(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*coordinationv1.Lease)
		why    string
	}{
		"by another holder":  {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("other") }, `held by "other"`},
		"by an edit":         {func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("") }, `held by ""`},
		"by a namesake":      {func(l *coordinationv1.Lease) { l.Spec.LeaseTransitions = ptr.To(int32(9)) }, "same identity"},
		"by nobody: a label": {func(l *coordinationv1.Lease) { l.Labels = map[string]string{"a": "b"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArena(t)
			r := a.join("a")
			within(t, r.leads, "a leads")
			testkit.Eventually(t, func() bool {
				l := a.lease()
				c.change(l)
				_, err := a.client.CoordinationV1().Leases(a.namespace).Update(t.Context(), l, metav1.UpdateOptions{})
				return err == nil
			}, func() string { return "the Lease is changed" })
			if c.why == "" {
				renewed := a.lease().Spec.RenewTime
				testkit.Eventually(t, func() bool { return !a.lease().Spec.RenewTime.Equal(renewed) }, func() string { return "the Lease is renewed" })
				r.stop()
				close(r.finish)
				within(t, r.ended, "a ends")
				return
			}
			err := within(t, r.ended, "a ends")
			if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("a ended with %v, expected %q", err, c.why)
			}
			if err := r.Fence().Send(); !errors.Is(err, ErrLost) {
				t.Errorf("its fence is up: %v", err)
			}
			r.stop()
		})
	}
}

// Nobody takes a deleted Lease at once: its holder may not know of it yet.
func TestADeletedLeaseIsMadeAnewByItsHolder(t *testing.T) {
	a := newArena(t)
	first := a.join("a")
	within(t, first.leads, "a leads")
	second := a.join("b")
	testkit.Eventually(t, func() bool { return second.Leader() == "a" }, func() string { return "b sees that a leads" })
	uid := a.lease().UID
	if err := a.client.CoordinationV1().Leases(a.namespace).Delete(t.Context(), LeaseName, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, func() bool {
		l, err := a.client.CoordinationV1().Leases(a.namespace).Get(t.Context(), LeaseName, metav1.GetOptions{})
		return err == nil && l.UID != uid && holderOf(l) == "a"
	}, func() string { return "a has made the Lease anew" })
	second.stop()
	within(t, second.ended, "b ends")
	first.stop()
	close(first.finish)
	if err := within(t, first.ended, "a ends"); !errors.Is(err, context.Canceled) {
		t.Errorf("a ended with %v", err)
	}
}

func TestAConfigThatCannotWorkIsAnError(t *testing.T) {
	good := func() Config {
		return Config{REST: testkit.Cluster(t), Namespace: "n", Identity: "i", Logger: slog.New(slog.DiscardHandler)}
	}
	for name, change := range map[string]func(*Config){
		"no identity":                       func(c *Config) { c.Identity = "" },
		"parts of a second":                 func(c *Config) { c.Duration = 2500 * time.Millisecond },
		"a deadline as long as the lease":   func(c *Config) { c.Deadline = 10 * time.Second },
		"one renewal within the deadline":   func(c *Config) { c.Renew = 5 * time.Second },
		"a lease that lasts for no seconds": func(c *Config) { c.Duration = time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			change(&c)
			if _, err := New(c); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := New(good()); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

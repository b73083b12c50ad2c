package main

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func balancer(name, shows string) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer},
	}
	if shows != "" {
		svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: shows}}
	}
	return svc
}

func emptyPool() addressPool { return addressPool{used: map[netip.Addr]string{}} }

func TestAddressesAreGivenOutOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before []any
		want   string
	}{
		"the lowest is given first":            {nil, "198.51.100.1"},
		"one that is shown is not given again": {[]any{balancer("a", "198.51.100.1")}, "198.51.100.2"},
		"a gap is filled":                      {[]any{balancer("a", "198.51.100.1"), balancer("b", "198.51.100.3")}, "198.51.100.2"},
		"foreign addresses do not matter":      {[]any{balancer("a", "203.0.113.1")}, "198.51.100.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := emptyPool()
			pool.rebuild(test.before)
			got, err := pool.take(balancer("new", ""))
			if err != nil || got.String() != test.want {
				t.Errorf("took %s, %v; want %s", got, err, test.want)
			}
		})
	}
}

func TestAnAddressTheCacheDoesNotShowYetStaysWithItsLivingOwner(t *testing.T) {
	t.Parallel()
	pool := emptyPool()
	first, err := pool.take(balancer("a", ""))
	if err != nil {
		t.Fatal(err)
	}
	pool.rebuild([]any{balancer("a", "")})
	if again, err := pool.take(balancer("a", "")); err != nil || again != first {
		t.Errorf("the owner took %s, %v; want its %s", again, err, first)
	}
	if other, err := pool.take(balancer("b", "")); err != nil || other == first {
		t.Errorf("another took %s, %v", other, err)
	}
	pool.rebuild(nil)
	if reused, err := pool.take(balancer("c", "")); err != nil || reused != first {
		t.Errorf("after its owner is gone %s, %v was taken; want %s", reused, err, first)
	}
}

func TestTheAskedAddressIsGivenIfItIsFreeAndOurs(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"198.51.100.77": "198.51.100.77",
		"198.51.100.1":  "198.51.100.2", // in use
		"203.0.113.7":   "198.51.100.2", // not ours
	} {
		pool := emptyPool()
		pool.rebuild([]any{balancer("a", "198.51.100.1")})
		svc := balancer("new", "")
		svc.Spec.LoadBalancerIP = asked
		if got, err := pool.take(svc); err != nil || got.String() != want {
			t.Errorf("asked for %s and got %s, %v; want %s", asked, got, err, want)
		}
	}
}

func TestAFullPoolIsAnError(t *testing.T) {
	t.Parallel()
	pool := emptyPool()
	for i := range 254 {
		if _, err := pool.take(balancer(fmt.Sprint("s", i), "")); err != nil {
			t.Fatalf("address %d: %v", i, err)
		}
	}
	if got, err := pool.take(balancer("more", "")); err == nil {
		t.Errorf("took %s from a full pool", got)
	}
}

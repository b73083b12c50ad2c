package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestAMeasurementEndsWithTheLastWantedObject(t *testing.T) {
	o := &observer{lost: make(chan error)}
	w := wanted{}
	w.deployment("m000")
	w.configMap("m000-0", "new", "none")
	o.saw("Deployment/m000", "") // before it began: does not count
	o.expect(w)
	o.saw("ConfigMap/m000-0", "old/none")
	o.saw("ConfigMap/another", "new/none")
	o.saw("Deployment/m000", "")
	if left := o.left(); left != "[ConfigMap/m000-0]" {
		t.Fatalf("left: %s", left)
	}
	o.saw("ConfigMap/m000-0", "new/none")
	if at, err := o.wait(t.Context(), nil); err != nil || at.IsZero() {
		t.Errorf("got %v, %v", at, err)
	}
	if len(w) != 2 {
		t.Error("the caller's set was changed")
	}
}

func TestAMeasurementFailsWithTheOperator(t *testing.T) {
	o := &observer{lost: make(chan error)}
	o.expect(wanted{"Deployment/m000": ""})
	died := make(chan error, 1)
	died <- errors.New("it died")
	if _, err := o.wait(t.Context(), died); err == nil || err.Error() != "it died" {
		t.Errorf("got %v", err)
	}
}

func TestACancelledMeasurementNamesWhatIsMissing(t *testing.T) {
	o := &observer{lost: make(chan error)}
	o.expect(wanted{"Deployment/m000": ""})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.wait(ctx, nil); err == nil || !strings.Contains(err.Error(), "Deployment/m000") {
		t.Errorf("got %v", err)
	}
}

func TestAWatchThatTheServerEndsGoesOnWhereItWas(t *testing.T) {
	first, second := watch.NewFake(), watch.NewFake()
	versions := make(chan string, 1)
	ctx, cancel := context.WithCancel(t.Context())
	o := &observer{stop: cancel, lost: make(chan error, 1)}
	o.expect(wanted{"Deployment/m000": "", "ConfigMap/m000-0": "new/none"})
	again := func(_ context.Context, opts metav1.ListOptions) (watch.Interface, error) {
		versions <- opts.ResourceVersion
		return second, nil
	}
	o.readers.Go(func() { o.follow(ctx, again, first, "1") })
	first.Add(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "m000", ResourceVersion: "7"}})
	first.Stop()
	if v := <-versions; v != "7" {
		t.Errorf("went on from version %s", v)
	}
	second.Modify(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m000-0", ResourceVersion: "8"}, Data: map[string]string{"fact": "new", "note": "none"}})
	if _, err := o.wait(ctx, nil); err != nil {
		t.Error(err)
	}
	cancel()
	second.Stop()
	o.close()
}

package main

import (
	"context"
	"errors"
	"strings"
	"testing"
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

//go:build soak

package kube

import "testing"

func TestSoakBurstOfChanges(t *testing.T) { changeInABurst(t, 10_000) }

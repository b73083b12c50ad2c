package operator_test

import (
	"testing"
)

// A module comes from a registry, follows its channel, and a version whose pods cannot be
// scheduled is undone, with the registry down.
func TestAChannelIsFollowedAndABadVersionIsUndone(t *testing.T) {
	s := newShop(t)
	s.settings(map[string]string{"webEnabled": "true", "web": "replicas: 1\n"})
	s.promote("stable", "web", s.module("web", "1.0.0", shown("web", "v", "1.0.0"), nil), nil)
	s.start()
	s.follow("  modules: [web]\n  update: {soak: 1s, timeout: 6s}\n")
	s.runs("web", "1.0.0")
	s.phase("web", "1.0.0", "Deployed")
	s.shown("1.0.0", configMaps, "web", "data", "v")

	s.promote("stable", "web", s.module("web", "1.1.0", shown("web", "v", "1.1.0"), nil), nil)
	s.runs("web", "1.1.0")
	s.phase("web", "1.1.0", "Deployed")
	s.phase("web", "1.0.0", "Superseded")
	s.shown("1.1.0", configMaps, "web", "data", "v")

	bad := s.module("web", "1.2.0", shown("web", "v", "1.2.0")+unschedulable, nil)
	s.promote("stable", "web", bad, nil)
	s.phase("web", "1.2.0", "Verifying")
	s.Down()
	s.phase("web", "1.2.0", "RolledBack", "1.2.0", "Unschedulable")
	s.runs("web", "1.1.0")
	s.phase("web", "1.1.0", "Deployed")
	s.shown("1.1.0", configMaps, "web", "data", "v")
	s.wants("web", "Ready", "True")
	from := s.explained("web").From
	if from == nil || from.Source != s.source || from.Channel != "stable" || from.Available != "1.2.0" || from.Reason != "Rejected" {
		t.Errorf("explain says %+v of where it is from", from)
	}
}

// unschedulable is a Deployment whose pod fits no node.
const unschedulable = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: big}
spec:
  replicas: 1
  selector: {matchLabels: {app: big}}
  template:
    metadata: {labels: {app: big}}
    spec: {nodeSelector: {there: is-none}, containers: [{name: a, image: example.org/a}]}
`

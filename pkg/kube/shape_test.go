package kube

import (
	"encoding/json"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/drift"
	"github.com/addon-operator/addon-operator/pkg/values"
)

func TestPrintsMoveWithFieldsOfTheManifest(t *testing.T) {
	deployment := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {app: a}}, spec: {replicas: 2, template: {spec: {
	  containers: [{name: web, image: nginx, ports: [{containerPort: 80}], resources: {limits: {cpu: 1000m}}}], volumes: [{name: tmp, emptyDir: {}}]}}}}`
	live := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {app: a}, resourceVersion: "7"}, spec: {replicas: 2, strategy: {}, template: {spec: {
	  containers: [{name: web, image: nginx, imagePullPolicy: Always, ports: [{containerPort: 80, protocol: TCP}], resources: {limits: {cpu: "1"}}}],
	  volumes: [{name: tmp, emptyDir: {}}]}}}, status: {replicas: 2}}`
	role := `{kind: Role, rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]}`
	for name, c := range map[string]struct {
		manifest, live, then string
		drifts               bool
	}{
		"the same object does not drift":            {deployment, live, live, false},
		"a status does not count":                   {deployment, live, replace(live, "status: {replicas: 2}", "status: {replicas: 1, x: y}"), false},
		"metadata of the server does not count":     {deployment, live, replace(live, `"7"`, `"8"`), false},
		"a field we do not set does not count":      {deployment, live, replace(live, "strategy: {}", "strategy: {type: Recreate}"), false},
		"an added label does not count":             {deployment, live, replace(live, "labels: {app: a}", "labels: {app: a, b: c}"), false},
		"a sidecar before ours does not count":      {deployment, live, replace(live, "containers: [", "containers: [{name: side}, "), false},
		"a default that moves does not count":       {deployment, live, replace(live, "imagePullPolicy: Always", "imagePullPolicy: Never"), false},
		"a changed number drifts":                   {deployment, live, replace(live, "replicas: 2, strategy", "replicas: 3, strategy"), true},
		"a changed label drifts":                    {deployment, live, replace(live, "labels: {app: a}", "labels: {app: b}"), true},
		"a removed label drifts":                    {deployment, live, replace(live, "labels: {app: a}", "labels: {}"), true},
		"a changed quantity drifts":                 {deployment, live, replace(live, `cpu: "1"`, `cpu: "2"`), true},
		"a changed image in a keyed list drifts":    {deployment, live, replace(live, "image: nginx,", "image: apache,"), true},
		"an item of ours that is gone drifts":       {deployment, live, replace(live, "name: web", "name: other"), true},
		"a volume of another kind drifts":           {deployment, live, replace(live, "emptyDir: {}", "hostPath: {path: /}"), true},
		"an added rule in an atomic list drifts":    {role, role, replace(role, "rules: [", "rules: [{verbs: ['*']}, "), true},
		"an added verb in a list of scalars drifts": {role, role, replace(role, "[get]", "[get, list]"), true},
		"stringData is compared as data": {`{apiVersion: v1, kind: Secret, stringData: {a: x}}`,
			`{apiVersion: v1, kind: Secret, data: {a: eA==}}`, `{apiVersion: v1, kind: Secret, data: {a: eQ==}}`, true},
		"data beside stringData does not count": {`{apiVersion: v1, kind: Secret, stringData: {a: x}}`,
			`{apiVersion: v1, kind: Secret, data: {a: eA==}}`, `{apiVersion: v1, kind: Secret, data: {a: eA==, b: eA==}}`, false},
		"null and an empty list set nothing": {`{kind: X, spec: {a: null, b: []}}`, `{kind: X, spec: {}}`, `{kind: X, spec: {a: 1, b: [1]}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := manifestShape(parse(t, c.manifest))
			seed := maphash.MakeSeed()
			differs := s.prints(seed, parse(t, c.then)).differing(s.prints(seed, parse(t, c.live)))
			if drifts := len(differs) > 0; drifts != c.drifts {
				t.Errorf("drift is %t, expected %t: %v", drifts, c.drifts, s.places(differs))
			}
		})
	}
}

// FuzzPrints: no pair of JSON texts may panic, and equal objects have equal prints.
func FuzzPrints(f *testing.F) {
	f.Add([]byte(`{"kind":"Secret","apiVersion":"v1","stringData":{"a":"b"},"data":[1]}`), []byte(`{"data":{"a":{}}}`))
	f.Add([]byte(`{"spec":{"l":[{"name":"a"},{"name":"b","x":[[]]}]}}`), []byte(`{"spec":{"l":[1,{"name":{}},null]}}`))
	f.Add([]byte(`{"metadata":[],"spec":[{"port":1},{"port":1}]}`), []byte(`{"metadata":{"labels":3},"spec":[{}]}`))
	f.Fuzz(func(t *testing.T, manifest, live []byte) {
		m, errM := values.Decode(manifest)
		l, errL := values.Decode(live)
		from, okM := m.(map[string]any)
		to, okL := l.(map[string]any)
		if errM != nil || errL != nil || !okM || !okL {
			return
		}
		s := manifestShape(from)
		again, err := json.Marshal(to)
		if err != nil {
			return
		}
		copied, err := values.Decode(again)
		if err != nil {
			return
		}
		seed := maphash.MakeSeed()
		now := s.prints(seed, to)
		if places := s.places(now.differing(nil)); len(places) != len(now) {
			t.Errorf("%d prints, %d places", len(now), len(places))
		}
		s.rewritten(from, to)
		if len(now.differing(s.prints(seed, copied.(map[string]any)))) > 0 {
			t.Errorf("digest moved though nothing changed: %s on %s", manifest, live)
		}
	})
}

// What the API server made of a manifest counts when it means something else.
func TestRewrittenFields(t *testing.T) {
	for name, c := range map[string]struct {
		manifest, live string
		want           []string
	}{
		"a changed text": {`{data: {a: "1", k: v}}`, `{data: {a: "1", k: w}}`, []string{"/data/k"}},
		"other ways to write a value": {`{spec: {cpu: 1000m, n: 1.0, d: 60s, t: "2026-01-01T00:00:00Z", mem: 1024Mi}}`,
			`{spec: {cpu: "1", n: 1, d: 1m0s, t: "2026-01-01T00:00:00+00:00", mem: 1Gi}}`, nil},
		"defaults and additions":       {`{spec: {l: [{name: a, x: b}]}}`, `{spec: {more: 1, l: [{name: side}, {name: a, x: b, y: c}]}}`, nil},
		"values that the server fills": {`{spec: {clusterIP: "", nodePort: 0}}`, `{spec: {clusterIP: 10.0.0.1, nodePort: 30000}}`, nil},
		"a scale of zero":              {`{spec: {replicas: 0}}`, `{spec: {replicas: 1}}`, []string{"/spec/replicas"}},
		"an image":                     {`{spec: {containers: [{name: a, image: x}]}}`, `{spec: {containers: [{name: a, image: mirror/x}]}}`, []string{"/spec/containers/a/image"}},
		"a flag":                       {`{spec: {privileged: true}}`, `{spec: {privileged: false}}`, []string{"/spec/privileged"}},
		"a pruned field":               {`{spec: {unknown: x}}`, `{spec: {}}`, nil},
		"an argument that is added":    {`{spec: {args: [a]}}`, `{spec: {args: [a, b]}}`, nil},
		"an argument that is replaced": {`{spec: {args: [a]}}`, `{spec: {args: [b]}}`, []string{"/spec/args"}},
		"data of a Secret":             {`{apiVersion: v1, kind: Secret, stringData: {a: x}, data: {b: "eA=="}}`, `{apiVersion: v1, kind: Secret, data: {a: eQ==, b: eA==}}`, nil},
	} {
		m := parse(t, c.manifest)
		s := manifestShape(m)
		var got []string
		for _, place := range s.places(s.rewritten(m, parse(t, c.live))) {
			got = append(got, drift.PointerTo(place))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, expected %q", name, got, c.want)
		}
	}
}

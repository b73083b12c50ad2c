package hook

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// C-050: a period is a duration; what is none never stopped a hook.
func TestResynchronizationPeriod(t *testing.T) {
	for text, c := range map[string]struct {
		want    time.Duration
		warning string
	}{
		"10m":  {10 * time.Minute, ""},
		"0s":   {0, ""},
		"10ms": {time.Second, "kubernetes[0].resynchronizationPeriod is 1s"},
		"soon": {0, `kubernetes[0].resynchronizationPeriod is ignored: expected a duration such as 10m, got "soon"`},
		"-1m":  {0, "is ignored"},
	} {
		spec, err := ParseConfig(fmt.Appendf(nil, "configVersion: v1\nkubernetes: [{kind: Pod, resynchronizationPeriod: %s}]", text), someModule)
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.Kubernetes[0].Resync; got != c.want {
			t.Errorf("%s is %s, expected %s", text, got, c.want)
		}
		if warnings := strings.Join(spec.Warnings, "\n"); (c.warning == "") != (warnings == "") || !strings.Contains(warnings, c.warning) {
			t.Errorf("%s warns %q, expected %q", text, warnings, c.warning)
		}
	}
}

package operator_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// One broken and one hanging hook among 20 modules cost the others nothing but
// the patience, once; with equal weights not even that.
func TestBrokenAndHangingHooksStopNobodyElse(t *testing.T) {
	t.Run("distinct weights", func(t *testing.T) { brokenAndHanging(t, true) })
	t.Run("equal weights", func(t *testing.T) { brokenAndHanging(t, false) })
}

func brokenAndHanging(t *testing.T, distinct bool) {
	t.Helper()
	b := newBed(t)
	set := testkit.Synthetic{Modules: 20, ConfigMaps: 2, DistinctWeights: distinct, Broken: []int{4}, Hanging: []int{8}}
	if !distinct {
		b.Config.OrderPatience = time.Hour // nobody needs it
	}
	if err := set.Write(b.Dir); err != nil {
		t.Fatal(err)
	}
	b.fact("one")
	b.settings(map[string]string{})
	b.start()
	for i := range set.Modules {
		if i == 4 || i == 8 {
			continue
		}
		name := set.Name(i)
		b.eventually(func() bool {
			_, err := b.Client.AppsV1().Deployments(b.Namespace).Get(b.ctx, name, metav1.GetOptions{})
			return err == nil && b.shows(name+"-1", "fact", "one")
		}, "the objects of %s exist", name)
		b.ready(name)
	}
	b.eventually(func() bool {
		c := b.condition("m004", "Ready")
		return strings.HasPrefix(c, "False HookFailed") && strings.Contains(c, "hooks/before.sh") && strings.Contains(c, "this hook is broken on purpose")
	}, "status of m004 names the failing hook and its stderr: %s", pretty(b.module("m004")))
	b.eventually(func() bool {
		c := b.condition("m008", "Ready")
		return strings.HasPrefix(c, "False Running") && strings.Contains(c, "hooks/before.sh")
	}, "status of m008 names the hanging hook: %s", pretty(b.module("m008")))
}

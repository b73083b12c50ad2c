package report

import (
	"slices"
	"strconv"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/status"
)

func TestAModuleOfASourceSaysWhetherItRunsWhatIsOffered(t *testing.T) {
	t.Parallel()
	for sentence, c := range map[string]struct {
		origin status.Origin
		want   []string // status, reason, message; nil for no condition
	}{
		"it lies on disk":         {status.Origin{}, nil},
		"it runs what is offered": {status.Origin{Source: "corp", Channel: "ea"}, []string{"true", "Offered", "the version that is offered runs"}},
		"another version begins":  {status.Origin{Source: "corp", Available: "1.3.0"}, []string{"false", "Progressing", "version 1.3.0 is on its way"}},
		"another version waits":   {status.Origin{Source: "corp", Available: "1.3.0", Reason: "Freeze", Message: "m"}, []string{"false", "Freeze", "m"}},
		"a choice leads nowhere":  {status.Origin{Reason: "SourceMissing", Message: "m"}, []string{"false", "SourceMissing", "m"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			t.Parallel()
			var got []string
			if x, ok := upToDate(c.origin); ok {
				got = []string{strconv.FormatBool(x.holds), x.reason, x.message}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
}

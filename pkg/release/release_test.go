package release

import (
	"testing"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// C-436, C-437.
func TestDecide(t *testing.T) {
	want := installed.Rendered{RenderDigest: "d"}
	for name, c := range map[string]struct {
		have installed.Release
		want Action
	}{
		"no release":                    {installed.Release{}, Install},
		"the same render":               {installed.Release{Revision: 1, Status: installed.Deployed, RenderDigest: "d"}, None},
		"another render":                {installed.Release{Revision: 1, Status: installed.Deployed, RenderDigest: "e"}, Upgrade},
		"a render of another version":   {installed.Release{Revision: 1, Status: installed.Deployed}, Upgrade},
		"a failed revision":             {installed.Release{Revision: 1, Status: installed.Failed, RenderDigest: "d"}, Upgrade},
		"cut short at install (C-437)":  {installed.Release{Revision: 1, Status: installed.PendingInstall}, Recover},
		"cut short at upgrade (C-437)":  {installed.Release{Revision: 2, Status: installed.PendingUpgrade}, Recover},
		"cut short at rollback (C-437)": {installed.Release{Revision: 2, Status: installed.PendingRollback}, Recover},
		"cut short at uninstall":        {installed.Release{Revision: 2, Status: installed.Uninstalling}, Uninstall},
		"a superseded newest revision":  {installed.Release{Revision: 2, Status: installed.Superseded, RenderDigest: "d"}, Upgrade},
	} {
		if d := Decide(c.have, want); d.Action != c.want || d.Why == "" {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

func TestUnmovedNeedsADeployedReleaseOfTheSameInputs(t *testing.T) {
	good := installed.Release{Revision: 1, Status: installed.Deployed, InputDigest: "i"}
	failed, other := good, good
	failed.Status, other.InputDigest = installed.Failed, ""
	if !Unmoved(good, "i") || Unmoved(good, "j") || Unmoved(failed, "i") || Unmoved(other, "") || Unmoved(installed.Release{}, "i") {
		t.Error("Unmoved")
	}
}

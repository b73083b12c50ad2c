// Package release maps what is installed and what is wanted to the one action to take.
package release

import (
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// Action is what to do with a module's release.
type Action string

const (
	// None: the release is as wanted.
	None Action = "None"
	// Install: there is no release.
	Install Action = "Install"
	// Upgrade: the render moved, or the last revision did not become deployed.
	Upgrade Action = "Upgrade"
	// Recover: a Helm action was cut short; mark it failed, then upgrade.
	Recover Action = "Recover"
	// Uninstall: the module is off and a release exists.
	Uninstall Action = "Uninstall"
)

// Decision is an action and the sentence that explains it.
type Decision struct {
	Action Action
	Why    string
}

// Unmoved reports whether the wanted input digest is the one that the deployed
// release was rendered from, so that nothing needs to be rendered.
func Unmoved(have installed.Release, inputDigest string) bool {
	return have.Exists() && have.Status == installed.Deployed && inputDigest != "" && have.InputDigest == inputDigest
}

// TurnedDown reports whether the wanted inputs were applied before, failed, and were rolled
// back by policy: they are not tried again.
func TurnedDown(have installed.Release, inputDigest string) bool {
	return have.Exists() && inputDigest != "" && have.Rejected == inputDigest
}

// Decide compares a release with a render.
func Decide(have installed.Release, want installed.Rendered) Decision {
	switch {
	case !have.Exists():
		return Decision{Install, "there is no release"}
	case have.Status.Pending():
		return Decision{Recover, fmt.Sprintf("revision %d was left %s", have.Revision, have.Status)}
	case have.Status == installed.Uninstalling:
		return Decision{Uninstall, fmt.Sprintf("revision %d was left uninstalling", have.Revision)}
	case have.Status != installed.Deployed:
		return Decision{Upgrade, fmt.Sprintf("revision %d is %s", have.Revision, have.Status)}
	case have.RenderDigest != want.RenderDigest:
		return Decision{Upgrade, "the rendered objects changed"}
	}
	return Decision{None, "the rendered objects are those applied"}
}

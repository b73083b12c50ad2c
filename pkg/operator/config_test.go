package operator

import (
	"strings"
	"testing"
)

// C-430: a Deployment that still has the variables of Helm 2 must not start as if nothing were.
func TestVariablesOfHelm2EndTheStart(t *testing.T) {
	for _, name := range []string{"HELM2", "TILLER_BIN_PATH"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "1")
			cfg := Defaults()
			cfg.Namespace = "addon-operator"
			if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestEverythingThatIsWrongWithAConfigIsToldAtOnce(t *testing.T) {
	cfg := Defaults()
	cfg.CRDLabels = "nonsense"
	err := cfg.validate()
	for _, want := range []string{"ADDON_OPERATOR_NAMESPACE", "--crd-extra-labels"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

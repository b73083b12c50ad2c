package operator_test

import (
	"os"
	"testing"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Run(m)) }

// Command main is the hook of package everything as an executable.
package main

import (
	"github.com/addon-operator/addon-operator/pkg/sdk"
	"github.com/addon-operator/addon-operator/pkg/sdk/testdata/everything"
)

func main() { sdk.Main(everything.Hook()) }

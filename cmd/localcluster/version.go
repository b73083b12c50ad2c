package main

import (
	"errors"
	"runtime/debug"
	"strings"
	_ "unsafe" // for go:linkname

	"k8s.io/component-base/version"
)

// Kubernetes' release builds set these three with the linker's -X. Naming them
// here lets a plain "go build" (and so "go run" and "go test") make a binary that
// tells its true version, taken from the module it was built from: clients decide
// by what /version says, and the unset value is "v0.0.0-master".
//
//go:linkname gitVersion k8s.io/component-base/version.gitVersion
var gitVersion string

//go:linkname gitMajor k8s.io/component-base/version.gitMajor
var gitMajor string

//go:linkname gitMinor k8s.io/component-base/version.gitMinor
var gitMinor string

// stampVersion makes every component report the version of the k8s.io/kubernetes
// module in this binary.
func stampVersion() error {
	v := kubernetesVersion()
	parts := strings.SplitN(strings.TrimPrefix(v, "v"), ".", 3)
	if len(parts) != 3 {
		return errors.New("the build information of this binary names no version of k8s.io/kubernetes: build it as a Go module")
	}
	gitVersion, gitMajor, gitMinor = v, parts[0], parts[1]
	return version.SetDynamicVersion(v)
}

// kubernetesVersion is the version of Kubernetes in this binary, such as v1.36.3.
func kubernetesVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "k8s.io/kubernetes" {
			return dep.Version
		}
	}
	return ""
}

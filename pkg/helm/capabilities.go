package helm

import (
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"

	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/client-go/discovery"

	"github.com/addon-operator/addon-operator/pkg/values"
)

// capabilities are what charts see as .Capabilities, computed from the shared
// discovery cache and kept until forget.
type capabilities struct {
	discovery discovery.CachedDiscoveryInterface
	log       *slog.Logger

	mu     sync.Mutex
	known  *chartutil.Capabilities
	digest string
}

func (c *capabilities) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.digest = nil, ""
}

// get returns a value that must not be changed, and its digest.
func (c *capabilities) get() (*chartutil.Capabilities, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known != nil {
		return c.known, c.digest, nil
	}
	caps, err := c.ask()
	if err != nil {
		return nil, "", err
	}
	text := caps.KubeVersion.Version + "\n" + strings.Join(caps.APIVersions, "\n")
	c.known, c.digest = caps, values.Digest([]byte(text))
	return c.known, c.digest, nil
}

func (c *capabilities) ask() (*chartutil.Capabilities, error) {
	if c.discovery == nil {
		return chartutil.DefaultCapabilities, nil
	}
	v, err := c.discovery.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("capabilities of the cluster: version: %w", err)
	}
	groups, resources, err := c.discovery.ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("capabilities of the cluster: API groups: %w", err)
	}
	if err != nil {
		c.log.Warn("some API groups do not answer; charts do not see them", "error", err)
	}
	var set chartutil.VersionSet
	for _, g := range groups {
		for _, gv := range g.Versions {
			set = append(set, gv.GroupVersion)
		}
	}
	for _, l := range resources {
		for _, r := range l.APIResources {
			set = append(set, path.Join(l.GroupVersion, r.Kind))
		}
	}
	slices.Sort(set)
	return &chartutil.Capabilities{
		APIVersions: slices.Compact(set),
		KubeVersion: chartutil.KubeVersion{Version: v.GitVersion, Major: v.Major, Minor: v.Minor},
		HelmVersion: chartutil.DefaultCapabilities.HelmVersion,
	}, nil
}

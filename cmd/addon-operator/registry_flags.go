package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/addon-operator/addon-operator/pkg/registry"
)

// registryFlags are how commands get into registries.
type registryFlags struct {
	auth, ca  string
	plainHTTP bool
	timeout   time.Duration
}

func (r *registryFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.auth, "registry-config", "", "file with credentials, as docker login writes it (default: REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json or "+
		"~/.docker/config.json, if there); helpers of Docker are not asked")
	f.StringVar(&r.ca, "ca", "", "file with certificates (PEM) that are trusted besides those of the system")
	f.BoolVar(&r.plainHTTP, "plain-http", false, "speak HTTP to hosts other than loopback")
	f.DurationVar(&r.timeout, "timeout", 0, "bound of one request, beyond the time its bytes take (default 30s)")
}

// remote is a root with what is needed to get in.
func (r *registryFlags) remote(url string) (registry.Remote, error) {
	out := registry.Remote{URL: url, PlainHTTP: r.plainHTTP, Timeout: r.timeout}
	if err := registry.ParseURL(url); err != nil {
		return out, err
	}
	var err error
	if out.Auth, err = r.credentials(); err != nil {
		return out, err
	}
	if r.ca != "" {
		if out.CA, err = os.ReadFile(r.ca); err != nil {
			return out, fmt.Errorf("--ca: %w", err)
		}
	}
	return out, nil
}

// credentials are read where docker and its kin keep them; only a file that was named has to be there.
func (r *registryFlags) credentials() ([]byte, error) {
	if r.auth != "" {
		text, err := os.ReadFile(r.auth)
		if err != nil {
			return nil, fmt.Errorf("--registry-config: %w", err)
		}
		return text, nil
	}
	var places []string
	if name := os.Getenv("REGISTRY_AUTH_FILE"); name != "" {
		places = append(places, name)
	}
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		places = append(places, filepath.Join(dir, "config.json"))
	} else if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".docker", "config.json"))
	}
	for _, place := range places {
		text, err := os.ReadFile(place)
		switch {
		case err == nil:
			return text, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return nil, nil
}

// Command discover-api is a global hook in Go. It states the facts that no object tells but the API server does:
// global.discovery.kubernetes (version and distribution) and global.discovery.apiVersions.
//
// The API server is found as by any client: KUBECONFIG, else the service account of the pod.
package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/addon-operator/addon-operator/pkg/sdk"
)

func main() { sdk.Main(discoverAPI()) }

// discoverAPI asks anew whenever a binding says that the answers may be others.
func discoverAPI() sdk.Hook {
	return sdk.Hook{
		Name: "api",
		On:   []sdk.Binding{apiServers, apiServices, crds, nodes},
		Run:  run,
	}
}

// askTimeout bounds all questions of one run to the API server.
const askTimeout = 30 * time.Second

func run(ctx context.Context, in *sdk.Input) error {
	seen, err := snapshotsOf(in)
	if err != nil {
		return err
	}
	before, err := sdk.GetOr[[]string](in.Values, "global.discovery.apiVersions", nil)
	if err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	server, err := ask(ctx, client, seen.APIServices)
	if err != nil {
		return err
	}
	in.Values.Set("global.discovery.apiVersions", apiVersions(seen, server.Kinds, before))
	in.Values.Set("global.discovery.kubernetes", kubernetes{
		Version:      version(server.GitVersion),
		Distribution: distribution(server.GitVersion, seen.Nodes),
	})
	return nil
}

// connect makes a client by the usual rules: KUBECONFIG, ~/.kube/config, service account.
func connect() (*discovery.DiscoveryClient, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("no way to the API server, set KUBECONFIG or run in a pod: %w", err)
	}
	return discovery.NewDiscoveryClientForConfig(cfg)
}

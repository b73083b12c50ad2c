// Command discover-api is a global hook in Go. It states the facts that no object tells but the API server does:
// global.discovery.kubernetes (version and distribution) and global.discovery.apiVersions.
//
// It keeps the same contract as a hook in bash: `--config` prints the bindings; a run reads the files named by
// BINDING_CONTEXT_PATH and VALUES_PATH and writes the one named by VALUES_JSON_PATCH_PATH; a status other than 0 means that
// nothing is to be applied, and stderr says why. The API server is found as by any client: KUBECONFIG, else the service
// account of the pod.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/tools/clientcmd"
)

// askTimeout bounds all questions of one run to the API server.
const askTimeout = 30 * time.Second

//go:embed config.yaml
var config string

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "discover-api:", err)
		os.Exit(1)
	}
}

// run answers --config on stdout, or does one run of the hook with the files that the environment names.
func run(ctx context.Context, args []string, getenv func(string) string, stdout io.Writer) error {
	if len(args) > 0 && args[0] == "--config" {
		_, err := io.WriteString(stdout, config)
		return err
	}
	snapshots, err := readSnapshots(getenv("BINDING_CONTEXT_PATH"))
	if err != nil {
		return err
	}
	before, err := readAPIVersions(getenv("VALUES_PATH"))
	if err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	server, err := ask(ctx, client, snapshots.APIServices)
	if err != nil {
		return err
	}
	return writePatch(getenv("VALUES_JSON_PATCH_PATH"), decide(snapshots, server, before))
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

// readSnapshots reads a file of binding contexts. All contexts of a run see the same snapshots, so the last that has any
// speaks for all.
func readSnapshots(path string) (*snapshots, error) {
	var contexts []bindingContext
	if err := readJSON("BINDING_CONTEXT_PATH", path, &contexts); err != nil {
		return nil, err
	}
	return lastSnapshots(contexts)
}

type bindingContext struct {
	Snapshots *snapshots `json:"snapshots"`
}

func lastSnapshots(contexts []bindingContext) (*snapshots, error) {
	for i := len(contexts) - 1; i >= 0; i-- {
		if contexts[i].Snapshots != nil {
			return contexts[i].Snapshots, nil
		}
	}
	return nil, fmt.Errorf("none of the %d binding contexts has snapshots; expected those of group api", len(contexts))
}

// readAPIVersions reads global.discovery.apiVersions out of a values file; none yet is nil.
func readAPIVersions(path string) ([]string, error) {
	var values struct {
		Global struct {
			Discovery struct {
				APIVersions []string `json:"apiVersions"`
			} `json:"discovery"`
		} `json:"global"`
	}
	if err := readJSON("VALUES_PATH", path, &values); err != nil {
		return nil, err
	}
	return values.Global.Discovery.APIVersions, nil
}

func readJSON(variable, path string, into any) error {
	if path == "" {
		return fmt.Errorf("%s is not set: the operator sets it; --config shows the bindings", variable)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s %s: expected JSON: %w", variable, path, err)
	}
	return nil
}

// writePatch appends the operations that state the facts.
func writePatch(path string, f facts) error {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	text, err := json.Marshal([]operation{
		{"add", "/global/discovery/apiVersions", f.APIVersions},
		{"add", "/global/discovery/kubernetes", f.Kubernetes},
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("VALUES_JSON_PATCH_PATH: %w", err)
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		file.Close()
		return fmt.Errorf("VALUES_JSON_PATCH_PATH: %w", err)
	}
	return file.Close()
}

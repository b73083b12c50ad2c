package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	nodefast "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	nodeheartbeat "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	podfast "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	"sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	"sigs.k8s.io/kwok/pkg/log"
	"sigs.k8s.io/kwok/pkg/utils/signals"
)

// imitatedNodeAnnotation marks a node as imitated by kwok. Every node of a local
// cluster carries it, and add-on modules may ask for it.
const imitatedNodeAnnotation = "kwok.x-k8s.io/node"

// kwokMain is kwok's own main, which is not importable.
func kwokMain() int {
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, logger := log.InitFlags(signals.SetupSignalContext(), flags)
	ctx, err := config.InitFlags(ctx, flags)
	if err != nil {
		logger.Error("Read the configuration", "err", err)
		return 1
	}
	command := kwok.NewCommand(ctx)
	command.Version = "" // its --version would collide with the one Kubernetes registers for the process
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		return 1
	}
	return 0
}

// kwokConfig is kwok's configuration with its stages: nodes become Ready, pods
// Ready at once, pods of Jobs complete, deleted pods go away.
func kwokConfig() (string, error) {
	options := `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  manageAllNodes: false
  manageNodesWithAnnotationSelector: "` + imitatedNodeAnnotation + `=fake"
  nodeLeaseDurationSeconds: 120
  podPlayStageParallelism: 16
  nodePlayStageParallelism: 4
  nodeLeaseParallelism: 4
  podsOnNodeSyncParallelism: 1
  cidr: ` + podCIDR + `
`
	parts := []string{
		options,
		nodefast.DefaultNodeInit, nodeheartbeat.DefaultNodeHeartbeatWithLease,
		podfast.DefaultPodReady, podfast.DefaultPodComplete, podfast.DefaultPodDelete,
	}
	for i, p := range parts {
		if strings.TrimSpace(p) == "" {
			return "", fmt.Errorf("kwok stage %d is empty: the module does not embed it", i)
		}
	}
	return strings.Join(parts, "\n---\n"), nil
}

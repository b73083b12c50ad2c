// Command localcluster runs a real Kubernetes control plane on this machine:
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok, each
// a re-execution of this one binary, supervised by the process the user
// started. Nodes and pods are imitated by kwok; everything the API server says
// is real.
//
//	localcluster up                      until interrupted
//	localcluster run -- CMD ARG…         for as long as CMD runs
//	localcluster apiserver stop --dir D  the API server alone, for fault tests
//
// Where to look: cluster.go has the start order, components.go what each
// component is told, supervise.go processes, workdir.go files, cloud.go what is
// imitated of a cloud, nodes.go the nodes.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	name := filepath.Base(os.Args[0])
	if err := stampVersion(); err != nil {
		fail(err)
	}
	if name == "kubectl" {
		os.Exit(kubectlMain())
	}
	if run, ok := componentMains()[name]; ok {
		os.Exit(runAsComponent(run))
	}
	os.Exit(run())
}

// run executes the command line and returns the exit code.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := rootCommand().ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(os.Stderr, "localcluster:", err)
		return 1
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "localcluster:", err)
	os.Exit(1)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "localcluster",
		Short:         "A real Kubernetes control plane with imitated nodes, in one binary",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(upCommand(), runCommand(), apiserverCommand())
	return root
}

// clusterFlags adds the flags up and run share and returns where they land.
func clusterFlags(cmd *cobra.Command) *clusterConfig {
	cfg := &clusterConfig{}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "", "directory for all files of the cluster (default: a new temporary one)")
	f.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "also write the administrator's kubeconfig to this file")
	f.StringVar(&cfg.NodesFile, "nodes", "", "Node manifests to imitate (default: three nodes of an imitated AWS cluster)")
	f.BoolVar(&cfg.NoCloud, "no-cloud", false, "give LoadBalancer Services no address and create no StorageClass")
	f.BoolVar(&cfg.AuditLog, "audit-log", false, "write an audit log of all writes (level Metadata) to audit.log in the directory")
	return cfg
}

func upCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run a cluster until SIGINT or SIGTERM, then remove everything it made",
		Args:  cobra.NoArgs,
	}
	cfg := clusterFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return up(cmd.Context(), *cfg) }
	return cmd
}

func runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run [flags] -- CMD [ARG…]",
		Short: "Run a cluster for as long as CMD runs and exit with its exit code",
		Long: "Starts a cluster, runs CMD with KUBECONFIG, LOCALCLUSTER_DIR and kubectl on PATH,\n" +
			"stops the cluster and exits with CMD's exit code (128+n when signal n ended it).",
		Args: cobra.MinimumNArgs(1),
	}
	cfg := clusterFlags(cmd)
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = func(_ *cobra.Command, args []string) error { return runWith(*cfg, args) }
	return cmd
}

func apiserverCommand() *cobra.Command {
	var dir string
	parent := &cobra.Command{
		Use:   "apiserver",
		Short: "Stop, kill or start the API server of a running cluster, for fault tests",
	}
	parent.PersistentFlags().StringVar(&dir, "dir", os.Getenv("LOCALCLUSTER_DIR"), "directory of the cluster (default: $LOCALCLUSTER_DIR)")
	for _, v := range []struct{ verb, short string }{
		{"stop", "Stop the API server and wait until it has ended"},
		{"kill", "Kill the API server (SIGKILL) and wait until it has ended"},
		{"start", "Start the stopped API server again on the same port and wait until it is ready"},
	} {
		parent.AddCommand(&cobra.Command{
			Use:   v.verb,
			Short: v.short,
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return sendControl(cmd.Context(), dir, "apiserver "+v.verb)
			},
		})
	}
	return parent
}

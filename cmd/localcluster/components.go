package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	_ "time/tzdata" // CronJobs name time zones, and a machine may have none

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // the JSON log format
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client-go's metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // the version metric
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// Component names are also the names this binary is re-executed under.
const (
	componentEtcd              = "etcd"
	componentAPIServer         = "kube-apiserver"
	componentControllerManager = "kube-controller-manager"
	componentScheduler         = "kube-scheduler"
	componentKwok              = "kwok"
)

// The network every cluster imitates. These addresses are facts of the API only:
// nothing listens on them and nothing is sent to them.
const (
	serviceCIDR         = "10.96.0.0/12"
	serviceIPKubernetes = "10.96.0.1"
	serviceIPDNS        = "10.96.0.10"
	podCIDR             = "10.244.0.0/16"
	clusterDomain       = "cluster.local"
	serviceIssuer       = "https://kubernetes.default.svc." + clusterDomain
)

// unthrottled is a client rate nothing here reaches.
const unthrottled = 100000

// componentMains maps a component to its main; each runs in a process of its own.
func componentMains() map[string]func() int {
	return map[string]func() int{
		componentEtcd:              etcdMain,
		componentAPIServer:         func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		componentControllerManager: func() int { return cli.Run(controllermanager.NewControllerManagerCommand()) },
		componentScheduler:         func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
		componentKwok:              kwokMain,
	}
}

func apiServerArgs(port int, audit bool) []string {
	args := []string{
		"--etcd-servers=unix://" + fileEtcdSocket,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--external-hostname=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--permit-port-sharing=true", // the supervisor holds the port, see ports.go
		"--tls-cert-file=" + fileServerCert,
		"--tls-private-key-file=" + fileServerKey,
		"--client-ca-file=" + fileCACert,
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + serviceIssuer,
		"--service-account-signing-key-file=" + fileTokenKey,
		"--service-account-key-file=" + fileTokenKey,
		"--service-cluster-ip-range=" + serviceCIDR,
		"--endpoint-reconciler-type=none", // a loopback address is no valid endpoint
		"--egress-selector-config-file=" + fileEgressConfig,
		"--allow-privileged=true",
		"--enable-priority-and-fairness=false",
		"--max-requests-inflight=0",
		"--max-mutating-requests-inflight=0",
		"--shutdown-watch-termination-grace-period=1s", // else a stop waits for every watcher to leave
		"--profiling=false",
	}
	if audit {
		args = append(args,
			"--audit-policy-file="+fileAuditPolicy,
			"--audit-log-path="+fileAuditLog,
			"--audit-log-mode=blocking", // an answered write is in the log
		)
	}
	return args
}

func controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + fileControllerManagerKubeconfig,
		"--bind-address=127.0.0.1",
		"--secure-port=0",
		"--leader-elect=false",
		"--root-ca-file=" + fileCACert,
		"--service-account-private-key-file=" + fileTokenKey,
		"--cluster-signing-cert-file=" + fileCACert,
		"--cluster-signing-key-file=" + fileCAKey,
		"--allocate-node-cidrs=true",
		"--cluster-cidr=" + podCIDR,
		"--service-cluster-ip-range=" + serviceCIDR,
		"--node-monitor-grace-period=10m", // imitated nodes do not fail, but a busy machine may be late
		fmt.Sprintf("--kube-api-qps=%d", unthrottled),
		fmt.Sprintf("--kube-api-burst=%d", unthrottled),
		"--profiling=false",
		"--controllers=*",
	}
}

func schedulerArgs() []string {
	return []string{"--config=" + fileSchedulerConfig, "--bind-address=127.0.0.1", "--secure-port=0"}
}

func kwokArgs() []string {
	return []string{"--kubeconfig=" + fileKwokKubeconfig, "--config=" + fileKwokConfig, "--server-address="}
}

// schedulerConfig is the scheduler's configuration file.
func schedulerConfig() string {
	return fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %s
  qps: %d
  burst: %d
leaderElection:
  leaderElect: false
`, fileSchedulerKubeconfig, unthrottled, unthrottled)
}

// auditPolicy logs the metadata of every write once it is answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// writeComponentConfigs writes the configuration files the components' flags name.
func writeComponentConfigs(dir string) error {
	kwok, err := kwokConfig()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		fileSchedulerConfig: schedulerConfig(),
		fileKwokConfig:      kwok,
		fileEgressConfig:    egressConfig,
		fileAuditPolicy:     auditPolicy,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

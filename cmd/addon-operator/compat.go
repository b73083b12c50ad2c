package main

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// client has the flags of requests to the API server (section 11.3 of the contract).
func (s *startSettings) client() {
	c := &s.cfg
	s.text(&c.KubeServer, "kube-server", "address of the API server, in place of the kubeconfig's", "KUBE_SERVER")
	s.rate(&c.KubeQPS, "kube-client-qps", "requests to the API server in a second; 0, the default, is no limit", "KUBE_CLIENT_QPS")
	s.number(&c.KubeBurst, "kube-client-burst", "requests at once beyond --kube-client-qps", "KUBE_CLIENT_BURST")
	s.rate(&c.OperationQPS, "object-patcher-kube-client-qps", "requests of object operations of hooks in a second; 0, the default, is no limit", "OBJECT_PATCHER_KUBE_CLIENT_QPS")
	s.number(&c.OperationBurst, "object-patcher-kube-client-burst", "requests at once beyond --object-patcher-kube-client-qps", "OBJECT_PATCHER_KUBE_CLIENT_BURST")
	s.duration(&c.OperationTimeout, "object-patcher-kube-client-timeout", "bound of one request of an object operation", "OBJECT_PATCHER_KUBE_CLIENT_TIMEOUT")
	s.truth(&c.LogRequests, "debug-kubernetes-api", "log every request to the API server", "DEBUG_KUBERNETES_API")
	for _, name := range []string{"debug-unix-socket", "debug-http-addr", "debug-keep-tmp-files", "debug-kubernetes-api"} {
		_ = s.flags.MarkHidden(name) // as in the predecessor; debug-options lists them
	}
}

func (b binder) rate(p *float32, name, usage string, env ...string) {
	b.flags.Float32Var(p, name, *p, usage)
	b.bind(name, env)
}

// leftOut are settings of the predecessor that have no effect here. They are accepted, so
// that a Deployment that has them starts, and warned about.
type leftOut []leftOutSetting

type leftOutSetting struct {
	// flag may be empty: then there is the variable only.
	flag, env string
	// harmless values need no warning.
	harmless []string
	instead  string
}

func (s *startSettings) leftOut() leftOut {
	off := []string{"false", "0"}
	const admission = "it served programs that embed the operator; webhooks of hooks are served at --validating-webhook-listen-port"
	const monitor = "objects of releases are watched, and nothing reads them at intervals"
	const tracing = "there is no tracing; durations are in /metrics and in the log"
	out := leftOut{
		{"shell-chroot-dir", "ADDON_OPERATOR_SHELL_CHROOT_DIR", nil, "hooks run in the operator's own root; bound them by --hook-user and --hook-memory-limit and the like"},
		{"applied-module-extenders", "ADDON_OPERATOR_APPLIED_MODULE_EXTENDERS", []string{"Static,DynamicallyEnabled,KubeConfig,ScriptEnabled"},
			"who decides whether a module is on is fixed: Static, DynamicallyEnabled, KubeConfig, ScriptEnabled, later ones over earlier ones"},
		{"helm-monitor-kube-client-qps", "HELM_MONITOR_KUBE_CLIENT_QPS", nil, monitor},
		{"helm-monitor-kube-client-burst", "HELM_MONITOR_KUBE_CLIENT_BURST", nil, monitor},
		{"admission-server-listen-port", "ADDON_OPERATOR_ADMISSION_SERVER_LISTEN_PORT", nil, admission},
		{"admission-server-certs-dir", "ADDON_OPERATOR_ADMISSION_SERVER_CERTS_DIR", nil, admission},
		{"admission-server-enabled", "ADDON_OPERATOR_ADMISSION_SERVER_ENABLED", off, admission},
		{"", "HELM_DRIVER", []string{"secret", "secrets"}, "releases are kept in Secrets; records in ConfigMaps are moved there when their module is first applied, " +
			"and are not seen before"},
		{"", "USE_NELM", off, "charts are applied by Helm's own library"},
		{"", "NELM_DEPENDENCY_GRAPH_ENABLED", off, "charts are applied by Helm's own library, kind by kind in its order"},
		{"", "TRACING_OTLP_ENDPOINT", nil, tracing},
		{"", "TRACING_OTLP_AUTH_TOKEN", nil, tracing},
	}
	for _, x := range out {
		if x.flag == "" {
			continue
		}
		s.flags.String(x.flag, "", "has no effect: "+x.instead)
		s.bind(x.flag, []string{x.env})
		_ = s.flags.MarkHidden(x.flag)
		if slices.Equal(x.harmless, off) {
			s.flags.Lookup(x.flag).NoOptDefVal = "true"
		}
	}
	return out
}

// warn names the settings that were given and have no effect, and what there is in their place.
func (l leftOut) warn(b binder, log *slog.Logger) {
	for _, x := range l {
		value, name := os.Getenv(x.env), x.env
		if x.flag != "" {
			if value = b.flags.Lookup(x.flag).Value.String(); b.flags.Changed(x.flag) && os.Getenv(x.env) != value {
				name = "--" + x.flag
			}
		}
		if value == "" || slices.ContainsFunc(x.harmless, func(h string) bool { return strings.EqualFold(h, value) }) {
			continue
		}
		log.Warn("setting has no effect: "+x.instead, "setting", name)
	}
}

// debugOptionsCommand lists the flags of `start` that its help leaves out (C-470).
func debugOptionsCommand() *cobra.Command {
	return &cobra.Command{Use: "debug-options", Short: "List the flags of start that its help leaves out", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := pflag.NewFlagSet("start", pflag.ContinueOnError)
			newStartSettings(flags)
			hidden := pflag.NewFlagSet("debug-options", pflag.ContinueOnError)
			flags.VisitAll(func(f *pflag.Flag) {
				if f.Hidden {
					shown := *f
					shown.Hidden = false
					hidden.AddFlag(&shown)
				}
			})
			_, err := fmt.Fprint(cmd.OutOrStdout(), hidden.FlagUsages())
			return err
		}}
}

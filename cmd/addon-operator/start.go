package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/klog/v2" //nolint:depguard // only to lead it to slog

	"github.com/addon-operator/addon-operator/pkg/operator"
)

// startCommand has a flag and an environment variable for every setting; a flag
// wins over the variable, which wins over the default (C-460).
func startCommand() *cobra.Command {
	cfg := operator.Defaults()
	logs := logOptions{level: "info", format: "text"}
	host, port := "0.0.0.0", 9650
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run the operator",
		Args:  cobra.NoArgs,
	}
	b := binder{flags: cmd.Flags(), env: map[string][]string{}}
	b.text(&cfg.HooksDir, "hooks-dir", "run the hooks of this directory, and no modules", "SHELL_OPERATOR_HOOKS_DIR")
	b.text(&cfg.ModulesDir, "modules-dir", "directories with modules, separated by ':'", "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR")
	b.text(&cfg.GlobalHooksDir, "global-hooks-dir", "directory with global hooks", "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR")
	b.number(&cfg.UnnumberedWeight, "unnumbered-modules-order", "weight of modules without a numeric prefix", "ADDON_OPERATOR_UNNUMBERED_MODULES_ORDER", "UNNUMBERED_MODULES_ORDER")
	b.text(&cfg.TempDir, "tmp-dir", "directory for the files of running hooks", "ADDON_OPERATOR_TMP_DIR", "SHELL_OPERATOR_TMP_DIR")
	b.text(&cfg.Namespace, "namespace", "the operator's namespace", "ADDON_OPERATOR_NAMESPACE", "SHELL_OPERATOR_NAMESPACE")
	b.text(&cfg.ConfigMap, "config-map", "name of the ConfigMap with the settings", "ADDON_OPERATOR_CONFIG_MAP")
	b.text(&host, "prometheus-listen-address", "address of the HTTP endpoints", "ADDON_OPERATOR_LISTEN_ADDRESS", "SHELL_OPERATOR_LISTEN_ADDRESS")
	b.number(&port, "prometheus-listen-port", "port of the HTTP endpoints", "ADDON_OPERATOR_LISTEN_PORT", "SHELL_OPERATOR_LISTEN_PORT")
	b.text(&cfg.MetricsPrefix, "prometheus-metrics-prefix", "prefix of the operator's own metrics", "ADDON_OPERATOR_PROMETHEUS_METRICS_PREFIX", "SHELL_OPERATOR_PROMETHEUS_METRICS_PREFIX")
	b.truth(&cfg.Strict, "strict-check-values-mode-enabled", "require a values.yaml in every module", "ADDON_OPERATOR_STRICT_CHECK_VALUES_MODE_ENABLED", "STRICT_CHECK_VALUES_MODE_ENABLED")
	b.text(&cfg.CRDLabels, "crd-extra-labels", "labels put on CRDs and rendered objects, as k=v,k=v", "ADDON_OPERATOR_CRD_EXTRA_LABELS")
	b.text(&cfg.CRDFilters, "crd-filters", "prefixes of CRD files that are not applied", "ADDON_OPERATOR_CRD_FILTER_PREFIXES")
	b.number(&cfg.HelmHistoryMax, "helm-history-max", "revisions of a release that are kept; 0 keeps all", "HELM_HISTORY_MAX")
	b.duration(&cfg.HelmTimeout, "helm-timeout", "bound of one Helm action", "HELM_TIMEOUT")
	b.text(&cfg.HelmIgnoreRelease, "helm-ignore-release", "release that is never purged", "HELM_IGNORE_RELEASE")
	b.text(&cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	b.text(&cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	b.text(&cfg.DebugSocket, "debug-unix-socket", "socket that the other commands talk to", "DEBUG_UNIX_SOCKET")
	b.truth(&cfg.KeepTempFiles, "debug-keep-tmp-files", "keep the files of hooks after their runs", "DEBUG_KEEP_TMP_FILES")
	b.truth(&cfg.ProxyJSONLogs, "log-proxy-hook-json", "join JSON log lines of hooks over several writes", "LOG_PROXY_HOOK_JSON")
	b.text(&logs.level, "log-level", "debug, info, warn or error", "LOG_LEVEL")
	b.text(&logs.format, "log-type", "text or json", "LOG_TYPE")
	b.truth(&logs.noTime, "log-no-time", "leave the time out of log lines", "LOG_NO_TIME")
	b.duration(&cfg.HookTimeout, "hook-timeout", "bound of one hook run without settings.timeout", "ADDON_OPERATOR_HOOK_TIMEOUT")
	b.duration(&cfg.OrderPatience, "order-patience", "how long an attempt holds up modules of higher weight", "ADDON_OPERATOR_ORDER_PATIENCE")
	b.number(&cfg.ParallelApply, "parallel-apply", "releases applied at once", "ADDON_OPERATOR_PARALLEL_APPLY")
	b.duration(&cfg.PurgeGrace, "purge-grace", "time between announcing and removing a release whose module is gone", "ADDON_OPERATOR_PURGE_GRACE")
	b.duration(&cfg.ShutdownGrace, "shutdown-grace", "how long running hooks and Helm actions may go on at shutdown", "ADDON_OPERATOR_SHUTDOWN_GRACE")
	order := "weight"
	b.text(&order, "order", "weight, or requires to start modules without regard to their weight", "ADDON_OPERATOR_ORDER")
	for _, unused := range []string{"kube-client-qps", "kube-client-burst", "object-patcher-kube-client-qps", "object-patcher-kube-client-burst",
		"helm-monitor-kube-client-qps", "helm-monitor-kube-client-burst"} {
		cmd.Flags().String(unused, "", "accepted for compatibility; there is no client-side throttling")
		_ = cmd.Flags().MarkHidden(unused)
	}
	hooks := webhookFlags(b, &cfg)
	limits := b.limits(&cfg)
	b.alias("listen-address", "prometheus-listen-address")
	b.alias("listen-port", "prometheus-listen-port")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		given := b.given()
		if err := b.environment(); err != nil {
			return err
		}
		if err := b.hooksOnly(&cfg, given); err != nil {
			return err
		}
		if order == "requires" {
			cfg.OrderPatience = -1
		} else if order != "weight" {
			return fmt.Errorf("--order is %q: expected weight or requires", order)
		}
		cfg.ListenAddress = net.JoinHostPort(host, strconv.Itoa(port))
		hooks.fill(&cfg)
		if err := limits.fill(&cfg); err != nil {
			return err
		}
		var out io.Writer = os.Stderr
		if term.IsTerminal(int(os.Stdout.Fd())) && logs.format == "text" {
			table := newTable(os.Stdout)
			defer table.close()
			out, cfg.Progress = table, table.progress
		} else {
			cfg.Progress = newLines(func() *slog.Logger { return cfg.Logger }).progress
		}
		log, err := logs.logger(out)
		if err != nil {
			return err
		}
		cfg.Logger = log
		klog.SetSlogLogger(log) // what client-go has to say
		return operator.Run(cmd.Context(), cfg)
	}
	return cmd
}

// binder ties flags to environment variables.
type binder struct {
	flags *pflag.FlagSet
	env   map[string][]string // flag > variables, the first that is set counts
}

func (b binder) bind(name string, env []string) {
	f := b.flags.Lookup(name)
	f.Usage += " (" + strings.Join(env, ", ") + ")"
	b.env[name] = env
}

func (b binder) text(p *string, name, usage string, env ...string) {
	b.flags.StringVar(p, name, *p, usage)
	b.bind(name, env)
}

func (b binder) list(p *[]string, name, usage string, env ...string) {
	b.flags.StringSliceVar(p, name, *p, usage)
	b.bind(name, env)
}

func (b binder) number(p *int, name, usage string, env ...string) {
	b.flags.IntVar(p, name, *p, usage)
	b.bind(name, env)
}

func (b binder) truth(p *bool, name, usage string, env ...string) {
	b.flags.BoolVar(p, name, *p, usage)
	b.bind(name, env)
}

func (b binder) duration(p *time.Duration, name, usage string, env ...string) {
	b.flags.DurationVar(p, name, *p, usage)
	b.bind(name, env)
}

// environment sets the flags that were not given from their variables.
func (b binder) environment() error {
	for name, vars := range b.env {
		if b.flags.Changed(name) {
			continue
		}
		for _, v := range vars {
			if text, ok := os.LookupEnv(v); ok && text != "" {
				if err := b.flags.Set(name, text); err != nil {
					return fmt.Errorf("environment variable %s=%q: %w", v, text, err)
				}
				break
			}
		}
	}
	return nil
}

// alias is a second name of a flag.
func (b binder) alias(name, of string) {
	f := *b.flags.Lookup(of)
	f.Name, f.Usage = name, "the same as --"+of
	b.flags.AddFlag(&f)
}

// given are the flags of the command line.
func (b binder) given() map[string]bool {
	out := map[string]bool{}
	b.flags.Visit(func(f *pflag.Flag) { out[f.Name] = true })
	return out
}

// hooksOnly gives the flags that were not set the defaults of hooks-only mode, if
// a folder of hooks is set. It excludes modules: on the command line both are an
// error, and what is given there wins over variables, such as those of the image.
func (b binder) hooksOnly(cfg *operator.Config, given map[string]bool) error {
	if cfg.HooksDir == "" {
		return nil
	}
	for _, other := range []string{"modules-dir", "global-hooks-dir"} {
		switch {
		case given["hooks-dir"] && given[other]:
			return fmt.Errorf("--hooks-dir runs hooks without modules, but --%s is given too: leave one of them out", other)
		case given[other]:
			cfg.HooksDir = ""
			return nil
		}
	}
	c := operator.HooksOnly(cfg.HooksDir)
	_, port, _ := net.SplitHostPort(c.ListenAddress)
	for name, value := range map[string]string{"prometheus-listen-port": port, "prometheus-metrics-prefix": c.MetricsPrefix,
		"tmp-dir": c.TempDir, "debug-unix-socket": c.DebugSocket} {
		if b.flags.Changed(name) || name == "prometheus-listen-port" && b.flags.Changed("listen-port") {
			continue
		}
		if err := b.flags.Lookup(name).Value.Set(value); err != nil {
			return err
		}
	}
	return nil
}

type logOptions struct {
	level, format string
	noTime        bool
}

func (o logOptions) logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: expected debug, info, warn or error", o.level)
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if o.noTime && a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return a
	}}
	switch o.format {
	case "text", "color":
		return slog.New(slog.NewTextHandler(out, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, opts)), nil
	}
	return nil, fmt.Errorf("--log-type is %q: expected text or json", o.format)
}

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
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Run the operator",
		Args:  cobra.NoArgs,
	}
	s := newStartSettings(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.read(); err != nil {
			return err
		}
		var out io.Writer = os.Stderr
		if term.IsTerminal(int(os.Stdout.Fd())) && s.logs.format == "text" {
			table := newTable(os.Stdout)
			defer table.close()
			out, s.cfg.Progress = table, table.progress
		} else {
			s.cfg.Progress = newLines(func() *slog.Logger { return s.cfg.Logger }).progress
		}
		log, err := s.logs.logger(out)
		if err != nil {
			return err
		}
		s.cfg.Logger, s.cfg.LogLevel = log, s.logs.now
		s.left.warn(s.binder, log)
		klog.SetSlogLogger(log) // what client-go has to say
		return operator.Run(cmd.Context(), s.cfg)
	}
	return cmd
}

// startSettings are the flags of `start`.
type startSettings struct {
	binder
	cfg         operator.Config
	logs        logOptions
	host, order string
	port        int
	webhooks    *webhookPorts
	limited     *limitFlags
	left        leftOut
}

func newStartSettings(flags *pflag.FlagSet) *startSettings {
	s := &startSettings{binder: binder{flags: flags, env: map[string][]string{}}, cfg: operator.Defaults(),
		logs: logOptions{level: "info", format: "text"}, host: "0.0.0.0", port: 9650, order: "weight"}
	s.text(&s.cfg.HooksDir, "hooks-dir", "run the hooks of this directory, and no modules", "SHELL_OPERATOR_HOOKS_DIR")
	s.text(&s.cfg.ModulesDir, "modules-dir", "directories with modules, separated by ':'", "ADDON_OPERATOR_MODULES_DIR", "MODULES_DIR")
	s.text(&s.cfg.GlobalHooksDir, "global-hooks-dir", "directory with global hooks", "ADDON_OPERATOR_GLOBAL_HOOKS_DIR", "GLOBAL_HOOKS_DIR")
	s.number(&s.cfg.UnnumberedWeight, "unnumbered-modules-order", "weight of modules without a numeric prefix", "ADDON_OPERATOR_UNNUMBERED_MODULES_ORDER", "UNNUMBERED_MODULES_ORDER")
	s.text(&s.cfg.TempDir, "tmp-dir", "directory for the files of running hooks", "ADDON_OPERATOR_TMP_DIR", "SHELL_OPERATOR_TMP_DIR")
	s.cfg.Version = versionText()
	s.text(&s.cfg.CacheDir, "cache-dir", "directory for modules fetched from registries; it should outlive the process", "ADDON_OPERATOR_CACHE_DIR")
	s.size(&s.cfg.CacheSize, "cache-size", "bound of that directory in bytes", "ADDON_OPERATOR_CACHE_SIZE")
	s.text(&s.cfg.Namespace, "namespace", "the operator's namespace", "ADDON_OPERATOR_NAMESPACE", "SHELL_OPERATOR_NAMESPACE")
	s.text(&s.cfg.ConfigMap, "config-map", "name of the ConfigMap with the settings", "ADDON_OPERATOR_CONFIG_MAP")
	s.text(&s.host, "prometheus-listen-address", "address of the HTTP endpoints", "ADDON_OPERATOR_LISTEN_ADDRESS", "SHELL_OPERATOR_LISTEN_ADDRESS")
	s.number(&s.port, "prometheus-listen-port", "port of the HTTP endpoints", "ADDON_OPERATOR_LISTEN_PORT", "SHELL_OPERATOR_LISTEN_PORT")
	s.text(&s.cfg.MetricsPrefix, "prometheus-metrics-prefix", "prefix of the operator's own metrics", "ADDON_OPERATOR_PROMETHEUS_METRICS_PREFIX", "SHELL_OPERATOR_PROMETHEUS_METRICS_PREFIX")
	s.truth(&s.cfg.Strict, "strict-check-values-mode-enabled", "require a values.yaml in every module", "ADDON_OPERATOR_STRICT_CHECK_VALUES_MODE_ENABLED", "STRICT_CHECK_VALUES_MODE_ENABLED")
	s.text(&s.cfg.CRDLabels, "crd-extra-labels", "labels put on CRDs and rendered objects, as k=v,k=v", "ADDON_OPERATOR_CRD_EXTRA_LABELS")
	s.text(&s.cfg.CRDFilters, "crd-filters", "prefixes of CRD files that are not applied", "ADDON_OPERATOR_CRD_FILTER_PREFIXES")
	s.number(&s.cfg.HelmHistoryMax, "helm-history-max", "revisions of a release that are kept; 0 keeps all", "HELM_HISTORY_MAX")
	s.duration(&s.cfg.HelmTimeout, "helm-timeout", "bound of one Helm action", "HELM_TIMEOUT")
	s.text(&s.cfg.HelmIgnoreRelease, "helm-ignore-release", "release that is never purged", "HELM_IGNORE_RELEASE")
	s.text(&s.cfg.KubeConfig, "kube-config", "kubeconfig file", "KUBE_CONFIG")
	s.text(&s.cfg.KubeContext, "kube-context", "context of the kubeconfig", "KUBE_CONTEXT")
	s.text(&s.cfg.DebugSocket, "debug-unix-socket", "socket that the other commands talk to", "DEBUG_UNIX_SOCKET")
	s.text(&s.cfg.DebugAddress, "debug-http-addr", "HOST:PORT at which a part of the socket's answers are given over TCP; without HOST only on loopback", "DEBUG_HTTP_SERVER_ADDR")
	s.truth(&s.cfg.KeepTempFiles, "debug-keep-tmp-files", "keep the files of hooks after their runs", "DEBUG_KEEP_TMP_FILES")
	s.truth(&s.cfg.ProxyJSONLogs, "log-proxy-hook-json", "join JSON log lines of hooks over several writes", "LOG_PROXY_HOOK_JSON")
	s.text(&s.logs.level, "log-level", "debug, info, warn or error", "LOG_LEVEL")
	s.text(&s.logs.format, "log-type", "text or json", "LOG_TYPE")
	s.truth(&s.logs.noTime, "log-no-time", "leave the time out of log lines", "LOG_NO_TIME")
	s.duration(&s.cfg.HookTimeout, "hook-timeout", "bound of one hook run without settings.timeout", "ADDON_OPERATOR_HOOK_TIMEOUT")
	s.duration(&s.cfg.OrderPatience, "order-patience", "how long an attempt holds up modules of higher weight", "ADDON_OPERATOR_ORDER_PATIENCE")
	s.number(&s.cfg.ParallelApply, "parallel-apply", "releases applied at once", "ADDON_OPERATOR_PARALLEL_APPLY")
	s.duration(&s.cfg.StalledAfter, "stalled-after", "time after which a module that is not Ready is Stalled", "ADDON_OPERATOR_STALLED_AFTER")
	s.duration(&s.cfg.PurgeGrace, "purge-grace", "time between announcing and removing a release whose module is gone", "ADDON_OPERATOR_PURGE_GRACE")
	s.duration(&s.cfg.ShutdownGrace, "shutdown-grace", "how long running hooks and Helm actions may go on at shutdown", "ADDON_OPERATOR_SHUTDOWN_GRACE")
	s.truth(&s.cfg.HA, "ha", "be one of several replicas, of which one acts", "ADDON_OPERATOR_HA")
	s.text(&s.cfg.Pod, "pod", "name of this pod, for --ha", "ADDON_OPERATOR_POD")
	s.duration(&s.cfg.LeaseDuration, "ha-lease-duration", "how long after the death of the replica that acts another takes over", "ADDON_OPERATOR_HA_LEASE_DURATION")
	s.text(&s.order, "order", "weight, or requires to start modules without regard to their weight", "ADDON_OPERATOR_ORDER")
	s.client()
	s.left = s.leftOut()
	s.webhooks = webhookFlags(s.binder, &s.cfg)
	s.limited = s.limits(&s.cfg)
	s.alias("listen-address", "prometheus-listen-address")
	s.alias("listen-port", "prometheus-listen-port")
	return s
}

// read fills the settings from flags and environment.
func (s *startSettings) read() error {
	given := s.given()
	if err := s.environment(); err != nil {
		return err
	}
	if err := s.hooksOnly(&s.cfg, given); err != nil {
		return err
	}
	if s.order == "requires" {
		s.cfg.OrderPatience = -1
	} else if s.order != "weight" {
		return fmt.Errorf("--order is %q: expected weight or requires", s.order)
	}
	s.cfg.ListenAddress = net.JoinHostPort(s.host, strconv.Itoa(s.port))
	s.webhooks.fill(&s.cfg)
	return s.limited.fill(&s.cfg)
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

func (b binder) size(p *int64, name, usage string, env ...string) {
	b.flags.Int64Var(p, name, *p, usage)
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
	now           *slog.LevelVar // of the logger
}

func (o *logOptions) logger(out io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.level)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: expected debug, info, warn or error", o.level)
	}
	o.now = &slog.LevelVar{}
	o.now.Set(level)
	opts := &slog.HandlerOptions{Level: o.now, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
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

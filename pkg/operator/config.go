package operator

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/leader"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/sdk"
	"github.com/addon-operator/addon-operator/pkg/status"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// Config is everything that can be set from outside (section 11 of the contract).
type Config struct {
	// KubeConfig and KubeContext choose the cluster; empty means KUBECONFIG or the
	// service account of the pod (C-466).
	KubeConfig, KubeContext string
	// KubeServer, if set, is the address of the API server in place of the kubeconfig's.
	KubeServer string
	// KubeQPS and KubeBurst bound requests to the API server, OperationQPS and OperationBurst those of
	// object operations of hooks (C-211); default 0, no limit, for the API server has limits of its own.
	KubeQPS, OperationQPS     float32
	KubeBurst, OperationBurst int
	// OperationTimeout bounds one request of an object operation; default 10 s.
	OperationTimeout time.Duration
	// LogRequests logs every request to the API server.
	LogRequests bool
	// Namespace is the operator's own; required.
	Namespace string
	// ConfigMap is the user's ConfigMap; default "addon-operator".
	ConfigMap string
	// HooksDir, if set, is a folder of hooks to run without modules (hooks-only mode);
	// what concerns modules does not count then.
	HooksDir string
	// ModulesDir is a list of directories separated by ':'; default "modules" (C-280).
	ModulesDir string
	// GlobalHooksDir holds global hooks and their schema; default "global-hooks" (C-007).
	GlobalHooksDir string
	// TempDir holds the files of running hooks; default exec.DefaultTempDir.
	TempDir string
	// UnnumberedWeight is the weight of modules without a numeric prefix; default 1.
	UnnumberedWeight int
	// Strict requires a values.yaml in every module (C-285).
	Strict bool
	// CRDLabels is a list "k=v,k=v" put on CRDs and rendered objects; default heritage=addon-operator (C-433).
	CRDLabels string
	// CRDFilters are file name prefixes, separated by ',', that are not applied; default "doc-,_" (C-345).
	CRDFilters string
	// HelmHistoryMax is how many revisions of a release are kept; default 10, 0 keeps all.
	HelmHistoryMax int
	// HelmTimeout bounds one Helm action; default 20 min.
	HelmTimeout time.Duration
	// HelmIgnoreRelease is never purged.
	HelmIgnoreRelease string
	// ListenAddress is host:port of the HTTP endpoints; default 0.0.0.0:9650.
	ListenAddress string
	// MetricsPrefix begins the names of the operator's own metrics; default addon_operator_.
	MetricsPrefix string
	// DebugSocket is the path of the unix socket; default /var/run/addon-operator/debug.socket.
	DebugSocket string
	// DebugAddress, if set, is host:port where a part of the socket's answers are given over
	// TCP to whoever asks; without a host it is loopback's (C-484).
	DebugAddress string
	// HookTimeout bounds one run of a hook without settings.timeout; default 10 min.
	HookTimeout time.Duration
	// OrderPatience is how long an attempt holds up higher weights; default 15 s, negative: no order by weight.
	OrderPatience time.Duration
	// ParallelApply bounds how many releases are applied at once; default 16.
	ParallelApply int
	// PurgeGrace is the time between the announcement and the removal of a release whose module is gone; default 5 min.
	PurgeGrace time.Duration
	// StalledAfter is how long a module may be not Ready, or its attempts fail, before it is Stalled; default 10 min.
	StalledAfter time.Duration
	// ShutdownGrace is how long running hooks and Helm actions may go on at shutdown; default 20 s.
	ShutdownGrace time.Duration
	// HA makes this operator one of several of which one acts (C-450). It needs Pod, the
	// name of the pod, and a ListenAddress that other replicas can reach.
	HA  bool
	Pod string
	// LeaseDuration is how long after the death of the one that acts another takes over; whole seconds, default 10 s.
	LeaseDuration time.Duration
	// KeepTempFiles leaves the files of hooks in place.
	KeepTempFiles bool
	// ProxyJSONLogs joins JSON log lines of hooks over several writes (C-113).
	ProxyJSONLogs bool
	// HookLimits bound each process of hooks; default none. HookFiles is how many bytes a run
	// may write into its files, default 256 MiB. HookUser is who hooks run as, default the operator's own user.
	HookLimits exec.Limits
	HookFiles  int64
	HookUser   *exec.Credential
	// ValidateConfigMap has the API server refuse a ConfigMap that could not be used; it
	// reaches the operator as Webhooks says.
	ValidateConfigMap bool
	// Webhooks is what may be chosen of the answers to admission and conversion reviews:
	// ports, Services, URL, certificates, names. Its clients, logger, namespace and
	// instance are the operator's.
	Webhooks webhook.Config
	// Hooks, if set, are hooks inside the process, beside those that are files.
	Hooks *sdk.Registry
	// CacheDir keeps what was fetched from registries, CacheSize bounds it in bytes. It should outlive the
	// process: the way back from a bad version goes through it.
	CacheDir  string
	CacheSize int64
	// Version is the operator's own, for modules that require one.
	Version string
	// Progress, if set, is called with every status of a module; it must return quickly.
	Progress func(status.Module)
	Logger   *slog.Logger
	// LogLevel, if set, is the level of Logger: the runtime parameter log.level changes it (C-483).
	LogLevel *slog.LevelVar

	elector *leader.Elector // of Run; nil without HA
	// accounts are the ServiceAccounts that modules from disk act as, by module: for tests.
	accounts map[string]string
}

// Defaults is the Config of a start without flags.
func Defaults() Config {
	return Config{
		ConfigMap: "addon-operator", ModulesDir: "modules", GlobalHooksDir: "global-hooks", TempDir: exec.DefaultTempDir(),
		CacheDir: filepath.Join(os.TempDir(), "addon-operator-cache"), CacheSize: 2 << 30,
		UnnumberedWeight: 1, CRDLabels: "heritage=addon-operator", CRDFilters: "doc-,_", HelmHistoryMax: 10,
		HelmTimeout: 20 * time.Minute, ListenAddress: "0.0.0.0:9650", MetricsPrefix: "addon_operator_",
		DebugSocket: "/var/run/addon-operator/debug.socket", HookTimeout: 10 * time.Minute, OrderPatience: 15 * time.Second,
		ParallelApply: 16, OperationTimeout: 10 * time.Second, PurgeGrace: 5 * time.Minute, StalledAfter: 10 * time.Minute, ShutdownGrace: 20 * time.Second, LeaseDuration: 10 * time.Second,
	}
}

// HooksOnly is the Config of a start with a folder of hooks and without further
// flags (section 11.4 of the contract).
func HooksOnly(dir string) Config {
	c := Defaults()
	c.HooksDir, c.ListenAddress, c.MetricsPrefix = dir, "0.0.0.0:9115", "shell_operator_"
	c.TempDir = filepath.Join(filepath.Dir(c.TempDir), "shell-operator")
	c.DebugSocket = "/var/run/shell-operator/debug.socket"
	return c
}

// validate reports everything that is wrong at once.
func (c *Config) validate() error {
	var errs []error
	if c.Namespace == "" && c.HooksDir == "" {
		errs = append(errs, errors.New("no namespace: set --namespace or ADDON_OPERATOR_NAMESPACE to the namespace the operator runs in"))
	}
	if c.HooksDir != "" && !isDir(c.HooksDir) {
		errs = append(errs, fmt.Errorf("hooks directory %s does not exist: name another with --hooks-dir or SHELL_OPERATOR_HOOKS_DIR", c.HooksDir))
	}
	if err := c.validateHA(); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseLabels(c.CRDLabels); err != nil {
		errs = append(errs, fmt.Errorf("--crd-extra-labels: %w", err))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, v := range []string{"ADDON_OPERATOR_TILLER_LISTEN_PORT", "ADDON_OPERATOR_TILLER_PROBE_LISTEN_PORT", "TILLER_MAX_HISTORY", "TILLER_BIN_PATH", "HELM2"} {
		if os.Getenv(v) != "" {
			errs = append(errs, fmt.Errorf("%s is set, but Helm 2 is not supported: unset it", v))
		}
	}
	return errors.Join(errs...)
}

// instance names this operator in labels of what it makes.
func (c *Config) instance() string { return c.Namespace + "." + c.ConfigMap }

func (c *Config) moduleDirs() []string {
	var out []string
	for _, d := range strings.Split(c.ModulesDir, ":") {
		if d != "" {
			out = append(out, absolute(d))
		}
	}
	return out
}

// hooksDir is where global hooks lie (C-007).
func (c *Config) hooksDir() (string, error) {
	dir := absolute(c.GlobalHooksDir)
	if !isDir(dir) {
		return "", fmt.Errorf("global hooks directory %s does not exist: name another with --global-hooks-dir", dir)
	}
	return module.GlobalHooks(dir), nil
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func parseLabels(text string) (map[string]string, error) {
	out := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		if pair == "" {
			continue
		}
		k, v, ok := strings.Cut(pair, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("%q: expected key=value pairs separated by commas", text)
		}
		out[strings.TrimSpace(k)] = strings.TrimSpace(v)
	}
	return out, nil
}

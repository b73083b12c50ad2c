package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Config is what a Runner may use. The zero value of a field means its default.
type Config struct {
	// TempDir holds the files of runs; it is created 0700. Default: DefaultTempDir.
	TempDir string
	// Timeout bounds a run of a hook that sets none itself. Default 10 minutes.
	Timeout time.Duration
	// LoadTimeout bounds --config. Default 1 minute.
	LoadTimeout time.Duration
	// KillGrace lies between SIGTERM and SIGKILL. Default 5 seconds.
	KillGrace time.Duration
	// Slots is how many hook processes run at once. Default 2 per core, at least 4.
	Slots int
	// SlotLease is how long a run keeps its slot; one that outlives it goes on
	// without, so that hanging hooks do not stop the others. Default 10 seconds.
	SlotLease time.Duration
	// OutputLimit is the size in bytes above which an output file is an error. Default 64 MiB;
	// METRICS_PATH may hold 8 MiB at most.
	OutputLimit int64
	// FilesLimit is how many bytes a run may add to the directory of its files; one
	// that writes more is killed. Default 256 MiB: four outputs of OutputLimit. That
	// directory is memory where DefaultTempDir finds room in it.
	FilesLimit int64
	// Limits bound each process of hooks. Default none: what a hook that runs
	// elsewhere may need cannot be guessed.
	Limits Limits
	// Credential is the user that hooks run as. Default the operator's own.
	Credential *Credential
	// KeepTempFiles leaves the files of runs where they are, for debugging (C-104).
	KeepTempFiles bool
	// Kubeconfig is the text of a kubeconfig for a ServiceAccount of the operator's namespace, good for
	// a run that lasts so long. Without it no hook with an Account runs.
	Kubeconfig func(ctx context.Context, account string, lasting time.Duration) ([]byte, error)
	// Env is the environment of hooks, before what the contract adds. Default os.Environ().
	Env []string
	// ProxyJSONLogs lets JSON lines of hooks be 1 MiB long instead of 64 KiB before they are cut (C-113).
	ProxyJSONLogs bool
	// Printed is what people may read of a line that a hook wrote, before long lines
	// are cut: half of a secret value would not be found. Default the line.
	Printed func(string) string
	// Allowed, if set, is asked before each start of an executable; an error is why it may not run now.
	Allowed func() error
	// Probes, if set, names the files of an owner that are health checks, by absolute path: they
	// are not asked for --config.
	Probes func(hook.Owner) []string
	// Logger gets the hooks' output and warnings. Default slog.Default().
	Logger *slog.Logger
}

// DefaultTempDir is addon-operator in shared memory where that has room, else in
// os.TempDir (C-105). A run makes and removes ten small files: on a disk that
// costs as much time as starting a small hook, in memory next to nothing.
func DefaultTempDir() string {
	const memory, room = "/dev/shm", 1 << 30
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err == nil && fs.Type == unix.TMPFS_MAGIC &&
		fs.Bavail*uint64(fs.Bsize) >= room && unix.Access(memory, unix.W_OK|unix.X_OK) == nil {
		return memory + "/addon-operator"
	}
	return filepath.Join(os.TempDir(), "addon-operator")
}

func (c *Config) fill() {
	if c.TempDir == "" {
		c.TempDir = DefaultTempDir()
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Minute
	}
	if c.LoadTimeout <= 0 {
		c.LoadTimeout = time.Minute
	}
	if c.KillGrace <= 0 {
		c.KillGrace = 5 * time.Second
	}
	if c.Slots <= 0 {
		c.Slots = max(4, 2*runtime.GOMAXPROCS(0))
	}
	if c.SlotLease <= 0 {
		c.SlotLease = 10 * time.Second
	}
	if c.OutputLimit <= 0 {
		c.OutputLimit = 64 << 20
	}
	if c.FilesLimit <= 0 {
		c.FilesLimit = 256 << 20
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

// ownVariables are set by this package alone; values from the operator's own
// environment must not reach a hook.
var ownVariables = []string{
	envBindingContext, envValues, envConfigValues, envValuesPatch, envConfigPatch,
	envOperations, envMetrics, envAdmission, envValidating, envConversion,
	envEnabledResult, envEnabledReason, envRun,
}

// Runner runs the executables of hooks. It is safe for concurrent use.
type Runner struct {
	cfg    Config
	env    []string
	dir    *runDir
	guards []*guard
	slots  chan struct{}
	runs   atomic.Int64

	mu    sync.Mutex
	cache map[cacheKey]cached
}

// New makes the process's directory below TempDir, ends what dead operators left
// there, and starts the shell that ends the hooks should this process be killed.
func New(cfg Config) (*Runner, error) {
	cfg.fill()
	dir, err := newRunDir(cfg)
	if err != nil {
		return nil, fmt.Errorf("directory for the files of hooks: %w", err)
	}
	r := &Runner{cfg: cfg, dir: dir, slots: make(chan struct{}, cfg.Slots), cache: map[cacheKey]cached{}}
	r.env = baseEnv(cfg.Env)
	r.startGuards()
	return r, nil
}

// startGuards starts one guard, and a second that can see processes of the hooks' user.
func (r *Runner) startGuards() {
	users := []*Credential{nil}
	if r.cfg.Credential != nil {
		users = append(users, r.cfg.Credential)
	}
	for _, as := range users {
		g, err := startGuard(r.dir.path, as)
		if err != nil {
			// The parent-death signal and the next start still end them.
			r.cfg.Logger.Warn("hooks that a killed operator leaves behind will be ended at the next start only", "error", err)
			continue
		}
		r.guards = append(r.guards, g)
	}
}

func baseEnv(env []string) []string {
	out := make([]string, 0, len(env)+len(ownVariables))
next:
	for _, e := range env {
		for _, name := range ownVariables {
			if rest, ok := strings.CutPrefix(e, name); ok && strings.HasPrefix(rest, "=") {
				continue next
			}
		}
		out = append(out, e)
	}
	return out[:len(out):len(out)]
}

// Close ends processes that hooks left behind and removes the files. Call it when
// no run is under way any more: end their contexts and wait for them first.
func (r *Runner) Close() error {
	sweep{dir: r.dir.path, credential: r.cfg.Credential}.run()
	var errs []error
	for _, g := range r.guards {
		errs = append(errs, g.stop())
	}
	return errors.Join(append(errs, r.dir.remove(r.cfg.KeepTempFiles))...)
}

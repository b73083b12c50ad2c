// Command bench measures how fast the operator converges and how much memory it
// takes, on local control planes, beside what the same work costs without it. The
// floors are measured in the same run on the same cluster:
//
//   - helm: the same charts through the bare Helm SDK, in parallel
//   - objects: the same objects as plain parallel writes
//   - hooks: the same hook commands run bare on all cores
//
// Watching is measured in processes of its own: a bare client-go informer, a
// binding in this program with and without full objects, and the operator with a
// bash hook, over the same objects and the same changes.
//
// The clock of a change runs from exec of the operator, or from the API server's
// answer to the edit, until a watcher of bench's own saw the last wanted object
// with the wanted content. Memory is VmHWM (peak) and VmRSS (idle) of the
// operator's process.
//
// Channels are those of a registry in this program, which counts requests and bytes: what a poll with nothing new
// takes, how long a promotion takes to the cluster, and how long the way back. By itself:
// bench -modules= -distinct=0 -objects=0 -curve= -channels=100 -runs=1
//
// The curve compares what one module costs, in CPU time, as their number grows. By
// itself: bench -modules= -distinct=0 -objects=0 -channels=0 -curve=50,200,1000 -runs=1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// errOver is the failure of --strict.
var errOver = errors.New("a measurement is over its target")

// config is what the flags say.
type config struct {
	modules  []int         // how many modules, one table each
	distinct int           // modules of distinct weights; 0 leaves the measurement out
	objects  int           // watched ConfigMaps; 0 leaves the measurement out
	curve    []int         // how many modules at each point of the curve
	channels int           // modules that follow a channel; 0 leaves the measurement out
	watching bool          // measure watchers beside each other
	runs     int           // how often everything is repeated
	idle     time.Duration // from converged to the reading of idle memory
	parallel int           // actions at once of the Helm and object floors
	operator string        // the operator's binary
	tmp      string        // where directories of measurements are made
	profile  string        // directory for CPU and heap profiles, "" for none
	markdown bool
	strict   bool
	progress io.Writer
}

func parse(args []string) (config, error) {
	cfg := config{progress: os.Stderr}
	modules, curve := "", ""
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&modules, "modules", "10,50,200", "numbers of modules, one table each; empty for none")
	f.StringVar(&curve, "curve", "50,200,1000", "numbers of modules whose cost per module is compared; empty for none")
	f.IntVar(&cfg.distinct, "distinct", 20, "modules with distinct weights; 0 leaves it out")
	f.IntVar(&cfg.channels, "channels", 100, "modules that follow a channel of a registry; 0 leaves it out")
	f.IntVar(&cfg.objects, "objects", 10_000, "ConfigMaps of 6 KB watched by one hook; 0 leaves it out")
	f.BoolVar(&cfg.watching, "watching", true, "measure one binding over these ConfigMaps beside a bare informer")
	f.IntVar(&cfg.runs, "runs", 3, "how often each measurement is repeated")
	f.DurationVar(&cfg.idle, "idle", time.Minute, "how long after convergence idle memory is read")
	f.IntVar(&cfg.parallel, "parallel", 16, "Helm actions and writes at once in the floors")
	f.StringVar(&cfg.operator, "operator", filepath.Join(testkit.Root(), "bin", "addon-operator"), "binary of the operator")
	f.StringVar(&cfg.tmp, "tmp-dir", memoryDir(), "where the directories of the measurements are made")
	f.StringVar(&cfg.profile, "profile", "", "write CPU and heap profiles of the operator into this directory")
	f.BoolVar(&cfg.markdown, "markdown", false, "print Markdown tables")
	f.BoolVar(&cfg.strict, "strict", false, "exit with 1 when a measurement is over its target")
	if err := f.Parse(args); err != nil {
		return cfg, err
	}
	if f.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q: bench takes flags only", f.Arg(0))
	}
	var err error
	if cfg.modules, err = numbers(modules); err != nil {
		return cfg, fmt.Errorf("--modules: %w", err)
	}
	if cfg.curve, err = numbers(curve); err != nil {
		return cfg, fmt.Errorf("--curve: %w", err)
	}
	return cfg, cfg.validate()
}

func (c *config) validate() error {
	if c.runs < 1 || c.parallel < 1 {
		return errors.New("--runs and --parallel must be at least 1")
	}
	if _, err := os.Stat(c.operator); err != nil {
		return fmt.Errorf("the operator is not built: run `make build` first (%w)", err)
	}
	if c.profile == "" {
		return nil
	}
	return os.MkdirAll(c.profile, 0o755)
}

func numbers(list string) ([]int, error) {
	var out []int
	for _, text := range strings.Split(list, ",") {
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 2 {
			return nil, fmt.Errorf("%q: expected numbers of at least 2, separated by commas", text)
		}
		out = append(out, n)
	}
	return out, nil
}

// memoryDir keeps the files of hook runs off the disk, as the operator does by default.
func memoryDir() string {
	const shared = "/dev/shm"
	if dir, err := os.MkdirTemp(shared, "bench-"); err == nil {
		_ = os.Remove(dir)
		return shared
	}
	return os.TempDir()
}

// warnOfLoad says when others are at work: ratios bear that, times do not.
func warnOfLoad(to io.Writer) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return
	}
	one, _, _ := strings.Cut(string(text), " ")
	const quiet = 0.25 // a core
	if load, err := strconv.ParseFloat(one, 64); err == nil && load > quiet*float64(runtime.NumCPU()) {
		fmt.Fprintf(to, "this machine is busy (load %s on %d cores): expect times that are too long\n", one, runtime.NumCPU())
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == watchCommand {
		return contend(ctx, args[1:], out)
	}
	cfg, err := parse(args)
	if err != nil {
		return err
	}
	warnOfLoad(cfg.progress)
	var tables []table
	for _, n := range cfg.modules {
		t, err := measureModules(ctx, cfg, n)
		if err != nil {
			return fmt.Errorf("%d modules: %w", n, err)
		}
		tables = append(tables, t)
	}
	if cfg.distinct > 0 {
		t, err := measureDistinct(ctx, cfg)
		if err != nil {
			return fmt.Errorf("%d distinct weights: %w", cfg.distinct, err)
		}
		tables = append(tables, t)
	}
	if len(cfg.curve) > 0 {
		t, err := measureCurve(ctx, cfg)
		if err != nil {
			return fmt.Errorf("curve: %w", err)
		}
		tables = append(tables, t)
	}
	if cfg.channels > 0 {
		t, err := measureChannels(ctx, cfg)
		if err != nil {
			return fmt.Errorf("%d modules of a channel: %w", cfg.channels, err)
		}
		tables = append(tables, t)
	}
	if cfg.objects > 0 {
		watched, err := measureWatched(ctx, cfg)
		if err != nil {
			return fmt.Errorf("%d watched objects: %w", cfg.objects, err)
		}
		tables = append(tables, watched...)
	}
	if err := printAll(out, tables, cfg.markdown); err != nil {
		return err
	}
	for _, t := range tables {
		if cfg.strict && t.over() {
			return errOver
		}
	}
	return nil
}

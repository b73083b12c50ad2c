package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// Changes of one measurement of watching: as fast as they can be written, and one
// after the other.
const (
	burstChanges = 2000
	pacedChanges = 100
	pace         = 50 * time.Millisecond
)

// eventHook writes when it was started, and for what.
const eventHook = `#!/usr/bin/env bash
now=${EPOCHREALTIME/./}
if [[ ${1:-} == --config ]]; then
  cat <<'YAML'
configVersion: v1
kubernetes:
- name: many
  apiVersion: v1
  kind: ConfigMap
  namespace: {nameSelector: {matchNames: [watched]}}
  labelSelector: {matchLabels: {bench: watched}}
  jqFilter: .data.key
  keepFullObjectsInMemory: false
YAML
  exit 0
fi
jq -r --arg now "$now" '"run", (.[] | if .type == "Synchronization" then "listed" else "\"\(.filterResult)\"" end) | "\($now) \(.)"' \
  "$BINDING_CONTEXT_PATH" >> "$0.txt"
`

// watcher is a process that is measured, and the file that it writes its lines to.
type watcher struct {
	name string
	*operator
	file string
}

// sight is a line of a watcher.
type sight struct {
	at   time.Time
	what string
}

// watchingRow is what was measured of one watcher.
type watchingRow struct {
	listed           time.Duration
	heap, peak, idle float64 // MB
	rate             float64 // changes a second
	p50, p99         time.Duration
	runs             int // of the hook, for the burst
}

// measureWatching makes the table of watchers of the objects that w has written.
func (w *watching) measureWatching(ctx context.Context) (table, error) {
	t := table{
		title: fmt.Sprintf("One binding over %d ConfigMaps of %d KB, each watcher in a process of its own; %d changes by 16 writers, then %d one every %s. Latency is from sending the change to the handler, or to the first line of the hook",
			w.cfg.objects, watchedBytes>>10, burstChanges, pacedChanges, pace),
		plain: [][]string{{"", "listed after", "live heap", "peak memory", "memory after 5 s", "events/s", "p50", "p99", "runs for the burst"}},
	}
	for _, c := range []struct {
		name  string
		start func(context.Context) (*watcher, error)
	}{
		{"bare client-go informer", func(context.Context) (*watcher, error) { return w.contender(bareInformer) }},
		{"binding, full objects", func(context.Context) (*watcher, error) { return w.contender(fullBinding) }},
		{"binding, keepFullObjectsInMemory: false", func(context.Context) (*watcher, error) { return w.contender(projectBinding) }},
		{"operator with a bash hook", w.hooksOnly},
	} {
		fmt.Fprintf(w.cfg.progress, "watching: %s\n", c.name)
		row, err := w.watcherRow(ctx, c.start)
		if err != nil {
			return t, fmt.Errorf("%s: %w", c.name, err)
		}
		t.plain = append(t.plain, append([]string{c.name}, row.cells()...))
	}
	return t, nil
}

func (r watchingRow) cells() []string {
	heap, runs := "–", "–"
	if r.heap > 0 {
		heap = fmt.Sprintf("%.1f MB", r.heap)
	}
	if r.runs > 0 {
		runs = strconv.Itoa(r.runs)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	return []string{fmt.Sprintf("%.2f s", r.listed.Seconds()), heap, fmt.Sprintf("%.0f MB", r.peak), fmt.Sprintf("%.0f MB", r.idle),
		fmt.Sprintf("%.0f", r.rate), ms(r.p50), ms(r.p99), runs}
}

// contender starts this program as a watcher.
func (w *watching) contender(kind string) (*watcher, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return w.process(kind, func(dir, file string) (*exec.Cmd, error) {
		out, err := os.Create(file)
		if err != nil {
			return nil, err
		}
		cmd := exec.Command(self, watchCommand, kind, w.cluster.Kubeconfig)
		cmd.Stdout = out
		return cmd, nil
	})
}

// hooksOnly starts the operator with nothing but the hook.
func (w *watching) hooksOnly(context.Context) (*watcher, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return w.process("operator", func(dir, file string) (*exec.Cmd, error) {
		hooks := filepath.Dir(file)
		if err := os.WriteFile(strings.TrimSuffix(file, ".txt"), []byte(eventHook), 0o755); err != nil {
			return nil, err
		}
		return exec.Command(w.cfg.operator, "start", "--hooks-dir", hooks, "--kube-config", w.cluster.Kubeconfig,
			"--namespace", testkit.FactNamespace, "--tmp-dir", filepath.Join(dir, "tmp"), "--debug-unix-socket", filepath.Join(dir, "socket"),
			"--prometheus-listen-address", "127.0.0.1", "--prometheus-listen-port", port), nil
	})
}

func (w *watching) process(name string, command func(dir, file string) (*exec.Cmd, error)) (*watcher, error) {
	dir, err := os.MkdirTemp(w.cfg.tmp, "watching-")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "hooks"), 0o755); err != nil {
		return nil, err
	}
	o := &watcher{name: name, file: filepath.Join(dir, "hooks", "hook.sh.txt"),
		operator: &operator{log: filepath.Join(dir, "log"), died: make(chan error, 1), gone: make(chan struct{})}}
	cmd, err := command(dir, o.file)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(o.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Dir, cmd.Stderr = dir, log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	return o, o.start(cmd)
}

func (w *watching) watcherRow(ctx context.Context, start func(context.Context) (*watcher, error)) (row watchingRow, err error) {
	o, err := start(ctx)
	if err != nil {
		return row, err
	}
	defer func() {
		o.stop()
		if err == nil {
			_ = os.RemoveAll(filepath.Dir(filepath.Dir(o.file)))
		}
	}()
	listed, err := o.await(ctx, "listed", 1)
	if err != nil {
		return row, err
	}
	row.listed = listed[0].at.Sub(o.started)
	if err := o.pause(ctx, 5*time.Second); err != nil {
		return row, err
	}
	if row.peak, err = o.memory("VmHWM"); err != nil {
		return row, err
	}
	if row.idle, err = o.memory("VmRSS"); err != nil {
		return row, err
	}
	if row.heap, err = o.heap(); err != nil {
		return row, err
	}
	if err := w.burst(ctx, o, &row); err != nil {
		return row, err
	}
	return row, w.paced(ctx, o, &row)
}

// burst changes many objects as fast as 16 writers can.
func (w *watching) burst(ctx context.Context, o *watcher, row *watchingRow) error {
	before := o.count("run")
	began := time.Now()
	group, inner := errgroup.WithContext(ctx)
	const writers = 16
	group.SetLimit(writers)
	for i := range min(burstChanges, w.cfg.objects) {
		group.Go(func() error { return w.change(inner, i, fmt.Sprintf("b-%s-%d-%05d", o.name, o.pid, i)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	all, err := o.await(ctx, fmt.Sprintf(`"b-%s-`, o.name), min(burstChanges, w.cfg.objects))
	if err != nil {
		return err
	}
	row.rate = float64(len(all)) / all[len(all)-1].at.Sub(began).Seconds()
	row.runs = o.count("run") - before
	return nil
}

// paced changes one object after the other and compares the clocks.
func (w *watching) paced(ctx context.Context, o *watcher, row *watchingRow) error {
	sent := map[string]time.Time{}
	for i := range min(pacedChanges, w.cfg.objects) {
		key := fmt.Sprintf("p-%s-%d-%05d", o.name, o.pid, i)
		sent[fmt.Sprintf("%q", key)] = time.Now()
		if err := w.change(ctx, i, key); err != nil {
			return err
		}
		if err := o.pause(ctx, pace); err != nil {
			return err
		}
	}
	all, err := o.await(ctx, fmt.Sprintf(`"p-%s-`, o.name), len(sent))
	if err != nil {
		return err
	}
	var took []time.Duration
	for _, s := range all {
		took = append(took, s.at.Sub(sent[s.what]))
	}
	slices.Sort(took)
	row.p50, row.p99 = took[len(took)/2], took[len(took)*99/100]
	return nil
}

func (w *watching) change(ctx context.Context, object int, key string) error {
	_, err := w.cluster.typed.CoreV1().ConfigMaps(watchedNamespace).Patch(ctx, fmt.Sprintf("watched-%05d", object), types.MergePatchType,
		fmt.Appendf(nil, `{"data":{"key":%q}}`, key), metav1.PatchOptions{})
	return err
}

// await returns the lines that begin so, once there are as many.
func (o *watcher) await(ctx context.Context, prefix string, n int) ([]sight, error) {
	deadline := time.Now().Add(patience)
	for {
		all, err := o.sights(prefix)
		if err != nil {
			return nil, err
		}
		if len(all) >= n {
			return all, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d of %d lines %s… within %s; its log: %s\n%s", len(all), n, prefix, patience, o.log, o.tail())
		}
		if err := o.pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// sights are the full lines that begin so, in their order.
func (o *watcher) sights(prefix string) ([]sight, error) {
	text, err := os.ReadFile(o.file)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var all []sight
	for line := range strings.Lines(string(text)) {
		micros, what, found := strings.Cut(line, " ")
		if !found || !strings.HasSuffix(what, "\n") || !strings.HasPrefix(what, prefix) {
			continue
		}
		n, err := strconv.ParseInt(micros, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is no line of a watcher", o.file, line)
		}
		all = append(all, sight{time.UnixMicro(n), strings.TrimSuffix(what, "\n")})
	}
	return all, nil
}

func (o *watcher) count(prefix string) int {
	all, _ := o.sights(prefix)
	return len(all)
}

// heap is the live heap that a contender told, in MB; 0 of the operator.
func (o *watcher) heap() (float64, error) {
	all, err := o.sights("heap ")
	if err != nil || len(all) == 0 {
		return 0, err
	}
	n, err := strconv.ParseFloat(strings.TrimPrefix(all[0].what, "heap "), 64)
	return n / 1e6, err
}

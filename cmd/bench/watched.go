package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// The ConfigMaps of the memory measurement.
const (
	watchedNamespace = "watched"
	watchedBytes     = 6 << 10
)

// watchingHook writes how many objects its snapshot holds, and the greatest filter
// result, into a file beside itself.
const watchingHook = `#!/usr/bin/env bash
set -euo pipefail
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
  includeSnapshotsFrom: [many]
YAML
  exit 0
fi
jq -r '.[-1].snapshots.many | "\(length) \(map(.filterResult) | max)"' "$BINDING_CONTEXT_PATH" > "$0.txt.new"
mv "$0.txt.new" "$0.txt"
`

// measureWatched makes the tables of watchers of many big objects.
func measureWatched(ctx context.Context, cfg config) ([]table, error) {
	c, err := startCluster(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	w := &watching{cfg: cfg, cluster: c, sheet: sheet{}}
	fmt.Fprintf(cfg.progress, "%d watched ConfigMaps: writing them\n", cfg.objects)
	if err := w.fill(ctx); err != nil {
		return nil, err
	}
	var tables []table
	if cfg.watching {
		t, err := w.measureWatching(ctx)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
		if err := w.reset(ctx); err != nil {
			return nil, err
		}
	}
	for run := range cfg.runs {
		fmt.Fprintf(cfg.progress, "%d watched ConfigMaps: run %d of %d\n", cfg.objects, run+1, cfg.runs)
		if err := w.run(ctx, run); err != nil {
			return nil, err
		}
	}
	return append(tables, w.sheet.watched(cfg.objects, cfg.idle)), nil
}

// reset gives the objects that measureWatching changed their first keys back.
func (w *watching) reset(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(w.cfg.parallel)
	for i := range min(burstChanges, w.cfg.objects) {
		group.Go(func() error { return w.change(ctx, i, fmt.Sprintf("watched-%05d", i)) })
	}
	return group.Wait()
}

type watching struct {
	cfg     config
	cluster *cluster
	sheet   sheet
}

// fill creates the ConfigMaps.
func (w *watching) fill(ctx context.Context) error {
	if err := w.cluster.namespace(ctx, watchedNamespace); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	const writers = 16
	group.SetLimit(writers)
	text := strings.Repeat("0123456789abcdef", watchedBytes/16)
	for i := range w.cfg.objects {
		group.Go(func() error {
			name := fmt.Sprintf("watched-%05d", i)
			_, err := w.cluster.typed.CoreV1().ConfigMaps(watchedNamespace).Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"bench": "watched"}},
				Data:       map[string]string{"key": name, "text": text},
			}, metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

// run starts an operator, waits until its hook saw all objects, then changes one.
func (w *watching) run(ctx context.Context, run int) error {
	work, err := newWorkload(w.cfg.tmp, fmt.Sprintf("bench-watching-%d", run), "none", testkit.Synthetic{})
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			work.remove()
		}
	}()
	file := filepath.Join(work.dir, globalHook)
	if err := os.WriteFile(file, []byte(watchingHook), 0o755); err != nil {
		return err
	}
	if err := w.cluster.namespace(ctx, work.namespace); err != nil {
		return err
	}
	if err := w.cluster.configMap(ctx, work.namespace, settingsName, nil); err != nil {
		return err
	}
	o, err := startOperator(place{binary: w.cfg.operator, kubeconfig: w.cluster.Kubeconfig, dir: work.dir, namespace: work.namespace})
	if err != nil {
		return err
	}
	defer o.stop()
	if err := w.observe(ctx, o, file+".txt", run); err != nil {
		return fmt.Errorf("%w; the operator's log: %s", err, o.log)
	}
	o.stop()
	work.remove()
	return w.cluster.clear(ctx, work.namespace)
}

func (w *watching) observe(ctx context.Context, o *operator, result string, run int) error {
	if _, err := o.ready(ctx); err != nil {
		return err
	}
	last := fmt.Sprintf("watched-%05d", w.cfg.objects-1)
	if run > 0 {
		last = changedKey(run - 1)
	}
	if err := w.told(ctx, o, result, last); err != nil {
		return err
	}
	if err := o.quiet(ctx); err != nil {
		return err
	}
	patch := fmt.Sprintf(`{"data":{"key":%q}}`, changedKey(run))
	if _, err := w.cluster.typed.CoreV1().ConfigMaps(watchedNamespace).Patch(ctx, "watched-00000", types.MergePatchType,
		[]byte(patch), metav1.PatchOptions{}); err != nil {
		return err
	}
	if err := w.told(ctx, o, result, changedKey(run)); err != nil {
		return err
	}
	return w.memory(ctx, o)
}

// changedKey sorts behind the keys of all objects and of earlier runs.
func changedKey(run int) string { return fmt.Sprintf("x-%05d", run) }

// told returns when the hook has seen all objects, the given key the greatest.
func (w *watching) told(ctx context.Context, o *operator, file, key string) error {
	want := fmt.Sprintf("%d %s\n", w.cfg.objects, key)
	deadline := time.Now().Add(patience)
	for {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if string(text) == want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the hook's snapshot: got %q, expected %q", text, want)
		}
		if err := o.pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func (w *watching) memory(ctx context.Context, o *operator) error {
	mb, err := o.memory("VmHWM")
	if err != nil {
		return err
	}
	w.sheet.add(peakMemory, byOperator, mb)
	if len(w.sheet[idleMemory]) > 0 {
		return nil
	}
	if w.cfg.profile != "" {
		if err := o.profile(ctx, filepath.Join(w.cfg.profile, "watched-heap.pprof"), "heap"); err != nil {
			return err
		}
	}
	if err := o.pause(ctx, w.cfg.idle); err != nil {
		return err
	}
	if mb, err = o.memory("VmRSS"); err != nil {
		return err
	}
	w.sheet.add(idleMemory, byOperator, mb)
	return nil
}

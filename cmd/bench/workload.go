package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// workload is the input of one measurement: modules on disk, the namespace their
// objects go to, and what the objects show.
type workload struct {
	modules   testkit.Synthetic
	dir       string // holds modules and global-hooks
	namespace string
	fact      string         // what every module's hook copies from the global values
	notes     map[int]string // what the settings of single modules say; default none
}

// noNote is the note of a module without a setting of its own, as testkit writes it.
const noNote = "none"

func newWorkload(tmp, namespace, fact string, modules testkit.Synthetic) (workload, error) {
	modules.ConfigMaps = configMaps
	dir, err := os.MkdirTemp(tmp, namespace+"-")
	if err != nil {
		return workload{}, err
	}
	w := workload{modules: modules, dir: dir, namespace: namespace, fact: fact, notes: map[int]string{}}
	return w, modules.Write(dir)
}

// configMaps is how many each module has, beside one Deployment.
const configMaps = 8

func (w workload) remove() { _ = os.RemoveAll(w.dir) }

// sub makes a directory for files of a measurement.
func (w workload) sub(name string) string { return filepath.Join(w.dir, name) }

func (w workload) names() []string {
	out := make([]string, w.modules.Modules)
	for i := range out {
		out[i] = w.modules.Name(i)
	}
	return out
}

func (w workload) note(i int) string {
	if n, ok := w.notes[i]; ok {
		return n
	}
	return noNote
}

// values are what the operator would hand to the chart of module i.
func (w workload) values(i int) map[string]any {
	return map[string]any{w.modules.Name(i): map[string]any{"replicas": w.modules.Replicas, "note": w.note(i), "seen": w.fact}}
}

// everything is what the cluster shows when all modules are installed.
func (w workload) everything() wanted {
	out := w.shown()
	for i := range w.modules.Modules {
		out.deployment(w.modules.Name(i))
	}
	return out
}

// shown are the ConfigMaps of all modules.
func (w workload) shown() wanted {
	out := wanted{}
	for i := range w.modules.Modules {
		w.showing(out, i)
	}
	return out
}

// edited are the ConfigMaps of one module.
func (w workload) edited(i int) wanted {
	out := wanted{}
	w.showing(out, i)
	return out
}

func (w workload) showing(out wanted, i int) {
	for c := range configMaps {
		out.configMap(fmt.Sprintf("%s-%d", w.modules.Name(i), c), w.fact, w.note(i))
	}
}

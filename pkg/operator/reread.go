package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/addon-operator/addon-operator/pkg/dirwatch"
	"github.com/addon-operator/addon-operator/pkg/module"
)

// readModules reads the modules' directories.
func readModules(cfg Config) (*module.Set, error) {
	set, err := module.Load(cfg.moduleDirs(), module.LoadOptions{
		UnnumberedWeight: cfg.UnnumberedWeight, Strict: cfg.Strict, GlobalHooksDir: absolute(cfg.GlobalHooksDir),
		CRDFilterPrefixes: strings.Split(cfg.CRDFilters, ","),
	})
	if err != nil {
		return nil, err
	}
	for name, account := range cfg.accounts {
		if m := set.Get(name); m != nil {
			m.Origin.ServiceAccount = account
		}
	}
	return set, nil
}

// watchModules puts modules in force that change on disk while the process runs.
func (w *wiring) watchModules(ctx context.Context) error {
	return dirwatch.Run(ctx, dirwatch.Config{Dirs: w.moduleFiles(), Logger: w.cfg.Logger}, w.reread)
}

// moduleFiles are the directories that modules are made of, library charts included.
func (w *wiring) moduleFiles() []string {
	dirs := append(w.cfg.moduleDirs(), absolute(w.cfg.GlobalHooksDir))
	return append(dirs, w.loop.Modules().Libraries...)
}

// rereads is how often one reading is tried while the files go on changing.
const rereads = 5

// reread reads the directories anew and puts what changed in force, as a whole: files
// that change while they are read are read again.
func (w *wiring) reread(ctx context.Context) {
	set, err := w.readAtRest()
	if err == nil {
		w.channels.engine.Embedded(set)
	}
	if err != nil && ctx.Err() == nil {
		w.meter.DiscoverFailed()
		message := "the modules' directories cannot be read anew; what was read before stays in force: " + err.Error()
		w.cfg.Logger.Error(message)
		w.reporter.Event("", true, "ModulesUnreadable", message)
	}
}

// readAtRest reads the directories until two readings in a row are the same. Between
// them the charts are parsed, so that what was read is what will be rendered.
func (w *wiring) readAtRest() (*module.Set, error) {
	var last string
	for range rereads {
		set, err := readModules(w.cfg)
		if err != nil {
			return nil, err
		}
		now := fingerprint(set)
		broken := w.preload(set)
		if now == last {
			set.Modules = slices.DeleteFunc(set.Modules, func(m *module.Descriptor) bool { return broken[m.Name] != nil })
			maps.Copy(set.Broken, broken)
			return set, nil
		}
		last = now
	}
	return nil, fmt.Errorf("files changed during each of %d readings; they are read again when they have come to rest", rereads)
}

// preload parses the charts and answers the modules whose chart is none.
func (w *wiring) preload(set *module.Set) map[string]error {
	broken := map[string]error{}
	for _, m := range set.Modules {
		if err := w.helm.Preload(m); err != nil {
			broken[m.Name] = err
		}
	}
	return broken
}

func fingerprint(set *module.Set) string {
	var b strings.Builder
	fmt.Fprint(&b, set.GlobalDigest, set.GlobalHooksDigest)
	for _, m := range set.Modules {
		fmt.Fprintf(&b, " %s=%s", m.Dir, m.Digest)
	}
	fmt.Fprintf(&b, " %v", set.Broken)
	return b.String()
}

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/addon-operator/addon-operator/pkg/exec"
	"github.com/addon-operator/addon-operator/pkg/operator"
)

// limitFlags are the bounds of hooks whose values have another form in operator.Config.
type limitFlags struct {
	memory, fileSize, files, user string
	openFiles, processes          int
}

// limits are the flags that bound what hooks may use. None is set by default but that of a run's own files.
func (b binder) limits(cfg *operator.Config) *limitFlags {
	l := &limitFlags{}
	b.duration(&cfg.HookLimits.CPU, "hook-cpu-limit", "processor time of one process of a hook, e.g. 30s; 0 is no limit", "ADDON_OPERATOR_HOOK_CPU_LIMIT")
	b.text(&l.memory, "hook-memory-limit", "memory of one process of a hook, e.g. 512Mi", "ADDON_OPERATOR_HOOK_MEMORY_LIMIT")
	b.text(&l.fileSize, "hook-file-size-limit", "size of any file that a hook may write, e.g. 1Gi", "ADDON_OPERATOR_HOOK_FILE_SIZE_LIMIT")
	b.text(&l.files, "hook-files-limit", "what a run may write into its own files, 256Mi by default", "ADDON_OPERATOR_HOOK_FILES_LIMIT")
	b.number(&l.openFiles, "hook-open-files-limit", "open files of one process of a hook", "ADDON_OPERATOR_HOOK_OPEN_FILES_LIMIT")
	b.number(&l.processes, "hook-processes-limit", "processes of the user that hooks run as", "ADDON_OPERATOR_HOOK_PROCESSES_LIMIT")
	b.text(&l.user, "hook-user", "user that hooks run as, UID or UID:GID; the operator's own by default", "ADDON_OPERATOR_HOOK_USER")
	return l
}

// fill puts into cfg what the flags say.
func (l *limitFlags) fill(cfg *operator.Config) error {
	for name, x := range map[string]struct {
		text string
		to   *int64
	}{
		"hook-memory-limit":    {l.memory, &cfg.HookLimits.Memory},
		"hook-file-size-limit": {l.fileSize, &cfg.HookLimits.FileSize},
		"hook-files-limit":     {l.files, &cfg.HookFiles},
	} {
		if x.text == "" {
			continue
		}
		q, err := resource.ParseQuantity(x.text)
		if err != nil || q.Sign() < 0 {
			return fmt.Errorf("--%s is %q: expected a size such as 512Mi or 1Gi", name, x.text)
		}
		*x.to = q.Value()
	}
	cfg.HookLimits.OpenFiles, cfg.HookLimits.Processes = int64(max(0, l.openFiles)), int64(max(0, l.processes))
	if l.user == "" {
		return nil
	}
	uid, gid, both := strings.Cut(l.user, ":")
	if !both {
		gid = uid
	}
	ids := [2]uint32{}
	for i, text := range []string{uid, gid} {
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == math.MaxUint32 {
			return fmt.Errorf("--hook-user is %q: expected UID or UID:GID, numbers such as 65534:65534", l.user)
		}
		ids[i] = uint32(n)
	}
	cfg.HookUser = &exec.Credential{UID: ids[0], GID: ids[1]}
	return nil
}

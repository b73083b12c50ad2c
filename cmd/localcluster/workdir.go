package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Files of a cluster, relative to its directory, which is also the working
// directory of every process of it (socket names must be short).
const (
	fileLock                        = ".localcluster.lock"
	fileKubeconfig                  = "kubeconfig"
	fileControllerManagerKubeconfig = "pki/controller-manager.kubeconfig"
	fileSchedulerKubeconfig         = "pki/scheduler.kubeconfig"
	fileKwokKubeconfig              = "pki/kwok.kubeconfig"
	fileCloudKubeconfig             = "pki/cloud.kubeconfig"
	fileCACert                      = "pki/ca.crt"
	fileCAKey                       = "pki/ca.key"
	fileServerCert                  = "pki/apiserver.crt"
	fileServerKey                   = "pki/apiserver.key"
	fileTokenKey                    = "pki/service-account.key"
	fileEgressConfig                = "config/egress.yaml"
	fileAuditPolicy                 = "config/audit-policy.yaml"
	fileSchedulerConfig             = "config/scheduler.yaml"
	fileKwokConfig                  = "config/kwok.yaml"
	fileAuditLog                    = "audit.log"
	fileEtcdSocket                  = "etcd.sock"
	filePeerSocket                  = "etcd-peer.sock"
	fileControlSocket               = "control.sock"
	fileClusterNetworkSocket        = "cluster-network.sock"
	dirEtcd                         = "etcd"
	dirLogs                         = "logs"
	dirBin                          = "bin"
	dirKubectlCache                 = "kubectl-cache"
)

// kubeconfigMark is the first line of the kubeconfigs written here; a file with it
// may be overwritten.
const kubeconfigMark = "# Written by localcluster; removed when it stops."

const tempPrefix = "localcluster-"

// madeEntries are the top-level names a cluster may make in its directory: what is
// removed at its end, and nothing else.
func madeEntries() []string {
	return []string{
		fileKubeconfig, "pki", "config", dirEtcd, dirLogs, dirBin, dirKubectlCache, fileAuditLog,
		fileEtcdSocket, filePeerSocket, fileControlSocket, fileClusterNetworkSocket,
	}
}

// workdir is the directory of one running cluster, locked for as long as it runs.
type workdir struct {
	Path string // absolute
	made bool   // we made the directory itself
	lock *os.File
}

// openWorkdir makes and locks the directory. An empty path means a new temporary
// directory; then those of killed clusters are removed as well.
func openWorkdir(path string) (*workdir, error) {
	if path == "" {
		sweepAbandoned(os.TempDir())
		tmp, err := os.MkdirTemp("", tempPrefix)
		if err != nil {
			return nil, err
		}
		return lockWorkdir(&workdir{Path: tmp, made: true})
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	made := false
	if _, err := os.Stat(abs); errors.Is(err, fs.ErrNotExist) {
		made = true
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, err
	}
	return lockWorkdir(&workdir{Path: abs, made: made})
}

func lockWorkdir(w *workdir) (*workdir, error) {
	lockPath := filepath.Join(w.Path, fileLock)
	_, err := os.Stat(lockPath)
	ours := err == nil
	if w.lock, err = tryLock(lockPath); err != nil {
		return nil, fmt.Errorf("%s is in use by another localcluster: %w", w.Path, err)
	}
	if err := w.clear(ours); err != nil {
		return nil, errors.Join(err, w.unlock())
	}
	for _, dir := range []string{"pki", "config", dirEtcd, dirLogs, dirBin} {
		if err := os.MkdirAll(filepath.Join(w.Path, dir), 0o700); err != nil {
			return nil, errors.Join(err, w.Remove())
		}
	}
	return w, nil
}

// clear makes room for a new cluster: what a killed one left behind (ours: its lock
// file is there) is removed, anything else of such a name is an error.
func (w *workdir) clear(ours bool) error {
	for _, name := range madeEntries() {
		path := filepath.Join(w.Path, name)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !ours {
			return fmt.Errorf("%s exists and was not made by localcluster: choose another --dir", path)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes what the cluster made, and the directory if it made that too and
// nothing else is in it, and unlocks it.
func (w *workdir) Remove() error {
	var errs []error
	for _, name := range madeEntries() {
		errs = append(errs, os.RemoveAll(filepath.Join(w.Path, name)))
	}
	errs = append(errs, w.unlock())
	if w.made {
		if err := os.Remove(w.Path); err != nil && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *workdir) unlock() error {
	return errors.Join(os.Remove(w.lock.Name()), w.lock.Close())
}

func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweepAbandoned removes temporary directories of clusters whose supervisor was
// killed: nobody holds their lock. Young ones are left alone, they may be starting.
func sweepAbandoned(tmp string) {
	entries, err := os.ReadDir(tmp)
	if err != nil {
		return
	}
	for _, e := range entries {
		path := filepath.Join(tmp, e.Name())
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		info, err := os.Stat(filepath.Join(path, fileLock))
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := tryLock(filepath.Join(path, fileLock))
		if err != nil {
			continue
		}
		_ = (&workdir{Path: path, made: true, lock: lock}).Remove()
	}
}

// linkKubectl puts this binary as kubectl into the bin directory.
func (w *workdir) linkKubectl() error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	return os.Symlink(self, filepath.Join(w.Path, dirBin, "kubectl"))
}

// copyKubeconfig writes the administrator's kubeconfig to the user's path and
// returns what removes it again. A file that localcluster did not write stays.
func (w *workdir) copyKubeconfig(to string) (remove func() error, err error) {
	text, err := os.ReadFile(filepath.Join(w.Path, fileKubeconfig))
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(to)
	switch {
	case err == nil && !strings.HasPrefix(string(old), kubeconfigMark):
		return nil, fmt.Errorf("%s exists and was not written by localcluster: choose another --kubeconfig", to)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.WriteFile(to, text, 0o600); err != nil {
		return nil, err
	}
	return func() error { return os.Remove(to) }, nil
}

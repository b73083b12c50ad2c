// Package testkit holds what tests share: a real control plane, builders and
// waiting on conditions.
package testkit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A LocalCluster is a running control plane of cmd/localcluster.
type LocalCluster struct {
	// Kubeconfig is the path of an administrator's kubeconfig.
	Kubeconfig string
	// Dir holds the control plane's files.
	Dir string

	cmd *exec.Cmd
}

var shared struct {
	once    sync.Once
	cluster *LocalCluster
	err     error
}

// Run is for TestMain: it runs the tests and stops the shared cluster, if one was started.
func Run(m *testing.M) int {
	code := m.Run()
	if shared.cluster != nil {
		shared.cluster.Stop()
	}
	return code
}

// Shared is the cluster of this test binary, started on first use. The package's
// TestMain must call Run.
func Shared(t testing.TB) *LocalCluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = Start() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// Cluster is the client configuration of Shared, without client-side throttling.
func Cluster(t testing.TB) *rest.Config {
	t.Helper()
	return Shared(t).Config(t)
}

// StopAPIServer stops the API server of Shared alone.
func StopAPIServer(t testing.TB) { Shared(t).control(t, "stop") }

// StartAPIServer starts it again and returns when it is ready.
func StartAPIServer(t testing.TB) { Shared(t).control(t, "start") }

// Config is the client configuration of an administrator.
func (c *LocalCluster) Config(t testing.TB) *rest.Config {
	t.Helper()
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.QPS = -1
	return cfg
}

// StopAPIServer stops the API server alone.
func (c *LocalCluster) StopAPIServer(t testing.TB) { c.control(t, "stop") }

// StartAPIServer starts it again and returns when it is ready.
func (c *LocalCluster) StartAPIServer(t testing.TB) { c.control(t, "start") }

func (c *LocalCluster) control(t testing.TB, verb string) {
	t.Helper()
	out, err := exec.Command(binary(), "apiserver", verb, "--dir", c.Dir).CombinedOutput()
	if err != nil {
		t.Fatalf("localcluster apiserver %s: %v\n%s", verb, err, out)
	}
}

var ready = regexp.MustCompile(`^ready in .* kubeconfig=(\S+)`)

// Start runs `localcluster up` with more arguments and returns when it is ready.
func Start(args ...string) (*LocalCluster, error) {
	bin := binary()
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("the local control plane is not built: run `make bin/localcluster` first (%w)", err)
	}
	dir, err := os.MkdirTemp("", "addon-operator-test-")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, append([]string{"up", "--dir", dir}, args...)...)
	cmd.Stderr = os.Stderr
	// The signal is tied to the thread that starts it, hence the locked goroutine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- cmd.Start()
		select {} // keep the thread
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		s := bufio.NewScanner(out)
		for s.Scan() {
			if m := ready.FindStringSubmatch(s.Text()); m != nil {
				line <- m[1]
			}
		}
		close(line)
	}()
	select {
	case kubeconfig, ok := <-line:
		if !ok {
			return nil, fmt.Errorf("localcluster ended before it was ready: %w", cmd.Wait())
		}
		return &LocalCluster{Kubeconfig: kubeconfig, Dir: dir, cmd: cmd}, nil
	case <-time.After(2 * time.Minute):
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("localcluster was not ready within 2 minutes")
	}
}

// Stop stops the control plane and removes its files.
func (c *LocalCluster) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	_ = c.cmd.Wait()
	_ = os.RemoveAll(c.Dir)
}

// Root is the project's top directory.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

func binary() string {
	if b := os.Getenv("LOCALCLUSTER"); b != "" {
		return b
	}
	return filepath.Join(Root(), "bin", "localcluster")
}

// Eventually waits until ok answers true, looking again every 10 ms, and fails
// the test with what() after two minutes.
func Eventually(t testing.TB, ok func() bool, what func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("condition not met: %s", what())
		}
	}
}

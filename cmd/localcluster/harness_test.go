//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is how long a test waits for a condition before it fails.
const patience = 90 * time.Second

// binaryEnv names the built binary for the tests of this package.
const binaryEnv = "LOCALCLUSTER_TEST_BINARY"

func TestMain(m *testing.M) {
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lc-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "localcluster")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build localcluster:", err)
		return 1
	}
	if err := os.Setenv(binaryEnv, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func binary() string { return os.Getenv(binaryEnv) }

// running is a "localcluster up" of a test.
type running struct {
	dir        string
	kubeconfig string
	cmd        *exec.Cmd
	stderr     *lockedBuffer
	stdout     *lockedBuffer // everything after the first line
	ended      chan struct{}
	err        error // valid once ended is closed
	client     kubernetes.Interface
	rest       *rest.Config
}

// startUp runs "up" in dir and returns once it said that it is ready. At the end of
// the test it is stopped if it still runs, and must leave nothing behind.
func startUp(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	r := &running{dir: dir, stderr: &lockedBuffer{}, stdout: &lockedBuffer{}, ended: make(chan struct{})}
	r.cmd = exec.Command(binary(), append([]string{"up", "--dir", dir}, args...)...)
	r.cmd.Stderr = r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first := make(chan string, 1)
	go func() {
		line, _ := lines.ReadString('\n')
		first <- line
		_, _ = io.Copy(r.stdout, lines)
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	t.Cleanup(func() { r.stop(t) })
	select {
	case line := <-first:
		m := regexp.MustCompile(`^ready in \d+\.\ds kubeconfig=(\S+)\n$`).FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("first line of up is %q; stderr:\n%s", line, r.stderr)
		}
		r.kubeconfig = m[1]
		t.Log(strings.TrimSpace(line))
	case <-time.After(patience):
		t.Fatalf("up was not ready within %s; stderr:\n%s", patience, r.stderr)
	}
	if r.rest, err = clientcmd.BuildConfigFromFlags("", r.kubeconfig); err != nil {
		t.Fatal(err)
	}
	r.rest.QPS = -1
	if r.client, err = kubernetes.NewForConfig(r.rest); err != nil {
		t.Fatal(err)
	}
	return r
}

// stop interrupts the cluster and checks that it ends well and leaves nothing.
func (r *running) stop(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
		return // the test ended it and looked at how
	default:
	}
	_ = r.cmd.Process.Signal(syscall.SIGINT)
	if err := r.wait(t); err != nil {
		t.Errorf("up ended with %v after SIGINT; stderr:\n%s", err, r.stderr)
	}
	if more := r.stdout.String(); more != "" {
		t.Errorf("up printed more than one line to stdout: %q", more)
	}
	r.expectNothingLeft(t)
}

func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(patience):
		t.Fatalf("up did not end within %s; stderr:\n%s", patience, r.stderr)
		return nil
	}
}

// expectNothingLeft checks that no process works in the directory and none of the
// cluster's files is in it.
func (r *running) expectNothingLeft(t *testing.T) {
	t.Helper()
	if left := processesIn(r.dir); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	for _, name := range append(madeEntries(), fileLock) {
		if _, err := os.Lstat(filepath.Join(r.dir, name)); err == nil {
			t.Errorf("%s is left in the directory", name)
		}
	}
}

// localcluster runs another command line of the binary against this cluster.
func (r *running) localcluster(t *testing.T, args ...string) error {
	t.Helper()
	out, err := exec.Command(binary(), append(args, "--dir", r.dir)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, out)
	}
	return nil
}

// kubectl runs kubectl against this cluster.
func (r *running) kubectl(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(r.dir, dirBin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+r.kubeconfig, "KUBECACHEDIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually waits until check returns nil.
func eventually(t *testing.T, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, t.Name(), check); err != nil {
		t.Fatal(err)
	}
}

// processesIn lists the processes working in dir, as "pid name".
func processesIn(dir string) map[int]string {
	found := map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return found
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
		if err != nil || strings.TrimSuffix(cwd, " (deleted)") != dir {
			continue
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		name, _, _ := bytes.Cut(cmdline, []byte{0})
		if len(name) > 0 { // a zombie has none
			found[pid] = filepath.Base(string(name))
		}
	}
	return found
}

// processNamed returns the pid of a component of the cluster in dir.
func processNamed(dir, name string) (int, error) {
	for pid, n := range processesIn(dir) {
		if n == name {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("no process %s in %s", name, dir)
}

// foreignSockets lists the TCP and UDP sockets of the process that are not confined
// to 127.0.0.1.
func foreignSockets(pid int) ([]string, error) {
	table := map[string]string{}
	for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, proto))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) > 9 && !strings.HasPrefix(f[1], "0100007F:") {
				table["socket:["+f[9]+"]"] = proto + " " + f[1] + " > " + f[2]
			}
		}
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return nil, err
	}
	var foreign []string
	for _, fd := range fds {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()))
		if err == nil && table[link] != "" {
			foreign = append(foreign, table[link])
		}
	}
	return foreign, nil
}

// lockedBuffer is a buffer a process writes while a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTwoClustersAtOnceWithOtherNodesAndWithoutACloud(t *testing.T) {
	t.Parallel()
	user := t.TempDir() // the user's own directory, with a file in it
	keep := filepath.Join(user, "keep")
	if err := os.WriteFile(keep, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	nodes := filepath.Join("..", "..", "testdata", "nodes", "bare-metal.yaml")
	copied := filepath.Join(t.TempDir(), "config")
	c := startUp(t, user, "--no-cloud", "--nodes", nodes, "--kubeconfig", copied)
	if c.kubeconfig != copied {
		t.Errorf("kubeconfig is %s, want %s", c.kubeconfig, copied)
	}
	classes, err := c.client.StorageV1().StorageClasses().List(t.Context(), metav1.ListOptions{})
	create(t, classes, err)
	if len(classes.Items) != 0 {
		t.Errorf("%d StorageClasses with --no-cloud, want none", len(classes.Items))
	}
	plain, err := c.client.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
	create(t, plain, err)
	if plain.Spec.ProviderID != "" || len(plain.Spec.Taints) != 0 {
		t.Errorf("worker-1 has providerID %q and taints %v, want none", plain.Spec.ProviderID, plain.Spec.Taints)
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "lb"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80}}}}
	made, err := c.client.CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{})
	create(t, made, err)
	dep, err := c.client.AppsV1().Deployments("default").Create(t.Context(), deployment("web", 2), metav1.CreateOptions{})
	create(t, dep, err)
	eventually(t, deploymentAvailable(c, "default", "web"))
	pending, err := c.client.CoreV1().Services("default").Get(t.Context(), "lb", metav1.GetOptions{})
	create(t, pending, err)
	if len(pending.Status.LoadBalancer.Ingress) != 0 {
		t.Error("a LoadBalancer Service has an address with --no-cloud")
	}

	out, err := exec.Command(binary(), "up", "--dir", user).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use by another localcluster") {
		t.Errorf("a second up in the same directory gives %v: %s", err, out)
	}
	c.stop(t)
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("the user's file: %v", err)
	}
	if _, err := os.Stat(copied); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copied kubeconfig is still there (%v)", err)
	}
}

func TestAComponentThatDiesTakesTheClusterDownWithItsName(t *testing.T) {
	t.Parallel()
	c := startUp(t, filepath.Join(t.TempDir(), "d"))
	pid, err := processNamed(c.dir, componentScheduler)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := c.wait(t); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("up ended with %v, want exit code 1", err)
	}
	if msg := c.stderr.String(); !strings.Contains(msg, "kube-scheduler ended by itself (signal: killed)") {
		t.Errorf("stderr does not say who died:\n%s", msg)
	}
	c.expectNothingLeft(t)
}

func TestComponentsDieWithAKilledSupervisorAndItsDirectoryCanBeUsedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	c := startUp(t, dir)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.wait(t)
	eventually(t, func(context.Context) error {
		if left := processesIn(dir); len(left) > 0 {
			return fmt.Errorf("still running: %v", left)
		}
		return nil
	})
	startUp(t, dir)
}

func TestRunPassesTheExitCodeAndTheEnvironment(t *testing.T) {
	t.Parallel()
	cwd := t.TempDir()
	cmd := exec.Command(binary(), "run", "--", "sh", "-c", `kubectl get nodes -o name && "$(dirname "$(command -v kubectl)")/kubectl" version >/dev/null && pwd && echo "dir=$LOCALCLUSTER_DIR" && exit 7`)
	cmd.Dir = cwd
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "KUBECONFIG=/absent")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("run ended with %v, want exit code 7; stdout:\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[0], "node/ip-10-0-") || lines[3] != cwd {
		t.Fatalf("stdout of the command is %q", lines)
	}
	dir := strings.TrimPrefix(lines[4], "dir=")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory %s is still there (%v)", dir, err)
	}
}

func TestRunForwardsSignals(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary(), "run", "--", "sh", "-c", `trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done`)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Errorf("the command printed %q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Errorf("run ended with %v, want exit code 9", err)
	}
}

func TestABadCommandLineIsExplainedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, fileKubeconfig), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"a node file that is missing":              {[]string{"up", "--nodes", "/absent.yaml"}, "/absent.yaml"},
		"a directory with a file of the same name": {[]string{"up", "--dir", foreign}, "was not made by localcluster"},
		"a command to a cluster that is not there": {[]string{"apiserver", "stop", "--dir", foreign}, "no cluster answers"},
		"a command to no cluster":                  {[]string{"apiserver", "stop"}, "LOCALCLUSTER_DIR"},
		"run without a command":                    {[]string{"run"}, "requires at least 1 arg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(binary(), test.args...)
			cmd.Env = append(os.Environ(), "LOCALCLUSTER_DIR=")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("%v: %s, want %q", err, out, test.want)
			}
		})
	}
	if text, err := os.ReadFile(filepath.Join(foreign, fileKubeconfig)); err != nil || string(text) != "mine" {
		t.Errorf("the user's kubeconfig is now %q, %v", text, err)
	}
}

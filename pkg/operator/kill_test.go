package operator_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/retry"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

const killModules = 6

// Processes of hooks bear the mark of this variable; the guard and everything that a hook starts are found by it.
const markVariable = "KILL_TEST_BED"

// A SIGKILL at any moment is safe: see killed. The long version is in soak_test.go.
func TestASIGKILLAtAnyMomentIsSafe(t *testing.T) {
	t.Parallel()
	killed(t, 8)
}

// killed starts the operator's binary n times, changes settings and a fact while
// it runs, and kills it at a random moment. At last it is left alone and must
// converge: everything shows the newest settings, nothing is pending, there are
// no more revisions than changes and kills, and no process is left.
func killed(t *testing.T, n int) {
	b := newBed(t)
	b.Config.HelmHistoryMax = 0
	b.killModules()
	b.settings(map[string]string{})
	b.configMap(b.Namespace, "facts", map[string]string{"fact": "0"})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // not for secrets
	facts, notes := 0, make([]int, killModules)
	binary := operatorBinary(t)
	writes := b.countWrites()
	for i := range n {
		p := b.launch(binary)
		// What a user does meanwhile: some rounds nothing.
		edited := random.IntN(killModules + 2)
		if edited < killModules {
			notes[edited]++
			b.userEdit(edited, notes[edited])
		}
		if random.IntN(3) == 0 {
			facts++
			b.configMap(b.Namespace, "facts", map[string]string{"fact": strconv.Itoa(facts)})
		}
		// Some kills hit right after a write, others any moment up to well after the last one.
		select {
		case <-writes.after(random.IntN(60)):
		case <-time.After(time.Duration(random.IntN(3000)) * time.Millisecond):
		}
		p.kill()
		if n >= 50 && i%10 == 9 {
			t.Logf("%d kills", i+1)
		}
	}
	p := b.launch(binary)
	for i := range killModules {
		name := fmt.Sprintf("kill%d", i)
		b.ready(name)
		b.eventually(func() bool {
			return b.shows(name, "note", strconv.Itoa(notes[i])) && b.shows(name, "fact", strconv.Itoa(facts))
		}, "%s shows note %d and fact %d", name, notes[i], facts)
		if text := b.setting(name); (notes[i] > 0 && !strings.Contains(text, "# of the user")) || !strings.Contains(text, "generated: by a hook") {
			t.Errorf("settings of %s have lost an edit or a config patch:\n%s", name, text)
		}
	}
	b.converged()
	b.noPending()
	for i := range killModules {
		name := fmt.Sprintf("kill%d", i)
		if failed := b.revisionsForChanges(name); failed > n {
			t.Errorf("release %s has %d failed revisions, expected at most one a kill", name, failed)
		}
	}
	b.idempotent(p, binary)
	b.leftProcesses()
}

// revisionsForChanges fails the test when a revision renders what the last good one
// before it rendered already. It returns how many did not end well: their Helm action was cut short.
func (b *bed) revisionsForChanges(release string) (failed int) {
	b.t.Helper()
	list, err := b.Client.CoreV1().Secrets(b.Namespace).List(b.ctx, metav1.ListOptions{LabelSelector: "owner=helm,name=" + release})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(x, y corev1.Secret) int { return cmp.Compare(version(x), version(y)) })
	if n := len(list.Items); n != b.revision(release) {
		b.t.Fatalf("release %s has %d records, but revision %d: the history must be whole here", release, n, b.revision(release))
	}
	last := ""
	for _, s := range list.Items {
		if s.Labels["status"] == "failed" {
			failed++
			continue
		}
		digest := s.Labels["addon-operator.io/render-digest"]
		if digest == "" || digest == last {
			b.t.Errorf("revision %d of %s (%s) renders %q, the same as the one before", version(s), release, s.Labels["status"], digest)
		}
		last = digest
	}
	return failed
}

func version(record corev1.Secret) int {
	n, _ := strconv.Atoi(record.Labels["version"])
	return n
}

// writeCounter counts the events of ConfigMaps and Secrets in a namespace.
type writeCounter struct {
	mu    sync.Mutex
	seen  int
	waits map[int][]chan struct{}
}

func (b *bed) countWrites() *writeCounter {
	b.t.Helper()
	c := &writeCounter{waits: map[int][]chan struct{}{}}
	for _, resource := range []string{"configmaps", "secrets"} {
		w, err := b.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Namespace(b.Namespace).Watch(b.ctx, metav1.ListOptions{})
		if err != nil {
			b.t.Fatal(err)
		}
		var ended sync.WaitGroup
		ended.Go(func() {
			for range w.ResultChan() {
				c.count()
			}
		})
		b.t.Cleanup(func() { w.Stop(); ended.Wait() })
	}
	return c
}

func (c *writeCounter) count() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	for _, ch := range c.waits[c.seen] {
		close(ch)
	}
	delete(c.waits, c.seen)
}

// after is closed when n more writes were seen.
func (c *writeCounter) after(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := make(chan struct{})
	c.waits[c.seen+1+n] = append(c.waits[c.seen+1+n], ch)
	return ch
}

// idempotent stops the operator, kills it once more when there is nothing to do, and expects no revision.
func (b *bed) idempotent(p *process, binary string) {
	b.t.Helper()
	before := map[string]int{}
	for i := range killModules {
		name := fmt.Sprintf("kill%d", i)
		before[name] = b.revision(name)
	}
	p.kill()
	p = b.launch(binary)
	b.converged()
	p.stop()
	b.sameRevisions(before)
}

// killModules writes modules whose hooks show a fact, patch their settings and have children.
func (b *bed) killModules() {
	b.t.Helper()
	flags := &strings.Builder{}
	fmt.Fprintln(flags, "global: {fact: none}")
	b.files(map[string]string{"global-hooks/hooks/facts.sh": b.factsHook()})
	for i := range killModules {
		name := fmt.Sprintf("kill%d", i)
		fmt.Fprintf(flags, "%sEnabled: true\n", name)
		dir := fmt.Sprintf("%d-%s", 100+i/2, name)
		b.chart(dir, shown(name, "note", "{{ .Values."+name+".note | quote }}", "fact", "{{ .Values."+name+".fact | quote }}")+
			shown(name+"-more", "fact", "{{ .Values."+name+".fact | quote }}"))
		b.files(map[string]string{
			"modules/" + dir + "/values.yaml": name + ": {note: \"0\", fact: none}\n",
			"modules/" + dir + "/hooks/before.sh": script("beforeHelm: 1", `
sleep 0.05 & # a child
jq '[{op: "add", path: "/`+name+`/fact", value: .global.fact}]' "$VALUES_PATH" > "$VALUES_JSON_PATCH_PATH"
if [[ $(jq -r '.`+name+`.generated? // "none"' "$CONFIG_VALUES_PATH") == none ]]; then
  if [[ $(jq -r '.`+name+` | type' "$CONFIG_VALUES_PATH") == null ]]; then
    echo '{"op":"add","path":"/`+name+`","value":{"generated":"by a hook"}}' > "$CONFIG_VALUES_JSON_PATCH_PATH"
  else
    echo '{"op":"add","path":"/`+name+`/generated","value":"by a hook"}' > "$CONFIG_VALUES_JSON_PATCH_PATH"
  fi
fi
wait`),
			// A hook that goes on for long, with a child that has left its process group.
			"modules/" + dir + "/hooks/long.sh": script("afterHelm: 1", `setsid sleep 3600 & sleep 0.2; kill $!; wait || true`),
		})
	}
	b.files(map[string]string{"modules/values.yaml": flags.String()})
}

// userEdit sets a note in the settings of a module as a user with an editor does, comment and all.
func (b *bed) userEdit(module, note int) {
	b.t.Helper()
	key := fmt.Sprintf("kill%d", module)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		maps := b.Client.CoreV1().ConfigMaps(b.Namespace)
		cm, err := maps.Get(b.ctx, b.Config.ConfigMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var lines []string
		for line := range strings.Lines(cm.Data[key]) {
			if !strings.Contains(line, "# of the user") && strings.TrimSpace(line) != "{}" {
				lines = append(lines, line)
			}
		}
		if cm.Data == nil {
			cm.Data = map[string]string{}
		}
		cm.Data[key] = fmt.Sprintf("note: %q # of the user\n", strconv.Itoa(note)) + strings.Join(lines, "")
		_, err = maps.Update(b.ctx, cm, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// operatorBinary builds cmd/addon-operator once per test.
func operatorBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "addon-operator")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/addon-operator")
	cmd.Dir = testkit.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// process is a running operator binary.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
}

// launch starts the binary with the bed's Config and more environment.
func (b *bed) launch(binary string, env ...string) *process {
	b.t.Helper()
	host, port, _ := strings.Cut(b.Config.ListenAddress, ":")
	cmd := exec.Command(binary, "start",
		"--namespace", b.Namespace, "--config-map", b.Config.ConfigMap, "--kube-config", b.Config.KubeConfig,
		"--modules-dir", b.Config.ModulesDir, "--global-hooks-dir", b.Config.GlobalHooksDir, "--tmp-dir", b.Config.TempDir,
		"--prometheus-listen-address", host, "--prometheus-listen-port", port, "--debug-unix-socket", b.Config.DebugSocket,
		"--order-patience", b.Config.OrderPatience.String(), "--shutdown-grace", b.Config.ShutdownGrace.String(),
		"--helm-history-max", strconv.Itoa(b.Config.HelmHistoryMax))
	cmd.Env = append(append(os.Environ(), markVariable+"="+b.mark()), env...)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	p := &process{t: b.t, cmd: cmd}
	b.t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the operator ended with %v", err)
	}
}

// leftProcesses waits until no process bears the bed's mark. Children of a hook that have
// left its process group end with the next start of the operator at the latest.
func (b *bed) leftProcesses() {
	b.t.Helper()
	var left []string
	testkit.Eventually(b.t, func() bool { left = marked(b.mark()); return len(left) == 0 },
		func() string { return fmt.Sprintf("these processes are left: %q", left) })
}

// mark tells the processes of a bed, or of one of its operators, from others.
func (b *bed) mark() string { return b.Namespace + filepath.Base(b.Config.TempDir) }

func marked(bed string) (left []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range entries {
		environ, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(environ, []byte(markVariable+"="+bed+"\x00")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if len(line) > 0 { // not a zombie
			left = append(left, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return left
}

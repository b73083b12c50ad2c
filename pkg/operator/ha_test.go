package operator_test

import (
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/addon-operator/addon-operator/pkg/leader"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// replica is a process of the operator that is one of several.
type replica struct {
	*bed // with its own address, socket and log
	pod  string
	*process
}

// troupe is a bed in which replicas come and go.
type troupe struct {
	*bed
	cluster *testkit.LocalCluster
	binary  string
	port    string
	members int
}

// newTroupe has one module with a hook that runs before Helm and can be held up,
// and one that writes an object every second.
func newTroupe(t *testing.T) *troupe {
	t.Helper()
	cluster, err := testkit.Start("--audit-log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	b := newBedOn(t, cluster)
	b.Config.ShutdownGrace = 8 * time.Second
	_, port, _ := net.SplitHostPort(b.Config.ListenAddress)
	b.chart("100-play", shown("play", "note", "{{ .Values.play.note | quote }}"))
	b.files(map[string]string{
		"modules/values.yaml":          "playEnabled: true\n",
		"modules/100-play/values.yaml": "play: {note: first}\n",
		// It notes whether the one that was held up before still runs, and waits where it is told to.
		"modules/100-play/hooks/hold.sh": script("beforeHelm: 1", `
if [[ -e "$STAGE/held" ]]; then
  if kill -0 "$(cat "$STAGE/held")" 2>/dev/null; then echo runs; else echo ended; fi >"$STAGE/before-me"
  rm "$STAGE/held"
fi
if [[ $(jq -r .play.note "$VALUES_PATH") == hold* && ! -e "$STAGE/go" ]]; then
  echo $$ >"$STAGE/held"
  until [[ -e "$STAGE/go" ]]; do sleep 0.05; done
fi`),
		"modules/100-play/hooks/tick.sh": script(`schedule: [{name: tick, crontab: "* * * * * *", queue: ticks}]`, `
cat >"$KUBERNETES_PATCH_PATH" <<JSON
{"operation": "CreateOrUpdate", "object": {"apiVersion": "v1", "kind": "ConfigMap",
  "metadata": {"name": "ticks", "namespace": "`+b.Namespace+`"}, "data": {"last": "$RANDOM$RANDOM"}}}
JSON`),
	})
	b.settings(map[string]string{})
	return &troupe{bed: b, cluster: cluster, binary: operatorBinary(t), port: port}
}

// join starts a replica at an address of its own: 127.0.0.1, 127.0.0.2, …
func (tr *troupe) join(pod string) *replica {
	tr.t.Helper()
	tr.members++
	own := *tr.bed
	own.log = &logBuffer{}
	own.Config.ListenAddress = net.JoinHostPort("127.0.0."+strconv.Itoa(tr.members), tr.port)
	own.Config.DebugSocket += pod
	own.Config.TempDir = filepath.Join(tr.Dir, "tmp-"+pod)
	own.Config.CacheDir = filepath.Join(tr.Dir, "cache-"+pod)
	r := &replica{bed: &own, pod: pod}
	r.process = own.launch(tr.binary, "ADDON_OPERATOR_HA=true", "ADDON_OPERATOR_POD="+pod, "STAGE="+tr.Dir,
		"VALIDATING_WEBHOOK_LISTEN_ADDRESS=127.0.0."+strconv.Itoa(tr.members), "CONVERSION_WEBHOOK_LISTEN_ADDRESS=127.0.0."+strconv.Itoa(tr.members))
	tr.t.Cleanup(func() {
		if tr.t.Failed() {
			tr.t.Logf("log of %s:\n%s", pod, own.log.tail(8000))
		}
	})
	return r
}

// holder is the pod that the Lease names.
func (tr *troupe) holder() string {
	l, err := tr.Client.CoordinationV1().Leases(tr.Namespace).Get(tr.ctx, leader.LeaseName, metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil {
		return ""
	}
	pod, _, _ := strings.Cut(*l.Spec.HolderIdentity, ".")
	return pod
}

func (tr *troupe) renewed() string {
	l, err := tr.Client.CoordinationV1().Leases(tr.Namespace).Get(tr.ctx, leader.LeaseName, metav1.GetOptions{})
	if err != nil {
		tr.t.Fatal(err)
	}
	return l.Spec.RenewTime.String()
}

// effects are the writes of a replica, those to the Lease left out.
func (tr *troupe) effects(r *replica) []testkit.Write {
	tr.t.Helper()
	var out []testkit.Write
	for _, w := range tr.cluster.Writes(tr.t) {
		if w.UserAgent == "addon-operator/"+r.pod && w.Resource != "leases" {
			out = append(out, w)
		}
	}
	return out
}

// leads waits until a replica leads, has converged and writes.
func (tr *troupe) leads(r *replica) {
	tr.t.Helper()
	tr.eventually(func() bool { return tr.holder() == r.pod }, "%s holds the Lease", r.pod)
	r.converged()
	tr.eventually(func() bool { return len(tr.effects(r)) > 0 }, "%s writes", r.pod)
}

// note changes the settings and waits until the module's object shows it.
func (tr *troupe) note(text string) {
	tr.t.Helper()
	tr.edit("play", "note: "+text)
	tr.eventually(func() bool { return tr.shows("play", "note", text) }, "the object shows %q", text)
}

// waits checks the probes of a standby (C-451, C-491, C-492).
func (tr *troupe) waits(r *replica) {
	tr.t.Helper()
	const ready = "HA mode is enabled and waiting for acquiring the lock.\n"
	tr.eventually(func() bool { return r.get("/readyz") == ready }, "the standby %s is ready as its leader is", r.pod)
	if code := statusOf(r.bed, "/healthz"); code != http.StatusOK {
		tr.t.Errorf("/healthz of the standby %s: %d", r.pod, code)
	}
	if got := r.status(); got != "STARTUP_CONVERGE_NOT_STARTED\n" {
		tr.t.Errorf("/status/converge of the standby %s: %q", r.pod, got)
	}
	if got := r.get("/metrics"); !strings.Contains(got, "\naddon_operator_leader 0\n") {
		tr.t.Errorf("/metrics of the standby %s does not say that it is one", r.pod)
	}
	if w := tr.effects(r); len(w) > 0 {
		tr.t.Errorf("the standby %s has written: %+v", r.pod, w)
	}
}

func statusOf(b *bed, path string) int {
	req, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.Config.ListenAddress+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// held changes the settings so that the leader's hook is held up.
func (tr *troupe) held(text string) {
	tr.t.Helper()
	_ = os.Remove(filepath.Join(tr.Dir, "go"))
	tr.edit("play", "note: "+text)
	tr.eventually(func() bool { _, err := os.Stat(filepath.Join(tr.Dir, "held")); return err == nil }, "a hook is held up")
}

// beforeMe is what the hook of a new leader found of the one that was held up.
func (tr *troupe) beforeMe() string {
	text, _ := os.ReadFile(filepath.Join(tr.Dir, "before-me"))
	return strings.TrimSpace(string(text))
}

// paused stops the process of a leader until another has taken over, and perhaps
// longer. When it goes on it must end by itself, and no write of it may begin after
// the first of the other.
func (tr *troupe) paused(old, next *replica, longer time.Duration) {
	tr.t.Helper()
	tr.eventually(func() bool { return len(tr.effects(old)) > 0 }, "%s writes", old.pod)
	if err := old.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		tr.t.Fatal(err)
	}
	stopped := time.Now()
	tr.leads(next)
	tr.t.Logf("%s took over %s after %s was stopped", next.pod, tr.effects(next)[0].Received.Sub(stopped), old.pod)
	if rest := longer - time.Since(stopped); rest > 0 {
		<-time.After(rest) // what is tested is a pause of that length
	}
	if err := old.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		tr.t.Fatal(err)
	}
	err := old.cmd.Wait()
	if status := (*exec.ExitError)(nil); !errors.As(err, &status) || status.ExitCode() <= 0 {
		tr.t.Errorf("the resumed %s ended with %v, expected a status that is not 0", old.pod, err)
	}
	if text := old.log.tail(4000); !strings.Contains(text, "leadership lost") || !strings.Contains(text, "standby") {
		tr.t.Errorf("the resumed %s does not say why it ends", old.pod)
	}
	first := tr.effects(next)[0]
	for _, w := range tr.effects(old) {
		if !w.Received.Before(first.Received) {
			tr.t.Errorf("%s began to write after %s (%s %s at %s): %s %s at %s", old.pod, next.pod, first.Verb, first.Path, first.Received,
				w.Verb, w.Path, w.Received)
		}
	}
	old.leftProcesses()
}

// C-450, C-451, C-492: several replicas of the operator's binary on one cluster. What
// happens to the leader is what happens to processes: killed, told to end while a
// hook runs, stopped and resumed.
func TestOneReplicaActsAndAnotherTakesOver(t *testing.T) {
	t.Parallel() // it waits for most of its time
	tr := newTroupe(t)

	// Two at once: one acts, the other waits.
	pair := []*replica{tr.join("a"), tr.join("b")}
	tr.eventually(func() bool { return tr.holder() != "" }, "one holds the Lease")
	lead, wait := pair[0], pair[1]
	if tr.holder() == "b" {
		lead, wait = wait, lead
	}
	tr.leads(lead)
	tr.ready("play")
	tr.waits(wait)
	revisions := tr.revisions("play")

	// The leader is killed.
	lead.kill()
	killed := time.Now()
	tr.eventually(func() bool { return strings.Contains(wait.get("/readyz"), "the leader does not answer") }, "the standby says that the leader is away")
	lead, wait = wait, tr.join("c")
	tr.leads(lead)
	t.Logf("%s took over %s after the leader was killed", lead.pod, tr.effects(lead)[0].Received.Sub(killed))
	tr.waits(wait)
	tr.sameRevisions(revisions) // nothing is installed again
	tr.note("second")

	// The leader is told to end while a hook runs, which ends within the grace period.
	tr.held("hold-1")
	if err := lead.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	tr.eventually(func() bool { return strings.Contains(wait.get("/readyz"), "waiting") }, "the leader answers still")
	for range 2 { // it goes on holding the Lease
		before := tr.renewed()
		tr.eventually(func() bool { return tr.renewed() != before }, "the Lease is renewed")
	}
	if tr.holder() != lead.pod {
		t.Fatalf("%q holds the Lease while a hook of %s runs", tr.holder(), lead.pod)
	}
	tr.write("go", 0o644, "")
	told := time.Now()
	if err := lead.cmd.Wait(); err != nil {
		t.Errorf("%s ended with %v", lead.pod, err)
	}
	lead, wait = wait, tr.join("d")
	tr.leads(lead)
	t.Logf("%s took over %s after the last hook ended", lead.pod, tr.effects(lead)[0].Received.Sub(told))
	if got := tr.beforeMe(); got != "ended" {
		t.Errorf("when the hook of %s ran, that of the leader before it was %q", lead.pod, got)
	}
	tr.eventually(func() bool { return tr.shows("play", "note", "hold-1") }, "the new leader has gone on")

	// As before, but the hook does not end.
	tr.held("hold-2")
	if err := lead.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := lead.cmd.Wait(); err != nil {
		t.Errorf("%s ended with %v", lead.pod, err)
	}
	tr.write("go", 0o644, "")
	old := lead
	lead, wait = wait, tr.join("e")
	tr.leads(lead)
	if got := tr.beforeMe(); got != "ended" {
		t.Errorf("when the hook of %s ran, that of the leader before it was %q", lead.pod, got)
	}
	if !strings.Contains(old.log.String(), "shutdown grace is over") {
		t.Errorf("the hook of %s ended by itself", old.pod)
	}
	tr.note("third")
	revisions = tr.revisions("play")

	// The leader is stopped and goes on when another leads.
	tr.waits(wait)
	tr.paused(lead, wait, 0)
	tr.sameRevisions(revisions)
	tr.note("fourth")
	wait.stop()

	// Every write that begins does so while its replica holds the Lease: terms do not overlap.
	tr.termsAreApart(append(pair, lead, wait, old))
}

// termsAreApart checks in the audit log that nobody writes after another has begun.
func (tr *troupe) termsAreApart(all []*replica) {
	tr.t.Helper()
	type term struct {
		pod         string
		first, last time.Time
	}
	var terms []term
	seen := map[string]bool{}
	for _, r := range all {
		writes := tr.effects(r)
		if seen[r.pod] || len(writes) == 0 {
			continue
		}
		seen[r.pod] = true
		t := term{r.pod, writes[0].Received, writes[0].Received}
		for _, w := range writes {
			if w.Received.Before(t.first) {
				t.first = w.Received
			}
			if w.Received.After(t.last) {
				t.last = w.Received
			}
		}
		terms = append(terms, t)
	}
	slices.SortFunc(terms, func(x, y term) int { return x.first.Compare(y.first) })
	for i := 1; i < len(terms); i++ {
		if !terms[i-1].last.Before(terms[i].first) {
			tr.t.Errorf("%s wrote until %s, %s since %s", terms[i-1].pod, terms[i-1].last, terms[i].pod, terms[i].first)
		}
	}
}

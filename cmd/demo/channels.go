package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Names of the two clusters, each after the channel it follows.
const (
	early = "A"
	late  = "B"
)

// settings is the ConfigMap of both clusters.
const settings = `apiVersion: v1
kind: ConfigMap
metadata: {name: addon-operator, namespace: addon-operator}
data:
  helloEnabled: "true"
`

// sourceManifest is the ModuleSource of a cluster: URL, channel, public key. Times are short, for nobody wants to wait here.
const sourceManifest = `apiVersion: addon-operator.io/v1alpha1
kind: ModuleSource
metadata: {name: demo}
spec:
  url: %s
  channel: %s
  interval: 1s
  modules: [hello]
  update: {soak: 3s, timeout: 15s}
  verify:
    keys:
      - |
        %s
`

// tale is the demo of release channels.
type tale struct {
	options
	*fleet
	*publisher
	screen *screen
	a, b   *member
}

// showChannels publishes versions of a module and shows what two clusters make of them, until ctx ends or, with Once, to
// the end of the tale.
func showChannels(ctx context.Context, o options, dir string, s *screen) (err error) {
	r, err := startRegistry()
	if err != nil {
		return err
	}
	f := &fleet{screen: s}
	defer func() { err = errors.Join(err, f.stop(), r.stop()) }()
	shop := filepath.Join(dir, "publisher")
	if err := os.Mkdir(shop, 0o755); err != nil {
		return err
	}
	p, err := newPublisher(o, shop, "oci://"+r.host+"/addons", s)
	if err != nil {
		return err
	}
	t := &tale{options: o, fleet: f, publisher: p, screen: s}
	if err := t.tell(ctx, dir); err != nil {
		return err
	}
	s.print("\nAll was shown, %.1f s after the demo began. Pods are imitated here, and soak, timeout and interval are seconds\n"+
		"instead of minutes; all else is as in real clusters.\n", s.elapsed().Seconds())
	if o.Once {
		return nil
	}
	t.hints()
	err = f.until(ctx, func() bool { return false })
	if ctx.Err() != nil {
		s.print("\nstopping\n")
		return nil // interrupted by the user, who has seen everything
	}
	return err
}

// tell goes through all steps; each ends when what it says has come true in the clusters.
func (t *tale) tell(ctx context.Context, dir string) error {
	manifest := filepath.Join(dir, "configmap.yaml")
	if err := os.WriteFile(manifest, []byte(settings), 0o644); err != nil {
		return err
	}
	for _, name := range []string{early, late} {
		if err := t.start(ctx, t.options, dir, name, manifest); err != nil {
			return err
		}
	}
	t.a, t.b = t.members[0], t.members[1]
	for i, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Somebody makes a key, begins two channels and publishes hello 1.0.0", t.begin},
		{"Cluster " + early + " follows ea, cluster " + late + " follows stable", t.follow},
		{"hello 1.1.0 is promoted to ea: cluster " + early + " has it, cluster " + late + " stays as it is", t.promoteToEA},
		{"It did well, and is promoted from ea to stable: the same bytes, by digest", t.promoteToStable},
		{"hello 1.2.0 has pods that fit no node: cluster " + early + " tries it and goes back by itself", t.promoteBad},
		{"Nothing of that reached stable, and a promotion that asks for time on ea is refused", t.refuse},
	} {
		t.screen.print("\n%d. %s.\n\n", i+1, step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, step.title, err)
		}
	}
	return nil
}

// commands runs one after the other.
func (t *tale) commands(ctx context.Context, lines ...string) error {
	for _, line := range lines {
		if err := t.run(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

func (t *tale) begin(ctx context.Context) error {
	t.screen.print("$ export ADDON_OPERATOR_ROOT=%s\n", t.root)
	return t.commands(ctx, "channel keygen --out release", "channel init ea --key release.key", "channel init stable --key release.key",
		"module push 500-hello $ADDON_OPERATOR_ROOT",
		"channel promote hello 1.0.0 --to ea --key release.key", "channel promote hello --from ea --to stable --key release.key")
}

func (t *tale) follow(ctx context.Context) error {
	key, err := os.ReadFile(filepath.Join(t.publisher.dir, "release.pub"))
	if err != nil {
		return err
	}
	indented := string(bytes.ReplaceAll(bytes.TrimSpace(key), []byte("\n"), []byte("\n        ")))
	for m, channel := range map[*member]string{t.a: "ea", t.b: "stable"} {
		file := filepath.Join(t.publisher.dir, "source-"+channel+".yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, sourceManifest, t.root, channel, indented), 0o644); err != nil {
			return err
		}
		if _, err := m.kubectl(ctx, "apply", "-f", file); err != nil {
			return err
		}
	}
	t.screen.print("$ kubectl apply -f source-ea.yaml        # cluster %s\n$ kubectl apply -f source-stable.yaml    # cluster %s\n", early, late)
	t.screen.print("%s", indent(fmt.Sprintf(sourceManifest, t.root, "stable", indented)))
	return t.settle(ctx, "1.0.0", "1.0.0")
}

func (t *tale) promoteToEA(ctx context.Context) error {
	if err := t.release("1.0.0", "1.1.0"); err != nil {
		return err
	}
	if err := t.commands(ctx, "module push 500-hello $ADDON_OPERATOR_ROOT", "channel promote hello 1.1.0 --to ea --key release.key"); err != nil {
		return err
	}
	return t.settle(ctx, "1.1.0", "1.0.0")
}

func (t *tale) promoteToStable(ctx context.Context) error {
	if err := t.commands(ctx, "channel promote hello 1.1.0 --from ea --to stable --min-soak 1s --key release.key"); err != nil {
		return err
	}
	return t.settle(ctx, "1.1.0", "1.1.0")
}

func (t *tale) promoteBad(ctx context.Context) error {
	t.screen.print("In templates/deployment.yaml:  nodeSelector: {disk: tape}\n")
	const containers = "      containers:\n"
	err := errors.Join(t.release("1.1.0", "1.2.0"), t.edit("templates/deployment.yaml", containers, "      nodeSelector: {disk: tape}\n"+containers))
	if err != nil {
		return err
	}
	if err := t.commands(ctx, "module push 500-hello $ADDON_OPERATOR_ROOT", "channel promote hello 1.2.0 --to ea --key release.key"); err != nil {
		return err
	}
	undone := func() bool { return t.a.releases["1.2.0"].phase == "RolledBack" && t.a.runs("1.1.0") }
	if err := t.wait(ctx, t.options, "cluster "+early+" to roll hello 1.2.0 back and to run 1.1.0 again", undone); err != nil {
		return err
	}
	if err := t.settle(ctx, "1.1.0", "1.1.0"); err != nil {
		return err
	}
	return t.rejected(ctx)
}

// rejected prints what was rejected, and why.
func (t *tale) rejected(ctx context.Context) error {
	const columns = "custom-columns=VERSION:.status.version,PHASE:.status.phase,REASON:.status.reason,DIGEST:.status.digest,MESSAGE:.status.message"
	text, err := t.a.kubectl(ctx, "get", "modulereleases", "-o", columns)
	if err != nil {
		return err
	}
	t.screen.print("$ kubectl get modulereleases -o %s    # cluster %s\n%s\n", columns, early, text)
	for line := range strings.Lines(text) {
		r := t.a.releases["1.2.0"]
		if strings.Contains(line, "RolledBack") && r.digest != "" && r.reason != "" && strings.Contains(line, r.digest) && strings.Contains(line, r.reason) {
			return nil
		}
	}
	return errors.New("the table does not tell which digest was rolled back, and why")
}

func (t *tale) refuse(ctx context.Context) error {
	if err := t.run(ctx, "channel show stable --key release.key"); err != nil {
		return err
	}
	return t.refused(ctx, "channel promote hello 1.2.0 --from ea --to stable --min-soak 48h --key release.key", "48h")
}

// settle waits until both clusters run these versions, and prints all tables.
func (t *tale) settle(ctx context.Context, a, b string) error {
	what := fmt.Sprintf("cluster %s to run hello %s, and cluster %s hello %s", early, a, late, b)
	if err := t.wait(ctx, t.options, what, func() bool { return t.a.runs(a) && t.b.runs(b) }); err != nil {
		return err
	}
	return t.tables(ctx)
}

func (t *tale) hints() {
	binaries := filepath.Join(t.Root, "bin") + ":" + filepath.Join(t.a.dir, "bin")
	t.screen.print(`
In another terminal:

  cd %[1]s        # the module 500-hello, release.key, release.pub
  export ADDON_OPERATOR_ROOT=%[2]s PATH=%[3]s:$PATH
  export KUBECONFIG=%[4]s DEBUG_UNIX_SOCKET=%[8]s        # cluster A, or
  export KUBECONFIG=%[5]s DEBUG_UNIX_SOCKET=%[9]s        # cluster B

Things to try; what happens is told here:

  1. Mend it: take nodeSelector out of 500-hello/templates/deployment.yaml, write 1.2.1 into module.yaml and Chart.yaml, and
       addon-operator module push 500-hello $ADDON_OPERATOR_ROOT
       addon-operator channel promote hello 1.2.1 --to ea --key release.key
  2. Ask for approval in cluster B, then promote to stable, and approve.
       kubectl -n addon-operator patch configmap addon-operator --type merge -p '{"data":{"helloUpdate":"Manual"}}'
       addon-operator channel promote hello --from ea --to stable --key release.key
       addon-operator release approve hello
  3. Take a version back. Cluster B, if it asks for approval, asks for this too.
       addon-operator channel rollback hello 1.0.0 --channel stable --yank "says hello twice" --key release.key
  4. Look at what was done.
       addon-operator channel log stable --key release.key
       addon-operator channel diff ea stable --key release.key
       addon-operator release list; addon-operator doctor
  5. Sign with another key: nothing changes in the clusters, and the ModuleSource says why.
       addon-operator channel keygen --out thief
       addon-operator channel renew ea --key thief.key --verify-key release.pub; kubectl get modulesources -o wide

The operators' logs are %[6]s and
%[7]s. Ctrl-C stops everything and removes all files.

`, t.publisher.dir, t.root, binaries, t.a.kubeconfig, t.b.kubeconfig, t.a.operator.log, t.b.operator.log, t.a.operator.socket, t.b.operator.socket)
}

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/registry"
	"github.com/addon-operator/addon-operator/pkg/report"
	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// The source of the measurement, and what it is asked for.
const (
	channelRoot = "bench"
	channelName = "stable"
	// channelInterval is the shortest that a ModuleSource may have.
	channelInterval = time.Second
	// pollsWatched is for how many intervals polls with nothing new are counted.
	pollsWatched = 20
)

// The versions of one module, by what its ConfigMaps show.
const (
	firstNote, goodNote, badNote = noNote, "promoted", "unschedulable"
)

// Rows of the table of channels.
const (
	pollRequests  measure = "poll with nothing new: requests"
	pollBytes     measure = "poll with nothing new: bytes both ways"
	promoted      measure = "promotion, until every object of the module shows it"
	foundPromoted measure = "the same, from the poll that found it"
	undone        measure = "failed soak, until the old version is Ready again"
)

// follower measures an operator whose modules come from a registry.
type follower struct {
	*bench
	shelf    *shelf
	key      *ecdsa.PrivateKey
	document catalog.Document
	manifest string // of the channel
}

// measureChannels makes the table of modules that follow a channel.
func measureChannels(ctx context.Context, cfg config) (table, error) {
	b := &bench{cfg: cfg, modules: testkit.Synthetic{Modules: cfg.channels, Replicas: 1}, sheet: sheet{}}
	if err := b.runs(ctx, fmt.Sprintf("%d modules of a channel", cfg.channels), b.channels); err != nil {
		return table{}, err
	}
	return b.sheet.channels(cfg.channels), nil
}

// channels measures once.
func (b *bench) channels(ctx context.Context, run int) (err error) {
	s, err := b.scene(ctx, "channels", run)
	if err != nil {
		return err
	}
	defer func() { err = s.close(ctx, err) }()
	if err := b.cluster.fact(ctx, s.work.fact); err != nil {
		return err
	}
	f := &follower{bench: b, document: catalog.Document{Channel: channelName, Modules: map[string]catalog.Entry{}}}
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	if f.shelf, err = openShelf(ctx); err != nil {
		return err
	}
	defer f.shelf.close()
	if err := f.fill(ctx, s); err != nil {
		return err
	}
	o, err := f.followed(ctx, s)
	if err != nil {
		return err
	}
	defer o.stop()
	for _, step := range []func(context.Context, *scene, *operator) error{f.polls, f.promotion, f.rollback} {
		if err := errors.Join(step(ctx, s, o)); err != nil {
			return fmt.Errorf("%w; the operator's log: %s", err, o.log)
		}
	}
	o.stop()
	return f.bareUpgrade(ctx, s)
}

func (f *follower) remote() registry.Remote {
	return registry.Remote{URL: "oci://" + f.shelf.host + "/" + channelRoot, Timeout: time.Minute}
}

// fill pushes every module, puts them into the channel, and takes them off the disk.
func (f *follower) fill(ctx context.Context, s *scene) error {
	for i := range f.modules.Modules {
		if err := f.push(ctx, s, i, "1.0.0", firstNote, false); err != nil {
			return err
		}
	}
	if err := f.publish(ctx); err != nil {
		return err
	}
	dir := s.work.sub("modules")
	if err := os.Rename(dir, s.work.sub("published")); err != nil {
		return err
	}
	return os.Mkdir(dir, 0o755)
}

// push packs and pushes a version of a module whose ConfigMaps show a note, and puts it into the next document.
func (f *follower) push(ctx context.Context, s *scene, i int, version, note string, unschedulable bool) error {
	name := f.modules.Name(i)
	dir := filepath.Join(s.work.sub("modules"), f.modules.Dir(i))
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Join(s.work.sub("published"), f.modules.Dir(i))
	}
	values := fmt.Sprintf("%s: {replicas: %d, note: %s, seen: none}\n", name, f.modules.Replicas, note)
	err := errors.Join(os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(values), 0o644),
		os.WriteFile(filepath.Join(dir, "module.yaml"), []byte("version: "+version+"\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte("apiVersion: v2\nname: "+name+"\nversion: "+version+"\n"), 0o644))
	if err == nil && unschedulable {
		err = f.unschedulable(filepath.Join(dir, "templates", "all.yaml"))
	}
	if err != nil {
		return err
	}
	a, err := artifact.Pack(dir, artifact.PackOptions{})
	if err != nil {
		return err
	}
	digest, err := registry.PushModule(ctx, f.remote(), a)
	f.document.Modules[name] = catalog.Entry{Ref: catalog.Ref{Version: version, Digest: digest}, PromotedAt: time.Now().UTC().Truncate(time.Second)}
	return err
}

// unschedulable makes the module's pods fit on no node.
func (f *follower) unschedulable(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed := strings.Replace(string(text), "spec: {containers", "spec: {nodeSelector: {there: is-none}, containers", 1)
	if changed == string(text) {
		return fmt.Errorf("%s: expected a Deployment to change", path)
	}
	return os.WriteFile(path, []byte(changed), 0o644)
}

// publish signs and pushes the next document.
func (f *follower) publish(ctx context.Context) error {
	f.document.Seq++
	f.document.CreatedAt = time.Now().UTC().Truncate(time.Second)
	text, err := catalog.Encode(f.document)
	if err != nil {
		return err
	}
	signature, err := catalog.Sign(text, f.key)
	if err != nil {
		return err
	}
	f.manifest, err = registry.PushChannel(ctx, f.remote(), channelName, f.document.Seq, text, signature, f.manifest)
	return err
}

// followed starts an operator without modules and has it follow the channel, until all of them are installed and verified.
func (f *follower) followed(ctx context.Context, s *scene) (*operator, error) {
	on := map[string]string{}
	for _, name := range s.work.names() {
		on[name+"Enabled"] = "true"
	}
	if err := f.cluster.configMap(ctx, s.work.namespace, settingsName, on); err != nil {
		return nil, err
	}
	s.seen.expect(s.work.everything())
	o, err := startOperator(f.place(s))
	if err != nil {
		return nil, err
	}
	err = f.follow(ctx)
	if err == nil {
		_, err = s.seen.wait(ctx, o.died)
	}
	for i := 0; err == nil && i < f.modules.Modules; i++ {
		err = f.deployed(ctx, i, "1.0.0")
	}
	if err == nil {
		err = f.calm(ctx, s, o)
	}
	if err != nil {
		o.stop()
		return nil, fmt.Errorf("modules of a channel: %w; the operator's log: %s", err, o.log)
	}
	return o, nil
}

// follow makes the ModuleSource.
func (f *follower) follow(ctx context.Context) error {
	public, err := catalog.EncodePublicKey(&f.key.PublicKey)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": report.Sources.GroupVersion().String(), "kind": "ModuleSource", "metadata": map[string]any{"name": channelRoot},
		"spec": map[string]any{
			"url": f.remote().URL, "channel": channelName, "interval": channelInterval.String(), "modules": []any{"*"},
			"verify": map[string]any{"keys": []any{string(public)}}, "update": map[string]any{"soak": "1s", "timeout": "5s"},
		},
	}}
	return f.cluster.until(ctx, "the ModuleSource is taken", func(ctx context.Context) (bool, error) {
		_, err := f.cluster.dynamic.Resource(report.Sources).Create(ctx, u, metav1.CreateOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil // the operator has not made its CRDs yet
		}
		return err == nil, err
	})
}

// deployed waits until the ModuleRelease of a version says so.
func (f *follower) deployed(ctx context.Context, i int, version string) error {
	_, err := f.release(ctx, i, version, "Deployed")
	return err
}

// release waits until the ModuleRelease of a version is in a phase, and answers the resource.
func (f *follower) release(ctx context.Context, i int, version, phase string) (*unstructured.Unstructured, error) {
	r := f.document.Modules[f.modules.Name(i)]
	name := f.modules.Name(i) + "-" + version + "-" + strings.TrimPrefix(r.Digest, "sha256:")[:8]
	var found *unstructured.Unstructured
	err := f.cluster.until(ctx, "ModuleRelease "+name+" to be "+phase, func(ctx context.Context) (bool, error) {
		u, err := f.cluster.dynamic.Resource(report.Releases).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		got, _, err := unstructured.NestedString(u.Object, "status", "phase")
		found = u
		return got == phase, err
	})
	return found, err
}

// polls counts what polls with nothing new cost. More than one HEAD for each is a failure.
func (f *follower) polls(ctx context.Context, _ *scene, o *operator) error {
	f.shelf.forget()
	began := time.Now()
	if err := o.pause(ctx, pollsWatched*channelInterval); err != nil {
		return err
	}
	all, polls, bytes := f.shelf.counted()
	most := int(time.Since(began)/channelInterval) + 1
	if polls == 0 || all > polls || polls > most {
		return fmt.Errorf("%d requests in %s, %d of them HEADs of the channel; expected one HEAD each %s and nothing else: %s", all, time.Since(began), polls, channelInterval, f.shelf.asked())
	}
	f.sheet.add(pollRequests, byOperator, float64(all)/float64(polls))
	f.sheet.add(pollBytes, byOperator, float64(bytes)/float64(polls))
	_, bytes, err := f.shelf.bareHead(ctx, channelRoot)
	f.sheet.add(pollRequests, byBare, 1)
	f.sheet.add(pollBytes, byBare, float64(bytes))
	return err
}

// promotion measures the way of a new version of one module.
func (f *follower) promotion(ctx context.Context, s *scene, o *operator) error {
	if err := f.push(ctx, s, editedModule, "1.1.0", goodNote, false); err != nil {
		return err
	}
	s.work.notes[editedModule] = goodNote
	s.seen.expect(s.work.edited(editedModule))
	if err := f.publish(ctx); err != nil {
		return err
	}
	published := time.Now()
	at, err := s.seen.wait(ctx, o.died)
	if err != nil {
		return err
	}
	f.sheet.took(promoted, byOperator, max(0, at.Sub(published)))
	f.sheet.took(foundPromoted, byOperator, at.Sub(f.shelf.found()))
	if err := f.deployed(ctx, editedModule, "1.1.0"); err != nil {
		return err
	}
	return f.calm(ctx, s, o)
}

// rollback measures the way back from a version whose pods fit on no node. The clock starts with the decision,
// which the operator's log tells.
func (f *follower) rollback(ctx context.Context, s *scene, o *operator) error {
	if err := f.push(ctx, s, editedModule, "1.2.0", badNote, true); err != nil {
		return err
	}
	s.work.notes[editedModule] = badNote
	s.seen.expect(s.work.edited(editedModule))
	if err := f.publish(ctx); err != nil {
		return err
	}
	if _, err := s.seen.wait(ctx, o.died); err != nil {
		return err
	}
	s.work.notes[editedModule] = goodNote
	s.seen.expect(s.work.edited(editedModule))
	at, err := s.seen.wait(ctx, o.died)
	if err != nil {
		return err
	}
	ready, err := f.readyAgain(ctx, o)
	if err != nil {
		return err
	}
	if ready.After(at) {
		at = ready
	}
	began, err := o.logged("release RollingBack")
	if err != nil {
		return err
	}
	f.sheet.took(undone, byOperator, at.Sub(began))
	_, err = f.release(ctx, editedModule, "1.2.0", "RolledBack")
	return err
}

// readyAgain answers when the Module said that the old version is Ready.
func (f *follower) readyAgain(ctx context.Context, o *operator) (time.Time, error) {
	deadline := time.Now().Add(patience)
	for {
		u, err := f.cluster.dynamic.Resource(report.Resource).Get(ctx, f.modules.Name(editedModule), metav1.GetOptions{})
		if err != nil {
			return time.Time{}, err
		}
		version, _, err := unstructured.NestedString(u.Object, "status", "version")
		if err == nil && version == "1.1.0" && isReady(u) {
			return time.Now(), nil
		}
		if err == nil && time.Now().After(deadline) {
			err = fmt.Errorf("module %s is not Ready within %s", u.GetName(), patience)
		}
		if err != nil {
			return time.Time{}, err
		}
		if err := o.pause(ctx, pollEvery); err != nil {
			return time.Time{}, err
		}
	}
}

func isReady(u *unstructured.Unstructured) bool {
	list, _, err := unstructured.NestedSlice(u.Object, "status", "conditions")
	if err != nil {
		return false
	}
	for _, e := range list {
		if c, ok := e.(map[string]any); ok && c["type"] == "Ready" {
			return c["status"] == "True"
		}
	}
	return false
}

// bareUpgrade is the floor: Helm alone upgrades the same release to another note.
func (f *follower) bareUpgrade(ctx context.Context, s *scene) error {
	s.work.modules.Modules = 1
	floor := &helmFloor{work: s.work, cluster: f.cluster, parallel: 1}
	floor.work.dir = s.work.sub("floor")
	if err := errors.Join(os.Mkdir(floor.work.dir, 0o755), os.Rename(s.work.sub("published"), floor.work.sub("modules"))); err != nil {
		return err
	}
	if err := floor.open(); err != nil {
		return err
	}
	s.work.notes[editedModule] = "bare"
	floor.work.notes = s.work.notes
	took, err := s.timed(ctx, s.work.edited(editedModule), func(ctx context.Context) error { return floor.upgrade(ctx, editedModule) })
	for _, what := range []measure{promoted, foundPromoted, undone} {
		f.sheet.took(what, byBare, took)
	}
	return err
}

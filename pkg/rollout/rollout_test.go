package rollout

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/addon-operator/addon-operator/pkg/artifact"
	"github.com/addon-operator/addon-operator/pkg/catalog"
	"github.com/addon-operator/addon-operator/pkg/channel"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/source"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// errAbsent is the shelf's answer to what it does not hold.
var errAbsent = errors.New("not there")

// shelf is a registry and its cache in memory.
type shelf struct {
	mu        sync.Mutex
	down      bool
	channels  map[string]Fetched
	artifacts map[string]artifact.Artifact
	cache     map[string]bool
	pinned    []string
	asked     int
	dropped   []string // directories
	unpinned  []string // read from the cache, which might have made room for it
}

func (s *shelf) Channel(_ context.Context, _ source.Source, name, known string) (Fetched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	f, ok := s.channels[name]
	switch {
	case s.down:
		return Fetched{}, errors.New("connection refused")
	case !ok:
		return Fetched{}, errAbsent
	case f.Manifest == known:
		return Fetched{Unchanged: true, Manifest: known}, nil
	}
	s.cache[f.Manifest] = true
	return f, nil
}

func (s *shelf) CachedChannel(manifest string) (Fetched, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.channels {
		if f.Manifest == manifest && s.cache[manifest] {
			return f, nil
		}
	}
	return Fetched{}, errAbsent
}

func (s *shelf) Artifact(_ context.Context, _ source.Source, _, digest string) (artifact.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.artifacts[digest]
	switch {
	case s.cache[digest]:
		return a, nil
	case s.down:
		return a, errors.New("connection refused")
	case !ok:
		return a, errAbsent
	}
	s.cache[digest] = true
	return a, nil
}

func (s *shelf) Cached(digest string) (artifact.Artifact, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.pinned, digest) {
		s.unpinned = append(s.unpinned, digest)
	}
	if !s.cache[digest] {
		return artifact.Artifact{}, errAbsent
	}
	return s.artifacts[digest], nil
}

func (s *shelf) fall(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *shelf) Pin(digests []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pinned = digests
}

func (s *shelf) Absent(err error) bool { return errors.Is(err, errAbsent) }
func (s *shelf) Untrue(error) bool     { return false }

func (s *shelf) Module(a artifact.Artifact, origin module.Origin) (*module.Descriptor, error) {
	return &module.Descriptor{Name: a.Meta.Name, Key: values.Key(a.Meta.Name), Version: a.Meta.Version, Digest: origin.Artifact, Origin: origin}, nil
}

func (s *shelf) Global(artifact.Artifact, string) (string, error) { return "/global", nil }

func (s *shelf) Drop(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = append(s.dropped, digest)
}

func (s *shelf) WithGlobal(set *module.Set, dir string, origin module.Origin) (*module.Set, error) {
	out := *set
	out.GlobalHooksDir, out.GlobalOrigin = dir, origin
	return &out, nil
}

// site is an Engine with everything around it.
type site struct {
	*shelf
	t       *testing.T
	key     *ecdsa.PrivateKey
	engine  *Engine
	set     *module.Set // in force
	sick    map[string]bool
	holds   map[string]source.Hold
	refused map[string]string // preflights by version
	later   map[string]bool   // versions whose preflight cannot be held
	uid     string
	phases  []string
	events  []string
	told    []string // Events
	seq     int64
	source  source.Source
	memory  source.Memory
	section values.Map
	choice  source.Choice
	orders  map[string]source.Order
	cancel  context.CancelFunc
	ended   chan error
}

func (s *site) Replace(_ context.Context, set *module.Set) error {
	s.mu.Lock()
	s.set = set
	s.mu.Unlock()
	s.engine.ModuleChanged()
	return nil
}

// Running: what is in force is applied at once, and Ready unless it is sick.
func (s *site) Running(name string) source.Running {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == artifact.GlobalName {
		return source.Running{Known: true, On: true, Installed: true, Applied: true, Settled: true, Ready: true, Artifact: s.set.GlobalOrigin.Artifact}
	}
	d := s.set.Get(name)
	if d == nil {
		return source.Running{}
	}
	return source.Running{Known: true, On: true, Installed: true, Artifact: d.Origin.Artifact, Version: d.Version, Applied: true, Settled: true,
		Ready: !s.sick[d.Version], Message: "its pods cannot be scheduled"}
}

func (s *site) Preflight(_ context.Context, d *module.Descriptor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.later[d.Version] {
		return fmt.Errorf("%w: the API server is away", source.ErrUnknown)
	}
	if why := s.refused[d.Version]; why != "" {
		return errors.New(why)
	}
	return nil
}

func (s *site) Hold(name string, h *source.Hold) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.holds, name)
	if h != nil {
		s.holds[name] = *h
	}
}

func (s *site) Peer(string) channel.Peer { return channel.Peer{} }
func (s *site) Fact(string) bool         { return false }
func (s *site) Show(string)              {}

func (s *site) ReportSource(st source.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf("source %s %t %s: %s", st.Name, st.Conditions[0].Status, st.Conditions[0].Reason, st.Conditions[0].Message))
}

func (s *site) ReportRelease(r source.Release) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line := r.Module + " " + r.Version + " " + string(r.Phase); !slices.Contains(s.phases[max(0, len(s.phases)-3):], line) {
		s.phases = append(s.phases, line)
	}
}

func (s *site) KeepReleases(context.Context, map[string]bool) error { return nil }

func (s *site) Event(module string, warning bool, reason, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf("%s %t %s: %s", module, warning, reason, message))
}

func (s *site) EventOnSource(_ string, warning bool, reason, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, fmt.Sprintf("%t %s: %s", warning, reason, message))
}

func (s *site) RolledBack(context.Context, string, source.Release) error { return nil }

// newSite is a cluster with one source that is allowed to bring the module web.
func newSite(t *testing.T) *site {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t: t, key: key, uid: "uid", later: map[string]bool{}, sick: map[string]bool{}, holds: map[string]source.Hold{}, refused: map[string]string{}, orders: map[string]source.Order{},
		shelf: &shelf{channels: map[string]Fetched{}, artifacts: map[string]artifact.Artifact{}, cache: map[string]bool{}},
		source: source.Source{Name: "corp", URL: "oci://here/root", Interval: time.Minute, Timeout: time.Second, Channel: "stable", Modules: []string{"*"},
			Keys:   []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))},
			Update: source.Policy{Soak: 5 * time.Minute, Timeout: 15 * time.Minute}}}
}

// start runs an Engine, as a new process does.
func (s *site) start() {
	s.t.Helper()
	s.engine = New(Config{Embedded: &module.Set{}, Settings: s.settings(), Memory: s.memory, ClusterUID: s.uid, Kubernetes: func() string { return "v1.36.0" },
		Operator: "1.0.0", Logger: slog.New(slog.DiscardHandler), Ports: Ports{Registry: s.shelf, Loader: s.shelf, Reporter: s, Meter: noMeter{}}})
	set, err := s.engine.Set()
	if err != nil {
		s.t.Fatal(err)
	}
	s.set = set
	s.engine.Drive(s)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(s.t.Context())
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.engine.Run(ctx) }()
	s.write()
}

// stop ends the process and keeps what it remembered.
func (s *site) stop() {
	s.t.Helper()
	synctest.Wait()
	s.cancel()
	if err := <-s.ended; err != nil {
		s.t.Error(err)
	}
	text, err := json.Marshal(s.engine.Memory())
	if err != nil {
		s.t.Fatal(err)
	}
	layers := s.engine.Memory().Layers
	s.memory = source.Memory{}
	if err := json.Unmarshal(text, &s.memory); err != nil {
		s.t.Fatal(err)
	}
	s.memory.Layers = layers
}

// write hands over what users wrote.
func (s *site) write() {
	s.engine.Settings(s.settings())
	s.engine.Inputs(Inputs{Sources: []source.Source{s.source}, Orders: maps.Clone(s.orders)})
	synctest.Wait()
}

func (s *site) settings() settings.Settings {
	return settings.Settings{Exists: true, Sections: map[string]values.Map{"web": s.section}, Choices: map[string]source.Choice{"web": s.choice}}
}

// publish pushes a version, and promotes it.
func (s *site) publish(version string, edit func(*catalog.Document)) catalog.Ref {
	s.t.Helper()
	ref := catalog.Ref{Version: version, Digest: "sha256:" + strings.Repeat("0", 64-len(version)) + strings.Map(func(r rune) rune {
		if r == '.' {
			return 'a'
		}
		return r
	}, version)}
	s.mu.Lock()
	s.artifacts[ref.Digest] = artifact.Artifact{Meta: artifact.Meta{Name: "web", Version: version}}
	s.mu.Unlock()
	s.seq++
	d := catalog.Document{Channel: "stable", Seq: s.seq, CreatedAt: time.Now(), Modules: map[string]catalog.Entry{"web": {Ref: ref, PromotedAt: time.Now()}}}
	if edit != nil {
		edit(&d)
	}
	s.put(d, s.key)
	return ref
}

func (s *site) put(d catalog.Document, key *ecdsa.PrivateKey) {
	s.t.Helper()
	text, err := catalog.Encode(d)
	if err != nil {
		s.t.Fatal(err)
	}
	signature, err := catalog.Sign(text, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[d.Channel] = Fetched{Manifest: digestOf(text), Document: text, Signature: signature}
}

func (s *site) runs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.set.Get("web"); d != nil {
		return d.Version
	}
	return "nothing"
}

func (s *site) expect(version string, phases ...string) {
	s.t.Helper()
	synctest.Wait()
	if got := s.runs(); got != version {
		s.t.Errorf("%s runs, expected %s; the track is %s", got, version, s.track())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.phases; !slices.Equal(got, phases) {
		s.t.Errorf("releases went\n  %s\nexpected\n  %s", strings.Join(got, "\n  "), strings.Join(phases, "\n  "))
	}
	s.phases = nil
}

func (s *site) track() string {
	text, _ := json.Marshal(s.engine.Memory().Tracks["web"])
	return string(text)
}

// ails says whether a version gets Ready.
func (s *site) ails(version string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick[version] = yes
}

// held is the section that stands in for the user's.
func (s *site) held() values.Map {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds["web"].Layer
}

// rest lets time pass.
func (s *site) rest(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // of the bubble: nothing waits
	synctest.Wait()
}

func TestAChannelIsFollowedAndABadVersionUndoesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.section = values.Map{"replicas": int64(1)}
		s.publish("1.0.0", nil)
		s.start()
		s.rest(10 * time.Minute)
		s.expect("1.0.0", "web 1.0.0 Pending", "web 1.0.0 Preflight", "web 1.0.0 Applying", "web 1.0.0 Verifying", "web 1.0.0 Deployed")

		s.publish("1.1.0", nil)
		s.rest(10 * time.Minute)
		s.expect("1.1.0", "web 1.1.0 Pending", "web 1.1.0 Preflight", "web 1.1.0 Applying", "web 1.1.0 Verifying", "web 1.1.0 Deployed", "web 1.0.0 Superseded")

		// With the registry down, and other values since: the version before, with the values it was well with.
		s.ails("1.2.0", true)
		s.publish("1.2.0", nil)
		s.rest(2 * time.Minute)
		s.fall(true)
		s.section = values.Map{"replicas": int64(9)}
		s.write()
		s.rest(20 * time.Minute)
		if s.runs() != "1.1.0" || s.held()["replicas"] != int64(1) {
			t.Errorf("%s runs with %v; the track is %s", s.runs(), s.held(), s.track())
		}
		s.fall(false)
		s.rest(time.Hour) // the rejected digest is not tried again

		// A restart forgets nothing.
		s.stop()
		s.holds = map[string]source.Hold{}
		s.fall(true)
		s.start()
		s.rest(time.Hour)
		if s.runs() != "1.1.0" || s.held()["replicas"] != int64(1) {
			t.Errorf("after a restart %s runs with %v; the track is %s", s.runs(), s.held(), s.track())
		}
		s.fall(false)

		// The user's next change ends the hold, and tries the version once more.
		s.ails("1.2.0", false)
		s.section = values.Map{"replicas": int64(2)}
		s.write()
		s.rest(time.Hour)
		if s.runs() != "1.2.0" || s.held() != nil {
			t.Errorf("%s runs with %v; the track is %s", s.runs(), s.held(), s.track())
		}
		s.stop()
	})
}

func TestAChoiceThatLeadsNowhereIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.choice = source.Choice{Source: "crop"}
		s.publish("1.0.0", nil)
		s.start()
		s.rest(time.Hour)
		s.mu.Lock()
		got := slices.DeleteFunc(slices.Clone(s.told), func(line string) bool { return !strings.Contains(line, channel.ReasonSourceMissing) })
		s.mu.Unlock()
		if len(got) != 1 || !strings.Contains(got[0], "no ModuleSource crop") {
			t.Errorf("the user is told %q", got)
		}
		s.choice = source.Choice{}
		s.write()
		s.rest(time.Hour)
		if s.runs() != "1.0.0" {
			t.Errorf("%s runs; the track is %s", s.runs(), s.track())
		}
		s.stop()
	})
}

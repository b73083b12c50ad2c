// Package config keeps the user's ConfigMap, the Secret beside it and the facts
// in the cluster (section 9 of the contract). Secret leaves that the user wrote
// into the ConfigMap are moved to the Secret.
//
//	ConfigMap NAME         the user's; written only to carry out a hook's config patch,
//	                       and to take secret leaves out of it
//	Secret    NAME-values  config.<section>: secret leaves of a section, as YAML
//	                       facts.<owner>:    secret facts
//	                       channels.<module>: sections that a module ran well with
//	ConfigMap NAME-facts   what hooks found out, the last decisions, and what is remembered of channels
//
// What the text means is for package settings; here it is read, watched and
// written without losing an edit of anybody else.
package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/addon-operator/addon-operator/pkg/schema"
	"github.com/addon-operator/addon-operator/pkg/settings"
	"github.com/addon-operator/addon-operator/pkg/values"
)

// ErrContested is in the chain of Patch's error when somebody else keeps undoing
// what hooks write: the write is not repeated for now.
var ErrContested = errors.New("the ConfigMap is contested")

// ErrMissing is in the chain of Patch's error when the ConfigMap existed in this
// process and was deleted. It is not made anew with the one section of a hook:
// all that the user wrote would then count as switched off.
var ErrMissing = errors.New("the ConfigMap was deleted")

// ReasonContested is the reason that Notify gets with ErrContested.
const ReasonContested = "ConfigContested"

// ReasonFactsUnreadable is the reason that Notify gets for facts that were dropped.
const ReasonFactsUnreadable = "FactsUnreadable"

// Config is what a Store needs.
type Config struct {
	Client kubernetes.Interface
	// Namespace of all three objects; Name of the ConfigMap (C-370).
	Namespace, Name string
	// Schemas are the schemas of a section, "global" or a values key, that say which
	// leaves are secret; nil if it has none. A nil function means that none has any.
	Schemas func(section string) *schema.Set
	// Logger; nil means slog.Default().
	Logger *slog.Logger
	// Notify tells people about a key; nil means nobody. It must return at once.
	Notify func(key, reason, message string)
	// Now is the clock that contests are judged by; nil means time.Now.
	Now func() time.Time
}

// Store reads, watches and writes. Its methods may be called from several goroutines.
type Store struct {
	cfg      Config
	maps     corev1client.ConfigMapInterface
	secrets  corev1client.SecretInterface
	contests contests // of what hooks write
	moves    contests // of what is moved to the Secret

	// turn is taken while objects are read and what was read is handed on, so that
	// readings are handed on in their order.
	turn chan struct{}
	// The rest belongs to who has the turn.
	known settings.Settings
	// leaves are the last readable secret leaves by section.
	leaves  map[string]values.Map
	existed bool

	newest atomic.Pointer[settings.Settings] // what known was handed on as, for who has no turn
	wake   chan struct{}                     // somebody wants the objects to be read again

	factsMu sync.Mutex
	// saved is the digest of the facts that are in the cluster, "" if unknown.
	saved string
}

// New makes a Store; nothing is read yet.
func New(cfg Config) *Store {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Notify == nil {
		cfg.Notify = func(string, string, string) {}
	}
	if cfg.Schemas == nil {
		cfg.Schemas = func(string) *schema.Set { return nil }
	}
	return &Store{
		cfg: cfg, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), contests: contests{now: cfg.Now}, moves: contests{now: cfg.Now},
		maps: cfg.Client.CoreV1().ConfigMaps(cfg.Namespace), secrets: cfg.Client.CoreV1().Secrets(cfg.Namespace),
	}
}

// schemas are those of a section, the zero Set if it has none.
func (s *Store) schemas(section string) schema.Set {
	if set := s.cfg.Schemas(section); set != nil {
		return *set
	}
	return schema.Set{}
}

// leavesIn is schemas with what came from Secrets of the user as secret, too.
func (s *Store) leavesIn(section string) schema.Set {
	if now := s.newest.Load(); now != nil {
		return s.schemas(section).Hide(now.FromSecrets(section))
	}
	return s.schemas(section)
}

func (s *Store) learn(now settings.Settings) {
	s.known = now
	s.newest.Store(&now)
}

// secretName is the Secret that goes with the ConfigMap.
func (s *Store) secretName() string { return s.cfg.Name + "-values" }

// factsName is the ConfigMap with the facts.
func (s *Store) factsName() string { return s.cfg.Name + "-facts" }

func (s *Store) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) give() { <-s.turn }

// Load reads the ConfigMap and the Secret once, for the start. An absent
// ConfigMap is no error, Exists is false then; the error is that of the API.
func (s *Store) Load(ctx context.Context) (settings.Settings, error) {
	if err := s.take(ctx); err != nil {
		return settings.Settings{}, err
	}
	defer s.give()
	now, err := s.read(ctx, false)
	if err != nil {
		return settings.Settings{}, err
	}
	s.learn(now)
	return now, nil
}

// read needs the turn. It moves secret leaves first, if it may.
func (s *Store) read(ctx context.Context, move bool) (settings.Settings, error) {
	cm, err := s.getMap(ctx, s.cfg.Name)
	if err != nil {
		return settings.Settings{}, err
	}
	secret, err := s.getSecret(ctx)
	if err != nil {
		return settings.Settings{}, err
	}
	exposed := s.known.Exposed
	if move {
		cm, secret, exposed = s.tidy(ctx, cm, secret)
	}
	now := s.parse(cm, secret)
	now.Exposed = exposed
	if err := s.lay(ctx, &now); err != nil {
		return settings.Settings{}, err
	}
	return now, nil
}

// tidy moves secret leaves out of the ConfigMap. Settings count as they are when that fails.
func (s *Store) tidy(ctx context.Context, cm *corev1.ConfigMap, secret *corev1.Secret) (*corev1.ConfigMap, *corev1.Secret, []settings.Problem) {
	nextMap, nextSecret, exposed, err := s.moveLeaves(ctx, cm, secret)
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Logger.Warn("secret values cannot be moved from the ConfigMap to the Secret; they are used as they are", "error", err)
		}
		return cm, secret, s.known.Exposed
	}
	for _, p := range exposed {
		if !slices.Contains(s.known.Exposed, p) {
			s.cfg.Notify(p.Key, ReasonSecretExposed, p.Message)
		}
	}
	return nextMap, nextSecret, exposed
}

// parse needs the turn; nil objects are absent.
func (s *Store) parse(cm *corev1.ConfigMap, secret *corev1.Secret) settings.Settings {
	var data map[string]string
	if cm != nil {
		data = cm.Data
		s.existed = true
	}
	problems := s.readLeaves(secret)
	out := settings.Parse(data, s.leaves, s.known)
	out.Exists = cm != nil
	out.Problems = append(out.Problems, problems...)
	out.Revision = s.known.Revision + 1
	return out
}

const leavesPrefix = "config."

// readLeaves takes the secret leaves over; a key that cannot be read keeps what it had.
func (s *Store) readLeaves(secret *corev1.Secret) []settings.Problem {
	var problems []settings.Problem
	next := map[string]values.Map{}
	if secret != nil {
		for _, key := range slices.Sorted(maps.Keys(secret.Data)) {
			section, ok := strings.CutPrefix(key, leavesPrefix)
			if !ok {
				continue
			}
			leaves, err := decodeLeaves(secret.Data[key])
			if err != nil {
				problems = append(problems, settings.Problem{Key: section, Message: fmt.Sprintf(
					"key %s of Secret %s: %v; correct or remove it, the last readable one stays in force", key, secret.Name, err)})
				leaves = s.leaves[section]
			}
			next[section] = leaves
		}
	}
	s.leaves = next
	return problems
}

func decodeLeaves(text []byte) (values.Map, error) {
	v, err := values.DecodeYAML(text)
	if err != nil { // what it quotes may be secret
		return nil, errors.New("expected YAML")
	}
	switch m := v.(type) {
	case values.Map:
		return m, nil
	case nil:
		return values.Map{}, nil
	}
	return nil, errors.New("expected an object")
}

// getMap returns nil for a ConfigMap that does not exist.
func (s *Store) getMap(ctx context.Context, name string) (*corev1.ConfigMap, error) {
	cm, err := s.maps.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ConfigMap %s/%s cannot be read: %w", s.cfg.Namespace, name, err)
	}
	return cm, nil
}

// getSecret returns nil if the Secret does not exist.
func (s *Store) getSecret(ctx context.Context) (*corev1.Secret, error) {
	secret, err := s.secrets.Get(ctx, s.secretName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s cannot be read: %w", s.cfg.Namespace, s.secretName(), err)
	}
	return secret, nil
}

// Run watches both objects, and those that valuesFrom names, until ctx ends and calls changed, one call at a time,
// with every reading that means something else than the last one known: read by
// Load, handed to changed, or, for its own section, returned by Patch. So own
// writes wake nobody (C-380, B-05), and edits that a Patch met on its way do.
// changed must not call methods of the Store.
func (s *Store) Run(ctx context.Context, changed func(settings.Settings)) error {
	config := coreinformers.NewFilteredConfigMapInformer(s.cfg.Client, s.cfg.Namespace, 0, cache.Indexers{}, byName(s.cfg.Name))
	secret := coreinformers.NewFilteredSecretInformer(s.cfg.Client, s.cfg.Namespace, 0, cache.Indexers{}, byName(s.secretName()))
	if err := errors.Join(onChange(config, sameData, s.Look), onChange(secret, sameLeaves, s.Look)); err != nil {
		return fmt.Errorf("watch of ConfigMap %s/%s: %w", s.cfg.Namespace, s.cfg.Name, err)
	}
	var workers sync.WaitGroup
	workers.Go(func() { config.RunWithContext(ctx) })
	workers.Go(func() { secret.RunWithContext(ctx) })
	defer workers.Wait()
	s.Look()
	sources := &sourceWatches{Store: s, running: map[object]context.CancelFunc{}}
	defer sources.stop()
	s.follow(ctx, changed, sources)
	return nil
}

// Look has Run read everything again, as other schemas may call other leaves secret.
func (s *Store) Look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// follow looks again after each wake-up, and after failures with backoff.
func (s *Store) follow(ctx context.Context, changed func(settings.Settings), sources *sourceWatches) {
	delays := backoff{first: time.Second, most: 30 * time.Second}
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-again:
		}
		again = nil
		if err := s.refresh(ctx, changed, sources); err != nil && ctx.Err() == nil {
			wait := delays.next()
			s.cfg.Logger.Warn("settings cannot be read; the last ones stay in force", "error", err, "again", wait)
			again = time.After(wait)
			continue
		}
		delays.reset()
	}
}

func (s *Store) refresh(ctx context.Context, changed func(settings.Settings), sources *sourceWatches) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	now, err := s.read(ctx, true)
	if err != nil {
		return err
	}
	sources.follow(ctx, now)
	if settings.Equal(s.known, now) {
		return nil
	}
	s.learn(now)
	changed(now)
	return nil
}

func byName(name string) func(*metav1.ListOptions) {
	return func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	}
}

// onChange calls f for all events but updates that are the same.
func onChange[T any](informer cache.SharedIndexInformer, same func(a, b T) bool, f func()) error {
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { f() },
		DeleteFunc: func(any) { f() },
		UpdateFunc: func(before, after any) {
			a, okA := before.(T)
			b, okB := after.(T)
			if !okA || !okB || !same(a, b) {
				f()
			}
		},
	})
	return err
}

func sameData(a, b *corev1.ConfigMap) bool { return maps.Equal(a.Data, b.Data) }

// sameLeaves passes over facts, which are written often and by us alone.
func sameLeaves(a, b *corev1.Secret) bool {
	return maps.EqualFunc(onlyLeaves(a), onlyLeaves(b), bytes.Equal)
}

func onlyLeaves(s *corev1.Secret) map[string][]byte {
	out := maps.Clone(s.Data)
	maps.DeleteFunc(out, func(key string, _ []byte) bool { return !strings.HasPrefix(key, leavesPrefix) })
	return out
}

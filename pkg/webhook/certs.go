package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
)

const (
	// filesEvery is how often certificate files are read again.
	filesEvery = 10 * time.Second
	// renewEvery is how often a self-issued certificate is looked at.
	renewEvery = 10 * time.Minute
	// certsRetry is the pause after a certificate could not be loaded.
	certsRetry = 5 * time.Second
)

// certificate is what an endpoint serves, and the bundle with which the API server checks it.
type certificate struct {
	tls tls.Certificate
	ca  []byte
	raw [2][]byte // certificate and bundle as they were read, to see changes
}

func newCertificate(cert, key, ca []byte) (*certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	if len(parseCertificates(ca)) == 0 {
		return nil, errors.New("ca.crt has no certificate in PEM form")
	}
	return &certificate{tls: pair, ca: ca, raw: [2][]byte{cert, ca}}, nil
}

func (c *certificate) same(o *certificate) bool {
	return o != nil && bytes.Equal(c.raw[0], o.raw[0]) && bytes.Equal(c.raw[1], o.raw[1])
}

// source is where certificates come from.
type source interface {
	// load reads the certificate as it is now; sources that issue make it if need be.
	load(ctx context.Context) (*certificate, error)
	// watch calls changed when it may be time to load again, until ctx ends.
	watch(ctx context.Context, changed func())
}

// certs keeps the newest certificate of a source. Nothing is read or issued
// before the first call of get.
type certs struct {
	source source
	clock  clock.WithTicker
	log    *slog.Logger

	current atomic.Pointer[certificate]
	mu      sync.Mutex // one load at a time
	once    sync.Once
	needed  chan struct{}
}

func newCerts(s source, cfg *Config) *certs {
	return &certs{source: s, clock: cfg.Clock, log: cfg.Logger, needed: make(chan struct{})}
}

// get is the current certificate; the first call loads it.
func (c *certs) get(ctx context.Context) (*certificate, error) {
	c.once.Do(func() { close(c.needed) })
	if now := c.current.Load(); now != nil {
		return now, nil
	}
	if _, err := c.reload(ctx); err != nil {
		return nil, fmt.Errorf("webhook certificate: %w", err)
	}
	return c.current.Load(), nil
}

func (c *certs) reload(ctx context.Context) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next, err := c.source.load(ctx)
	if err != nil {
		return false, err
	}
	if next.same(c.current.Load()) {
		return false, nil
	}
	c.current.Store(next)
	return true, nil
}

// run follows the source once the certificate is needed and calls changed after
// each change. While the source is broken the last certificate stays.
func (c *certs) run(ctx context.Context, changed func()) {
	select {
	case <-ctx.Done():
		return
	case <-c.needed:
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	look := make(chan struct{}, 1)
	wg.Go(func() { c.source.watch(ctx, func() { signal(look) }) })
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-look:
		case <-again:
		}
		again = nil
		now, err := c.reload(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			c.log.Warn("the webhook certificate cannot be read; the last one stays in use", "error", err)
			again = c.clock.After(certsRetry)
		case now:
			c.log.Info("webhook certificate loaded", "notAfter", c.current.Load().tls.Leaf.NotAfter)
			changed()
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// config is the server's side of TLS; each handshake gets the newest certificate.
func (c *certs) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			now, err := c.get(hello.Context())
			if err != nil {
				return nil, err
			}
			return &now.tls, nil
		},
	}
}

// newSources picks where the certificates of both endpoints come from: files that
// exist, else the named Secret, else self-issued ones.
func newSources(cfg *Config) (forAdmission, forConversion source, err error) {
	var fallback source
	switch {
	case cfg.Secret != "" && cfg.Namespace == "":
		return nil, nil, fmt.Errorf("webhook certificates in Secret %s: the operator's namespace is not known", cfg.Secret)
	case cfg.Secret != "":
		fallback = &secretSource{client: cfg.Dynamic.Resource(secretResource).Namespace(cfg.Namespace), name: cfg.Secret, log: cfg.Logger}
	default:
		fallback = newIssuer(cfg)
	}
	if forAdmission, err = sourceOf(cfg, cfg.Admission, fallback); err != nil {
		return nil, nil, err
	}
	forConversion, err = sourceOf(cfg, cfg.Conversion, fallback)
	return forAdmission, forConversion, err
}

func sourceOf(cfg *Config, e Endpoint, fallback source) (source, error) {
	_, err := os.Stat(e.Cert)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fallback, nil
	case err != nil:
		return nil, fmt.Errorf("webhook certificate: %w", err)
	}
	files := &fileSource{cert: e.Cert, key: e.Key, ca: e.CA, clock: cfg.Clock}
	if _, err := files.load(context.Background()); err != nil { // a wrong file is found at start and not with the first binding
		return nil, err
	}
	return files, nil
}

// fileSource reads PEM files. They are compared by content, because a mounted
// Secret changes by a link of its directory.
type fileSource struct {
	cert, key, ca string
	clock         clock.WithTicker
}

func (f *fileSource) load(context.Context) (*certificate, error) {
	var text [3][]byte
	for i, file := range []string{f.cert, f.key, f.ca} {
		var err error
		if text[i], err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("webhook certificate: %w", err)
		}
	}
	c, err := newCertificate(text[0], text[1], text[2])
	if err != nil {
		return nil, fmt.Errorf("webhook certificate of %s, %s and %s: %w", f.cert, f.key, f.ca, err)
	}
	return c, nil
}

func (f *fileSource) watch(ctx context.Context, changed func()) {
	tick := f.clock.NewTicker(filesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
			changed()
		}
	}
}

// secretSource reads a Secret that somebody else keeps.
type secretSource struct {
	client dynamic.ResourceInterface
	name   string
	log    *slog.Logger
}

func (s *secretSource) load(ctx context.Context) (*certificate, error) {
	secret, err := getSecret(ctx, s.client, s.name)
	if err != nil {
		return nil, fmt.Errorf("secret %s with the webhook certificate: %w", s.name, err)
	}
	c, err := newCertificate(secret.Data["tls.crt"], secret.Data["tls.key"], secret.Data["ca.crt"])
	if err != nil {
		return nil, fmt.Errorf("secret %s: expected tls.crt, tls.key and ca.crt in PEM form: %w", s.name, err)
	}
	return c, nil
}

func (s *secretSource) watch(ctx context.Context, changed func()) {
	follow(ctx, s.client, metav1.ListOptions{FieldSelector: "metadata.name=" + s.name}, s.log, func(string) { changed() })
}

// issuer makes certificates itself and keeps them in a Secret, so that restarts
// and replicas share them; in memory where there is no namespace.
type issuer struct {
	client dynamic.ResourceInterface // nil: in memory
	name   string
	labels map[string]string
	names  []string // what the certificate is valid for
	clock  clock.WithTicker
	log    *slog.Logger

	mu     sync.Mutex
	memory issued
}

func newIssuer(cfg *Config) *issuer {
	i := &issuer{
		name: cfg.IssuedSecret, labels: map[string]string{labelInstance: cfg.Instance},
		names: certificateNames(cfg), clock: cfg.Clock, log: cfg.Logger,
	}
	if cfg.Namespace != "" {
		i.client = cfg.Dynamic.Resource(secretResource).Namespace(cfg.Namespace)
	}
	return i
}

// certificateNames are the names under which the API server looks for the operator.
func certificateNames(cfg *Config) (names []string) {
	if u, err := url.Parse(cfg.URL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	if cfg.Namespace == "" {
		return names
	}
	for _, service := range []string{cfg.Admission.Service, cfg.Conversion.Service} {
		host := service + "." + cfg.Namespace
		names = append(names, host+".svc", host, host+".svc.cluster.local")
	}
	return names
}

func (i *issuer) load(ctx context.Context) (*certificate, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	var now issued
	var err error
	if i.client == nil {
		if now, err = renew(i.memory, i.names, i.clock.Now()); err == nil {
			i.memory = now
		}
	} else {
		err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			now, err = i.loadSecret(ctx)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("issue a webhook certificate: %w", err)
	}
	return newCertificate(now.Cert, now.Key, now.CA)
}

// loadSecret renews what the Secret holds; a conflict means that another replica did.
func (i *issuer) loadSecret(ctx context.Context) (issued, error) {
	live, err := getSecret(ctx, i.client, i.name)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return issued{}, fmt.Errorf("secret %s: %w", i.name, err)
	}
	old := issued{CA: live.Data["ca.crt"], CAKey: live.Data["ca.key"], Cert: live.Data["tls.crt"], Key: live.Data["tls.key"]}
	now, err := renew(old, i.names, i.clock.Now())
	if err != nil {
		return issued{}, err
	}
	if bytes.Equal(now.CA, old.CA) && bytes.Equal(now.Cert, old.Cert) {
		return now, nil
	}
	data := map[string]any{
		"ca.crt": base64Text(now.CA), "ca.key": base64Text(now.CAKey), "tls.crt": base64Text(now.Cert), "tls.key": base64Text(now.Key),
	}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": string(corev1.SecretTypeTLS), "data": data,
	}}
	secret.SetName(i.name)
	secret.SetLabels(i.labels)
	if missing {
		_, err = i.client.Create(ctx, secret, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			err = apierrors.NewConflict(secretResource.GroupResource(), i.name, err)
		}
		return now, err
	}
	secret.SetResourceVersion(live.ResourceVersion)
	secret.Object["type"] = string(live.Type) // cannot be changed
	_, err = i.client.Update(ctx, secret, metav1.UpdateOptions{})
	return now, err
}

func (i *issuer) watch(ctx context.Context, changed func()) {
	var wg sync.WaitGroup
	defer wg.Wait()
	if i.client != nil {
		wg.Go(func() {
			follow(ctx, i.client, metav1.ListOptions{FieldSelector: "metadata.name=" + i.name}, i.log, func(string) { changed() })
		})
	}
	tick := i.clock.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C():
			changed()
		}
	}
}

func getSecret(ctx context.Context, client dynamic.ResourceInterface, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	live, err := client.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return secret, err
	}
	return secret, runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, secret)
}

func base64Text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

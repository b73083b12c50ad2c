package webhook

import (
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// Config is what a Server needs. Dynamic, Logger and one of Namespace and URL
// are required for bindings to be registered; the rest has defaults.
type Config struct {
	// Dynamic writes and watches configurations, CRDs and the Secret.
	Dynamic dynamic.Interface
	Logger  *slog.Logger
	// Admission and Conversion are the two ports. Both serve everything; the API
	// server is told of the first for admission and of the second for conversion.
	// With URL, or one Service for both, only the first is opened.
	Admission  Endpoint
	Conversion Endpoint
	// Namespace of the operator: where the Services and the Secret are.
	Namespace string
	// URL, if set, is what the API server is told in place of Services:
	// https://HOST:PORT, reachable from the API server.
	URL string
	// ConfigurationName begins the names of webhook configurations (C-241);
	// default "shell-operator-hooks".
	ConfigurationName string
	// Instance is the value of the label addon-operator.io/instance; default ConfigurationName.
	Instance string
	// FailurePolicy is for bindings that name none (C-062); default Fail.
	FailurePolicy admission.FailurePolicyType
	// Secret is the name of a Secret in Namespace with tls.crt, tls.key and
	// ca.crt, kept by somebody else (cert-manager, for one). Empty: self-issued.
	Secret string
	// IssuedSecret is the name of the Secret in Namespace in which self-issued
	// certificates are kept; default "addon-operator-webhook-tls". Without
	// Namespace they live in memory.
	IssuedSecret string
	// MaxBody bounds the body of a request in bytes; default 64 MiB.
	MaxBody int64
	// Grace is how long requests may take to end once Run's context has; default 20s.
	Grace time.Duration
	// Observe, if set, is called after each answered request.
	Observe func(Request)
	// Failed, if set, is called when an object of an owner cannot be written, and
	// with a nil error once it could be. It must not block.
	Failed func(owner hook.Owner, object string, err error)
	// Clock is for tests; default the real one.
	Clock clock.WithTicker
}

// Endpoint is one HTTPS port.
type Endpoint struct {
	// ListenAddress is host:port; defaults 0.0.0.0:9680 and 0.0.0.0:9681 (C-240, C-255).
	ListenAddress string
	// Service is the name of the Service in front of it (port 443); defaults
	// shell-operator-validating-svc and shell-operator-conversion-svc.
	Service string
	// Cert, Key and CA are PEM files. They are used if Cert exists, before any
	// other source, and read again when they change. Defaults
	// /validating-certs/{tls.crt,tls.key,ca.crt} and /conversion-certs/….
	Cert, Key, CA string
	// ClientCAs are PEM files of authorities; if there are any, clients must
	// have a certificate of one of them.
	ClientCAs []string
}

// Request is one answered request, for metrics.
type Request struct {
	// Hook is zero for a path that no hook answers for.
	Hook    hook.ID
	Binding string
	Type    hook.Type
	// Result is allowed, denied, converted or failed.
	Result   string
	Duration time.Duration
}

func (c *Config) setDefaults() {
	text := func(v *string, def string) {
		if *v == "" {
			*v = def
		}
	}
	for _, e := range []struct {
		of                    *Endpoint
		address, service, dir string
	}{
		{&c.Admission, "0.0.0.0:9680", "shell-operator-validating-svc", "/validating-certs"},
		{&c.Conversion, "0.0.0.0:9681", "shell-operator-conversion-svc", "/conversion-certs"},
	} {
		text(&e.of.ListenAddress, e.address)
		text(&e.of.Service, e.service)
		text(&e.of.Cert, e.dir+"/tls.crt")
		text(&e.of.Key, e.dir+"/tls.key")
		text(&e.of.CA, e.dir+"/ca.crt")
	}
	text(&c.ConfigurationName, "shell-operator-hooks")
	text(&c.Instance, c.ConfigurationName)
	text((*string)(&c.FailurePolicy), string(admission.Fail))
	text(&c.IssuedSecret, "addon-operator-webhook-tls")
	c.URL = strings.TrimSuffix(c.URL, "/")
	if c.MaxBody == 0 {
		c.MaxBody = 64 << 20
	}
	if c.Grace == 0 {
		c.Grace = 20 * time.Second
	}
	if c.Observe == nil {
		c.Observe = func(Request) {}
	}
	if c.Failed == nil {
		c.Failed = func(hook.Owner, string, error) {}
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
}

// validate finds what would only show with the first binding.
func (c *Config) validate() error {
	var all []error
	if c.Dynamic == nil || c.Logger == nil {
		all = append(all, errors.New("webhook: Config.Dynamic and Config.Logger are required"))
	}
	for name, address := range map[string]string{"validating": c.Admission.ListenAddress, "conversion": c.Conversion.ListenAddress} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			all = append(all, fmt.Errorf("%s webhook: listen address %q: expected host:port: %w", name, address, err))
		}
	}
	if c.FailurePolicy != admission.Fail && c.FailurePolicy != admission.Ignore {
		all = append(all, fmt.Errorf("webhook failure policy %q: use Fail or Ignore", c.FailurePolicy))
	}
	if c.URL != "" {
		all = append(all, validURL(c.URL))
	}
	return errors.Join(all...)
}

// validURL demands what the API server does of clientConfig.url.
func validURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("webhook URL %q: %w", text, err)
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("webhook URL %q: expected https://HOST:PORT, reachable from the API server", text)
	}
	return nil
}

// clientCAs reads the authorities of clients; nil without any.
func (e Endpoint) clientCAs() (*x509.CertPool, error) {
	if len(e.ClientCAs) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, file := range e.ClientCAs {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("client CA of webhooks: %w", err)
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("client CA of webhooks: %s has no certificate in PEM form", file)
		}
	}
	return pool, nil
}

package main

import (
	"net"
	"strconv"

	admission "k8s.io/api/admissionregistration/v1"

	"github.com/addon-operator/addon-operator/pkg/operator"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// webhookPorts are flags whose values have another form in operator.Config.
type webhookPorts struct {
	policy                string
	validating, converted portFlags
}

type portFlags struct {
	host      string
	port      int
	clientCAs []string
}

// webhookFlags are those of section 11.4 of the contract, and the URL and Secret
// that are ours.
func webhookFlags(b binder, cfg *operator.Config) *webhookPorts {
	c := &cfg.Webhooks
	w := &webhookPorts{policy: "Fail", validating: portFlags{host: "0.0.0.0", port: 9680}, converted: portFlags{host: "0.0.0.0", port: 9681}}
	b.truth(&cfg.ValidateConfigMap, "validate-configmap", "have the API server refuse a ConfigMap whose keys do not parse or fit their schemas, by a webhook", "ADDON_OPERATOR_VALIDATE_CONFIGMAP")
	b.text(&c.URL, "webhook-url", "https://HOST:PORT at which the API server reaches the validating port, in place of a Service", "ADDON_OPERATOR_WEBHOOK_URL")
	b.text(&c.Secret, "webhook-secret", "Secret with tls.crt, tls.key and ca.crt for webhooks; without one they are self-issued", "ADDON_OPERATOR_WEBHOOK_SECRET")
	b.text(&c.ConfigurationName, "validating-webhook-configuration-name", "beginning of the names of webhook configurations", "VALIDATING_WEBHOOK_CONFIGURATION_NAME")
	b.text(&w.policy, "validating-webhook-failure-policy", "Fail or Ignore, for bindings that name none", "VALIDATING_WEBHOOK_FAILURE_POLICY")
	w.validating.bind(b, &c.Admission, "validating", "VALIDATING")
	w.converted.bind(b, &c.Conversion, "conversion", "CONVERSION")
	return w
}

func (p *portFlags) bind(b binder, e *webhook.Endpoint, name, env string) {
	flag, variable := name+"-webhook-", env+"_WEBHOOK_"
	b.text(&e.Service, flag+"service-name", "Service in front of the "+name+" port", variable+"SERVICE_NAME")
	b.text(&e.Cert, flag+"server-cert", "certificate of the "+name+" port", variable+"SERVER_CERT")
	b.text(&e.Key, flag+"server-key", "key of the "+name+" port", variable+"SERVER_KEY")
	b.text(&e.CA, flag+"ca", "authority that signed that certificate", variable+"CA")
	b.list(&p.clientCAs, flag+"client-ca", "authority of clients, a file; then clients need a certificate", variable+"CLIENT_CA")
	b.text(&p.host, flag+"listen-address", "address of the "+name+" port", variable+"LISTEN_ADDRESS")
	b.number(&p.port, flag+"listen-port", "number of the "+name+" port", variable+"LISTEN_PORT")
}

// fill puts into cfg what the flags say.
func (w *webhookPorts) fill(cfg *operator.Config) {
	c := &cfg.Webhooks
	c.FailurePolicy = admission.FailurePolicyType(w.policy)
	for _, x := range []struct {
		to   *webhook.Endpoint
		from portFlags
	}{{&c.Admission, w.validating}, {&c.Conversion, w.converted}} {
		x.to.ListenAddress = net.JoinHostPort(x.from.host, strconv.Itoa(x.from.port))
		x.to.ClientCAs = x.from.clientCAs
	}
}

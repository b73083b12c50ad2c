package operator

import (
	"cmp"
	"fmt"

	"github.com/addon-operator/addon-operator/pkg/hook"
	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// newWebhooks makes what answers reviews. warn is told of configurations that cannot be written.
func newWebhooks(cfg Config, clients *kube.Clients, m meter, warn func(o hook.Owner, message string)) (*webhook.Server, error) {
	c := cfg.Webhooks
	c.Dynamic, c.Logger, c.Namespace = clients.Dynamic, cfg.Logger, cfg.Namespace
	c.Grace = cfg.ShutdownGrace
	if cfg.HooksDir == "" {
		c.ConfigurationName = cmp.Or(c.ConfigurationName, "addon-operator-hooks")
		c.Instance = cfg.instance()
	}
	c.Observe = func(r webhook.Request) {
		m.self.Reviewed(r.Hook, r.Binding, string(r.Type), r.Result, r.Duration)
	}
	c.Failed = func(o hook.Owner, object string, err error) {
		if err != nil {
			warn(o, fmt.Sprintf("%s cannot be written and is tried again: %v", object, err))
		}
	}
	return webhook.New(c)
}

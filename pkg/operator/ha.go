package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"

	"github.com/addon-operator/addon-operator/pkg/kube"
	"github.com/addon-operator/addon-operator/pkg/leader"
	"github.com/addon-operator/addon-operator/pkg/module"
	"github.com/addon-operator/addon-operator/pkg/web"
	"github.com/addon-operator/addon-operator/pkg/webhook"
)

// validateHA is what high availability needs to be told (C-450).
func (c *Config) validateHA() error {
	if !c.HA {
		return nil
	}
	if c.HooksDir != "" {
		return errors.New("high availability works with modules only: unset ADDON_OPERATOR_HA, or --hooks-dir")
	}
	_, err := c.identity()
	return err
}

func (c *Config) identity() (string, error) {
	host, _, err := net.SplitHostPort(c.ListenAddress)
	if err != nil {
		return "", fmt.Errorf("listen address %q: %w", c.ListenAddress, err)
	}
	return leader.Identity(c.Pod, host, c.Namespace)
}

// joinElection makes the operator one of several. Everything that cfg and rc are used
// for from here on is fenced, and bears the pod's name in the audit log of the API server.
func (c *Config) joinElection(rc *rest.Config) error {
	if !c.HA {
		return nil
	}
	identity, err := c.identity()
	if err != nil {
		return err
	}
	rc.UserAgent += "/" + c.Pod // field managers end at the slash and stay the same
	c.elector, err = leader.New(leader.Config{REST: rest.CopyConfig(rc), Namespace: c.Namespace, Identity: identity,
		Duration: c.LeaseDuration, Logger: c.Logger})
	return err
}

// fenced are the options of clients, of which there are some in an election.
func (c *Config) fenced() []kube.Option {
	if c.elector == nil {
		return nil
	}
	return []kube.Option{kube.WithFence(c.elector.Fence())}
}

// allowed says whether a hook may start; nil without an election.
func (c *Config) allowed() func() error {
	if c.elector == nil {
		return nil
	}
	return c.elector.Fence().Write
}

// lost is closed when nothing may be done any more.
func (c *Config) lost() <-chan struct{} {
	if c.elector == nil {
		return nil
	}
	return c.elector.Lost()
}

// standby is an operator that waits to lead.
type standby struct {
	cfg     Config
	clients *kube.Clients
	front   *front
	meter   meter
}

// run waits and then leads. Meanwhile it answers probes and hands reviews of
// webhooks on to the leader. It keeps warm what a takeover would wait for and what
// may be had without hooks and writes: modules are read, connections are open,
// discovery is known and followed.
func (s standby) run(ctx context.Context, lead func(context.Context) error) error {
	s.meter.showLeading(s.cfg.MetricsPrefix, s.cfg.elector.Fence())
	self, hooks := s.meter.handlers()
	_, port, _ := net.SplitHostPort(s.cfg.ListenAddress)
	s.front.http.To(web.Standby(s.leader, port, self, hooks))
	s.front.nothingToShow(web.StandbyDebug(s.leader))

	waiting, stop := context.WithCancel(ctx)
	defer stop()
	var warm sync.WaitGroup
	defer warm.Wait()
	warm.Go(func() { _ = s.clients.WatchDiscovery(waiting, func() {}, nil) })
	warm.Go(func() {
		webhook.Forwarder{Config: s.cfg.Webhooks, Leader: s.leaderAddress, Logger: s.cfg.Logger}.Run(waiting)
	})
	return s.cfg.elector.Run(ctx, func(ctx context.Context) error {
		stop()
		warm.Wait() // the webhook ports are the operator's now
		return lead(ctx)
	})
}

// readAnew reads the modules as they are now; those that were read before stay in
// force when that fails.
func readAnew(cfg Config, before *module.Set) *module.Set {
	mods, err := readModules(cfg)
	if err != nil {
		cfg.Logger.Error("the modules' directories cannot be read anew; what was read at the start stays in force", "error", err)
		return before
	}
	logModules(cfg.Logger, mods)
	return mods
}

func (s standby) leader() web.Leader {
	identity := s.cfg.elector.Leader()
	ip, _ := leader.Address(identity)
	return web.Leader{Identity: identity, Address: ip}
}

func (s standby) leaderAddress() string {
	if l := s.leader(); l.Address.IsValid() {
		return l.Address.String()
	}
	return ""
}

// showLeading adds a gauge that is 1 in the replica that leads.
func (m meter) showLeading(prefix string, f *leader.Fence) {
	m.selfRegs.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + "leader",
		Help: "1 while this replica leads, 0 while it is a standby. Only with high availability."}, func() float64 {
		if f.Write() == nil {
			return 1
		}
		return 0
	}))
}

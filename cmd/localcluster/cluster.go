package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// startTimeout bounds the start of a cluster, and of an API server.
const startTimeout = 2 * time.Minute

// pollInterval is how often a condition is looked at while the cluster starts.
const pollInterval = 20 * time.Millisecond

// clusterConfig is what the user may choose.
type clusterConfig struct {
	Dir        string // default: a new temporary directory
	Kubeconfig string // also written here; default: only in Dir
	NodesFile  string // default: the embedded AWS nodes
	NoCloud    bool   // no LoadBalancer addresses, no StorageClass
	AuditLog   bool   // write audit.log
}

// absolute resolves the paths, for the working directory changes.
func (c *clusterConfig) absolute() error {
	for _, p := range []*string{&c.Dir, &c.Kubeconfig, &c.NodesFile} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		*p = abs
	}
	return nil
}

// cluster is one running cluster.
type cluster struct {
	cfg  clusterConfig
	dir  string
	port *portReservation
	sup  *supervisor
	rest *rest.Config // system:masters, unthrottled

	serving chan struct{} // closed when the API server is up for the first time
}

// withCluster starts a cluster, calls use once it is ready, and removes everything
// when use has returned. The context given to use ends when a component dies or the
// outer one ends; a death is the error returned then.
func withCluster(ctx context.Context, cfg clusterConfig, use func(context.Context, *cluster) error) (err error) {
	nodes, err := loadNodes(cfg.NodesFile)
	if err != nil {
		return err
	}
	work, err := openWorkdir(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, work.Remove()) }()
	if err := os.Chdir(work.Path); err != nil {
		return err
	}
	defer func() { _ = os.Chdir("/") }() // a working directory that is removed helps nobody
	port, err := reservePort()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, port.Release()) }()
	c := &cluster{cfg: cfg, dir: work.Path, port: port, sup: newSupervisor(work.Path), serving: make(chan struct{})}
	if err := c.writeFiles(work); err != nil {
		return err
	}
	if cfg.Kubeconfig != "" {
		remove, err := work.copyKubeconfig(cfg.Kubeconfig)
		if err != nil {
			return err
		}
		defer func() { _ = remove() }()
	}
	defer c.sup.EndAll()
	return c.run(ctx, func(ctx context.Context) error {
		if err := c.start(ctx, nodes); err != nil {
			return err
		}
		return use(ctx, c)
	})
}

func (c *cluster) writeFiles(work *workdir) error {
	if err := writePKI(c.dir, c.server()); err != nil {
		return err
	}
	if err := writeComponentConfigs(c.dir); err != nil {
		return err
	}
	return work.linkKubectl()
}

func (c *cluster) server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.port.Port) }

// errUsed ends the group of a cluster whose user is done.
var errUsed = errors.New("done")

// run runs what the supervisor does besides its children: the two sockets, the
// imitated cloud, the watch for deaths, and body. It ends when body or any other ends.
func (c *cluster) run(ctx context.Context, body func(context.Context) error) error {
	if err := c.connect(); err != nil {
		return err
	}
	control, err := listenUnix(ctx, fileControlSocket)
	if err != nil {
		return err
	}
	network, err := listenUnix(ctx, fileClusterNetworkSocket)
	if err != nil {
		return errors.Join(err, control.Close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return (&controlServer{cluster: c}).Run(ctx, control) })
	group.Go(func() error { return refuseClusterNetwork(ctx, network) })
	group.Go(func() error {
		select {
		case err := <-c.sup.deaths:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	if !c.cfg.NoCloud {
		group.Go(func() error { return c.runCloud(ctx) })
	}
	group.Go(func() error {
		if err := body(ctx); err != nil {
			return err
		}
		return errUsed
	})
	if err := group.Wait(); !errors.Is(err, errUsed) {
		return err
	}
	return nil
}

// runCloud runs the imitated cloud once the API server is up.
func (c *cluster) runCloud(ctx context.Context) error {
	select {
	case <-c.serving:
	case <-ctx.Done():
		return nil
	}
	client, err := kubernetes.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	cloud, err := newCloud(client, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	return cloud.Run(ctx)
}

// connect prepares the client the supervisor itself uses.
func (c *cluster) connect() error {
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(c.dir, fileCloudKubeconfig))
	if err != nil {
		return err
	}
	cfg.QPS = -1 // no throttling
	c.rest = cfg
	return nil
}

// start brings the cluster up, in this order:
//
//  1. etcd, which is there when its socket answers
//  2. kube-apiserver, which answers about a second before all of /readyz is ok
//  3. in that second kube-scheduler, kwok, the nodes and what every cluster has
//  4. kube-controller-manager, which begins by waiting for all of it in whole seconds
//  5. wait until a pod could run: nodes Ready and untainted, service account there
//
// Processes are prepared early and released in this order.
func (c *cluster) start(ctx context.Context, nodes []*corev1.Node) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the cluster was not ready within %s", startTimeout))
	defer cancel()
	client, err := kubernetes.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	if err := c.startStorage(ctx, client); err != nil {
		return err
	}
	close(c.serving)
	if err := c.sup.Release(componentScheduler); err != nil {
		return err
	}
	if err := c.sup.Release(componentKwok); err != nil {
		return err
	}
	if err := createBasics(ctx, client, nodes, !c.cfg.NoCloud); err != nil {
		return err
	}
	if err := poll(ctx, componentAPIServer, apiServerReady(client)); err != nil {
		return err
	}
	if err := c.sup.Release(componentControllerManager); err != nil {
		return err
	}
	return waitUsable(ctx, client, nodes)
}

// startStorage starts etcd and the API server until it answers, and prepares the rest.
func (c *cluster) startStorage(ctx context.Context, client kubernetes.Interface) error {
	if err := c.sup.Start(componentEtcd, nil); err != nil {
		return err
	}
	if err := c.sup.Prepare(componentAPIServer, apiServerArgs(c.port.Port, c.cfg.AuditLog)); err != nil {
		return err
	}
	if err := poll(ctx, componentEtcd, socketAnswers); err != nil {
		return err
	}
	if err := c.sup.Release(componentAPIServer); err != nil {
		return err
	}
	for _, p := range []struct {
		name string
		args []string
	}{
		{componentControllerManager, controllerManagerArgs()},
		{componentScheduler, schedulerArgs()},
		{componentKwok, kwokArgs()},
	} {
		if err := c.sup.Prepare(p.name, p.args); err != nil {
			return err
		}
	}
	return poll(ctx, componentAPIServer, apiServerReady(client, "poststarthook/rbac/bootstrap-roles", "poststarthook/scheduling/bootstrap-system-priority-classes"))
}

// restartAPIServer starts the API server again and returns when it is ready.
func (c *cluster) restartAPIServer(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.rest)
	if err != nil {
		return err
	}
	if err := c.sup.Start(componentAPIServer, apiServerArgs(c.port.Port, c.cfg.AuditLog)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("kube-apiserver was not ready within %s", startTimeout))
	defer cancel()
	return poll(ctx, componentAPIServer, apiServerReady(client))
}

// apiServerReady asks /readyz, leaving out the named checks.
func apiServerReady(client kubernetes.Interface, exclude ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		req := client.Discovery().RESTClient().Get().AbsPath("/readyz")
		for _, check := range exclude {
			req = req.Param("exclude", check)
		}
		return req.Do(ctx).Error()
	}
}

func socketAnswers(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", fileEtcdSocket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// poll calls check until it succeeds or ctx ends; then it says what was last wrong.
func poll(ctx context.Context, what string, check func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

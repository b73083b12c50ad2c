package main

import (
	"fmt"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

// etcdMain runs a single-member etcd in the working directory, reachable over a Unix
// socket only. It does not sync to disk: the data does not outlive the cluster.
func etcdMain() int {
	cfg := embed.NewConfig()
	cfg.Name = "localcluster"
	cfg.Dir = dirEtcd
	cfg.UnsafeNoFsync = true
	cfg.LogLevel = "error"
	client := url.URL{Scheme: "unix", Host: fileEtcdSocket}
	peer := url.URL{Scheme: "unix", Host: filePeerSocket}
	cfg.ListenClientUrls = []url.URL{client}
	cfg.ListenPeerUrls = []url.URL{peer}
	// A member must advertise a host and a port, but nobody asks for them here.
	unused := url.URL{Scheme: "http", Host: "127.0.0.1:2380"}
	cfg.AdvertiseClientUrls, cfg.AdvertisePeerUrls = []url.URL{unused}, []url.URL{unused}
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.TickMs, cfg.ElectionMs = 10, 100 // it elects itself: no need to wait a second for it
	cfg.QuotaBackendBytes = 8 << 30
	cfg.MaxTxnOps = 10000
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		return 1
	}
	defer server.Close()
	select {
	case err = <-server.Err():
	case <-server.Server.StopNotify():
		err = fmt.Errorf("the server stopped")
	}
	fmt.Fprintln(os.Stderr, "etcd:", err)
	return 1
}

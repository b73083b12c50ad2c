package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// egressConfig sends everything the API server would dial inside the cluster
// (kubelets, webhook and aggregated API Services, the proxy subresources) to the
// socket of refuseClusterNetwork. Nothing answers at those addresses here, and they
// may belong to somebody on the real network. Webhooks with clientConfig.url are
// dialled directly.
const egressConfig = `apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
- name: cluster
  connection:
    proxyProtocol: HTTPConnect
    transport:
      uds:
        udsName: ` + fileClusterNetworkSocket + `
`

// refuseClusterNetwork refuses every connection into the cluster's network with the
// reason, until ctx ends, and returns when every connection is done.
func refuseClusterNetwork(ctx context.Context, l net.Listener) error {
	var conns sync.WaitGroup
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			conns.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cluster network socket: %w", err)
		}
		conns.Go(func() { refuse(ctx, conn) })
	}
}

func refuse(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer conn.Close()
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 502 imitated nodes run nothing and have no network\r\nContent-Length: 0\r\n\r\n")
}

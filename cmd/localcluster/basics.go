package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// imitationAnnotation marks objects that stand for something that does not run here.
const imitationAnnotation = "addon-operator.io/imitation"

// createBasics creates the nodes and the objects every cluster has.
func createBasics(ctx context.Context, client kubernetes.Interface, nodes []*corev1.Node, cloud bool) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range nodes {
		group.Go(func() error {
			_, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
			return wrapCreate(err, "Node "+node.Name)
		})
	}
	group.Go(func() error { return createDNS(ctx, client) })
	if cloud {
		group.Go(func() error {
			_, err := client.StorageV1().StorageClasses().Create(ctx, standardStorageClass(), metav1.CreateOptions{})
			return wrapCreate(err, "StorageClass "+standardClass)
		})
	}
	return group.Wait()
}

func wrapCreate(err error, what string) error {
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("create %s: %w", what, err)
}

// createDNS creates the Service and the configuration by which clusters are asked
// for their DNS address and domain. No DNS server runs behind them.
func createDNS(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().Services(metav1.NamespaceSystem).Create(ctx, dnsService(), metav1.CreateOptions{})
	if err := wrapCreate(err, "Service kube-system/kube-dns"); err != nil {
		return err
	}
	_, err = client.CoreV1().ConfigMaps(metav1.NamespaceSystem).Create(ctx, dnsConfig(), metav1.CreateOptions{})
	return wrapCreate(err, "ConfigMap kube-system/coredns")
}

func dnsService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: "kube-dns",
			Labels: map[string]string{
				"k8s-app":                       "kube-dns",
				"kubernetes.io/cluster-service": "true",
				"kubernetes.io/name":            "CoreDNS",
			},
			Annotations: map[string]string{imitationAnnotation: "no DNS server runs in a local cluster"},
		},
		Spec: corev1.ServiceSpec{
			ClusterIP: serviceIPDNS,
			Selector:  map[string]string{"k8s-app": "kube-dns"},
			Ports: []corev1.ServicePort{
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP, TargetPort: intstr.FromInt32(53)},
				{Name: "dns-tcp", Port: 53, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(53)},
				{Name: "metrics", Port: 9153, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(9153)},
			},
		},
	}
}

func dnsConfig() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "coredns",
			Annotations: map[string]string{imitationAnnotation: "no DNS server runs in a local cluster"},
		},
		Data: map[string]string{"Corefile": ".:53 {\n" +
			"    kubernetes " + clusterDomain + " in-addr.arpa ip6.arpa\n" +
			"    prometheus :9153\n" +
			"    cache 30\n" +
			"}\n"},
	}
}

func standardStorageClass() *storagev1.StorageClass {
	reclaim, mode, expand := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer, true
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name: standardClass,
			Annotations: map[string]string{
				"storageclass.kubernetes.io/is-default-class": "true",
				imitationAnnotation:                           "volumes hold nothing",
			},
		},
		Provisioner:          standardProvisioner,
		ReclaimPolicy:        &reclaim,
		VolumeBindingMode:    &mode,
		AllowVolumeExpansion: &expand,
	}
}

// waitUsable waits until a pod could be created and run.
func waitUsable(ctx context.Context, client kubernetes.Interface, nodes []*corev1.Node) error {
	err := poll(ctx, "the default service account", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return poll(ctx, "the nodes", func(ctx context.Context) error {
		list, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) < len(nodes) {
			return fmt.Errorf("%d of %d nodes are there", len(list.Items), len(nodes))
		}
		for _, n := range list.Items {
			if err := nodeUsable(&n); err != nil {
				return err
			}
		}
		return nil
	})
}

// nodeUsable says why nothing can be scheduled on the node yet.
func nodeUsable(n *corev1.Node) error {
	for _, t := range n.Spec.Taints {
		if t.Key == corev1.TaintNodeNotReady {
			return fmt.Errorf("Node %s still has the taint %s", n.Name, t.Key)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			if n.Spec.PodCIDR == "" {
				return fmt.Errorf("Node %s has no pod CIDR", n.Name)
			}
			return nil
		}
	}
	return fmt.Errorf("Node %s is not Ready", n.Name)
}

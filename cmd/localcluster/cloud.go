package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// What is imitated of a cloud, in the open: Services of type LoadBalancer get an
// address nobody answers at, and claims of the class "standard" get a volume that
// holds nothing.
const (
	standardClass       = "standard"
	standardProvisioner = "localcluster.addon-operator.io/imitated"

	annSelectedNode  = "volume.kubernetes.io/selected-node"
	annProvisionedBy = "pv.kubernetes.io/provisioned-by"
)

// loadBalancerNet is TEST-NET-2 of RFC 5737: documentation addresses, routed nowhere.
func loadBalancerNet() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, 0}), 24)
}

// cloud gives addresses to LoadBalancer Services and volumes to claims. It is level
// based: a key says what to look at, the caches say what is.
type cloud struct {
	client   kubernetes.Interface
	log      *slog.Logger
	queue    workqueue.TypedRateLimitingInterface[cloudKey]
	factory  informers.SharedInformerFactory
	services cache.SharedIndexInformer
	claims   cache.SharedIndexInformer
	volumes  cache.SharedIndexInformer
}

// cloudKey names one object of one of the three kinds.
type cloudKey struct {
	kind cloudKind
	key  string // namespace/name
}

type cloudKind string

const (
	kindService cloudKind = "Service"
	kindClaim   cloudKind = "PersistentVolumeClaim"
	kindVolume  cloudKind = "PersistentVolume"
)

func newCloud(client kubernetes.Interface, log *slog.Logger) (*cloud, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[cloudKey](20*time.Millisecond, 5*time.Second)
	c := &cloud{
		client:   client,
		log:      log,
		queue:    workqueue.NewTypedRateLimitingQueue(limiter),
		factory:  factory,
		services: factory.Core().V1().Services().Informer(),
		claims:   factory.Core().V1().PersistentVolumeClaims().Informer(),
		volumes:  factory.Core().V1().PersistentVolumes().Informer(),
	}
	for kind, informer := range map[cloudKind]cache.SharedIndexInformer{
		kindService: c.services, kindClaim: c.claims, kindVolume: c.volumes,
	} {
		if _, err := informer.AddEventHandler(c.enqueue(kind)); err != nil {
			return nil, fmt.Errorf("watch %ss: %w", kind, err)
		}
	}
	return c, nil
}

func (c *cloud) enqueue(kind cloudKind) cache.ResourceEventHandler {
	add := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			c.queue.Add(cloudKey{kind, key})
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    add,
		UpdateFunc: func(_, obj any) { add(obj) },
	}
}

// Run works until ctx ends and returns when its watches and its worker have ended.
// One worker: addresses are given out one at a time.
func (c *cloud) Run(ctx context.Context) error {
	c.factory.StartWithContext(ctx)
	defer c.factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), c.services.HasSynced, c.claims.HasSynced, c.volumes.HasSynced) {
		return nil
	}
	var worker sync.WaitGroup
	worker.Go(func() { c.work(ctx) })
	<-ctx.Done()
	c.queue.ShutDown()
	worker.Wait()
	return nil
}

func (c *cloud) work(ctx context.Context) {
	taken := addressPool{used: map[netip.Addr]string{}}
	for {
		key, shutdown := c.queue.Get()
		if shutdown {
			return
		}
		err := c.sync(ctx, key, &taken)
		switch {
		case err == nil:
			c.queue.Forget(key)
		case ctx.Err() == nil:
			if !apierrors.IsConflict(err) {
				c.log.Warn("imitated cloud: trying again", "kind", key.kind, "object", key.key, "error", err)
			}
			c.queue.AddRateLimited(key)
		}
		c.queue.Done(key)
	}
}

func (c *cloud) sync(ctx context.Context, key cloudKey, taken *addressPool) error {
	switch key.kind {
	case kindService:
		svc, err := cached[*corev1.Service](c.services, key.key)
		if svc == nil || err != nil {
			return err
		}
		return c.syncService(ctx, svc, taken)
	case kindClaim:
		claim, err := cached[*corev1.PersistentVolumeClaim](c.claims, key.key)
		if claim == nil || err != nil {
			return err
		}
		return c.syncClaim(ctx, claim)
	default:
		volume, err := cached[*corev1.PersistentVolume](c.volumes, key.key)
		if volume == nil || err != nil {
			return err
		}
		return c.syncVolume(ctx, volume)
	}
}

// cached reads an object from an informer; nil when it is gone.
func cached[T any](informer cache.SharedIndexInformer, key string) (T, error) {
	var none T
	obj, exists, err := informer.GetStore().GetByKey(key)
	if err != nil || !exists {
		return none, err
	}
	typed, ok := obj.(T)
	if !ok {
		return none, fmt.Errorf("the cache holds a %T for %s", obj, key)
	}
	return typed, nil
}

// syncService gives a LoadBalancer Service an address and takes it from one that is
// none any more. A Service with a loadBalancerClass is somebody else's.
func (c *cloud) syncService(ctx context.Context, svc *corev1.Service, taken *addressPool) error {
	wants := svc.Spec.Type == corev1.ServiceTypeLoadBalancer && svc.Spec.LoadBalancerClass == nil && svc.DeletionTimestamp == nil
	has := len(svc.Status.LoadBalancer.Ingress) > 0
	if wants == has || (has && svc.Spec.Type == corev1.ServiceTypeLoadBalancer) {
		return nil
	}
	next := svc.DeepCopy()
	next.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	if wants {
		taken.rebuild(c.services.GetStore().List())
		addr, err := taken.take(svc)
		if err != nil {
			return err
		}
		mode := corev1.LoadBalancerIPModeVIP
		next.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: addr.String(), IPMode: &mode}}
	}
	_, err := c.client.CoreV1().Services(svc.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return ignoreGone(err)
}

// addressPool remembers which Service has which address. The cache may lag behind
// what was just given out, so what it does not know yet is kept while its owner lives.
type addressPool struct {
	used map[netip.Addr]string // namespace/name/uid
}

// rebuild takes the addresses the Services show and forgets those of deleted ones.
func (p *addressPool) rebuild(services []any) {
	alive, shown := map[string]bool{}, map[netip.Addr]string{}
	for _, obj := range services {
		svc, ok := obj.(*corev1.Service)
		if !ok || svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
			continue
		}
		alive[ownerOf(svc)] = true
		for _, in := range svc.Status.LoadBalancer.Ingress {
			if addr, err := netip.ParseAddr(in.IP); err == nil {
				shown[addr] = ownerOf(svc)
			}
		}
	}
	for addr, owner := range p.used {
		if _, there := shown[addr]; !there && alive[owner] {
			shown[addr] = owner
		}
	}
	p.used = shown
}

// take gives the Service the address it has, the one it asks for, or the lowest free one.
func (p *addressPool) take(svc *corev1.Service) (netip.Addr, error) {
	owner := ownerOf(svc)
	for addr, o := range p.used {
		if o == owner {
			return addr, nil
		}
	}
	pool := loadBalancerNet()
	if asked, err := netip.ParseAddr(svc.Spec.LoadBalancerIP); err == nil && pool.Contains(asked) && p.used[asked] == "" {
		p.used[asked] = owner
		return asked, nil
	}
	// The first address of a network is never a host's, nor is the last.
	for addr := pool.Addr().Next(); pool.Contains(addr.Next()); addr = addr.Next() {
		if p.used[addr] == "" {
			p.used[addr] = owner
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("all addresses of %s are in use: delete a LoadBalancer Service", pool)
}

func ownerOf(svc *corev1.Service) string {
	return svc.Namespace + "/" + svc.Name + "/" + string(svc.UID)
}

// syncClaim makes the volume for a claim of an imitated class. As with a real
// provisioner, the volume controller asks for it and binds it: at once, or with
// WaitForFirstConsumer after the scheduler has chosen the node of the first pod.
func (c *cloud) syncClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.DeletionTimestamp != nil || claim.Spec.StorageClassName == nil {
		return nil
	}
	if claim.Spec.VolumeName != "" {
		return c.growClaim(ctx, claim)
	}
	if claim.Annotations["volume.kubernetes.io/storage-provisioner"] != standardProvisioner {
		return nil
	}
	class, err := c.client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
	if err != nil {
		return ignoreGone(err)
	}
	node, waits := claim.Annotations[annSelectedNode], class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
	if waits && node == "" {
		return nil
	}
	_, err = c.client.CoreV1().PersistentVolumes().Create(ctx, volumeFor(claim, class), metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// volumeFor is the volume of one claim. It is a hostPath on paper; nothing mounts it.
func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	reclaim := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		reclaim = *class.ReclaimPolicy
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{annProvisionedBy: standardProvisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: size},
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    claim.Spec.VolumeMode,
			StorageClassName:              class.Name,
			PersistentVolumeReclaimPolicy: reclaim,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: "/imitated/" + name},
			},
		},
	}
}

// growClaim does the expansion of a bound claim that now requests more.
func (c *cloud) growClaim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	volume, err := cached[*corev1.PersistentVolume](c.volumes, claim.Spec.VolumeName)
	if volume == nil || err != nil || volume.Annotations[annProvisionedBy] != standardProvisioner {
		return err
	}
	want := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if bigger(want, volume.Spec.Capacity) {
		next := volume.DeepCopy()
		next.Spec.Capacity[corev1.ResourceStorage] = want
		if _, err := c.client.CoreV1().PersistentVolumes().Update(ctx, next, metav1.UpdateOptions{}); err != nil {
			return ignoreGone(err)
		}
	}
	if claim.Status.Phase != corev1.ClaimBound || !bigger(want, claim.Status.Capacity) {
		return nil
	}
	next := claim.DeepCopy()
	next.Status.Capacity[corev1.ResourceStorage] = want
	next.Status.Conditions = nil
	_, err = c.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return ignoreGone(err)
}

func bigger(want resource.Quantity, have corev1.ResourceList) bool {
	size, ok := have[corev1.ResourceStorage]
	return ok && want.Cmp(size) > 0
}

// syncVolume deletes a released volume of ours whose policy says so.
func (c *cloud) syncVolume(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Annotations[annProvisionedBy] != standardProvisioner || volume.DeletionTimestamp != nil || volume.Status.Phase != corev1.VolumeReleased ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	return ignoreGone(c.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{}))
}

// ignoreGone drops the error about an object that was deleted meanwhile.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

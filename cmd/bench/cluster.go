package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/addon-operator/addon-operator/pkg/testkit"
)

// patience bounds every single wait; a thousand modules take their time on a busy machine.
const patience = 10 * time.Minute

// cluster is a local control plane with clients that are not throttled.
type cluster struct {
	*testkit.LocalCluster
	rest    *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

func startCluster(ctx context.Context) (*cluster, error) {
	local, err := testkit.Start()
	if err != nil {
		return nil, err
	}
	c := &cluster{LocalCluster: local}
	if err := c.connect(ctx); err != nil {
		local.Stop()
		return nil, err
	}
	return c, nil
}

func (c *cluster) connect(ctx context.Context) error {
	var err error
	if c.rest, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.rest.QPS = -1
	pb := rest.CopyConfig(c.rest)
	pb.ContentType = runtime.ContentTypeProtobuf
	pb.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	if c.typed, err = kubernetes.NewForConfig(pb); err != nil {
		return err
	}
	if c.dynamic, err = dynamic.NewForConfig(c.rest); err != nil {
		return err
	}
	return c.namespace(ctx, testkit.FactNamespace)
}

func (c *cluster) namespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := c.typed.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	return err
}

// configMap writes the whole content of a ConfigMap.
func (c *cluster) configMap(ctx context.Context, namespace, name string, data map[string]string) error {
	api := c.typed.CoreV1().ConfigMaps(namespace)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
	_, err := api.Update(ctx, cm, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = api.Create(ctx, cm, metav1.CreateOptions{})
	}
	return err
}

func (c *cluster) fact(ctx context.Context, value string) error {
	return c.configMap(ctx, testkit.FactNamespace, testkit.FactName, map[string]string{"fact": value})
}

// settled returns when every Deployment is available, so that controllers and the
// scheduler are not at work during the next measurement.
func (c *cluster) settled(ctx context.Context, namespace string) error {
	return c.until(ctx, "Deployments of namespace "+namespace+" available", func(ctx context.Context) (bool, error) {
		list, err := c.typed.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
		if err != nil {
			return false, err
		}
		for _, d := range list.Items {
			if d.Status.AvailableReplicas < *d.Spec.Replicas || d.Status.ObservedGeneration < d.Generation {
				return false, nil
			}
		}
		return true, nil
	})
}

// clear removes a namespace and the operator's own CRDs, so that the next operator
// finds a cluster that never saw one.
func (c *cluster) clear(ctx context.Context, namespace string) error {
	err := c.typed.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{})
	if err != nil {
		return err
	}
	crds := c.dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	own := []string{"modules.addon-operator.io", "modulesources.addon-operator.io", "modulereleases.addon-operator.io"}
	for _, crd := range own {
		if err := crds.Delete(ctx, crd, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return c.until(ctx, fmt.Sprintf("namespace %s and CRDs %v gone", namespace, own), func(ctx context.Context) (bool, error) {
		_, err := c.typed.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
		for i := 0; apierrors.IsNotFound(err) && i < len(own); i++ {
			_, err = crds.Get(ctx, own[i], metav1.GetOptions{})
		}
		if !apierrors.IsNotFound(err) {
			return false, err
		}
		return true, nil
	})
}

// revisions lists the release records of a namespace.
func (c *cluster) revisions(ctx context.Context, namespace string) (map[string]string, error) {
	list, err := c.typed.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: "owner=helm"})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range list.Items {
		out[s.Name] = s.ResourceVersion
	}
	return out, nil
}

func (c *cluster) until(ctx context.Context, what string, ok wait.ConditionWithContextFunc) error {
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, patience, true, ok)
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

package helm

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/addon-operator/addon-operator/pkg/installed"
)

// stored is a release record wherever Helm keeps it.
type stored struct {
	kind string // Secret or ConfigMap
	meta metav1.ObjectMeta
	data []byte
}

// importRecords moves the records of a release of our name from where plain helm or
// another driver keeps them (HELM_DRIVER=configmap, the namespace of the objects) to our
// Secrets, so that what it installed is upgraded and not forgotten. It says whether
// there were any. mine is the pending revision that the caller began, nil without one:
// it has not changed anything yet and gives way. A module that acts as a ServiceAccount
// takes over what that one may read and delete in the namespace of its objects; whatever
// such a record says of itself, the account goes on to act for it.
func (c *Client) importRecords(ctx context.Context, mine *record, name, namespace string) (bool, error) {
	found, err := c.recordsElsewhere(ctx, name, namespace)
	if err != nil || len(found) == 0 {
		return false, err
	}
	if mine != nil {
		if err := c.records.remove(ctx, mine.Name, mine.Version); err != nil {
			return false, err
		}
	}
	for _, s := range found { // the newest first: what is left after a kill is of no importance
		if err := c.adopt(ctx, s); err != nil {
			return false, fmt.Errorf("take over %s %s/%s: %w", s.kind, s.meta.Namespace, s.meta.Name, err)
		}
	}
	c.cfg.Logger.Info("release taken over from another place", "module", name, "from", found[0].kind+"s of namespace "+found[0].meta.Namespace,
		"revisions", len(found))
	return true, nil
}

// recordsElsewhere lists records of a release in the places that we do not use ourselves, newest first.
func (c *Client) recordsElsewhere(ctx context.Context, name, namespace string) ([]stored, error) {
	sel := metav1.ListOptions{LabelSelector: labels.Set{"owner": "helm", "name": name}.String()}
	var out []stored
	places := slices.Compact([]string{c.cfg.Namespace, namespace})
	if c.account != "" {
		places = []string{namespace}
	}
	for _, ns := range places {
		configs, err := c.core.ConfigMaps(ns).List(ctx, sel)
		if err != nil {
			return nil, fmt.Errorf("look for release %s: %w", name, c.objects.explained(err))
		}
		for _, m := range configs.Items {
			out = append(out, stored{"ConfigMap", m.ObjectMeta, []byte(m.Data[recordKey])})
		}
		if ns == c.cfg.Namespace {
			continue
		}
		secrets, err := c.core.Secrets(ns).List(ctx, sel)
		if err != nil {
			return nil, fmt.Errorf("look for release %s: %w", name, c.objects.explained(err))
		}
		for _, s := range secrets.Items {
			out = append(out, stored{"Secret", s.ObjectMeta, s.Data[recordKey]})
		}
	}
	out = slices.DeleteFunc(out, func(s stored) bool { _, ok := headOf(&s.meta); return !ok || s.status() == statusRemoved })
	slices.SortFunc(out, func(a, b stored) int { return cmp.Compare(b.revision(), a.revision()) })
	return out, nil
}

func (s stored) revision() int {
	h, _ := headOf(&s.meta)
	return h.Revision
}

func (s stored) status() installed.Status { return installed.Status(s.meta.Labels["status"]) }

// adopt copies a record and deletes it where it was. A copy that is there already stays.
func (c *Client) adopt(ctx context.Context, s stored) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: s.meta.Name, Labels: maps.Clone(s.meta.Labels)},
		Type:       recordType, Data: map[string][]byte{recordKey: s.data},
	}
	c.sign(secret.Labels)
	_, err := c.records.secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: FieldManager})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	if s.kind == "ConfigMap" {
		err = c.core.ConfigMaps(s.meta.Namespace).Delete(ctx, s.meta.Name, metav1.DeleteOptions{})
	} else {
		err = c.core.Secrets(s.meta.Namespace).Delete(ctx, s.meta.Name, metav1.DeleteOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/crdify/pkg/config"
	"sigs.k8s.io/crdify/pkg/validations"
	"sigs.k8s.io/crdify/pkg/validations/crd/existingfieldremoval"
	"sigs.k8s.io/crdify/pkg/validations/property"
)

// crdUpgradeAnnotation of a live CRD, with the value force, lets one upgrade narrow it.
// The operator takes it away with that upgrade.
const (
	crdUpgradeAnnotation = "addon-operator.io/crd-upgrade"
	crdUpgradeForce      = "force"
)

// crdUsers is how many objects of a kind are asked who wrote them.
const crdUsers = 500

// checkUpgrade says why a CRD may not become what is wanted (C-347):
//
//   - a version in which objects may be stored is never dropped, unless there is
//     no object at all: then the version is taken out of status.storedVersions;
//   - a served version that somebody writes objects in is not dropped, and no field
//     is narrowed while there are objects, unless the user forces it.
//
// unused are the versions to take out of status.storedVersions first.
func checkUpgrade(ctx context.Context, client dynamic.Interface, live, wanted *unstructured.Unstructured) (unused []string, err error) {
	stored := droppedVersions(live, wanted)
	unserved := without(servedVersions(live), servedVersions(wanted))
	narrowed, err := narrowings(live, wanted)
	if err != nil {
		return nil, err
	}
	if len(stored)+len(unserved)+len(narrowed) == 0 {
		return nil, nil
	}
	users, err := crdObjects(ctx, client, live)
	switch {
	case err != nil && len(stored) > 0:
		return nil, fmt.Errorf("objects may still be stored as %s, which the new definition drops, and they cannot be listed: %w", strings.Join(stored, ", "), err)
	case err != nil:
		return nil, fmt.Errorf("its objects cannot be listed to see whether the new definition fits them: %w", err)
	case len(users) == 0 && len(stored) == 0:
		return nil, nil
	case len(users) == 0:
		return stored, nil
	case len(stored) > 0:
		return nil, fmt.Errorf("objects may still be stored as %s, which the new definition drops: "+
			"migrate them (write each of them once) and take it out of status.storedVersions first", strings.Join(stored, ", "))
	case live.GetAnnotations()[crdUpgradeAnnotation] == crdUpgradeForce:
		return nil, nil
	}
	way := fmt.Sprintf("; the definition stays as it is. Check the objects, then allow this once with: kubectl annotate crd %s %s=%s",
		live.GetName(), crdUpgradeAnnotation, crdUpgradeForce)
	if user := userOf(users, unserved); user != "" {
		return nil, fmt.Errorf("version %s is dropped by the new definition, but %s%s", strings.Join(unserved, ", "), user, way)
	}
	if len(narrowed) > 0 {
		return nil, fmt.Errorf("the new definition narrows fields while there are objects of the kind: %s%s", brief(narrowed), way)
	}
	return nil, nil
}

func brief(lines []string) string {
	const most = 5
	if len(lines) > most {
		return fmt.Sprintf("%s; and %d more", strings.Join(lines[:most], "; "), len(lines)-most)
	}
	return strings.Join(lines, "; ")
}

func servedVersions(crd *unstructured.Unstructured) []string {
	return versions(crd, func(v map[string]any) bool { return v["served"] == true })
}

func without(all, some []string) (left []string) {
	for _, v := range all {
		if !slices.Contains(some, v) {
			left = append(left, v)
		}
	}
	return left
}

// crdObjects are some objects of a CRD's kind, metadata only.
func crdObjects(ctx context.Context, client dynamic.Interface, crd *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "plural")
	served := servedVersions(crd)
	if len(served) == 0 {
		return nil, nil
	}
	list, err := client.Resource(schema.GroupVersionResource{Group: group, Version: served[0], Resource: plural}).
		List(ctx, metav1.ListOptions{Limit: crdUsers})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// userOf names somebody who writes objects in one of the versions, "" for nobody.
func userOf(objects []unstructured.Unstructured, dropped []string) string {
	for _, o := range objects {
		for _, f := range o.GetManagedFields() {
			gv, err := schema.ParseGroupVersion(f.APIVersion)
			if err == nil && slices.Contains(dropped, gv.Version) {
				return fmt.Sprintf("%s wrote %s %s in it", f.Manager, o.GetKind(), strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))
			}
		}
	}
	return ""
}

// pruneStored takes versions that no object is stored in out of status.storedVersions,
// so that they can be dropped. First the wanted versions join them, for the list must
// hold the version that objects are stored in from now on.
func pruneStored(ctx context.Context, client dynamic.Interface, live, wanted *unstructured.Unstructured, dropped []string) error {
	crds := client.Resource(crdResource)
	interim := overlayCRD(live, wanted)
	versions, _, err := unstructured.NestedSlice(interim.Object, "spec", "versions")
	if err != nil {
		return err
	}
	old, _, err := unstructured.NestedSlice(live.Object, "spec", "versions")
	if err != nil {
		return err
	}
	for _, e := range old {
		if v, ok := e.(map[string]any); ok && slices.Contains(dropped, fmt.Sprint(v["name"])) {
			v["served"], v["storage"] = false, false
			versions = append(versions, v)
		}
	}
	if err := unstructured.SetNestedSlice(interim.Object, versions, "spec", "versions"); err != nil {
		return err
	}
	written, err := crds.Update(ctx, interim, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	stored, _, _ := unstructured.NestedStringSlice(written.Object, "status", "storedVersions")
	if err := unstructured.SetNestedStringSlice(written.Object, without(stored, dropped), "status", "storedVersions"); err != nil {
		return err
	}
	if written, err = crds.UpdateStatus(ctx, written, metav1.UpdateOptions{}); err != nil {
		return err
	}
	live.Object = written.Object
	return nil
}

// narrowings are the places, as paths with what changed, where the wanted definition
// accepts less than the live one.
func narrowings(live, wanted *unstructured.Unstructured) ([]string, error) {
	before, after := &apiextensionsv1.CustomResourceDefinition{}, &apiextensionsv1.CustomResourceDefinition{}
	for from, to := range map[*unstructured.Unstructured]*apiextensionsv1.CustomResourceDefinition{live: before, wanted: after} {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from.Object, to); err != nil {
			return nil, fmt.Errorf("not a CustomResourceDefinition: %w", err)
		}
	}
	var out []string
	if before.Spec.Scope != after.Spec.Scope && after.Spec.Scope != "" {
		out = append(out, fmt.Sprintf("scope: %s becomes %s", before.Spec.Scope, after.Spec.Scope))
	}
	removal := &existingfieldremoval.ExistingFieldRemoval{}
	removal.SetEnforcement(config.EnforcementPolicyError)
	out = append(out, removal.Compare(before.DeepCopy(), after.DeepCopy()).Errors...)
	for _, old := range before.Spec.Versions {
		now := validations.GetCRDVersionByName(after, old.Name)
		if now == nil || old.Schema == nil || now.Schema == nil {
			continue
		}
		for _, p := range validations.CompareVersions(old, *now, config.EnforcementPolicyNone, comparators()...) {
			for _, r := range p.ComparisonResults {
				for _, e := range r.Errors {
					out = append(out, fmt.Sprintf("%s %s: %s", old.Name, p.Property, e))
				}
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// comparators find what may refuse an object that was accepted before.
func comparators() []validations.Comparator[apiextensionsv1.JSONSchemaProps] {
	all := []interface {
		validations.Comparator[apiextensionsv1.JSONSchemaProps]
		SetEnforcement(policy config.EnforcementPolicy)
	}{
		&property.Type{}, &property.Required{},
		&property.Enum{EnumConfig: property.EnumConfig{AdditionPolicy: property.AdditionPolicyAllow}},
		&property.Pattern{PatternConfig: property.PatternConfig{RemovalPolicy: property.PatternRemovalPolicyAllow}},
		&property.Nullable{NullableConfig: property.NullableConfig{
			AdditionPolicy: property.NullableAdditionPolicyAllow, RemovalPolicy: property.NullableRemovalPolicyDisallow}},
		&property.Minimum{}, &property.MinItems{}, &property.MinLength{}, &property.MinProperties{},
		&property.Maximum{}, &property.MaxItems{}, &property.MaxLength{}, &property.MaxProperties{},
		&newRules{},
	}
	out := make([]validations.Comparator[apiextensionsv1.JSONSchemaProps], len(all))
	for i, c := range all {
		c.SetEnforcement(config.EnforcementPolicyError)
		out[i] = c
	}
	return out
}

// newRules finds CEL rules (x-kubernetes-validations) that were not there before.
type newRules struct{ policy config.EnforcementPolicy }

func (n *newRules) SetEnforcement(policy config.EnforcementPolicy) { n.policy = policy }

func (n *newRules) Compare(a, b *apiextensionsv1.JSONSchemaProps) validations.ComparisonResult {
	var err error
	for _, r := range b.XValidations {
		if !slices.ContainsFunc(a.XValidations, func(o apiextensionsv1.ValidationRule) bool { return o.Rule == r.Rule }) {
			err = fmt.Errorf("new rule: %s", r.Rule)
		}
	}
	a.XValidations, b.XValidations = nil, nil
	return validations.HandleErrors("rules", n.policy, err)
}

package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/addon-operator/addon-operator/pkg/hook"
)

// registration is what one owner's hooks answer for. It is not changed once made.
type registration struct {
	owner hook.Owner
	// admissions and conversions are by the path of their URL.
	admissions  map[string]admissionRoute
	conversions map[string]conversionRoute
}

// admissionRoute is a binding and the hook that answers for it.
type admissionRoute struct {
	hook.Admission
	hook hook.Webhook
}

// conversionRoute is one CRD: the steps of all bindings of the owner's hooks.
type conversionRoute struct {
	crd   string
	rules []hook.ConversionRule
	steps []conversionStep // one for each rule
}

type conversionStep struct {
	binding hook.Conversion
	hook    hook.Webhook
}

// newRegistration gives every binding its path. Two bindings of one kind with one
// name are an error that names both hooks.
func newRegistration(owner hook.Owner, hooks []hook.Webhook) (*registration, error) {
	r := &registration{owner: owner, admissions: map[string]admissionRoute{}, conversions: map[string]conversionRoute{}}
	taken := map[string]hook.ID{}
	var bad []error
	claim := func(kind, name string, id hook.ID) bool {
		first, twice := taken[kind+"/"+name]
		if twice {
			bad = append(bad, fmt.Errorf("hook %s: %s %q: hook %s has a binding of that name: rename one of them", id, kind, name, first))
		}
		taken[kind+"/"+name] = id
		return !twice
	}
	for _, h := range hooks {
		for _, a := range h.Admissions {
			if claim(kindOf(a), a.Name, h.Hook) {
				r.admissions[r.admissionPath(a)] = admissionRoute{a, h}
			}
		}
		for _, b := range h.Conversions {
			if claim("kubernetesCustomResourceConversion of "+b.CRD, b.Name, h.Hook) {
				r.addConversion(b, h)
			}
		}
	}
	return r, errors.Join(bad...)
}

func (r *registration) addConversion(b hook.Conversion, h hook.Webhook) {
	at := conversionPath(r.owner, b.CRD)
	route := r.conversions[at]
	route.crd = b.CRD
	for _, rule := range b.Rules {
		route.rules = append(route.rules, rule)
		route.steps = append(route.steps, conversionStep{b, h})
	}
	r.conversions[at] = route
}

func kindOf(a hook.Admission) string {
	if a.Mutating {
		return "kubernetesMutating"
	}
	return "kubernetesValidating"
}

// admissionPath is /<owner>/<id> (C-242: /hooks/<id> without modules). A binding
// whose id is taken by another name or kind gets a digest behind it.
func (r *registration) admissionPath(a hook.Admission) string {
	at := "/" + r.owner.String() + "/" + bindingID(a.Name)
	if _, taken := r.admissions[at]; taken {
		sum := sha256.Sum256([]byte(kindOf(a) + "/" + a.Name))
		at += "-" + hex.EncodeToString(sum[:4])
	}
	return at
}

// conversionPath is /<crdName> for hooks without modules (C-255), else /conversion/<owner>/<crdName>.
func conversionPath(owner hook.Owner, crd string) string {
	if owner.IsStandalone() {
		return "/" + crd
	}
	return "/conversion/" + owner.String() + "/" + crd
}

// bindingID is the name with camelCase split by dashes, in lower case, and a dash
// for whatever is not a letter, digit, dash or slash (C-242).
func bindingID(name string) string {
	var b strings.Builder
	var last rune
	for _, r := range name {
		if unicode.IsUpper(r) && (unicode.IsLower(last) || unicode.IsDigit(last)) {
			b.WriteByte('-')
		}
		last = r
		r = unicode.ToLower(r)
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '/' {
			r = '-'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// bound lists the routes of one kind by the order of their paths.
func (r *registration) bound(mutating bool) (paths []string) {
	for _, at := range slices.Sorted(maps.Keys(r.admissions)) {
		if r.admissions[at].Mutating == mutating {
			paths = append(paths, at)
		}
	}
	return paths
}

// crds are the names of the CRDs that the owner's hooks convert.
func (r *registration) crds() (names []string) {
	for _, route := range r.conversions {
		names = append(names, route.crd)
	}
	slices.Sort(names)
	return names
}

package leader

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Identity names a replica in the Lease: <pod>.<IP with dashes>.<namespace>.pod,
// which the cluster's DNS resolves to the pod (C-450). An error says what is
// missing or cannot be part of it.
func Identity(pod, address, namespace string) (string, error) {
	var errs []error
	if pod == "" {
		errs = append(errs, errors.New("no name of this pod: set ADDON_OPERATOR_POD from fieldRef metadata.name"))
	}
	if namespace == "" {
		errs = append(errs, errors.New("no namespace: set ADDON_OPERATOR_NAMESPACE from fieldRef metadata.namespace"))
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.IsUnspecified() {
		errs = append(errs, fmt.Errorf("listen address %q is not one that other replicas could ask: set ADDON_OPERATOR_LISTEN_ADDRESS from fieldRef status.podIP", address))
	}
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("high availability: %w", err)
	}
	dashed := strings.NewReplacer(".", "-", ":", "-").Replace(ip.WithZone("").String())
	return fmt.Sprintf("%s.%s.%s.pod", pod, dashed, namespace), nil
}

// Address is the IP in an identity; without it, or for an identity of another kind,
// ok is false and the name is left to DNS.
func Address(identity string) (ip netip.Addr, ok bool) {
	rest, found := strings.CutSuffix(identity, ".pod")
	if !found {
		return ip, false
	}
	parts := strings.Split(rest, ".")
	if len(parts) < 3 {
		return ip, false
	}
	dashed := parts[len(parts)-2]
	for _, separator := range []string{".", ":"} {
		if ip, err := netip.ParseAddr(strings.ReplaceAll(dashed, "-", separator)); err == nil {
			return ip, true
		}
	}
	return ip, false
}

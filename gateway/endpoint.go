// Endpoints of a Service port, from its EndpointSlices.
//
// Service port and slice port belong together by name, as in a cluster; the slice's number is where the endpoint listens, so that
// numeric and named targetPorts are alike. Endpoints that are ready are used; if there are none, those that still serve while they terminate.

package gateway

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/wicketgate/wicketgate/object"
)

// endpoints gives the addresses of a Service port, ordered and without duplicates, IPv4 before IPv6.
func endpoints(all []*discoveryv1.EndpointSlice, port *corev1.ServicePort) []netip.AddrPort {
	var ready, terminating []netip.AddrPort
	for _, slice := range all {
		numbers := slicePorts(slice, port)
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			list := &ready
			switch serving, usable := condition(e); {
			case !usable:
				continue
			case serving:
				list = &terminating
			}
			for _, number := range numbers {
				*list = appendAddresses(*list, e.Addresses, number)
			}
		}
	}
	if len(ready) == 0 {
		ready = terminating
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// condition says whether an endpoint is usable at all, and if so whether only because it still serves while it terminates.
// Absent conditions mean ready; serving, if absent, is what ready is (discovery/v1, EndpointConditions).
func condition(e *discoveryv1.Endpoint) (onlyTerminating, usable bool) {
	ready := deref(e.Conditions.Ready, true)
	if ready {
		return false, true
	}
	return true, deref(e.Conditions.Serving, ready) && deref(e.Conditions.Terminating, false)
}

// slicePorts gives the numbers at which a slice's endpoints listen for a Service port. A slice port without a number stands for all
// ports, which leaves the Service's own targetPort.
func slicePorts(slice *discoveryv1.EndpointSlice, port *corev1.ServicePort) []uint16 {
	var numbers []uint16
	for _, p := range slice.Ports {
		if deref(p.Name, "") != port.Name || deref(p.Protocol, corev1.ProtocolTCP) != cmp.Or(port.Protocol, corev1.ProtocolTCP) {
			continue
		}
		number := deref(p.Port, 0)
		if number == 0 {
			number = port.TargetPort.IntVal
		}
		if number == 0 {
			number = port.Port
		}
		numbers = append(numbers, uint16(number))
	}
	return numbers
}

// appendAddresses adds an endpoint's addresses. A slice of names (addressType FQDN) has none that parse.
func appendAddresses(list []netip.AddrPort, addresses []string, port uint16) []netip.AddrPort {
	for _, text := range addresses {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.AddrPortFrom(a.Unmap(), port))
		}
	}
	return list
}

// noEndpoints says why a Service port has no endpoints, or is empty if it has some. Its slices may have some for other ports.
func noEndpoints(key object.Key, all []*discoveryv1.EndpointSlice, port *corev1.ServicePort, target *Target) string {
	if len(target.Endpoints) > 0 {
		return ""
	}
	var have []string
	for _, slice := range all {
		for _, p := range slice.Ports {
			named := deref(p.Name, "")
			if named == port.Name {
				return key.String() + " has no ready endpoint"
			}
			have = append(have, quoteName(named))
		}
	}
	if len(have) == 0 {
		return key.String() + " has no endpoints"
	}
	slices.Sort(have)
	return key.String() + ": no EndpointSlice has a port named " + quoteName(port.Name) + " like the Service's; they have " +
		strings.Join(slices.Compact(have), ", ")
}

// quoteName quotes a port's name; ports of Services with only one often have none.
func quoteName(named string) string { return `"` + named + `"` }

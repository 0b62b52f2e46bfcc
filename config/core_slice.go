// Admission of EndpointSlices.

package config

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What an API server allows in one EndpointSlice.
const (
	maxEndpoints      = 1000
	maxEndpointAddrs  = 100
	maxEndpointsPorts = 20000
)

// admitEndpointSlice defaults and validates an EndpointSlice. Unlike an API server it allows loopback addresses, because that is where the backends of
// a single machine are.
func admitEndpointSlice(s *discoveryv1.EndpointSlice, f *findings) {
	switch s.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN:
	case "":
		f.errorf(field.NewPath("addressType"), "is required: IPv4, IPv6 or FQDN")
		return
	default:
		f.add(field.ErrorList{field.NotSupported(field.NewPath("addressType"), string(s.AddressType), []string{"IPv4", "IPv6", "FQDN"})})
		return
	}
	path := field.NewPath("endpoints")
	if len(s.Endpoints) > maxEndpoints {
		f.errorf(path, "has %d items, and at most %d are allowed: split the slice", len(s.Endpoints), maxEndpoints)
	}
	for i := range s.Endpoints {
		admitEndpoint(&s.Endpoints[i], s.AddressType, path.Index(i), f)
	}
	admitEndpointPorts(s.Ports, field.NewPath("ports"), f)
	if s.Labels[discoveryv1.LabelServiceName] == "" && !f.rejected() {
		f.warnf(field.NewPath("metadata", "labels"), "no label %s: the slice belongs to no Service", discoveryv1.LabelServiceName)
	}
}

// admitEndpoint checks one endpoint.
func admitEndpoint(e *discoveryv1.Endpoint, addressType discoveryv1.AddressType, path *field.Path, f *findings) {
	addresses := path.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		f.errorf(addresses, "is required: at least one address")
	case n > maxEndpointAddrs:
		f.errorf(addresses, "has %d items, and at most %d are allowed", n, maxEndpointAddrs)
	}
	for i, a := range e.Addresses {
		at := addresses.Index(i)
		if addressType == discoveryv1.AddressTypeFQDN {
			f.add(validation.IsFullyQualifiedDomainName(at, a))
			continue
		}
		admitAddress(a, addressType, at, f)
	}
	if e.Hostname != nil {
		invalid(f, path.Child("hostname"), *e.Hostname, validation.IsDNS1123Label(*e.Hostname))
	}
}

// admitAddress checks an IP address of an endpoint.
func admitAddress(a string, addressType discoveryv1.AddressType, path *field.Path, f *findings) {
	ip, err := netip.ParseAddr(a)
	switch {
	case err != nil:
		hint := ""
		if _, portErr := netip.ParseAddrPort(a); portErr == nil {
			hint = ": the port belongs in ports"
		} else if len(validation.IsDNS1123Subdomain(a)) == 0 {
			hint = ": for names, addressType is FQDN"
		}
		f.errorf(path, "%q is not an IP address%s", a, hint)
	case ip.Zone() != "":
		f.errorf(path, "%q: zones are not allowed", a)
	case addressType == discoveryv1.AddressTypeIPv4 && !ip.Is4():
		f.errorf(path, "%q is not an IPv4 address, as addressType demands", a)
	case addressType == discoveryv1.AddressTypeIPv6 && (!ip.Is6() || ip.Is4In6()):
		f.errorf(path, "%q is not an IPv6 address, as addressType demands", a)
	case ip.IsUnspecified():
		f.errorf(path, "%q is no address of an endpoint; the machine itself is 127.0.0.1 or ::1", a)
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast(), ip.IsMulticast():
		f.errorf(path, "%q is a link-local or multicast address", a)
	}
}

// admitEndpointPorts defaults and validates the ports of a slice.
func admitEndpointPorts(ports []discoveryv1.EndpointPort, path *field.Path, f *findings) {
	if len(ports) > maxEndpointsPorts {
		f.errorf(path, "has %d items, and at most %d are allowed", len(ports), maxEndpointsPorts)
	}
	names := map[string]int{}
	for i := range ports {
		p, at := &ports[i], path.Index(i)
		if p.Name == nil {
			p.Name = new(string)
		}
		if p.Protocol == nil {
			p.Protocol = new(corev1.Protocol)
		}
		admitProtocol(p.Protocol, at.Child("protocol"), f)
		admitAppProtocol(p.AppProtocol, at.Child("appProtocol"), f)
		if *p.Name != "" {
			invalid(f, at.Child("name"), *p.Name, validation.IsDNS1123Label(*p.Name))
		}
		once(names, *p.Name, i, at.Child("name"), f)
		if p.Port != nil {
			invalid(f, at.Child("port"), *p.Port, validation.IsValidPortNum(int(*p.Port)))
		}
	}
}

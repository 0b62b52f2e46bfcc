// Admission of Envoy Gateway's kind Backend, by the rules of its CRD.

package config

import (
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/envoygateway"
)

// envoyKinds are the kinds of Envoy Gateway that are served, with the columns of their CRDs.
func envoyKinds() []*Kind {
	return []*Kind{{
		Group: envoygateway.Group, Kind: envoygateway.BackendKind,
		Plural: "backends", Singular: "backend", ShortNames: []string{"be"},
		Namespaced: true, Versions: []*Version{{Name: envoygateway.Version, Columns: []Column{
			{Name: "Status", Type: "string", JSONPath: `.status.conditions[?(@.type=="Accepted")].reason`},
			{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"},
		}}},
		newValue: func() any { return new(envoygateway.Backend) }, core: true,
	}}
}

// The bounds of the CRD.
const (
	maxBackendEndpoints = 64
	maxUnixPath         = 108
	maxCARefs           = 8
)

// admitBackend defaults and validates a Backend.
func admitBackend(s *envoygateway.BackendSpec, f *findings) {
	path := field.NewPath("spec")
	if s.Type == "" {
		s.Type = envoygateway.TypeEndpoints
	}
	endpoints := path.Child("endpoints")
	switch s.Type {
	case envoygateway.TypeEndpoints:
		if n := len(s.Endpoints); n == 0 {
			f.errorf(endpoints, "is required: at least one endpoint, with fqdn, ip or unix")
		} else if n > maxBackendEndpoints {
			f.errorf(endpoints, "has %d items, and at most %d are allowed", n, maxBackendEndpoints)
		}
	case envoygateway.TypeDynamicResolver:
		if s.Endpoints != nil {
			f.errorf(endpoints, "must not be there with type DynamicResolver")
		}
	default:
		f.add(field.ErrorList{field.NotSupported(path.Child("type"), string(s.Type), []string{"Endpoints", "DynamicResolver"})})
	}
	names := 0
	for i := range s.Endpoints {
		admitBackendEndpoint(&s.Endpoints[i], endpoints.Index(i), f)
		if s.Endpoints[i].FQDN != nil {
			names++
		}
	}
	if names > 0 && names < len(s.Endpoints) {
		f.errorf(endpoints, "endpoints with fqdn cannot be mixed with others: write two Backends")
	}
	for i, p := range s.AppProtocols {
		known := []string{string(envoygateway.AppProtocolH2C), string(envoygateway.AppProtocolWS), string(envoygateway.AppProtocolWSS)}
		if !slices.Contains(known, string(p)) {
			f.add(field.ErrorList{field.NotSupported(path.Child("appProtocols").Index(i), string(p), known)})
		}
	}
	if s.TLS != nil {
		admitBackendTLS(s.TLS, path.Child("tls"), f)
	}
}

// admitBackendEndpoint validates one endpoint.
func admitBackendEndpoint(e *envoygateway.Endpoint, path *field.Path, f *findings) {
	given := 0
	if e.FQDN != nil {
		given++
		admitHostname(e.FQDN.Hostname, path.Child("fqdn", "hostname"), f)
		invalid(f, path.Child("fqdn", "port"), e.FQDN.Port, validation.IsValidPortNum(int(e.FQDN.Port)))
	}
	if e.IP != nil {
		given++
		if a, err := netip.ParseAddr(e.IP.Address); err != nil || a.Zone() != "" {
			f.errorf(path.Child("ip", "address"), "%q is not an IP address: write a hostname into fqdn", e.IP.Address)
		}
		invalid(f, path.Child("ip", "port"), e.IP.Port, validation.IsValidPortNum(int(e.IP.Port)))
	}
	if e.Unix != nil {
		given++
		switch {
		case !strings.HasPrefix(e.Unix.Path, "/"):
			f.errorf(path.Child("unix", "path"), "%q is not an absolute path", e.Unix.Path)
		case len(e.Unix.Path) > maxUnixPath:
			f.errorf(path.Child("unix", "path"), "has %d bytes, and at most %d are allowed", len(e.Unix.Path), maxUnixPath)
		case strings.ContainsRune(e.Unix.Path, 0):
			f.errorf(path.Child("unix", "path"), "has a NUL byte")
		}
	}
	if given != 1 {
		f.errorf(path, "must have exactly one of fqdn, ip and unix")
	}
	if e.Hostname != nil {
		admitHostname(*e.Hostname, path.Child("hostname"), f)
	}
}

// admitHostname validates a DNS name of lower case.
func admitHostname(name string, path *field.Path, f *findings) {
	if name == "" {
		f.errorf(path, "is required")
		return
	}
	if _, err := netip.ParseAddr(name); err == nil {
		f.errorf(path, "%q is an IP address, and not a name", name)
		return
	}
	invalid(f, path, name, validation.IsDNS1123Subdomain(name))
}

// admitBackendTLS validates the TLS settings against each other.
func admitBackendTLS(t *envoygateway.BackendSettings, path *field.Path, f *findings) {
	known := t.WellKnownCACertificates != nil && *t.WellKnownCACertificates != ""
	if n := len(t.CACertificateRefs); n > maxCARefs {
		f.errorf(path.Child("caCertificateRefs"), "has %d items, and at most %d are allowed", n, maxCARefs)
	} else if n > 0 && known {
		f.errorf(path, "caCertificateRefs and wellKnownCACertificates exclude each other: remove one")
	}
	for i, ref := range t.CACertificateRefs {
		admitCARef(ref, path.Child("caCertificateRefs").Index(i), f)
	}
	if t.InsecureSkipVerify != nil && *t.InsecureSkipVerify && (known || len(t.CACertificateRefs) > 0) {
		f.errorf(path.Child("insecureSkipVerify"), "does not go with caCertificateRefs and wellKnownCACertificates, which it would make pointless: remove it, or those")
	}
	if t.SNI != nil {
		admitHostname(*t.SNI, path.Child("sni"), f)
	}
	if ref := t.ClientCertificateRef; ref != nil && ref.Name == "" {
		f.errorf(path.Child("clientCertificateRef", "name"), "is required")
	}
	admitTLSVersions(t, path, f)
}

func admitCARef(ref gatewayv1.LocalObjectReference, path *field.Path, f *findings) {
	if ref.Name == "" || ref.Kind == "" {
		f.errorf(path, "needs group, kind and name, such as group \"\", kind ConfigMap")
	}
}

// admitTLSVersions validates the lowest and the highest version of TLS: 1.2 and 1.3 if nothing is said.
func admitTLSVersions(t *envoygateway.BackendSettings, path *field.Path, f *findings) {
	versions := []envoygateway.TLSVersion{envoygateway.TLSAuto, envoygateway.TLS10, envoygateway.TLS11, envoygateway.TLS12, envoygateway.TLS13}
	rank := func(v *envoygateway.TLSVersion, otherwise int, at string) int {
		if v == nil || *v == envoygateway.TLSAuto {
			return otherwise
		}
		n := slices.Index(versions, *v)
		if n < 0 {
			f.add(field.ErrorList{field.NotSupported(path.Child(at), string(*v), []string{"Auto", "1.0", "1.1", "1.2", "1.3"})})
		}
		return n
	}
	lowest, highest := rank(t.MinVersion, 3, "minVersion"), rank(t.MaxVersion, 4, "maxVersion")
	if lowest >= 0 && highest >= 0 && lowest > highest {
		f.errorf(path.Child("minVersion"), "is above maxVersion")
	}
}

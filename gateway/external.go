// Backends that are objects of their own: Envoy Gateway's Backend (envoy.go) and the experimental XBackend (xbackend.go). Both say themselves where
// their endpoints are and how connections are secured, so that a reference to one needs no port. And ExternalName Services, which are the older way to
// name a host elsewhere.
//
// One that asks for something that is not served is not accepted, and references to it are answered with 500.

package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/envoygateway"
	"github.com/wicketgate/wicketgate/object"
)

// external is a Backend or XBackend, as it was read before any route is.
type external struct {
	object *object.Object
	faults faults  // that it is not accepted for, and references of it that do not resolve
	target *Target // without its Key
}

func backendKind() object.GroupKind  { return kind(envoyGroup, envoygateway.BackendKind) }
func xbackendKind() object.GroupKind { return kind(experimentGroup, "XBackend") }

// isExternalKind says whether objects of a kind are backends themselves.
func isExternalKind(k object.GroupKind) bool { return k == backendKind() || k == xbackendKind() }

// buildExternals reads Backends and XBackends. Policies are read before: they may target Backends.
func (b *builder) buildExternals() {
	b.readBackends()
	b.readXBackends()
}

// refuse records why a Backend or XBackend is not accepted.
func (e *external) refuse(reason, field, message string) {
	e.faults.add(typeAccepted, reason, field, message)
}

// resolveExternal leads to the endpoints of a Backend or XBackend.
func (b *builder) resolveExternal(key targetKey) *resolution {
	e := b.backends.externals[key.Key]
	if e == nil {
		return &resolution{reason: reasonBackendNotFound, message: key.Key.String() + " is not defined" + b.hint(key.Key)}
	}
	if e.faults.has(typeAccepted) {
		return &resolution{reason: reasonUnsupportedValue, message: key.Key.String() + " is not accepted: see its conditions"}
	}
	target := *e.target
	target.Key = key.String()
	if key.udp {
		if target.TLS = nil; len(target.Sockets) > 0 {
			return &resolution{reason: reasonUnsupportedValue, message: key.Key.String() + " has Unix sockets, which take no UDP packets: name IP addresses"}
		}
	}
	return &resolution{target: &target, source: target.Key + " by " + target.describe()}
}

// describe says where a target's endpoints come from.
func (t *Target) describe() string {
	switch {
	case len(t.Hosts) > 0:
		names := make([]string, 0, len(t.Hosts))
		for _, h := range t.Hosts {
			names = append(names, h.Names[0])
		}
		return "DNS name " + enumerate(names)
	case len(t.Endpoints) == 0:
		return "Unix socket"
	}
	return "IP address"
}

// superfluousPort says what is wrong with the port of a reference to a Backend or XBackend, which has its own. With an XBackend it is prohibited;
// Envoy Gateway does not look at it.
func (b *builder) superfluousPort(rule *Rule, ref *gatewayv1.BackendObjectReference, target object.Key) string {
	switch {
	case ref.Port == nil:
	case target.GroupKind == xbackendKind():
		return target.String() + ": port must not be given, because the XBackend has its own: remove it"
	default:
		b.warn(rule.Object, rule.field("backendRefs"), "port "+strconv.Itoa(int(*ref.Port))+" is not used: "+target.String()+" has ports of its own")
	}
	return ""
}

// isLocalName says whether a name is this machine by definition (RFC 6761 section 6.3).
func isLocalName(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

const localNameMessage = " is this machine, and names do not lead there: write its address"

// externalName leads to the host that a Service of type ExternalName stands for. The Gateway API advises against them, because who may write
// a Service may thereby reach hosts that he should not (CVE-2021-25740).
func (b *builder) externalName(service *corev1.Service, key targetKey) *resolution {
	if !b.opts.ExternalName {
		return &resolution{reason: reasonInvalidKind, message: key.Key.String() + " is of type ExternalName, which is not served: " +
			"refer to an XBackend or Backend, use a Service with EndpointSlices, or start with --allow-external-name"}
	}
	host, number := strings.ToLower(strings.TrimSuffix(service.Spec.ExternalName, ".")), key.port
	if isLocalName(host) {
		return &resolution{reason: reasonUnsupportedValue, message: key.Key.String() + ": " + host + localNameMessage + " into an EndpointSlice"}
	}
	var port *corev1.ServicePort
	if len(service.Spec.Ports) > 0 {
		var message string
		if port, message = findPort(service, key); message != "" {
			return &resolution{reason: reasonBackendNotFound, message: key.Key.String() + " " + message}
		}
		number = cmp.Or(port.TargetPort.IntVal, port.Port)
	}
	demand, message := b.policyFor(key, port, service)
	if message != "" {
		return &resolution{reason: reasonUnsupportedValue, message: message}
	}
	target := &Target{Key: key.String(), Service: service, TLS: demand, Hosts: []Host{{Names: []string{host}, Port: uint16(number), Public: true}}}
	if port != nil {
		target.AppProtocol = deref(port.AppProtocol, "")
	}
	return &resolution{target: target, source: target.Key + " by DNS name " + host + " at port " + strconv.Itoa(int(number)) + " (ExternalName)"}
}

// present sets the client certificate that a Backend or XBackend names.
func (b *builder) present(e *external, demand *BackendTLS, ref *gatewayv1.SecretObjectReference, reason, field string) {
	certificate, why, message := b.resolveCertificate(e.object, ref)
	if why != "" {
		e.refuse(reason, field, message)
		return
	}
	demand.Identity = &Identity{Certificate: certificate}
}

// seal completes the fingerprint of a demand with what only a Backend or XBackend can ask for.
func (t *BackendTLS) seal() {
	digest := sha256.New()
	fmt.Fprintf(digest, "%s %q %v %d %d", t.Fingerprint, t.Hostname, t.Insecure, t.MinVersion, t.MaxVersion)
	if t.Identity != nil {
		for _, der := range t.Identity.Certificate.TLS.Certificate {
			_, _ = digest.Write(der) // never fails
		}
	}
	t.Fingerprint = hex.EncodeToString(digest.Sum(nil)[:8])
}

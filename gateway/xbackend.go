// XBackends (GEP-4894): hosts elsewhere by name, with TLS settings of their own. What selects Pods has none to select here and is refused.

package gateway

import (
	xv1alpha1 "sigs.k8s.io/gateway-api/apisx/v1alpha1"

	"github.com/wicketgate/wicketgate/object"
)

// readXBackends reads the XBackends.
func (b *builder) readXBackends() {
	for _, o := range byAge[*xv1alpha1.XBackend](b, "XBackend") {
		e := &external{object: o.object, target: &Target{}}
		b.backends.externals[o.object.Key] = e
		b.readXBackend(e, &o.value.Spec)
	}
}

func (b *builder) readXBackend(e *external, spec *xv1alpha1.BackendSpec) {
	if spec.Type != xv1alpha1.BackendTypeExternalHostname || spec.ExternalHostname == nil {
		e.refuse(reasonUnsupportedValue, "spec.type", "endpointSelector selects Pods, and there are none to select: refer to a Service with EndpointSlices")
		return
	}
	host := string(spec.ExternalHostname.Hostname)
	if isLocalName(host) {
		e.refuse(reasonUnsupportedValue, "spec.externalHostname.hostname", host+localNameMessage+" into a Backend of "+envoyGroup+" or an EndpointSlice")
		return
	}
	if p := b.backends.policies[e.object.Key][""]; p != nil {
		e.refuse(reasonUnsupportedValue, "spec.tls", p.Object.Key.String()+" targets it, which policies cannot: put what it demands into spec.tls, and remove the targetRef")
		return
	}
	if message := b.backends.refused.plaintext(e.object.Key, nil, nil); message != "" && spec.TLS == nil {
		e.refuse(reasonUnsupportedValue, "spec.tls", message)
		return
	}
	e.target.Hosts = []Host{{Names: []string{host}, Port: uint16(spec.Port.Number), Public: true}}
	if spec.TLS != nil {
		b.readXBackendTLS(e, spec.TLS)
	}
	e.target.AppProtocol = e.protocol(spec.Protocol)
}

// protocol is the appProtocol that stands for an XBackend's protocol. Where TLS is spoken and nothing, or HTTP, is asked for, ALPN decides.
func (e *external) protocol(p *xv1alpha1.BackendProtocol) string {
	negotiated := ""
	if e.target.TLS != nil {
		negotiated = "https"
	}
	if p == nil {
		return negotiated
	}
	switch *p {
	case xv1alpha1.BackendProtocolHTTP:
		return negotiated
	case xv1alpha1.BackendProtocolHTTP11:
		return "http"
	case xv1alpha1.BackendProtocolHTTP2, xv1alpha1.BackendProtocolH2C:
		return "kubernetes.io/h2c"
	case xv1alpha1.BackendProtocolGRPC:
		return "grpc"
	case xv1alpha1.BackendProtocolWSS:
		return "kubernetes.io/wss"
	case xv1alpha1.BackendProtocolTCP:
		return "tcp" // which only streams can use
	}
	e.refuse(reasonUnsupportedValue, "spec.protocol", "protocol "+string(*p)+" is not supported: use HTTP, HTTP11, HTTP2, H2C, GRPC, WSS or TCP")
	return ""
}

// readXBackendTLS reads how connections are secured.
func (b *builder) readXBackendTLS(e *external, t *xv1alpha1.BackendTLS) {
	switch t.Mode {
	case xv1alpha1.BackendTLSModeNone:
		return
	case xv1alpha1.BackendTLSModeServerOnly, xv1alpha1.BackendTLSModeClientAndServer:
	default:
		e.refuse(reasonUnsupportedValue, "spec.tls.mode", "tls.mode "+string(t.Mode)+" is not known: use None, ServerOnly or ClientAndServer")
		return
	}
	if t.Validation == nil {
		e.refuse(reasonUnsupportedValue, "spec.tls", "tls.validation is required with mode "+string(t.Mode))
		return
	}
	demand := b.readValidation(e.object, &e.faults, "spec.tls.validation", t.Validation)
	if demand == nil {
		return
	}
	if t.Mode == xv1alpha1.BackendTLSModeClientAndServer {
		if t.ClientCertificateRef == nil {
			e.refuse(reasonUnsupportedValue, "spec.tls", "tls.clientCertificateRef is required with mode ClientAndServer")
			return
		}
		b.present(e, demand, t.ClientCertificateRef, reasonUnsupportedValue, "spec.tls.clientCertificateRef")
		if demand.Identity == nil {
			return
		}
	}
	demand.seal()
	e.target.TLS = demand
}

// concludeExternals gives XBackends their status, at each Gateway with a route that refers to them.
func (b *builder) concludeExternals() {
	for _, o := range byAge[*xv1alpha1.XBackend](b, "XBackend") {
		b.conclude(o.object, b.backends.externals[o.object.Key].faults, []object.Key{o.object.Key}, "The XBackend is accepted")
	}
}

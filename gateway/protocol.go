// Protocols: what each listener protocol carries and how a listener of it is validated, as data.

package gateway

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// served says for which protocols of listeners, and kinds of routes beside HTTPRoute there is a data plane. It is the one switch of
// each: what is false here is admitted and fails closed. Listeners of such a protocol are not accepted (UnsupportedProtocol), and no
// listener lists such a kind among those that it supports.
func served() map[string]bool {
	return map[string]bool{
		"HTTP": true, "HTTPS": true,
		"TLS": true, "TCP": true, "UDP": true,
		"GRPCRoute": true,
	}
}

// protocol is what Build knows of a listener protocol that is served.
type protocol struct {
	kinds    []gatewayv1.Kind // of routes that may attach
	validate []func(*builder, *Listener)
}

// serves says whether there is a data plane for a protocol or a kind of routes.
func (b *builder) serves(named string) bool {
	on, known := served()[named]
	return on || known && b.opts.unfinished
}

// protocolOf gives the protocol of a listener, or false for one that is not served.
func (b *builder) protocolOf(spec *gatewayv1.Listener) (protocol, bool) {
	common := []func(*builder, *Listener){(*builder).checkRouteKinds, (*builder).checkNamespaces, (*builder).checkListenerFilters}
	web := []gatewayv1.Kind{"HTTPRoute"}
	if b.serves("GRPCRoute") {
		web = append(web, "GRPCRoute")
	}
	if !b.serves(string(spec.Protocol)) {
		return protocol{}, false
	}
	switch spec.Protocol {
	case gatewayv1.HTTPProtocolType:
		return protocol{kinds: web, validate: common}, true
	case gatewayv1.HTTPSProtocolType:
		return protocol{kinds: web, validate: append(common, (*builder).checkTLS, (*builder).checkClientValidation)}, true
	case gatewayv1.TLSProtocolType:
		if passesThrough(spec) {
			// Without ending TLS there is nothing but the server name to go by, and that is a TLSRoute's.
			return protocol{kinds: []gatewayv1.Kind{"TLSRoute"}, validate: append(common, (*builder).checkPassthrough)}, true
		}
		kinds := []gatewayv1.Kind{"TLSRoute"}
		if b.serves(string(gatewayv1.TCPProtocolType)) {
			kinds = append(kinds, "TCPRoute")
		}
		return protocol{kinds: kinds, validate: append(common, (*builder).checkTLS, (*builder).warnNoValidation)}, true
	case gatewayv1.TCPProtocolType:
		return protocol{kinds: []gatewayv1.Kind{"TCPRoute"}, validate: append(common, (*builder).checkPlain)}, true
	case gatewayv1.UDPProtocolType:
		return protocol{kinds: []gatewayv1.Kind{"UDPRoute"}, validate: append(common, (*builder).checkPlain)}, true
	}
	return protocol{}, false
}

// passesThrough says whether a listener leaves TLS to the backends.
func passesThrough(spec *gatewayv1.Listener) bool {
	return spec.Protocol == gatewayv1.TLSProtocolType && spec.TLS != nil && deref(spec.TLS.Mode, "") == gatewayv1.TLSModePassthrough
}

// unsupportedProtocol is the message for a protocol that is not served.
func (b *builder) unsupportedProtocol(named gatewayv1.ProtocolType) string {
	var use []string
	for _, other := range []gatewayv1.ProtocolType{
		gatewayv1.HTTPProtocolType, gatewayv1.HTTPSProtocolType, gatewayv1.TLSProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType,
	} {
		if b.serves(string(other)) {
			use = append(use, string(other))
		}
	}
	what := "protocol " + string(named) + " is not known"
	if family(named) != "" {
		what = "protocol " + string(named) + " is not served yet"
	}
	return what + ": use " + strings.Join(use[:len(use)-1], ", ") + " or " + use[len(use)-1]
}

// family says which protocols may share a port: those of one family. It is the Protocol of their Socket, and empty for a protocol that is
// not known, which is in nobody's way.
func family(named gatewayv1.ProtocolType) gatewayv1.ProtocolType {
	switch named {
	case gatewayv1.HTTPSProtocolType, gatewayv1.TLSProtocolType:
		return gatewayv1.TLSProtocolType // told apart by the name that the client's handshake asks for
	case gatewayv1.HTTPProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType:
		return named
	}
	return ""
}

// exclusive says whether a protocol leaves a port to one listener, because nothing in its traffic tells listeners apart.
func exclusive(named gatewayv1.ProtocolType) bool {
	return named == gatewayv1.TCPProtocolType || named == gatewayv1.UDPProtocolType
}

// Protocols: what each listener protocol carries and how a listener of it is validated, as data.

package gateway

import (
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// protocol is what Build knows of a listener protocol that is served.
type protocol struct {
	tls      bool // connections begin with a handshake
	kinds    []gatewayv1.Kind
	validate []func(*builder, *Listener)
}

// protocolOf gives the protocol of a name, or false for one that is not served.
func protocolOf(named gatewayv1.ProtocolType) (protocol, bool) {
	switch named {
	case gatewayv1.HTTPProtocolType:
		return protocol{
			kinds:    []gatewayv1.Kind{"HTTPRoute"},
			validate: []func(*builder, *Listener){(*builder).checkRouteKinds, (*builder).checkNamespaces, (*builder).checkListenerFilters},
		}, true
	case gatewayv1.HTTPSProtocolType:
		return protocol{
			tls:   true,
			kinds: []gatewayv1.Kind{"HTTPRoute"},
			validate: []func(*builder, *Listener){
				(*builder).checkRouteKinds, (*builder).checkNamespaces, (*builder).checkListenerFilters,
				(*builder).checkTLS, (*builder).checkClientValidation,
			},
		}, true
	}
	return protocol{}, false
}

// unsupportedProtocol is the message for a protocol that is not served.
func unsupportedProtocol(named gatewayv1.ProtocolType) string {
	switch named {
	case gatewayv1.TLSProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType:
		return "protocol " + string(named) + " is not served yet: use HTTP or HTTPS"
	}
	return "protocol " + string(named) + " is not known: use HTTP or HTTPS"
}

// family says which protocols may share a port: those of one family. It is empty for a protocol that is not known, which is in nobody's way.
func family(named gatewayv1.ProtocolType) string {
	switch named {
	case gatewayv1.HTTPSProtocolType, gatewayv1.TLSProtocolType:
		return "TLS" // told apart by the name that the client's handshake asks for
	case gatewayv1.HTTPProtocolType, gatewayv1.TCPProtocolType, gatewayv1.UDPProtocolType:
		return string(named)
	}
	return ""
}

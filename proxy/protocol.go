// Which version of HTTP is spoken to a backend.

package proxy

import (
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// protocolOf is what a kind of routes speaks to a target.
//
//	GRPCRoute                            HTTP/2: gRPC is nothing else
//	appProtocol kubernetes.io/h2c, grpc  HTTP/2, over TLS if a BackendTLSPolicy says so
//	appProtocol https                    what the backend chooses by ALPN, of HTTP/2 and HTTP/1.1
//	anything else, or nothing            HTTP/1.1, over TLS as well
func protocolOf(kind gatewayv1.Kind, t *gateway.Target) backend.Protocol {
	app := t.AppProtocol
	if !strings.Contains(app, "/") {
		app = strings.ToLower(app) // a name of the IANA registry (RFC 6335 section 5.1)
	}
	switch {
	case kind == "GRPCRoute", app == "kubernetes.io/h2c", app == "grpc":
		return backend.HTTP2
	case app == "https":
		return backend.Auto
	}
	return backend.HTTP1
}

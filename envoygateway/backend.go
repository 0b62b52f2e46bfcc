// Package envoygateway has the one kind of Envoy Gateway that is served: Backend, whose objects name endpoints outside of a cluster. The types are
// those of its version v1alpha1 as Envoy Gateway 1.6 reads it, written down anew, because the original comes with a cluster's whole client.
//
// All of its fields are here, also those that are not served: what a field asks for is refused in the object's status, by its name, rather than
// with an unknown field's message. It imports nothing else of this project.
package envoygateway

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Group, Version and BackendKind identify the kind.
const (
	Group       = "gateway.envoyproxy.io"
	Version     = "v1alpha1"
	BackendKind = "Backend"
)

// Backend names endpoints. A backendRef to one needs no port.
type Backend struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec   BackendSpec   `json:"spec"`
	Status BackendStatus `json:"status"`
}

// BackendSpec is what a Backend asks for.
type BackendSpec struct {
	Type         BackendType      `json:"type,omitempty"` // admission defaults it to Endpoints
	Endpoints    []Endpoint       `json:"endpoints,omitempty"`
	AppProtocols []AppProtocol    `json:"appProtocols,omitempty"`
	Fallback     *bool            `json:"fallback,omitempty"`
	TLS          *BackendSettings `json:"tls,omitempty"`
}

// BackendType says where a Backend's endpoints come from.
type BackendType string

// The types.
const (
	TypeEndpoints       BackendType = "Endpoints"
	TypeDynamicResolver BackendType = "DynamicResolver" // whatever host a request names
)

// Endpoint is exactly one of FQDN, IP and Unix.
type Endpoint struct {
	Hostname *string       `json:"hostname,omitempty"`
	FQDN     *FQDNEndpoint `json:"fqdn,omitempty"`
	IP       *IPEndpoint   `json:"ip,omitempty"`
	Unix     *UnixSocket   `json:"unix,omitempty"`
	Zone     *string       `json:"zone,omitempty"`
}

// FQDNEndpoint is an absolute DNS name and a port.
type FQDNEndpoint struct {
	Hostname string `json:"hostname"`
	Port     int32  `json:"port"`
}

// IPEndpoint is an IPv4 or IPv6 address and a port.
type IPEndpoint struct {
	Address string `json:"address"`
	Port    int32  `json:"port"`
}

// UnixSocket is the path of a stream socket on this machine.
type UnixSocket struct {
	Path string `json:"path"`
}

// AppProtocol is a protocol that the endpoints speak.
type AppProtocol string

// The protocols.
const (
	AppProtocolH2C AppProtocol = "gateway.envoyproxy.io/h2c"
	AppProtocolWS  AppProtocol = "gateway.envoyproxy.io/ws"
	AppProtocolWSS AppProtocol = "gateway.envoyproxy.io/wss"
)

// BackendSettings say how connections to the endpoints are secured.
type BackendSettings struct {
	CACertificateRefs       []gatewayv1.LocalObjectReference       `json:"caCertificateRefs,omitempty"`
	WellKnownCACertificates *gatewayv1.WellKnownCACertificatesType `json:"wellKnownCACertificates,omitempty"`
	InsecureSkipVerify      *bool                                  `json:"insecureSkipVerify,omitempty"`
	SNI                     *string                                `json:"sni,omitempty"`
	ClientCertificateRef    *gatewayv1.SecretObjectReference       `json:"clientCertificateRef,omitempty"`
	MinVersion              *TLSVersion                            `json:"minVersion,omitempty"`
	MaxVersion              *TLSVersion                            `json:"maxVersion,omitempty"`
	Ciphers                 []string                               `json:"ciphers,omitempty"`
	ECDHCurves              []string                               `json:"ecdhCurves,omitempty"`
	SignatureAlgorithms     []string                               `json:"signatureAlgorithms,omitempty"`
	ALPNProtocols           []string                               `json:"alpnProtocols,omitempty"`
}

// TLSVersion is a version of TLS: Auto, 1.0, 1.1, 1.2 or 1.3.
type TLSVersion string

// The versions.
const (
	TLSAuto TLSVersion = "Auto"
	TLS10   TLSVersion = "1.0"
	TLS11   TLSVersion = "1.1"
	TLS12   TLSVersion = "1.2"
	TLS13   TLSVersion = "1.3"
)

// BackendStatus is what became of a Backend.
type BackendStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

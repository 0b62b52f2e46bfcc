// Which version of HTTP is spoken to a backend.

package backend

import "github.com/wicketgate/wicketgate/message"

// Protocol says which version of HTTP a backend speaks.
type Protocol uint8

// The protocols.
const (
	// HTTP1 is HTTP/1.1, over TLS where TLS is configured.
	HTTP1 Protocol = iota
	// HTTP2 is HTTP/2: by prior knowledge on plain connections (h2c), and over TLS as the only protocol that ALPN offers.
	HTTP2
	// Auto lets ALPN choose between the two, HTTP/2 first. Requests for an upgrade are sent over HTTP/1.1, which every backend of WebSockets speaks.
	// On plain connections, where there is no ALPN, it is HTTP1.
	Auto
)

// What an endpoint chose by ALPN, as far as is known.
const (
	choseNothing uint32 = iota
	choseHTTP1
	choseHTTP2
)

// protocols prepares an endpoint for what its backend speaks.
func (e *endpoint) protocols() {
	b := e.backend
	p := b.protocol
	if p != HTTP1 && (p != Auto || b.tls != nil) {
		e.shared = newShared(&e.lane)
	}
	switch {
	case b.tls == nil:
	case p == HTTP1:
		e.tls1 = b.tls.session("http/1.1")
	case p == HTTP2:
		e.tls2 = b.tls.session("h2")
	default:
		e.tls2, e.tls1 = b.tls.session("h2", "http/1.1"), b.tls.session("http/1.1")
	}
}

// shares reports whether a request goes over a connection that is shared.
func (e *endpoint) shares(req *message.Head) bool {
	switch {
	case e.shared == nil:
		return false
	case e.backend.protocol == HTTP2:
		return true
	}
	return len(req.Upgrade) == 0 && e.chose.Load() != choseHTTP1
}

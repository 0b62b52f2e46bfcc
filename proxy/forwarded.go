// What a client may not claim about itself, and what a backend is told instead.
//
// Forwarded, every X-Forwarded-* and X-Real-IP of a peer that is not a trusted proxy are removed. Then X-Forwarded-For, -Proto, -Host,
// -Port and X-Real-IP are set. A trusted proxy's X-Forwarded-For gets the peer's address appended; the others, Forwarded included, it knows
// better than we do, so they stay where it sent them and are set where it did not. X-Forwarded-Port is the Gateway API's port of the listener,
// whatever port is really bound. All this happens before the rule is chosen: header matches see what the backend will see.

package proxy

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
)

var (
	nameLocation    = []byte("Location")
	nameContentType = []byte("Content-Type")
	plainText       = []byte("text/plain; charset=utf-8")

	nameForwardedFor   = []byte("X-Forwarded-For")
	nameForwardedProto = []byte("X-Forwarded-Proto")
	nameForwardedHost  = []byte("X-Forwarded-Host")
	nameForwardedPort  = []byte("X-Forwarded-Port")
	nameRealIP         = []byte("X-Real-IP")

	root        = []byte("/")
	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
)

// reasonUnderscore is why a request is refused whose names the policy does not admit.
const reasonUnderscore = "a header name has an underscore"

// screenNames applies the policy for names with '_', and returns false if it is to refuse the request.
func (c *call) screenNames() bool {
	switch c.proxy.opt.Underscore {
	case RejectUnderscore:
		_, underscored := scan(&c.req.Fields)
		return !underscored
	case DropUnderscore:
		c.req.Fields.Filter(func(f message.Field) bool { return bytes.IndexByte(f.Name, '_') < 0 })
	}
	return true
}

// forward rewrites the forwarding fields. It returns false if a name has '_' and the policy is to refuse that. Of gRPC calls such names are
// let pass: they are metadata like any other.
func (c *call) forward(l *listener) bool {
	fields := &c.req.Fields
	spoofed, underscored := scan(fields)
	if underscored && !c.in.GRPC && !c.screenNames() {
		return false
	}
	proto := schemeHTTP
	if c.peer.TLS != nil {
		proto = schemeHTTPS
	}
	if spoofed && c.conn.trusted {
		c.extend(l, proto)
		return true
	}
	if spoofed {
		fields.Filter(func(f message.Field) bool { return !isForwarding(f.Name) })
	}
	fields.Add(nameForwardedFor, c.conn.remote)
	fields.Add(nameForwardedProto, proto)
	if len(c.req.Authority) > 0 {
		fields.Add(nameForwardedHost, c.req.Authority)
	}
	fields.Add(nameForwardedPort, l.port)
	fields.Add(nameRealIP, c.conn.remote)
	return true
}

// extend adds to what a trusted proxy said.
func (c *call) extend(l *listener, proto []byte) {
	fields := &c.req.Fields
	if chain, ok := fields.Combined("x-forwarded-for", c.forwarded); ok && len(chain) > 0 {
		// Where the chain was joined it is in c.forwarded's memory already, and append leaves it where it is.
		c.forwarded = append(append(append(c.forwarded[:0], chain...), ", "...), c.conn.remote...)
		fields.Set(nameForwardedFor, c.forwarded)
	} else {
		fields.Set(nameForwardedFor, c.conn.remote)
	}
	complete := func(name, value []byte, lower string) {
		if len(value) > 0 && !fields.Has(lower) {
			fields.Add(name, value)
		}
	}
	complete(nameForwardedProto, proto, "x-forwarded-proto")
	complete(nameForwardedHost, c.req.Authority, "x-forwarded-host")
	complete(nameForwardedPort, l.port, "x-forwarded-port")
	complete(nameRealIP, c.conn.remote, "x-real-ip")
}

// scan looks for forwarding fields and for names with '_'.
func scan(fields *message.Fields) (spoofed, underscored bool) {
	for i := range fields.Len() {
		name := fields.At(i).Name
		if isForwarding(name) {
			spoofed = true
		}
		if bytes.IndexByte(name, '_') >= 0 {
			underscored = true
		}
	}
	return spoofed, underscored
}

// isForwarding reports whether a field is Forwarded, X-Forwarded-* or X-Real-IP.
func isForwarding(name []byte) bool {
	const prefix = "x-forwarded-"
	switch {
	case len(name) < len("forwarded"):
		return false
	case name[0]|0x20 == 'f':
		return message.Equal(name, "forwarded")
	case name[0]|0x20 != 'x':
		return false
	case len(name) > len(prefix):
		return message.Equal(name[:len(prefix)], prefix)
	}
	return message.Equal(name, "x-real-ip")
}

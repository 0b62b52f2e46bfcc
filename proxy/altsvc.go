// Telling clients of HTTP/3 (RFC 7838, RFC 9114 section 3.1.1).

package proxy

import (
	"strconv"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// nameAltSvc is never written to.
var nameAltSvc = []byte("Alt-Svc")

// alternative is what an HTTPS listener's answers say: the port is the listener's, which clients see, whatever --port-map makes of it here. A
// day is how long clients may remember it.
func alternative(port int32) []byte {
	return append(strconv.AppendQuote([]byte("h3="), ":"+strconv.Itoa(int(port))), "; ma=86400"...)
}

// offersHTTP3 says whether a client can come back over HTTP/3.
func (p *Proxy) offersHTTP3(peer *wire.Peer) bool {
	return p.opt.HTTP3 != nil && peer.TLS != nil && peer.TLS.Protocol != "h3" && p.opt.HTTP3(peer.Socket)
}

// advertise tells of HTTP/3 in a response. What a backend says of alternatives to itself is none of the client's business.
func (c *call) advertise(h *message.Head) {
	if c.conn.offered && c.listener != nil && c.listener.alternative != nil {
		h.Fields.Set(nameAltSvc, c.listener.alternative)
	}
}

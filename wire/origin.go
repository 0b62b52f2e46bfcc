// Whom a connection was accepted from, for those who open connections on its behalf: they may have to say so at once (the PROXY protocol), and such
// a connection is of no use to anybody else.

package wire

import (
	"net"
	"net/netip"
	"sync"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

// Origin is one connection from a client. Two connections have two, also where all addresses are the same. It may be used concurrently, and for longer
// than the connection lasts.
type Origin struct {
	source, destination netip.AddrPort // the zero AddrPort: not known

	mu         sync.Mutex
	ended      bool
	companions map[Companion]struct{}
}

// Companion is what goes with a client's connection.
type Companion interface {
	// OriginEnded is called once, when the connection is over. It must not block.
	OriginEnded()
}

// NewOrigin says where c comes from. If a proxy that is trusted has said for whom it opened c (proxyproto.Conn, also below TLS), it is from there.
func NewOrigin(c net.Conn) *Origin {
	for {
		if _, ok := c.(*proxyproto.Conn); ok {
			break
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = outer.NetConn()
	}
	h := proxyproto.Describe(c, 1)
	return &Origin{source: h.Source, destination: h.Destination}
}

// NewOriginOf says so of a connection that is no net.Conn.
func NewOriginOf(source, destination netip.AddrPort) *Origin {
	return &Origin{source: source, destination: destination}
}

// AppendIntroduction appends a header of the PROXY protocol, version 1 or 2, that says for whom a connection is opened. Of a nil Origin it says that the
// gateway has opened it for itself.
func (o *Origin) AppendIntroduction(p []byte, version int) []byte {
	h := proxyproto.Header{Version: version, Local: true}
	if o != nil && o.source.IsValid() && o.destination.IsValid() {
		h.Local, h.Source, h.Destination = false, o.source, o.destination
	}
	return h.Append(p)
}

// Attach has c told of the end. It is false if that has come already; then c is not told.
func (o *Origin) Attach(c Companion) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	if o.companions == nil {
		o.companions = map[Companion]struct{}{}
	}
	o.companions[c] = struct{}{}
	return true
}

// Detach forgets c. It may be told of the end all the same, if that comes at this moment.
func (o *Origin) Detach(c Companion) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.companions, c)
}

// End says that the connection is over. Who has accepted it calls it, once or more often.
func (o *Origin) End() {
	o.mu.Lock()
	list := o.companions
	o.ended, o.companions = true, nil
	o.mu.Unlock()
	for c := range list {
		c.OriginEnded()
	}
}

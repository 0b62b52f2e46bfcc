// From a connection and a host to a listener, and what is remembered of a connection to find it quickly.

package proxy

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// connection is the proxy's memory of a client's connection (wire.Peer.Cache). It holds indices and not pointers, so that an idle
// connection does not keep an old snapshot's tables alive.
type connection struct {
	shard   uint32 // of all counters
	trusted bool   // Options.TrustedProxies has the peer
	remote  []byte // the peer's address, as text

	generation uint64 // of the snapshot that the rest is about
	socket     int32
	named      int32 // the listener of the server name (SNI), or unnamed
	offered    bool  // answers tell of HTTP/3
	barred     bool  // the socket's listeners demand a client's certificate, and the connection's handshake saw none that they trust

	authority []byte // of the latest request
	host      []byte // the same as routes compare it
	listener  int32
}

// unnamed stands for a client that sent no server name, or did not have to.
const unnamed int32 = -2

// connection returns the memory of a connection and makes it at its first request.
func (p *Proxy) connection(peer *wire.Peer) *connection {
	if c, ok := peer.Cache.(*connection); ok {
		return c
	}
	remote := peer.Remote.Addr().Unmap().WithZone("")
	c := &connection{shard: p.nextShard.Add(1) & (p.shards - 1), remote: []byte(remote.String())}
	for _, prefix := range p.opt.TrustedProxies {
		if prefix.Contains(remote) {
			c.trusted = true
		}
	}
	peer.Cache = c
	return c
}

// listen sets the listener that the request belongs to. If there is none it answers and returns the status.
//
// Hosts are found apart from server names: a client that offers its connection for shop.example.com may send a request for another host on it,
// which is fine as long as one listener serves both. If another listener owns the host the client is told so (421, RFC 9110
// section 15.5.20) and comes back on a new connection, because what that listener demands of a connection was never checked on this
// one. A host that no listener has is not found on any connection (404). A client that sent no server name has not chosen a listener, so that
// nothing is compared.
//
// What listeners demand of clients' certificates may have changed since the handshake: the client is told the same.
func (c *call) listen(s *Snapshot) int {
	k := c.conn
	if k.generation != s.generation {
		k.enter(s, c.peer)
		k.offered = c.proxy.offersHTTP3(c.peer)
	}
	if k.socket == noSocket {
		return c.refuse(statusNotFound, "no listener is configured on this socket", nil)
	}
	if k.barred {
		if c.peer.Leave != nil {
			c.peer.Leave()
		}
		return c.refuse(statusMisdirected, "the client showed no certificate that its listener trusts now", nil)
	}
	at := s.sockets[k.socket]
	if !bytes.Equal(k.authority, c.req.Authority) || len(k.authority) == 0 {
		if !k.find(at, c.req) {
			return c.refuse(statusBadRequest, "the host is missing or malformed", nil)
		}
	}
	if k.listener == noListener {
		c.grpc = at.grpc && isGRPC(c.req)
		return c.refuse(statusNotFound, "no listener has this host", nil)
	}
	if k.named != k.listener && k.named != unnamed {
		return c.refuse(statusMisdirected, "the host belongs to another listener than the server name of the connection", nil)
	}
	c.listener = at.listeners[k.listener]
	return 0
}

// enter finds the connection's place in a snapshot.
func (k *connection) enter(s *Snapshot, peer *wire.Peer) {
	k.generation, k.authority, k.named, k.barred = s.generation, k.authority[:0], unnamed, false
	k.socket = s.socket(peer.Socket, peer.Local.Addr())
	if k.socket == noSocket {
		return
	}
	k.barred = !s.sockets[k.socket].admits(peer)
	if peer.TLS != nil && peer.TLS.ServerName != "" {
		name := strings.TrimSuffix(strings.ToLower(peer.TLS.ServerName), ".")
		k.named = s.sockets[k.socket].hosts.find([]byte(name))
	}
}

// find sets host and listener for a request's authority and reports whether that is a host at all. Without one (HTTP/1.0) a request
// belongs to the listener for every host.
func (k *connection) find(at *socket, req *message.Head) bool {
	k.authority, k.host = k.authority[:0], k.host[:0]
	if len(req.Authority) == 0 {
		k.listener = at.hosts.any
		return req.Minor == 0
	}
	if _, _, ok := message.SplitAuthority(req.Authority); !ok {
		return false
	}
	k.host = message.AppendHost(k.host, req.Authority)
	k.listener = at.hosts.find(k.host)
	k.authority = append(k.authority, req.Authority...)
	return true
}

// hostOf is an address as a host in a URL.
func hostOf(a netip.Addr) []byte {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		return []byte("[" + a.String() + "]")
	}
	return []byte(a.String())
}

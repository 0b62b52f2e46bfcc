// A connection under its client's address.

package proxyproto

import (
	"net"
	"net/netip"
)

// Conn is a TCP connection that a proxy has opened for a client. All that concerns bytes is the connection's own.
type Conn struct {
	*net.TCPConn

	source, destination netip.AddrPort
}

// NewConn returns c under the addresses of h, or c itself if h has none.
func NewConn(c *net.TCPConn, h Header) net.Conn {
	if h.Local {
		return c
	}
	return &Conn{TCPConn: c, source: h.Source, destination: h.Destination}
}

// RemoteAddr is the client's address. (LocalAddr is where the proxy has connected to: listeners are told apart by it.)
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.source) }

// Destination is where the client has connected to.
func (c *Conn) Destination() netip.AddrPort { return c.destination }

// Describe is the header that passes on for whom a connection c was accepted.
func Describe(c net.Conn, version int) Header {
	h := Header{Version: version, Source: addrPort(c.RemoteAddr()), Destination: addrPort(c.LocalAddr())}
	if known, ok := c.(*Conn); ok {
		h.Destination = known.destination
	}
	h.Local = !h.Source.IsValid() || !h.Destination.IsValid()
	return h
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

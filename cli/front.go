// The front door: from an accepted connection, over the handshake where there is one, to the wire.

package cli

import (
	"net"
	"net/netip"

	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/wire"
)

// front hands connections to the wire.
type front struct {
	tls  *tls.Server
	wire *wire.Server
}

// handle serves one accepted connection to its end. It runs in the goroutine that the listener made for it.
func (f *front) handle(c net.Conn, socket netip.AddrPort) {
	if !f.tls.Terminates(c, socket) {
		f.wire.ServeConn(c, socket, nil)
		return
	}
	secure, err := f.tls.Handshake(c, socket)
	if err != nil {
		return // the handshake has closed the connection and said why
	}
	state := secure.ConnectionState()
	f.wire.ServeConn(secure, socket, &wire.TLS{
		ServerName: state.ServerName, Version: state.Version, Protocol: state.NegotiatedProtocol,
	})
}

// The front door: from an accepted connection, over the handshake where there is one, to the wire.

package cli

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/wire"
)

// front hands connections to the wire.
type front struct {
	tls  *tls.Server
	wire *wire.Server
	// connections counts those that were accepted and are not over, also while they are in a handshake and the wire does not know them.
	connections atomic.Int64
}

// accept takes a connection from a listener and returns at once.
func (f *front) accept(c net.Conn, socket netip.AddrPort) {
	f.connections.Add(1)
	go f.serve(c, socket)
}

// serve serves one connection to its end.
func (f *front) serve(c net.Conn, socket netip.AddrPort) {
	defer f.connections.Add(-1)
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
		ServerName: state.ServerName, Version: state.Version, Protocol: state.NegotiatedProtocol, Chains: state.VerifiedChains,
	})
}

// drain ends all connections, once nothing is accepted any more: requests in flight are answered, also those of clients that are still in
// their handshake. When ctx ends it closes what is left.
func (f *front) drain(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		f.wire.Drain(ctx, netip.AddrPort{})
		if f.connections.Load() == 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		break
	}
	f.wire.Close()
}

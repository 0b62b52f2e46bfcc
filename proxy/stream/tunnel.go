// Tunnels: requests that were upgraded. Somebody else has connected both sides, counts them and drains them. What they have in common with the
// connections of routes is how bytes are moved, and that the sweeper makes them look once they have fallen silent.

package stream

import (
	"net"
	"syscall"
)

// Tunnel is two connections between which Relay copies.
type Tunnel struct{ conn }

// Tunnel prepares to copy between two connections that are both plain sockets. It returns nil if one is not, or if system calls cannot or must
// not be made on them: then there is nothing to be gained over the connections' own methods.
func (s *Server) Tunnel(client, backend net.Conn) *Tunnel {
	for _, c := range []net.Conn{client, backend} {
		if _, ok := c.(syscall.Conn); !ok || s.portable || !rawFlows {
			return nil
		}
	}
	t := &Tunnel{conn{server: s}}
	t.client, t.backend, t.cancel = client, backend, func() {}
	return t
}

// Relay copies both ways until both are done, and closes both connections: with a reset if one of them was reset, or Stop was called. ahead was
// read from the client already, back from the backend. It is called once.
func (t *Tunnel) Relay(ahead, back []byte) {
	t.server.watch(&t.conn)
	defer t.server.unwatch(&t.conn)
	t.in.First = ahead
	how, _ := t.relay(t.client, t.backend, back) // whatever went wrong is told to the other side
	t.close(how)
}

// Stop ends the tunnel. Any goroutine may call it.
func (t *Tunnel) Stop() { t.stop() }

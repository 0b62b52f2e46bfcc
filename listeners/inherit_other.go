//go:build !unix

// Systems without socket activation.

package listeners

import (
	"context"
	"net"
	"net/netip"
)

// Inherited is nothing on systems without socket activation.
type Inherited struct{}

// Inherit finds nothing.
func Inherit(func(string) string, int) (*Inherited, error) { return nil, nil }

// Listen opens a new socket.
func (*Inherited) Listen(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	return ListenTCP(ctx, addr)
}

// ListenUDP opens a new socket.
func (*Inherited) ListenUDP(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	return ListenUDP(ctx, addr)
}

// Unused is empty.
func (*Inherited) Unused() (tcp, udp []netip.AddrPort) { return nil, nil }

// Opening TCP sockets, and saying what to do when that fails.

package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// ListenTCP opens a TCP socket. An unspecified address, of either family, is bound as a wildcard that takes IPv6 and IPv4, or
// IPv4 alone on a machine without IPv6.
func ListenTCP(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	// Keep-alive probes are set on the listening socket and inherited, which spares every connection four system calls; where
	// that is not so (keepAlive says), package net sets them on each.
	lc := net.ListenConfig{Control: control, KeepAliveConfig: keepAlive}
	if !keepAlive.Enable {
		lc.KeepAlive = -1
	}
	where := addr.String()
	if addr.Addr().IsUnspecified() {
		where = ":" + strconv.Itoa(int(addr.Port()))
	}
	return lc.Listen(ctx, "tcp", where)
}

// ListenUDP opens a UDP socket, with an address as for ListenTCP. Where the system can, its buffers are large, and each datagram comes with
// the address that it was sent to.
func ListenUDP(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	where := addr.String()
	if addr.Addr().IsUnspecified() {
		where = ":" + strconv.Itoa(int(addr.Port()))
	}
	lc := net.ListenConfig{Control: packetControl}
	c, err := lc.ListenPacket(ctx, "udp", where)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a socket of type %T", c), c.Close())
	}
	return conn, nil
}

// BindError says why an address cannot be listened on and what to do about it.
type BindError struct {
	Addr netip.AddrPort
	// Advice says what to do, or is empty.
	Advice string
	Err    error
}

func (e *BindError) Error() string {
	if e.Advice == "" {
		return fmt.Sprintf("cannot listen on %s: %v", e.Addr, e.Err)
	}
	return fmt.Sprintf("cannot listen on %s: %v: %s", e.Addr, e.Err, e.Advice)
}

// Unwrap returns the system's error.
func (e *BindError) Unwrap() error { return e.Err }

// explain makes a BindError of what Listen returned: the system's reason without package net's repetition of the address.
func explain(addr netip.AddrPort, err error, udp bool) error {
	b := &BindError{Addr: addr, Err: err}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		b.Err = no
	}
	port := addr.Port()
	switch {
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		if port < 1024 {
			b.Advice = fmt.Sprintf("ports below 1024 need a privilege: serve the port elsewhere with --port-map %d=%d, or allow it with "+
				"`setcap cap_net_bind_service=+ep wicketgate` or systemd's AmbientCapabilities=CAP_NET_BIND_SERVICE", port, uint32(port)+8000)
		}
	case errors.Is(err, syscall.EADDRINUSE):
		b.Advice = fmt.Sprintf("stop the other program, or serve the port elsewhere with --port-map %d=PORT", port)
		if who := owner(addr, udp); who != "" {
			b.Advice = "it is used by " + who + ": " + b.Advice
		}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		b.Advice = fmt.Sprintf("no interface of this machine has the address %s: correct the Gateway's spec.addresses", addr.Addr())
	}
	return b
}

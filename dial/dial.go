// Package dial makes the outgoing connections and guards them: every destination, of whatever kind, goes through one Guard at the moment
// it is dialled, when its address is known for certain. It also resolves the names of backends, because the standard library's
// resolver hides how long an answer holds. It imports nothing else of this project.
//
//	guard := new(dial.Guard)
//	guard.SetOwn(listenersAndAdmin)
//	dialer := &dial.Dialer{Guard: guard}
//	addrs, ttl, err := resolver.Lookup(ctx, []string{"cart.default", "cart"}, false)
//	conn, err := dialer.Dial(ctx, netip.AddrPortFrom(addrs[0], 8080), false)
package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// DefaultTimeout is how long a Dialer waits for a connection.
const DefaultTimeout = 5 * time.Second

// Dialer opens TCP connections to addresses that its Guard allows. It is safe for concurrent use once its fields are set.
type Dialer struct {
	// Guard is asked before every dial. It must not be nil.
	Guard *Guard
	// Timeout bounds a dial; zero means DefaultTimeout.
	Timeout time.Duration
	// KeepAlive configures TCP keep-alive probes. The zero value means probes by the standard library's defaults.
	KeepAlive net.KeepAliveConfig
	// Delay leaves Nagle's algorithm on. By default small writes go out at once (TCP_NODELAY).
	Delay bool
}

// Dial connects to addr. loopback says that addresses of this machine are allowed, because an object or a flag names them. The address
// is dialled as it is, so what was checked is what is dialled. A refusal of the Guard is a *RefusedError.
func (d *Dialer) Dial(ctx context.Context, addr netip.AddrPort, loopback bool) (net.Conn, error) {
	if err := d.Guard.Check(addr.Addr(), addr.Port(), loopback); err != nil {
		return nil, err
	}
	timeout := d.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	dialer := net.Dialer{Timeout: timeout, KeepAliveConfig: d.KeepAlive}
	dialer.SetMultipathTCP(false)
	conn, err := dialer.DialTCP(ctx, "tcp", netip.AddrPort{}, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if d.Delay {
		if err := conn.SetNoDelay(false); err != nil {
			return nil, fmt.Errorf("connect: %w", errors.Join(err, conn.Close()))
		}
	}
	return conn, nil
}

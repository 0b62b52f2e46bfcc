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

// Dialer opens TCP connections to addresses that its Guard allows. They have no keep-alive probes: who keeps one asks for them (KeepAlive). It is safe
// for concurrent use once its fields are set.
type Dialer struct {
	// Guard is asked before every dial. It must not be nil.
	Guard *Guard
	// Timeout bounds a dial; zero means DefaultTimeout.
	Timeout time.Duration
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
	dialer := net.Dialer{Timeout: timeout, KeepAlive: -1}
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

// Until is ctx with a deadline that does not end it: who dials keeps to it. Package net has the poller do so, and no timer is started and stopped for a
// dial that takes a moment. It is of use for nothing but dials.
func Until(ctx context.Context, deadline time.Time) context.Context {
	if before, ok := ctx.Deadline(); ok && before.Before(deadline) {
		return ctx
	}
	return until{ctx, deadline}
}

type until struct {
	context.Context
	deadline time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.deadline, true }

// KeepAlive has a TCP connection, or the one below it, probed by the standard library's defaults while it is silent, so that a peer that is gone
// without a word is found out. It is four system calls, which are lost on a connection that lasts for a moment.
func KeepAlive(c net.Conn) {
	for {
		if tcp, ok := c.(interface {
			SetKeepAliveConfig(net.KeepAliveConfig) error
		}); ok {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true}) // fails if it is closed already
			return
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return
		}
		c = outer.NetConn()
	}
}

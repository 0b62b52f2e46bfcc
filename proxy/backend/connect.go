// Connections for streams: TCP and TLS routes take a connection for themselves, from its first byte to its last. It has no pool and no second
// try once it stands; what it shares with requests is the choice of the endpoint, its health, and how it is dialled and secured.

package backend

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/wicketgate/wicketgate/dial"
	"github.com/wicketgate/wicketgate/wire"
)

// Connect opens a connection to one endpoint: the one whose turn it is, or, while that fails, the next, each at most once. The time for one dial is
// Options.ConnectTimeout, for a TLS handshake Options.HandshakeTimeout, and after maxConnecting times the former no further endpoint is
// tried. Where TLS is spoken, protocols are offered (RFC 7301) as they are, and the connection has a method ConnectionState.
//
// client is the connection that this one is opened for: where the backend wants to know, it is told by the PROXY protocol, before anything else.
// ctx ends with the client, and concerns the connecting alone. The connection is the caller's, who closes it. An error is an *Error; its
// Result is ClientGone if ctx ended.
func (b *Backend) Connect(ctx context.Context, client net.Conn, protocols []string) (net.Conn, netip.AddrPort, error) {
	var tried []*endpoint
	var last *Error
	var origin *wire.Origin
	if b.introduce != 0 {
		origin = wire.NewOrigin(client)
	}
	begun := time.Now()
	for awaited := false; ; {
		e := b.pick(tried)
		if e == nil {
			if last != nil {
				return nil, last.Endpoint, last
			}
			n := b.names.Load()
			if n == nil || awaited {
				return nil, netip.AddrPort{}, &Error{Result: NoEndpoint, Err: errNoEndpoint}
			}
			awaited = true
			if err := b.awaitNames(ctx, n); err != nil {
				return nil, netip.AddrPort{}, err
			}
			continue
		}
		c, why, err := e.open(ctx, origin, protocols)
		if err == nil {
			e.stats.Opened.Add(1)
			e.restore()
			return c, e.addr, nil
		}
		last = &Error{Result: why, Endpoint: e.addr, Socket: e.path, Err: fmt.Errorf("connecting to %s: %w", e, err)}
		if ctx.Err() != nil {
			last.Result = ClientGone
			return nil, e.addr, last
		}
		e.unreachable(last)
		if time.Since(begun) >= maxConnecting*b.registry.opt.ConnectTimeout {
			return nil, e.addr, last
		}
		tried = append(tried, e)
	}
}

// awaitNames waits for the first lookup of the backend's names.
func (b *Backend) awaitNames(ctx context.Context, n *names) error {
	within, cancel := context.WithTimeout(ctx, b.registry.opt.LookupTimeout)
	defer cancel()
	err := n.await(within)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return &Error{Result: ClientGone, Err: err}
	}
	return &Error{Result: NoEndpoint, Err: err}
}

// open dials, and does the handshake where the backend is spoken TLS with. The Result is that of a failure.
func (e *endpoint) open(ctx context.Context, origin *wire.Origin, protocols []string) (net.Conn, Result, error) {
	b := e.backend
	opt := &b.registry.opt
	c, err := e.connect(dial.Until(ctx, time.Now().Add(opt.ConnectTimeout)), origin)
	config := cmp.Or(e.tls1, e.tls2)
	if err != nil || config == nil {
		return c, ConnectFailed, err
	}
	config = config.Clone() // sessions stay those of the endpoint
	config.NextProtos = protocols
	within, cancel := context.WithTimeout(ctx, opt.HandshakeTimeout)
	defer cancel()
	c, err = e.secure(within, c, config)
	return c, HandshakeFailed, err
}

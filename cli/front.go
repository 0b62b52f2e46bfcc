// The front door: from an accepted connection, over what opens it, to whoever carries it.

package cli

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/proxy"
	"github.com/wicketgate/wicketgate/proxy/stream"
	"github.com/wicketgate/wicketgate/tls"
	"github.com/wicketgate/wicketgate/tls/sni"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
	"github.com/wicketgate/wicketgate/wire/h3"
)

// front hands connections to the wire or to the streams.
type front struct {
	tls     *tls.Server
	proxy   *proxy.Proxy
	wire    *wire.Server // HTTP/1
	h2      *h2.Server
	streams *stream.Server
	h3      *h3.Server // nil: HTTP/3 is not served
	// connections counts those that were accepted and are not over, also while they are in a handshake and nobody else knows them.
	connections atomic.Int64
	// limit is how many there may be; 0: any number. refused counts those that were closed because of it.
	limit   int64
	refused atomic.Int64
	// introductions are what is known of clients behind other proxies.
	introductions introductions
}

// accept takes a connection from a listener and returns at once.
func (f *front) accept(c net.Conn, socket netip.AddrPort) {
	if !f.join() {
		_ = c.Close()
		return
	}
	go f.serve(c, socket)
}

// join counts a connection in, unless there are too many.
func (f *front) join() bool {
	if n := f.connections.Add(1); f.limit > 0 && n > f.limit {
		f.connections.Add(-1)
		f.refused.Add(1)
		return false
	}
	return true
}

// part counts it out.
func (f *front) part() { f.connections.Add(-1) }

// stackOfRequest is what the way of a request takes of its goroutine's stack, from the front door to the wait for the backend.
const stackOfRequest = 6 << 10

// growStack makes room for a request's frames at once. A new goroutine would else grow its stack twice on the way, and each time copy and
// adjust what is there: a tenth of what a connection with one request costs.
//
//go:noinline
func growStack() {
	var room [stackOfRequest]byte
	runtime.KeepAlive(&room)
}

// serve serves one connection to its end.
func (f *front) serve(c net.Conn, socket netip.AddrPort) {
	growStack()
	if !f.open(c, socket) {
		f.part()
	}
}

// open serves one connection to its end, or until HTTP/1 has taken it: then it returns true, and part is called when the connection is over,
// which may rest meanwhile.
func (f *front) open(c net.Conn, socket netip.AddrPort) (taken bool) {
	opening, proxied := f.proxy.Opening(socket, localAddr(c))
	if proxied {
		client := f.introductions.introduce(c, socket)
		if client == nil {
			return false
		}
		c = client
	}
	switch opening {
	case proxy.Plain:
		f.wire.ServeConn(c, socket, nil)
		return true
	case proxy.Handshake:
		return f.serveTLS(c, socket)
	case proxy.ServerName:
		return f.serveByName(c, socket)
	case proxy.Stream:
		if !f.proxy.ServeStream(stream.Connection{Client: c}, socket, "") {
			_ = c.Close() // the listener has changed this instant
		}
	}
	return false
}

// serveTLS serves requests after a handshake. What it returns, open returns.
func (f *front) serveTLS(c net.Conn, socket netip.AddrPort) (taken bool) {
	secure, err := f.tls.Handshake(wire.Direct(c), socket)
	if err != nil {
		return false // the handshake has closed the connection and said why
	}
	state := secure.ConnectionState()
	settled := &wire.TLS{
		ServerName: state.ServerName, Version: state.Version, Protocol: state.NegotiatedProtocol, Chains: state.VerifiedChains,
	}
	if settled.Protocol == tls.HTTP2 {
		f.h2.ServeConn(secure, socket, settled)
		return false
	}
	f.wire.ServeConn(secure, socket, settled)
	return true
}

// drainSocket ends the connections of one socket, or with the zero AddrPort of all, as wire.Server.Drain does.
func (f *front) drainSocket(ctx context.Context, socket netip.AddrPort) {
	var all sync.WaitGroup
	all.Go(func() { f.wire.Drain(ctx, socket) })
	all.Go(func() { f.h2.Drain(ctx, socket) })
	if f.h3 != nil {
		all.Go(func() { f.h3.Drain(ctx, socket) })
	}
	all.Wait()
}

// serveByName reads the ClientHello, and has whoever answers it read it again. What it returns, open returns.
func (f *front) serveByName(c net.Conn, socket netip.AddrPort) (taken bool) {
	_ = c.SetReadDeadline(time.Now().Add(tls.DefaultHandshakeTimeout)) // a dead connection fails in the read
	hello, first, err := sni.Read(c)
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	again := &replayed{Conn: wire.Direct(c), first: first}
	in := stream.Connection{
		Client: c, First: first, Offered: hello.Protocols,
		Handshake: func(protocols []string) (net.Conn, error) { return f.tls.HandshakeFor(again, socket, protocols) },
	}
	switch {
	case err != nil && len(first) > 0 && f.proxy.HasHTTPS(socket, localAddr(c)):
		return f.serveTLS(again, socket) // which says in words or in an alert what is wrong
	case err != nil:
		_ = c.Close()
	case !f.proxy.ServeStream(in, socket, hello.ServerName):
		return f.serveTLS(again, socket)
	}
	return false
}

// replayed is a connection some of whose bytes were read already, and are read again.
type replayed struct {
	net.Conn
	first []byte
}

func (r *replayed) Read(p []byte) (int, error) {
	if len(r.first) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.first)
	r.first = r.first[n:]
	return n, nil
}

// NetConn is the connection below, for those who do not read.
func (r *replayed) NetConn() net.Conn { return r.Conn }

// CloseWrite ends the direction to the client.
func (r *replayed) CloseWrite() error {
	if half, ok := r.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func localAddr(c net.Conn) netip.Addr {
	if tcp, ok := c.LocalAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// drain ends all connections, once nothing is accepted any more: requests in flight are answered, also those of clients that are still in
// their handshake, and streams may end by themselves. When ctx ends it closes what is left.
func (f *front) drain(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	if f.h3 != nil {
		f.h3.Follow(nil) // accepts no more
	}
	for {
		f.drainSocket(ctx, netip.AddrPort{})
		f.streams.Drain(ctx)
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
	f.h2.Close()
	if f.h3 != nil {
		f.h3.Close()
	}
	f.streams.Close()
}

// register makes the front's counts metrics.
func (f *front) register(r prometheus.Registerer) {
	f.introductions.register(r)
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wicketgate_http2_connections_active", Help: "Connections of clients over HTTP/2."}, func() float64 {
			connections, _ := f.h2.Active()
			return float64(connections)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "wicketgate_http2_streams_active", Help: "Requests under way on them."}, func() float64 {
			_, streams := f.h2.Active()
			return float64(streams)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wicketgate_connections_active", Help: "Connections of clients, of all kinds.",
		}, func() float64 { return float64(f.connections.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "wicketgate_connections_limit", Help: "How many connections of clients there may be (--max-connections); 0: any number.",
		}, func() float64 { return float64(f.limit) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "wicketgate_connections_refused_total", Help: "Connections of clients that were closed at once because there were too many.",
		}, func() float64 { return float64(f.refused.Load()) }),
	)
}

// Package wire carries HTTP messages over connections: HTTP/1.1 towards clients and backends, on the raw and the portable
// transport. It knows bytes, framing, limits and timeouts; it knows nothing of routes.
package wire

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// Peer is what is known of a connection from a client. It is made once a connection and does not change.
type Peer struct {
	Remote, Local netip.AddrPort
	// Origin is the connection, for what is opened on its behalf; nil: such a thing is opened on nobody's.
	Origin *Origin
	// Socket is the address that the listening socket was bound to: the key of its configuration.
	Socket netip.AddrPort
	// Protocol is "HTTP/2" there, and empty on HTTP/1, where it is each message that has a version.
	Protocol string
	// TLS is nil on a plain connection.
	TLS *TLS
	// Cache is the handler's own memory of this connection. Only the goroutine that serves an exchange of it touches it.
	Cache any
	// Leave asks the client to make its further requests on another connection; those under way go on. Nil on HTTP/1, where a response can say so
	// by itself (and one of 421 does).
	Leave func()
}

// NewPeer says what is known of c. Who serves c ends its Origin. socket is the address that the listening socket was bound to; tls is nil for a plain connection.
func NewPeer(c net.Conn, socket netip.AddrPort, tls *TLS) Peer {
	return Peer{Remote: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr()), Origin: NewOrigin(c), Socket: socket, TLS: tls}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// TLS is what the handshake of a client's connection settled.
type TLS struct {
	ServerName string
	Version    uint16
	Protocol   string // ALPN
	// Chains lead from the client's certificate to authorities that the listener trusted; nil if none was demanded or, where that is
	// permitted, none was valid.
	Chains [][]*x509.Certificate
}

// Handler answers requests. One Handler serves all connections, concurrently.
type Handler interface {
	// Serve answers one request: exactly one of Respond, Tunnel or Abort is called before it returns. It may block: see Exchange.
	Serve(x Exchange)
	// Refused is told of a request that the wire answered itself (malformed, too large, too slow), for logs and metrics. status 0
	// means that nothing could be answered.
	Refused(p *Peer, status int, why error)
}

// Prompt is a Handler that may be called by a goroutine that others depend on, such as the one that reads a connection: it calls Block before it
// waits for anything but the answer to what it has sent on a connection that others share.
type Prompt interface {
	Handler
	// ServesPromptly does nothing.
	ServesPromptly()
}

// Blocker is an Exchange whose handler may have been called by a goroutine that others depend on.
type Blocker interface {
	Exchange
	// Block lets that goroutine go on, and Serve run on another one from here until it returns.
	Block()
}

// Block says that the handler of x may have to wait. Only the handler itself says so.
func Block(x Exchange) {
	if b, ok := x.(Blocker); ok {
		b.Block()
	}
}

// Exchange is one request and its response on any HTTP version. It belongs to the goroutine that runs Handler.Serve (Gone may be
// read by any) and ends when Serve returns.
type Exchange interface {
	// Request is the head, valid and writable until Serve returns.
	Request() *message.Head
	// Body is the request's content; nil if there is none.
	Body() message.Body
	Peer() *Peer
	// Arrived is when the first byte of the request was read.
	Arrived() time.Time
	// Inform sends an interim (1xx, never 101) response.
	Inform(h *message.Head) error
	// Respond sends the response and its body (nil: none). The wire owns the copy loop. It pulls from body and calls body.Stop if it
	// ends before io.EOF. The Head stays the caller's. When it returns an error the connection or stream was aborted: the
	// client saw no clean end.
	Respond(h *message.Head, body message.Body) error
	// Tunnel accepts an upgrade with a 101 head and returns the two byte streams. Serve must not return before the tunnel is done. The request's head
	// is copied, so that a tunnel does not hold the memory that it came in: what was taken from it before is not valid any more.
	Tunnel(h *message.Head) (Duplex, error)
	// Abort ends the exchange without a (further) response: the connection is closed, or the stream reset.
	Abort(r message.Reason)
	// Watch names what must be broken off when the client leaves while the exchange waits for something else (a backend): from
	// some 100 ms after a call on, c.Cancel(message.ClientGone) may come from another goroutine, until Watch(nil) or the end of
	// Serve. A call costs a store: quick requests pay nothing else.
	Watch(c Canceller)
	// Context is cancelled when the client has left, when the exchange is aborted and when Serve has returned. Asking for it may
	// allocate: only slow paths (dialling, DNS) ask.
	Context() context.Context
	// Written reports how many bytes of response content went out, for metrics and logs.
	Written() int64
}

// Canceller is an operation that can be broken off from another goroutine: it then returns an error that says why. Cancel returns at once
// and calls no method of the Exchange: the connection is locked meanwhile, so that no call is under way once Watch(nil) has returned.
type Canceller interface{ Cancel(message.Reason) }

// Duplex is a bidirectional byte stream after an upgrade.
type Duplex interface {
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	CloseWrite() error
	Close() error
}

// Limits bound what a peer may make us hold or wait for. Zero means the default of DefaultLimits, negative none.
type Limits struct {
	HeadBytes   int           // request head, 64 KiB; 431
	Fields      int           // number of fields, 100; 431
	TargetBytes int           // request target, 8 KiB; 414
	Streams     int           // concurrent streams of an HTTP/2 connection, 128; the stream is refused
	HeadTime    time.Duration // for a whole request head once its first byte came, 10 s; 408
	KeepAlive   time.Duration // idle between requests, 75 s; closed silently
	WriteStall  time.Duration // no progress while writing to a client, none by default for tunnels
}

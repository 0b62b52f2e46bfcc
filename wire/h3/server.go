// UDP sockets and the connections on them: which handshakes are admitted, and how a socket is drained.

package h3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/wicketgate/wicketgate/wire"
)

// Bounds of a server.
const (
	// maxStreams is how many requests a connection may have under way.
	maxStreams = 100
	// maxUniStreams is how many unidirectional streams: three that have a meaning, and some of extensions.
	maxUniStreams = 8
	// Windows: what a client may send before it is consumed, of one request and of a connection.
	streamWindow, maxStreamWindow = 64 << 10, 1 << 20
	// Uploads that nobody takes do not hold up others: a connection's window has room for all of them, and for the quarter of which the library
	// does not tell the client before it is consumed.
	connWindow, maxConnWindow = maxStreams * streamWindow * 3 / 2, 16 << 20
	// maxHandshakes is how many handshakes may be under way before clients must show that they are at the address that they claim (RFC 9000
	// section 8.1.2).
	maxHandshakes = 64
	// maxPerAddress is how many connections one address may have.
	maxPerAddress = 1000
)

// Options configure a Server.
type Options struct {
	Handler wire.Handler
	Limits  wire.Limits
	// TLS gives the configuration of handshakes on a socket, by the address that it was bound to.
	TLS func(bind netip.AddrPort) *tls.Config
	// Listen opens a socket, with large buffers if it can: listeners.ListenUDP, or what takes its place.
	Listen func(ctx context.Context, bind netip.AddrPort) (*net.UDPConn, error)
	// EarlyData admits requests in the first flight of a resumed connection (0-RTT), which an attacker can send again: only those with a
	// safe method are answered before the handshake is complete (RFC 8470).
	EarlyData bool
	// Flood is told of connections that were closed because their client does one thing far too often, with one of Floods. Nil: nobody is.
	Flood func(kind string)
	// Join, if set, is asked for leave for each new connection, and Part told of the end of each that has it.
	Join func() bool
	Part func()
	Log  *slog.Logger
}

// Server serves HTTP/3 on UDP sockets. Its methods may be called concurrently.
type Server struct {
	handler wire.Handler
	lim     wire.Limits
	tls     func(netip.AddrPort) *tls.Config
	listen  func(ctx context.Context, bind netip.AddrPort) (*net.UDPConn, error)
	early   bool
	join    func() bool
	part    func()
	flood   func(kind string)
	log     *slog.Logger
	metrics *Metrics
	buffers sync.Pool
	endWait time.Duration // see the constant

	handshakes atomic.Int64
	dated      atomic.Pointer[dateText]
	serving    atomic.Pointer[map[netip.AddrPort]bool]

	mu       sync.Mutex
	sockets  map[netip.AddrPort]*socket
	perAddr  map[netip.Addr]int
	closed   bool
	accepted sync.WaitGroup
}

// Metrics count what happens on a Server. Reading and counting may be concurrent.
type Metrics struct {
	Connections atomic.Int64  // open now
	Accepted    atomic.Uint64 // connections whose handshake succeeded
	Retried     atomic.Uint64 // handshakes that had to prove the client's address
	Refused     atomic.Uint64 // connections over a limit
}

// socket is a bound UDP socket. It stays bound while connections on it drain.
type socket struct {
	bind      netip.AddrPort
	transport *quic.Transport
	listener  *quic.EarlyListener // nil: accepts no more
	conns     map[*conn]bool
}

// NewServer makes a Server without sockets.
func NewServer(o Options) *Server {
	s := &Server{
		handler: o.Handler, lim: o.Limits.WithDefaults(), tls: o.TLS, listen: o.Listen, early: o.EarlyData, join: o.Join, part: o.Part, flood: o.Flood, log: o.Log, metrics: &Metrics{},
		sockets: map[netip.AddrPort]*socket{}, perAddr: map[netip.Addr]int{}, endWait: endWait,
	}
	if s.join == nil {
		s.join, s.part = func() bool { return true }, func() {}
	}
	if s.flood == nil {
		s.flood = func(string) {}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.buffers.New = func() any { return new([bufferSize]byte) }
	s.serving.Store(&map[netip.AddrPort]bool{})
	return s
}

// Metrics are the server's counters.
func (s *Server) Metrics() *Metrics { return s.metrics }

// Serving reports whether connections are accepted at an address: whether it may be told to clients (Alt-Svc).
func (s *Server) Serving(bind netip.AddrPort) bool { return (*s.serving.Load())[bind] }

// Follow makes the sockets those of want: what is missing is bound, what is not wanted accepts no more. It returns the addresses of the
// latter, whose connections are for the caller to Drain, and why sockets could not be bound.
func (s *Server) Follow(want []netip.AddrPort) (gone []netip.AddrPort, failed map[netip.AddrPort]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for bind, k := range s.sockets {
		if k.listener != nil && !slices.Contains(want, bind) {
			_ = k.listener.Close() // its connections go on
			k.listener = nil
			gone = append(gone, bind)
			s.release(k)
		}
	}
	for _, bind := range want {
		if err := s.open(bind); err != nil {
			if failed == nil {
				failed = map[netip.AddrPort]error{}
			}
			failed[bind] = err
		}
	}
	now := map[netip.AddrPort]bool{}
	for bind, k := range s.sockets {
		if k.listener != nil {
			now[bind] = true
		}
	}
	s.serving.Store(&now)
	return gone, failed
}

// Yield closes the sockets that keep others from binding one of these addresses: at once and with their connections, whose clients come back over
// TCP.
func (s *Server) Yield(wanted []netip.AddrPort) {
	s.mu.Lock()
	var yielded []*socket
	now := map[netip.AddrPort]bool{}
	for bind, k := range s.sockets {
		if slices.ContainsFunc(wanted, func(a netip.AddrPort) bool { return excludes(a, bind) }) {
			yielded = append(yielded, k)
			delete(s.sockets, bind)
		} else if k.listener != nil {
			now[bind] = true
		}
	}
	s.serving.Store(&now)
	s.mu.Unlock()
	for _, k := range yielded {
		k.close()
	}
}

// excludes says whether two addresses cannot be bound at once.
func excludes(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

// close ends the socket's connections, too. It belongs to no server any more.
func (k *socket) close() {
	if k.listener != nil {
		_ = k.listener.Close()
	}
	_ = k.transport.Close() // with its connections
	_ = k.transport.Conn.Close()
}

// open makes a socket accept connections. The caller holds mu.
func (s *Server) open(bind netip.AddrPort) error {
	k := s.sockets[bind]
	if s.closed || k != nil && k.listener != nil {
		return nil
	}
	if k == nil {
		pc, err := s.listen(context.Background(), bind)
		if err != nil {
			return fmt.Errorf("cannot serve HTTP/3: %w", err)
		}
		k = &socket{bind: bind, conns: map[*conn]bool{}}
		k.transport = &quic.Transport{Conn: pc, VerifySourceAddress: s.suspicious, ConnContext: s.admit}
	}
	l, err := k.transport.ListenEarly(s.tls(bind), s.config())
	if err != nil {
		if len(k.conns) == 0 {
			_ = k.transport.Close()
			_ = k.transport.Conn.Close()
		}
		return fmt.Errorf("cannot serve HTTP/3 on %s: %w", bind, err)
	}
	k.listener = l
	s.sockets[bind] = k
	s.accepted.Go(func() { s.accept(k, l) })
	s.log.Info("listening", "address", bind, "protocol", "HTTP/3")
	return nil
}

// config is what all connections are told.
func (s *Server) config() *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:           5 * time.Second,
		MaxIdleTimeout:                 s.lim.KeepAlive,
		MaxIncomingStreams:             maxStreams,
		MaxIncomingUniStreams:          maxUniStreams,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         maxStreamWindow,
		InitialConnectionReceiveWindow: connWindow,
		MaxConnectionReceiveWindow:     maxConnWindow,
		Allow0RTT:                      s.early,
	}
}

// release closes a socket that neither accepts nor has connections. The caller holds mu.
func (s *Server) release(k *socket) {
	if k.listener != nil || len(k.conns) > 0 || s.sockets[k.bind] != k {
		return
	}
	delete(s.sockets, k.bind)
	_ = k.transport.Close()
	_ = k.transport.Conn.Close()
}

// attempt is a connection before it is accepted. Its handshake is counted until it is over in either way.
type attempt struct {
	addr netip.Addr
	over atomic.Bool
}

type attemptKey struct{}

var errTooMany = errors.New("too many connections, or too many from one address")

// admit is asked of each new connection, before its handshake.
func (s *Server) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	a := &attempt{addr: addrPort(info.RemoteAddr).Addr()}
	s.mu.Lock()
	full := s.perAddr[a.addr] >= maxPerAddress || !s.join()
	if !full {
		s.perAddr[a.addr]++
	}
	s.mu.Unlock()
	if full {
		s.metrics.Refused.Add(1)
		return nil, errTooMany
	}
	s.handshakes.Add(1)
	context.AfterFunc(ctx, func() {
		s.shaken(a)
		s.part()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.perAddr[a.addr]--; s.perAddr[a.addr] <= 0 {
			delete(s.perAddr, a.addr)
		}
	})
	return context.WithValue(ctx, attemptKey{}, a), nil
}

// shaken notes that a handshake is over.
func (s *Server) shaken(a *attempt) {
	if !a.over.Swap(true) {
		s.handshakes.Add(-1)
	}
}

// await waits for the end of the handshake of a connection that was handed out, before its client has shown a certificate or that it is at its
// address. It reports whether the handshake succeeded.
func (s *Server) await(q *quic.Conn) bool {
	select {
	case <-q.HandshakeComplete():
	case <-q.Context().Done():
		return false
	}
	if a, ok := q.Context().Value(attemptKey{}).(*attempt); ok {
		s.shaken(a)
	}
	return true
}

// suspicious asks clients for a proof of their address while many handshakes are under way.
func (s *Server) suspicious(net.Addr) bool {
	if s.handshakes.Load() < maxHandshakes {
		return false
	}
	s.metrics.Retried.Add(1)
	return true
}

// accept hands out a socket's connections until its listener is closed.
func (s *Server) accept(k *socket, l *quic.EarlyListener) {
	for {
		q, err := l.Accept(context.Background())
		if err != nil {
			return
		}
		go s.serveConn(k, q)
	}
}

// serveConn serves one connection.
func (s *Server) serveConn(k *socket, q *quic.Conn) {
	c := &conn{s: s, quic: q, socket: k.bind, began: time.Now()}
	s.mu.Lock()
	if s.closed || s.sockets[k.bind] != k {
		s.mu.Unlock()
		_ = q.CloseWithError(quic.ApplicationErrorCode(NoError), "")
		return
	}
	k.conns[c] = true
	if k.listener == nil {
		go c.drain(context.Background()) // it was accepted while the listener closed
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(k.conns, c)
		s.release(k)
	}()
	if s.early && q.ConnectionState().Used0RTT {
		go s.await(q)
	} else if !s.await(q) {
		return
	}
	state := q.ConnectionState().TLS
	c.peer = wire.Peer{
		Remote: addrPort(q.RemoteAddr()), Local: addrPort(q.LocalAddr()), Socket: k.bind,
		TLS: &wire.TLS{ServerName: state.ServerName, Version: state.Version, Protocol: state.NegotiatedProtocol, Chains: state.VerifiedChains},
	}
	c.peer.Leave, c.peer.Origin = c.part, wire.NewOriginOf(c.peer.Remote, c.peer.Local)
	defer c.peer.Origin.End()
	s.metrics.Accepted.Add(1)
	s.metrics.Connections.Add(1)
	defer s.metrics.Connections.Add(-1)
	c.serve()
}

// Drain asks the clients of a socket that accepts no more to go, lets their requests finish, and closes what is left when ctx ends. The
// zero AddrPort means all sockets. It returns when the connections are gone.
func (s *Server) Drain(ctx context.Context, bind netip.AddrPort) {
	var all sync.WaitGroup
	s.mu.Lock()
	for at, k := range s.sockets {
		if bind.IsValid() && at != bind {
			continue
		}
		for c := range k.conns {
			all.Go(func() { c.drain(ctx) })
		}
	}
	s.mu.Unlock()
	all.Wait()
}

// Close ends everything at once.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	sockets := s.sockets
	s.sockets = map[netip.AddrPort]*socket{}
	s.serving.Store(&map[netip.AddrPort]bool{})
	s.mu.Unlock()
	for _, k := range sockets {
		k.close()
	}
	s.accepted.Wait()
}

func (s *Server) buffer() []byte {
	b, _ := s.buffers.Get().(*[bufferSize]byte)
	return b[:]
}

func (s *Server) putBuffer(b []byte) {
	if len(b) == bufferSize {
		s.buffers.Put((*[bufferSize]byte)(b))
	}
}

// dateText is a Date field's value for one second.
type dateText struct {
	second int64
	text   []byte
}

// dateLayout is how HTTP writes times.
const dateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// date is the value of Date (RFC 9110 section 6.6.1), made once a second.
func (s *Server) date() []byte {
	now := time.Now()
	d := s.dated.Load()
	if d == nil || d.second != now.Unix() {
		d = &dateText{now.Unix(), now.UTC().AppendFormat(nil, dateLayout)}
		s.dated.Store(d)
	}
	return d.text
}

// panicked logs a fault of the handler.
func (s *Server) panicked(x *exchange, v any) {
	s.log.Error("request ended by a panic", "panic", fmt.Sprint(v), "client", x.peer.Remote, "stack", string(debug.Stack()))
}

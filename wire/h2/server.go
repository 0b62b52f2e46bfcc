// The server side of HTTP/2: which connections there are, and how they end.

package h2

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// Options configure a Server.
type Options struct {
	Handler wire.Handler
	Limits  wire.Limits
	// Log is told of faults of handlers; nil: nobody.
	Log *slog.Logger
	// Flood is told of connections that were ended because their client does one thing far too often, with one of Floods. Nil: nobody is.
	Flood func(kind string)
}

// Server serves HTTP/2 on connections that others accept. All its methods may be called concurrently.
type Server struct {
	handler wire.Handler
	lim     wire.Limits
	log     *slog.Logger
	flood   func(string)
	workers workers
	// coroutines are those that serve nothing. prompt: the handler may be called in one.
	coroutines spares[*coroutine]
	prompt     bool

	// epoch is when all times of connections begin: they are kept as nanoseconds since then.
	epoch time.Time
	// clock and date are the time as of the sweeper's last tick, some 100 ms coarse.
	clock atomic.Int64
	date  atomic.Pointer[date]

	mu     sync.Mutex
	conns  map[*conn]struct{}
	stop   chan struct{}
	closed bool
}

// NewServer makes a server. It has no goroutine of its own while it has no connections.
func NewServer(o Options) *Server {
	s := &Server{
		handler: o.Handler, lim: o.Limits.WithDefaults(), log: o.Log, flood: o.Flood, epoch: time.Now(), conns: map[*conn]struct{}{},
	}
	_, s.prompt = o.Handler.(wire.Prompt)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.flood == nil {
		s.flood = func(string) {}
	}
	return s
}

// ServeConn serves a connection until it is over, and closes it. socket is the address that the listening socket was bound to; tls is
// nil for a plain connection, otherwise c's handshake is done and has settled on h2.
func (s *Server) ServeConn(c net.Conn, socket netip.AddrPort, tls *wire.TLS) {
	s.begin(c, socket, tls, nil)()
}

// Adopt takes over a plain connection on which in was read already: what a client with prior knowledge begins with. From then on Drain and
// Close know the connection; the function that is returned serves it until it is over, and must be called.
func (s *Server) Adopt(c net.Conn, socket netip.AddrPort, in []byte) (serve func()) {
	return s.begin(c, socket, nil, in)
}

func (s *Server) begin(nc net.Conn, socket netip.AddrPort, tls *wire.TLS, in []byte) (serve func()) {
	c := newConn(s, nc, socket, tls)
	if !s.register(c) {
		return func() { _ = nc.Close() }
	}
	return func() {
		defer s.unregister(c)
		defer c.peer.Origin.End()
		s.run(c, in)
	}
}

// run serves the connection. A panic that no handler caused, a fault of the wire itself, ends this connection and no other.
func (s *Server) run(c *conn, in []byte) {
	defer func() {
		if v := recover(); v != nil {
			s.log.LogAttrs(context.Background(), slog.LevelError, "connection ended by a panic", slog.String("panic", fmt.Sprint(v)),
				slog.String("client", c.peer.Remote.String()), slog.String("stack", string(debug.Stack())))
			_ = c.nc.Close()
			c.lose(message.Shutdown)
		}
	}()
	c.serve(in)
}

// Drain lets the exchanges of a socket's connections finish, tells their clients that the connection ends, and ends idle connections. A request
// that has reached this machine, or is on its way when its client is told, is answered. When ctx ends it closes what is left. The zero AddrPort
// means all sockets. Drain returns when the connections are gone.
func (s *Server) Drain(ctx context.Context, socket netip.AddrPort) {
	// A connection that was accepted before its listener closed may turn up here a little later.
	until := s.now() + int64(time.Second)
	concerned := func(c *conn) bool { return !socket.IsValid() || c.peer.Socket == socket && c.born <= until }
	s.ending(concerned).Gracefully(ctx)
}

// Close ends all connections at once; exchanges are broken off. ServeConn then closes new ones unserved.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ending(func(*conn) bool { return true }).AtOnce()
}

func (s *Server) ending(concerned func(*conn) bool) wire.Ending[*conn] {
	return wire.Ending[*conn]{
		Left: func() []*conn { return s.connections(concerned) }, Drain: (*conn).drain, Kill: func(c *conn) { c.kill(message.Shutdown) },
	}
}

// connections lists those for which concerned is true.
func (s *Server) connections(concerned func(*conn) bool) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*conn
	for c := range s.conns {
		if concerned(c) {
			list = append(list, c)
		}
	}
	return list
}

// Active counts the connections, and the streams that are being served on them.
func (s *Server) Active() (connections, streams int) {
	list := s.connections(func(*conn) bool { return true })
	for _, c := range list {
		c.mu.Lock()
		streams += c.running
		c.mu.Unlock()
	}
	return len(list), streams
}

func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.stop == nil {
		s.stop = make(chan struct{})
		s.workers.idle.open()
		s.coroutines.open()
		s.setClock()
		go s.sweep(s.stop)
	}
	c.born = s.now()
	c.idleSince, c.unfinished = c.born, c.born
	s.conns[c] = struct{}{}
	return true
}

// unregister forgets a connection. The last one's end is the sweeper's.
func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 {
		close(s.stop)
		s.stop = nil
		s.workers.idle.close(dismiss)
		s.coroutines.close((*coroutine).finish)
	}
}

// now is the time in nanoseconds since the epoch.
func (s *Server) now() int64 { return int64(time.Since(s.epoch)) }

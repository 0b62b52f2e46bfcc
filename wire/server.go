// The server side of HTTP/1: which connections there are, and how they end.

package wire

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// Transport is how bytes get from and to a client's socket.
type Transport uint8

const (
	// Raw lives inside the callbacks of a syscall.RawConn and calls the system directly: Linux, plain connections. Where that cannot
	// be done, Portable is used.
	Raw Transport = iota
	// Portable uses net.Conn's methods alone: TLS connections and other systems.
	Portable
)

// Options configure a Server.
type Options struct {
	Handler Handler
	Limits  Limits
	// Log is told of faults of handlers; nil: nobody.
	Log       *slog.Logger
	Transport Transport
	// HTTP2 takes over a plain connection on which the client speaks HTTP/2 with prior knowledge; in is what was read. It keeps account of
	// the connection from then on, and what it returns serves it to its end, in a goroutine of its own. Nil: such clients are refused.
	HTTP2 func(c net.Conn, socket netip.AddrPort, in []byte) (serve func())
	// Over, if set, is called once for each connection that ServeConn was given, when it is closed.
	Over func()
}

// Server serves HTTP/1 on connections that others accept. All its methods may be called concurrently.
type Server struct {
	handler   Handler
	lim       Limits
	log       *slog.Logger
	transport Transport
	http2     func(net.Conn, netip.AddrPort, []byte) func()
	over      func()

	// epoch is when all times of connections begin: they are kept as nanoseconds since then.
	epoch time.Time
	// clock and date are the time as of the sweeper's last tick, some 100 ms coarse.
	clock atomic.Int64
	date  atomic.Pointer[dateField]

	mu       sync.Mutex
	lively   connSet // looked at on every tick
	resting  connSet // idle for a while: looked at now and then
	stop     chan struct{}
	sleepers *sleepers // change only while there is no connection
	draining bool
	closed   bool
}

// NewServer makes a server. It has no goroutine of its own while it has no connections.
func NewServer(o Options) *Server {
	s := &Server{handler: o.Handler, lim: o.Limits.WithDefaults(), log: o.Log, transport: o.Transport, http2: o.HTTP2, over: o.Over, epoch: time.Now()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.over == nil {
		s.over = func() {}
	}
	return s
}

// ServeConn serves a connection to its end, and closes it. It returns earlier if the connection rests or speaks HTTP/2: see Options.Over. socket is the
// address that the listening socket was bound to; tls is nil for a plain connection, otherwise c's handshake is done.
func (s *Server) ServeConn(c net.Conn, socket netip.AddrPort, tls *TLS) {
	k := newConn(s, c, socket, tls)
	defer k.peer.Origin.End()
	if !s.register(k) {
		_ = c.Close()
		s.over()
		return
	}
	s.serve(k)
}

// serve serves a connection to its end, or until it rests.
func (s *Server) serve(c *conn) {
	if s.run(c) == rests {
		return
	}
	if c.handed != nil {
		serve := s.http2(c.nc, c.peer.Socket, c.handed)
		c.giveUp()
		s.unregister(c)
		// This goroutine holds what HTTP/1 has of the connection, and has so deep a stack that it would never be halved.
		go func() {
			defer s.over()
			serve()
		}()
		return
	}
	defer s.over()
	c.close()
	s.unregister(c)
}

// run serves the connection, and says whether it is over or rests. A panic that no handler caused, a fault of the wire itself, ends this
// connection and no other; RawConn.Read unlocks the descriptor on its way out.
func (s *Server) run(k *conn) (v verdict) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		v = over
		s.log.LogAttrs(context.Background(), slog.LevelError, "connection ended by a panic", slog.String("panic", fmt.Sprint(fault)),
			slog.String("client", k.peer.Remote.String()), slog.String("stack", string(debug.Stack())))
		// What the exchange holds is in doubt: it does not go back to any pool.
		k.x, k.resets, k.handed = nil, true, nil
	}()
	return k.transport.run()
}

// Drain lets the exchanges of a socket's connections finish, tells their clients that the connection ends, and ends idle connections. A request
// that has reached this machine is answered. When ctx ends it closes what is left. The zero AddrPort means all sockets, and
// connections that are still to come. Drain returns when the connections are gone.
func (s *Server) Drain(ctx context.Context, socket netip.AddrPort) {
	all := !socket.IsValid()
	if all {
		s.mu.Lock()
		s.draining = true
		s.mu.Unlock()
	}
	// A connection that was accepted before its listener closed may turn up here a little later.
	until := s.now() + int64(time.Second)
	concerned := func(c *conn) bool { return all || c.peer.Socket == socket && c.born <= until }
	s.ending(concerned).Gracefully(ctx)
}

// Close ends all connections at once; exchanges are broken off. ServeConn then closes new ones unserved.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.ending(func(*conn) bool { return true }).AtOnce()
}

func (s *Server) ending(concerned func(*conn) bool) Ending[*conn] {
	return Ending[*conn]{
		Left: func() []*conn { return s.connections(concerned) }, Drain: (*conn).drain, Kill: func(c *conn) { c.kill(message.Shutdown) },
	}
}

// connections lists those for which concerned is true.
func (s *Server) connections(concerned func(*conn) bool) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Concat(s.lively.list, s.resting.list)
	return slices.DeleteFunc(list, func(c *conn) bool { return !concerned(c) })
}

func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.draining {
		c.closing.Store(true)
	}
	if s.stop == nil {
		s.stop = make(chan struct{})
		s.sleepers = newSleepers()
		s.setClock()
		go s.sweep(s.stop, s.sleepers)
	}
	c.born = s.now()
	c.state.Store(stateOf(phaseIdle, c.born))
	s.lively.add(c)
	return true
}

// unregister forgets a connection. The last one's end is the sweeper's.
func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.set.remove(c)
	if len(s.lively.list)+len(s.resting.list) == 0 {
		close(s.stop)
		s.stop = nil
	}
}

// rouse brings a resting connection back among those that are looked at on every tick.
func (s *Server) rouse(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.set == &s.resting {
		s.resting.remove(c)
		s.lively.add(c)
	}
	c.seldom.Store(false)
}

// now is the time in nanoseconds since the epoch.
func (s *Server) now() int64 { return int64(time.Since(s.epoch)) }

// connSet is an unordered set of connections, guarded by Server.mu.
type connSet struct{ list []*conn }

func (set *connSet) add(c *conn) {
	c.set, c.index = set, len(set.list)
	set.list = append(set.list, c)
}

func (set *connSet) remove(c *conn) {
	last := len(set.list) - 1
	set.list[c.index] = set.list[last]
	set.list[c.index].index = c.index
	set.list[last] = nil
	set.list = set.list[:last]
	c.set = nil
}

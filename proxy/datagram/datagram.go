// Package datagram carries the datagrams of UDPRoutes: it owns what comes to a UDP socket, remembers for each client (address, port, and the address that
// it has sent to) which endpoint its datagrams go to, and sends the endpoint's datagrams back, from the address that the client has sent to.
//
//	server := datagram.NewServer(datagram.Options{Listen: listeners.ListenUDP, Enter: enter, Log: log})
//	socket, err := server.Open(ctx, address)
//	go socket.Serve()   // until socket.Close
//	server.Refresh()    // after a reload: sessions of what is gone end, the others go on
//
// # A datagram, from top to bottom
//
//	raw_linux.go   a batch is read from the socket (batch_linux.go); portable.go does the same one by one
//	forward.go     its session is found, or made; it is sent on
//	session.go     which sessions there are; how they are chosen, expire, and make room
//	raw_linux.go   answers are read from all sessions' sockets that have any, and leave in one system call
//
// # Sessions
//
// Each session has a socket of its own, connected to its endpoint, so that the endpoint's answers, and the ICMP messages about it, are known to be its. A session
// is young until its client sends something after it got an answer. Only then is it sure that the client is where its datagrams claim to come from: until then it may
// be forged. Young sessions expire sooner, and make room for new ones when there are too many; a flood of forged datagrams cannot end the sessions of
// clients that are there.
package datagram

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/accesslog"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// Defaults of Options.
const (
	// DefaultIdle is what RFC 4787 (REQ-5) demands of address translators at the least.
	DefaultIdle        = 2 * time.Minute
	DefaultMaxSessions = 16384
)

// youngIdle is how long a session without proof of its client's address may be idle, and proofIdle after how much idleness even a session with it makes
// room for a new one. lastAnswers is how long an endpoint is heard that a session has left for another one.
const (
	youngIdle   = 30 * time.Second
	proofIdle   = 10 * time.Second
	lastAnswers = 5 * time.Second
)

// Options configure a Server.
type Options struct {
	// Listen opens a socket: listeners.ListenUDP.
	Listen func(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error)
	// Log is told of datagrams that are dropped. Nil: nobody is.
	Log *slog.Logger
	// AccessLog gets a line for each session that is over. Nil: there is none.
	AccessLog *accesslog.Log
	// Metrics is where the server registers its collector. Nil: it counts for nobody.
	Metrics prometheus.Registerer
	// Own reports whether this process listens on an address. A datagram that claims to come from there would be answered for ever.
	Own func(addr netip.AddrPort) bool
	// Idle is how long a session lives without a datagram; zero means DefaultIdle. MaxSessions is how many there may be; zero means
	// DefaultMaxSessions.
	Idle        time.Duration
	MaxSessions int64
	// Portable reads and writes by package net's methods also where system calls would do it for less.
	Portable bool
}

// Config is a configuration that is held.
type Config interface {
	// Datagrams gives what is served on a socket; nil: nothing. It is the same pointer for the life of the Config.
	Datagrams(bind netip.AddrPort) *Table
	// Leave lets go of it.
	Leave(shard uint32)
}

// Table is what is served on one socket: the Places that a local address is confined to first. It is immutable.
type Table struct{ Places []Place }

// Place is one listener.
type Place struct {
	// Local, if valid, is the only address of the machine whose datagrams are the listener's.
	Local netip.Addr
	// Listener identifies it across configurations.
	Listener string
	Route    *Route
}

// Upstream is what a Route needs of a backend.Backend.
type Upstream interface {
	Destination(avoid backend.Destination) (backend.Destination, error)
}

// Route says where the datagrams of a listener go. It is immutable and may be used concurrently.
type Route struct {
	// At is the rule's place in the files, for log lines.
	At     string
	Shares []Share
	// Pick returns the index of the Share that gets the next session; nil: the first.
	Pick func() int
	// Unusable says why every datagram is dropped; empty if the route works. Then Shares is not empty. Refused counts them.
	Unusable string
	Refused  *Series
}

// Share is one backendRef.
type Share struct {
	Name     string // of the backend
	Backend  Upstream
	Unusable string // why this share of the sessions is refused; Backend is nil then
	Series   *Series
}

// find returns the place of datagrams that came to a local address; nil: there is none.
func (t *Table) find(local netip.Addr) *Place {
	if t == nil {
		return nil
	}
	for i := range t.Places {
		if p := &t.Places[i]; !p.Local.IsValid() || p.Local == local {
			return p
		}
	}
	return nil
}

// Server carries datagrams. Its methods may be called concurrently.
type Server struct {
	opt     Options
	log     *slog.Logger
	metrics *metrics
	enter   func(shard uint32) Config
	// sessions counts those of all sockets. clock is the time in ticks, from 1.
	sessions atomic.Int64
	start    time.Time
	tick     time.Duration
	nextTurn atomic.Uint32

	mu      sync.Mutex
	sockets map[*Socket]struct{}
}

// NewServer makes a server without sockets. It panics if Options.Metrics has a collector of the same names already, which is a mistake of
// the program.
func NewServer(o Options) *Server {
	if o.Idle == 0 {
		o.Idle = DefaultIdle
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	s := &Server{opt: o, log: o.Log, start: time.Now(), sockets: map[*Socket]struct{}{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	// Idleness is measured in ticks: to an eighth of its length, or to a second.
	s.tick = min(max(min(o.Idle, youngIdle)/8, time.Millisecond), time.Second)
	s.metrics = newMetrics(s)
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.metrics)
	}
	return s
}

// Use says where configurations come from: enter holds the one in force, until Leave is called with the same shard. Shards are dealt to sockets, so
// that they do not fight over a counter. Use must be called once, before the first Serve.
func (s *Server) Use(enter func(shard uint32) Config) { s.enter = enter }

// now is the time in ticks.
func (s *Server) now() int64 { return int64(time.Since(s.start)/s.tick) + 1 }

// ticks is a duration in ticks, rounded up.
func (s *Server) ticks(d time.Duration) int64 { return int64((d + s.tick - 1) / s.tick) }

// Open opens a socket. Datagrams that come to it wait until Serve.
func (s *Server) Open(ctx context.Context, addr netip.AddrPort) (*Socket, error) {
	c, err := s.opt.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	k := &Socket{
		server: s, addr: addr, conn: c, shard: s.nextTurn.Add(1), sessions: map[key]*session{}, done: make(chan struct{}),
	}
	if local, ok := c.LocalAddr().(*net.UDPAddr); ok {
		if a := local.AddrPort().Addr().Unmap(); !a.IsUnspecified() {
			k.local = a
		}
		k.four = local.AddrPort().Addr().Is4()
		k.port = local.AddrPort().Port()
	}
	if k.io, err = s.transport(k); err != nil {
		_ = c.Close()
		return nil, err
	}
	s.mu.Lock()
	s.sockets[k] = struct{}{}
	s.mu.Unlock()
	return k, nil
}

// Refresh brings sessions in line with the configuration in force: those whose listener is gone end, those whose endpoint is gone find another one. Where
// nothing of this has changed it does nothing.
func (s *Server) Refresh() {
	for _, k := range s.list() {
		k.refresh()
	}
}

func (s *Server) list() []*Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Socket, 0, len(s.sockets))
	for k := range s.sockets {
		all = append(all, k)
	}
	return all
}

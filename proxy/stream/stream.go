// Package stream carries the connections of TCPRoutes and TLSRoutes: it takes a client's connection and a Route, connects to one of the Route's
// backends, and copies both ways until both are done.
//
//	server := stream.NewServer(stream.Options{Log: log, DrainTimeout: 30 * time.Second})
//	go server.Serve(stream.Connection{Client: conn, Listener: key}, route) // returns when it is over; conn is closed then
//	server.Keep(listeners)  // after a reload: those of other listeners get the drain timeout, and no others are touched
//	server.Drain(ctx)       // at the end
//
// # A connection, from top to bottom
//
//	serve.go   its way: choose by weight, connect, hand over what was read already, copy, say how it ended
//	gone.go    a client that resets its connection while a backend is dialled ends the dialling
//	relay.go   both directions, half-closes, what a failure of one means for the other
//	portable.go, raw_linux.go, splice_linux.go   one direction: by net.Conn's methods, by system calls within RawConn callbacks, by splice
//	set.go     which connections there are, and how they are made to end
//	tunnel.go  upgraded requests, between whose two connections bytes are moved in the same way
//
// Nothing waits for the client's first byte: in many protocols (MySQL, SMTP, FTP) the server speaks first.
package stream

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wicketgate/wicketgate/accesslog"
)

// DefaultDrainTimeout is how long connections of a removed listener may go on.
const DefaultDrainTimeout = 30 * time.Second

// Options configure a Server.
type Options struct {
	// Log is told of connections that fail. Nil: nobody is.
	Log *slog.Logger
	// AccessLog gets a line for each connection that is over. Nil: there is none.
	AccessLog *accesslog.Log
	// Metrics is where the server registers its collector. Nil: it counts for nobody.
	Metrics prometheus.Registerer
	// DrainTimeout is how long connections may go on once their listener was removed; zero means DefaultDrainTimeout.
	DrainTimeout time.Duration
	// Portable copies by net.Conn's methods also where system calls would do it for less.
	Portable bool
}

// Listener identifies a listener across configurations. Two that are equal are the same one to its connections.
type Listener struct {
	Bind  netip.AddrPort
	Local netip.Addr // valid where one address of a wildcard is meant
	// Name is that of the Gateway or ListenerSet and of the listener in it, with all that a connection must not outlive.
	Name string
}

// Upstream is what a Route needs of a backend.Backend.
type Upstream interface {
	Connect(ctx context.Context, client net.Conn, protocols []string) (net.Conn, netip.AddrPort, error)
}

// Route says where the connections of a listener, or of some server names on it, go. It is immutable and may be used concurrently.
type Route struct {
	// At is the rule's place in the files, for log lines.
	At     string
	Shares []Share
	// Pick returns the index of the Share that gets the next connection; nil: the first.
	Pick func() int
	// Unusable says why every connection is refused; empty if the route works. Then Shares is not empty. Refused counts them.
	Unusable string
	Refused  *Series
}

// Share is one backendRef.
type Share struct {
	Name     string // of the backend, for log lines
	Backend  Upstream
	Unusable string // why this share of the connections is refused; Backend is nil then
	Series   *Series
	// Secure: TLS is spoken to the backend, which then decides on the application's protocol; otherwise Protocol, if not empty, is what it
	// speaks (RFC 7301).
	Secure   bool
	Protocol string
}

// Connection is what a client's connection brings to Serve, which owns it from then on.
type Connection struct {
	Client   net.Conn
	Listener Listener
	// First are bytes that were read from Client already. They go to the backend before all else.
	First []byte
	// Handshake, if set, does the server's side of TLS on Client and returns what takes its place. Of the client's protocols (Offered)
	// it selects the first that is in protocols. On an error it has closed Client.
	Handshake func(protocols []string) (net.Conn, error)
	Offered   []string
	// ServerName is what the client's handshake asks for; empty without one. It is for the access log alone.
	ServerName string
	// TLS says that the connection begins with a handshake, whoever answers it.
	TLS bool
	// Release, if set, is called once when Route is not needed any more.
	Release func()
}

// Server carries connections. Its methods may be called concurrently.
type Server struct {
	log      *slog.Logger
	access   *accesslog.Log
	metrics  *metrics
	drain    time.Duration
	portable bool
	pause    time.Duration // of the sweeper

	mu      sync.Mutex
	conns   map[*conn]struct{}
	tunnels map[*conn]struct{}    // looked after by the sweeper alone
	keep    map[Listener]struct{} // nil: all, before the first Keep
	dials   dials
	closed  bool
	sweeps  bool // a sweep is to come
}

// NewServer makes a server. It has no goroutine while it has no connections. It panics if Options.Metrics has a collector of the same
// names already, which is a mistake of the program.
func NewServer(o Options) *Server {
	s := &Server{log: o.Log, access: o.AccessLog, drain: o.DrainTimeout, portable: o.Portable, pause: sweepPause}
	s.conns, s.tunnels = map[*conn]struct{}{}, map[*conn]struct{}{}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.drain == 0 {
		s.drain = DefaultDrainTimeout
	}
	s.metrics = newMetrics(s)
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.metrics)
	}
	return s
}

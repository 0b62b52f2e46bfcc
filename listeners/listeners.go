// Package listeners holds the listening sockets across configurations: a socket that is still wanted is never touched, a new one is
// opened before the configuration that needs it is served, and one that is no longer wanted is closed after.
//
//	set := listeners.New(listeners.Options{Handle: func(c net.Conn, at netip.AddrPort) { go serve(c, at) }, Log: log})
//	failed := set.Open(ctx, want) // before the new configuration is served: what could not be bound, and why
//	set.Accept()                  // once it is served: connections that came meanwhile have waited in the kernel's queue
//	gone := set.Retire(want)      // at last: these accept no more; their connections are the caller's to drain
//
// The package knows addresses and connections. It imports nothing else of this project.
package listeners

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
)

// Listen opens a listening TCP socket. An unspecified address means every interface, IPv4 and IPv6.
type Listen func(ctx context.Context, addr netip.AddrPort) (net.Listener, error)

// Socket is an open socket that a Set keeps, of whatever kind.
type Socket interface {
	// Serve takes what comes to the socket, until it is closed. It is called once, in a goroutine of its own; what came before waits.
	Serve()
	// Close closes the socket and makes Serve return. It may be called before Serve, and again.
	Close()
}

// Options say what a Set does with the connections that it accepts.
type Options struct {
	// Handle gets each accepted connection, with the address that the socket was asked for. It owns the connection from then on and must
	// close it. The accept loop calls it and waits for it: it starts a goroutine for all that takes time. In return, when Close has
	// returned, no connection is on its way to Handle.
	Handle func(c net.Conn, socket netip.AddrPort)
	Log    *slog.Logger
	// Listen replaces ListenTCP, for sockets that come from somewhere else (a service manager, a predecessor, a test).
	Listen Listen
	// Open, if set, opens the sockets instead of Listen, and they do all the rest: Handle is for accepted connections alone.
	Open func(ctx context.Context, addr netip.AddrPort) (Socket, error)
	// UDP says that Open opens sockets of UDP. They are no obstacle to TCP sockets, which other Sets have.
	UDP bool
}

// Set is the process's listening sockets. Its methods may be called concurrently; they take turns.
type Set struct {
	log     *slog.Logger
	packets bool // for advice
	listen  func(ctx context.Context, addr netip.AddrPort) (Socket, error)

	mu      sync.Mutex
	open    map[netip.AddrPort]*entry
	retired []netip.AddrPort // closed by Open to make room, not yet reported by Retire
	loops   sync.WaitGroup
}

// New makes an empty Set.
func New(o Options) *Set {
	s := &Set{log: o.Log, listen: o.Open, packets: o.UDP, open: map[netip.AddrPort]*entry{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.listen == nil {
		s.listen = acceptors(o, s.log)
	}
	return s
}

// network is what the sockets are of, for messages.
func (s *Set) network() string {
	if s.packets {
		return "udp"
	}
	return "tcp"
}

// entry is an open socket. Its Set owns it.
type entry struct {
	Socket
	serving bool
}

// acceptors opens TCP sockets whose connections go to Handle.
func acceptors(o Options, log *slog.Logger) func(context.Context, netip.AddrPort) (Socket, error) {
	listen := o.Listen
	if listen == nil {
		listen = ListenTCP
	}
	return func(ctx context.Context, addr netip.AddrPort) (Socket, error) {
		l, err := listen(ctx, addr)
		if err != nil {
			return nil, err
		}
		return &socket{addr: addr, listener: l, handle: o.Handle, log: log, done: make(chan struct{})}, nil
	}
}

// Open opens the sockets of want that are not open yet, which then take connections but do not hand them out before Accept, and keeps the
// others as they are. A socket that cannot be bound is no
// reason to fail: it is reported in the result, with an error that says what to do, and the next Open tries again.
// Sockets that are open and not in want stay open until Retire, with one exception: where one of them is
// what keeps a wanted address from being bound (a wildcard and a specific address on one port exclude each other),
// it is closed first.
func (s *Set) Open(ctx context.Context, want []netip.AddrPort) (failed map[netip.AddrPort]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, addr := range want {
		if s.open[addr] != nil || failed[addr] != nil {
			continue
		}
		l, err := s.bind(ctx, addr, want)
		if err != nil {
			if failed == nil {
				failed = map[netip.AddrPort]error{}
			}
			failed[addr] = explain(addr, err, s.packets)
			continue
		}
		s.add(addr, l)
	}
	return failed
}

// bind opens one socket, and closes sockets of ours that are in its way and no longer wanted.
func (s *Set) bind(ctx context.Context, addr netip.AddrPort, want []netip.AddrPort) (Socket, error) {
	l, err := s.listen(ctx, addr)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return l, err
	}
	made := false
	for other, sock := range s.open {
		if excludes(other, addr) && !slices.Contains(want, other) {
			sock.Close()
			delete(s.open, other)
			s.retired = append(s.retired, other)
			made = true
		}
	}
	if !made {
		return nil, err
	}
	return s.listen(ctx, addr)
}

// excludes says whether two different addresses cannot be bound at once.
func excludes(a, b netip.AddrPort) bool {
	return a.Port() == b.Port() && (a.Addr().IsUnspecified() || b.Addr().IsUnspecified())
}

func (s *Set) add(addr netip.AddrPort, l Socket) {
	s.open[addr] = &entry{Socket: l}
	s.log.Info("listening", "address", addr, "network", s.network())
}

// Accept begins to hand out the connections of the sockets that Open has opened since.
func (s *Set) Accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sock := range s.open {
		if !sock.serving {
			sock.serving = true
			s.loops.Go(sock.Serve)
		}
	}
}

// Retire closes the sockets that are not in want and returns their addresses in order. Connections that they accepted live on.
func (s *Set) Retire(want []netip.AddrPort) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.retired
	s.retired = nil
	for addr, sock := range s.open {
		if slices.Contains(want, addr) {
			continue
		}
		sock.Close()
		delete(s.open, addr)
		gone = append(gone, addr)
		s.log.Info("no longer listening", "address", addr, "network", s.network())
	}
	slices.SortFunc(gone, netip.AddrPort.Compare)
	return gone
}

// Bound returns the addresses that are open, in order.
func (s *Set) Bound() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	bound := make([]netip.AddrPort, 0, len(s.open))
	for addr := range s.open {
		bound = append(bound, addr)
	}
	slices.SortFunc(bound, netip.AddrPort.Compare)
	return bound
}

// Close closes every socket and returns when nothing accepts any more. Connections live on.
func (s *Set) Close() {
	s.Retire(nil)
	s.loops.Wait()
}

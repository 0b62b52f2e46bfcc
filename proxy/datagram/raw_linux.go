// Datagrams on Linux: two goroutines for each socket of ours, however many sessions it has.
//
// One lives within the callback of a RawConn.Read on the socket: it reads a batch with one system call, and writes each datagram to its session's socket.
// Returning false parks it until there is something to read. The other does the same on an epoll descriptor that has all the sessions' sockets: it reads
// from those that have something, up to perSession datagrams with one call, and sends what it has read, to whichever clients, with one call. So a question and its answer
// cost a fraction of a call for the client's side, and three for the endpoint's, of which one is shared.
//
// The sessions' sockets are known to epoll by edges. An edge is lost on who does not read until there is nothing left: fewer datagrams than were asked
// for mean that. A session that has more waits in again for its next turn.
//
// A session's socket is closed by the second goroutine alone, between two rounds. Anybody else who closed it might have its number given to another socket
// while an event for it is being worked on, and that socket would be read from.

package datagram

import (
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// inBatch is how many messages are read from our socket at once, outBatch how many answers leave at once, and perSession how many are read of one
	// session before it is another one's turn.
	inBatch, outBatch, perSession = 64, 64, 16
	// events is how many sessions are told of at once.
	events = 256
	// busy is after how many answers a session's socket gets large buffers, and has the kernel put datagrams together: most sessions are a question and an
	// answer, and do without these calls.
	busy = 32
	// sessionBuffer is the size of such buffers.
	sessionBuffer = 1 << 20
)

// raw is the transport of Linux.
type raw struct {
	socket   *Socket
	conn     syscall.RawConn // our socket's
	epoll    int
	file     *os.File        // of epoll, known to the runtime's poller
	polled   syscall.RawConn // the same
	fd       int             // our socket's: valid while it is open
	wildcard bool            // answers say where they come from

	mu    sync.Mutex // guards what follows; the Socket's mu may be held
	links []*rawLink // by descriptor
	dead  []*rawLink // to be closed
	ticks bool       // the deadline of file is set
	over  bool

	idle chan struct{} // closed when both goroutines have ended
}

// rawLink is a flow's socket.
type rawLink struct {
	raw     *raw
	flow    *flow
	fd      int
	name    unix.RawSockaddrInet6 // the client's, of either family
	nameLen uint32
	beside  []byte // what is said beside answers
	gso     bool   // guarded by Socket.mu
	answers int    // until the socket is made fit for many
	waits   bool   // in again
	gone    atomic.Bool
}

func (s *Server) transport(k *Socket) (transport, error) {
	if s.opt.Portable {
		return newPortable(k), nil
	}
	conn, err := k.conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epoll, true); err != nil {
		_ = unix.Close(epoll)
		return nil, os.NewSyscallError("fcntl", err)
	}
	r := &raw{socket: k, conn: conn, epoll: epoll, wildcard: !k.local.IsValid(), idle: make(chan struct{}), file: os.NewFile(uintptr(epoll), "udp-sessions")}
	if r.polled, err = r.file.SyscallConn(); err == nil {
		err = conn.Control(func(fd uintptr) {
			r.fd = int(fd)
			_ = unix.SetsockoptInt(r.fd, unix.SOL_UDP, unix.UDP_GRO, 1) // older kernels do without
		})
	}
	if err != nil {
		_ = r.file.Close()
		return nil, err
	}
	return r, nil
}

func (r *raw) run() {
	defer close(r.idle)
	var both sync.WaitGroup
	both.Go(r.takeIn)
	both.Go(r.giveBack)
	both.Wait()
}

// close waits for both goroutines: they use descriptors by number, which must not become other files' meanwhile.
func (r *raw) close(running bool) {
	r.mu.Lock()
	r.over = true
	_ = r.file.SetReadDeadline(time.Unix(1, 0))
	r.mu.Unlock()
	_ = r.socket.conn.SetDeadline(time.Unix(1, 0))
	if running {
		<-r.idle
	}
	_ = r.socket.conn.Close()
	_ = r.file.Close()
}

// wake starts the ticks.
func (r *raw) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ticks && !r.over {
		r.ticks = true
		_ = r.file.SetReadDeadline(time.Now().Add(r.socket.server.tick))
	}
}

// hurry has the second goroutine close sockets when many wait for that.
func (r *raw) hurry() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.dead)%outBatch == 0 && len(r.dead) > 0 && !r.over {
		_ = r.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// takeIn is the first goroutine.
func (r *raw) takeIn() {
	k := r.socket
	b := newBatch(inBatch, true)
	local := [16]byte{}
	if k.local.IsValid() {
		local = k.local.As16()
	}
	n := 0
	deliver := func(t *Table) {
		now := k.server.now()
		for i := range n {
			from := key{local: local}
			if !b.sender(i, &from) {
				continue
			}
			to := from.local
			segment := b.beside(i, &to)
			if r.wildcard {
				from.local = to
			}
			k.deliver(t, &from, b.bytes(i), segment, now)
		}
	}
	_ = r.conn.Read(func(fd uintptr) bool { // it fails in the end, when a deadline has been set
		for {
			var no syscall.Errno
			if n, no = b.receive(int(fd), 0, inBatch, true); no != 0 {
				if no != syscall.EAGAIN {
					k.server.log.Debug("reading datagrams", slog.Any("error", no))
				}
				return false
			}
			k.take(deliver)
			if n < inBatch || r.ended() {
				return false
			}
		}
	})
}

// open makes a session's socket.
func (r *raw) open(f *flow) (link, error) {
	to := f.dest.Addr()
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	if a := to.Addr().Unmap(); a.Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: a.As4()}
	} else if zone := to.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			address = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: uint32(i.Index)}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	l := &rawLink{raw: r, flow: f, fd: fd, gso: true}
	l.address()
	if err := unix.Connect(fd, address); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.links) <= fd {
		r.links = append(r.links, make([]*rawLink, len(r.links)+64)...)
	}
	r.links[fd] = l
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}); err != nil {
		r.links[fd] = nil
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	return l, nil
}

// address prepares what answers need: the client's name in our socket's family, and where they come from.
func (l *rawLink) address() {
	k := &l.flow.session.key
	port := uint16(networkOrder(uint16(k.port)))
	if l.raw.socket.four {
		four := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: [4]byte(k.client[12:])}
		*inet4(&l.name) = four
		l.nameLen = unix.SizeofSockaddrInet4
	} else {
		l.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: k.client, Scope_id: k.zone}
		l.nameLen = unix.SizeofSockaddrInet6
	}
	if local := k.localAddr(); l.raw.wildcard && local.IsValid() && !local.IsMulticast() {
		l.beside = appendFrom(nil, l.raw.socket.four, k.local, k.zone)
	}
}

// send implements link. mu of the Socket is held, so that the socket is open.
func (l *rawLink) send(p []byte, segment int) error {
	if segment == 0 {
		return sendOne(l.fd, p)
	}
	if l.gso {
		err := unix.Sendmsg(l.fd, p, appendSegment(nil, segment), nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if err == nil || !cannotSegment(err) {
			return err
		}
		l.gso = false // the way there does not take them
	}
	for len(p) > 0 {
		n := min(segment, len(p))
		if err := sendOne(l.fd, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func (l *rawLink) close() {
	l.gone.Store(true)
	l.raw.mu.Lock()
	defer l.raw.mu.Unlock()
	l.raw.dead = append(l.raw.dead, l)
}

// bufferDrops asks a socket how many datagrams had no room in its buffer.
func bufferDrops(c *net.UDPConn) (n uint32, ok bool) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	_ = rc.Control(func(fd uintptr) { n, ok = socketDrops(int(fd)) })
	return n, ok
}

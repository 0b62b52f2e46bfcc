// A UDP socket of ours and its sessions.

package datagram

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Socket is an open UDP socket. It implements listeners.Socket.
type Socket struct {
	server *Server
	addr   netip.AddrPort // as it was asked for
	conn   *net.UDPConn
	local  netip.Addr // invalid on a wildcard
	port   uint16
	four   bool // of family IPv4
	shard  uint32
	io     transport

	// mu guards what follows. Whoever takes in datagrams holds it for as long as a batch takes.
	mu       sync.Mutex
	table    *Table
	sessions map[key]*session
	young    queue
	proven   queue
	former   []formerFlow // by when they were replaced; some have been let go of since
	closed   bool
	serving  bool

	done chan struct{} // closed with the socket
	once sync.Once
}

// transport is how a socket's datagrams are read and written.
type transport interface {
	// run carries datagrams until the socket is closed, and gives back all that the sessions have.
	run()
	// open makes the link of a flow to its endpoint. The Socket's mu is held, as in all that concerns sessions.
	open(f *flow) (link, error)
	// wake has somebody call sweep at the next tick; hurry, at once.
	wake()
	hurry()
	// close makes run return, if it is running or will be.
	close(running bool)
}

// link is a flow's socket, connected to its endpoint. The Socket's mu is held.
type link interface {
	// send sends one datagram, or several of size segment each (the last may be shorter) where segment is not 0.
	send(p []byte, segment int) error
	close()
}

// Serve carries datagrams until Close.
func (k *Socket) Serve() {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return
	}
	k.serving = true
	k.mu.Unlock()
	k.io.run()
}

// Close closes the socket and ends its sessions.
func (k *Socket) Close() {
	k.once.Do(func() {
		close(k.done)
		k.mu.Lock()
		k.closed = true
		running := k.serving
		for _, x := range k.sessions {
			k.end(x, Closed)
		}
		k.mu.Unlock()
		k.server.mu.Lock()
		delete(k.server.sockets, k)
		k.server.mu.Unlock()
		k.io.close(running)
	})
}

// take runs f with the configuration in force and the lock.
func (k *Socket) take(f func(t *Table)) {
	c := k.server.enter(k.shard)
	defer c.Leave(k.shard)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return
	}
	t := c.Datagrams(k.addr)
	k.table = t
	f(t)
}

// refresh is Server.Refresh for one socket.
func (k *Socket) refresh() {
	c := k.server.enter(k.shard)
	defer c.Leave(k.shard)
	k.mu.Lock()
	defer k.mu.Unlock()
	t := c.Datagrams(k.addr)
	if k.closed || len(k.sessions) == 0 {
		return
	}
	for _, x := range k.sessions {
		if x.table != t {
			k.refit(x, t)
		}
	}
}

// sweep ends sessions that were idle for too long. It is called each tick while there are sessions, and reports whether some are left.
func (k *Socket) sweep() bool {
	s := k.server
	now := s.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire(&k.young, now, s.ticks(min(youngIdle, s.opt.Idle)))
	k.expire(&k.proven, now, s.ticks(s.opt.Idle))
	k.hangUp(now - s.ticks(lastAnswers))
	return len(k.sessions) > 0
}

// hangUp lets go of the flows that were replaced before a tick.
func (k *Socket) hangUp(before int64) {
	n := 0
	for ; n < len(k.former) && k.former[n].until < before; n++ {
		if f := k.former[n].flow; f.session.former == f {
			f.session.hangUp()
		}
	}
	k.former = slices.Delete(k.former, 0, n)
}

// expire ends the sessions of a queue that have been idle for more than a number of ticks. Those that only their backend has kept busy are put in
// their place first.
func (k *Socket) expire(q *queue, now, idle int64) {
	for x := q.oldest(); x != nil && now-x.queued > idle; x = q.oldest() {
		if heard := x.heard.Load(); heard > x.queued {
			q.remove(x)
			x.queued = now // from here on it is looked at again after its whole time: later than need be, never earlier
			q.add(x)
			continue
		}
		k.end(x, Expired)
	}
}

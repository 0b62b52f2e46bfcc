// Which connections there are, and how they are made to end before they are over by themselves.
//
// A connection is ended by a deadline in the past on both its sides, and its goroutines close it: a Close from elsewhere would wait for them.
// Afterwards no deadline is lifted any more. Connections of a listener that Keep does not name get the drain timeout; if a later Keep names it
// again in time, they live on.

package stream

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/dial"
)

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }

// control is what others than its own goroutine may do to a connection.
type control struct {
	mu      sync.Mutex
	client  net.Conn // as it is read and written: secured, if it is
	backend net.Conn // nil before it is connected
	cancel  context.CancelFunc
	over    bool // a deadline in the past stays
	stopped bool // over because somebody else wanted it
	raw     bool // deadlines may be used to make the directions look

	doom   *time.Timer // guarded by Server.mu
	seen   int64       // the sweeper's: bytes at its last look
	looked bool        // the sweeper's: since then both directions were made to look
	probed bool        // guarded by mu: the backend's connection has keep-alive probes
}

// secured and connected tell what else there is to interrupt; connected reports whether the connection goes on.
func (k *control) secured(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.client = c
	if k.over {
		_ = c.SetDeadline(past()) // the handshake has lifted it
	}
}

func (k *control) connected(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return false
	}
	k.backend = c
	return true
}

// interrupt wakes both directions for the last time.
func (k *control) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	k.cancel()
	k.deadline(net.Conn.SetDeadline)
}

// stop is interrupt from outside.
func (k *control) stop() {
	k.mu.Lock()
	k.stopped = true
	k.mu.Unlock()
	k.interrupt()
}

// ended reports whether the connection was stopped.
func (k *control) ended() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stopped
}

// keepAlive has the backend's connection probed. One that does not live until the sweeper comes is not worth the system calls.
func (k *control) keepAlive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.backend != nil && !k.probed {
		k.probed = true
		dial.KeepAlive(k.backend)
	}
}

// look makes both directions read once more, whether or not the poller has told them to.
func (k *control) look() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.raw && !k.over {
		k.deadline(net.Conn.SetReadDeadline)
	}
}

// deadline sets a deadline in the past on both sides. mu is held.
func (k *control) deadline(set func(net.Conn, time.Time) error) {
	_ = set(k.client, past()) // fails if it is closed already
	if k.backend != nil {
		_ = set(k.backend, past())
	}
}

// resume lifts the read deadline that look has set, and reports whether the connection goes on.
func (k *control) resume(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.over && c.SetReadDeadline(time.Time{}) == nil
}

// lookable says that look may be used.
func (k *control) lookable() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.raw = true
}

// close closes both sides: with a reset unless all went well, or never began.
func (c *conn) close(how Outcome) {
	reset := how == ClientReset || how == BackendReset || how == Drained || how == Failed
	closeConn(c.client, reset)
	if b := c.backend; b != nil {
		closeConn(b, reset)
	}
}

func closeConn(c net.Conn, reset bool) {
	if !reset {
		_ = c.Close()
		return
	}
	inner := c
	for {
		outer, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = outer.NetConn() // TLS would say goodbye, as if all were well
	}
	if l, ok := inner.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = inner.Close()
}

// add registers a connection, or reports that the server is closed.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.judge(c)
	s.sweepSoon()
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.doom != nil {
		c.doom.Stop()
	}
}

// Keep says which listeners there are. Connections of others are ended when the drain timeout has passed, unless their listener has come
// back by then.
func (s *Server) Keep(list []Listener) {
	keep := make(map[Listener]struct{}, len(list))
	for _, l := range list {
		keep[l] = struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep = keep
	for c := range s.conns {
		s.judge(c)
	}
}

// judge starts or stops the clock of a connection. mu is held.
func (s *Server) judge(c *conn) {
	_, kept := s.keep[c.in.Listener]
	switch {
	case (kept || s.keep == nil) && c.doom != nil:
		c.doom.Stop()
		c.doom = nil
	case !kept && s.keep != nil && c.doom == nil:
		c.doom = time.AfterFunc(s.drain, c.stop)
	}
}

// Drain returns when no connection is left. When ctx ends it ends those that are.
func (s *Server) Drain(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.count() > 0 {
		select {
		case <-ctx.Done():
			s.stopAll()
			return
		case <-tick.C:
		}
	}
}

// Close ends all connections at once. Serve then closes new ones.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stopAll()
}

// stopAll ends what there is and waits for it, for as long as goroutines may take to notice.
func (s *Server) stopAll() {
	for _, c := range s.list(s.conns) {
		c.stop()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for patience := time.Now().Add(time.Second); s.count() > 0 && time.Now().Before(patience); <-tick.C {
	}
}

func (s *Server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// list is a copy of a set.
func (s *Server) list(set map[*conn]struct{}) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(set))
}

// sweepPause is the time between two sweeps, of which there are none while there is no connection.
const sweepPause = 5 * time.Second

// watch has the sweeper look after a tunnel, which is none of the server's connections otherwise; unwatch ends that.
func (s *Server) watch(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnels[c] = struct{}{}
	s.sweepSoon()
}

func (s *Server) unwatch(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tunnels, c)
}

// sweepSoon sees to it that there will be a sweep. mu is held.
func (s *Server) sweepSoon() {
	if !s.sweeps {
		s.sweeps = true
		time.AfterFunc(s.pause, s.sweep)
	}
}

// sweep asks for keep-alive probes on connections that have lived until now, and has every one that has fallen silent look once at its sockets. That finds what the poller told together with something else: bytes and a
// reset that came in one edge (raw_linux.go).
func (s *Server) sweep() {
	conns := s.list(s.conns)
	for _, c := range conns {
		c.keepAlive()
	}
	for _, c := range slices.Concat(conns, s.list(s.tunnels)) {
		switch bytes := c.up.Load() + c.down.Load(); {
		case bytes != c.seen:
			c.seen, c.looked = bytes, false
		case !c.looked:
			c.looked = true
			c.look()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweeps = false
	if len(s.conns)+len(s.tunnels) > 0 {
		s.sweepSoon()
	}
}

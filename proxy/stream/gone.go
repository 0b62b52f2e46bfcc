// Clients that leave while a backend is dialled.
//
// Most dials are done in a moment, and nothing is to be started and stopped for them. So they are listed, and while there are any the server looks at the
// list now and then: whatever is still being dialled on the second look has its client watched.

package stream

import (
	"syscall"
	"time"
)

// patience is the time between two looks: a dial may take as long, or twice as long, before the client is watched.
const patience = 100 * time.Millisecond

// dials are the connections whose backends are being dialled, or were at the last look. Server.mu guards them.
type dials struct {
	fresh, older []*conn
	looks        bool // a look is to come
}

// dialling is the part of a connection that others look at meanwhile. control.mu guards it.
type dialling struct {
	over    bool
	watched chan struct{} // closed when nobody watches any more; nil: nobody did
	gone    bool          // the client; to be read after that
}

// begin lists a connection whose backend is going to be dialled.
func (s *Server) begin(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials.fresh = append(s.dials.fresh, c)
	s.lookSoon()
}

// lookSoon sees to it that there will be a look. mu is held.
func (s *Server) lookSoon() {
	if !s.dials.looks {
		s.dials.looks = true
		time.AfterFunc(patience, s.lookAtDials)
	}
}

// lookAtDials has the clients watched whose backends were being dialled at the look before.
func (s *Server) lookAtDials() {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.dials
	for _, c := range d.older {
		c.watch()
	}
	clear(d.older)
	d.fresh, d.older, d.looks = d.older[:0], d.fresh, false
	if len(d.older) > 0 {
		s.lookSoon()
	}
}

// watch looks out for a reset of the client's connection, and cancels the dial then. A client that has only closed its own direction may still want to
// hear what the backend says.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	source, ok := c.in.Client.(syscall.Conn)
	if c.dialling.over || !ok || !canSeeResets {
		return
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return
	}
	done := make(chan struct{})
	c.dialling.watched = done
	go func() {
		defer close(done)
		gone := false
		// The callback is asked at every event of the socket, and before the first.
		_ = raw.Read(func(fd uintptr) bool {
			gone = hasReset(fd)
			return gone
		})
		if gone {
			c.dialling.gone = true
			c.cancel()
		}
	}()
}

// dialled ends the watch, if there is one, waits for it, and reports whether the client has gone.
func (c *conn) dialled() (gone bool) {
	c.mu.Lock()
	c.dialling.over = true
	watched := c.dialling.watched
	c.mu.Unlock()
	if watched == nil {
		return false
	}
	_ = c.in.Client.SetReadDeadline(past())
	<-watched
	c.resume(c.in.Client)
	return c.dialling.gone
}

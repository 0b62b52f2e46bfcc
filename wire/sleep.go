// Connections that rest: a client that keeps its connection and asks for nothing is waited for without a goroutine, whose stack would be most
// of what the connection costs.
//
// The sweeper nudges a connection that has been idle for a while: the nudged bit, and a deadline in the past. Its goroutine comes out of its read, and
// either finds a request after all and serves it, or enters the socket into one epoll descriptor for all connections that rest, and ends. What then
// arrives starts a new goroutine, which begins with a read like the first one; so does whoever wants the connection to end (drain, kill, the
// keep-alive time), and finds the deadline that has passed. A connection that is asked all the time is never nudged.
//
// Example: idle since 12 s, state (idle, 12 s). At 14 s the sweeper makes it (idle, 12 s, nudged); the goroutine falls asleep. At 87 s the sweeper
// kicks it: (idle, 12 s, nudged, kicked), and wakes it: (idle, 12 s, kicked). It reads once more, finds nothing and closes.

package wire

import (
	"net"
	"syscall"
	"time"
)

// nudgesPerTick bounds how many goroutines are woken at once to end.
const nudgesPerTick = 500

// nudge asks an idle connection to rest.
func (c *conn) nudge(state int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.killed && c.state.CompareAndSwap(state, state|nudged) {
		_ = c.nc.SetDeadline(past)
	}
}

// fallAsleep leaves a connection that was nudged, and nothing else, to the sleepers. When it returns true another goroutine may have the
// connection already: the caller must not touch it.
func (c *conn) fallAsleep() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state.Load()
	if state&phaseMask != phaseIdle || state&(kicked|nudged) != nudged || c.killed || c.lastRead {
		return false
	}
	socket := descriptor(c.nc)
	if socket == nil {
		return false
	}
	_ = c.nc.SetDeadline(time.Time{})
	id, entered := c.s.sleepers.enter(c, socket)
	if entered {
		c.asleep = id
	}
	return entered
}

// wake starts a goroutine for a connection that is asleep. The caller holds mu.
func (c *conn) wake() {
	c.s.sleepers.leave(c.asleep, descriptor(c.nc))
	c.asleep = 0
	for {
		state := c.state.Load()
		if c.state.CompareAndSwap(state, state&^nudged) {
			break
		}
	}
	go c.s.serve(c)
}

// descriptor gives access to the socket at the bottom of c; nil if there is none.
func descriptor(c net.Conn) syscall.RawConn {
	for {
		if s, ok := c.(syscall.Conn); ok {
			rc, err := s.SyscallConn()
			if err != nil {
				return nil
			}
			return rc
		}
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = outer.NetConn()
	}
}

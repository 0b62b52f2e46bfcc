// Connections at rest. QUIC's own idle limit counts packets, and a client that only sends PINGs would keep its connection for ever: here a
// connection without a request for as long as connections of HTTP/1 and HTTP/2 are kept is asked to leave (RFC 9114 section 5.1).
//
// With a limit of 75 s and one request, from second 10 to second 30, the timer goes off at 75, finds 45 s of rest, and goes off again at 105.

package h3

import "time"

// watchRest begins to watch for rest. stop ends that.
func (c *conn) watchRest() (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rested = time.Now()
	c.rest = time.AfterFunc(c.s.lim.KeepAlive, c.lookAtRest)
	return func() { c.rest.Stop() }
}

// lookAtRest ends the connection if it has rested for too long, or looks again when it may have.
func (c *conn) lookAtRest() {
	c.mu.Lock()
	left := c.s.lim.KeepAlive
	if c.active == 0 {
		left -= time.Since(c.rested)
	}
	if left > 0 {
		c.rest.Reset(left)
	}
	c.mu.Unlock()
	if left <= 0 {
		c.part()
	}
}

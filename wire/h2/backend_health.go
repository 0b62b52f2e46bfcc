// The clock of a connection to a backend: idle ones are closed, silent ones are asked whether they are there.
//
// A connection that many requests share must not swallow them one after the other when its backend has gone without a word. While requests are
// under way and nothing comes, a PING is sent; if nothing follows it either, the connection is given up. A request that timed out hastens
// that. gRPC servers count PINGs and end connections that send them often, so there is at most one until a response has come, or minutes later.

package h2

import "errors"

var errNoPing = errors.New("the backend did not answer a PING")

// tick is called once in every backendTick.
func (c *BackendConn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return
	}
	c.timer.Reset(backendTick)
	c.quiet = 0
	c.silence++
	if c.heard {
		c.heard, c.silence, c.pingedAt = false, 0, 0
	}
	if c.load.Load() == 0 {
		c.rest()
		return
	}
	c.unused = 0
	switch {
	case c.pinged && c.silence > c.pingedAt+pingPatience:
		c.opt.Stats.Faults.Add(1)
		c.end(errNoPing, NoError)
	case c.silence >= pingAfter:
		c.doubt()
	}
}

// rest is a tick of a connection without streams. c.mu is held.
func (c *BackendConn) rest() {
	c.buffers = nil
	c.unused++
	if c.opt.Idle > 0 && c.unused > int(c.opt.Idle/backendTick) {
		c.end(errBackendRetired, NoError)
	}
}

// doubt asks the backend whether it is there, if it may be asked. c.mu is held.
func (c *BackendConn) doubt() {
	if c.pinged || c.failure != nil || c.probed && c.silence < c.pingedAt+pingAgain {
		return
	}
	c.pinged, c.probed, c.pingedAt = true, true, c.silence
	c.put(func(dst []byte) []byte { return AppendPing(dst, false, [8]byte{}) })
}

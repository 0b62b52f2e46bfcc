// Ending a connection gracefully (RFC 9113 section 6.8): a first GOAWAY without a last stream, and a PING behind it; when that comes back, or a
// second later, what the client sent before it knew has arrived, and a second GOAWAY names the last stream. What is under way finishes.

package h2

import "time"

// drainPing is the data of the PING behind the first GOAWAY.
var drainPing = [8]byte{'l', 'e', 'a', 'v', 'i', 'n', 'g', '!'}

// drain begins or continues to end the connection.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.s.now()
	// Whoever has just connected is about to send something.
	if !c.used && now-c.born < int64(time.Second) {
		return
	}
	c.advanceDrain(now)
}

// leave begins to end the connection, if that has not begun, because its client is better off with another.
func (c *conn) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stage == serving {
		c.advanceDrain(c.s.now())
	}
}

// advanceDrain goes to the next stage if it is time for it. The caller holds mu.
func (c *conn) advanceDrain(now int64) {
	switch c.stage {
	case serving:
		c.out = AppendGoAway(c.buffer(), MaxWindow, NoError, "")
		c.out = AppendPing(c.out, false, drainPing)
		c.stage, c.warnedAt = warned, now
		c.rests.Store(false)
		c.wake()
	case warned:
		if now-c.warnedAt > int64(roundTrip) {
			c.depart()
		}
	case leaving:
		if c.running == 0 {
			c.stopReading(errLeft)
		}
	case ended:
	}
}

// depart takes no further requests. The caller holds mu.
func (c *conn) depart() {
	c.stage = leaving
	if c.running == 0 {
		c.stopReading(errLeft) // sends the GOAWAY
		return
	}
	c.out = AppendGoAway(c.buffer(), c.last, NoError, "")
	c.wake()
}

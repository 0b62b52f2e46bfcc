// Sending to a backend: frames gather in memory while one write is under way, and leave together in the next one.
//
// One goroutine at a time sends (c.flushing). A request that finds nobody at it does it itself, without waiting for the socket: push. Everything else, and
// what the socket did not take then, is the writer's (c.due).

package h2

import (
	"runtime"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// greet puts the client's connection preface into out (RFC 9113 section 3.4), with the windows that responses get.
func (c *BackendConn) greet() {
	own := DefaultSettings()
	own.InitialWindowSize, own.MaxHeaderListSize = streamWindow, uint32(wire.BackendLimits().HeadBytes)
	c.out = own.Append(append(c.out, Preface...), false)
	c.out = AppendWindowUpdate(c.out, 0, connWindow-DefaultWindow)
	c.queued = uint64(len(c.out))
	c.flushing, c.due = true, true
}

// appendRequest puts the field block of a request into out. c.mu is held.
func (c *BackendConn) appendRequest(stream uint32, req *message.Head, expect, end bool) {
	h := *req
	h.Scheme, h.ExpectContinue = schemeHTTP, expect
	if c.opt.Secure {
		h.Scheme = schemeHTTPS
	}
	if len(h.Upgrade) > 0 {
		h.Fields = withoutKey(&req.Fields)
	}
	start := len(c.out)
	c.out = AppendBlockRoom(c.out)
	if !c.fields {
		c.fields = true
		c.out = AppendTableSizeZero(c.out)
	}
	c.out = AppendRequest(c.out, &h)
	c.out = FinishBlock(c.out, start, stream, end, int(c.peer.MaxFrameSize))
}

// The schemes, never written to. :scheme is that of the connection, which backends compare it with; what the client used is in
// X-Forwarded-Proto.
var (
	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
)

// appendTrailers puts a request's trailers into out. c.mu is held.
func (c *BackendConn) appendTrailers(stream uint32, t *message.Fields) {
	start := len(c.out)
	c.out = AppendFields(AppendBlockRoom(c.out), t)
	c.out = FinishBlock(c.out, start, stream, true, int(c.peer.MaxFrameSize))
}

// flush says that what is in out behind before is to be sent, and leaves that to whoever is at it, or to the writer. c.mu is held.
func (c *BackendConn) flush(before int) {
	c.queued += uint64(len(c.out) - before)
	if !c.flushing {
		c.flushing = true
		c.entrust()
	}
}

// entrust leaves it to the writer to send. c.mu is held.
func (c *BackendConn) entrust() {
	c.due = true
	c.wake.Signal()
}

// claim is for whoever has put something into out at before and will call push: it reports whether nobody else is at it. c.mu is held.
func (c *BackendConn) claim(before int) bool {
	c.queued += uint64(len(c.out) - before)
	mine := !c.flushing
	c.flushing = true
	return mine
}

// push sends what has gathered, if that is possible without waiting. It spares a lone request the writer, and with it a goroutine's wake-up.
// The caller has claimed that, and does not hold c.mu.
func (c *BackendConn) push() {
	p := c.gathered()
	n, err := 0, error(nil)
	if len(p) > 0 {
		n, err = c.io.TryWrite(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n < len(p) && err == nil {
		c.torn, c.tornAt = p, n
		c.entrust()
		return
	}
	if c.wrote(p, err); err == nil && len(c.out) > 0 {
		c.flushing = true
		c.entrust()
	}
}

// owe puts an answer to a frame into out, unless so much is owed already that the backend cannot be reading. c.mu is held.
func (c *BackendConn) owe(frame func(dst []byte) []byte) error {
	if len(c.out) > maxOwed {
		return &ConnError{EnhanceYourCalm, "it asks for answers and does not read them"}
	}
	c.put(frame)
	return nil
}

func (c *BackendConn) put(frame func(dst []byte) []byte) {
	if c.farewell {
		return
	}
	before := len(c.out)
	c.out = frame(c.out)
	c.flush(before)
}

// spaceLeft is how much of bodies may be put into out. c.mu is held.
func (c *BackendConn) spaceLeft() int { return maxQueued - len(c.out) - c.writing }

// write is the writer.
func (c *BackendConn) write() {
	defer c.ended.Done()
	defer c.opt.Stats.Open.Add(-1)
	defer func() { _ = c.nc.Close() }() // nobody is left who could do anything about an error
	for c.await() {
		p, at := c.torn, c.tornAt
		if c.torn = nil; p == nil {
			p, at = c.gathered(), 0
		}
		_, err := c.io.Write(p[at:])
		if !c.wroteAll(p, err) {
			return
		}
	}
}

// await waits until there is something for the writer to write, and reports false when there never will be.
func (c *BackendConn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.due && (c.failure == nil || c.flushing) {
		c.wake.Wait()
	}
	return c.due
}

// gathered takes what is in out. The caller is who flushes. Others that are about to send get their turn before, where there are any (habit.go).
func (c *BackendConn) gathered() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.yields.try() {
		before := c.queued
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		c.yields.paid(c.queued > before)
	}
	p := c.out
	c.out, c.spare = c.spare[:0], nil
	c.writing = len(p)
	c.begun = c.queued
	return p
}

// wroteAll is what follows a write of the writer's. It reports whether to go on.
func (c *BackendConn) wroteAll(p []byte, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = false
	if c.wrote(p, err); err == nil && len(c.out) > 0 {
		c.flushing, c.due = true, true
	}
	return err == nil
}

// maxSpare is the size up to which a buffer is kept.
const maxSpare = maxQueued + 64<<10

// wrote is what follows a write: nobody flushes. c.mu is held.
func (c *BackendConn) wrote(p []byte, err error) {
	c.writing, c.flushing = 0, false
	if c.failure != nil {
		c.wake.Signal() // the writer may end
	}
	if cap(p) <= maxSpare {
		c.spare = p[:0]
	}
	if err != nil {
		c.end(err, NoError)
		return
	}
	c.unblock()
}

// unblock lets the uploads try again that wait for the connection. c.mu is held.
func (c *BackendConn) unblock() {
	for i, s := range c.blocked {
		c.blocked[i] = nil
		s.blocked = false
		signal(s.grant)
	}
	c.blocked = c.blocked[:0]
}

// dismiss says goodbye and lets the writer end. What is in out is not sent any more: its requests were told that they were not, and are perhaps sent
// elsewhere. c.mu is held.
func (c *BackendConn) dismiss(code ErrCode) {
	if c.settled { // before that, it is the preface
		c.out = c.out[:0]
	}
	c.put(func(dst []byte) []byte { return AppendGoAway(dst, 0, code, "") })
	c.farewell = true
	_ = c.nc.SetWriteDeadline(time.Now().Add(dismissTime)) // the connection is given up anyway
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
	c.wake.Signal()
}

// signal wakes whoever waits on a channel that holds one.
func signal(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

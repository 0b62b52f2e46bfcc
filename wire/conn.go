// One connection from a client: its loop from bytes in hand to served requests, the same on every transport, and what other
// goroutines (the sweeper, Drain, Close) may do to it.
//
// A connection is in one phase at a time, kept with the time it began in one atomic word. Whoever wants it to end early sets the
// kicked bit by compare-and-swap and moves a deadline into the past, both under mu; the connection's own goroutine swaps
// the word when a phase ends and finds the bit, so a kick is never lost and never hits a later phase. A nudge works like a kick, and asks for
// less: see sleep.go.

package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// The phases.
const (
	phaseIdle    = iota // between requests, nothing in hand
	phaseHead           // part of a request head is in hand
	phaseServing        // the handler is at work
	phaseWriting        // the client does not take what is written to it
	phaseLinger         // reading what nobody wants, so that the client gets its answer
	phaseTunnel         // upgraded
	phaseMask    = 7
	kicked       = 8
	nudged       = 16
	stateShift   = 5
)

func stateOf(phase, since int64) int64 { return since<<stateShift | phase }

// long ago: a deadline that has passed.
var past = time.Unix(1, 0)

// verdict is what becomes of a connection after the bytes in hand were looked at.
type verdict uint8

const (
	park  verdict = iota // read more
	leave                // the request in hand needs blocking reads: leave the callback, then serve
	over                 // close
	rests                // left to the sleepers: not to be touched any more
)

// conn is one connection. What has no lock and is not atomic belongs to the goroutine of ServeConn. What every request needs comes first: see exchange.
type conn struct {
	s         *Server
	nc        net.Conn
	transport transport
	// x is the exchange at work or the one whose head is being received; nil while nothing is in hand.
	x       *exchange
	state   atomic.Int64
	closing atomic.Bool // no further request after the one at work
	used    atomic.Bool // a request was served
	seldom  atomic.Bool // in Server.resting
	whole   atomic.Bool // nothing of the request at work is still to be read
	done    atomic.Bool // the connection is being closed
	// lastRead: what is not there now will not be waited for.
	lastRead bool
	// lingers and resets say how the connection is to be closed.
	lingers, resets bool

	mu     sync.Mutex
	killed bool   // guarded by mu, as are the next two
	asleep uint64 // among the sleepers, by this name; 0: some goroutine serves the connection
	watch  watch

	peer Peer
	born int64
	// handed is what was read of a connection that is HTTP/2's; else nil.
	handed []byte

	probed int64    // the state in which the sweeper has looked for a FIN; its own
	set    *connSet // guarded by Server.mu
	index  int
}

func newConn(s *Server, nc net.Conn, socket netip.AddrPort, tls *TLS) *conn {
	c := &conn{s: s, nc: nc, peer: NewPeer(nc, socket, tls)}
	if s.transport == Raw {
		c.transport = newRaw(c)
	}
	if c.transport == nil {
		c.transport = newPortable(c)
	}
	return c
}

// received takes n bytes more, which the transport has put behind those in hand, and serves the requests that are complete.
func (c *conn) received(n int) verdict {
	x := c.x
	if x.n == 0 {
		x.arrived = c.s.now()
	}
	x.n += n
	if !x.worthParsing(n) {
		return park
	}
	return c.advance()
}

// advance serves the complete requests in hand.
func (c *conn) advance() verdict {
	for c.x != nil {
		x := c.x
		if x.n == 0 {
			c.rest()
			break
		}
		complete, err := x.parse()
		if err != nil {
			switch {
			case c.prefaced():
			case c.foreign():
				c.ended(err)
			default:
				c.refuse(err)
			}
			return over
		}
		if !complete {
			c.awaitHead()
			break
		}
		if c.transport.inside() && x.mustBlock() {
			return leave
		}
		if !c.serve() {
			return over
		}
	}
	return park
}

// preface is what of HTTP/2's connection preface looks like a request line (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n"

// prefaced reports whether a fresh plain connection begins with HTTP/2, and is to be handed over. It is asked about what is no valid request,
// so that HTTP/1 pays nothing.
func (c *conn) prefaced() bool {
	x := c.x
	if c.s.http2 == nil || c.peer.TLS != nil || c.used.Load() || !bytes.HasPrefix(x.buf[:x.n], []byte(preface)) {
		return false
	}
	c.handed = bytes.Clone(x.buf[:x.n])
	return true
}

// foreign reports whether a fresh connection begins with what looks like a request line of something that is not HTTP: it is not answered in
// HTTP.
func (c *conn) foreign() bool {
	line, _, complete := bytes.Cut(c.x.buf[:c.x.n], crlf)
	return complete && !c.used.Load() && bytes.Count(line, []byte{' '}) >= 2 && !bytes.Contains(bytes.ToUpper(line), []byte("HTTP"))
}

// giveUp lets go of a connection that was handed over.
func (c *conn) giveUp() {
	c.begin(phaseTunnel, c.s.clock.Load())
	c.x.release()
	c.x = nil
	c.done.Store(true)
}

// rest gives the buffer back between requests.
func (c *conn) rest() {
	c.x.release()
	c.x = nil
	c.begin(phaseIdle, c.s.clock.Load())
}

// awaitHead notes when the head that is incomplete began, and makes room for the rest of it.
func (c *conn) awaitHead() {
	if c.state.Load()&phaseMask != phaseHead {
		if c.begin(phaseHead, c.x.arrived) {
			c.lastRead = false // a request is on its way: it gets the time that any other has
		}
		c.rouse()
	}
	c.x.makeRoom()
}

// serve runs the handler on the request in hand, and reports whether the connection goes on.
func (c *conn) serve() bool {
	x := c.x
	if !c.used.Load() {
		c.used.Store(true)
	}
	if c.whole.Load() != x.body.complete {
		c.whole.Store(x.body.complete)
	}
	if c.begin(phaseServing, x.arrived) {
		c.closing.Store(true)
	}
	c.rouse()
	c.handle(x)
	return x.finish()
}

// rouse tells the sweeper that a connection that rested is at work again.
func (c *conn) rouse() {
	if c.seldom.Load() {
		c.s.rouse(c)
	}
}

// handle shields the connection from a handler that panics.
func (c *conn) handle(x *exchange) {
	defer func() {
		if v := recover(); v != nil {
			x.panicked(v)
		}
	}()
	c.s.handler.Serve(x)
}

// begin enters a phase and reports whether the one that ends was kicked; then the deadlines are lifted again.
func (c *conn) begin(phase, since int64) bool {
	ended := c.state.Swap(stateOf(phase, since))
	if ended&(kicked|nudged) == 0 {
		return false
	}
	c.liftDeadlines()
	return ended&kicked != 0
}

// liftDeadlines undoes a kick, but not a kill.
func (c *conn) liftDeadlines() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.killed {
		_ = c.nc.SetDeadline(time.Time{})
	}
}

// kick ends the phase that state is, if it still is. The caller holds mu.
func (c *conn) kick(state int64) {
	if state&kicked == 0 && c.state.CompareAndSwap(state, state|kicked) {
		_ = c.nc.SetDeadline(past)
		if c.asleep != 0 {
			c.wake()
		}
	}
}

// drain ends the connection when it is idle, now or after the exchange at work.
func (c *conn) drain() {
	c.closing.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state.Load()
	if state&phaseMask != phaseIdle {
		return
	}
	// Whoever has just connected is about to send something.
	if !c.used.Load() && c.s.now()-c.born < int64(time.Second) {
		return
	}
	c.kick(state)
}

// kill breaks off whatever the connection is doing.
func (c *conn) kill(r message.Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	c.closing.Store(true)
	_ = c.nc.SetDeadline(past)
	c.watch.breakOff(r)
	if c.asleep != 0 {
		c.wake()
	}
}

// interrupted is called when waiting for the next bytes failed, and says whether to read on (park): after a kick, a request that has just arrived
// must not be lost, so one last read is made before the connection is closed.
func (c *conn) interrupted(err error) verdict {
	state := c.state.Load()
	phase := state & phaseMask
	c.mu.Lock()
	killed := c.killed
	c.mu.Unlock()
	switch {
	case killed:
		return over
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.ended(err)
		return over
	case phase == phaseHead && c.transport.hungUp():
		c.ended(io.EOF)
		return over
	case phase == phaseHead:
		c.begin(phaseLinger, c.s.now())
		c.refuse(&ParseError{408, "request head did not arrive in time"})
		return over
	case c.lastRead:
		return over
	}
	if state&(kicked|nudged) == nudged {
		if c.fallAsleep() {
			return rests
		}
		c.liftDeadlines()
		return park
	}
	c.liftDeadlines()
	c.closing.Store(true)
	c.lastRead = true
	return park
}

// ended is called when the client has closed its side, or the connection broke, between requests or within a head.
func (c *conn) ended(err error) {
	if c.x == nil || c.x.n == 0 {
		return
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.s.handler.Refused(&c.peer, 0, err)
}

// acquire returns the exchange that takes the next bytes.
func (c *conn) acquire() *exchange {
	if c.x == nil {
		c.x = newExchange(c)
	}
	return c.x
}

// relinquish gives the exchange back if it holds nothing.
func (c *conn) relinquish() {
	if c.x != nil && c.x.n == 0 {
		c.x.release()
		c.x = nil
	}
}

// close closes the connection, outside of any callback.
func (c *conn) close() {
	if c.lingers && !c.resets {
		c.linger()
	}
	if c.x != nil {
		c.x.release()
		c.x = nil
	}
	nc := c.nc
	if c.resets {
		// Without close_notify and without FIN nobody takes what arrived for the whole.
		if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
			nc = t.NetConn()
		}
		if t, ok := nc.(interface{ SetLinger(int) error }); ok {
			_ = t.SetLinger(0)
		}
	}
	c.transport.stop()
	c.done.Store(true)
	_ = nc.Close()
}

const (
	// lingerBytes and lingerTime bound what is read only to be dropped.
	lingerBytes = 256 << 10
	lingerTime  = time.Second
)

// linger closes our side and reads on for a little while: to close while bytes are arriving would reset the connection and could
// destroy the answer before the client has read it (RFC 9112 section 9.6).
func (c *conn) linger() {
	t, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || t.CloseWrite() != nil {
		return
	}
	c.begin(phaseLinger, c.s.now())
	for total := 0; total < lingerBytes; {
		b, n, err := c.transport.read(bufferSize)
		putBuffer(b)
		if total += n; err != nil {
			return
		}
	}
}

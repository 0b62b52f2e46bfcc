// One HTTP/2 connection to a backend, which many requests share (RFC 9113): h2c by prior knowledge, or TLS on which ALPN chose h2.
//
// Three kinds of goroutines meet here, and c.mu is what they meet under:
//
//	the reader    takes in what the backend sends, a whole read at a time, and puts it where streams find it (backend_read.go)
//	the writer    sends what has gathered in c.out in one write, and gathers again meanwhile (backend_write.go)
//	streams       those of the requests: one that sends the head, as far as the socket takes it without waiting, and waits for the
//	              response (backend_stream.go, backend_body.go), and one that sends the body if that is not all in hand (backend_upload.go)
//
// Nobody waits for anything but memory while holding c.mu, and nobody but the writer ever waits for the socket: so a client that takes
// its response slowly holds up no other stream. What it leaves lying is bounded by its stream's window; the connection's
// window is granted as bytes arrive, whoever they are for. What a backend can make us hold or do is bounded in backend_limits.go.
//
// An example of what passes for two requests whose heads leave together:
//
//	request A  HEADERS(1)  -.            .- reader: HEADERS(3) DATA(3) HEADERS(1) in one read: wakes both
//	request B  HEADERS(3)  -+- one write -'

package h2

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/wire"
)

// BackendOptions are the settings of a connection to a backend.
type BackendOptions struct {
	// Secure: the connection is TLS, which :scheme says.
	Secure bool
	// Idle is how long the connection is kept while it has no stream. Zero: until Close.
	Idle time.Duration
	// Retired is called once, by any goroutine, when the connection takes no further streams. It must not wait, nor call the
	// connection's methods but Reserve.
	Retired func(*BackendConn)
	// Stats counts what happens. It may be shared by connections; nil: nobody counts.
	Stats *BackendStats
}

// BackendStats count what happens on connections to backends. They may be read while they are counted.
type BackendStats struct {
	Streams   atomic.Uint64 // requests sent
	Refused   atomic.Uint64 // of them, those that the backend said it did not process: GOAWAY, REFUSED_STREAM
	Resets    atomic.Uint64 // streams that the backend reset otherwise
	Cancelled atomic.Uint64 // streams that we reset
	GoAways   atomic.Uint64 // connections that backends ended by GOAWAY
	Malformed atomic.Uint64 // responses that broke a rule of HTTP/2
	Open      atomic.Int64  // connections that are there now
	Active    atomic.Int64  // streams that are there now
	Faults    atomic.Uint64 // connections ended because the backend broke the protocol, flooded us, or did not answer a PING
}

// BackendConn is a connection to a backend. All methods may be called concurrently.
type BackendConn struct {
	nc    net.Conn
	io    wire.IO
	opt   BackendOptions
	ready chan struct{} // closed by the backend's SETTINGS, or by failure
	load  atomic.Int32  // streams reserved
	room  atomic.Int32  // how many may be; 0 when the connection is retired
	ended sync.WaitGroup

	mu      sync.Mutex
	streams map[uint32]*BackendStream
	idle    []*BackendStream // to be used again
	nextID  uint32
	failure error // why the connection is over
	settled bool  // the backend's SETTINGS came
	peer    Settings
	retired bool
	lastID  uint32 // of the backend's GOAWAY; the highest stream that it may have processed

	// Sending: backend_write.go.
	out      []byte
	spare    []byte
	wake     sync.Cond // the writer's
	flushing bool      // somebody is at sending what is in out
	due      bool      // it is the writer
	torn     []byte    // what the socket did not take at once, from tornAt on; the writer's once due
	tornAt   int
	begun    uint64           // bytes that were handed to the socket
	queued   uint64           // bytes that were ever put into out
	writing  int              // bytes that are being written
	window   SendWindow       // the connection's
	blocked  []*BackendStream // streams whose upload waits for the connection
	fields   bool             // a field block was sent
	yields   habit            // to others before a write
	farewell bool             // nothing is put into out any more

	// Receiving: backend_read.go.
	blocks  *BlockReader
	arrived ReceiveWindow    // the connection's
	quiet   int              // frames that brought nothing, since the last one that did and the last tick
	touched []*BackendStream // to be woken after this read
	riders  []*coroutine     // of them
	buffers [][]byte         // for content

	// The clock: backend_health.go.
	timer    *time.Timer
	heard    bool // something was read since the last tick
	silence  int  // ticks without
	unused   int  // ticks without a stream
	pinged   bool // a PING is not answered yet
	probed   bool // a PING was sent since a stream last got anything
	pingedAt int  // silence when the latest was sent
}

var (
	errBackendClosed  = errors.New("the backend closed the connection")
	errBackendRetired = errors.New("the connection takes no more requests")
	errNotHTTP2       = errors.New("the backend does not speak HTTP/2")
)

// NewBackendConn takes over a fresh connection and begins to speak HTTP/2 on it. It is closed by Close, by itself when it was idle for too long,
// and when it is retired and its last stream has ended.
func NewBackendConn(nc net.Conn, o BackendOptions) *BackendConn {
	if o.Stats == nil {
		o.Stats = new(BackendStats)
	}
	c := &BackendConn{
		nc: nc, io: wire.NewIO(nc), opt: o, ready: make(chan struct{}), streams: make(map[uint32]*BackendStream), nextID: 1, lastID: maxStreamID,
		peer: DefaultSettings(), window: DefaultWindow, arrived: NewReceiveWindow(connWindow),
	}
	c.wake.L = &c.mu
	limits := wire.BackendLimits()
	c.blocks = NewBlockReader(&limits, DefaultHeaderSize)
	c.greet()
	c.timer = time.AfterFunc(backendTick, c.tick)
	c.ended.Add(2)
	o.Stats.Open.Add(1)
	go c.read()
	go c.write()
	return c
}

// Ready waits until the backend has said what it is ready for, or done is closed. Only then Reserve succeeds. What does not speak HTTP/2 is an
// error here, before any request was sent.
func (c *BackendConn) Ready(done <-chan struct{}) error {
	select {
	case <-c.ready:
	case <-done:
		return errors.New("the backend sent no HTTP/2 SETTINGS in time: does it speak HTTP/2?")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// Load is the number of streams in use.
func (c *BackendConn) Load() int { return int(c.load.Load()) }

// Room is how many streams there may be; 0 for a connection that takes no more.
func (c *BackendConn) Room() int { return int(c.room.Load()) }

// Reserve takes a stream for Do, or reports that there is none left.
func (c *BackendConn) Reserve() bool {
	for {
		n := c.load.Load()
		if n >= c.room.Load() {
			return false
		}
		if c.load.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Unreserve gives back what Reserve took and Do did not use.
func (c *BackendConn) Unreserve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
}

// leave gives a stream back. c.mu is held.
func (c *BackendConn) leave() {
	if c.load.Add(-1) == 0 && c.retired {
		c.end(errBackendRetired, NoError)
	}
}

// Connects reports whether the backend takes extended CONNECT, by which WebSockets are opened (RFC 8441).
func (c *BackendConn) Connects() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.EnableConnect
}

// Retire lets the streams end and takes no more. The connection closes with the last of them.
func (c *BackendConn) Retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire()
	if c.load.Load() == 0 {
		c.end(errBackendRetired, NoError)
	}
}

// retire: c.mu is held.
func (c *BackendConn) retire() {
	if c.retired {
		return
	}
	c.retired = true
	c.room.Store(0)
	if c.opt.Retired != nil {
		c.opt.Retired(c)
	}
}

// Close breaks everything off and waits for the connection's goroutines.
func (c *BackendConn) Close() {
	c.mu.Lock()
	c.end(wire.ErrShutdown, NoError)
	c.mu.Unlock()
	c.ended.Wait()
}

// end is the end of the connection: all its streams fail. The backend is told if there is a way. c.mu is held.
func (c *BackendConn) end(why error, code ErrCode) {
	if c.failure != nil {
		return
	}
	c.failure = why
	c.retire()
	c.timer.Stop()
	if !c.settled {
		close(c.ready)
	}
	for _, s := range c.streams {
		c.strand(s, why)
	}
	c.dismiss(code)
}

// strand fails a stream because the connection is over.
func (c *BackendConn) strand(s *BackendStream, why error) {
	switch {
	case s.received: // all of the response is here
		signal(s.grant)
	case s.mark >= c.begun:
		s.fail(&wire.BackendError{Kind: wire.BackendStale, Err: fmt.Errorf("before the request was sent: %w", why)})
	default:
		s.fail(&wire.BackendError{Kind: wire.BackendBroken, Err: why})
	}
}

// fault ends the connection because of what the backend did. c.mu is held.
func (c *BackendConn) fault(err error) {
	c.opt.Stats.Faults.Add(1)
	code := ProtocolError
	if e, ok := errors.AsType[*ConnError](err); ok {
		code = e.Code
	}
	if !c.settled {
		err = fmt.Errorf("%w: %w", errNotHTTP2, err)
	}
	c.end(err, code)
}

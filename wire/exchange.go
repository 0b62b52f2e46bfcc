// One request and its response on a connection: its memory, and its life between the bytes of the head and the next request.

package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// headBuffer is room for the head, and body, of a usual request. Larger heads get more. It is no power of two: the beginnings of many such buffers
// would compete for the same lines of the processor's caches.
const headBuffer = 18 << 10

// exchange implements Exchange. It is pooled together with the buffer that its head points into, so that a connection that waits
// for a request holds neither. One that has become a tunnel, which may last for days, gives the buffer up and keeps a copy of the head.
//
// While a request waits for its backend, others push what it has in the processor's caches out of them: what is needed afterwards stands
// together, in the first two lines of 64 bytes.
type exchange struct {
	c *conn
	// buf[:n] has been received; buf[:end] is this request's head and what was in hand of its body, the rest belongs to the next. Between exchanges,
	// too, there is a buffer, unless that became too large or was given up.
	buf     []byte
	n, end  int
	parsed  int   // n when parse was tried last
	arrived int64 // when the first byte was read

	framing   Framing
	out       []byte // the response's head and small pieces of its body
	written   int64
	minor     uint8 // head.Minor
	toHEAD    bool  // the method is HEAD
	bare      bool  // the request came without a body: nobody but the handler's goroutine has to do with the exchange
	answered  bool  // Respond, Tunnel or Abort was called
	aborted   bool
	keep      bool // the connection goes on
	watched   bool // c.watch was used
	responded bool // a final response has begun

	head    message.Head
	body    requestBody
	outMu   sync.Mutex // orders an interim 100, sent by whoever reads the body, before the response
	expects bool       // the client waits for a 100
}

var (
	exchanges   = sync.Pool{New: func() any { return new(exchange) }}
	headBuffers = sync.Pool{New: func() any { return new([headBuffer]byte) }}
)

func newExchange(c *conn) *exchange {
	x := exchanges.Get().(*exchange)
	if x.buf == nil {
		x.buf = headBuffers.Get().(*[headBuffer]byte)[:]
	}
	x.c, x.n = c, 0
	x.renew()
	return x
}

// renew forgets the request and keeps what is in hand.
func (x *exchange) renew() {
	x.end, x.parsed = 0, 0
	x.written = 0
	x.answered, x.aborted, x.keep, x.watched = false, false, false, false
	x.expects, x.responded = false, false
}

func (x *exchange) release() {
	if !x.bare {
		x.body.release()
	}
	if len(x.buf) != headBuffer {
		x.head.Reset() // it keeps alive what it points to; parse resets it anyway
		x.buf = nil
	}
	x.c = nil
	if cap(x.out) > 2*gather {
		x.out = nil
	}
	exchanges.Put(x)
}

// shed gives up all memory that the request came in, except what its head says. What follows on the connection is not the exchange's to read any more.
func (x *exchange) shed() {
	if !x.bare {
		return // somebody may be reading the body
	}
	x.head.CopyTo(&x.head)
	if len(x.buf) == headBuffer {
		headBuffers.Put((*[headBuffer]byte)(x.buf))
	}
	x.buf, x.out, x.n, x.end = nil, nil, 0, 0
}

// space is where the next bytes go; never empty.
func (x *exchange) space() []byte { return x.buf[x.n:] }

// makeRoom makes sure that there is space.
func (x *exchange) makeRoom() {
	if x.n == len(x.buf) {
		x.buf = append(x.buf, make([]byte, len(x.buf))...)
	}
}

// worthParsing reports whether the last n bytes can have completed a line or exceeded a limit: a head that arrives byte by byte is not
// parsed for each. A full buffer always is, since it must get room, or be refused, before the next read.
func (x *exchange) worthParsing(n int) bool {
	return x.n == n || x.n == len(x.buf) || x.n-x.parsed >= 1<<10 || bytes.IndexByte(x.buf[x.n-n:x.n], '\n') >= 0
}

// The schemes, never written to.
var (
	schemeHTTP  = []byte("http")
	schemeHTTPS = []byte("https")
)

// parse reports whether a whole request head is in hand; then the request can be served.
func (x *exchange) parse() (bool, error) {
	x.parsed = x.n
	n, f, err := ParseRequestHead(x.buf[:x.n], &x.head, &x.c.s.lim)
	if n == 0 || err != nil {
		return false, err
	}
	x.framing = f
	x.minor, x.toHEAD, x.bare = uint8(x.head.Minor), string(x.head.Method) == "HEAD", f.Body == BodyNone
	x.head.Scheme = schemeHTTP // whatever an absolute-form target claims
	if x.c.peer.TLS != nil {
		x.head.Scheme = schemeHTTPS
	}
	used, err := x.body.begin(x, f, x.buf[n:x.n])
	x.end = n + used
	x.expects = x.head.ExpectContinue && used == 0 && !x.body.complete
	return true, err
}

// mustBlock reports whether serving the request may mean to wait for more bytes of its connection.
func (x *exchange) mustBlock() bool { return !x.body.complete || len(x.head.Upgrade) > 0 }

// finish ends the exchange after the handler has returned, and reports whether the connection goes on.
func (x *exchange) finish() bool {
	c := x.c
	gone := x.watched && c.endWatch()
	if !x.answered {
		c.s.log.LogAttrs(context.Background(), slog.LevelError, "handler gave no response", slog.String("method", string(x.head.Method)))
		_ = x.Respond(&message.Head{Status: 500}, nil)
	}
	complete := x.bare || x.finishBody(gone)
	if x.aborted || gone {
		return false
	}
	if !x.keep {
		c.lingers = !complete || x.n > x.end
		return false
	}
	rest := x.buf[x.end:x.n]
	if extra := x.body.extra; !x.bare && len(extra) > 0 { // then nothing else was left
		for len(x.buf) < len(extra) {
			x.buf = append(x.buf, make([]byte, len(x.buf))...)
		}
		rest = extra
	}
	x.n = copy(x.buf, rest)
	if !x.bare {
		x.body.release()
	}
	x.renew()
	if x.n > 0 {
		x.arrived = c.s.now()
	}
	return true
}

// finishBody ends the reading of the request's body, takes in what is left of it if the connection is to go on, and reports whether all of it was
// received.
func (x *exchange) finishBody(gone bool) bool {
	b := &x.body
	b.abandon()
	if !b.complete && !x.aborted && !gone {
		x.keep = x.keep && b.drain()
	}
	return b.complete
}

// panicked ends an exchange whose handler panicked with v.
func (x *exchange) panicked(v any) {
	x.c.s.log.LogAttrs(context.Background(), slog.LevelError, "handler panicked", slog.String("panic", fmt.Sprint(v)),
		slog.String("stack", string(debug.Stack())))
	if !x.responded {
		x.answered = false
		return // finish answers
	}
	x.abort()
}

// abort makes sure that the client does not take what it got for a complete response.
func (x *exchange) abort() {
	x.answered, x.aborted, x.keep = true, true, false
}

var errStalled = errors.New("client takes nothing any more: write timed out")

func (x *exchange) Request() *message.Head { return &x.head }

func (x *exchange) Body() message.Body {
	if x.framing.Body == BodyNone || x.framing.Body == BodyLength && x.framing.Length == 0 {
		return nil
	}
	return &x.body
}

func (x *exchange) Peer() *Peer        { return &x.c.peer }
func (x *exchange) Arrived() time.Time { return x.c.s.epoch.Add(time.Duration(x.arrived)) }
func (x *exchange) Written() int64     { return x.written }

func (x *exchange) Abort(message.Reason) {
	if !x.answered || x.responded {
		x.abort()
	}
}

func (x *exchange) Watch(k Canceller) {
	x.watched = true
	x.c.mu.Lock()
	x.c.watch.set(k)
	x.c.mu.Unlock()
}

func (x *exchange) Context() context.Context {
	x.watched = true
	x.c.mu.Lock()
	defer x.c.mu.Unlock()
	return x.c.watch.context()
}

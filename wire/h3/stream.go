// One request: reading its head, and the wire.Exchange that the handler gets.

package h3

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// bufferSize is that of the buffer that a request is read through while it lasts.
const bufferSize = 16 << 10

// endWait is how long the end of a request may take that by its head has no content: most clients send it in the packet of the head, some
// in the next. Whoever takes longer is taken at their word: content follows.
const endWait = 50 * time.Millisecond

// exchange is a request stream. It implements wire.Exchange, and is recycled within its connection.
type exchange struct {
	c       *conn
	stream  *quic.Stream
	peer    wire.Peer // with a Cache that outlives the request
	arrived time.Time

	in       reader
	block    []byte // a field section as it came
	fields   decoder
	assemble h2.RequestAssembler
	head     message.Head
	body     requestBody
	key      [h2.WebSocketKeySize]byte // of a WebSocket's handshake, made here

	out      []byte
	outMu    sync.Mutex // held while an interim response is written: the goroutine that reads the body may do so, too
	answered bool       // Respond, Tunnel or Abort was called
	final    bool       // the final response has begun; guarded by outMu
	expects  bool       // the client waits for 100; guarded by outMu
	written  int64
	broke    atomic.Bool // by what the client sent

	watchMu  sync.Mutex
	watching wire.Canceller
	gone     bool
	unwatch  func() bool

	ctx    context.Context
	cancel context.CancelFunc
}

var _ wire.Exchange = (*exchange)(nil)

// serve reads a request from the stream and has it answered. It reports whether it came to nothing because of what the client sent.
func (x *exchange) serve(s *quic.Stream) (broke bool) {
	x.stream, x.arrived = s, time.Now()
	x.in = reader{src: s, buf: x.c.s.buffer()}
	defer x.recycle()
	err := x.readHead()
	var answer *wire.ParseError
	switch {
	case err == nil:
	case errors.As(err, &answer):
		x.refuse(answer)
		return false
	default:
		x.fail(err)
		if broken, ok := errors.AsType[*StreamError](err); ok {
			x.c.s.handler.Refused(&x.peer, 0, broken)
		}
		return true
	}
	if x.c.s.early && !x.c.awaitHandshake(&x.head) {
		reset(s, RequestRejected)
		return false
	}
	x.handle()
	if !x.answered {
		reset(s, InternalError)
	}
	x.Watch(nil)
	x.body.finish()
	return x.broke.Load()
}

// handle calls the handler. Its faults end this request and no other.
func (x *exchange) handle() {
	defer func() {
		if v := recover(); v != nil {
			x.c.s.panicked(x, v)
			x.answered = true
			reset(x.stream, InternalError)
		}
	}()
	x.c.s.handler.Serve(x)
}

// readHead reads the request's head, up to the limits. An error is a *StreamError, a *ConnError, a *wire.ParseError or the stream's own.
func (x *exchange) readHead() error {
	lim := &x.c.s.lim
	_ = x.stream.SetReadDeadline(x.arrived.Add(lim.HeadTime)) // fails never
	if err := x.findHead(); err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return &wire.ParseError{Status: 408, Why: "request head took too long"}
		}
		return err
	}
	if err := x.endsSoon(); err != nil {
		return err
	}
	_ = x.stream.SetReadDeadline(time.Time{})
	x.assemble.Begin(&x.head)
	why := x.fields.fields(x.assemble.Add)
	if why != "" {
		return &StreamError{MessageError, why}
	}
	end := x.in.ended()
	why, err := x.assemble.End(end, lim)
	if why != "" {
		return &StreamError{MessageError, why}
	}
	if err != nil {
		return err
	}
	x.head.Scheme = schemeHTTPS // whatever the client claims: that is what it uses
	x.expects = x.head.ExpectContinue
	if err := x.body.begin(x, end); err != nil {
		return err
	}
	if len(x.head.Upgrade) > 0 {
		x.handshake()
	}
	return nil
}

var schemeHTTPS = []byte("https") // never written to

// findHead reads and decodes the first HEADERS frame.
func (x *exchange) findHead() error {
	lim := &x.c.s.lim
	for {
		typ, err := x.in.next()
		switch {
		case errors.Is(err, io.EOF):
			return &StreamError{RequestIncomplete, "stream ends before a request"}
		case err != nil:
			return err
		case typ == frameHeaders && x.in.left > uint64(lim.HeadBytes):
			return &wire.ParseError{Status: 431, Why: "request head is too large"}
		case typ == frameHeaders:
			if x.block, err = x.in.payload(x.block[:0]); err != nil {
				return err
			}
			x.fields.maxBytes, x.fields.maxFields = lim.HeadBytes, lim.Fields+pseudoFields
			large, err := x.fields.decode(x.block)
			if large {
				return &wire.ParseError{Status: 431, Why: "request head is too large or has too many fields"}
			}
			return err
		case known(typ):
			return &ConnError{FrameUnexpected, "request begins with another frame than HEADERS"}
		}
		if err := x.pass(); err != nil {
			return err
		}
	}
}

// pass drops the payload of a frame that has no meaning here.
func (x *exchange) pass() error {
	if err := x.c.charge(floodOther); err != nil {
		return err
	}
	return x.in.skip()
}

// pseudoFields is how many pseudo-fields a request may have besides its fields.
const pseudoFields = 5

// known reports whether a frame has a meaning, so that it cannot be passed over where it does not belong.
func known(typ uint64) bool {
	return typ <= frameSettings || typ == framePushPromise || typ == frameGoAway || typ == frameMaxPushID || reservedFrame(typ)
}

// endsSoon gives the end of a request without content a moment to arrive behind its head, so that it is not forwarded as one with content
// of unknown length.
func (x *exchange) endsSoon() error {
	if x.in.eof || x.in.r < x.in.w || x.hasContent() {
		return nil
	}
	_ = x.stream.SetReadDeadline(time.Now().Add(x.c.s.endWait))
	if err := x.in.fill(); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// hasContent guesses by the fields whether content follows: it has a length, or a type where the method is one with content. A tunnel has some.
func (x *exchange) hasContent() bool {
	method, announced, typed := "", false, false
	x.fields.fields(func(name, value []byte) string {
		switch string(name) {
		case ":method":
			method = string(value)
		case "content-length":
			announced = string(value) != "0"
		case "content-type", "expect":
			typed = true
		}
		return ""
	})
	switch method {
	case "GET", "HEAD", "DELETE", "OPTIONS", "TRACE":
		return announced
	}
	return announced || typed || method == "CONNECT"
}

// refuse answers a request that the handler does not get to see.
func (x *exchange) refuse(why *wire.ParseError) {
	_ = x.stream.SetReadDeadline(time.Time{})
	x.stream.CancelRead(quic.StreamErrorCode(NoError))
	h, text := why.Answer()
	status := why.Status
	if x.Respond(h, &text) != nil {
		status = 0
	}
	x.c.s.handler.Refused(&x.peer, status, why)
}

// recycle gives back what the request held. Nobody else uses the exchange any more.
func (x *exchange) recycle() {
	if x.cancel != nil {
		x.cancel()
	}
	x.c.s.putBuffer(x.in.buf)
	c, peer, block, out, head, fields, assemble := x.c, x.peer, x.block[:0], x.out[:0], x.head, x.fields, x.assemble
	if cap(block) > keptBytes || cap(out) > keptBytes || cap(fields.memory) > keptBytes {
		block, out, fields = nil, nil, decoder{}
	}
	head.Reset()
	next := &exchange{c: c, peer: peer, block: block, out: out, head: head, fields: fields, assemble: assemble}
	c.put(next)
}

// keptBytes is how much memory of one kind a recycled exchange may keep.
const keptBytes = 4 << 10

func (x *exchange) Request() *message.Head { return &x.head }
func (x *exchange) Peer() *wire.Peer       { return &x.peer }
func (x *exchange) Arrived() time.Time     { return x.arrived }
func (x *exchange) Written() int64         { return x.written }

func (x *exchange) Body() message.Body {
	if x.head.Length == message.LengthNone || x.head.Length == 0 {
		return nil
	}
	return &x.body
}

func (x *exchange) Context() context.Context {
	if x.ctx == nil {
		x.ctx, x.cancel = context.WithCancel(x.stream.Context())
	}
	return x.ctx
}

func (x *exchange) Abort(r message.Reason) {
	x.answered = true
	code := InternalError
	if r == message.ClientGone || r == message.Shutdown {
		code = RequestCancelled
	}
	reset(x.stream, code)
}

func (x *exchange) Watch(c wire.Canceller) {
	x.watchMu.Lock()
	defer x.watchMu.Unlock()
	x.watching = c
	switch {
	case c == nil:
		if x.unwatch != nil {
			x.unwatch()
			x.unwatch = nil
		}
	case x.gone:
		c.Cancel(message.ClientGone)
	case x.unwatch == nil:
		// The context of a stream ends when its client does not want the response any more, or the connection is gone.
		x.unwatch = context.AfterFunc(x.stream.Context(), x.left)
	}
}

// left is called when the client has left.
func (x *exchange) left() {
	x.watchMu.Lock()
	defer x.watchMu.Unlock()
	x.gone = true
	if x.watching != nil {
		x.watching.Cancel(message.ClientGone)
	}
}

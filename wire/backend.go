// One HTTP/1.1 connection to a backend: a request at a time, and its response.
//
// Two promises rule this file and its siblings (backend_*.go). No request is sent on a connection that has unread bytes or an end waiting: the
// transport looks before it writes. And a response ends up with the request that asked for it, or nowhere: a connection is fit for another
// request only if the last exchange ended exactly where its framing said, in both directions; in every other case Finish closes it.
//
// The goroutine that calls Do reads the response. A request body that is not all in hand is sent by a goroutine of its own (backend_upload.go),
// so that a backend may answer before it has read everything.

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// BackendFailure says how far an exchange with a backend got.
type BackendFailure uint8

// The kinds of failures.
const (
	// BackendStale: the connection was closed, or had bytes on it that nobody asked for. Nothing was sent.
	BackendStale BackendFailure = iota
	// BackendBroken: closed or reset before the response was complete, or what came is no response.
	BackendBroken
	// BackendTimeout: the deadline passed.
	BackendTimeout
	// BackendCancelled: Cancel was called, or the client could not be sent an interim response.
	BackendCancelled
	// BackendRequest: the request's body broke off, was malformed, or was not as long as its head said.
	BackendRequest
	// BackendRefused: the backend said that it has not processed the request and will not (HTTP/2: GOAWAY, REFUSED_STREAM).
	BackendRefused
)

// BackendError is the failure of an exchange. The connection is closed already when Do returns one.
type BackendError struct {
	Kind BackendFailure
	// Answered: bytes of a response had come, so the backend has seen the request.
	Answered bool
	// Consumed: reading the request's body was begun, so it cannot be sent again.
	Consumed bool
	Err      error
}

func (e *BackendError) Error() string { return e.Err.Error() }
func (e *BackendError) Unwrap() error { return e.Err }

var (
	errStale  = errors.New("the connection was closed, or had bytes waiting, before the request")
	errClosed = errors.New("closed before the response was complete")
	errReason = [...]error{
		message.ClientGone: errors.New("the client has left"),
		message.Timeout:    errors.New("a timeout ran out"),
		message.Shutdown:   errors.New("shutting down"),
	}
	errCancelled = errors.New("broken off")
)

// States of BackendConn.state: what Cancel may still do, and what it did.
const (
	backendIdle    uint32 = iota // no exchange: Cancel comes too late
	backendBusy                  // an exchange that can be cancelled
	backendRequest               // cancelled because the request's body failed
	backendCancel                // cancelled; the message.Reason is added
)

// maxInterim is how many interim responses one request may get. Well-behaved backends send a handful.
const maxInterim = 64

// backendLimits are never written to.
var backendLimits = BackendLimits()

// BackendLimits bound the heads of responses. Backends are given more fields than clients are.
func BackendLimits() Limits { return Limits{HeadBytes: 64 << 10, Fields: 200}.WithDefaults() }

// backendIO is how bytes come and go. There are two: raw system calls on the poller (Linux), and net.Conn's methods.
type backendIO interface {
	// quiet reports whether nothing waits to be read, or leaves that to start.
	quiet() bool
	// start sends what it can of out at once, or nothing if something waits to be read (errStale). It returns how much that was, and has
	// released out if it was all. With wait it may then go on to read into in before it returns.
	start(in *inbox, out *outbox, wait bool) (int, error)
	// fill reads into in, at least one byte; at the end it returns io.EOF. The box gives up its memory while nothing is in it.
	fill(in *inbox) error
	// relay waits for bytes, writes them to w, and returns how many.
	relay(w io.Writer) (int, error)
}

// BackendConn is a connection to a backend. One goroutine at a time uses it; Cancel may come from any.
type BackendConn struct {
	conn  net.Conn
	io    backendIO
	state atomic.Uint32

	// Of the exchange that is going on. What every exchange needs after it has waited stands together: see exchange.
	timed   bool // a deadline is set on conn
	excess  bool // bytes followed the end of the response
	broken  bool // the connection is of no more use
	x       Exchange
	in      inbox
	framing Framing
	upload  *upload
	body    backendBody
	out     outbox
	duplex  *backendDuplex
	head    []byte

	closed func() // told of the connection's end, once
}

// NewBackendConn takes over a fresh connection. portable makes it use c's own methods where the raw transport would be available.
func NewBackendConn(c net.Conn, portable bool) *BackendConn {
	b := &BackendConn{conn: c}
	b.body.c = b
	if !portable {
		b.io = newRawBackend(c)
	}
	if b.io == nil {
		b.io = newPortableBackend(c)
	}
	return b
}

// OnClose has f called once, when the connection is closed.
func (c *BackendConn) OnClose(f func()) { c.closed = f }

// Do sends a request and waits for the head of its response, which it stores in res: valid until Finish. Interim responses go to x, and so does
// the wish to be told when its client leaves; x may be nil. The whole exchange ends at deadline, if it is not zero.
//
// A body that is all in hand is not consumed. Any other is consumed by a goroutine of Do's until it ends, fails or Finish is called;
// Finish calls its Stop while that goroutine may be in Next.
//
// When Do fails the connection is closed, and nothing of this exchange goes on.
func (c *BackendConn) Do(x Exchange, req *message.Head, body message.Body, deadline time.Time, res *message.Head) *BackendError {
	c.x, c.excess, c.broken, c.in.total = nil, false, false, 0
	up, err := compose(&c.out, req, body)
	if err != nil {
		c.Close()
		return &BackendError{Kind: BackendRequest, Err: err}
	}
	if !c.io.quiet() {
		return c.fail(errStale, true)
	}
	if c.timed = !deadline.IsZero(); c.timed {
		_ = c.conn.SetDeadline(deadline) // if it fails, so does what follows
	}
	c.state.Store(backendBusy)
	if x != nil {
		c.x = x
		x.Watch(c)
	}
	total, toHEAD := len(c.out.bytes), string(req.Method) == "HEAD"
	sent, err := c.io.start(&c.in, &c.out, up == nil)
	if err != nil {
		return c.fail(err, sent == 0)
	}
	if sent < total && up == nil {
		up = &upload{} // the socket is full: the rest goes while the response is awaited
	}
	if up != nil {
		c.upload = up
		up.begin(c, sent)
	}
	if err := c.awaitHead(req, res, toHEAD); err != nil {
		return c.fail(err, false)
	}
	return nil
}

// Body returns the response's body, or nil if there is none.
func (c *BackendConn) Body() message.Body {
	if c.framing.Body == BodyNone {
		return nil
	}
	return &c.body
}

// Duplex returns the connection as two byte streams if the response was 101, else nil.
func (c *BackendConn) Duplex() Duplex {
	if c.duplex == nil {
		return nil
	}
	return c.duplex
}

// Cancel breaks the exchange off, if one is going on: whatever waits on the connection returns an error.
func (c *BackendConn) Cancel(why message.Reason) { c.cancel(backendCancel + uint32(why)) }

func (c *BackendConn) cancel(state uint32) {
	if c.state.CompareAndSwap(backendBusy, state) {
		_ = c.conn.SetDeadline(past)
	}
}

// Excess reports whether the connection was closed because bytes followed the end of the response.
func (c *BackendConn) Excess() bool { return c.excess }

// Finish ends the exchange and reports whether the connection is fit for another one. If not, it is closed.
func (c *BackendConn) Finish() bool {
	if c.x != nil {
		c.x.Watch(nil)
		c.x = nil
	}
	c.excess = c.in.len() > 0 && c.body.done && c.duplex == nil
	ok := c.upload.settled() && c.body.done && !c.excess && !c.broken && c.framing.KeepAlive
	if !c.state.CompareAndSwap(backendBusy, backendIdle) || !ok {
		c.Close()
		return false
	}
	if c.timed {
		c.timed = false
		if c.conn.SetDeadline(time.Time{}) != nil {
			c.Close()
			return false
		}
	}
	c.reset()
	return true
}

// Close ends the connection and whatever goes on on it, and waits for that.
func (c *BackendConn) Close() {
	c.state.Store(backendIdle)
	if c.upload != nil {
		_ = c.conn.SetDeadline(past)
		c.upload.halt()
	}
	_ = c.conn.Close() // it is given up; there is nobody who could do anything about an error
	if c.closed != nil {
		c.closed()
		c.closed = nil
	}
	c.reset()
}

func (c *BackendConn) reset() {
	c.upload, c.duplex = nil, nil
	c.in.release()
	c.out.release()
	c.body.reset()
	if cap(c.head) > maxKeptHead {
		c.head = nil
	}
}

// maxKeptHead is the size up to which memory for heads stays with an idle connection.
const maxKeptHead = 4 << 10

// fail closes the connection and says why the exchange failed. unsent says that nothing of the request left.
func (c *BackendConn) fail(err error, unsent bool) *BackendError {
	f := c.classify(err)
	f.Answered = c.in.total > 0
	f.Consumed = c.upload != nil && c.upload.body != nil
	if f.Kind == BackendBroken && unsent {
		f.Kind = BackendStale
	}
	if c.x != nil {
		c.x.Watch(nil)
		c.x = nil
	}
	c.Close()
	c.in.total = 0
	return f
}

// classify finds the reason behind an error of this connection: a wait that was cancelled returns the error of a deadline.
func (c *BackendConn) classify(err error) *BackendError {
	c.broken = true
	if known, ok := errors.AsType[*BackendError](err); ok {
		return known
	}
	switch state := c.state.Load(); {
	case state == backendRequest:
		return &BackendError{Kind: BackendRequest, Err: c.upload.err()}
	case state >= backendCancel:
		why := errCancelled
		reason := message.Reason(state - backendCancel)
		if int(reason) < len(errReason) && errReason[reason] != nil {
			why = errReason[reason]
		}
		if reason == message.Timeout {
			return &BackendError{Kind: BackendTimeout, Err: why}
		}
		return &BackendError{Kind: BackendCancelled, Err: why}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &BackendError{Kind: BackendTimeout, Err: errReason[message.Timeout]}
	case errors.Is(err, errStale):
		return &BackendError{Kind: BackendStale, Err: err}
	}
	return &BackendError{Kind: BackendBroken, Err: err}
}

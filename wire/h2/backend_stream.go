// One request to a backend and its response: a stream.

package h2

import (
	"errors"
	"fmt"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// BackendStream is an exchange on a BackendConn. The goroutine that called Do uses it; Cancel may come from any. It is used again for another
// exchange after Finish.
type BackendStream struct {
	c    *BackendConn
	x    wire.Exchange
	body backendBody
	up   backendUpload

	// What follows is guarded by c.mu.
	id       uint32
	mark     uint64        // bytes that had been put into c.out before its head: it has not left while c.begun is no higher
	window   SendWindow    // for the request's body
	arriving ReceiveWindow // of the response's
	blocked  bool          // in c.blocked
	toHEAD   bool
	connect  bool // extended CONNECT

	interims []interim
	passed   int // interim responses so far
	head     message.Head
	memory   []byte // that head points into
	headed   bool   // head is that of the final response
	left     int64  // of the body, if content-length said how long it is; else negative
	content  []byte // received and not yet taken
	trailers message.Fields
	trailing []byte // that trailers point into
	received bool   // END_STREAM came
	sent     bool   // END_STREAM was put into c.out
	reset    bool   // the backend knows that the stream is over, or was told so
	failure  *wire.BackendError
	rider    *coroutine // what waits for the response; nil: a goroutine, at news
	urgent   bool       // the failure comes before what is in content

	news    chan struct{} // something changed for who waits for the response; holds one
	grant   chan struct{} // something changed for who sends the body; holds one
	touched bool          // in c.touched; of the reader
	timer   *time.Timer
	until   time.Time // the deadline; zero: none
}

// interim is a 1xx response with the memory that it points into.
type interim struct {
	head   message.Head
	memory []byte
}

var (
	errDeadline  = errors.New("a timeout ran out")
	errGone      = errors.New("the client has left")
	errShutdown  = errors.New("shutting down")
	errCancelled = errors.New("broken off")
)

// Do sends a request on a stream that was reserved and waits for the head of the response, which it stores in res: valid until Finish. What
// wire.BackendConn.Do says of x, body and deadline holds here as well, and so does its classification of failures; but a failure
// ends the stream alone. res.Status is 101 if a WebSocket was opened.
func (c *BackendConn) Do(x wire.Exchange, req *message.Head, body message.Body, deadline time.Time, res *message.Head) (*BackendStream, *wire.BackendError) {
	p, all, err := inHand(req, body)
	if err != nil {
		c.Unreserve()
		return nil, &wire.BackendError{Kind: wire.BackendRequest, Err: err}
	}
	// Everything is asked of the client's side before c.mu is held: Cancel is called with the client's connection locked, and takes c.mu.
	var trailers *message.Fields
	if all && body != nil {
		trailers = body.Trailers()
	}
	s, mine, failure := c.open(riderOf(x), req, body, p, all, trailers, deadline)
	if failure != nil {
		return nil, failure
	}
	if mine {
		c.push()
	}
	if s.x = x; x != nil {
		x.Watch(s)
	}
	if s.up.body != nil {
		wire.Block(x)
		s.up.begin()
	}
	if failure := s.awaitHead(res); failure != nil {
		s.up.halt()
		f := *failure // the stream's own may be used again
		f.Consumed = s.up.asked()
		s.Finish()
		return nil, &f
	}
	if s.body.tunnel {
		s.unbound(req, res)
	}
	return s, nil
}

// open puts the head, and what there is of the body, into c.out. mine says that the caller is to push.
func (c *BackendConn) open(
	rider *coroutine, req *message.Head, body message.Body, p []byte, all bool, trailers *message.Fields, deadline time.Time,
) (s *BackendStream, mine bool, failure *wire.BackendError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil || c.retired {
		c.leave()
		why := c.failure
		if why == nil {
			why = errBackendRetired
		}
		return nil, false, &wire.BackendError{Kind: wire.BackendStale, Err: why}
	}
	s = c.stream()
	s.rider = rider
	s.id = c.nextID
	if c.nextID += 2; c.nextID > maxStreamID {
		c.retire()
	}
	c.streams[s.id] = s
	s.mark = c.queued
	s.window, s.arriving = SendWindow(c.peer.InitialWindowSize), NewReceiveWindow(streamWindow)
	s.toHEAD = string(req.Method) == "HEAD"
	s.connect = len(req.Upgrade) > 0
	s.setDeadline(deadline)
	c.opt.Stats.Streams.Add(1)
	c.opt.Stats.Active.Add(1)
	c.quiet = 0
	before := len(c.out)
	s.compose(req, body, p, all, trailers)
	return s, c.claim(before), nil
}

// riderOf returns the coroutine that serves x, if one does: it is what Do was called in.
func riderOf(x wire.Exchange) *coroutine {
	if of, ok := x.(*stream); ok {
		return of.coroutine
	}
	return nil
}

// stream returns one that is not in use. c.mu is held.
func (c *BackendConn) stream() *BackendStream {
	if n := len(c.idle); n > 0 {
		s := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return s
	}
	s := &BackendStream{c: c, news: make(chan struct{}, 1), grant: make(chan struct{}, 1)}
	s.body.s, s.up.s = s, s
	return s
}

// setDeadline: c.mu is held.
func (s *BackendStream) setDeadline(t time.Time) {
	s.until = t
	switch {
	case t.IsZero():
	case s.timer == nil:
		s.timer = time.AfterFunc(time.Until(t), s.expire)
	default:
		s.timer.Reset(time.Until(t))
	}
}

// expire is called by the timer, perhaps late, when the stream is in use for another exchange already.
func (s *BackendStream) expire() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.until.IsZero() || time.Now().Before(s.until) {
		return
	}
	s.breakOff(&wire.BackendError{Kind: wire.BackendTimeout, Err: errDeadline})
	if !s.c.heard {
		s.c.doubt()
	}
}

// Cancel breaks the exchange off, if it is not complete: whatever waits for it returns an error.
func (s *BackendStream) Cancel(why message.Reason) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	f := &wire.BackendError{Kind: wire.BackendCancelled, Err: errCancelled}
	switch why {
	case message.Timeout:
		f.Kind, f.Err = wire.BackendTimeout, errDeadline
	case message.ClientGone:
		f.Err = errGone
	case message.Shutdown:
		f.Err = errShutdown
	}
	s.breakOff(f)
}

// breakOff fails the stream for a reason on our side. c.mu is held.
func (s *BackendStream) breakOff(f *wire.BackendError) {
	if s.failure == nil || !s.urgent {
		s.failure, s.urgent = nil, true
		s.fail(f)
	}
}

// fail makes f the outcome, unless the stream has one already. c.mu is held.
func (s *BackendStream) fail(f *wire.BackendError) {
	if s.failure != nil {
		return
	}
	f.Answered = f.Answered || s.headed || s.passed > 0
	s.failure = f
	s.tell()
	signal(s.grant)
}

// awaitHead waits for the head of the final response.
func (s *BackendStream) awaitHead(res *message.Head) *wire.BackendError {
	c := s.c
	for {
		c.mu.Lock()
		switch {
		case len(s.interims) > 0 && s.failure == nil:
			next := s.interims[0]
			s.interims = s.interims[1:]
			c.mu.Unlock()
			if f := s.inform(&next.head); f != nil {
				return f
			}
			continue
		case s.failure != nil && !s.received:
			defer c.mu.Unlock()
			return s.failure
		case s.headed:
			defer c.mu.Unlock()
			*res, s.head = s.head, *res
			s.up.answered()
			s.body.begin(res)
			return nil
		}
		c.mu.Unlock()
		s.await()
	}
}

// await waits for news, or for no reason.
func (s *BackendStream) await() {
	if s.rider != nil {
		s.rider.wait()
		return
	}
	<-s.news
}

// tell says to who waits for the response that there is something. c.mu is held.
func (s *BackendStream) tell() {
	if s.rider != nil {
		s.rider.wake(false)
		return
	}
	signal(s.news)
}

// inform passes an interim response on.
func (s *BackendStream) inform(h *message.Head) *wire.BackendError {
	if h.Status == 100 {
		s.up.open() // the client's own 100 is sent by its wire when the body is asked for
		return nil
	}
	if s.x != nil {
		if err := s.x.Inform(h); err != nil {
			return &wire.BackendError{Kind: wire.BackendCancelled, Answered: true, Err: fmt.Errorf("passing on an interim response: %w", err)}
		}
	}
	return nil
}

// Body returns the response's body, or nil if there is none.
func (s *BackendStream) Body() message.Body {
	if s.body.none {
		return nil
	}
	return &s.body
}

// Duplex returns the stream as two byte streams if a WebSocket was opened, else nil.
func (s *BackendStream) Duplex() wire.Duplex {
	if !s.body.tunnel {
		return nil
	}
	return (*backendTunnel)(s)
}

// Finish ends the exchange. What is not complete of it is broken off; the connection and its other streams go on.
func (s *BackendStream) Finish() {
	if s.x != nil {
		s.x.Watch(nil)
		s.x = nil
	}
	s.up.halt()
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.timer != nil && !s.until.IsZero() {
		s.timer.Stop()
	}
	if !s.sent || !s.received {
		s.abandon(Cancel)
	}
	delete(c.streams, s.id)
	c.opt.Stats.Active.Add(-1)
	s.forget()
	c.idle = append(c.idle, s)
	c.leave()
}

// abandon tells the backend that the stream is over, if it does not know. c.mu is held.
func (s *BackendStream) abandon(code ErrCode) {
	if s.reset || s.c.failure != nil {
		return
	}
	s.reset = true
	s.c.opt.Stats.Cancelled.Add(1)
	s.c.put(func(dst []byte) []byte { return AppendResetStream(dst, s.id, code) })
}

// maxKept is the size up to which memory stays with a stream that is not in use.
const maxKept = 4 << 10

// forget makes the stream ready for another exchange. c.mu is held.
func (s *BackendStream) forget() {
	s.until = time.Time{}
	s.interims, s.passed = nil, 0
	s.head.Reset()
	s.trailers.Reset()
	if cap(s.memory) > maxKept {
		s.memory = nil
	}
	if cap(s.trailing) > maxKept {
		s.trailing = nil
	}
	s.headed, s.received, s.sent, s.reset, s.urgent = false, false, false, false, false
	s.failure, s.rider = nil, nil
	s.body.forget()
	s.up.forget()
	drain(s.news)
	drain(s.grant)
}

func drain(wake chan struct{}) {
	select {
	case <-wake:
	default:
	}
}

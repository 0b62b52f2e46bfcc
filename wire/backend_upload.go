// Sending a request: its head with as much of the body as is in hand in one write, and the rest by a goroutine of its own.
//
// A backend may answer before it has the whole body. The upload goes on for as long as the response does, since both may stream. It is stopped when
// the response is over, when writing fails, and at once when the response is an error that announces the end of the connection: then the
// backend does not want the rest (RFC 9112 section 9.5). A connection whose upload was stopped is closed.
//
// Expect: 100-continue is passed on: the body is not asked for, and so the client gets no 100, before the backend has sent its own, or has
// kept silent for a second (RFC 9110 section 10.1.1). A backend that refuses by the head alone spares the client the upload.

package wire

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// expectWait is how long a backend may take to answer an expectation before the body is sent regardless.
const expectWait = time.Second

// Gate is what the body of a request that expects 100-continue waits at (RFC 9110 section 10.1.1): closing it lets the body through. A nil Gate is
// no gate.
type Gate chan struct{}

// Await waits for the backend to ask for the body, but not for ever. It reports whether the body may be sent: false if stopped was closed first.
func (g Gate) Await(stopped <-chan struct{}) bool {
	if g == nil {
		return true
	}
	timer := time.NewTimer(expectWait)
	defer timer.Stop()
	select {
	case <-g:
	case <-timer.C:
	case <-stopped:
		return false
	}
	return true
}

// chunkRoom is what framing adds to a piece of a chunked body at most: its size line, its end, and the last chunk.
const chunkRoom = 16 + 2 + 5

// compose writes the request's head to out, and behind it what is in hand of the body if there is room. It returns what is to send the rest, or nil
// if there is none. It consumes nothing.
func compose(out *outbox, req *message.Head, body message.Body) (*upload, error) {
	if body == nil || req.Length == message.LengthNone || req.Length == 0 {
		if body == nil && req.Length > 0 {
			return nil, errors.New("the request's body is missing")
		}
		composeHead(out, req)
		return nil, nil
	}
	p, all := body.InHand()
	if err := checkLength(req.Length, int64(len(p)), all); err != nil {
		return nil, err
	}
	expect := req.ExpectContinue && len(p) == 0 && !all
	if req.ExpectContinue && !expect {
		req.ExpectContinue = false
		defer func() { req.ExpectContinue = true }()
	}
	dst := AppendRequestHead(out.open(), req, true)
	chunked := req.Length == message.LengthUnknown
	up := &upload{body: body, chunked: chunked, left: req.Length}
	if expect {
		up.gate = make(Gate)
	}
	if cap(dst)-len(dst) < len(p)+chunkRoom {
		p, all = nil, false
	}
	dst = appendPiece(dst, p, chunked)
	switch {
	case !all:
		up.skip = len(p)
	case chunked:
		dst, up = AppendLastChunk(dst, body.Trailers()), nil
	default:
		up = nil
	}
	out.bytes = dst
	return up, nil
}

// composeHead writes the head of a request without content to out.
func composeHead(out *outbox, req *message.Head) {
	expect := req.ExpectContinue
	req.ExpectContinue = false
	out.bytes = AppendRequestHead(out.open(), req, true)
	req.ExpectContinue = expect
	if req.Length == message.LengthUnknown {
		out.bytes = AppendLastChunk(out.bytes, nil)
	}
}

// checkLength refuses a body that is known to be longer, or shorter, than the head says.
func checkLength(want, got int64, all bool) error {
	if want >= 0 && (got > want || all && got < want) {
		return fmt.Errorf("the request's body is not %d bytes long as its head says", want)
	}
	return nil
}

// appendPiece appends content, framed as a chunk if the body is chunked.
func appendPiece(dst, p []byte, chunked bool) []byte {
	if !chunked || len(p) == 0 {
		return append(dst, p...)
	}
	dst = append(AppendChunkHead(dst, len(p)), p...)
	return append(dst, '\r', '\n')
}

// upload is the sending of what did not leave with the first write. A nil upload is complete.
type upload struct {
	c       *BackendConn
	body    message.Body // nil: only what is left in the connection's outbox
	chunked bool
	left    int64       // bytes of a body of known length that Next has not given yet
	skip    int         // bytes that Next will give and that were sent already
	gate    Gate        // closed by the backend's 100; nil if it is not waited for
	opened  bool        // the gate; of the goroutine that reads the response
	asked   atomic.Bool // the body was asked for

	stopped chan struct{}
	stop    sync.Once
	ended   chan struct{} // closed when the goroutine has ended
	last    atomic.Bool   // what is being written is the last of it
	all     bool          // everything was sent; valid after ended
	failure atomic.Pointer[error]
}

// begin starts the goroutine. sent bytes of the connection's outbox are out already.
func (u *upload) begin(c *BackendConn, sent int) {
	u.c = c
	u.stopped, u.ended = make(chan struct{}), make(chan struct{})
	go u.run(sent)
}

func (u *upload) run(sent int) {
	defer close(u.ended)
	defer u.giveUp()
	u.last.Store(u.body == nil)
	if rest := u.c.out.bytes; sent < len(rest) {
		if !u.send(rest[sent:]) {
			return
		}
	}
	u.c.out.release()
	if u.body == nil {
		u.all = true
		return
	}
	if !u.gate.Await(u.stopped) {
		return
	}
	u.asked.Store(true)
	if err := u.pump(); err != nil {
		u.failure.Store(&err)
		u.c.cancel(backendRequest)
	}
}

// giveUp tells whoever provides the body that the rest is not wanted, if there is one.
func (u *upload) giveUp() {
	if !u.all && u.body != nil {
		u.body.Stop(message.Drain)
	}
}

// pump sends the body. It returns an error if the body is at fault. A backend that does not take it is no error here: its response, or the
// lack of one, decides.
func (u *upload) pump() error {
	for {
		p, err := u.body.Next()
		if u.halted() {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("reading the request's body: %w", err)
		}
		if u.left >= 0 {
			if u.left -= int64(len(p)); u.left < 0 {
				return errors.New("the request's body is longer than its head says")
			}
			u.last.Store(u.left == 0)
		}
		skip := min(u.skip, len(p))
		u.skip -= skip
		if p = p[skip:]; len(p) > 0 && !u.write(p) {
			return nil
		}
	}
}

// finish ends the body on the wire.
func (u *upload) finish() error {
	if u.left > 0 {
		return errors.New("the request's body is shorter than its head says")
	}
	if u.chunked {
		u.last.Store(true)
	}
	u.all = !u.chunked || u.send(AppendLastChunk(nil, u.body.Trailers()))
	return nil
}

// send writes bytes and reports whether they are gone. Why they are not, reading will tell.
func (u *upload) send(p []byte) bool {
	_, err := u.c.conn.Write(p)
	return err == nil
}

// write sends a piece of the body. A chunk leaves in one write if it fits a slab.
func (u *upload) write(p []byte) bool {
	if !u.chunked {
		return u.send(p)
	}
	out := slabs.Get().(*slab)
	defer slabs.Put(out)
	for len(p) > 0 {
		n := min(len(p), slabSize-chunkRoom)
		if !u.send(appendPiece(out[:0], p[:n], true)) {
			return false
		}
		p = p[n:]
	}
	return true
}

func (u *upload) halted() bool {
	select {
	case <-u.stopped:
		return true
	default:
		return false
	}
}

// open lets the body go: the backend sent 100.
func (u *upload) open() {
	if u != nil && u.gate != nil && !u.opened {
		u.opened = true
		close(u.gate)
	}
}

// answered stops an upload that a final response makes pointless.
func (u *upload) answered(status int, keepAlive bool) {
	if u == nil {
		return
	}
	// An expectation that was answered otherwise than with 100 leaves the body with the client.
	if refused := status >= 400 && !keepAlive; refused || u.gate != nil && !u.asked.Load() {
		u.stop.Do(func() { close(u.stopped) })
		_ = u.c.conn.SetWriteDeadline(past)
	}
}

// halt stops the goroutine and waits for its end. The connection is of no use afterwards unless the upload is complete.
func (u *upload) halt() {
	select {
	case <-u.ended:
		return
	default:
	}
	u.stop.Do(func() { close(u.stopped) })
	if u.body != nil {
		u.body.Stop(message.Drain)
	}
	<-u.ended
}

// complete reports whether everything was sent, without waiting.
func (u *upload) complete() bool {
	if u == nil {
		return true
	}
	select {
	case <-u.ended:
		return u.all
	default:
		return false
	}
}

// settleTime is how long a write that was the last one may take to return after the response has come.
const settleTime = 50 * time.Millisecond

// settled is complete, but waits a moment for an upload that is all but complete: a backend may have answered before its goroutine
// has seen its last write return.
func (u *upload) settled() bool {
	if u == nil || u.complete() {
		return true
	}
	if !u.last.Load() {
		return false
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-u.ended:
		return u.all
	case <-timer.C:
		return false
	}
}

// err is what was wrong with the request's body.
func (u *upload) err() error {
	if u != nil {
		if err := u.failure.Load(); err != nil {
			return *err
		}
	}
	return errors.New("the request's body failed")
}

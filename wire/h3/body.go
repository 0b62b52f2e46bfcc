// A request's content: DATA frames, and perhaps trailers.

package h3

import (
	"errors"
	"fmt"
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

// requestBody implements message.Body. One goroutine reads it, not necessarily the handler's; Stop may be called by another, and makes a
// Next that waits return.
type requestBody struct {
	x *exchange

	mu       sync.Mutex
	idle     sync.Cond // signalled when reading becomes false
	length   int64     // as announced; negative: not
	received int64
	lent     []byte // in hand and not consumed
	inData   bool   // the present frame is DATA
	trailed  bool   // trailers have come: nothing may follow but the end
	complete bool
	err      error
	reading  bool        // guarded by mu
	stopped  atomic.Bool // set with mu held

	trailers message.Fields
	decoder  *decoder // of trailers; nil until there are some
}

// begin prepares for the content behind the head. end says that there is none. It returns an error if what is in hand breaks a rule.
func (b *requestBody) begin(x *exchange, end bool) error {
	b.x, b.length, b.complete = x, x.head.Length, end // the rest is zero: recycle saw to it
	b.idle.L = &b.mu
	switch {
	case end:
		return nil
	case b.length == 0:
		return b.expectNone()
	}
	return b.peek()
}

// peek takes the content that is in hand already, without waiting: a small request can be sent on in one piece.
func (b *requestBody) peek() error {
	in := &b.x.in
	head, left := in.ahead()
	if head == 0 || in.r+head == in.w {
		return nil
	}
	in.r += head
	in.left, b.inData = left, true
	return b.lend(in.take())
}

// expectNone waits a moment for the end of a request that by its length has no content, because nobody will read it: content is an error.
func (b *requestBody) expectNone() error {
	_ = b.x.stream.SetReadDeadline(time.Now().Add(b.x.c.s.endWait)) // fails never
	err := b.read()
	_ = b.x.stream.SetReadDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// advance finds content that can be lent, or the end, or an error. It waits for the client if nothing is in hand. Only the goroutine that
// reads the body calls it.
func (b *requestBody) advance() {
	if err := b.read(); err != nil {
		b.fail(err)
	}
}

// read reads up to content that can be lent, or the end.
func (b *requestBody) read() error {
	in := &b.x.in
	for {
		if b.inData && in.left > 0 {
			p, err := in.piece()
			if err != nil {
				return err
			}
			return b.lend(p)
		}
		b.inData = false
		typ, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return b.end()
		case err != nil:
			return err
		}
		if err := b.frame(typ); err != nil {
			return err
		}
	}
}

// frame deals with the head of a frame, and with all of it if it is not DATA.
func (b *requestBody) frame(typ uint64) error {
	in := &b.x.in
	switch {
	case typ == frameData && !b.trailed:
		b.inData = true
		if in.left > 0 || in.ended() {
			return nil
		}
		return b.x.c.charge(floodEmpty)
	case typ == frameHeaders && !b.trailed:
		b.trailed = true
		return b.readTrailers()
	case known(typ):
		return &ConnError{FrameUnexpected, "frame does not belong on a request stream, or behind trailers"}
	}
	return b.x.pass()
}

// lend lends content, and what is in hand of the DATA frames behind it: whoever sends frames of a byte each costs no write each.
func (b *requestBody) lend(p []byte) error {
	in := &b.x.in
	for in.left == 0 {
		head, left := in.ahead()
		if head == 0 {
			break
		}
		in.r += head
		in.left = left
		p = append(p, in.take()...) // within the buffer, where the heads of the frames were
	}
	b.received += int64(len(p))
	if b.length >= 0 && b.received > b.length {
		return &StreamError{MessageError, "content is longer than content-length"}
	}
	b.lent = p
	// With the whole length in hand and the end seen, nothing is left to wait for.
	if in.ended() {
		b.inData = false
		return b.end()
	}
	return nil
}

// end is the end of the stream.
func (b *requestBody) end() error {
	if b.length >= 0 && b.received != b.length {
		b.lent = nil
		return &StreamError{MessageError, "content is shorter than content-length"}
	}
	b.complete = true
	return nil
}

func (b *requestBody) fail(err error) {
	if b.stopped.Load() {
		return
	}
	b.x.fail(err)
	if !offence(err) {
		err = fmt.Errorf("%w: %w", wire.ErrClientGone, err)
	}
	b.err = fmt.Errorf("reading request body: %w", err)
}

// offence reports whether an error is what we think of what the client sent, and not that it left.
func offence(err error) bool {
	_, stream := errors.AsType[*StreamError](err)
	_, conn := errors.AsType[*ConnError](err)
	return stream || conn
}

// readTrailers reads the payload of a HEADERS frame behind the content.
func (b *requestBody) readTrailers() error {
	lim := &b.x.c.s.lim
	if b.x.in.left > maxTrailers {
		return &StreamError{ExcessiveLoad, "trailers are too large"}
	}
	block, err := b.x.in.payload(nil)
	if err != nil {
		return err
	}
	b.decoder = &decoder{maxBytes: maxTrailers, maxFields: lim.Fields}
	large, err := b.decoder.decode(block)
	if err != nil {
		return err
	}
	if large {
		return &StreamError{ExcessiveLoad, "trailers are too large"}
	}
	if why := b.decoder.fields(b.addTrailer); why != "" {
		return &StreamError{MessageError, why}
	}
	wire.DropForbiddenTrailers(&b.trailers)
	return nil
}

// maxTrailers bounds the trailers of a request, as on HTTP/1.
const maxTrailers = 16 << 10

func (b *requestBody) InHand() ([]byte, bool) {
	return b.lent, b.complete && b.err == nil && !b.stopped.Load()
}

func (b *requestBody) Next() ([]byte, error) {
	if len(b.lent) == 0 && !b.complete && b.err == nil {
		b.wait()
	}
	p := b.lent
	b.lent = nil
	switch {
	case b.stopped.Load():
		return nil, wire.ErrUnwanted
	case len(p) > 0:
		return p, nil
	case b.err != nil:
		return nil, b.err
	}
	return nil, io.EOF
}

// wait reads until there is something to lend, unless the body is stopped.
func (b *requestBody) wait() {
	b.mu.Lock()
	if b.stopped.Load() {
		b.mu.Unlock()
		return
	}
	b.reading = true
	b.mu.Unlock()
	if err := b.x.sendContinue(); err != nil {
		b.err = err
	} else {
		b.advance()
	}
	b.mu.Lock()
	b.reading = false
	b.mu.Unlock()
	b.idle.Broadcast()
}

func (b *requestBody) Trailers() *message.Fields {
	if b.trailers.Len() == 0 {
		return nil
	}
	return &b.trailers
}

// addTrailer takes a decoded trailer field.
func (b *requestBody) addTrailer(name, value []byte) string {
	return h2.AddTrailer(&b.trailers, name, value)
}

// Stop makes a read that waits return. After the end of the content it has no effect on the client.
func (b *requestBody) Stop(message.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stopped.Swap(true) {
		// A client whose request was answered early is not told that anything went wrong (RFC 9114 section 4.1).
		b.x.stream.CancelRead(quic.StreamErrorCode(NoError))
	}
}

// finish ends the body when the exchange is over, and waits until nobody reads it.
func (b *requestBody) finish() {
	if b.x == nil {
		return
	}
	b.Stop(message.Drain)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading {
		b.idle.Wait()
	}
}

// A request's content as it is pulled by whoever consumes it. What has arrived and is not consumed is bounded by the stream's window.

package h2

import (
	"fmt"
	"io"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// requestBody implements message.Body. Everything in it is guarded by conn.mu, but what lent points to, which belongs to the consumer.
type requestBody struct {
	s       *stream
	in      []byte // arrived, and not yet given by Next
	lent    []byte // what Next gave last, and memory for what arrives next
	got     int    // given since the window grew
	reading bool   // a Next waits for the client
	stopped bool
}

// keptBody is how much memory for content a kept stream may have.
const keptBody = 16 << 10

// arrived takes a DATA frame, which counts size against the windows. The caller holds conn.mu.
func (s *stream) arrived(f *Frame, size int) error {
	c, b := s.c, &s.body
	if !s.receive.Arrived(size) {
		c.consumed(size)
		return &StreamError{s.id, FlowControlError, "client sends beyond the window of the stream"}
	}
	if len(f.Payload) > 0 && s.left >= 0 {
		if s.left -= int64(len(f.Payload)); s.left < 0 {
			c.consumed(size)
			return malformed(s.id, "content is longer than content-length")
		}
	}
	dropped := size
	if !b.stopped {
		dropped -= len(f.Payload)
		b.in = append(b.in, f.Payload...)
		s.readable.Broadcast()
	}
	c.consumed(dropped)
	s.consumed(dropped)
	switch {
	case f.Has(FlagEndStream):
		return s.ends()
	case len(f.Payload) == 0:
		return c.charge(floodEmpty)
	}
	return nil
}

// consumed gives window of the stream back. The caller holds conn.mu.
func (s *stream) consumed(n int) { s.update(s.receive.Consumed(n)) }

func (s *stream) update(n uint32) {
	if n > 0 && !s.remoteEnd && !s.gone {
		s.c.out = AppendWindowUpdate(s.c.buffer(), s.id, n)
		s.c.wake()
	}
}

func (b *requestBody) InHand() ([]byte, bool) {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	return b.in, b.s.remoteEnd && !b.s.gone && !b.stopped
}

func (b *requestBody) Next() ([]byte, error) {
	s := b.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	waited := b.fill()
	switch {
	case b.stopped:
		return nil, wire.ErrUnwanted
	case s.gone && s.reason == message.ClientGone:
		return nil, fmt.Errorf("reading request body: %w: %w", wire.ErrClientGone, io.ErrUnexpectedEOF)
	case s.gone:
		return nil, fmt.Errorf("reading request body: %w: %w", errBrokenOff, io.ErrUnexpectedEOF)
	case len(b.in) == 0:
		return nil, io.EOF
	}
	b.in, b.lent = b.lent[:0], b.in
	n := len(b.lent)
	s.c.consumed(n)
	s.consumed(n)
	b.got += n
	if size := s.receive.Size(); waited && b.got >= size && size < maxUploadWindow {
		// Whoever consumes is faster than what one window lets the client send in a round trip.
		b.got = 0
		s.update(s.receive.Grow(min(2*size, maxUploadWindow)))
	}
	return b.lent, nil
}

// fill waits for content or the end, and reports whether it had to. The caller holds conn.mu.
func (b *requestBody) fill() (waited bool) {
	s := b.s
	for len(b.in) == 0 && !s.remoteEnd && !s.gone && !b.stopped {
		if s.expects {
			s.sendContinue()
		}
		b.reading, waited = true, true
		s.readable.Wait()
	}
	if b.reading {
		b.reading = false
		b.s.readable.Broadcast()
	}
	return waited
}

// sendContinue tells a client that waits for it that its body is wanted. The caller holds conn.mu.
func (s *stream) sendContinue() {
	s.expects = false
	if !s.responded {
		s.appendHead(&message.Head{Status: 100}, message.LengthNone, nil, false)
	}
}

func (b *requestBody) Trailers() *message.Fields {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	if !b.s.hasTrailers || !b.s.remoteEnd {
		return nil
	}
	return &b.s.trailers
}

func (b *requestBody) Stop(message.Reason) {
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	b.stop()
}

// stop drops what has arrived and what will. The caller holds conn.mu.
func (b *requestBody) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	n := len(b.in)
	b.in = nil // InHand may have shown it to somebody
	b.s.c.consumed(n)
	b.s.consumed(n)
	b.s.readable.Broadcast()
}

// abandon stops the body and waits until nobody reads it any more.
func (b *requestBody) abandon() {
	if !b.s.hasBody {
		return
	}
	b.s.c.mu.Lock()
	defer b.s.c.mu.Unlock()
	b.stop()
	for b.reading {
		b.s.readable.Wait()
	}
}

// forget makes the body as good as new.
func (b *requestBody) forget() {
	if cap(b.in) > keptBody {
		b.in = nil
	}
	if cap(b.lent) > keptBody {
		b.lent = nil
	}
	b.in, b.lent = b.in[:0], b.lent[:0]
	b.got, b.reading, b.stopped = 0, false, false
}

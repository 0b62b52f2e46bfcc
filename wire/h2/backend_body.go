// The body of a backend's response: what the reader has put down, and the window that follows what is taken of it.

package h2

import (
	"io"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// backendBody is the response's body of a stream. But for Stop it belongs to the goroutine that reads it; what it shares with the reader is
// guarded by c.mu.
type backendBody struct {
	s       *BackendStream
	none    bool   // the response has no body
	tunnel  bool   // it is a tunnel
	lent    []byte // what Next gave last
	rest    []byte // of it, what the tunnel has still to read
	stopped bool   // guarded by c.mu
}

// forget: c.mu is held.
func (b *backendBody) forget() {
	c := b.s.c
	c.putBuffer(b.lent)
	c.putBuffer(b.s.content)
	b.s.content = nil
	*b = backendBody{s: b.s}
}

// begin is called with the head of the response. c.mu is held.
func (b *backendBody) begin(h *message.Head) {
	s := b.s
	b.tunnel = s.connect && h.Status >= 200 && h.Status <= 299
	b.none = b.tunnel || s.bodiless(h.Status) || s.received && len(s.content) == 0 && s.trailers.Len() == 0
	if !b.none && h.Length >= 0 && h.Fields.Has("trailer") {
		h.Length = message.LengthUnknown // trailers that are announced get through to clients of HTTP/1.1 behind chunks alone
	}
}

// bodiless reports whether no content can follow a response's head.
func (s *BackendStream) bodiless(status int) bool { return s.toHEAD || status == 204 || status == 304 }

// InHand implements message.Body.
func (b *backendBody) InHand() ([]byte, bool) {
	s := b.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.failure != nil && s.urgent {
		return nil, false
	}
	return s.content, s.received
}

// Next implements message.Body.
func (b *backendBody) Next() ([]byte, error) {
	s := b.s
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	b.taken()
	for {
		switch {
		case b.stopped:
			return nil, errCancelled
		case s.failure != nil && s.urgent:
			return nil, b.failure()
		case len(s.content) > 0:
			b.lent, s.content = s.content, nil
			return b.lent, nil
		case s.received:
			return nil, io.EOF
		case s.failure != nil:
			return nil, b.failure()
		}
		c.mu.Unlock()
		s.await()
		c.mu.Lock()
	}
}

// failure is why there is no more: a copy, because the stream's own may be gone when it is looked at.
func (b *backendBody) failure() *wire.BackendError {
	f := *b.s.failure
	f.Answered = true
	return &f
}

// taken gives the backend room for as much as Next lent last, and more if the client keeps up with it. c.mu is held.
func (b *backendBody) taken() {
	s := b.s
	n := len(b.lent)
	if n == 0 {
		return
	}
	s.c.putBuffer(b.lent)
	b.lent = nil
	if s.received || s.reset || s.failure != nil {
		return
	}
	increment := s.arriving.Consumed(n)
	if increment > 0 && len(s.content) == 0 {
		increment += s.arriving.Grow(min(2*s.arriving.Size(), maxStreamWindow))
	}
	if increment > 0 {
		s.c.put(func(dst []byte) []byte { return AppendWindowUpdate(dst, s.id, increment) })
	}
}

// Trailers implements message.Body.
func (b *backendBody) Trailers() *message.Fields {
	s := b.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.received || s.trailers.Len() == 0 {
		return nil
	}
	return &s.trailers
}

// Stop implements message.Body. What is left unread is broken off by Finish.
func (b *backendBody) Stop(message.Reason) {
	s := b.s
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	b.stopped = true
	s.tell()
}

const (
	// contentBuffer is the size of the buffers that content is received in; they grow with the windows. Those up to maxContentBuffer are used again,
	// maxBuffers of them at most.
	contentBuffer    = 16 << 10
	maxContentBuffer = 128 << 10
	maxBuffers       = 32
)

// getBuffer returns an empty buffer. c.mu is held.
func (c *BackendConn) getBuffer() []byte {
	if n := len(c.buffers); n > 0 {
		b := c.buffers[n-1]
		c.buffers[n-1] = nil
		c.buffers = c.buffers[:n-1]
		return b
	}
	return make([]byte, 0, contentBuffer)
}

// putBuffer takes one back. c.mu is held.
func (c *BackendConn) putBuffer(b []byte) {
	if cap(b) >= contentBuffer && cap(b) <= maxContentBuffer && len(c.buffers) < maxBuffers {
		c.buffers = append(c.buffers, b[:0])
	}
}

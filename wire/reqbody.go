// A request's body as it is pulled by whoever consumes it.

package wire

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/wicketgate/wicketgate/message"
)

// requestBody implements message.Body. One goroutine reads it, not necessarily the handler's; Stop may be called by another, and makes a
// Next that waits return.
type requestBody struct {
	x        *exchange
	mu       sync.Mutex
	left     int64   // BodyLength: bytes still to be received
	pending  []byte  // content that was received and not yet consumed
	big      *buffer // what pending and what Next lent point into, unless that is x.buf
	kind     BodyKind
	complete bool // everything was received
	reading  bool // a Next waits for the client
	stopped  bool

	err     error     // why nothing more comes
	extra   []byte    // in big: bytes behind the body
	idle    sync.Cond // signalled when reading becomes false
	chunked Chunked
}

// begin prepares for the body that follows a head and takes what of it is in p. It returns how many bytes of p that is.
func (b *requestBody) begin(x *exchange, f Framing, p []byte) (used int, err error) {
	b.x, b.kind, b.left = x, f.Body, f.Length
	b.pending, b.err, b.extra = nil, nil, nil
	b.reading, b.stopped = false, false
	b.complete = f.Body == BodyNone
	b.idle.L = &b.mu
	if f.Body == BodyChunked {
		b.chunked.Reset()
	}
	if b.complete {
		return 0, nil
	}
	return b.take(p)
}

// take takes received bytes, as many as belong to the body.
func (b *requestBody) take(p []byte) (used int, err error) {
	if b.kind == BodyLength {
		used = int(min(b.left, int64(len(p))))
		b.pending = p[:used]
		b.left -= int64(used)
		b.complete = b.left == 0
		return used, nil
	}
	b.pending, used, err = b.chunked.Decode(p, &b.x.c.s.lim)
	if err != nil {
		b.pending, b.err = nil, err
		return used, err
	}
	b.complete = b.chunked.Done()
	return used, nil
}

func (b *requestBody) InHand() ([]byte, bool) {
	return b.pending, b.complete && b.err == nil && !b.stopped
}

func (b *requestBody) Next() ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.stopped:
		return nil, ErrUnwanted
	case len(b.pending) == 0 && b.err == nil && !b.complete:
		b.fill()
	}
	p := b.pending
	b.pending = nil
	switch {
	case b.stopped:
		return nil, ErrUnwanted
	case len(p) > 0:
		return p, nil
	case b.err != nil:
		return nil, b.err
	}
	return nil, io.EOF
}

// fill waits for content or the end. The caller holds mu, which is let go of meanwhile.
func (b *requestBody) fill() {
	if err := b.x.sendContinue(); err != nil {
		b.err = err
		return
	}
	b.reading = true
	for len(b.pending) == 0 && !b.complete && b.err == nil && !b.stopped {
		b.readSome()
	}
	b.reading = false
	if b.stopped {
		b.x.c.liftDeadlines()
	}
	b.idle.Broadcast()
}

// readSome receives once. The caller holds mu, which is let go of meanwhile.
func (b *requestBody) readSome() {
	limit := bufferSize
	if b.kind == BodyLength {
		limit = int(min(b.left, bufferSize))
	}
	putBuffer(b.big)
	b.big = nil
	b.mu.Unlock()
	big, n, err := b.x.c.transport.read(limit)
	b.mu.Lock()
	if err != nil {
		switch {
		case errors.Is(err, io.EOF):
			err = io.ErrUnexpectedEOF // the client may have ended one direction only, and wait for what we say of it
		case errors.Is(err, syscall.ECONNRESET):
			err = fmt.Errorf("%w: %w", ErrClientGone, err)
		}
		if !b.stopped {
			b.err = fmt.Errorf("reading request body: %w", err)
		}
		return
	}
	b.big = big
	used, err := b.take(big[:n])
	if err == nil && used < n {
		b.extra = big[used:n]
	}
	if b.complete {
		b.x.c.whole.Store(true)
	}
}

func (b *requestBody) Trailers() *message.Fields {
	if b.kind != BodyChunked {
		return nil
	}
	return b.chunked.Trailers()
}

func (b *requestBody) Stop(message.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return
	}
	b.stopped = true
	if b.reading {
		_ = b.x.c.nc.SetReadDeadline(past)
	}
}

// abandon stops the body and waits until nobody reads it any more.
func (b *requestBody) abandon() {
	if b.complete && len(b.pending) == 0 && b.big == nil {
		return
	}
	b.Stop(message.Drain)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading {
		b.idle.Wait()
	}
}

// drainable reports whether the rest of the body may be read and dropped so that the connection can go on.
func (b *requestBody) drainable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.complete || b.err == nil && b.left <= lingerBytes
}

// drain reads the rest of a body that was abandoned, if it is small and comes soon.
func (b *requestBody) drain() bool {
	c := b.x.c
	c.begin(phaseLinger, c.s.now())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = false
	for total := 0; !b.complete && b.err == nil && total < lingerBytes; total += len(b.pending) + 1 {
		b.readSome()
	}
	return b.complete && b.err == nil
}

// release gives buffers back.
func (b *requestBody) release() {
	b.pending = nil
	if b.big != nil {
		putBuffer(b.big)
		b.big, b.extra = nil, nil
	}
}

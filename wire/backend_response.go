// Reading a response: its head, with the interim responses before it, and its body.

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// awaitHead reads up to the end of the head of the final response, or of 101.
func (c *BackendConn) awaitHead(req, res *message.Head, toHEAD bool) error {
	last := false // an interim response announced the connection's end, or a body, which it cannot have
	for interim := 0; ; interim++ {
		n, err := c.readHead(res, toHEAD)
		if err != nil {
			return err
		}
		last = last || !c.framing.KeepAlive
		c.framing.KeepAlive = !last
		if res.Status >= 200 || res.Status == 101 {
			return c.final(n, req, res, toHEAD)
		}
		if interim == maxInterim {
			return errors.New("the backend sends interim responses without end")
		}
		if res.Status == 100 {
			// The client's own 100 is sent by its wire when the body is asked for.
			c.upload.open()
		} else if c.x != nil {
			if err := c.x.Inform(res); err != nil {
				return &BackendError{Kind: BackendCancelled, Err: fmt.Errorf("passing on an interim response: %w", err)}
			}
		}
		if c.in.r += n; c.in.len() == 0 {
			c.in.empty()
		}
	}
}

// readHead reads until a head is complete at the beginning of the inbox, parses it, and returns its length.
func (c *BackendConn) readHead(res *message.Head, toHEAD bool) (int, error) {
	looked := 0 // bytes in which no empty line begins
	for {
		if c.in.len() > 0 && (looked == 0 || headEnds(c.in.bytes(), looked) || c.in.len() >= backendLimits.HeadBytes) {
			n, f, err := ParseResponseHead(c.in.bytes(), res, toHEAD, &backendLimits)
			if err != nil {
				return 0, fmt.Errorf("not a valid response: %w", err)
			}
			if n > 0 {
				c.framing = f
				return n, nil
			}
		}
		looked = c.in.len()
		if c.in.mem != nil && c.in.w == slabSize {
			c.in.shift()
		}
		if err := c.io.fill(&c.in); err != nil {
			if errors.Is(err, io.EOF) {
				err = errClosed
			}
			return 0, err
		}
	}
}

// headEnds reports whether an empty line ends in p behind its first looked bytes. It saves parsing a head that trickles in again and again.
func headEnds(p []byte, looked int) bool {
	return bytes.Contains(p[max(0, looked-3):], []byte("\n\r\n")) || bytes.Contains(p[max(0, looked-3):], []byte("\n\n"))
}

// final takes the head of n bytes that was parsed as the response's.
func (c *BackendConn) final(n int, req, res *message.Head, toHEAD bool) error {
	if res.Status == 101 {
		return c.switched(n, req, res)
	}
	c.upload.answered(res.Status, c.framing.KeepAlive)
	head := c.in.bytes()[:n]
	c.in.r += n
	c.body.begin()
	if err := c.body.decode(); err != nil {
		return err
	}
	if c.body.done {
		return nil
	}
	// The inbox will be read to again while the head is in use: it moves to memory of its own.
	c.head = append(c.head[:0], head...)
	_, _, err := ParseResponseHead(c.head, res, toHEAD, &backendLimits)
	return err
}

// unbound lifts the exchange's time limit and the watch over its client: a tunnel may be idle, and its halves end one by one.
func (c *BackendConn) unbound() {
	if c.x != nil {
		c.x.Watch(nil)
		c.x = nil
	}
	if c.timed {
		_ = c.conn.SetDeadline(time.Time{})
	}
	if c.state.Load() != backendBusy { // cancelled meanwhile: that stays
		_ = c.conn.SetDeadline(past)
	}
}

// switched takes a 101 response, if the request asked for it.
func (c *BackendConn) switched(n int, req, res *message.Head) error {
	if len(req.Upgrade) == 0 || !bytes.EqualFold(req.Upgrade, res.Upgrade) {
		return errors.New("the backend switches to a protocol that the request did not ask for")
	}
	if !c.upload.complete() {
		return errors.New("the backend switches protocols before it has the whole request")
	}
	c.head = append(c.head[:0], c.in.bytes()[:n]...)
	if _, _, err := ParseResponseHead(c.head, res, false, &backendLimits); err != nil {
		return err
	}
	c.duplex = &backendDuplex{conn: c.conn, io: c.io, buffered: append([]byte(nil), c.in.bytes()[n:]...)}
	c.in.release()
	c.unbound()
	return nil
}

// backendBody is the body of a connection's response.
type backendBody struct {
	c       *BackendConn
	content []byte // received, decoded, not yet given by Next; it points into the inbox
	left    int64  // still to be received, with BodyLength
	failed  error  // what Next returned
	done    bool   // the end was received
	stopped bool
	chunked Chunked
}

func (b *backendBody) reset() {
	b.content, b.done, b.failed, b.stopped = nil, false, nil, false
}

func (b *backendBody) begin() {
	b.reset()
	switch f := b.c.framing; f.Body {
	case BodyNone:
		b.done = true
	case BodyLength:
		b.left = f.Length
		b.done = f.Length == 0
	case BodyChunked:
		b.chunked.Reset()
	case BodyUntilClose:
	}
}

// decode takes what of the inbox belongs to the body.
func (b *backendBody) decode() error {
	in := &b.c.in
	if b.done || in.len() == 0 {
		return nil
	}
	p := in.bytes()
	switch b.c.framing.Body {
	case BodyLength:
		p = p[:min(int64(len(p)), b.left)]
		b.left -= int64(len(p))
		b.done = b.left == 0
		b.content = p
		in.r += len(p)
	case BodyChunked:
		content, n, err := b.chunked.Decode(p, &backendLimits)
		if err != nil {
			return fmt.Errorf("not a valid chunked body: %w", err)
		}
		b.done = b.chunked.Done()
		b.content = content
		in.r += n
	default:
		b.content = p
		in.r += len(p)
	}
	return nil
}

// InHand implements message.Body.
func (b *backendBody) InHand() ([]byte, bool) { return b.content, b.done }

// Next implements message.Body.
func (b *backendBody) Next() ([]byte, error) {
	for b.failed == nil {
		if p := b.content; len(p) > 0 {
			b.content = nil
			return p, nil
		}
		switch {
		case b.stopped:
			b.failed = errCancelled
		case b.done:
			return nil, io.EOF
		default:
			b.receive()
		}
	}
	return nil, b.failed
}

// receive reads once. What was lent is not valid afterwards.
func (b *backendBody) receive() {
	in := &b.c.in
	in.empty()
	err := b.c.io.fill(in)
	switch {
	case err == nil:
		err = b.decode()
	case errors.Is(err, io.EOF) && b.c.framing.Body == BodyUntilClose && b.c.state.Load() == backendBusy:
		b.done = true
		return
	case errors.Is(err, io.EOF):
		err = errClosed
	}
	if err != nil {
		failure := b.c.classify(err)
		failure.Answered = true
		b.failed = failure
	}
}

// Trailers implements message.Body.
func (b *backendBody) Trailers() *message.Fields {
	if b.c.framing.Body != BodyChunked || !b.done {
		return nil
	}
	return b.chunked.Trailers()
}

// Stop implements message.Body. What is left unread closes the connection at Finish.
func (b *backendBody) Stop(message.Reason) { b.stopped, b.content = true, nil }

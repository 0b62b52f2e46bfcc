// Writing responses: the head and what is in hand of the body leave in one system call, the rest as it comes.

package wire

import (
	"errors"
	"fmt"
	"io"

	"github.com/wicketgate/wicketgate/message"
)

// misdirected is 421 Misdirected Request.
const misdirected = 421

// gather is up to which size a piece of body is copied behind what goes in front of it, instead of being written from where it is.
const gather = 4 << 10

var crlf = []byte("\r\n") // never written to

func (x *exchange) Inform(h *message.Head) error {
	if h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return fmt.Errorf("interim response with status %d: %w", h.Status, ErrStatus)
	}
	if x.head.Minor == 0 || x.answered {
		return nil // HTTP/1.0 has none
	}
	if h.Status == 100 {
		return x.sendContinue()
	}
	x.outMu.Lock()
	defer x.outMu.Unlock()
	x.out = AppendResponseHead(x.out[:0], h, Framing{}, 1)
	return x.c.transport.send(x.out, nil, nil)
}

// sendContinue tells a client that waits for it that its body is wanted. The goroutine that reads the body may call it.
func (x *exchange) sendContinue() error {
	x.outMu.Lock()
	defer x.outMu.Unlock()
	if !x.expects {
		return nil
	}
	if x.responded {
		return ErrUnwanted // the body will not come
	}
	x.expects = false
	return x.c.transport.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"), nil, nil)
}

// start begins the final response, and reports whether the client still waits for a 100 that it will not get.
func (x *exchange) start() (waits bool, err error) {
	if x.answered {
		return false, ErrAnswered
	}
	x.answered = true
	if x.bare {
		x.responded = true
		return false, nil
	}
	x.outMu.Lock()
	defer x.outMu.Unlock()
	x.responded = true
	return x.expects, nil
}

func (x *exchange) Respond(h *message.Head, body message.Body) error {
	waits, err := x.start()
	if err != nil {
		return err
	}
	if h.Status < 200 || h.Status > 999 {
		err = fmt.Errorf("response with status %d: %w", h.Status, ErrStatus)
	} else {
		f := x.frame(h, body)
		// A client that waits for a 100 may send its body or not: nothing can follow. One that is misdirected is to come on another
		// connection (RFC 9110 section 15.5.20).
		f.KeepAlive = f.KeepAlive && !waits && h.Status != misdirected && !x.c.closing.Load() && (x.bare || x.body.drainable())
		var date []byte
		if !h.Fields.Has("date") {
			date = x.c.s.dateLine()
		}
		x.keep = f.KeepAlive
		x.out = appendResponseHead(x.out[:0], h, f, int(x.minor), date)
		err = x.copy(f, body)
	}
	if err != nil {
		x.abort()
		x.c.resets = x.framing.Body == BodyUntilClose
		if body != nil {
			body.Stop(message.ClientGone)
		}
		return err
	}
	return nil
}

// frame decides how the response's body is framed, and leaves it in x.framing for the rest of the exchange.
func (x *exchange) frame(h *message.Head, body message.Body) Framing {
	f := Framing{KeepAlive: x.framing.KeepAlive}
	switch {
	case bodiless(h.Status, x.toHEAD):
	case h.Length >= 0:
		f.Body, f.Length = BodyLength, h.Length
	case body == nil:
		f.Body = BodyLength
	case x.minor == 0:
		f.Body, f.KeepAlive = BodyUntilClose, false
	default:
		f.Body = BodyChunked
	}
	x.framing = f
	return f
}

// copy sends x.out, which is the head, and the body.
func (x *exchange) copy(f Framing, body message.Body) error {
	switch {
	case f.Body == BodyNone:
		if body != nil {
			body.Stop(message.Drain)
		}
		return x.c.transport.send(x.out, nil, nil)
	case body == nil:
		if f.Length > 0 {
			return ErrTooShort
		}
		return x.c.transport.send(x.out, nil, nil)
	}
	if p, all := body.InHand(); len(p) == 0 && !all {
		// The body may take its time: the head does not wait for it.
		if err := x.c.transport.send(x.out, nil, nil); err != nil {
			return err
		}
		x.out = x.out[:0]
	}
	return x.copyBody(f, body)
}

// copyBody sends the body, with what x.out holds in front of it.
func (x *exchange) copyBody(f Framing, body message.Body) error {
	for ended := false; ; {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			return x.conclude(f, body, ended)
		}
		if err != nil {
			return fmt.Errorf("response body broke off: %w", err)
		}
		if f.Body == BodyLength && x.written+int64(len(p)) > f.Length {
			return ErrTooLong
		}
		// When nothing is to follow, the last chunk leaves together with this one.
		rest, all := body.InHand()
		ended = f.Body == BodyChunked && all && len(rest) == 0
		if err := x.sendPiece(f, p, body, ended); err != nil {
			return err
		}
	}
}

// sendPiece sends x.out and a piece of the body in one system call.
func (x *exchange) sendPiece(f Framing, p []byte, body message.Body, ended bool) error {
	if len(p) == 0 {
		return nil
	}
	x.written += int64(len(p))
	defer func() { x.out = x.out[:0] }()
	if f.Body == BodyChunked {
		x.out = AppendChunkHead(x.out, len(p))
	}
	if len(p) > gather {
		if f.Body != BodyChunked {
			return x.c.transport.send(x.out, p, nil)
		}
		if !ended {
			return x.c.transport.send(x.out, p, crlf)
		}
		n := len(x.out)
		x.out = AppendLastChunk(append(x.out, crlf...), body.Trailers())
		return x.c.transport.send(x.out[:n:n], p, x.out[n:])
	}
	x.out = append(x.out, p...)
	if f.Body == BodyChunked {
		x.out = append(x.out, crlf...)
	}
	if ended {
		x.out = AppendLastChunk(x.out, body.Trailers())
	}
	return x.c.transport.send(x.out, nil, nil)
}

// conclude ends a body whose producer has ended.
func (x *exchange) conclude(f Framing, body message.Body, ended bool) error {
	if f.Body == BodyLength && x.written < f.Length {
		return ErrTooShort
	}
	if f.Body == BodyChunked && !ended {
		x.out = AppendLastChunk(x.out, body.Trailers())
	}
	if len(x.out) == 0 {
		return nil
	}
	return x.c.transport.send(x.out, nil, nil)
}

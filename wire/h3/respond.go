// Sending responses: the head and what is in hand of the content leave in one write, the rest as it comes and as the client's windows allow.

package h3

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// gather is up to which size a piece of content is copied behind the head of its frame, so that both are one write.
const gather = 16 << 10

var nameDate = []byte("date") // never written to

func (x *exchange) Inform(h *message.Head) error {
	if h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return fmt.Errorf("interim response with status %d: %w", h.Status, wire.ErrStatus)
	}
	if h.Status == 100 {
		return x.sendContinue()
	}
	x.outMu.Lock()
	defer x.outMu.Unlock()
	if x.final {
		return nil
	}
	x.out = appendHead(x.out[:0], h, message.LengthNone, nil)
	return x.send(x.out)
}

// sendContinue tells a client that waits for it that its content is wanted. The goroutine that reads the body may call it.
func (x *exchange) sendContinue() error {
	x.outMu.Lock()
	defer x.outMu.Unlock()
	if !x.expects {
		return nil
	}
	x.expects = false
	if x.final {
		return wire.ErrUnwanted // the content will not come
	}
	return x.send(appendHead(nil, &message.Head{Status: 100}, message.LengthNone, nil))
}

// appendHead appends a HEADERS frame with a response's head; a negative length is not announced, an empty date not sent.
func appendHead(dst []byte, h *message.Head, length int64, date []byte) []byte {
	start := len(dst)
	dst = appendStatus(appendSectionPrefix(appendFrameRoom(dst)), h.Status)
	if len(date) > 0 {
		dst = appendField(dst, nameDate, date)
	}
	dst = appendFields(dst, &h.Fields)
	if length >= 0 {
		dst = appendLength(dst, length)
	}
	return finishFrame(dst, start, frameHeaders)
}

func (x *exchange) Respond(h *message.Head, body message.Body) error {
	if x.answered {
		return wire.ErrAnswered
	}
	x.answered = true
	x.outMu.Lock()
	x.final = true
	x.outMu.Unlock()
	err := x.respond(h, body)
	if err == nil {
		return nil
	}
	reset(x.stream, InternalError)
	if body != nil {
		body.Stop(message.ClientGone)
	}
	return err
}

func (x *exchange) respond(h *message.Head, body message.Body) error {
	length, body, err := wire.Content(h, body, string(x.head.Method) == "HEAD")
	if err != nil {
		return err
	}
	var date []byte
	if !h.Fields.Has("date") {
		date = x.c.s.date()
	}
	x.out = appendHead(x.out[:0], h, length, date)
	if body == nil {
		return x.finish()
	}
	return x.copy(length, body)
}

// copy sends x.out, which is the head, and the content.
func (x *exchange) copy(length int64, body message.Body) error {
	if p, all := body.InHand(); len(p) == 0 && !all {
		// The content may take its time: the head does not wait for it.
		if err := x.flush(); err != nil {
			return err
		}
	}
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			return x.conclude(length, body)
		}
		if err != nil {
			return fmt.Errorf("response body broke off: %w", err)
		}
		if x.written += int64(len(p)); length >= 0 && x.written > length {
			return wire.ErrTooLong
		}
		if err := x.piece(p, body); err != nil {
			return err
		}
	}
}

// piece sends x.out and a DATA frame. What is small and the last of the content waits for the end of the stream, to leave together with it.
func (x *exchange) piece(p []byte, body message.Body) error {
	if len(p) == 0 {
		return nil
	}
	x.out = appendFrameHead(x.out, frameData, len(p))
	if len(p) > gather {
		if err := x.flush(); err != nil {
			return err
		}
		return x.send(p)
	}
	x.out = append(x.out, p...)
	if rest, all := body.InHand(); all && len(rest) == 0 {
		return nil
	}
	return x.flush()
}

// conclude ends the stream behind the content.
func (x *exchange) conclude(length int64, body message.Body) error {
	if length >= 0 && x.written < length {
		return wire.ErrTooShort
	}
	if trailers := body.Trailers(); trailers != nil && trailers.Len() > 0 {
		start := len(x.out)
		x.out = finishFrame(appendFields(appendSectionPrefix(appendFrameRoom(x.out)), trailers), start, frameHeaders)
	}
	return x.finish()
}

// finish sends x.out and ends the stream.
func (x *exchange) finish() error {
	if err := x.flush(); err != nil {
		return err
	}
	return x.stream.Close()
}

// flush sends x.out.
func (x *exchange) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	err := x.send(x.out)
	x.out = x.out[:0]
	return err
}

// send writes to the stream. A client that takes nothing for too long is given up.
func (x *exchange) send(p []byte) error {
	if stall := x.c.s.lim.WriteStall; stall > 0 {
		_ = x.stream.SetWriteDeadline(time.Now().Add(stall)) // fails never
	}
	_, err := x.stream.Write(p)
	return err
}

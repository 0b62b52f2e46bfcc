// Sending responses: the head and what is in hand of the body are appended at once, the rest as it comes and as the windows allow.

package h2

import (
	"errors"
	"fmt"
	"io"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

func (s *stream) Inform(h *message.Head) error {
	if h.Status < 100 || h.Status > 199 || h.Status == 101 {
		return fmt.Errorf("interim response with status %d: %w", h.Status, wire.ErrStatus)
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	switch {
	case s.gone:
		return errBrokenOff
	case s.responded:
	case h.Status == 100:
		if s.expects {
			s.sendContinue()
		}
	default:
		s.appendHead(h, message.LengthNone, nil, false)
	}
	return nil
}

func (s *stream) Respond(h *message.Head, body message.Body) error {
	if s.answered {
		return wire.ErrAnswered
	}
	s.answered = true
	err := s.respond(h, body)
	if err == nil {
		return nil
	}
	s.c.mu.Lock()
	if !s.localEnd {
		s.reset(InternalError)
	}
	s.c.mu.Unlock()
	if body != nil {
		body.Stop(message.ClientGone)
	}
	return err
}

func (s *stream) respond(h *message.Head, body message.Body) error {
	length, body, err := wire.Content(h, body, string(s.request.Method) == "HEAD")
	if err != nil {
		return err
	}
	if body == nil {
		return s.start(h, length, nil)
	}
	b := outgoing{s: s, body: body, length: length}
	if err := s.start(h, length, &b); err != nil {
		return err
	}
	return b.copy()
}

// start appends the response's head, and what is in hand of its content; nil is no content.
func (s *stream) start(h *message.Head, length int64, b *outgoing) error {
	var p []byte
	all := b == nil
	if b != nil {
		p, all = b.body.InHand()
	}
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || c.failed {
		return errBrokenOff
	}
	s.responded = true
	var date []byte
	if !h.Fields.Has("date") {
		date = c.s.date.Load().value
	}
	mine := !c.flushing
	c.flushing = true
	s.appendHead(h, length, date, b == nil)
	if b != nil {
		b.begin(p, all)
	}
	switch {
	case !mine:
	case s.localEnd && s.remoteEnd:
		// The handler is about to return: this goroutine will write what it and its neighbours have appended by then.
		s.flushes = true
	default:
		c.s.workers.start((*flusher)(c))
	}
	return nil
}

// appendHead appends a HEADERS frame. The caller holds conn.mu.
func (s *stream) appendHead(h *message.Head, length int64, date []byte, end bool) {
	c := s.c
	out, start := s.openBlock()
	c.out = FinishBlock(AppendResponse(out, h, length, date), start, s.id, end, DefaultFrameSize)
	s.closeBlock(end)
}

// openBlock begins a field block in the output. The caller holds conn.mu.
func (s *stream) openBlock() (out []byte, start int) {
	c := s.c
	out = c.buffer()
	start = len(out)
	out = AppendBlockRoom(out)
	if !c.encoded {
		c.encoded = true
		out = AppendTableSizeZero(out)
	}
	return out, start
}

// closeBlock notes what was sent. The caller holds conn.mu.
func (s *stream) closeBlock(end bool) {
	s.localEnd = s.localEnd || end
	s.c.wake()
}

// outgoing is a response's content on its way. It belongs to the handler's goroutine.
type outgoing struct {
	s      *stream
	body   message.Body
	length int64 // as announced; negative: not
	skip   int   // bytes that were sent, and that Next has not given yet
	ended  bool  // END_STREAM was sent
}

// begin sends of what is in hand, p, as much as can be sent without waiting. The caller holds conn.mu.
func (b *outgoing) begin(p []byte, all bool) {
	s := b.s
	if b.length >= 0 && (int64(len(p)) > b.length || all && int64(len(p)) < b.length) {
		return // copy finds out
	}
	trailers := (*message.Fields)(nil)
	if all {
		trailers = b.body.Trailers()
	}
	trailed := trailers != nil && trailers.Len() > 0
	b.skip = s.append(p, all && !trailed)
	b.ended = all && b.skip == len(p)
	s.written += int64(b.skip)
	if b.ended && trailed {
		s.appendTrailers(trailers)
	}
}

// trailed reports whether trailers follow; asked when all content is in hand.
func (b *outgoing) trailed() bool {
	trailers := b.body.Trailers()
	return trailers != nil && trailers.Len() > 0
}

// copy sends the rest.
func (b *outgoing) copy() error {
	for {
		p, err := b.body.Next()
		if errors.Is(err, io.EOF) {
			return b.conclude()
		}
		if err != nil {
			return fmt.Errorf("response body broke off: %w", err)
		}
		k := min(b.skip, len(p))
		p, b.skip = p[k:], b.skip-k
		if len(p) == 0 {
			continue
		}
		if b.length >= 0 && b.s.written+int64(len(p)) > b.length {
			return wire.ErrTooLong
		}
		rest, all := b.body.InHand()
		end := all && len(rest) == 0 && (b.length < 0 || b.s.written+int64(len(p)) == b.length) && !b.trailed()
		if err := b.s.write(p, end); err != nil {
			return err
		}
		b.ended = end
	}
}

// conclude ends the stream behind the content.
func (b *outgoing) conclude() error {
	s := b.s
	switch {
	case b.ended:
		return nil
	case b.length >= 0 && s.written < b.length:
		return wire.ErrTooShort
	}
	return s.end(b.body.Trailers())
}

// end sends END_STREAM, with trailers if there are any.
func (s *stream) end(trailers *message.Fields) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || c.failed {
		return errBrokenOff
	}
	if trailers != nil && trailers.Len() > 0 {
		s.appendTrailers(trailers)
		return nil
	}
	c.out = AppendData(c.buffer(), s.id, nil, true)
	s.closeBlock(true)
	return nil
}

// appendTrailers appends what ends the stream. The caller holds conn.mu.
func (s *stream) appendTrailers(trailers *message.Fields) {
	out, start := s.openBlock()
	s.c.out = FinishBlock(AppendFields(out, trailers), start, s.id, true, DefaultFrameSize)
	s.closeBlock(true)
}

// write sends content, and waits as often as it must for windows and room. end says that it is the last.
func (s *stream) write(p []byte, end bool) error {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.wakeNext()
	turn := false
	for {
		if s.gone || c.failed {
			return errBrokenOff
		}
		if turn || c.head == nil {
			n := s.append(p, end)
			s.written += int64(n)
			if p = p[n:]; len(p) == 0 {
				return nil
			}
		}
		if s.rides() {
			c.mu.Unlock()
			s.Block()
			c.mu.Lock()
			continue
		}
		turn = s.await()
	}
}

// await waits until there may be something to send, and reports whether it is the stream's turn on the connection. The caller holds conn.mu.
func (s *stream) await() (turn bool) {
	c := s.c
	if s.send <= 0 {
		if s.stalled == 0 {
			s.stalled = c.s.clock.Load()
		}
		c.wakeNext()
		s.writable.Wait()
		return false
	}
	if c.send <= 0 && s.stalled == 0 {
		s.stalled = c.s.clock.Load()
	}
	c.enqueue(s)
	c.wakeNext()
	for s.queued && !s.gone && !c.failed {
		s.writable.Wait()
	}
	if s.queued {
		c.unqueue(s)
	}
	return true
}

// mayWrite wakes the stream's writer because its own window has changed, or because it has failed. The caller holds conn.mu.
func (s *stream) mayWrite() { s.writable.Signal() }

// usefulFrame is which frames count as useful work in the ledger.
const usefulFrame = 256

// append appends content in DATA frames, as much as windows and room allow, and returns how much that was. With all of it, end sets END_STREAM. The
// caller holds conn.mu.
func (s *stream) append(p []byte, end bool) (sent int) {
	c := s.c
	for len(p) > 0 {
		n := Take(&s.send, &c.send, min(len(p), c.room(), DefaultFrameSize))
		if n <= 0 {
			return sent
		}
		s.stalled = 0
		last := end && n == len(p)
		c.out = AppendData(c.buffer(), s.id, p[:n], last)
		s.localEnd = s.localEnd || last
		if n >= usefulFrame {
			c.useful.Add(1)
		}
		p = p[n:]
		sent += n
		c.wake()
	}
	if sent == 0 && end {
		c.out = AppendData(c.buffer(), s.id, nil, true)
		s.localEnd = true
		c.wake()
	}
	return sent
}

// refuse answers a request that the handler does not get to see.
func (s *stream) refuse() {
	why := s.refusal
	h, text := why.Answer()
	status := why.Status
	if s.Respond(h, &text) != nil {
		status = 0
	}
	s.c.s.handler.Refused(&s.peer, status, why)
}

// What a backend sends: frames, taken in a whole read at a time.

package h2

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// backendRead is how much is read at once: room for several frames of the usual size.
const backendRead = 64 << 10

var backendBuffers = sync.Pool{New: func() any { return new([backendRead]byte) }}

// read is the reader. While it waits it holds no buffer, where that is possible, unless there is a part of a frame in it.
func (c *BackendConn) read() {
	defer c.ended.Done()
	var buf *[backendRead]byte
	n := 0
	err := c.io.Receive(func() []byte {
		if buf == nil {
			buf = backendBuffers.Get().(*[backendRead]byte)
		}
		return buf[n:]
	}, func(m int) bool {
		used, ok := c.receive(buf[:n+m])
		n = copy(buf[:], buf[used:n+m])
		return ok
	}, func() {
		if n == 0 {
			backendBuffers.Put(buf)
			buf = nil
		}
	})
	if err != nil {
		c.closed(err)
	}
}

// closed is called when nothing more can be read.
func (c *BackendConn) closed(err error) {
	if errors.Is(err, io.EOF) {
		err = errBackendClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.settled {
		err = fmt.Errorf("%w: %w", errNotHTTP2, err)
	}
	c.end(err, NoError)
}

// receive handles the complete frames that p begins with, returns how long they are, and reports whether the connection goes on. Who
// waits for something of them is woken afterwards. If that is one coroutine, it goes on here.
func (c *BackendConn) receive(p []byte) (used int, ok bool) {
	c.mu.Lock()
	c.heard = true
	for c.failure == nil {
		f, n, err := ParseFrame(p[used:], DefaultFrameSize)
		if err == nil && n == 0 {
			break
		}
		if used += n; err == nil {
			err = c.frame(&f, n-FrameHead)
		}
		if err != nil {
			c.failed(err)
		}
	}
	ok = c.failure == nil
	alone := len(c.touched) == 1
	for i, s := range c.touched {
		s.touched = false
		if s.rider != nil {
			c.riders = append(c.riders, s.rider)
			c.touched[i] = nil
		}
	}
	c.mu.Unlock()
	for _, s := range c.touched {
		if s != nil {
			signal(s.news)
		}
	}
	for _, k := range c.riders {
		k.wake(alone)
	}
	clear(c.touched)
	clear(c.riders)
	c.touched, c.riders = c.touched[:0], c.riders[:0]
	return used, ok
}

// failed deals with an error of a stream or of the connection. c.mu is held.
func (c *BackendConn) failed(err error) {
	of, ok := errors.AsType[*StreamError](err)
	if !ok {
		c.fault(err)
		return
	}
	if s := c.streams[of.Stream]; s != nil {
		s.broken(of)
	}
}

// broken fails a stream because of what the backend sent on it. c.mu is held.
func (s *BackendStream) broken(e *StreamError) {
	s.c.opt.Stats.Malformed.Add(1)
	s.abandon(e.Code)
	s.fail(&wire.BackendError{Kind: wire.BackendBroken, Answered: true, Err: fmt.Errorf("not a valid response: %w", e)})
}

// frame handles one frame. size is its payload's with the padding. c.mu is held.
func (c *BackendConn) frame(f *Frame, size int) error {
	if err := c.expects(f); err != nil {
		return err
	}
	switch f.Type {
	case FrameData:
		return c.data(f, size)
	case FrameHeaders, FrameContinuation:
		return c.headers(f)
	case FrameResetStream:
		return c.resetBy(f)
	case FrameSettings:
		return c.settings(f)
	case FramePushPromise:
		return protocolError("a push that we have forbidden")
	case FramePing:
		return c.ping(f)
	case FrameGoAway:
		return c.goAway(f)
	case FrameWindowUpdate:
		return c.windowUpdate(f)
	}
	return nil // PRIORITY, and what nobody knows
}

// expects reports whether a frame may come now.
func (c *BackendConn) expects(f *Frame) error {
	of := c.blocks.Stream()
	switch {
	case of != 0 && (f.Type != FrameContinuation || f.Stream != of):
		return protocolError("a frame within a header block")
	case of == 0 && f.Type == FrameContinuation:
		return protocolError("CONTINUATION without HEADERS")
	case !c.settled && (f.Type != FrameSettings || f.Has(FlagAck)):
		return protocolError("the first frame is not SETTINGS")
	case f.Type == FrameHeaders, f.Type == FrameData && len(f.Payload) > 0:
		return nil
	}
	return c.vain()
}

// vain counts a frame that brought nothing.
func (c *BackendConn) vain() error {
	if c.quiet++; c.quiet > maxQuiet {
		return &ConnError{EnhanceYourCalm, "a flood of frames that bring nothing"}
	}
	return nil
}

// known returns the stream of a frame: nil if it is over. c.mu is held.
func (c *BackendConn) known(f *Frame) (*BackendStream, error) {
	if f.Stream >= c.nextID || f.Stream%2 == 0 {
		return nil, protocolError("a frame of a stream that was not opened")
	}
	s := c.streams[f.Stream]
	if s == nil || s.reset {
		return nil, nil //nolint:nilnil // frames of a stream that was just reset are on their way for a while
	}
	return s, nil
}

// touch has a stream woken after this read.
func (c *BackendConn) touch(s *BackendStream) {
	if !s.touched {
		s.touched = true
		c.touched = append(c.touched, s)
	}
}

func (c *BackendConn) data(f *Frame, size int) error {
	if !c.arrived.Arrived(size) {
		return &ConnError{FlowControlError, "more content than the connection's window"}
	}
	if n := c.arrived.Consumed(size); n > 0 {
		c.put(func(dst []byte) []byte { return AppendWindowUpdate(dst, 0, n) })
	}
	s, err := c.known(f)
	if err != nil {
		return err
	}
	if s == nil {
		return c.vain()
	}
	switch {
	case s.received:
		return &ConnError{StreamClosed, "content behind the end of its stream"}
	case !s.headed:
		return malformed(f.Stream, "content without a header")
	case !s.arriving.Arrived(size):
		return &StreamError{f.Stream, FlowControlError, "more content than the stream's window"}
	}
	if len(f.Payload) > 0 {
		c.quiet, c.probed = 0, false
		if s.left >= 0 {
			if s.left -= int64(len(f.Payload)); s.left < 0 {
				return malformed(f.Stream, "more content than content-length announces")
			}
		}
		if cap(s.content) == 0 {
			s.content = c.getBuffer()
		}
		s.content = append(s.content, f.Payload...)
	}
	if padding := size - len(f.Payload); padding > 0 {
		if n := s.arriving.Consumed(padding); n > 0 {
			c.put(func(dst []byte) []byte { return AppendWindowUpdate(dst, s.id, n) })
		}
	}
	c.touch(s)
	return s.endIf(f.Has(FlagEndStream))
}

// endIf ends what is received of a stream.
func (s *BackendStream) endIf(end bool) error {
	if !end {
		return nil
	}
	if s.left > 0 {
		return malformed(s.id, "less content than content-length announces")
	}
	s.received = true
	return nil
}

// headers takes a piece of a field block. Every block is decoded, whether its stream is over or not.
func (c *BackendConn) headers(f *Frame) error {
	complete, err := c.blocks.Read(f)
	if err != nil || !complete {
		return err
	}
	s, err := c.known(f)
	switch {
	case err != nil:
		return err
	case s == nil:
		return c.vain()
	case s.received:
		return &ConnError{StreamClosed, "a header behind the end of its stream"}
	}
	c.quiet, c.probed = 0, false
	c.touch(s)
	if s.headed {
		return s.trailer()
	}
	return s.response()
}

// trailer takes the complete block as trailers. c.mu is held.
func (s *BackendStream) trailer() (err error) {
	b := s.c.blocks
	if !b.EndStream() {
		return malformed(s.id, "trailers do not end the stream")
	}
	if s.trailing, err = b.Trailers(s.id, &s.trailers, s.trailing); err != nil {
		return err
	}
	return s.endIf(true)
}

// response takes the complete block as the head of a response. c.mu is held.
func (s *BackendStream) response() (err error) {
	b := s.c.blocks
	if s.memory, err = b.Response(s.id, &s.head, s.toHEAD, s.memory); err != nil {
		return err
	}
	if s.head.Status < 200 {
		return s.interim()
	}
	s.headed, s.left = true, s.head.Length
	switch {
	case s.bodiless(s.head.Status):
		s.left = 0
	case s.connect && s.head.Status <= 299:
		s.left = message.LengthUnknown // a tunnel has no length (RFC 9110 section 9.3.6)
	}
	return s.endIf(b.EndStream())
}

// interim puts an interim response aside.
func (s *BackendStream) interim() error {
	if s.passed++; s.passed > maxInterim {
		return &StreamError{s.id, EnhanceYourCalm, "interim responses without end"}
	}
	s.interims = append(s.interims, interim{head: s.head, memory: s.memory})
	s.head, s.memory = message.Head{}, nil
	return nil
}

// resetBy is RST_STREAM.
func (c *BackendConn) resetBy(f *Frame) error {
	s, err := c.known(f)
	if s == nil || err != nil {
		return err
	}
	s.reset = true
	c.touch(s)
	signal(s.grant)
	code := ErrCode(f.Uint32())
	switch {
	case s.received: // it does not want the rest of the request
	case code == RefusedStream && !s.headed && s.passed == 0:
		c.opt.Stats.Refused.Add(1)
		s.fail(&wire.BackendError{Kind: wire.BackendRefused, Err: errRefused})
	case code == HTTP11Required && !s.headed && s.passed == 0:
		c.opt.Stats.Refused.Add(1)
		s.fail(&wire.BackendError{Kind: wire.BackendRefused, Err: ErrHTTP1Required})
	default:
		c.opt.Stats.Resets.Add(1)
		s.fail(&wire.BackendError{Kind: wire.BackendBroken, Answered: true, Err: fmt.Errorf("the backend reset the stream: %v", code)})
	}
	return nil
}

// ErrHTTP1Required is why a backend refuses a request that it wants to have over HTTP/1.1 (RFC 9113 section 7), as servers do that authenticate
// connections.
var ErrHTTP1Required = errors.New("the backend demands that the request be sent over HTTP/1.1: HTTP_1_1_REQUIRED")

var (
	errRefused = errors.New("the backend refused the stream before it looked at the request: REFUSED_STREAM")
	errAway    = errors.New("the backend ended the connection before it looked at the request: GOAWAY")
)

// settings is SETTINGS.
func (c *BackendConn) settings(f *Frame) error {
	if f.Has(FlagAck) {
		return nil
	}
	before := c.peer.InitialWindowSize
	if err := c.peer.Apply(f.Payload); err != nil {
		return err
	}
	if change := int64(c.peer.InitialWindowSize) - int64(before); change != 0 {
		for _, s := range c.streams {
			if !s.window.Add(change) {
				return &ConnError{FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window larger than one can be"}
			}
			signal(s.grant)
		}
	}
	if !c.settled {
		c.settled = true
		close(c.ready)
	}
	if !c.retired {
		c.room.Store(int32(min(c.peer.MaxConcurrentStreams, maxBackendStreams)))
	}
	return c.owe(AppendSettingsAck)
}

// ping is PING.
func (c *BackendConn) ping(f *Frame) error {
	if f.Has(FlagAck) {
		c.pinged = false
		return nil
	}
	data := [8]byte(f.Payload)
	return c.owe(func(dst []byte) []byte { return AppendPing(dst, true, data) })
}

// goAway is GOAWAY: the streams behind the last one that it names were not processed, the others go on. It may come twice: first as an
// announcement, with the highest number there is.
func (c *BackendConn) goAway(f *Frame) error {
	last, code, _ := f.GoAway()
	if last > c.lastID {
		return protocolError("GOAWAY takes back that streams were not processed")
	}
	c.lastID = last
	if !c.retired {
		c.opt.Stats.GoAways.Add(1)
	}
	c.retire()
	for id, s := range c.streams {
		if id > last && !s.reset && !s.received {
			c.opt.Stats.Refused.Add(1)
			s.reset = true
			s.fail(&wire.BackendError{Kind: wire.BackendRefused, Err: fmt.Errorf("%w (%v)", errAway, code)})
		}
	}
	if c.load.Load() == 0 {
		c.end(errBackendRetired, NoError)
	}
	return nil
}

// windowUpdate is WINDOW_UPDATE.
func (c *BackendConn) windowUpdate(f *Frame) error {
	n := int64(f.Uint32())
	if f.Stream == 0 {
		if n == 0 {
			return protocolError("WINDOW_UPDATE by 0")
		}
		if !c.window.Add(n) {
			return &ConnError{FlowControlError, "the connection's window is larger than one can be"}
		}
		c.unblock()
		return nil
	}
	s, err := c.known(f)
	if s == nil || err != nil {
		return err
	}
	if n == 0 {
		return malformed(f.Stream, "WINDOW_UPDATE by 0")
	}
	if !s.window.Add(n) {
		return &StreamError{f.Stream, FlowControlError, "the stream's window is larger than one can be"}
	}
	signal(s.grant)
	return nil
}

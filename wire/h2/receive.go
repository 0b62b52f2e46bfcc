// Frames from the client, as the reader takes them.

package h2

import (
	"errors"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// take takes one frame, which had size bytes and was parsed with err.
func (c *conn) take(f *Frame, size int, err error) error {
	if _, fatal := errors.AsType[*ConnError](err); fatal {
		return err
	}
	if e := c.ordered(f); e != nil {
		return e
	}
	if err == nil {
		err = c.dispatch(f, size)
	}
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[*StreamError](err); ok {
		return c.streamError(s)
	}
	return err
}

// ordered checks what may come next.
func (c *conn) ordered(f *Frame) error {
	switch open := c.blocks.Stream(); {
	case !c.listened && (f.Type != FrameSettings || f.Has(FlagAck)):
		return protocolError("the first frame is not SETTINGS")
	case open != 0 && (f.Type != FrameContinuation || f.Stream != open):
		return protocolError("a header block is interrupted")
	case open == 0 && f.Type == FrameContinuation:
		return protocolError("CONTINUATION without HEADERS")
	}
	c.listened = true
	return nil
}

func (c *conn) dispatch(f *Frame, size int) error {
	switch f.Type {
	case FrameData:
		return c.data(f, size-FrameHead)
	case FrameHeaders, FrameContinuation:
		return c.block(f)
	case FrameResetStream:
		return c.resetByClient(f)
	case FrameSettings:
		return c.settings(f)
	case FramePing:
		return c.ping(f)
	case FrameWindowUpdate:
		return c.windowUpdate(f)
	case FramePushPromise:
		return protocolError("a client cannot push")
	case FrameGoAway:
		return nil // the client opens no further streams, and closes when it has its answers
	}
	return c.charge(floodOther)
}

// streamError resets a stream for what its client did.
func (c *conn) streamError(e *StreamError) error {
	c.s.handler.Refused(&c.peer, 0, e)
	c.mu.Lock()
	s := c.streams[e.Stream]
	if s != nil {
		s.reset(e.Code)
	} else {
		if e.Stream > c.last && e.Stream&1 == 1 {
			c.last = e.Stream
		}
		c.appendReset(e.Stream, e.Code)
	}
	c.mu.Unlock()
	if s != nil {
		s.leave(message.ClientGone)
	}
	return c.charge(floodError)
}

// appendReset sends a RST_STREAM, and remembers it: what the client has sent by then is no error. The caller holds mu.
func (c *conn) appendReset(stream uint32, code ErrCode) {
	if c.stage == ended {
		return
	}
	c.out = AppendResetStream(c.buffer(), stream, code)
	c.resets[c.resetAt] = stream
	c.resetAt = (c.resetAt + 1) % len(c.resets)
	c.wake()
}

// wasReset reports whether we have reset a stream lately. The caller holds mu.
func (c *conn) wasReset(stream uint32) bool {
	for _, id := range c.resets {
		if id == stream {
			return true
		}
	}
	return false
}

// reply makes sure that answers to frames do not come together without end. The caller holds mu, and has appended one.
func (c *conn) reply() error {
	c.wake()
	if len(c.out) > outputLimit+controlLimit {
		return &FloodError{allowances[floodUnread].Name}
	}
	return nil
}

func (c *conn) settings(f *Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Has(FlagAck) {
		c.settled = true
		return nil
	}
	before := c.remote.InitialWindowSize
	if err := c.remote.Apply(f.Payload); err != nil {
		return err
	}
	if change := int64(c.remote.InitialWindowSize) - int64(before); change != 0 {
		for _, s := range c.streams {
			if !s.send.Add(change) {
				return &ConnError{FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"}
			}
			s.mayWrite()
		}
	}
	c.out = AppendSettingsAck(c.buffer())
	if err := c.reply(); err != nil {
		return err
	}
	return c.charge(floodSettings)
}

func (c *conn) ping(f *Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	data := [8]byte(f.Payload)
	if f.Has(FlagAck) {
		if c.stage == warned && data == drainPing {
			c.depart()
		}
		return nil
	}
	c.out = AppendPing(c.buffer(), true, data)
	if err := c.reply(); err != nil {
		return err
	}
	return c.charge(floodPing)
}

// tinyUpdate is which increments count as flood.
const tinyUpdate = 256

func (c *conn) windowUpdate(f *Frame) error {
	n := f.Uint32()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case n == 0 && f.Stream == 0:
		return protocolError("WINDOW_UPDATE of nothing")
	case f.Stream == 0:
		if !c.send.Add(int64(n)) {
			return &ConnError{FlowControlError, "window of the connection is too large"}
		}
		c.wakeNext()
	default:
		s := c.streams[f.Stream]
		switch {
		case s == nil:
			return c.unopened(f)
		case n == 0:
			return malformed(f.Stream, "WINDOW_UPDATE of nothing")
		case !s.send.Add(int64(n)):
			return &StreamError{f.Stream, FlowControlError, "window of the stream is too large"}
		}
		s.mayWrite()
	}
	if n < tinyUpdate {
		return c.charge(floodWindow)
	}
	return nil
}

// unopened is for frames of streams that are over, which are ignored, or that never were, which is an error. The caller holds mu.
func (c *conn) unopened(f *Frame) error {
	if f.Stream > c.last || f.Stream&1 == 0 {
		return protocolError("frame on a stream that was never opened")
	}
	return c.charge(floodClosed)
}

func (c *conn) resetByClient(f *Frame) error {
	c.mu.Lock()
	s := c.streams[f.Stream]
	if s == nil {
		defer c.mu.Unlock()
		return c.unopened(f)
	}
	s.fail(message.ClientGone)
	s.remoteEnd, s.localEnd = true, true
	c.mu.Unlock()
	s.leave(message.ClientGone)
	return c.charge(floodReset)
}

// data takes content; size counts the padding, too.
func (c *conn) data(f *Frame, size int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.receive.Arrived(size) {
		return &ConnError{FlowControlError, "client sends beyond the window of the connection"}
	}
	s := c.streams[f.Stream]
	if s == nil || s.remoteEnd {
		c.consumed(size)
		return c.strayData(f)
	}
	return s.arrived(f, size)
}

// strayData is for content on a stream that takes none. The caller holds mu.
func (c *conn) strayData(f *Frame) error {
	switch {
	case f.Stream > c.last && c.stage == leaving && f.Stream&1 == 1:
		return nil // of a request that came too late
	case f.Stream > c.last || f.Stream&1 == 0:
		return protocolError("DATA on a stream that was never opened")
	case c.wasReset(f.Stream):
		return c.charge(floodClosed)
	}
	return &StreamError{f.Stream, StreamClosed, "DATA behind the end of the stream"}
}

// consumed gives window of the connection back. The caller holds mu.
func (c *conn) consumed(n int) {
	if k := c.receive.Consumed(n); k > 0 && c.stage != ended {
		c.out = AppendWindowUpdate(c.buffer(), 0, k)
		c.wake()
	}
}

// block takes a HEADERS or CONTINUATION frame.
func (c *conn) block(f *Frame) error {
	if f.Type == FrameHeaders {
		if err := c.mayOpen(f.Stream); err != nil {
			return err
		}
	}
	complete, err := c.blocks.Read(f)
	if err != nil {
		return err
	}
	if !complete {
		if len(f.Payload) == 0 {
			return c.charge(floodEmpty)
		}
		return nil
	}
	c.mu.Lock()
	s, known := c.streams[f.Stream], f.Stream <= c.last
	c.mu.Unlock()
	switch {
	case !known:
		return c.open(f.Stream)
	case s != nil:
		return c.trailers(s)
	}
	return c.charge(floodClosed)
}

// mayOpen checks the stream of a HEADERS frame before its block is read.
func (c *conn) mayOpen(stream uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case stream&1 == 0:
		return protocolError("client opens a stream with an even number")
	case stream <= c.last && c.streams[stream] == nil && !c.wasReset(stream):
		return &ConnError{StreamClosed, "HEADERS on a stream that is over"}
	}
	return nil
}

// open begins a stream with the complete block.
func (c *conn) open(id uint32) error {
	c.mu.Lock()
	late := c.stage == leaving || c.stage == ended
	full := c.full()
	if !late {
		c.last = id
	}
	if full && !late {
		c.appendReset(id, RefusedStream)
	}
	c.mu.Unlock()
	if late {
		return nil // the client knows, or will, that nobody has looked at it
	}
	if full {
		return c.charge(floodRefused)
	}
	s := c.newStream(id)
	memory, err := c.blocks.Request(id, &s.request, s.memory)
	s.memory = memory
	if err != nil {
		refusal, ok := errors.AsType[*wire.ParseError](err)
		if !ok {
			c.putStream(s)
			return err
		}
		s.refusal = refusal
	}
	s.begin(c.blocks.EndStream())
	c.ready = append(c.ready, s)
	return nil
}

// full reports whether the client has as many streams as it may. Those that are over for it do not count, even if their handlers have not noticed
// yet: a client that keeps to the limit is not to be refused. There are no more of those than of others. The caller holds mu.
func (c *conn) full() bool {
	limit := c.s.lim.Streams
	if c.running < limit || c.running >= 2*limit {
		return c.running >= limit
	}
	open := 0
	for _, s := range c.streams {
		if !s.gone && (!s.localEnd || !s.remoteEnd) {
			open++
		}
	}
	return open >= limit
}

// trailers takes the complete block as the end of a stream's content.
func (c *conn) trailers(s *stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.remoteEnd && c.wasReset(s.id):
		return c.charge(floodClosed)
	case s.remoteEnd && s.localEnd:
		return &ConnError{StreamClosed, "HEADERS on a stream that is over"}
	case s.remoteEnd:
		return &StreamError{s.id, StreamClosed, "HEADERS behind the end of the stream"}
	case !c.blocks.EndStream():
		return malformed(s.id, "trailers do not end the stream")
	}
	memory, err := c.blocks.Trailers(s.id, &s.trailers, s.trailerMemory)
	s.trailerMemory = memory
	if err != nil {
		return err
	}
	s.hasTrailers = true
	return s.ends()
}

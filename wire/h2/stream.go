// One request and its response: a stream, from its header to the end of its handler.

package h2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// stream implements wire.Exchange. A connection uses its streams again, with the memory that they have, and with their Peer, so that a handler's
// cache lives as long.
type stream struct {
	c       *conn
	id      uint32
	peer    wire.Peer
	request message.Head
	memory  []byte // of request
	arrival int64
	refusal *wire.ParseError // the wire answers by itself
	body    requestBody
	hasBody bool
	key     [WebSocketKeySize]byte // of an extended CONNECT
	watch   watch
	// coroutine is what the handler runs in; nil: a goroutine of its own.
	coroutine *coroutine

	// Of the handler's goroutine.
	answered bool // Respond, Tunnel or Abort was called
	flushes  bool // this goroutine has to write the connection's output
	written  int64

	// Guarded by conn.mu.
	send          SendWindow
	receive       ReceiveWindow
	left          int64 // content that the request's length promises and that has not come; -1: unknown
	expects       bool  // the client waits for a 100
	responded     bool  // a final response has begun
	remoteEnd     bool  // the client sends nothing more
	localEnd      bool  // we send nothing more
	gone          bool  // broken off: the stream was reset by either side, or the connection lost
	reason        message.Reason
	trailers      message.Fields
	trailerMemory []byte
	hasTrailers   bool
	tunnelled     bool
	stalled       int64 // since when the client's windows have kept us from sending; 0: they do not
	writable      sync.Cond
	readable      sync.Cond
	queued        bool // in conn.output's queue
	next          *stream
}

const (
	// keptStreams is how many streams a connection keeps for later ones; keptMemory is how much memory a kept one may have.
	keptStreams = 32
	keptMemory  = 8 << 10
)

// newStream returns a stream that nobody else knows yet.
func (c *conn) newStream(id uint32) *stream {
	c.mu.Lock()
	var s *stream
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	}
	c.mu.Unlock()
	if s == nil {
		s = &stream{c: c, peer: c.peer}
		s.peer.Cache = nil
		s.writable.L, s.readable.L = &c.mu, &c.mu
		s.body.s = s
	}
	s.watch.end() // whoever came too late to tell the stream's last user
	s.id, s.arrival = id, c.arrival
	return s
}

// begin makes the stream known, with the request that was read; end says that the client has sent all of it.
func (s *stream) begin(end bool) {
	c := s.c
	h := &s.request
	h.Scheme = schemeHTTP // whatever the client claims
	if c.peer.TLS != nil {
		h.Scheme = schemeHTTPS
	}
	s.left = -1
	if h.Length >= 0 {
		s.left = h.Length
	}
	s.hasBody = !end && h.Length != 0 && len(h.Upgrade) == 0
	s.expects = h.ExpectContinue
	s.remoteEnd = end
	if len(h.Upgrade) > 0 && s.refusal == nil {
		s.key = NewWebSocketKey()
		h.Fields.Set(wsKeyName, s.key[:])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.send, s.receive = SendWindow(c.remote.InitialWindowSize), NewReceiveWindow(uploadWindow)
	c.streams[s.id] = s
	c.running++
	c.used = true
}

// run serves the stream; it is a worker's job.
func (s *stream) run() {
	c := s.c
	s.serve()
	if flushes := s.finish(); flushes {
		c.flush()
	}
}

// ride is run within the stream's coroutine.
func (s *stream) ride() {
	c, k := s.c, s.coroutine
	s.serve()
	flushes := s.finish()
	switch {
	case flushes && k.own:
		c.flush()
	case flushes:
		c.tryFlush()
	}
}

// whole reports whether the request is complete, and one that the handler gets to see and answers.
func (s *stream) whole() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.remoteEnd && !s.gone && s.refusal == nil && len(s.request.Upgrade) == 0
}

// rides reports whether the handler is in a coroutine that has no goroutine of its own.
func (s *stream) rides() bool { return s.coroutine != nil && !s.coroutine.own }

// Block implements wire.Blocker.
func (s *stream) Block() {
	if s.rides() {
		s.coroutine.block()
	}
}

// serve shields the connection from a handler that panics.
func (s *stream) serve() {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v)
		}
	}()
	if s.refusal != nil {
		s.refuse()
		return
	}
	s.c.s.handler.Serve(s)
}

func (s *stream) panicked(v any) {
	s.c.s.log.LogAttrs(context.Background(), slog.LevelError, "handler panicked", slog.String("panic", fmt.Sprint(v)),
		slog.String("stack", string(debug.Stack())))
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.responded {
		s.answered = false
		return // finish answers
	}
	s.reset(InternalError)
}

// finish ends the exchange after the handler has returned. It reports whether the caller is to write the connection's output; the stream
// may then be somebody else's already.
func (s *stream) finish() (flushes bool) {
	c := s.c
	if !s.answered {
		c.s.log.LogAttrs(context.Background(), slog.LevelError, "handler gave no response", slog.String("method", string(s.request.Method)))
		_ = s.Respond(&message.Head{Status: 500}, nil)
	}
	s.watch.end()
	s.body.abandon()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.localEnd && !s.gone {
		s.reset(InternalError)
	}
	if !s.remoteEnd && !s.gone {
		// The answer is complete, and what is still to come of the request is of no use (RFC 9113 section 8.1).
		c.appendReset(s.id, NoError)
	}
	if !s.gone {
		c.useful.Add(1)
	}
	c.consumed(len(s.body.in))
	delete(c.streams, s.id)
	flushes = s.flushes
	s.forget()
	c.put(s)
	c.running--
	c.idleSince = c.s.clock.Load()
	if c.running == 0 {
		if c.stage == leaving {
			c.stopReading(errLeft)
		}
		c.quiet.Broadcast()
	}
	return flushes
}

// put keeps a stream for later. The caller holds mu.
func (c *conn) put(s *stream) {
	if len(c.free) < keptStreams && c.stage != ended {
		c.free = append(c.free, s)
	}
}

// putStream gives a stream back that was never begun.
func (c *conn) putStream(s *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(s)
}

// forget makes the stream as good as new. The caller holds conn.mu.
func (s *stream) forget() {
	s.request.Reset()
	s.trailers.Reset()
	s.body.forget()
	if cap(s.memory) > keptMemory {
		s.memory = nil
	}
	if cap(s.trailerMemory) > keptMemory {
		s.trailerMemory = nil
	}
	s.coroutine = nil
	s.refusal, s.hasBody, s.answered, s.flushes, s.written = nil, false, false, false, 0
	s.expects, s.responded, s.remoteEnd, s.localEnd, s.gone = false, false, false, false, false
	s.hasTrailers, s.tunnelled, s.stalled, s.reason = false, false, 0, 0
}

// fail breaks the stream off: what waits on it returns an error. The caller holds conn.mu, and calls leave when it does not any more.
func (s *stream) fail(r message.Reason) {
	if !s.gone {
		s.gone, s.reason = true, r
	}
	s.readable.Broadcast()
	s.mayWrite()
}

// reset ends the stream with a RST_STREAM, unless both sides have ended it. The caller holds conn.mu.
func (s *stream) reset(code ErrCode) {
	if s.localEnd && s.remoteEnd && !s.gone || s.c.wasReset(s.id) {
		return
	}
	s.c.appendReset(s.id, code)
	s.localEnd, s.remoteEnd = true, true
	s.fail(message.Reset)
}

// leave tells whoever is to know that the client has left, or whatever else the reason is.
func (s *stream) leave(r message.Reason) { s.watch.breakOff(s, r) }

// ends notes that the request is complete. The caller holds conn.mu.
func (s *stream) ends() error {
	s.remoteEnd = true
	s.readable.Broadcast()
	if s.left > 0 {
		return malformed(s.id, "content is shorter than content-length")
	}
	return nil
}

// errBrokenOff is why nothing more can be read from or sent on a stream.
var errBrokenOff = errors.New("the stream was reset or its connection lost")

func (s *stream) Request() *message.Head { return &s.request }

func (s *stream) Body() message.Body {
	if !s.hasBody {
		return nil
	}
	return &s.body
}

func (s *stream) Peer() *wire.Peer   { return &s.peer }
func (s *stream) Arrived() time.Time { return s.c.s.epoch.Add(time.Duration(s.arrival)) }
func (s *stream) Written() int64     { return s.written }

func (s *stream) Abort(r message.Reason) {
	s.answered = true
	code := InternalError
	if r == message.ClientGone || r == message.Shutdown {
		code = Cancel
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !s.localEnd {
		s.reset(code)
	}
}

func (s *stream) Watch(k wire.Canceller) { s.watch.set(k) }

func (s *stream) Context() context.Context { return s.watch.context() }

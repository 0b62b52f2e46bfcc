// Connections of HTTP/2 to one endpoint, which requests share.
//
// A request takes a stream of a connection that has one free, and waits for a new connection only where none has. Few connections are better
// than many, because what is sent and received together costs one system call; but one connection is one reader's work, so from sharedLoad
// streams on it gets a second one beside it, up to sharedSpread; more only when the backend's limit of streams leaves no other way. For
// example with a limit of 100 streams: requests 1 to 32 go to one connection, the 33rd goes there too and has a second one opened, and when four
// have 100 each the 401st request waits for a fifth.
//
// Who dials is a goroutine of its own, because its result is everyone's who waits: a client that leaves takes nobody's connection with it.

package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

const (
	// sharedLoad is how many streams a connection has before another one is opened beside it, and sharedSpread up to how many connections.
	sharedLoad   = 32
	sharedSpread = 4
	// sharedPresumed is how many requests wait for one dial while nobody knows how many streams a connection will have.
	sharedPresumed = 100
)

var (
	errNoStreams  = errors.New("the backend allows no streams (SETTINGS_MAX_CONCURRENT_STREAMS is 0)")
	errNotChosen  = errors.New("TLS handshake: the backend does not choose h2 (ALPN): does it speak HTTP/2?")
	errNoConnect  = errors.New("a WebSocket over HTTP/2 needs a backend that takes extended CONNECT (RFC 8441), and this one says that it does not")
	errRetired    = errors.New("the endpoint is not in use any more")
	errChoseHTTP1 = errors.New("the backend chose HTTP/1.1")
)

// shared are the connections of one lane of an endpoint. It may be used concurrently.
type shared struct {
	*lane
	ctx    context.Context //nolint:containedctx // of the dials, which belong to no request
	cancel context.CancelFunc

	mu       sync.Mutex
	conns    []*h2.BackendConn
	dials    int // under way
	waiting  int // requests that wait for them
	presumed int // streams that a new connection will have
	changed  chan struct{}
	failures int // dials that failed so far
	failure  *Error
	closed   bool
}

func newShared(l *lane) *shared {
	s := &shared{lane: l, presumed: sharedPresumed, changed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// join returns a connection with a stream reserved, other than avoid. Both results are nil if the endpoint turned out to speak HTTP/1.1.
func (s *shared) join(a *attempt, avoid *h2.BackendConn) (*h2.BackendConn, *Error) {
	s.mu.Lock()
	c := s.reserve(avoid)
	s.mu.Unlock()
	if a.reused = c != nil; a.reused {
		return c, nil
	}
	wire.Block(a.x)
	return s.await(a, avoid)
}

// await is join where no connection had a stream to give.
func (s *shared) await(a *attempt, avoid *h2.BackendConn) (*h2.BackendConn, *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.reserve(avoid); c != nil {
		a.reused = true
		return c, nil
	}
	ctx, cancel := a.context(s.patience())
	defer cancel()
	for seen := s.failures; ; {
		switch {
		case s.closed:
			return nil, &Error{Result: NoEndpoint, Endpoint: s.endpoint.addr, Socket: s.endpoint.path, Err: errRetired}
		case s.failures != seen:
			return nil, s.failure
		case s.endpoint.chose.Load() == choseHTTP1:
			return nil, nil //nolint:nilnil // as promised
		}
		s.waiting++
		if s.waiting > s.dials*s.presumed {
			s.begin()
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
		s.waiting--
		if c := s.reserve(avoid); c != nil {
			return c, nil
		}
		if ctx.Err() != nil {
			err := fmt.Errorf("waiting for a connection to %s: %w", s.endpoint, context.Cause(ctx))
			return nil, &Error{Result: a.result(ConnectFailed), Endpoint: s.endpoint.addr, Socket: s.endpoint.path, Err: err}
		}
	}
}

// patience is how long a dial may take with all that belongs to it.
func (s *shared) patience() time.Duration {
	o := &s.endpoint.backend.registry.opt
	return o.ConnectTimeout + 2*o.HandshakeTimeout
}

// reserve takes a stream of the first connection that has little to do, or else of the one that has least. s.mu is held.
func (s *shared) reserve(avoid *h2.BackendConn) *h2.BackendConn {
	var best *h2.BackendConn
	least := 0
	for _, c := range s.conns {
		load := c.Load()
		if c == avoid || load >= c.Room() || best != nil && load >= least {
			continue
		}
		if best, least = c, load; load < sharedLoad {
			break
		}
	}
	if best == nil || !best.Reserve() {
		return nil
	}
	if least >= sharedLoad && s.dials == 0 && len(s.conns) < min(sharedSpread, runtime.GOMAXPROCS(0)) {
		s.begin()
	}
	return best
}

// begin starts a dial. s.mu is held.
func (s *shared) begin() {
	if !s.closed {
		s.dials++
		go s.dial()
	}
}

// dial makes one connection and tells everyone who waits.
func (s *shared) dial() {
	c, failure := s.connect()
	if failure != nil && !errors.Is(failure, errChoseHTTP1) && !errors.Is(failure, context.Canceled) {
		s.endpoint.unreachable(failure)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials--
	switch {
	case failure == nil:
		s.presumed = max(1, c.Room())
	case !errors.Is(failure, errChoseHTTP1):
		s.failures++
		s.failure = failure
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// connect dials, does the handshakes, and lists the connection.
func (s *shared) connect() (*h2.BackendConn, *Error) {
	e := s.endpoint
	r := e.backend.registry
	fail := func(result Result, err error) (*h2.BackendConn, *Error) {
		return nil, &Error{Result: result, Endpoint: e.addr, Socket: e.path, Err: fmt.Errorf("connecting to %s: %w", e, err)}
	}
	ctx, cancel := context.WithTimeout(s.ctx, r.opt.ConnectTimeout)
	defer cancel()
	nc, err := s.lane.connect(ctx)
	if err != nil {
		return fail(ConnectFailed, err)
	}
	ctx, cancel = context.WithTimeout(s.ctx, r.opt.HandshakeTimeout)
	defer cancel()
	if e.tls2 != nil {
		if nc, err = e.secure(ctx, nc, e.tls2); err != nil {
			return fail(HandshakeFailed, err)
		}
		if wire.BackendALPN(nc) != "h2" {
			return nil, s.http1(nc)
		}
	}
	e.chose.Store(choseHTTP2)
	c := h2.NewBackendConn(nc, h2.BackendOptions{
		Secure: e.tls2 != nil, Idle: r.opt.SharedIdleTimeout, Retired: s.remove, Stats: &e.stats.HTTP2,
	})
	s.add(c)
	err = c.Ready(ctx.Done())
	if err == nil && c.Room() == 0 {
		err = errNoStreams
	}
	if err != nil {
		c.Close()
		return fail(HandshakeFailed, err)
	}
	e.stats.Opened.Add(1)
	e.restore()
	return c, nil
}

// http1 takes a connection on which the backend did not choose h2.
func (s *shared) http1(nc net.Conn) *Error {
	e := s.endpoint
	if e.backend.protocol != Auto {
		_ = nc.Close() // nobody is left who could do anything about an error
		return &Error{Result: HandshakeFailed, Endpoint: e.addr, Socket: e.path, Err: fmt.Errorf("connecting to %s: %w", e, errNotChosen)}
	}
	e.stats.Opened.Add(1)
	e.restore()
	e.chose.Store(choseHTTP1)
	s.put(e.speakHTTP1(nc))
	return &Error{Result: HandshakeFailed, Endpoint: e.addr, Socket: e.path, Err: errChoseHTTP1}
}

// add lists a connection, from which nothing can be reserved yet.
func (s *shared) add(c *h2.BackendConn) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.conns = append(s.conns, c)
	}
	s.mu.Unlock()
	if closed {
		c.Retire()
	}
}

// remove forgets a connection that takes no more streams.
func (s *shared) remove(c *h2.BackendConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.conns {
		if other == c {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			return
		}
	}
}

// close breaks dials off and lets connections go when their streams have ended.
func (s *shared) close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	conns := append([]*h2.BackendConn(nil), s.conns...)
	s.mu.Unlock()
	for _, c := range conns {
		c.Retire()
	}
}

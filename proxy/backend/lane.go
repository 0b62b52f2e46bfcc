// Lanes: which connections of an endpoint a request may use.
//
// Usually any: an endpoint is a lane itself, for the requests of all clients. But where connections begin with a header of the PROXY protocol, which says who the client is,
// a request may only use one that was opened for its own client, or the backend takes it for somebody else's. There each connection of
// a client has a lane of its own at each endpoint that its requests come to:
//
//	client A, HTTP/2   lane A   one connection of HTTP/2, or as many of HTTP/1.1 as it has requests at once
//	client B, HTTP/1   lane B   one connection of HTTP/1.1
//
// It is the connection that counts, and not the client's address: behind the same address and port there may be somebody else a moment later. A lane
// ends with the client's connection: idle connections are closed at once, so that backends see their clients go, and those in use when
// they are done. What a client leaves idle is closed after Options.IdleTimeout, as elsewhere, and all lanes of an endpoint together keep no more
// idle connections than Options.IdlePerEndpoint.

package backend

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/dial"
	"github.com/wicketgate/wicketgate/wire"
)

// laneIdle is how many idle connections of HTTP/1.1 a lane keeps: as many as a client may have requests at once.
const laneIdle = 128

// lane is a set of connections of an endpoint that are alike. It may be used concurrently.
type lane struct {
	endpoint *endpoint
	pool     pool
	shared   *shared      // nil: HTTP/1.1 is all that is spoken
	origin   *wire.Origin // whose lane it is; nil: anybody's

	// Guarded by endpoint.lanes.mu, of lanes with an origin.
	users int  // requests that use it
	ended bool // the client's connection is over
}

// lanes are those of an endpoint whose connections are for one client.
type lanes struct {
	idle atomic.Int32 // connections in their pools

	mu      sync.Mutex
	byPeer  map[*wire.Origin]*lane
	retired bool
}

// lane returns the one for a client's requests, which leaves it when it is done.
func (e *endpoint) laneOf(o *wire.Origin) *lane {
	if e.backend.introduce == 0 || o == nil {
		return &e.lane
	}
	s := &e.lanes
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.byPeer[o]
	if l == nil {
		l = e.newLane(o)
		if s.byPeer == nil {
			s.byPeer = map[*wire.Origin]*lane{}
		}
		s.byPeer[o] = l
		l.ended = !o.Attach(l)
		switch {
		case s.retired:
			l.close()
		case l.ended:
			l.pool.close()
		}
	}
	l.users++
	return l
}

func (e *endpoint) newLane(o *wire.Origin) *lane {
	l := &lane{endpoint: e, origin: o}
	l.pool.init(1, laneIdle)
	l.pool.together, l.pool.most = &e.lanes.idle, int32(e.backend.registry.opt.IdlePerEndpoint)
	if e.shared != nil {
		l.shared = newShared(l)
	}
	return l
}

// leave says that a request is done with the lane.
func (l *lane) leave() {
	if l.origin == nil {
		return
	}
	s := &l.endpoint.lanes
	s.mu.Lock()
	l.users--
	over := l.ended && l.users == 0
	if over {
		delete(s.byPeer, l.origin)
	}
	s.mu.Unlock()
	if over {
		l.close()
	}
}

// OriginEnded implements wire.Companion.
func (l *lane) OriginEnded() {
	s := &l.endpoint.lanes
	s.mu.Lock()
	l.ended = true
	over := l.users == 0
	if over {
		delete(s.byPeer, l.origin)
	}
	s.mu.Unlock()
	if l.pool.close(); over {
		l.close()
	}
}

// close closes idle connections now, and those in use when they come back, or when their last stream ends.
func (l *lane) close() {
	l.pool.close()
	if l.shared != nil {
		l.shared.close()
	}
}

// retire ends the endpoint's part in the backend.
func (e *endpoint) retire() {
	e.close()
	s := &e.lanes
	s.mu.Lock()
	s.retired = true
	all := s.byPeer
	s.byPeer = nil
	s.mu.Unlock()
	for o, l := range all {
		o.Detach(l)
		l.close()
	}
}

// put gives a connection back to its lane, which closes it if it has no use for it.
func (l *lane) put(c *wire.BackendConn) {
	sw := &l.endpoint.backend.registry.sweep
	if !l.pool.put(c, sw.round.Load()) {
		c.Close()
		return
	}
	if !l.pool.listed.Load() {
		sw.add(&l.pool)
	}
}

// connect opens a connection to the endpoint and says for whom, where the backend wants to know. It does so at once and in one piece, before TLS.
func (l *lane) connect(ctx context.Context) (net.Conn, error) {
	c, err := l.endpoint.connect(ctx, l.origin)
	if err == nil {
		dial.KeepAlive(c)
	}
	return c, err
}

// introduced is connect's connection with the header sent.
func introduced(ctx context.Context, c net.Conn, o *wire.Origin, version int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetWriteDeadline(end) // if it fails, so does what follows
	}
	_, err := c.Write(o.AppendIntroduction(make([]byte, 0, 128), version))
	if err == nil {
		err = c.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		_ = c.Close() // it is given up
		return nil, fmt.Errorf("sending the header of the PROXY protocol: %w", err)
	}
	return c, nil
}

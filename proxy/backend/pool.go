// Idle connections of one lane of an endpoint, and the sweeper that closes those that were not wanted for too long.
//
// The pool is a few stacks, each behind a lock of its own, so that cores do not queue for one: a connection goes to a stack chosen at random
// and is taken from the next one that has any. Within a stack the last in is the first out: the connections that load needs stay
// in use, the others grow old and are swept.
//
// No clock is read when a connection comes or goes: the sweeper counts its rounds, and a connection remembers the round in which it came.

package backend

import (
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wicketgate/wicketgate/wire"
)

// sweepRounds is how many rounds of the sweeper make up the idle timeout: connections are kept for that time, and at most an eighth longer.
const sweepRounds = 8

type idleConn struct {
	conn  *wire.BackendConn
	round uint32
}

type stack struct {
	mu   sync.Mutex
	n    atomic.Int32 // len(idle), to look without the lock
	idle []idleConn
	_    [64]byte // a cache line of its own
}

// pool holds the idle connections of a lane. It may be used concurrently.
type pool struct {
	stacks  []stack // a power of two
	perMax  int     // bound of one stack
	closed  atomic.Bool
	listed  atomic.Bool // known to the sweeper
	entries atomic.Int32
	// together, if set, counts the connections of several pools, which have no more than most.
	together *atomic.Int32
	most     int32
}

// count adds connections that came or, below zero, that went.
func (p *pool) count(n int32) {
	p.entries.Add(n)
	if p.together != nil {
		p.together.Add(n)
	}
}

// stacks is how many a pool has that all cores use.
func stacks() int {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < 16 {
		n *= 2
	}
	return n
}

// init makes n stacks, a power of two, for so many connections in all.
func (p *pool) init(n, limit int) {
	p.stacks = make([]stack, n)
	p.perMax = max(1, limit/n)
}

// take removes an idle connection, or returns nil. Whether it is still alive only the exchange finds out.
func (p *pool) take() *wire.BackendConn {
	if p.entries.Load() == 0 {
		return nil
	}
	mask := uint32(len(p.stacks) - 1)
	at := rand.Uint32()
	for i := range uint32(len(p.stacks)) {
		s := &p.stacks[(at+i)&mask]
		if s.n.Load() == 0 {
			continue
		}
		if c := s.pop(); c != nil {
			p.count(-1)
			return c
		}
	}
	return nil
}

func (s *stack) pop() *wire.BackendConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	c := s.idle[n-1].conn
	s.idle[n-1] = idleConn{}
	s.idle = s.idle[:n-1]
	s.n.Store(int32(n - 1))
	return c
}

// put keeps c, or reports that there is no room for it or no use.
func (p *pool) put(c *wire.BackendConn, round uint32) bool {
	s := &p.stacks[rand.Uint32()&uint32(len(p.stacks)-1)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.closed.Load() || len(s.idle) >= p.perMax || p.together != nil && p.together.Load() >= p.most {
		return false
	}
	s.idle = append(s.idle, idleConn{c, round})
	s.n.Store(int32(len(s.idle)))
	p.count(1)
	return true
}

// expire closes what has been idle since a round at or before last.
func (p *pool) expire(last uint32) {
	for i := range p.stacks {
		for _, c := range p.stacks[i].cut(last, false) {
			p.count(-1)
			c.conn.Close()
		}
	}
}

// close closes all connections, now and those that come back later.
func (p *pool) close() {
	p.closed.Store(true)
	for i := range p.stacks {
		for _, c := range p.stacks[i].cut(0, true) {
			p.count(-1)
			c.conn.Close()
		}
	}
}

// cut removes and returns the connections that came in round last or before, or all. They are the bottom of the stack.
func (s *stack) cut(last uint32, all bool) []idleConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := 0
	for k < len(s.idle) && (all || int32(s.idle[k].round-last) <= 0) {
		k++
	}
	if k == 0 {
		return nil
	}
	old := append([]idleConn(nil), s.idle[:k]...)
	n := copy(s.idle, s.idle[k:])
	clear(s.idle[n:])
	s.idle = s.idle[:n]
	s.n.Store(int32(n))
	return old
}

// speakHTTP1 takes over a fresh connection to the endpoint.
func (e *endpoint) speakHTTP1(nc net.Conn) *wire.BackendConn {
	c := wire.NewBackendConn(nc, e.backend.registry.opt.Portable)
	e.stats.HTTP1.Add(1)
	c.OnClose(func() { e.stats.HTTP1.Add(-1) })
	return c
}

// sweeper closes connections that were idle for too long. Its goroutine runs while any pool has idle connections.
type sweeper struct {
	idle  time.Duration
	round atomic.Uint32

	mu     sync.Mutex
	active []*pool
	runs   bool
}

func (s *sweeper) add(p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.listed.Swap(true) {
		return
	}
	s.active = append(s.active, p)
	if !s.runs {
		s.runs = true
		go s.run()
	}
}

func (s *sweeper) run() {
	t := time.NewTicker(max(s.idle/sweepRounds, time.Millisecond))
	defer t.Stop()
	for range t.C {
		last := s.round.Add(1) - sweepRounds - 1
		if !s.pass(last) {
			return
		}
	}
}

// pass expires connections once, drops pools without any from the list, and reports whether some are left.
func (s *sweeper) pass(last uint32) bool {
	s.mu.Lock()
	work := append([]*pool(nil), s.active...)
	s.mu.Unlock()
	for _, p := range work {
		p.expire(last)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.active[:0]
	for _, p := range s.active {
		// Unlist first and look then: a connection that comes in between is seen here, or lists the pool again.
		p.listed.Store(false)
		if p.entries.Load() > 0 {
			p.listed.Store(true)
			kept = append(kept, p)
		}
	}
	clear(s.active[len(kept):])
	s.active = kept
	s.runs = len(kept) > 0
	return s.runs
}

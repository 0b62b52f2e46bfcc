// Backends by key, updates in place, and idle connections.

package backend

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/wire"
)

// TestBackendsAreShared: snapshots that name the same key get the same backend, which lives until the last one gives it up.
func TestBackendsAreShared(t *testing.T) {
	r := NewRegistry(Options{Dial: dialTCP})
	a := r.Acquire(Config{Key: "a", Endpoints: []netip.AddrPort{address(1)}})
	again := r.Acquire(Config{Key: "a", Endpoints: []netip.AddrPort{address(1)}})
	other := r.Acquire(Config{Key: "b", Endpoints: []netip.AddrPort{address(1)}})
	if a != again || a == other {
		t.Error("backends are not found by key")
	}
	a.Release()
	if !again.Ready() {
		t.Error("released by one, gone for the other")
	}
	again.Release()
	if again.Ready() {
		t.Error("ready after everybody has released it")
	}
	if r.Acquire(Config{Key: "a"}).Ready() {
		t.Error("ready without an endpoint")
	}
	n := 0
	r.Visit(func(string, *Stats) { n++ })
	if n != 2 {
		t.Errorf("%d backends, want 2", n)
	}
}

// TestUpdateInPlace: what stays keeps its connections, what goes has its idle ones closed, and a request in flight to it finishes.
func TestUpdateInPlace(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		stays := serve(t, polite)
		held, gone := make(chan struct{}), make(chan struct{})
		goes := serve(t, func(s *server, n int, c net.Conn, in *bufio.Reader) {
			s.head(in)
			if n == 1 {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
				<-held
				_, _ = io.WriteString(c, "hello")
			} else {
				_, _ = io.WriteString(c, hello)
			}
			if s.head(in) == "" {
				gone <- struct{}{}
			}
		})
		r := NewRegistry(o)
		b := r.Acquire(Config{Key: "k", Endpoints: []netip.AddrPort{goes.addr}})
		var idle, busy Response
		for _, res := range []*Response{&idle, &busy} {
			if err := b.RoundTrip(nil, get("/"), nil, Timeouts{}, res); err != nil {
				t.Fatal(err)
			}
		}
		idle.Finish()
		b2 := r.Acquire(Config{Key: "k", Endpoints: []netip.AddrPort{stays.addr}})
		<-gone // the idle connection was closed
		close(held)
		if p, err := busy.Body.Next(); string(p) != "hello" || err != nil {
			t.Errorf("in flight: %q, %v", p, err)
		}
		busy.Finish()
		<-gone // and this one when it was done
		var res Response
		for range 2 {
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != stays.addr {
				t.Errorf("%v from %s", err, res.Endpoint)
			}
		}
		opened := b.stats.Opened.Load()
		r.Acquire(Config{Key: "k", Endpoints: []netip.AddrPort{stays.addr, stays.addr}}).Release()
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || b.stats.Opened.Load() != opened {
			t.Errorf("%v; a connection was not kept over an update", err)
		}
		b.Release()
		b2.Release()
		stays.close()
		goes.close()
	})
}

// TestNoEndpoint: a backend without endpoints says so.
func TestNoEndpoint(t *testing.T) {
	b := acquire(Options{Dial: dialTCP})
	defer b.Release()
	var res Response
	if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != NoEndpoint {
		t.Errorf("%v", err)
	}
}

// TestIdleConnectionsAreClosed: after the idle timeout, not before, and the sweeper goes with the last of them.
func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Options{})
		e := newEndpoint(&Backend{registry: r}, place{addr: address(1)})
		conns := make([]net.Conn, 3)
		for i := range conns {
			var c net.Conn
			c, conns[i] = net.Pipe()
			e.put(wire.NewBackendConn(c, true))
			time.Sleep(time.Second)
		}
		open := func() (n int) {
			for _, c := range conns {
				_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					n++
				}
			}
			return n
		}
		// Put at 0 s, 1 s and 2 s; kept 4 s and at most half a second more.
		for at, want := range map[time.Duration]int{3900 * time.Millisecond: 3} {
			time.Sleep(at - 3*time.Second)
			if got := open(); got != want {
				t.Errorf("%d connections open after %v, want %d", got, at, want)
			}
		}
		time.Sleep(700 * time.Millisecond) // 4.6 s
		if got := open(); got != 2 {
			t.Errorf("%d connections open after 4.6 s, want 2", got)
		}
		time.Sleep(2 * time.Second) // 6.6 s
		if got := open(); got != 0 {
			t.Errorf("%d connections open after 6.6 s, want none", got)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if r.sweep.runs {
			t.Error("the sweeper runs with nothing to sweep")
		}
	})
}

// TestIdleConnectionsAreBounded: what does not fit is closed.
func TestIdleConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry(Options{IdlePerEndpoint: 4})
		e := newEndpoint(&Backend{registry: r}, place{addr: address(1)})
		for range 50 {
			c, _ := net.Pipe()
			e.put(wire.NewBackendConn(c, true))
		}
		if n := e.pool.entries.Load(); n > 4 || n == 0 {
			t.Errorf("%d idle connections, want at most 4", n)
		}
		e.retire()
		if n := e.pool.entries.Load(); n != 0 {
			t.Errorf("%d idle connections of an endpoint that is gone", n)
		}
		c, _ := net.Pipe()
		if e.put(wire.NewBackendConn(c, true)); e.pool.take() != nil {
			t.Error("an endpoint that is gone keeps a connection")
		}
		time.Sleep(time.Second) // the sweeper finds nothing and ends
	})
}

// TestLastInFirstOut: load uses as few connections as it needs, so that the others can grow old.
func TestLastInFirstOut(t *testing.T) {
	var s stack
	var put []*wire.BackendConn
	for range 3 {
		c, _ := net.Pipe()
		put = append(put, wire.NewBackendConn(c, true))
		s.idle = append(s.idle, idleConn{conn: put[len(put)-1]})
	}
	for i := 2; i >= 0; i-- {
		if s.pop() != put[i] {
			t.Errorf("connection %d is not next", i)
		}
	}
	if s.pop() != nil {
		t.Error("more came out than went in")
	}
}

// TestPoolConcurrently: no connection is lent twice at a time, none is lost.
func TestPoolConcurrently(t *testing.T) {
	var p pool
	p.init(stacks(), 64)
	for range 8 {
		c, _ := net.Pipe()
		p.put(wire.NewBackendConn(c, true), 0)
	}
	var held sync.Map
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				c := p.take()
				if c == nil {
					continue
				}
				if _, twice := held.LoadOrStore(c, true); twice {
					t.Error("lent twice")
				}
				held.Delete(c)
				if !p.put(c, 0) {
					t.Error("no room")
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for p.take() != nil {
		n++
	}
	if n != 8 {
		t.Errorf("%d connections left of 8", n)
	}
}

func BenchmarkPool(b *testing.B) {
	var p pool
	p.init(stacks(), 1024)
	for range 64 {
		c, _ := net.Pipe()
		p.put(wire.NewBackendConn(c, true), 0)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if c := p.take(); c != nil {
				p.put(c, 0)
			}
		}
	})
}

func BenchmarkPick(b *testing.B) {
	be := acquire(Options{}, address(1), address(2), address(3))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if be.pick(nil) == nil {
				b.Fatal("none")
			}
		}
	})
}

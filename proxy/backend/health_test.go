// Balancing and ejection, on a network without sockets in time that only the test advances.

package backend

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network is a set of endpoints without sockets, some of which are down.
type network struct {
	mu    sync.Mutex
	down  map[netip.AddrPort]bool
	dials []netip.AddrPort
	at    []time.Duration
	start time.Time
}

var errDown = errors.New("connection refused")

func newNetwork() *network { return &network{down: make(map[netip.AddrPort]bool), start: time.Now()} }

func (n *network) set(a netip.AddrPort, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[a] = down
}

// dial connects to a goroutine that answers one request and says so.
func (n *network) dial(_ context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials = append(n.dials, to)
	n.at = append(n.at, time.Since(n.start))
	if n.down[to] {
		return nil, errDown
	}
	c, s := net.Pipe()
	go func() {
		defer s.Close()
		buf := make([]byte, 4096)
		if _, err := s.Read(buf); err == nil {
			_, _ = io.WriteString(s, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
		}
	}()
	return c, nil
}

// times returns when a was dialled.
func (n *network) times(a netip.AddrPort) []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []time.Duration
	for i, d := range n.dials {
		if d == a {
			all = append(all, n.at[i].Round(10*time.Millisecond))
		}
	}
	return all
}

func address(n byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 80)
}

// TestRoundRobin: each endpoint gets its turn, and an ejected one's share goes to all the others.
func TestRoundRobin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := acquire(Options{Dial: n.dial}, address(1), address(2), address(3), address(4))
		defer b.Release()
		count := func(requests int) map[netip.AddrPort]int {
			got := make(map[netip.AddrPort]int)
			for range requests {
				var res Response
				if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
					t.Fatal(err)
				}
				got[res.Endpoint]++
			}
			return got
		}
		for a, k := range count(40) {
			if k != 10 {
				t.Errorf("%s got %d of 40 requests, want 10", a, k)
			}
		}
		n.set(address(2), true)
		count(4) // one of them finds out
		for a, k := range count(30) {
			if k != 10 {
				t.Errorf("%s got %d of 30 requests, want 10", a, k)
			}
		}
	})
}

// TestEjection: an endpoint that refuses is not asked again for 1 s, 2 s, 4 s ... 30 s, no request fails, and it comes back.
func TestEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		bad, good := address(1), address(2)
		n.set(bad, true)
		b := acquire(Options{Dial: n.dial}, bad, good)
		defer b.Release()
		var res Response
		request := func() {
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
				t.Fatal(err)
			}
		}
		for range 1000 {
			request()
			time.Sleep(100 * time.Millisecond)
		}
		got := n.times(bad)
		pauses := make([]time.Duration, 0, len(got))
		for i := range got[1:] {
			pauses = append(pauses, got[i+1]-got[i])
		}
		for i, seconds := range []int{1, 2, 4, 8, 16, 30} {
			want := time.Duration(seconds) * time.Second
			// a request comes every 100 ms
			if d := pauses[i] - want; d < 0 || d > 200*time.Millisecond {
				t.Errorf("pause %d is %v, want %v", i, pauses[i], want)
			}
		}
		n.set(bad, false)
		time.Sleep(31 * time.Second)
		back := 0
		for range 20 {
			if request(); res.Endpoint == bad {
				back++
			}
		}
		if back < 10 {
			t.Errorf("the endpoint that came back got %d of 20 requests", back)
		}
	})
}

// TestNoEjectionForWantOfDescriptors: that the gateway has no descriptors left is no fault of the endpoints, which are used at once when it
// has some again.
func TestNoEjectionForWantOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		full := true
		b := acquire(Options{Dial: func(ctx context.Context, to netip.AddrPort, loopback bool) (net.Conn, error) {
			if full {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}
			}
			return n.dial(ctx, to, loopback)
		}}, address(1), address(2))
		defer b.Release()
		var res Response
		var e *Error
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); !errors.As(err, &e) || e.Result != ConnectFailed {
			t.Errorf("without descriptors: %v", err)
		}
		if ejected := b.stats.Ejected.Load(); ejected != 0 {
			t.Errorf("%d endpoints were ejected", ejected)
		}
		full = false
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Error(err)
		}
	})
}

// TestNextEndpointAtOnce: a request that meets a dead endpoint is answered by another one without waiting.
func TestNextEndpointAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.set(address(1), true)
		n.set(address(2), true)
		b := acquire(Options{Dial: n.dial}, address(1), address(2), address(3))
		defer b.Release()
		start := time.Now()
		for range 3 {
			var res Response
			if _, err := ask(b, post("POST", 4), &content{p: "body", part: true}, Timeouts{}, &res); err != nil {
				t.Fatal(err)
			}
			if res.Endpoint != address(3) || time.Since(start) > 100*time.Millisecond {
				t.Errorf("answered by %s after %d attempts and %v", res.Endpoint, res.Attempts, time.Since(start))
			}
		}
		if b.stats.Ejected.Load() != 2 || b.stats.Failed.Load() != 2 {
			t.Errorf("%d ejections, %d failures", b.stats.Ejected.Load(), b.stats.Failed.Load())
		}
	})
}

// TestAllEjected: when every endpoint is ejected they are tried all the same, and the first that is back answers.
func TestAllEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.set(address(1), true)
		n.set(address(2), true)
		b := acquire(Options{Dial: n.dial}, address(1), address(2))
		defer b.Release()
		var res Response
		for range 5 {
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != ConnectFailed || !errors.Is(err, errDown) {
				t.Fatal(err)
			}
			if res.Attempts != 2 {
				t.Errorf("%d attempts, want one of each endpoint", res.Attempts)
			}
		}
		if e := b.stats.Ejected.Load(); e != 2 {
			t.Errorf("%d ejections, want one each: a failure while ejected is not another", e)
		}
		n.set(address(2), false)
		for range 3 {
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != address(2) {
				t.Errorf("%v from %s", err, res.Endpoint)
			}
		}
	})
}

// TestOneProbe: when an ejection is over, one request at a time finds out whether the endpoint is back; others do not wait for it.
func TestOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		hanging := false
		b := acquire(Options{Dial: func(ctx context.Context, to netip.AddrPort, l bool) (net.Conn, error) {
			c, err := n.dial(ctx, to, l)
			if to == address(1) && hanging {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return c, err
		}}, address(1), address(2))
		defer b.Release()
		n.set(address(1), true)
		var res Response
		for range 2 {
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		hanging = true
		before := len(n.times(address(1)))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				var res Response
				if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if probes := len(n.times(address(1))) - before; probes != 1 {
			t.Errorf("%d requests waited for the endpoint, want 1", probes)
		}
	})
}

// TestConnectBudget: endpoints that swallow packets do not keep a request for ever.
func TestConnectBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := acquire(Options{Dial: func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}, address(1), address(2), address(3), address(4), address(5), address(6), address(7))
		defer b.Release()
		start := time.Now()
		var res Response
		_, err := ask(b, get("/"), nil, Timeouts{}, &res)
		if took := time.Since(start); result(err) != ConnectFailed || took != maxConnecting*DefaultConnectTimeout {
			t.Errorf("%v after %v", err, took)
		}
	})
}

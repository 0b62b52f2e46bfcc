// Backends given by name.

package backend

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// book is a resolver whose answers the test writes.
type book struct {
	mu    sync.Mutex
	addrs []netip.Addr
	ttl   time.Duration
	err   error
	takes time.Duration
	asked []string
}

func (b *book) set(ttl time.Duration, err error, addrs ...netip.AddrPort) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ttl, b.err, b.addrs = ttl, err, nil
	for _, a := range addrs {
		b.addrs = append(b.addrs, a.Addr())
	}
}

func (b *book) lookups() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

func (b *book) Lookup(ctx context.Context, names []string, _ bool) ([]netip.Addr, time.Duration, error) {
	b.mu.Lock()
	b.asked = append(b.asked, strings.Join(names, " "))
	takes := b.takes
	b.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addrs, b.ttl, b.err
}

var errNoSuchName = errors.New("no such name")

func named(n *network, names *book) *Backend {
	r := NewRegistry(Options{Dial: n.dial, Resolver: names})
	return r.Acquire(Config{Key: "k", Hosts: []Host{{Names: []string{"web.shop.", "web."}, Port: 80}}})
}

// TestResolution runs a backend by name in time that only the test advances.
func TestResolution(t *testing.T) {
	var res Response
	cases := []struct {
		name string
		run  func(t *testing.T, n *network, names *book, b *Backend)
	}{
		{"a request waits for the first lookup", func(t *testing.T, _ *network, names *book, b *Backend) {
			if b.Ready() {
				t.Error("ready before the lookup")
			}
			start := time.Now()
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != address(1) {
				t.Errorf("%v from %s", err, res.Endpoint)
			}
			if d := time.Since(start); d < 50*time.Millisecond || d > 60*time.Millisecond {
				t.Errorf("took %v", d)
			}
			if names.asked[0] != "web.shop. web." {
				t.Errorf("asked for %q", names.asked)
			}
		}},
		{"no longer than its own timeout", func(t *testing.T, _ *network, _ *book, b *Backend) {
			_, err := ask(b, get("/"), nil, Timeouts{Request: time.Now().Add(20 * time.Millisecond)}, &res)
			if result(err) != TimedOut {
				t.Errorf("%v, want a timeout", err)
			}
		}},
		{"asks again by time to live", func(t *testing.T, _ *network, names *book, b *Backend) {
			time.Sleep(time.Second)
			names.set(10*time.Second, nil, address(2))
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != address(1) {
				t.Errorf("%v from %s before the time to live is over", err, res.Endpoint)
			}
			time.Sleep(10 * time.Second)
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != address(2) {
				t.Errorf("%v from %s afterwards", err, res.Endpoint)
			}
			if k := names.lookups(); k != 2 {
				t.Errorf("%d lookups", k)
			}
		}},
		{"keeps what it knows while lookups fail", func(t *testing.T, _ *network, names *book, b *Backend) {
			time.Sleep(time.Second)
			names.set(0, errNoSuchName)
			time.Sleep(10 * time.Minute)
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || !b.Ready() {
				t.Errorf("%v", err)
			}
			if k := names.lookups(); k < 10 || k > 40 {
				t.Errorf("%d lookups in ten minutes of failure", k)
			}
		}},
		{"looks again soon when no address can be reached", func(t *testing.T, n *network, names *book, b *Backend) {
			time.Sleep(2 * time.Second)
			n.set(address(1), true)
			names.set(time.Hour, nil, address(2))
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != ConnectFailed {
				t.Errorf("%v", err)
			}
			time.Sleep(time.Second)
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != address(2) {
				t.Errorf("%v from %s", err, res.Endpoint)
			}
		}},
		{"an address is asked for once a second at most", func(t *testing.T, _ *network, names *book, b *Backend) {
			names.set(0, nil, address(1))
			time.Sleep(10 * time.Second)
			if k := names.lookups(); k > 11 {
				t.Errorf("%d lookups in 10 s", k)
			}
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, names := newNetwork(), &book{takes: 50 * time.Millisecond}
				names.set(10*time.Second, nil, address(1))
				b := named(n, names)
				tc.run(t, n, names, b)
				b.Release()
			})
		})
	}
}

// TestUnresolvedName: requests get 503 at once, with the reason, until the name resolves.
func TestUnresolvedName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, names := newNetwork(), &book{}
		names.set(0, errNoSuchName)
		b := named(n, names)
		defer b.Release()
		var res Response
		_, err := ask(b, get("/"), nil, Timeouts{}, &res)
		if result(err) != NoEndpoint || !errors.Is(err, errNoSuchName) || !strings.Contains(err.Error(), "web.shop. or web.") {
			t.Errorf("%v", err)
		}
		names.set(time.Minute, nil, address(1))
		time.Sleep(2 * time.Second)
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Errorf("%v once the name resolves", err)
		}
	})
}

// TestFirstLookupIsBounded: a resolver that hangs does not hang requests.
func TestFirstLookupIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := named(newNetwork(), &book{takes: time.Hour})
		defer b.Release()
		start := time.Now()
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != NoEndpoint || time.Since(start) > DefaultLookupTimeout {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestNamesChange: a reload may turn names into endpoints and back, and change them.
func TestNamesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, names := newNetwork(), &book{}
		names.set(time.Minute, nil, address(1))
		b := named(n, names)
		var res Response
		steps := []struct {
			config Config
			want   netip.AddrPort
			asks   int
		}{
			{Config{Key: "k", Hosts: []Host{{Names: []string{"web.shop.", "web."}, Port: 80}}}, address(1), 1},
			{Config{Key: "k", Endpoints: []netip.AddrPort{address(9)}}, address(9), 1},
			{Config{Key: "k", Hosts: []Host{{Names: []string{"web.shop.", "web."}, Port: 8080}}}, netip.AddrPortFrom(address(1).Addr(), 8080), 2},
			{Config{Key: "k", Hosts: []Host{{Names: []string{"other."}, Port: 80}}}, address(1), 3},
		}
		for i, s := range steps {
			synctest.Wait()
			b.registry.Acquire(s.config)
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil || res.Endpoint != s.want {
				t.Errorf("step %d: %v from %s, want %s", i, err, res.Endpoint, s.want)
			}
			if k := names.lookups(); k != s.asks {
				t.Errorf("step %d: %d lookups, want %d", i, k, s.asks)
			}
			b.Release()
		}
		b.Release()
	})
}

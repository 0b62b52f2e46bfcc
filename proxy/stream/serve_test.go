// Choosing, connecting, refusing, and what ends connections from outside.

package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// Connections that lead nowhere are closed at once, counted and logged, and of a flood only the first lines are written.
func TestRefusals(t *testing.T) {
	for want, r := range map[Outcome]*Route{
		Unusable:      {At: "app.yaml:9:3", Unusable: "the rule has no backendRefs"},
		NoEndpoint:    to(fails{backend.NoEndpoint}),
		ConnectFailed: to(fails{backend.ConnectFailed}),
		BackendTLS:    to(fails{backend.HandshakeFailed}),
	} {
		t.Run(want.String(), func(t *testing.T) {
			var log bytes.Buffer
			var mu sync.Mutex
			g := open(t, Options{Log: slog.New(slog.NewTextHandler(&guarded{w: &log, mu: &mu}, nil))}, r, nil)
			for range 8 {
				if got, err := io.ReadAll(g.client(t)); err != nil || len(got) > 0 {
					t.Errorf("the client got %q, %v", got, err)
				}
			}
			waitFor(t, "their count", func() bool { return g.value(t, "wicketgate_stream_connections_total", want.String()) == 8 })
			waitFor(t, "their end", func() bool { return g.count() == 0 })
			mu.Lock()
			defer mu.Unlock()
			if n := strings.Count(log.String(), "\n"); n != ledger.LogBurst || !strings.Contains(log.String(), "at=app.yaml:9:3") {
				t.Errorf("%d lines:\n%s", n, log.String())
			}
		})
	}
}

type guarded struct {
	w  io.Writer
	mu *sync.Mutex
}

func (g *guarded) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.w.Write(p)
}

func TestSharesByPick(t *testing.T) {
	named := func(name string) Upstream {
		return dialled(listen(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, name) }))
	}
	var n atomic.Int32
	r := &Route{
		Shares: []Share{{Backend: named("a")}, {Unusable: "the reference is not granted"}, {Backend: named("b")}},
		Pick:   func() int { return int(n.Add(1)-1) % 3 },
	}
	g := open(t, Options{}, r, nil)
	var got []string
	for range 6 {
		s, _ := io.ReadAll(g.client(t))
		got = append(got, string(s))
	}
	if s := strings.Join(got, " "); s != "a  b a  b" {
		t.Errorf("got %q", s)
	}
}

// hangs is an Upstream that takes until the context ends.
type hangs struct{ begun chan struct{} }

func (h hangs) Connect(ctx context.Context, _ net.Conn, _ []string) (net.Conn, netip.AddrPort, error) {
	close(h.begun)
	<-ctx.Done()
	return nil, netip.AddrPort{}, &backend.Error{Result: backend.ClientGone, Err: ctx.Err()}
}

func TestAClientThatLeavesEndsTheDial(t *testing.T) {
	h := hangs{make(chan struct{})}
	g := open(t, Options{}, to(h), nil)
	c := g.client(t)
	_, _ = io.WriteString(c, "hello")
	<-h.begun
	_ = c.SetLinger(0)
	_ = c.Close()
	g.outcome(t, ClientGone)
}

// A client that has said all waits for the answer: a slow dial goes on, and watching for its leaving takes nothing from it.
func TestAHalfClosedClientIsConnected(t *testing.T) {
	slow := &late{dialled: dialled(listen(t, echo)), by: 3 * patience}
	g := open(t, Options{}, to(slow), nil)
	c := g.client(t)
	_, _ = io.WriteString(c, "hello")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// lasting is an Upstream that counts how often keep-alive probes are asked for.
type lasting struct {
	dialled
	asked atomic.Int32
}

type lastingConn struct {
	*net.TCPConn
	asked *atomic.Int32
}

func (l *lasting) Connect(ctx context.Context, c net.Conn, p []string) (net.Conn, netip.AddrPort, error) {
	to, at, err := l.dialled.Connect(ctx, c, p)
	if err != nil {
		return nil, at, err
	}
	return lastingConn{to.(*net.TCPConn), &l.asked}, at, nil
}

func (c lastingConn) SetKeepAliveConfig(net.KeepAliveConfig) error {
	c.asked.Add(1)
	return nil
}

// A backend's connection is probed from the first sweep on that finds it.
func TestConnectionsThatLastAreProbed(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		l := &lasting{dialled: dialled(listen(t, echo))}
		g := open(t, o, to(l), nil)
		c := g.client(t)
		waitFor(t, "keep-alive probes", func() bool { return l.asked.Load() > 0 })
		_ = c.Close()
		g.outcome(t, OK)
		if n := l.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

type late struct {
	dialled
	by time.Duration
}

func (l *late) Connect(ctx context.Context, c net.Conn, p []string) (net.Conn, netip.AddrPort, error) {
	select {
	case <-time.After(l.by):
	case <-ctx.Done():
		return nil, netip.AddrPort{}, ctx.Err()
	}
	return l.dialled.Connect(ctx, c, p)
}

func TestKeep(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		var g *gate
		var c *net.TCPConn
		ask := func() error {
			if _, err := io.WriteString(c, "x"); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 1))
			return err
		}
		here, gone := []Listener{{Name: "tcp"}, {Name: "other"}}, []Listener{{Name: "other"}}
		away := time.Hour
		for o.DrainTimeout = 30 * time.Millisecond; away >= o.DrainTimeout/2; o.DrainTimeout *= 2 { // until it comes back in time
			g = open(t, o, to(dialled(listen(t, echo))), nil)
			c = g.client(t)
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			g.Keep(here)
			left := time.Now()
			g.Keep(gone)
			g.Keep(here)
			away = time.Since(left)
		}
		time.Sleep(2 * o.DrainTimeout)
		if err := ask(); err != nil {
			t.Fatalf("a connection of a listener that stays: %v", err)
		}
		g.Keep(gone)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection of a removed listener goes on")
		}
		g.outcome(t, Drained)
	})
}

func TestDrainWaitsAndThenEnds(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, echo))), nil)
		short, long := g.client(t), g.client(t)
		for _, c := range []*net.TCPConn{short, long} {
			_, _ = io.WriteString(c, "x")
			_, _ = io.ReadFull(c, make([]byte, 1))
		}
		ctx, cancel := context.WithCancel(t.Context())
		drained := make(chan struct{})
		go func() { defer close(drained); g.Drain(ctx) }()
		_ = short.CloseWrite()
		if _, err := io.ReadAll(short); err != nil {
			t.Errorf("a connection that ends by itself while others are drained: %v", err)
		}
		g.outcome(t, OK)
		cancel()
		<-drained
		if g.count() != 0 {
			t.Error("connections are left")
		}
		g.outcome(t, Drained)
		g.Close()
		if _, err := io.ReadAll(g.client(t)); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
			t.Error(err)
		}
	})
}

// A connection that was dialled while the server closed is not left open.
func TestCloseWhileDialling(t *testing.T) {
	h := hangs{make(chan struct{})}
	g := open(t, Options{}, to(h), nil)
	c := g.client(t)
	<-h.begun
	g.Close()
	if _, err := io.ReadAll(c); err == nil {
		t.Log("ended cleanly")
	}
	g.outcome(t, Drained)
}

// Bytes of a connection that goes on are counted, and its series lives as long as it does.
func TestMetricsOfALivingConnection(t *testing.T) {
	var released atomic.Bool
	g := open(t, Options{}, to(dialled(listen(t, echo))), func(c *Connection) { c.Release = func() { released.Store(true) } })
	c := g.client(t)
	_, _ = io.WriteString(c, "12345")
	_, _ = io.ReadFull(c, make([]byte, 5))
	waitFor(t, "the release of its configuration", released.Load)
	waitFor(t, "the count of its bytes", func() bool { return g.value(t, "wicketgate_stream_bytes_total", "in") == 5 })
	if n := g.value(t, "wicketgate_stream_connections_active", ""); n != 1 {
		t.Errorf("%v connections are counted", n)
	}
	_ = c.CloseWrite()
	_, _ = io.ReadAll(c)
	waitFor(t, "its end", func() bool { return g.value(t, "wicketgate_stream_connections_active", "") == 0 })
	waitFor(t, "the count of the answer", func() bool { return g.value(t, "wicketgate_stream_bytes_total", "out") == 5 })
}

// What the tests share: a gateway of one listener over loopback, and endpoints that echo.

package datagram

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/listeners"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// transports runs a test on each way to read and write, and looks for goroutines left behind.
func transports(t *testing.T, f func(t *testing.T, o Options)) {
	for _, portable := range []bool{false, true} {
		name := "raw"
		if portable {
			name = "portable"
		}
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { patient.NoLeak(t, before) })
			f(t, Options{Portable: portable})
		})
	}
}

// gate is a Server with one socket. Its tables can be replaced, as a reload does.
type gate struct {
	*Server
	t        testing.TB
	socket   *Socket
	registry *prometheus.Registry
	backends *backend.Registry
	table    atomic.Pointer[Table]
	held     atomic.Int64
	addr     netip.AddrPort
	over     sync.WaitGroup
}

// Datagrams and Leave make a gate a Config.
func (g *gate) Datagrams(netip.AddrPort) *Table { return g.table.Load() }
func (g *gate) Leave(uint32)                    { g.held.Add(-1) }

// open listens at an address without a port. Until serve nothing is served there.
func open(t testing.TB, o Options, at string) *gate {
	t.Helper()
	g := &gate{t: t, registry: prometheus.NewRegistry(), backends: backend.NewRegistry(backend.Options{})}
	o.Metrics, o.Listen = g.registry, listeners.ListenUDP
	g.Server = NewServer(o)
	g.Use(func(uint32) Config { g.held.Add(1); return g })
	var err error
	if g.socket, err = g.Open(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(at), 0)); err != nil {
		t.Fatal(err)
	}
	local := g.socket.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	g.addr = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if local.Addr().IsUnspecified() {
		g.addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), local.Port())
	}
	g.over.Go(g.socket.Serve)
	t.Cleanup(func() {
		g.socket.Close()
		g.over.Wait()
		if n := g.sessions.Load(); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
		if n := g.held.Load(); n != 0 {
			t.Errorf("the configuration is held %d times", n)
		}
	})
	return g
}

// serve puts a route into force, for all local addresses.
func (g *gate) serve(r *Route) {
	g.table.Store(&Table{Places: []Place{{Listener: "default/dns udp", Route: r}}})
	g.Refresh()
}

// to is a route to backends of one weight, each given by its endpoints with spaces between them.
func (g *gate) to(backends ...string) *Route {
	g.t.Helper()
	name := ledger.Labels{Gateway: "default/dns", Listener: "udp", Route: "UDPRoute/default/dns"}
	r := &Route{At: "dns.yaml:1", Refused: g.Series(name)}
	for i, b := range backends {
		share := Share{Name: fmt.Sprintf("Service default/b%d:53/UDP %s", i, b)}
		name.Backend = share.Name
		share.Series = g.Series(name)
		c := backend.Config{Key: share.Name, Loopback: true}
		for e := range strings.FieldsSeq(b) {
			c.Endpoints = append(c.Endpoints, netip.MustParseAddrPort(e))
		}
		held := g.backends.Acquire(c)
		g.t.Cleanup(held.Release)
		share.Backend = held
		r.Shares = append(r.Shares, share)
	}
	var turn atomic.Uint32
	r.Pick = func() int { return int(turn.Add(1)-1) % len(r.Shares) }
	return r
}

// vacant is an address that nobody listens at. It is of no use to clients, whose sockets get theirs from the system.
func vacant(t testing.TB) *net.UDPAddr {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr)
}

// echo answers each datagram with its name and the datagram.
func echo(t testing.TB, name string) string {
	t.Helper()
	return answer(t, func(c *net.UDPConn, from netip.AddrPort, p []byte) {
		_, _ = c.WriteToUDPAddrPort(append([]byte(name), p...), from)
	})
}

// answer calls f with each datagram.
func answer(t testing.TB, f func(c *net.UDPConn, from netip.AddrPort, p []byte)) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadBuffer(4 << 20)
	var running sync.WaitGroup
	running.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			f(c, from, buf[:n])
		}
	})
	t.Cleanup(func() {
		_ = c.Close()
		running.Wait()
	})
	return c.LocalAddr().String()
}

// dial is a client's socket.
func dial(t testing.TB, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// ask sends a datagram and waits for one.
func ask(t testing.TB, c *net.UDPConn, text string) string {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return hear(t, c)
}

// insist sends a datagram again and again until it is answered, and takes no notice of other answers.
func insist(t testing.TB, c *net.UDPConn, text string) {
	t.Helper()
	buf := make([]byte, 1<<16)
	waitFor(t, "an answer to "+text, func() bool {
		_, _ = c.Write([]byte(text))
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if err != nil || string(buf[:n]) == text {
				return err == nil
			}
		}
	})
}

func hear(t testing.TB, c *net.UDPConn) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patient.Limit))
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	patient.Until(t, what, so)
}

// counts is the value of one sample of a metric: that whose labels contain all of these values.
func (g *gate) counts(name string, labels ...string) float64 {
	g.t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	samples:
		for _, m := range f.GetMetric() {
			for _, want := range labels {
				found := false
				for _, l := range m.GetLabel() {
					found = found || l.GetValue() == want
				}
				if !found {
					continue samples
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// collector is an endpoint that passes on what it gets and says nothing.
func collector(t testing.TB, got chan<- string) string {
	t.Helper()
	return answer(t, func(_ *net.UDPConn, _ netip.AddrPort, p []byte) { got <- string(p) })
}

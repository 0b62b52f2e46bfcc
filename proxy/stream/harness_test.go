// What the tests share: a gateway of one route over loopback, and backends that follow a script.

package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/proxy/ledger"
)

// transports runs a test on each way to copy, and looks for goroutines left behind.
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

// dialled is an Upstream at one address.
type dialled string

func (d dialled) Connect(ctx context.Context, _ net.Conn, _ []string) (net.Conn, netip.AddrPort, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", string(d))
	if err != nil {
		return nil, netip.AddrPort{}, &backend.Error{Result: backend.ConnectFailed, Err: err}
	}
	return c, netip.MustParseAddrPort(string(d)), nil
}

// fails is an Upstream without endpoints.
type fails struct{ result backend.Result }

func (f fails) Connect(context.Context, net.Conn, []string) (net.Conn, netip.AddrPort, error) {
	return nil, netip.AddrPort{}, &backend.Error{Result: f.result, Err: errors.New("nobody there")}
}

// listen accepts connections until the test ends.
func listen(t testing.TB, handle func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// gate is a Server behind a listening socket.
type gate struct {
	*Server
	addr     string
	registry *prometheus.Registry
}

// open serves a route. tweak, if not nil, may change what comes with a connection.
func open(t testing.TB, o Options, r *Route, tweak func(*Connection)) *gate {
	t.Helper()
	g := &gate{registry: prometheus.NewRegistry()}
	o.Metrics = g.registry
	g.Server = NewServer(o)
	g.pause = 50 * time.Millisecond
	name := ledger.Labels{Gateway: "default/web", Listener: "tcp", Route: "default/app"}
	r.Refused = g.Series(name)
	name.Backend = "Service default/app:80"
	for i := range r.Shares {
		r.Shares[i].Series = g.Series(name)
	}
	g.addr = listen(t, func(c *net.TCPConn) {
		in := Connection{Client: c, Listener: Listener{Name: "tcp"}}
		if tweak != nil {
			tweak(&in)
		}
		g.Serve(in, r)
	})
	t.Cleanup(g.Close)
	t.Cleanup(func() { waitFor(t, "the sweeper's end", func() bool { return !g.sweeping() }) })
	t.Cleanup(g.Close)
	return g
}

func (g *gate) sweeping() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sweeps
}

// to is a route to one backend.
func to(u Upstream) *Route {
	return &Route{At: "app.yaml:9:3", Shares: []Share{{Name: "app", Backend: u}}}
}

// client connects to a gate.
func (g *gate) client(t testing.TB) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patient.Limit)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	patient.Until(t, what, holds)
}

// value reads a metric of the gate, summed over its series that have the label's value.
func (g *gate) value(t testing.TB, name, label string) (sum float64) {
	t.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label || label == "" {
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
					break
				}
			}
		}
	}
	return sum
}

// outcome waits until one connection has ended that way.
func (g *gate) outcome(t testing.TB, want Outcome) {
	t.Helper()
	waitFor(t, "a connection that ended: "+want.String(), func() bool {
		return g.value(t, "wicketgate_stream_connections_total", want.String()) == 1
	})
}

// echo sends back what it gets, as it gets it.
func echo(c *net.TCPConn) {
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
	_ = c.CloseWrite()
}

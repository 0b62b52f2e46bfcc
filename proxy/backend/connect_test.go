// Connections for streams: which endpoint, and how failures end.

package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Endpoints take turns, one that refuses costs a connection nothing, and it is left out after that.
func TestConnectTriesTheNextEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		b := acquire(Options{Dial: n.dial}, address(1), address(2))
		defer b.Release()
		n.set(address(1), true)
		for range 6 {
			c, at, err := b.Connect(t.Context(), nil, nil)
			if err != nil || at != address(2) {
				t.Fatalf("connected to %s, %v", at, err)
			}
			_ = c.Close()
		}
		if got := n.times(address(1)); len(got) != 1 {
			t.Errorf("the endpoint that refuses was dialled at %v", got)
		}
		n.set(address(2), true)
		if _, _, err := b.Connect(t.Context(), nil, nil); result(err) != ConnectFailed {
			t.Errorf("%v, not a failed connection", err)
		}
		if got := b.stats.Failed.Load(); got != 3 {
			t.Errorf("%d failures are counted", got)
		}
	})
}

func TestConnectWithoutEndpoints(t *testing.T) {
	b := acquire(Options{})
	defer b.Release()
	if _, _, err := b.Connect(t.Context(), nil, nil); result(err) != NoEndpoint {
		t.Errorf("%v, not a lack of endpoints", err)
	}
}

// A name's first lookup is waited for; a client that leaves meanwhile ends the wait.
func TestConnectWaitsForTheFirstLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		r := NewRegistry(Options{Dial: n.dial, Resolver: slowResolver{}})
		b := r.Acquire(Config{Key: "named", Hosts: []Host{{Names: []string{"cart.default"}, Port: 80}}})
		defer b.Release()
		impatient, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if _, _, err := b.Connect(impatient, nil, nil); result(err) != ClientGone {
			t.Errorf("%v, not a client that left", err)
		}
		c, at, err := b.Connect(t.Context(), nil, nil)
		if err != nil || at != address(7) {
			t.Fatalf("connected to %s, %v", at, err)
		}
		_ = c.Close()
	})
}

type slowResolver struct{}

func (slowResolver) Lookup(ctx context.Context, _ []string, _ bool) ([]netip.Addr, time.Duration, error) {
	select {
	case <-time.After(2 * time.Second):
		return []netip.Addr{address(7).Addr()}, time.Hour, nil
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// Endpoints that say nothing at all: after a few connect timeouts a client has waited long enough.
func TestConnectGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		black := func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
			dials++
			deadline, _ := ctx.Deadline()
			select {
			case <-ctx.Done():
			case <-time.After(time.Until(deadline)):
			}
			return nil, os.ErrDeadlineExceeded
		}
		b := acquire(Options{Dial: black, ConnectTimeout: time.Second}, address(1), address(2), address(3), address(4), address(5))
		defer b.Release()
		if _, _, err := b.Connect(t.Context(), nil, nil); result(err) != ConnectFailed {
			t.Errorf("%v, not a failed connection", err)
		}
		if dials != maxConnecting {
			t.Errorf("%d dials", dials)
		}
	})
}

// What the backend does not prove to be ends the connection before a byte of the client's was sent.
func TestConnectChecksTheCertificate(t *testing.T) {
	s := serve(t, func(_ *server, _ int, _ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) })
	defer s.close()
	b := secured(Options{Dial: dialTCP, HandshakeTimeout: 50 * time.Millisecond}, s)
	defer b.Release()
	_, _, err := b.Connect(t.Context(), nil, []string{"h2"})
	if result(err) != HandshakeFailed || !strings.Contains(err.Error(), "the policy: TLS handshake: ") {
		t.Errorf("%v, not a failed handshake that names the policy", err)
	}
}

// The protocols are the caller's, whatever the configuration for requests offers.
func TestConnectOffersProtocols(t *testing.T) {
	offered := make(chan []string, 1)
	s := serve(t, func(_ *server, _ int, c net.Conn, in *bufio.Reader) {
		_ = tls.Server(buffered{c, in}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			offered <- h.SupportedProtos
			return nil, io.EOF
		}}).Handshake()
	})
	defer s.close()
	b := secured(Options{Dial: dialTCP}, s)
	defer b.Release()
	b.tls.Config.NextProtos = []string{"http/1.1"}
	_, _, _ = b.Connect(t.Context(), nil, []string{"postgresql"})
	if got := <-offered; len(got) != 1 || got[0] != "postgresql" {
		t.Errorf("offered %q", got)
	}
}

type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// probedConn counts how often keep-alive probes are asked for.
type probedConn struct {
	*net.TCPConn
	asked *atomic.Int32
}

func (c probedConn) SetKeepAliveConfig(net.KeepAliveConfig) error {
	c.asked.Add(1)
	return nil
}

// Connections of requests, which are kept, are probed from the start; of those of streams their owner knows whether they last.
func TestKeepAliveIsForConnectionsThatAreKept(t *testing.T) {
	s := serve(t, polite)
	defer s.close()
	var asked atomic.Int32
	b := acquire(Options{Dial: func(ctx context.Context, to netip.AddrPort, loopback bool) (net.Conn, error) {
		c, err := dialTCP(ctx, to, loopback)
		if err != nil {
			return nil, err
		}
		return probedConn{c.(*net.TCPConn), &asked}, nil
	}}, s.addr)
	defer b.Release()
	c, _, err := b.Connect(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times for a stream", n)
	}
	var res Response
	if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times for a request", n)
	}
}

// Connections that are opened for one client serve no other, and end with it.

package backend

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

// guest is an exchange of a client that is known.
type guest struct {
	client
	peer wire.Peer
}

func (g *guest) Peer() *wire.Peer { return &g.peer }

// arrive is a client's connection.
func arrive(t *testing.T, from string) *guest {
	g := &guest{}
	g.ctx = t.Context()
	g.peer.Origin = wire.NewOriginOf(netip.MustParseAddrPort(from), netip.MustParseAddrPort("192.0.2.1:80"))
	return g
}

// telling answers each request with the address that the connection was opened for.
func telling(s *server, _ int, c net.Conn, in *bufio.Reader) {
	h, err := proxyproto.Read(in)
	if err != nil {
		return
	}
	name := h.Source.String()
	for s.head(in) != "" {
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Client: "+name+"\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

// visit sends a request and returns whom the backend takes for the client.
func visit(t *testing.T, b *Backend, x wire.Exchange) string {
	t.Helper()
	var res Response
	if err := b.RoundTrip(x, get("/"), nil, Timeouts{}, &res); err != nil {
		t.Fatal(err)
	}
	defer res.Finish()
	return string(res.Head.Fields.Get("x-client"))
}

func introducing(o Options, version int, endpoint netip.AddrPort) *Backend {
	o.Dial = dialTCP
	return NewRegistry(o).Acquire(Config{Key: "told", Endpoints: []netip.AddrPort{endpoint}, Loopback: true, Introduce: version})
}

func TestLanes(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			s := serve(t, telling)
			b := introducing(Options{}, version, s.addr)
			one, other, again := arrive(t, "192.0.2.7:1000"), arrive(t, "192.0.2.8:1000"), arrive(t, "192.0.2.7:1000")
			for range 3 {
				for x, want := range map[*guest]string{one: "192.0.2.7:1000", other: "192.0.2.8:1000", again: "192.0.2.7:1000"} {
					if got := visit(t, b, x); got != want {
						t.Errorf("the backend takes %s for the client, and not %s", got, want)
					}
				}
			}
			if n := b.stats.Opened.Load(); n != 3 {
				t.Errorf("%d connections for three clients, of which two have one address", n)
			}
			e := b.view.Load().all[0]
			if n := e.lanes.idle.Load(); n != 3 {
				t.Errorf("%d idle connections", n)
			}
			one.peer.Origin.End()
			one.peer.Origin.End()
			if n := e.lanes.idle.Load(); n != 2 || len(e.lanes.byPeer) != 2 {
				t.Errorf("after one has left: %d idle connections, %d lanes", n, len(e.lanes.byPeer))
			}
			if got := visit(t, b, one); got != "192.0.2.7:1000" || e.lanes.idle.Load() != 2 || len(e.lanes.byPeer) != 2 {
				t.Errorf("a late request is of %s; %d idle connections, %d lanes", got, e.lanes.idle.Load(), len(e.lanes.byPeer))
			}
			if got := visit(t, b, nil); got != "invalid AddrPort" {
				t.Errorf("the gateway's own request is of %q", got)
			}
			b.Release()
			if n := e.lanes.idle.Load(); n != 0 {
				t.Errorf("after the release %d idle connections", n)
			}
			s.close()
		})
	}
}

// What all clients of an endpoint leave idle together is bounded.
func TestLanesAreBounded(t *testing.T) {
	s := serve(t, telling)
	b := introducing(Options{IdlePerEndpoint: 2}, 2, s.addr)
	for _, from := range []string{"192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"} {
		if got := visit(t, b, arrive(t, from)); got != from {
			t.Errorf("the backend takes %s for the client, and not %s", got, from)
		}
	}
	if n := b.view.Load().all[0].lanes.idle.Load(); n != 2 {
		t.Errorf("%d idle connections", n)
	}
	b.Release()
	s.close()
}

// Backends given by name with a real name server, whose answers change, and which dies.

package backend

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/wicketgate/wicketgate/dial"
	"github.com/wicketgate/wicketgate/internal/patient"
)

// nameServer answers queries for A records over UDP from a table that tests change. Other queries have no answer.
type nameServer struct {
	t    *testing.T
	addr netip.AddrPort
	conn net.PacketConn

	mu    sync.Mutex
	table map[string]netip.Addr // "api.example.org."
	asked atomic.Int32
}

func serveNames(t *testing.T, at string, table map[string]netip.Addr) *nameServer {
	t.Helper()
	var conn net.PacketConn
	patient.Until(t, "a socket at "+at, func() bool { // the address of one that was closed may be somebody else's for a while
		var err error
		conn, err = net.ListenPacket("udp", at)
		return err == nil
	})
	s := &nameServer{t: t, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), conn: conn, table: table}
	var wg sync.WaitGroup
	wg.Go(s.serve)
	t.Cleanup(func() { s.conn.Close(); wg.Wait() })
	return s
}

func (s *nameServer) set(name string, a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.table[name] = a
}

func (s *nameServer) serve() {
	buf := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var q dnsmessage.Message
		if q.Unpack(buf[:n]) != nil || len(q.Questions) != 1 {
			continue
		}
		s.asked.Add(1)
		m := dnsmessage.Message{ID: q.ID, Response: true, RecursionAvailable: true, Questions: q.Questions}
		s.mu.Lock()
		a, ok := s.table[q.Questions[0].Name.String()]
		s.mu.Unlock()
		switch {
		case !ok:
			m.RCode = dnsmessage.RCodeNameError
		case q.Questions[0].Type == dnsmessage.TypeA:
			head := dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1}
			m.Answers = []dnsmessage.Resource{{Header: head, Body: &dnsmessage.AResource{A: a.As4()}}}
		}
		packed, err := m.Pack()
		if err != nil {
			s.t.Error(err)
			return
		}
		_, _ = s.conn.WriteTo(packed, from)
	}
}

func TestNamesFollowADNSServer(t *testing.T) {
	old, fresh := serve(t, polite), serve(t, polite)
	// What the names resolve to is dialled at these servers.
	behind := map[netip.Addr]*server{netip.MustParseAddr("203.0.113.1"): old, netip.MustParseAddr("203.0.113.2"): fresh}
	forward := func(ctx context.Context, to netip.AddrPort, loopback bool) (net.Conn, error) {
		if loopback {
			t.Error("loopback addresses are allowed to a name")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", behind[to.Addr()].addr.String())
	}
	dns := serveNames(t, "127.0.0.9:0", map[string]netip.Addr{"api.example.org.": netip.MustParseAddr("203.0.113.1")})
	none := t.TempDir() + "/none" // no hosts file
	resolver := dial.NewResolver(dial.ResolverOptions{Servers: []netip.AddrPort{dns.addr}, Hosts: none, Timeout: 5 * time.Second, Attempts: 2})
	r := NewRegistry(Options{Dial: forward, Resolver: resolver})
	host := Host{Names: []string{"api.example.org"}, Port: 80, Public: true}
	b := r.Acquire(Config{Key: "Backend default/api", Hosts: []Host{host}})
	defer b.Release()

	var res Response
	request := func() netip.Addr {
		t.Helper()
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Fatal(err)
		}
		return res.Endpoint.Addr()
	}
	if a := request(); a.String() != "203.0.113.1" {
		t.Fatalf("the first request went to %s", a)
	}
	dns.set("api.example.org.", netip.MustParseAddr("203.0.113.2"))
	patient.Until(t, "the new address is used", func() bool { return request().String() == "203.0.113.2" })

	// The server dies: requests are served by the last good address, however often the lookup fails.
	dns.conn.Close()
	n := b.names.Load()
	patient.Until(t, "a lookup has failed", func() bool { request(); return n.hosts[0].err.Load() != nil })
	if a := request(); a.String() != "203.0.113.2" {
		t.Errorf("without a name server requests go to %s", a)
	}
	// A second host beside it does not cost the first its addresses, though neither resolves.
	again := r.Acquire(Config{Key: "Backend default/api", Hosts: []Host{host, {Names: []string{"other.example.org"}, Port: 80}}})
	defer again.Release()
	if a := request(); a.String() != "203.0.113.2" {
		t.Errorf("with another host requests go to %s", a)
	}
	// It comes back, with another answer.
	serveNames(t, dns.addr.String(), map[string]netip.Addr{"api.example.org.": netip.MustParseAddr("203.0.113.1")})
	patient.Until(t, "it is believed again", func() bool { return request().String() == "203.0.113.1" })
}

func TestAHostWithoutAddressesDoesNotHoldUpAnother(t *testing.T) {
	dns := serveNames(t, "127.0.0.1:0", map[string]netip.Addr{"up.example.org.": netip.MustParseAddr("203.0.113.1")})
	up := serve(t, polite)
	r := NewRegistry(Options{
		Dial: func(ctx context.Context, to netip.AddrPort, _ bool) (net.Conn, error) {
			if to != netip.MustParseAddrPort("203.0.113.1:8080") {
				t.Errorf("%s is dialled", to)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", up.addr.String())
		},
		Resolver: dial.NewResolver(dial.ResolverOptions{Servers: []netip.AddrPort{dns.addr}, Hosts: t.TempDir() + "/none"}),
	})
	b := r.Acquire(Config{Key: "b", Hosts: []Host{
		{Names: []string{"down.example.org"}, Port: 80, Public: true}, {Names: []string{"up.example.org"}, Port: 8080, Public: true},
	}})
	defer b.Release()
	var res Response
	for range 3 {
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Error(err)
		}
	}
	// Where the name is a guess, an address of a public network is not believed.
	guess := r.Acquire(Config{Key: "guess", Hosts: []Host{{Names: []string{"up.example.org"}, Port: 8080}}})
	defer guess.Release()
	if _, err := ask(guess, get("/"), nil, Timeouts{}, &res); result(err) != NoEndpoint {
		t.Errorf("%v, not a lack of endpoints", err)
	}
}

func TestUnixSockets(t *testing.T) {
	dir := t.TempDir()
	s := serveOn(t, "unix", dir+"/app.sock", polite)
	d := &dial.UnixDialer{Dir: dir}
	r := NewRegistry(Options{DialUnix: d.Dial})
	b := r.Acquire(Config{Key: "b", Sockets: []string{dir + "/none.sock", dir + "/app.sock"}})
	defer b.Release()
	var res Response
	for i := range 4 {
		body, err := ask(b, get("/"), nil, Timeouts{}, &res)
		if err != nil || body != "hello" || res.Socket != dir+"/app.sock" || res.Endpoint.IsValid() {
			t.Fatalf("request %d: %q %v, by %s %s", i, body, err, res.Socket, res.Endpoint)
		}
	}
	if n := s.requests(); n != 4 {
		t.Errorf("%d requests arrived", n)
	}
	if n := b.stats.Reused.Load(); n == 0 {
		t.Error("no connection was kept")
	}
	closed := NewRegistry(Options{}).Acquire(Config{Key: "b", Sockets: []string{dir + "/app.sock"}})
	defer closed.Release()
	if _, err := ask(closed, get("/"), nil, Timeouts{}, &res); result(err) != ConnectFailed {
		t.Errorf("without a dialer for sockets: %v", err)
	}
}

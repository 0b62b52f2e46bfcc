// Waiting until a record can be seen, and following CNAMEs.

package dns01

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// world is a resolver that knows the zone's name server, and a network on which that name server is elsewhere.
func world(t *testing.T, n *nameServer, alias string) Network {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg)
		a.SetReply(q)
		text := ""
		switch {
		case q.Question[0].Qtype == dns.TypeNS && q.Question[0].Name == "example.com.":
			text = "example.com. 60 IN NS ns.example.com."
		case q.Question[0].Name == shop+"." && alias != "":
			text = shop + ". 60 IN CNAME " + alias + "."
		default:
			a.Rcode = dns.RcodeNameError
		}
		if rr, err := dns.NewRR(text); err == nil && text != "" {
			a.Answer = append(a.Answer, rr)
		}
		_ = w.WriteMsg(a)
	})}
	go server.ActivateAndServe()
	t.Cleanup(func() { _ = server.Shutdown() })
	return Network{
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr == "ns.example.com:53" {
				addr = n.addr
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		},
		Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", l.LocalAddr().String())
		}},
	}
}

func TestWaitAsksTheNameServersOfTheZone(t *testing.T) {
	n := newNameServer(t)
	network := world(t, n, "")
	s := &Solver{Provider: &RFC2136{Network: network, Server: n.addr, Key: &TSIG{"update", "HMACSHA256", keySecret}}, Network: network}
	if err := s.Present(t.Context(), shop, "one"); err != nil {
		t.Fatal(err)
	}
	if seen, err := s.Wait(t.Context(), shop, "one"); err != nil || !seen {
		t.Errorf("a value that is there: seen %v, %v", seen, err)
	}
	s.Patience = time.Millisecond
	if seen, err := s.Wait(t.Context(), shop, "two"); err != nil || seen {
		t.Errorf("a value that is not there: seen %v, %v", seen, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Wait(ended, shop, "two"); err == nil {
		t.Error("waiting does not end with its context")
	}
}

func TestCNAMEIsFollowedWhereTheStrategySaysSo(t *testing.T) {
	n := newNameServer(t)
	network := world(t, n, "challenges.example.com")
	s := &Solver{Provider: &RFC2136{Network: network, Server: n.addr, Key: &TSIG{"update", "HMACSHA256", keySecret}}, Network: network}
	for _, follow := range []bool{false, true} {
		s.Follow = follow
		if err := s.Present(t.Context(), shop, "one"); err != nil {
			t.Fatal(err)
		}
	}
	if at, followed := n.values(shop), n.values("challenges.example.com"); !slices.Equal(at, []string{"one"}) || !slices.Equal(followed, []string{"one"}) {
		t.Errorf("without following %q, with following %q", at, followed)
	}
}

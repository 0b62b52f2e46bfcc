// Datagrams there and back: who gets them, and where answers come from.

package datagram

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

func TestDatagramsGoThereAndBack(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "a:"), echo(t, "b:")))
		seen := map[string]int{}
		for range 4 { // each client is a session, and a session stays where it is
			c := dial(t, g.addr)
			first := ask(t, c, "1")
			for _, text := range []string{"2", "", strings.Repeat("x", 60000)} {
				if got := ask(t, c, text); got != first[:2]+text {
					t.Errorf("got %.20q after %q", got, first)
				}
			}
			seen[first]++
		}
		if seen["a:1"] != 2 || seen["b:1"] != 2 {
			t.Errorf("sessions are spread %v", seen)
		}
		for metric, want := range map[string]float64{
			"wicketgate_udp_sessions_active": 4, "wicketgate_udp_datagrams_total": 32, "wicketgate_udp_bytes_total": 2*4*(2+60000) + 16*2,
			"wicketgate_udp_dropped_datagrams_total": 0, "wicketgate_udp_receive_buffer_drops_total": 0,
		} {
			waitFor(t, fmt.Sprint(metric, " is ", want), func() bool { return g.counts(metric) == want }) // what is done is counted a moment later
		}
	})
}

// On a wildcard socket an answer comes from the address that was asked, of either family; two of them are two sessions.
func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "::")
		g.serve(g.to(echo(t, "")))
		port := g.addr.Port()
		sender, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Close()
		_ = sender.SetReadDeadline(time.Now().Add(patient.Limit))
		for i := 1; i <= 3; i++ {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, byte(i)}), port)
			if _, err := sender.WriteToUDPAddrPort([]byte{byte(i)}, to); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 8)
			n, from, err := sender.ReadFromUDPAddrPort(buf)
			if err != nil || n != 1 || buf[0] != byte(i) || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != to {
				t.Errorf("%v answers %v %v, want from %v", from, buf[:n], err, to)
			}
		}
		if n := g.sessions.Load(); n != 3 {
			t.Errorf("%d sessions", n)
		}
		c, err := net.DialUDP("udp6", nil, &net.UDPAddr{IP: net.IPv6loopback, Port: int(port)})
		if err != nil {
			t.Skipf("no IPv6: %v", err)
		}
		defer c.Close()
		if got := ask(t, c, "six"); got != "six" {
			t.Errorf("got %q", got)
		}
	})
}

// Two listeners share a wildcard socket, told apart by the local address.
func TestListenersShareAWildcard(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "::")
		two := netip.MustParseAddr("127.0.0.2")
		g.table.Store(&Table{Places: []Place{
			{Local: two, Listener: "two", Route: g.to(echo(t, "two:"))}, {Listener: "all", Route: g.to(echo(t, "all:"))},
		}})
		if got := ask(t, dial(t, netip.AddrPortFrom(two, g.addr.Port())), "x"); got != "two:x" {
			t.Errorf("got %q", got)
		}
		if got := ask(t, dial(t, g.addr), "x"); got != "all:x" {
			t.Errorf("got %q", got)
		}
	})
}

// Nothing is lost of many flows with several datagrams under way each, and each gets its own.
func TestManyFlowsLoseNothing(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "::")
		g.serve(g.to(echo(t, ""), echo(t, "")))
		const flows, window, rounds = 50, 8, 20
		failed := make(chan error, flows)
		for flow := range flows {
			c := dial(t, g.addr)
			go func() {
				_ = c.SetDeadline(time.Now().Add(patient.Limit))
				buf := make([]byte, 100)
				for round := range rounds {
					due := map[string]bool{}
					for i := range window {
						text := fmt.Sprint(flow, round, i)
						due[text] = true
						if _, err := c.Write([]byte(text)); err != nil {
							failed <- err
							return
						}
					}
					for range window {
						n, err := c.Read(buf)
						if err != nil || !due[string(buf[:n])] {
							failed <- fmt.Errorf("flow %d round %d: %q, %w; due are %v", flow, round, buf[:n], err, due)
							return
						}
						delete(due, string(buf[:n]))
					}
				}
				failed <- nil
			}()
		}
		for range flows {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	})
}

// A route that does not work drops, counted by why, and holds nothing.
func TestDrops(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		refused := g.to(echo(t, ""))
		refused.Unusable = "no route is attached"
		half := g.to(echo(t, ""))
		half.Shares[0].Unusable = "Service default/gone is not defined"
		for _, step := range []struct {
			why   string
			route *Route
		}{{"unusable", refused}, {"unusable", half}, {"no_endpoint", g.to("")}} {
			g.serve(step.route)
			before := g.counts("wicketgate_udp_dropped_datagrams_total", step.why)
			c := dial(t, g.addr)
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			waitFor(t, step.why, func() bool { return g.counts("wicketgate_udp_dropped_datagrams_total", step.why) == before+1 })
		}
		g.table.Store(nil)
		if _, err := dial(t, g.addr).Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "no listener", func() bool { return g.counts("wicketgate_udp_dropped_datagrams_total", "no_listener") == 1 })
	})
}

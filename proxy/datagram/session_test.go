// The life of sessions: reloads, failing endpoints, idleness, floods.

package datagram

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

func TestReloads(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		a, b := echo(t, "a:"), echo(t, "b:")
		g.serve(g.to(a))
		c := dial(t, g.addr)
		if got := ask(t, c, "1"); got != "a:1" {
			t.Fatalf("got %q", got)
		}
		links := func() link {
			g.socket.mu.Lock()
			defer g.socket.mu.Unlock()
			for _, x := range g.socket.sessions {
				return x.flow.link
			}
			return nil
		}
		before := links()
		g.serve(g.to(a)) // what is the same goes on
		if got := ask(t, c, "2"); got != "a:2" || links() != before {
			t.Errorf("got %q on another link", got)
		}
		g.serve(g.to(b)) // another backend is chosen, for the same client
		if got := ask(t, c, "3"); got != "b:3" {
			t.Errorf("got %q", got)
		}
		if n := g.sessions.Load(); n != 1 {
			t.Errorf("%d sessions", n)
		}
		g.table.Store(&Table{Places: []Place{{Listener: "another", Route: g.to(a)}}})
		g.Refresh()
		if n := g.sessions.Load(); n != 0 {
			t.Errorf("%d sessions of a listener that is gone", n)
		}
		if got := ask(t, c, "4"); got != "a:4" {
			t.Errorf("got %q", got)
		}
		waitFor(t, "one removed", func() bool { return g.counts("wicketgate_udp_sessions_total", "removed") == 1 })
	})
}

// An endpoint that is replaced while it is at answering is heard, for a while; what comes later goes to the other one.
func TestAnswersOutliveReloads(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		asked, reloaded := make(chan struct{}), make(chan struct{})
		old := answer(t, func(c *net.UDPConn, from netip.AddrPort, p []byte) {
			asked <- struct{}{}
			<-reloaded
			_, _ = c.WriteToUDPAddrPort(append([]byte("old:"), p...), from)
		})
		g.serve(g.to(old))
		c := dial(t, g.addr)
		if _, err := c.Write([]byte("1")); err != nil {
			t.Fatal(err)
		}
		<-asked
		g.serve(g.to(echo(t, "new:")))
		if got := ask(t, c, "2"); got != "new:2" {
			t.Errorf("got %q of the new endpoint", got)
		}
		close(reloaded)
		if got := hear(t, c); got != "old:1" {
			t.Errorf("got %q of the old endpoint", got)
		}
		k := g.socket
		links := func() (n int, former bool) {
			k.mu.Lock()
			defer k.mu.Unlock()
			for _, x := range k.sessions {
				former = x.former != nil
			}
			return len(k.former), former
		}
		if n, former := links(); n != 1 || !former {
			t.Errorf("%d former flows, %v", n, former)
		}
		k.mu.Lock()
		k.hangUp(g.now() + 1)
		k.mu.Unlock()
		if n, former := links(); n != 0 || former {
			t.Errorf("%d former flows after their time, %v", n, former)
		}
		if got := ask(t, c, "3"); got != "new:3" {
			t.Errorf("got %q", got)
		}
	})
}

// An endpoint at which nobody listens is left; the datagram that shows it is sent again elsewhere.
func TestEndpointsThatRefuseAreLeft(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(vacant(t).String() + " " + echo(t, "")))
		for range 4 {
			c := dial(t, g.addr)
			got := make([]byte, 8)
			waitFor(t, "an answer", func() bool { // the first may be lost: nobody knows before it was sent
				_, _ = c.Write([]byte("x"))
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				_, err := c.Read(got)
				return err == nil
			})
		}
	})
}

// A single endpoint that comes back is found again by the same session.
func TestAnEndpointComesBack(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, "127.0.0.1")
		at := vacant(t)
		g.serve(g.to(at.String()))
		c := dial(t, g.addr)
		for range 3 {
			if _, err := c.Write([]byte("lost")); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, "the session", func() bool { return g.sessions.Load() == 1 })
		second, err := net.ListenUDP("udp4", at)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		waitFor(t, "a datagram", func() bool {
			_, _ = c.Write([]byte("x"))
			_ = second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _, err := second.ReadFromUDPAddrPort(make([]byte, 8))
			return err == nil
		})
	})
}

func TestIdleSessionsExpire(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		o.Idle = 80 * time.Millisecond
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "")))
		c := dial(t, g.addr)
		insist(t, c, "1") // a session may end while its answer is on the way
		insist(t, c, "2")
		waitFor(t, "the end", func() bool { return g.sessions.Load() == 0 })
		waitFor(t, "one expired", func() bool { return g.counts("wicketgate_udp_sessions_total", "expired") >= 1 })
		insist(t, c, "3")
	})
}

// A session whose backend alone talks is not idle.
func TestABackendKeepsItsSession(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		o.Idle = time.Hour
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "")))
		ask(t, dial(t, g.addr), "1")
		k := g.socket
		sweep := func(now int64) int {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.expire(&k.young, now, 30)
			return len(k.sessions)
		}
		k.mu.Lock()
		x := k.young.oldest()
		x.queued = 100
		k.mu.Unlock()
		x.heard.Store(125)
		for _, step := range []struct {
			now  int64
			left int
		}{{130, 1}, {131, 1}, {161, 1}, {162, 0}} {
			if n := sweep(step.now); n != step.left {
				t.Errorf("%d sessions at tick %d, want %d", n, step.now, step.left)
			}
		}
	})
}

// A flood of sources that nobody is at makes room for itself, never at the cost of a client that has shown that it is there.
func TestFloodsEndNoSessionOfAClientThatIsThere(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		o.MaxSessions = 20
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "")))
		there := dial(t, g.addr)
		ask(t, there, "1")
		ask(t, there, "2")
		for range 100 { // which stay open: a port that is used again is the client that had it
			ask(t, dial(t, g.addr), "x")
		}
		if n := g.sessions.Load(); n > 20 {
			t.Errorf("%d sessions", n)
		}
		waitFor(t, "81 evicted", func() bool { return g.counts("wicketgate_udp_sessions_total", "evicted") == 81 })
		g.socket.mu.Lock()
		first := g.socket.proven.oldest()
		g.socket.mu.Unlock()
		if first == nil || first.key.peer() != there.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Error("the session of the client that is there has ended")
		}
	})
}

// With nothing but proven sessions new ones are refused, and counted.
func TestNewSessionsAreRefusedWhenNoneMayEnd(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		o.MaxSessions = 3
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "")))
		for range 3 {
			c := dial(t, g.addr)
			ask(t, c, "1")
			ask(t, c, "2")
		}
		if _, err := dial(t, g.addr).Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the drop", func() bool { return g.counts("wicketgate_udp_dropped_datagrams_total", "session_limit") == 1 })
	})
}

// What claims to come from an address of ours is not forwarded: its answer would come back for ever.
func TestForgedSourcesAreDropped(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		var own atomic.Pointer[netip.AddrPort]
		o.Own = func(a netip.AddrPort) bool { return own.Load() != nil && *own.Load() == a }
		g := open(t, o, "127.0.0.1")
		g.serve(g.to(echo(t, "")))
		c := dial(t, g.addr)
		at := c.LocalAddr().(*net.UDPAddr).AddrPort()
		own.Store(&at)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the drop", func() bool { return g.counts("wicketgate_udp_dropped_datagrams_total", "forged") == 1 })
		for text, forged := range map[string]bool{
			"192.0.2.1:5": false, "192.0.2.1:0": true, "224.0.0.1:5": true, "255.255.255.255:5": true, "0.0.0.0:5": true, "[ff02::1]:5": true, "[::]:5": true,
		} {
			k := keyOf(netip.MustParseAddrPort(text), netip.Addr{})
			if got := g.socket.forged(&k); got != forged {
				t.Errorf("%s: %v", text, got)
			}
		}
	})
}

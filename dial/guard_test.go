// Tests of the guard and the dialer.

package dial

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// guardWith knows our own addresses, and interfaces of its own.
func guardWith(own []string, interfaces ...string) *Guard {
	g := &Guard{interfaces: func() ([]net.Addr, error) {
		var list []net.Addr
		for _, i := range interfaces {
			ip, network, err := net.ParseCIDR(i)
			if err != nil {
				return nil, err
			}
			list = append(list, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return list, nil
	}}
	g.SetOwn(servers(own...))
	return g
}

func TestGuard(t *testing.T) {
	none := guardWith(nil)
	own := guardWith([]string{"0.0.0.0:8080", "127.0.0.1:9080", "10.0.0.5:8443", "[::ffff:10.0.0.6]:8443"}, "127.0.0.1/8", "192.168.1.7/24", "fd00::7/64")
	broken := guardWith([]string{"[::]:8080"}, "nonsense")
	for _, c := range []struct {
		name     string
		guard    *Guard
		addr     string
		loopback bool
		want     string // part of the refusal; empty: allowed
	}{
		{"a private address", none, "10.0.0.1:80", false, ""},
		{"a public address", none, "93.184.216.34:80", false, ""},
		{"a unique local address", none, "[fd00::1]:80", false, ""},
		{"the metadata service", none, "169.254.169.254:80", true, "link-local"},
		{"the metadata service, mapped", none, "[::ffff:169.254.169.254]:80", true, "link-local"},
		{"the metadata service behind NAT64", none, "[64:ff9b::a9fe:a9fe]:80", true, "link-local"},
		{"the metadata service over IPv6", none, "[fd00:ec2::254]:80", true, "credentials"},
		{"Alibaba Cloud's metadata service", none, "100.100.100.200:80", true, "credentials"},
		{"Azure's wire server", none, "168.63.129.16:32526", true, "credentials"},
		{"Azure's wire server behind NAT64", none, "[64:ff9b::a83f:8110]:80", true, "credentials"},
		{"Google Cloud's metadata service over IPv6", none, "[fd20:ce::254]:80", true, "credentials"},
		{"link-local over IPv6", none, "[fe80::1]:80", true, "link-local"},
		{"link-local with a zone", none, "[fe80::1%eth0]:80", true, "link-local"},
		{"multicast", none, "224.0.0.1:80", true, "multicast"},
		{"multicast over IPv6", none, "[ff02::1]:80", true, "multicast"},
		{"unspecified", none, "0.0.0.0:80", true, "unspecified"},
		{"unspecified over IPv6", none, "[::]:80", true, "unspecified"},
		{"unspecified, mapped", none, "[::ffff:0.0.0.0]:80", true, "unspecified"},
		{"this network", none, "0.1.2.3:80", true, "this network"},
		{"broadcast", none, "255.255.255.255:80", true, "broadcast"},
		{"port 0", none, "10.0.0.1:0", true, "port 0"},
		{"loopback without leave", none, "127.0.0.1:3000", false, "only where an EndpointSlice or Backend object lists it"},
		{"all of loopback without leave", none, "127.9.9.9:3000", false, "loopback"},
		{"loopback over IPv6 without leave", none, "[::1]:3000", false, "loopback"},
		{"loopback, mapped, without leave", none, "[::ffff:127.0.0.1]:3000", false, "loopback"},
		{"loopback with leave", none, "127.0.0.1:3000", true, ""},
		{"loopback over IPv6 with leave", none, "[::1]:3000", true, ""},
		{"the admin address", own, "127.0.0.1:9080", true, "this gateway itself listens there"},
		{"the admin address, mapped", own, "[::ffff:127.0.0.1]:9080", true, "this gateway itself listens there"},
		{"another address with the admin port", own, "127.0.0.2:9080", true, ""},
		{"a listener", own, "10.0.0.5:8443", false, "this gateway itself listens there"},
		{"a listener given in IPv6 notation", own, "10.0.0.6:8443", false, "this gateway itself listens there"},
		{"a wildcard listener by loopback", own, "127.0.0.1:8080", true, "this gateway itself listens there"},
		{"a wildcard listener by another loopback", own, "127.3.3.3:8080", true, "this gateway itself listens there"},
		{"a wildcard listener by loopback over IPv6", own, "[::1]:8080", true, "this gateway itself listens there"},
		{"a wildcard listener by an interface", own, "192.168.1.7:8080", false, "this gateway itself listens there"},
		{"a wildcard listener by an interface over IPv6", own, "[fd00::7]:8080", false, "this gateway itself listens there"},
		{"another machine with a wildcard listener's port", own, "192.168.1.8:8080", false, ""},
		{"a wildcard listener where interfaces are unknown", broken, "192.168.1.7:8080", false, "cannot tell"},
		{"another port where interfaces are unknown", broken, "192.168.1.7:8081", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := netip.MustParseAddrPort(c.addr)
			err := c.guard.Check(addr.Addr(), addr.Port(), c.loopback)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!IsRefused(err) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if err := none.Check(netip.Addr{}, 80, true); !IsRefused(err) {
		t.Errorf("no address: %v", err)
	}
	if err := new(Guard).Check(netip.MustParseAddr("10.0.0.1"), 80, false); err != nil {
		t.Errorf("the zero Guard: %v", err)
	}
}

func TestGuardForgetsOwnAddressesThatAreReplaced(t *testing.T) {
	g := guardWith([]string{"10.0.0.5:80"})
	g.SetOwn(servers("10.0.0.6:80"))
	if err := g.Check(netip.MustParseAddr("10.0.0.5"), 80, false); err != nil {
		t.Error(err)
	}
	if err := g.Check(netip.MustParseAddr("10.0.0.6"), 80, false); err == nil {
		t.Error("the new address is allowed")
	}
}

func TestDialerConnectsToWhatTheGuardAllows(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
		if err != nil {
			t.Logf("no listener on %s: %v", ip, err)
			continue
		}
		defer ln.Close()
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, "hello")
				conn.Close()
			}
		}()
		addr := ln.Addr().(*net.TCPAddr).AddrPort()
		d := &Dialer{Guard: new(Guard)}
		if _, err := d.Dial(t.Context(), addr, false); !IsRefused(err) {
			t.Errorf("loopback without leave: %v", err)
		}
		conn, err := d.Dial(t.Context(), addr, true)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(conn); string(b) != "hello" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		conn.Close()
		d.Guard.SetOwn([]netip.AddrPort{addr})
		if _, err := d.Dial(t.Context(), addr, true); !IsRefused(err) {
			t.Errorf("our own address: %v", err)
		}
	}
}

func TestDialerReportsWhyItFailed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	d := &Dialer{Guard: new(Guard)}
	var op *net.OpError
	if _, err := d.Dial(t.Context(), addr, true); !errors.As(err, &op) || IsRefused(err) {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Dial(ctx, addr, true); err == nil {
		t.Error("connected although the context had ended")
	}
	d.Timeout = time.Nanosecond
	if _, err := d.Dial(t.Context(), addr, true); err == nil || !isTimeout(err) {
		t.Errorf("a timeout: %v", err)
	}
}

// Until's deadline ends a dial, and not the context.
func TestUntil(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := &Dialer{Guard: new(Guard)}
	ctx := Until(t.Context(), time.Unix(1, 0))
	if _, err := d.Dial(ctx, ln.Addr().(*net.TCPAddr).AddrPort(), true); !isTimeout(err) {
		t.Errorf("after the deadline: %v", err)
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("the context has ended: %v", err)
	}
	if end, _ := Until(ctx, time.Now()).Deadline(); !end.Equal(time.Unix(1, 0)) {
		t.Errorf("an earlier deadline became %v", end)
	}
}

// below is a connection on top of another one.
type below struct{ net.Conn }

func (b below) NetConn() net.Conn { return b.Conn }

// probedConn says whether keep-alive probes were asked for.
type probedConn struct {
	net.Conn
	on bool
}

func (c *probedConn) SetKeepAliveConfig(k net.KeepAliveConfig) error {
	c.on = k.Enable
	return nil
}

func TestKeepAliveFindsTheConnectionBelow(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	c := &probedConn{Conn: near}
	KeepAlive(below{below{c}})
	if !c.on {
		t.Error("no probes were asked for")
	}
	KeepAlive(below{far}) // has none
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

//go:build unix

// Inherited sockets, in a process that is started with some.

package listeners

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func environment(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestNothingIsInheritedWithoutAnAnnouncement(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"none":              {},
		"another process's": {"LISTEN_PID": "1", "LISTEN_FDS": "2"},
		"zero":              {"LISTEN_PID": "77", "LISTEN_FDS": "0"},
	} {
		in, err := Inherit(environment(vars), 77)
		if in != nil || err != nil {
			t.Errorf("%s: %v, %v", name, in, err)
		}
	}
	for _, count := range []string{"", "-1", "many", "100000"} {
		in, err := Inherit(environment(map[string]string{"LISTEN_PID": "77", "LISTEN_FDS": count}), 77)
		if in != nil || err == nil || !strings.Contains(err.Error(), "LISTEN_FDS") {
			t.Errorf("LISTEN_FDS=%q: %v, %v", count, in, err)
		}
	}
	var none *Inherited
	if l, err := none.Listen(t.Context(), netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
		t.Error(err)
	} else {
		_ = l.Close()
	}
}

// child is what TestInherit's process does in the name of the test: it is started with sockets as systemd would.
const child = "WICKETGATE_TEST_INHERIT"

func TestInherit(t *testing.T) {
	if addr := os.Getenv(child); addr != "" {
		inherited(t, netip.MustParseAddrPort(addr))
		return
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()

	// exec.Cmd cannot tell its child the child's own number: a shell does.
	c := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestInherit$' -test.v`, os.Args[0])
	c.Env = append(os.Environ(), "LISTEN_FDS=2", child+"="+l.Addr().String())
	c.ExtraFiles = []*os.File{socket, plain}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "served on an inherited socket") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// inherited runs in the child: descriptor 3 is a socket bound to addr, descriptor 4 is none.
func inherited(t *testing.T, addr netip.AddrPort) {
	in, err := Inherit(os.Getenv, os.Getpid())
	if in == nil || err == nil || !strings.Contains(err.Error(), "descriptor 4: is no listening socket") {
		t.Fatalf("%v, %v", in, err)
	}
	if unused := in.Unused(); len(unused) != 1 || unused[0] != addr {
		t.Errorf("unused before it was asked for: %v", unused)
	}
	if _, err := ListenTCP(t.Context(), addr); err == nil {
		t.Fatal("the address is free: the test shows nothing")
	}
	for range 2 { // closed, it can be had again
		l, err := in.Listen(context.Background(), addr)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if c, err := net.Dial("tcp", addr.String()); err == nil {
				_ = c.Close()
			}
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = l.Close()
	}
	if unused := in.Unused(); len(unused) != 0 {
		t.Errorf("unused although it was asked for: %v", unused)
	}
	t.Log("served on an inherited socket " + strconv.Quote(addr.String()))
}

func TestWildcardsOfAPortAreOne(t *testing.T) {
	want := netip.MustParseAddrPort("[::]:80")
	for _, a := range []string{"0.0.0.0:80", "[::]:80"} {
		if got := key(netip.MustParseAddrPort(a)); got != want {
			t.Errorf("%s: %s", a, got)
		}
	}
	if got := key(netip.MustParseAddrPort("[::ffff:127.0.0.1]:80")); got != netip.MustParseAddrPort("127.0.0.1:80") {
		t.Errorf("mapped: %s", got)
	}
}

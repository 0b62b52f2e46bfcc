//go:build unix

// Inherited sockets, in a process that is started with some.

package listeners

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
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
const (
	child    = "WICKETGATE_TEST_INHERIT"
	childUDP = "WICKETGATE_TEST_INHERIT_UDP"
)

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
	c, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	plain, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	files := []*os.File{nil, plain, nil}
	for at, socket := range map[int]interface{ File() (*os.File, error) }{0: l.(*net.TCPListener), 2: c} {
		if files[at], err = socket.File(); err != nil {
			t.Fatal(err)
		}
		defer files[at].Close()
	}

	// exec.Cmd cannot tell its child the child's own number: a shell does.
	run := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestInherit$' -test.v`, os.Args[0])
	run.Env = append(os.Environ(), "LISTEN_FDS=3", child+"="+l.Addr().String(), childUDP+"="+c.LocalAddr().String())
	run.ExtraFiles = files
	out, err := run.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "served on inherited sockets") {
		t.Fatalf("%v\n%s", err, out)
	}
}

// inherited runs in the child: descriptor 3 is a TCP socket bound to addr, descriptor 4 is none, descriptor 5 is a UDP socket.
func inherited(t *testing.T, addr netip.AddrPort) {
	packets := netip.MustParseAddrPort(os.Getenv(childUDP))
	in, err := Inherit(os.Getenv, os.Getpid())
	if in == nil || err == nil || !strings.Contains(err.Error(), "descriptor 4: is no listening socket") {
		t.Fatalf("%v, %v", in, err)
	}
	if tcp, udp := in.Unused(); !slices.Equal(tcp, []netip.AddrPort{addr}) || !slices.Equal(udp, []netip.AddrPort{packets}) {
		t.Errorf("unused before they were asked for: %v, %v", tcp, udp)
	}
	if _, err := ListenTCP(t.Context(), addr); err == nil {
		t.Fatal("the address is free: the test shows nothing")
	}
	if _, err := ListenUDP(t.Context(), packets); err == nil {
		t.Fatal("the UDP address is free: the test shows nothing")
	}
	for range 2 { // closed, they can be had again
		serveOnce(t, in, addr)
		answerOnce(t, in, packets)
	}
	if tcp, udp := in.Unused(); len(tcp)+len(udp) != 0 {
		t.Errorf("unused although they were asked for: %v, %v", tcp, udp)
	}
	t.Log("served on inherited sockets " + addr.String() + " and " + packets.String())
}

func serveOnce(t *testing.T, in *Inherited, addr netip.AddrPort) {
	l, err := in.Listen(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
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
}

// answerOnce shows also that the socket was prepared: it tells what address a datagram was sent to.
func answerOnce(t *testing.T, in *Inherited, addr netip.AddrPort) {
	c, err := in.ListenUDP(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client, err := net.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), addr.Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	buf, beside := make([]byte, 8), make([]byte, 128)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	n, told, _, _, err := c.ReadMsgUDPAddrPort(buf, beside)
	if err != nil || n != 1 || runtime.GOOS == "linux" && told == 0 {
		t.Errorf("%d bytes and %d beside them, %v", n, told, err)
	}
}

func TestWildcardsOfAPortAreOne(t *testing.T) {
	want := place{netip.MustParseAddrPort("[::]:80"), false}
	for _, a := range []string{"0.0.0.0:80", "[::]:80"} {
		if got := placeOf(netip.MustParseAddrPort(a), false); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if got := placeOf(netip.MustParseAddrPort("[::ffff:127.0.0.1]:80"), true); got != (place{netip.MustParseAddrPort("127.0.0.1:80"), true}) {
		t.Errorf("mapped: %v", got)
	}
}

// What only Linux offers.

package listeners

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func TestOwnerNamesTheProcess(t *testing.T) {
	l, err := ListenTCP(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	if who := owner(addr, false); !strings.Contains(who, "this process") {
		t.Errorf("owner = %q", who)
	}
	l.Close()
	if who := owner(addr, false); who != "" {
		t.Errorf("owner of a closed socket = %q", who)
	}
}

func TestConnectionsInheritKeepAlive(t *testing.T) {
	l, err := ListenTCP(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on, idle int
	if err := raw.Control(func(fd uintptr) {
		on, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
		idle, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
	}); err != nil {
		t.Fatal(err)
	}
	if on != 1 || idle != 60 {
		t.Errorf("SO_KEEPALIVE = %d, TCP_KEEPIDLE = %d, want 1 and 60", on, idle)
	}
}

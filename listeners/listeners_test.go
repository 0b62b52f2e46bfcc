// Opening, keeping and closing sockets.

package listeners

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/internal/ports"
)

func TestMain(m *testing.M) { patient.Main(m) }

// free returns a loopback address with a port that nobody is given before it is used.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
}

// open opens what is wanted and accepts on it.
func open(t *testing.T, s *Set, want ...netip.AddrPort) map[netip.AddrPort]error {
	t.Helper()
	failed := s.Open(t.Context(), want)
	s.Accept()
	return failed
}

// hello is a Handle that names the socket to the client and closes the connection.
func hello(c net.Conn, socket netip.AddrPort) {
	defer c.Close()
	_, _ = io.WriteString(c, socket.String())
}

// ask connects to addr and returns what it says.
func ask(t *testing.T, addr string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "error: " + err.Error()
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOpenKeepsWhatIsWantedAndRetireClosesTheRest(t *testing.T) {
	s := New(Options{Handle: hello})
	defer s.Close()
	a, b, c := free(t), free(t), free(t)
	if failed := open(t, s, a, b); failed != nil {
		t.Fatal(failed)
	}
	kept := s.open[b].Socket
	next := []netip.AddrPort{b, c}
	if failed := open(t, s, next...); failed != nil {
		t.Fatal(failed)
	}
	if got := ask(t, a.String()); got != a.String() {
		t.Errorf("before Retire the old socket said %q", got)
	}
	if gone := s.Retire(next); !slices.Equal(gone, []netip.AddrPort{a}) {
		t.Errorf("Retire = %v, want %v", gone, a)
	}
	if got := ask(t, a.String()); !strings.Contains(got, "refused") {
		t.Errorf("after Retire the old socket said %q", got)
	}
	for _, addr := range next {
		if got := ask(t, addr.String()); got != addr.String() {
			t.Errorf("%s said %q", addr, got)
		}
	}
	if s.open[b].Socket != kept {
		t.Error("a socket that stayed wanted was opened again")
	}
	if len(s.Retire(next)) != 0 {
		t.Error("a second Retire found something to close")
	}
}

// Clients that come between Open and Accept wait; they see nothing of the configuration before.
func TestConnectionsWaitForAccept(t *testing.T) {
	handled := make(chan struct{}, 1)
	s := New(Options{Handle: func(c net.Conn, at netip.AddrPort) { handled <- struct{}{}; hello(c, at) }})
	defer s.Close()
	a := free(t)
	if failed := s.Open(t.Context(), []netip.AddrPort{a}); failed != nil {
		t.Fatal(failed)
	}
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(handled) != 0 {
		t.Error("handed out before Accept")
	}
	s.Accept()
	if b, err := io.ReadAll(c); string(b) != a.String() || err != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestRetiredSocketsConnectionsLiveOn(t *testing.T) {
	s := New(Options{Handle: func(c net.Conn, _ netip.AddrPort) { go func() { defer c.Close(); _, _ = io.Copy(c, c) }() }})
	defer s.Close()
	a := free(t)
	open(t, s, a)
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func() {
		if _, err := io.WriteString(c, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	say()
	s.Retire(nil)
	say()
}

func TestWildcardTakesBothFamilies(t *testing.T) {
	s := New(Options{Handle: hello})
	defer s.Close()
	for _, wild := range []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
		addr := netip.AddrPortFrom(wild, free(t).Port())
		if failed := open(t, s, addr); failed != nil {
			t.Fatal(failed)
		}
		for _, host := range []string{"127.0.0.1", "::1"} {
			if host == "::1" && !hasIPv6(t) {
				continue
			}
			if got := ask(t, netip.AddrPortFrom(netip.MustParseAddr(host), addr.Port()).String()); got != addr.String() {
				t.Errorf("%s through %s: %q", addr, host, got)
			}
		}
	}
}

func hasIPv6(t *testing.T) bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Log("no IPv6 here:", err)
		return false
	}
	return l.Close() == nil
}

func TestAnAddressInUseIsReportedAndTriedAgain(t *testing.T) {
	s := New(Options{Handle: hello})
	defer s.Close()
	taken, fine := free(t), free(t)
	other, err := ListenTCP(t.Context(), taken)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.AddrPort{taken, fine}
	failed := open(t, s, want...)
	if len(failed) != 1 || !errors.Is(failed[taken], syscall.EADDRINUSE) {
		t.Fatalf("failed = %v", failed)
	}
	if msg := failed[taken].Error(); !strings.Contains(msg, "--port-map") || strings.Count(msg, taken.String()) != 1 {
		t.Errorf("message: %s", msg)
	}
	if got := ask(t, fine.String()); got != fine.String() {
		t.Errorf("the other socket said %q", got)
	}
	other.Close()
	if failed := open(t, s, want...); failed != nil {
		t.Fatalf("after the address was free: %v", failed)
	}
	if got := ask(t, taken.String()); got != taken.String() {
		t.Errorf("%s said %q", taken, got)
	}
}

// A wildcard and a specific address on one port exclude each other, so changing from one to the other has to close first.
func TestChangingBetweenWildcardAndSpecificAddress(t *testing.T) {
	s := New(Options{Handle: hello})
	defer s.Close()
	specific := free(t)
	wild := netip.AddrPortFrom(netip.IPv6Unspecified(), specific.Port())
	for _, step := range []struct{ from, to netip.AddrPort }{{netip.AddrPort{}, specific}, {specific, wild}, {wild, specific}} {
		want := []netip.AddrPort{step.to}
		if failed := open(t, s, want...); failed != nil {
			t.Fatalf("to %s: %v", step.to, failed)
		}
		gone := s.Retire(want)
		if step.from.IsValid() != slices.Contains(gone, step.from) {
			t.Errorf("to %s: Retire = %v", step.to, gone)
		}
		if got := ask(t, specific.String()); got != step.to.String() {
			t.Errorf("to %s: answered %q", step.to, got)
		}
	}
	both := []netip.AddrPort{specific, wild}
	failed := open(t, s, both...)
	if len(failed) != 1 || failed[wild] == nil {
		t.Errorf("both wanted: failed = %v", failed)
	}
}

func TestMessagesSayWhatToDo(t *testing.T) {
	sys := func(no syscall.Errno) error {
		return &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", no)}
	}
	for name, c := range map[string]struct {
		addr string
		err  error
		want []string
	}{
		"a low port without privilege":   {"127.0.0.1:80", sys(syscall.EACCES), []string{"permission denied", "--port-map 80=8080", "setcap"}},
		"an address of another machine":  {"192.0.2.1:8080", sys(syscall.EADDRNOTAVAIL), []string{"192.0.2.1", "spec.addresses"}},
		"anything else is passed on":     {"127.0.0.1:8080", errors.New("strange"), []string{"cannot listen on 127.0.0.1:8080: strange"}},
		"a high port without permission": {"127.0.0.1:8080", sys(syscall.EPERM), []string{"cannot listen on 127.0.0.1:8080: operation not permitted"}},
	} {
		t.Run(name, func(t *testing.T) {
			addr := netip.MustParseAddrPort(c.addr)
			s := New(Options{Handle: hello, Listen: func(context.Context, netip.AddrPort) (net.Listener, error) { return nil, c.err }})
			got := s.Open(t.Context(), []netip.AddrPort{addr})[addr]
			if !errors.Is(got, c.err) && !errors.Is(c.err, errors.Unwrap(got)) {
				t.Errorf("%v does not wrap %v", got, c.err)
			}
			for _, w := range c.want {
				if !strings.Contains(got.Error(), w) {
					t.Errorf("%q lacks %q", got, w)
				}
			}
		})
	}
}

// starved is a listener whose Accept fails as if the process were out of descriptors until room is closed.
type starved struct {
	room   chan struct{}
	closed chan struct{}
	tries  atomic.Int32
	conns  chan net.Conn
}

func (l *starved) Accept() (net.Conn, error) {
	l.tries.Add(1)
	select {
	case <-l.room:
	default:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *starved) Close() error   { close(l.closed); return nil }
func (l *starved) Addr() net.Addr { return &net.TCPAddr{} }

func TestRunningOutOfDescriptorsIsSurvivedAndSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &starved{room: make(chan struct{}), closed: make(chan struct{}), conns: make(chan net.Conn, 1)}
		var logged bytes.Buffer
		s := New(Options{
			Handle: hello,
			Log:    slog.New(slog.NewTextHandler(&logged, nil)),
			Listen: func(context.Context, netip.AddrPort) (net.Listener, error) { return l, nil },
		})
		addr := netip.MustParseAddrPort("127.0.0.1:80")
		open(t, s, addr)
		time.Sleep(time.Minute) // fake time: the loop backs off meanwhile
		synctest.Wait()
		if n := l.tries.Load(); n < 60 || n > 75 {
			t.Errorf("%d attempts in a minute: they should back off to one a second", n)
		}
		if n := strings.Count(logged.String(), "cannot accept"); n != 1 {
			t.Errorf("said %d times:\n%s", n, logged.String())
		}
		if !strings.Contains(logged.String(), "ulimit") {
			t.Errorf("no advice in %s", logged.String())
		}
		near, far := net.Pipe()
		l.conns <- near
		close(l.room)
		if b, _ := io.ReadAll(far); string(b) != addr.String() {
			t.Errorf("after it had room again: %q", b)
		}
		s.Close()
		if !strings.Contains(logged.String(), "accepting connections again") {
			t.Errorf("recovery not said:\n%s", logged.String())
		}
	})
}

func TestCloseEndsABackOff(t *testing.T) {
	l := &starved{room: make(chan struct{}), closed: make(chan struct{})}
	s := New(Options{Handle: hello, Listen: func(context.Context, netip.AddrPort) (net.Listener, error) { return l, nil }})
	open(t, s, netip.MustParseAddrPort("127.0.0.1:80"))
	for l.tries.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	s.Close() // returns only when the loop has ended
	if b := s.Bound(); len(b) != 0 {
		t.Errorf("still open: %v", b)
	}
}

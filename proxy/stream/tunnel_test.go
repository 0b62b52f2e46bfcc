// Tunnels: the same bytes and ends as on the connections of routes, without being one.

package stream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// dig opens a tunnel between the connection that is returned and one that backend gets. ready, if not nil, is waited for before it is relayed.
func dig(t *testing.T, s *Server, ahead, back string, ready <-chan struct{}, backend func(*net.TCPConn)) (*net.TCPConn, *Tunnel) {
	t.Helper()
	to, err := net.Dial("tcp", listen(t, backend))
	if err != nil {
		t.Fatal(err)
	}
	dug := make(chan *Tunnel, 1)
	c, err := net.Dial("tcp", listen(t, func(c *net.TCPConn) {
		tunnel := s.Tunnel(c, to)
		dug <- tunnel
		if ready != nil {
			<-ready
		}
		tunnel.Relay([]byte(ahead), []byte(back))
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn), <-dug
}

// digger is a server that is looked after; nil where there are no tunnels.
func digger(t *testing.T) *Server {
	t.Helper()
	if !rawFlows {
		t.Skip("there are no tunnels on this system")
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { patient.NoLeak(t, before) })
	s := NewServer(Options{})
	s.pause = 50 * time.Millisecond
	t.Cleanup(func() {
		waitFor(t, "the last sweep", func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return !s.sweeps && len(s.tunnels) == 0
		})
	})
	return s
}

func TestTunnel(t *testing.T) {
	s := digger(t)
	c, _ := dig(t, s, "ahead ", "back ", nil, func(c *net.TCPConn) {
		_, _ = io.Copy(c, c) // up to the client's half-close
		_, _ = io.WriteString(c, "bye")
	})
	if s.count() != 0 {
		t.Error("a tunnel is taken for a connection of a route")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient.Limit)
	defer cancel()
	if s.Drain(ctx); ctx.Err() != nil {
		t.Error("Drain waits for a tunnel")
	}
	said := strings.Repeat("0123456789abcdef", 1<<14)
	go func() {
		_, _ = io.WriteString(c, said)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if want := "back ahead " + said + "bye"; err != nil || string(got) != want {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}

// What waits when the tunnel begins to look shows in one edge: bytes with the end, or with a reset.
func TestTunnelInOneEdge(t *testing.T) {
	for name, reset := range map[string]bool{"end": false, "reset": true} {
		t.Run(name, func(t *testing.T) {
			s := digger(t)
			ready, got := make(chan struct{}), make(chan string, 1)
			c, _ := dig(t, s, "", "", ready, func(c *net.TCPConn) {
				all, _ := io.ReadAll(c)
				got <- string(all)
			})
			if _, err := io.WriteString(c, "so much"); err != nil {
				t.Fatal(err)
			}
			if reset {
				_ = c.SetLinger(0)
			}
			_ = c.Close()
			close(ready)
			if all := <-got; all != "so much" {
				t.Errorf("the backend received %q", all)
			}
		})
	}
}

func TestTunnelPassesResetsOn(t *testing.T) {
	s := digger(t)
	c, _ := dig(t, s, "", "", nil, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		_ = c.SetLinger(0)
	})
	_, _ = io.WriteString(c, "hello")
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
}

func TestTunnelIsStopped(t *testing.T) {
	s := digger(t)
	failed := make(chan error, 1)
	c, tunnel := dig(t, s, "", "", nil, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		failed <- err
	})
	_, _ = io.WriteString(c, "hello")
	_, _ = io.ReadFull(c, make([]byte, 5))
	tunnel.Stop()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client sees %v", err)
	}
	if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the backend sees %v", err)
	}
}

// What is no plain socket has no tunnel, nor has anything where system calls are not to be used.
func TestNoTunnel(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if NewServer(Options{}).Tunnel(a, b) != nil {
		t.Error("a tunnel between pipes")
	}
	c := new(net.TCPConn)
	if NewServer(Options{Portable: true}).Tunnel(c, c) != nil {
		t.Error("a tunnel where all is to be portable")
	}
}

// How a server ends: draining, and shutting down at once.

package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

func TestDrain(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		begun, release := make(chan struct{}, 10), make(chan struct{})
		s := serve(t, mode, Limits{}, func(x Exchange) {
			if string(x.Request().Target) == "/slow" {
				begun <- struct{}{}
				<-release
			}
			respond(x, 200, "ok\n")
		})
		idle, busy := s.dial(), s.dial()
		idle.send(get)
		idle.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
		busy.send(strings.Replace(get, "/", "/slow", 1))
		receive(t, begun, "request")
		drained := make(chan struct{})
		go func() { s.Drain(within(t), s.socket()); close(drained) }()
		if got := idle.all(); got != "" {
			t.Errorf("idle connection got %q", got)
		}
		patient.Until(t, "the busy connection is told", func() bool {
			left := s.connections(func(*conn) bool { return true })
			return len(left) == 1 && left[0].closing.Load()
		})
		select {
		case <-drained:
			t.Error("Drain did not wait for the exchange")
		default:
		}
		close(release)
		if got := busy.all(); got != "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n" {
			t.Errorf("exchange got %q", got)
		}
		receive(t, drained, "end of Drain")
		other := netip.MustParseAddrPort("127.0.0.1:1")
		s.Drain(within(t), other) // nobody there
	})
}

// TestDrainEnds: what is still at work when the time is up is broken off.
func TestDrainEnds(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		begun := make(chan struct{})
		s := serve(t, mode, Limits{}, func(x Exchange) {
			cancelled := make(waiting, 1)
			x.Watch(cancelled)
			close(begun)
			if r := receive(t, cancelled, "Cancel"); r != message.Shutdown {
				t.Errorf("cancelled for %v", r)
			}
			x.Abort(message.Shutdown)
		})
		k := s.dial()
		k.send(get)
		receive(t, begun, "request")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.Drain(ctx, netip.AddrPort{})
		if got := k.all(); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

// TestDrainLosesNothing: a request that was sent before Drain began is answered, on new and on kept connections.
func TestDrainLosesNothing(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		for range 60 {
			s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 200, "ok\n") })
			clients := make([]*client, 12)
			for i := range clients {
				clients[i] = s.dial()
				if i%3 > 0 {
					clients[i].send(get)
					clients[i].expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
				}
			}
			var wg sync.WaitGroup
			for i, k := range clients {
				if i%3 < 2 {
					k.send(get)
				}
			}
			wg.Go(func() { s.Drain(within(t), netip.AddrPort{}) })
			for i, k := range clients {
				got := k.all()
				if i%3 < 2 && !strings.HasSuffix(got, "ok\n") || i%3 == 2 && got != "" {
					t.Fatalf("client %d got %q", i, got)
				}
			}
			wg.Wait()
			_ = s.ln.Close()
		}
	})
}

// TestDrainUnderLoad: clients that keep sending while the server drains get a whole answer or an end of the connection that shows that their
// request was not served.
func TestDrainUnderLoad(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		for range 10 {
			var served atomic.Int64
			s := serve(t, mode, Limits{}, func(x Exchange) { served.Add(1); respond(x, 200, "ok\n") })
			var answered atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				k := s.dial()
				wg.Go(func() {
					for {
						if _, err := io.WriteString(k.TCPConn, get); err != nil {
							return
						}
						response, err := k.r.ReadString('k') // of the body, which is ok
						if err != nil {
							return
						}
						answered.Add(1)
						if strings.Contains(response, "close") {
							return
						}
						_, _ = k.r.ReadByte()
					}
				})
			}
			// What is accepted long after a drain has begun is none of its business.
			patient.Until(t, "the server has all connections, and a hundred requests", func() bool {
				return len(s.connections(func(*conn) bool { return true })) == 8 && served.Load() >= 100
			})
			s.Drain(within(t), s.socket())
			wg.Wait()
			if served.Load() != answered.Load() {
				t.Fatalf("%d requests were served and %d answered", served.Load(), answered.Load())
			}
			_ = s.ln.Close()
		}
	})
}

func TestCloseBreaksOff(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		begun := make(chan struct{}, 3)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			begun <- struct{}{}
			switch string(x.Request().Method) {
			case "POST":
				_, err := content(x.Body())
				if err == nil {
					t.Error("a body that never came is complete")
				}
				x.Abort(message.Shutdown)
			case "PUT":
				_ = x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown},
					&pieces{next: func() ([]byte, error) { return make([]byte, 1<<16), nil }})
			default:
				<-x.Context().Done()
				x.Abort(message.Shutdown)
			}
		})
		for _, r := range []string{get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "PUT / HTTP/1.1\r\nHost: a\r\n\r\n"} {
			s.dial().send(r)
			receive(t, begun, "request")
		}
		s.Close()
		patient.Until(t, "all connections are gone", func() bool { return len(s.connections(func(*conn) bool { return true })) == 0 })
		c, _ := net.Pipe()
		s.ServeConn(c, netip.AddrPort{}, nil)
		if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a connection after Close: %v", err)
		}
	})
}

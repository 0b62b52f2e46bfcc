// Connections that end: clients that leave, limits, stalls, draining and shutting down.

package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// waiting is what an exchange waits for on behalf of a client.
type waiting chan message.Reason

func (w waiting) Cancel(r message.Reason) { w <- r }

func TestClientLeaves(t *testing.T) {
	for _, c := range []struct {
		name  string
		leave func(*client)
	}{
		{"by closing", func(k *client) { _ = k.Close() }},
		{"by resetting", func(k *client) { _ = k.SetLinger(0); _ = k.Close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, mode Transport) {
				begun, cancelled, cause := make(chan struct{}), make(waiting, 1), make(chan error, 1)
				s := serve(t, mode, Limits{}, func(x Exchange) {
					ctx := x.Context()
					x.Watch(cancelled)
					close(begun)
					if r := receive(t, cancelled, "Cancel"); r != message.ClientGone {
						t.Errorf("cancelled for %v", r)
					}
					<-ctx.Done()
					cause <- context.Cause(ctx)
					x.Abort(message.ClientGone)
				})
				k := s.dial()
				k.send(get)
				receive(t, begun, "request")
				s.awaitArmed()
				c.leave(k)
				if err := receive(t, cause, "end of the context"); !errors.Is(err, ErrClientGone) {
					t.Errorf("context ended with %v", err)
				}
			})
		})
	}
}

// awaitArmed waits until the client of the exchange at work is being watched.
func (s *testServer) awaitArmed() {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, c := range s.connections(func(*conn) bool { return true }) {
			c.mu.Lock()
			armed := c.watch.armed
			c.mu.Unlock()
			if armed {
				time.Sleep(2 * togetherTime) // what comes within that still belongs to the request
				return
			}
		}
	}
	s.t.Fatal("no client is being watched")
}

// TestHalfClose: a client that closed its sending side together with its request still gets the answer, however slow.
func TestHalfClose(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		release := make(chan struct{})
		s := serve(t, mode, Limits{}, func(x Exchange) {
			cancelled := make(waiting, 1)
			x.Watch(cancelled)
			select {
			case <-release:
				respond(x, 200, "late\n")
			case <-cancelled:
				t.Error("cancelled")
				x.Abort(message.ClientGone)
			}
		})
		k := s.dial()
		k.send(get)
		_ = k.CloseWrite()
		s.awaitArmed()
		close(release)
		if got := k.all(); !strings.HasSuffix(got, "late\n") {
			t.Errorf("got %q", got)
		}
	})
}

// TestEndWithRequest: a connection whose client closed together with its last request is over soon, not when its idle time is.
func TestEndWithRequest(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 200, "ok\n") })
		for range 20 {
			k := s.dial()
			k.send(get)
			_ = k.CloseWrite()
			if got := k.all(); !strings.HasSuffix(got, "ok\n") {
				t.Errorf("got %q", got)
			}
		}
	})
}

// TestNoCancelAfterUnwatch: once an exchange has unwatched or ended, what it watched over is left alone.
func TestNoCancelAfterUnwatch(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		step := make(chan struct{})
		cancelled := make(waiting, 1)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			ctx := x.Context()
			x.Watch(cancelled)
			step <- struct{}{}
			<-step
			x.Watch(nil)
			step <- struct{}{}
			<-ctx.Done()
			x.Abort(message.ClientGone)
		})
		k := s.dial()
		k.send(get)
		<-step
		s.awaitArmed()
		step <- struct{}{}
		<-step
		_ = k.Close()
		for len(s.connections(func(*conn) bool { return true })) > 0 {
			time.Sleep(time.Millisecond)
		}
		if len(cancelled) > 0 {
			t.Error("cancelled after Watch(nil)")
		}
	})
}

func TestTimeLimits(t *testing.T) {
	const short = 200 * time.Millisecond
	run(t, func(t *testing.T, mode Transport) {
		t.Run("head", func(t *testing.T) {
			s := serve(t, mode, Limits{HeadTime: short}, echo)
			k := s.dial()
			for _, b := range "GET / HT" { // a byte now and then does not help
				k.send(string(b))
				time.Sleep(short / 5)
				if len(s.handler.refused) > 0 {
					break
				}
			}
			if got := k.all(); !strings.HasPrefix(got, "HTTP/1.1 408 Request Timeout\r\n") || !strings.Contains(got, "Connection: close") {
				t.Errorf("got %q", got)
			}
			if r := receive(t, s.handler.refused, "refusal"); r.status != 408 {
				t.Errorf("handler was told %d", r.status)
			}
		})
		t.Run("idle from the start", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: short}, echo)
			if got := s.dial().all(); got != "" {
				t.Errorf("got %q", got)
			}
		})
		t.Run("idle after a request", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: short}, func(x Exchange) { respond(x, 200, "ok\n") })
			k := s.dial()
			k.send(get)
			if got := k.all(); got != "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n" {
				t.Errorf("got %q", got)
			}
		})
		t.Run("idle after resting", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: restAfter + 5*tick}, func(x Exchange) { respond(x, 200, "ok\n") })
			k := s.dial()
			k.send(get)
			if got := k.all(); !strings.HasSuffix(got, "ok\n") {
				t.Errorf("got %q", got)
			}
		})
		t.Run("client that takes nothing", func(t *testing.T) {
			failed := make(chan error, 1)
			s := serve(t, mode, Limits{WriteStall: short}, func(x Exchange) {
				block := []byte(strings.Repeat("x", 1<<20))
				failed <- x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, &pieces{next: func() ([]byte, error) { return block, nil }})
			})
			s.dial().send(get)
			if receive(t, failed, "end of the response") == nil {
				t.Error("an endless response ended well")
			}
		})
		t.Run("leaving within the head", func(t *testing.T) {
			s := serve(t, mode, Limits{}, echo)
			k := s.dial()
			k.send("GET / HT")
			_ = k.CloseWrite()
			if got := k.all(); got != "" {
				t.Errorf("got %q", got)
			}
			if r := receive(t, s.handler.refused, "refusal"); r.status != 0 || !errors.Is(r.why, io.ErrUnexpectedEOF) {
				t.Errorf("handler was told %d %v", r.status, r.why)
			}
		})
	})
}

// TestRestingConnection: a connection that was idle for long works as before.
func TestRestingConnection(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 200, "ok\n") })
		k := s.dial()
		for range 2 {
			k.send(get)
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
			for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
				s.mu.Lock()
				resting := len(s.resting.list)
				s.mu.Unlock()
				if resting == 1 {
					break
				}
				if time.Now().After(end) {
					t.Fatal("the connection does not rest")
				}
			}
		}
	})
}

func TestAbort(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, func(x Exchange) { x.Abort(message.Reset) })
		k := s.dial()
		k.send(get)
		if got := k.all(); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

func TestHandlerFaults(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		for name, h := range map[string]func(Exchange){
			"panic": func(Exchange) { panic("fault") }, "no response": func(Exchange) {},
		} {
			s := serve(t, mode, Limits{}, h)
			k := s.dial()
			k.send(strings.Replace(get, "1.1", "1.0", 1))
			if got := k.all(); !strings.HasPrefix(got, "HTTP/1.1 500 Internal Server Error\r\n") {
				t.Errorf("%s: got %q", name, got)
			}
		}
		s := serve(t, mode, Limits{}, func(x Exchange) {
			_ = x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, &pieces{next: func() ([]byte, error) { panic("fault") }})
		})
		k := s.dial()
		k.send(get)
		if got := k.all(); got != "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" {
			t.Errorf("panic within the response: got %q", got)
		}
	})
}

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
			for served.Load() < 100 {
				time.Sleep(time.Millisecond)
			}
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
		if n := len(s.connections(func(*conn) bool { return true })); n > 0 {
			t.Errorf("%d connections are left", n)
		}
		c, _ := net.Pipe()
		s.ServeConn(c, netip.AddrPort{}, nil)
		if _, err := c.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a connection after Close: %v", err)
		}
	})
}

func TestTunnel(t *testing.T) {
	const upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	run(t, func(t *testing.T, mode Transport) {
		t.Run("carries both ways and half-closes", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: 100 * time.Millisecond, HeadTime: 100 * time.Millisecond}, func(x Exchange) {
				d, err := x.Tunnel(&message.Head{Status: 101})
				if err != nil {
					t.Error(err)
					return
				}
				b, err := io.ReadAll(d)
				if err != nil {
					t.Error(err)
				}
				time.Sleep(3 * tick) // no limit for requests applies any more
				_, _ = io.WriteString(d, strings.ToUpper(string(b)))
				_ = d.CloseWrite()
			})
			k := s.dial()
			k.send(upgrade + "early ")
			k.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			k.send("late")
			_ = k.CloseWrite()
			if got := k.all(); got != "EARLY LATE" {
				t.Errorf("got %q", got)
			}
		})
		t.Run("gives its connection and what is in hand", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				d, _ := x.Tunnel(&message.Head{Status: 101})
				v := d.(Spliceable)
				_, _ = v.NetConn().Write(v.Buffered())
				if len(v.Buffered()) > 0 {
					t.Error("bytes are given twice")
				}
			})
			k := s.dial()
			k.send(upgrade + "early")
			k.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		})
		t.Run("is refused to requests that did not ask", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				if _, err := x.Tunnel(&message.Head{Status: 101}); err == nil {
					t.Error("tunnel without an upgrade")
				}
				respond(x, 400, "no\n")
			})
			k := s.dial()
			k.send(get)
			k.expect("HTTP/1.1 400 Bad Request\r\n")
		})
		t.Run("an upgrade may be declined", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 200, "no\n") })
			k := s.dial()
			k.send(upgrade + get)
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno\nHTTP/1.1 200 OK\r\n")
		})
	})
}

// TestOverTLS: the portable transport under TLS, with everything that reads ahead.
func TestOverTLS(t *testing.T) {
	certificate := selfSigned(t)
	s := listen(t, Raw, Limits{}, func(x Exchange) {
		if string(x.Request().Target) == "/wait" {
			<-x.Context().Done()
			x.Abort(message.ClientGone)
			return
		}
		if string(x.Request().Scheme) != "https" {
			t.Errorf("scheme is %s", x.Request().Scheme)
		}
		echo(x)
	})
	s.conns.Go(func() {
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return
			}
			s.conns.Go(func() {
				k := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
				if k.Handshake() != nil {
					_ = c.Close()
					return
				}
				s.ServeConn(k, s.socket(), &TLS{})
			})
		}
	})
	k, err := tls.Dial("tcp", s.ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own server
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	_, _ = io.WriteString(k, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(k)
	if want := "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST a /|abc\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET  /|\n"; err != nil || undated(string(b)) != want {
		t.Errorf("got %q, %v", b, err)
	}
	w, err := tls.Dial("tcp", s.ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its own server
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, strings.Replace(get, "/", "/wait", 1))
	s.awaitArmed()
	_ = w.Close()
	for len(s.connections(func(*conn) bool { return true })) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// TestAnswerToReset: a client that resets while it is answered harms nobody else.
func TestAnswerToReset(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		failed := make(chan error, 1)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			body := &pieces{next: func() ([]byte, error) { return make([]byte, 1<<16), nil }}
			failed <- x.Respond(&message.Head{Status: 200, Length: 1 << 40}, body)
			if len(body.stopped) == 0 {
				t.Error("the body was not stopped")
			}
		})
		k := s.dial()
		k.send(get)
		_, _ = k.r.ReadByte()
		_ = k.SetLinger(0)
		_ = k.Close()
		if err := receive(t, failed, "end of the response"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the response ended with %v", err)
		}
	})
}

// Connections that end: clients that leave, limits and stalls.

package wire

import (
	"context"
	"errors"
	"io"
	"strings"
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
		k.sendLast(get)
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
			k.sendLast(get)
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
			if got := s.ask(get).all(); got != "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n" {
				t.Errorf("got %q", got)
			}
		})
		t.Run("idle after resting", func(t *testing.T) {
			s := serve(t, mode, Limits{KeepAlive: restAfter + 5*tick}, func(x Exchange) { respond(x, 200, "ok\n") })
			if got := s.ask(get).all(); !strings.HasSuffix(got, "ok\n") {
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
		t.Parallel()
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

// A connection to a backend as a whole: staleness, reuse, deadlines, cancellation, tunnels.

package wire_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// exchangeOnce does one plain exchange that leaves the connection fit for another.
func exchangeOnce(t *testing.T, c *wire.BackendConn, s *script) {
	t.Helper()
	wait := s.run(func() { s.head(); s.say(ok) })
	var res message.Head
	if err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res); err != nil {
		t.Fatal(err)
	}
	wait()
	if !c.Finish() {
		t.Fatal("not reusable")
	}
}

// TestBackendLooksBeforeItSends: nothing is sent on a connection on which something waits, be it the first request or a later one.
func TestBackendLooksBeforeItSends(t *testing.T) {
	waits := map[string]func(*script){
		"unread bytes":    func(s *script) { s.say("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
		"one unread byte": func(s *script) { s.say("\n") },
		"an end":          func(s *script) { _ = s.Conn.(*net.TCPConn).CloseWrite() },
		"a reset":         func(s *script) { s.reset() },
	}
	backends(t, func(t *testing.T, portable bool) {
		for name, f := range waits {
			for _, first := range []bool{true, false} {
				c, s := connect(t, portable)
				if !first {
					exchangeOnce(t, c, s)
				}
				f(s)
				c.AwaitArrival(t) // to be late would be a different case
				var res message.Head
				err := c.Do(nil, request("POST", 5), &inHand{p: "hello"}, never(), &res)
				if err == nil || err.Kind != wire.BackendStale || err.Answered || err.Consumed {
					t.Fatalf("%s, first %v: %+v, want stale", name, first, err)
				}
				if got, _ := io.ReadAll(s.in); len(got) > 0 {
					t.Errorf("%s: %q was sent", name, got)
				}
			}
		}
	})
}

// TestBackendClosesOnTheRequest: a kept connection that closes just when a request arrives has answered nothing.
func TestBackendClosesOnTheRequest(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		exchangeOnce(t, c, s)
		wait := s.run(func() { s.head(); s.Close() })
		defer wait()
		var res message.Head
		err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res)
		if err == nil || err.Kind != wire.BackendBroken || err.Answered {
			t.Fatalf("%+v, want broken and not answered", err)
		}
	})
}

// TestBackendManyExchanges: responses follow their requests on a connection, in all framings, and nothing of one is left for the next.
func TestBackendManyExchanges(t *testing.T) {
	answers := []string{ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n", "HTTP/1.1 103 Early\r\n\r\n" + ok}
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() {
			for i := range 60 {
				s.head()
				a := answers[i%3]
				cut := min(i, len(a))
				s.say(a[:cut], a[cut:]) // at every place there is
			}
		})
		defer wait()
		for i := range 60 {
			deadline := time.Time{}
			if i%2 == 0 {
				deadline = never()
			}
			var res message.Head
			if err := c.Do(&exchange{}, request("GET", message.LengthNone), nil, deadline, &res); err != nil {
				t.Fatal(i, err)
			}
			if body, err := readAll(c.Body()); body != "ok" || err != nil {
				t.Fatalf("exchange %d: %q, %v", i, body, err)
			}
			if !c.Finish() {
				t.Fatal(i, "not reusable")
			}
		}
		c.Close()
	})
}

// inTime calls f with a deadline that is soon, and again with later ones, until f reports that the machine was fast enough for what was to come
// before it.
func inTime(t *testing.T, f func(limit time.Duration) bool) {
	t.Helper()
	for limit := 30 * time.Millisecond; !f(limit); limit *= 2 {
		if limit > patient.Limit {
			t.Fatal("always too late")
		}
	}
}

// TestBackendDeadline: an exchange ends at its deadline, before the head, within the body and within an upload.
func TestBackendDeadline(t *testing.T) {
	soon := func() time.Time { return time.Now().Add(30 * time.Millisecond) }
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		var res message.Head
		err := c.Do(nil, request("GET", message.LengthNone), nil, soon(), &res)
		if err == nil || err.Kind != wire.BackendTimeout || err.Answered {
			t.Errorf("no head: %+v, want a timeout", err)
		}
		s.Close()

		c, s = connect(t, portable)
		upload := stream64K(make([]byte, 64<<20))
		err = c.Do(nil, request("POST", 1<<30), upload, soon(), &res)
		if err == nil || err.Kind != wire.BackendTimeout {
			t.Errorf("upload: %+v, want a timeout", err)
		}
		upload.Stop(message.Drain) // nobody else does if the time was up before the body was asked for
		s.Close()

		var wait func()
		inTime(t, func(limit time.Duration) bool {
			c, s = connect(t, portable)
			wait = s.run(func() { s.head(); s.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") })
			err := c.Do(nil, request("GET", message.LengthNone), nil, time.Now().Add(limit), &res)
			if err != nil && err.Kind != wire.BackendTimeout {
				t.Fatal(err)
			}
			return err == nil
		})
		body, failure := readAll(c.Body())
		if e, _ := failure.(*wire.BackendError); e == nil || e.Kind != wire.BackendTimeout || body != "hello" { //nolint:errorlint // as it is returned
			t.Errorf("body: %q, %v, want a timeout", body, failure)
		}
		if c.Finish() {
			t.Error("reusable after a timeout")
		}
		wait()
	})
}

// TestBackendDeadlineIsForgotten: a kept connection outlives the deadline of an exchange that was in time.
func TestBackendDeadlineIsForgotten(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		var c *wire.BackendConn
		var s *script
		var wait func()
		var res message.Head
		inTime(t, func(limit time.Duration) bool {
			c, s = connect(t, portable)
			wait = s.run(func() { s.head(); s.say(ok) })
			deadline := time.Now().Add(limit)
			err := c.Do(nil, request("GET", message.LengthNone), nil, deadline, &res)
			if err != nil && err.Kind != wire.BackendTimeout {
				t.Fatal(err)
			}
			kept := err == nil && c.Finish()
			if err == nil && !kept && time.Now().Before(deadline) {
				t.Fatal("not reusable")
			}
			wait()
			time.Sleep(time.Until(deadline) + 20*time.Millisecond)
			return kept
		})
		wait = s.run(func() { s.head(); s.say(ok) })
		if err := c.Do(nil, request("GET", message.LengthNone), nil, time.Time{}, &res); err != nil {
			t.Fatal(err)
		}
		c.Close()
		wait()
	})
}

// TestBackendCancel: when the client leaves, whatever waits returns, wherever the exchange is.
func TestBackendCancel(t *testing.T) {
	places := []struct {
		name string
		say  string
		body func() message.Body
	}{
		{"before the head", "", nil},
		{"within the head", "HTTP/1.1 200 OK\r\n", nil},
		{"within the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", nil},
		{"within a chunked body", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", nil},
		{"within a body until close", "HTTP/1.1 200 OK\r\n\r\nhello", nil},
		{"within an upload that waits for the client", "", func() message.Body { return newStream() }},
		{"within an upload that waits for the backend", "", func() message.Body { return stream64K(make([]byte, 32<<20)) }},
	}
	backends(t, func(t *testing.T, portable bool) {
		for _, p := range places {
			t.Run(p.name, func(t *testing.T) {
				c, s := connect(t, portable)
				x := &exchange{}
				wait := s.run(func() {
					s.head()
					s.say(p.say)
					time.Sleep(10 * time.Millisecond) // so that it is waited for, usually; any moment is right
					x.leave()
				})
				req, body := request("GET", message.LengthNone), message.Body(nil)
				if p.body != nil {
					req, body = request("POST", 1<<30), p.body()
				}
				var res message.Head
				var failure error
				if err := c.Do(x, req, body, time.Time{}, &res); err != nil {
					failure = err
				} else {
					_, failure = readAll(c.Body())
					if c.Finish() {
						t.Error("reusable after a cancellation")
					}
				}
				if e, _ := failure.(*wire.BackendError); e == nil || e.Kind != wire.BackendCancelled { //nolint:errorlint // as it is returned
					t.Errorf("failure %v, want a cancellation", failure)
				}
				wait()
				if x.watched != nil {
					t.Error("the client is still watched for a connection that is given up")
				}
			})
		}
	})
}

// TestBackendCancelTooLate: a cancellation that comes when the exchange is over changes nothing.
func TestBackendCancelTooLate(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		exchangeOnce(t, c, s)
		c.Cancel(message.ClientGone)
		exchangeOnce(t, c, s)
		c.Close()
	})
}

// TestBackendTunnel: after 101 bytes pass both ways, those that came with the head first, each half ends alone, and neither the deadline nor the
// watch of the exchange cuts it.
func TestBackendTunnel(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		req := request("GET", message.LengthNone)
		req.Upgrade = []byte("websocket")
		var c *wire.BackendConn
		var wait func()
		var x *exchange
		var res message.Head
		var deadline time.Time
		inTime(t, func(limit time.Duration) bool {
			var s *script
			c, s = connect(t, portable)
			came, stay := make(chan struct{}), make(chan bool, 1)
			wait = s.run(func() {
				if h := s.head(); h != "" && !strings.Contains(h, "Connection: Upgrade\r\nUpgrade: websocket\r\n") {
					t.Errorf("asked %q", h)
				}
				s.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello ")
				s.say("world")
				close(came)
				if !<-stay {
					return
				}
				if got, err := io.ReadAll(s.in); string(got) != "from the client" || err != nil {
					t.Errorf("the backend got %q, %v", got, err)
				}
				s.say("after the end")
				s.Close()
			})
			x, deadline = &exchange{}, time.Now().Add(limit)
			err := c.Do(x, req, nil, deadline, &res)
			if err != nil && err.Kind != wire.BackendTimeout {
				t.Fatal(err)
			}
			<-came
			stay <- err == nil
			return err == nil
		})
		d := c.Duplex()
		if d == nil || res.Status != 101 || string(res.Upgrade) != "websocket" {
			t.Fatalf("status %d, duplex %v", res.Status, d)
		}
		if x.watched != nil {
			t.Error("the client is still watched")
		}
		buf := make([]byte, 11)
		if _, err := io.ReadFull(d, buf); string(buf) != "hello world" {
			t.Errorf("got %q, %v", buf, err)
		}
		time.Sleep(time.Until(deadline) + 20*time.Millisecond)
		if _, err := d.Write([]byte("from the client")); err != nil {
			t.Error(err)
		}
		if err := d.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(d); string(got) != "after the end" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		if c.Finish() {
			t.Error("a tunnel is not reusable")
		}
		wait()
	})
}

// TestBackendTunnelCopies: io.Copy finds the way below the two streams, and what was in hand comes first.
func TestBackendTunnelCopies(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		var got []byte
		wait := s.run(func() {
			s.head()
			s.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello", " world")
			_ = s.Conn.(*net.TCPConn).CloseWrite()
			got, _ = io.ReadAll(s.in)
		})
		req := request("GET", message.LengthNone)
		req.Upgrade = []byte("websocket")
		var res message.Head
		if err := c.Do(nil, req, nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		d := c.Duplex().(wire.Spliceable)
		var from strings.Builder
		if n, err := io.Copy(&from, d); err != nil || n != 11 || from.String() != "hello world" {
			t.Errorf("copied %d bytes %q, %v", n, from.String(), err)
		}
		if _, err := io.Copy(d, strings.NewReader("to the backend")); err != nil {
			t.Error(err)
		}
		if d.Buffered() != nil || d.NetConn() == nil || d.Close() != nil {
			t.Error("what is below the stream is not shown")
		}
		wait()
		if string(got) != "to the backend" {
			t.Errorf("the backend got %q", got)
		}
		c.Finish()
	})
}

// TestBackendInterimNobodyWants: when the client cannot be told, it is gone.
func TestBackendInterimNobodyWants(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() { s.head(); s.say("HTTP/1.1 103 Early Hints\r\n\r\n" + ok) })
		defer wait()
		var res message.Head
		err := c.Do(&exchange{deaf: true}, request("GET", message.LengthNone), nil, never(), &res)
		if err == nil || err.Kind != wire.BackendCancelled || !err.Answered {
			t.Errorf("%+v, want a cancellation", err)
		}
	})
}

// TestBackendWithoutDescriptor: a connection that is no socket keeps the promises, too.
func TestBackendWithoutDescriptor(t *testing.T) {
	for _, speaks := range []bool{false, true} {
		client, server := net.Pipe()
		c, s := wire.NewBackendConn(client, false), &script{t, server, bufio.NewReader(server)}
		wait := s.run(func() {
			if speaks {
				s.say(ok)
			}
			for s.head() != "" {
				s.say(ok)
			}
		})
		for range 2 {
			var res message.Head
			err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res)
			if speaks {
				if err == nil || err.Kind != wire.BackendStale {
					t.Errorf("%v, want stale", err)
				}
				break
			}
			if err != nil || !c.Finish() {
				t.Errorf("%v", err)
			}
		}
		c.Close()
		wait()
	}
}

// TestBackendRefusesUpgrade: an answer other than 101 is a response like any other.
func TestBackendRefusesUpgrade(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() { s.head(); s.say(ok) })
		defer wait()
		req := request("GET", message.LengthNone)
		req.Upgrade = []byte("websocket")
		var res message.Head
		if err := c.Do(nil, req, nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		if c.Duplex() != nil || res.Status != 200 || !c.Finish() {
			t.Errorf("status %d, duplex %v", res.Status, c.Duplex())
		}
		c.Close()
	})
}

// FuzzBackendResponse: whatever bytes a backend sends, the exchange ends, and only a whole response leaves the connection fit for reuse.
func FuzzBackendResponse(f *testing.F) {
	for _, tc := range responses {
		f.Add(strings.Join(tc.say, ""), uint16(3))
	}
	f.Fuzz(func(t *testing.T, answer string, cut uint16) {
		if len(answer) > 4<<10 {
			return
		}
		c, s := connect(t, cut%2 == 0)
		at := min(int(cut), len(answer))
		wait := s.run(func() {
			s.head()
			_, _ = io.WriteString(s, answer[:at])
			_, _ = io.WriteString(s, answer[at:])
			s.Close()
		})
		defer wait()
		var res message.Head
		if c.Do(nil, request("GET", message.LengthNone), nil, never(), &res) != nil {
			return
		}
		_, err := readAll(c.Body())
		if c.Finish() && err != nil {
			t.Errorf("reusable after %v", err)
		}
		c.Close()
	})
}

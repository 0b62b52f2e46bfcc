// What is sent to backends: bodies in hand and streamed, early answers, expectations.

package wire_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func fields(pairs ...string) *message.Fields {
	f := &message.Fields{}
	for i := 0; i < len(pairs); i += 2 {
		f.Add([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	return f
}

// TestBackendRequests: what is written for each kind of body that is in hand.
func TestBackendRequests(t *testing.T) {
	cases := []struct {
		name   string
		length int64
		body   *inHand
		expect bool
		want   string // behind the Host field
	}{
		{"none", message.LengthNone, nil, false, "\r\n"},
		{"length", 5, &inHand{p: "hello"}, false, "Content-Length: 5\r\n\r\nhello"},
		{"length 0", 0, &inHand{}, false, "Content-Length: 0\r\n\r\n"},
		{"chunked", message.LengthUnknown, &inHand{p: "hello world, hello"}, false, "Transfer-Encoding: chunked\r\n\r\n12\r\nhello world, hello\r\n0\r\n\r\n"},
		{"chunked and empty", message.LengthUnknown, &inHand{}, false, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"chunked without a body", message.LengthUnknown, nil, false, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		{"chunked with trailers", message.LengthUnknown, &inHand{p: "a", trailers: fields("X-Sum", "1")}, false, "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"},
		{"expectation that is fulfilled", 5, &inHand{p: "hello"}, true, "Content-Length: 5\r\n\r\nhello"},
	}
	backends(t, func(t *testing.T, portable bool) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				c, s := connect(t, portable)
				want := "POST /x HTTP/1.1\r\nHost: shop.test\r\n" + tc.want
				got := ""
				wait := s.run(func() { got = s.read(len(want)); s.say(ok) })
				req := request("POST", tc.length)
				req.ExpectContinue = tc.expect
				var res message.Head
				var body message.Body
				if tc.body != nil {
					body = &inHand{p: tc.body.p, trailers: tc.body.trailers}
				}
				if err := c.Do(nil, req, body, never(), &res); err != nil {
					t.Fatal(err)
				}
				wait()
				if got != want {
					t.Errorf("sent\n%q, want\n%q", got, want)
				}
				if req.ExpectContinue != tc.expect {
					t.Error("the caller's head was changed")
				}
				c.AwaitUpload()
				if !c.Finish() {
					t.Error("not reusable")
				}
				c.Close()
				if _, err := s.in.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("more was sent: %v", err)
				}
			})
		}
	})
}

// TestBackendUpload: a body that comes bit by bit is passed on bit by bit, by length and chunked, with its trailers.
func TestBackendUpload(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		for _, length := range []int64{11, message.LengthUnknown} {
			c, s := connect(t, portable)
			body := newStream()
			body.first = []byte("hel")
			body.trailers = fields("X-Sum", "9")
			want := []string{"Content-Length: 11\r\n\r\nhel", "lo", " world"}
			if length < 0 {
				want = []string{"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", "2\r\nlo\r\n", "6\r\n world\r\n", "0\r\nX-Sum: 9\r\n\r\n"}
			}
			wait := s.run(func() {
				for i, piece := range want {
					if i == 0 {
						piece = "PUT /x HTTP/1.1\r\nHost: shop.test\r\n" + piece
					}
					if got := s.read(len(piece)); got != piece { // each before the next one exists
						t.Errorf("piece %d: %q, want %q", i, got, piece)
					}
					switch i {
					case 0:
						body.send("lo")
					case 1:
						body.send(" world")
					case 2:
						close(body.pieces)
					}
				}
				s.say(ok)
			})
			var res message.Head
			if err := c.Do(nil, request("PUT", length), body, never(), &res); err != nil {
				t.Fatal(err)
			}
			wait()
			c.AwaitUpload()
			if !c.Finish() {
				t.Error("not reusable after a complete upload")
			}
			c.Close()
		}
	})
}

// TestBackendLargeUpload: more than sockets hold goes through whole.
func TestBackendLargeUpload(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<18) // 4 MiB
	backends(t, func(t *testing.T, portable bool) {
		for name, body := range map[string]message.Body{"in hand": &inHand{p: string(data)}, "streamed": stream64K(data)} {
			c, s := connect(t, portable)
			var got string
			wait := s.run(func() { s.head(); got = s.read(len(data)); s.say(ok) })
			var res message.Head
			if err := c.Do(nil, request("POST", int64(len(data))), body, never(), &res); err != nil {
				t.Fatal(name, err)
			}
			wait()
			if got != string(data) {
				t.Errorf("%s: the backend got something else", name)
			}
			c.AwaitUpload()
			if !c.Finish() {
				t.Error("not reusable after a complete upload")
			}
			c.Close()
		}
	})
}

func stream64K(data []byte) *stream {
	b := newStream()
	go func() {
		for p := data; len(p) > 0; p = p[min(len(p), 64<<10):] {
			if !b.send(p[:min(len(p), 64<<10)]) {
				return
			}
		}
		close(b.pieces)
	}()
	return b
}

// TestBackendFullSocket: a request that was all in hand and that the socket does not take at once goes out whole, or as far as a backend reads that
// answers early.
func TestBackendFullSocket(t *testing.T) {
	data := strings.Repeat("0123456789abcdef", 5<<10) // 80 KiB
	backends(t, func(t *testing.T, portable bool) {
		for _, early := range []bool{false, true} {
			client, server := tcpPair(t)
			_ = client.SetWriteBuffer(2 << 10)
			_ = server.SetReadBuffer(2 << 10)
			c, s := wire.NewBackendConn(client, portable), &script{t, server, bufio.NewReader(server)}
			var got string
			wait := s.run(func() {
				s.head()
				if !early {
					got = s.read(len(data))
				}
				s.say(ok)
			})
			var res message.Head
			if err := c.Do(nil, request("PUT", int64(len(data))), &inHand{p: data}, never(), &res); err != nil {
				t.Fatal(err)
			}
			wait()
			if !early {
				c.AwaitUpload()
			}
			if reuse := c.Finish(); reuse == early {
				t.Errorf("answered early: %v, reusable: %v", early, reuse)
			}
			if !early && got != data {
				t.Error("the backend got something else")
			}
			c.Close()
		}
	})
}

// TestBackendWrongBody: a body that is not what the head says never becomes a request that looks complete.
func TestBackendWrongBody(t *testing.T) {
	broken := errors.New("broken chunk")
	cases := []struct {
		name   string
		length int64
		body   func() message.Body
	}{
		{"shorter in hand", 6, func() message.Body { return &inHand{p: "hello"} }},
		{"longer in hand", 4, func() message.Body { return &inHand{p: "hello"} }},
		{"missing", 4, func() message.Body { return nil }},
		{"shorter", 6, func() message.Body { return pieces("hello") }},
		{"longer", 4, func() message.Body { return pieces("he", "llo") }},
		{"breaks off", 6, func() message.Body { return pieces("he", broken) }},
		{"breaks off, chunked", message.LengthUnknown, func() message.Body { return pieces("he", broken) }},
	}
	backends(t, func(t *testing.T, portable bool) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				c, s := connect(t, portable)
				var sent []byte
				wait := s.run(func() { sent, _ = io.ReadAll(s.in) })
				var res message.Head
				err := c.Do(nil, request("POST", tc.length), tc.body(), never(), &res)
				if err == nil || err.Kind != wire.BackendRequest {
					t.Fatalf("failure %v, want one of the request", err)
				}
				wait()
				_, content, _ := strings.Cut(string(sent), "\r\n\r\n")
				if strings.HasSuffix(content, "0\r\n\r\n") || tc.length >= 0 && int64(len(content)) >= tc.length {
					t.Errorf("the backend got a body that looks complete: %q", content)
				}
			})
		}
	})
}

// pieces is a streamed body of strings, and perhaps an error at the end.
func pieces(list ...any) message.Body {
	b := newStream()
	go func() {
		for _, p := range list {
			if !b.send(p) {
				return
			}
		}
		close(b.pieces)
	}()
	return b
}

// TestBackendAnswersEarly: an answer that does not wait for the whole request is passed on, and the connection is closed afterwards.
func TestBackendAnswersEarly(t *testing.T) {
	for name, answer := range map[string]string{
		"refuses and keeps the connection":        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno",
		"refuses and closes":                      "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
		"is content and does not want to read on": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
	} {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, portable bool) {
				c, s := connect(t, portable)
				body := newStream()
				body.first = []byte("a little")
				wait := s.run(func() { s.head(); s.say(answer) })
				defer wait()
				var res message.Head
				if err := c.Do(nil, request("POST", 1<<30), body, never(), &res); err != nil {
					t.Fatal(err)
				}
				if got, err := readAll(c.Body()); got != "no" || err != nil {
					t.Errorf("body %q, %v", got, err)
				}
				if c.Finish() { // and it does not wait for the client
					t.Error("reusable with an upload under way")
				}
				if body.send("more") {
					t.Error("the upload goes on")
				}
			})
		})
	}
}

// TestBackendAnswersEarlyWhileStuck: the answer arrives although the backend reads nothing and sockets are full.
func TestBackendAnswersEarlyWhileStuck(t *testing.T) {
	data := strings.Repeat("x", 16<<20)
	backends(t, func(t *testing.T, portable bool) {
		for name, body := range map[string]message.Body{"in hand": &inHand{p: data}, "streamed": stream64K([]byte(data))} {
			c, s := connect(t, portable)
			_ = s.Conn.(*net.TCPConn).SetReadBuffer(256 << 10)
			wait := s.run(func() { s.read(10); s.say("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno") })
			var res message.Head
			if err := c.Do(nil, request("POST", int64(len(data))), body, never(), &res); err != nil {
				t.Fatal(name, err)
			}
			if res.Status != 503 {
				t.Errorf("%s: status %d", name, res.Status)
			}
			if c.Finish() {
				t.Errorf("%s: reusable", name)
			}
			wait()
		}
	})
}

// TestBackendStreamsBothWays: a response may begin and go on while the request does.
func TestBackendStreamsBothWays(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		body := newStream()
		wait := s.run(func() {
			s.head()
			s.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 3 {
				s.read(len("4\r\nping\r\n"))
				s.say("4\r\npong\r\n")
			}
			s.read(len("0\r\n\r\n"))
			s.say("0\r\n\r\n")
		})
		var res message.Head
		if err := c.Do(nil, request("POST", message.LengthUnknown), body, never(), &res); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			body.send("ping")
			if p, err := c.Body().Next(); string(p) != "pong" || err != nil {
				t.Fatalf("got %q, %v", p, err)
			}
		}
		close(body.pieces)
		if _, err := readAll(c.Body()); err != nil {
			t.Fatal(err)
		}
		wait()
		c.AwaitUpload()
		if !c.Finish() {
			t.Error("not reusable after a complete upload")
		}
		c.Close()
	})
}

// TestBackendResetDuringUpload: a backend that dies while it is sent a body is a failure of the backend, not of the client.
func TestBackendResetDuringUpload(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() { s.head(); s.read(1 << 20); s.reset() })
		var res message.Head
		err := c.Do(nil, request("POST", 1<<30), stream64K(make([]byte, 64<<20)), never(), &res)
		if err == nil || err.Kind != wire.BackendBroken || !err.Consumed {
			t.Fatalf("failure %+v, want a broken backend and a consumed body", err)
		}
		wait()
	})
}

// TestBackendExpectation: the client is asked for its body when the backend asks for it, not before, or when the backend keeps silent.
func TestBackendExpectation(t *testing.T) {
	cases := []struct {
		name   string
		answer []string // the first before the body is read, if it has been asked for
		asked  bool
		status int
	}{
		{"backend continues", []string{"HTTP/1.1 100 Continue\r\n\r\n", ok}, true, 200},
		{"backend refuses", []string{"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"}, false, 417},
		{"backend answers without asking", []string{ok}, false, 200},
		{"backend ignores the expectation", []string{"", ok}, true, 200},
	}
	backends(t, func(t *testing.T, portable bool) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				began := time.Now()
				// The client may be asked, by and by, without the backend's word: see expectWait.
				inTime := func() bool { return time.Since(began) < time.Second }
				c, s := connect(t, portable)
				body := newStream()
				go func() {
					select {
					case <-body.asked:
						body.send("hello")
						close(body.pieces)
					case <-body.stopped:
					}
				}()
				wait := s.run(func() {
					if h := s.head(); !strings.Contains(h, "Expect: 100-continue\r\n") {
						t.Errorf("the expectation was not passed on: %q", h)
					}
					select {
					case <-body.asked:
						if inTime() {
							t.Error("the client was asked before the backend asked")
						}
					default:
					}
					s.say(tc.answer[0])
					if tc.asked {
						if got := s.read(5); got != "hello" {
							t.Errorf("body %q", got)
						}
						s.say(tc.answer[1])
					}
				})
				req := request("POST", 5)
				req.ExpectContinue = true
				var res message.Head
				x := &exchange{}
				if err := c.Do(x, req, body, never(), &res); err != nil {
					t.Fatal(err)
				}
				wait()
				if res.Status != tc.status || len(x.informed) > 0 {
					t.Errorf("status %d, informed %q", res.Status, x.informed)
				}
				if tc.asked {
					c.AwaitUpload()
					if !c.Finish() {
						t.Error("not reusable after a complete upload")
					}
				} else if c.Finish() && inTime() {
					t.Error("reusable, though the announced body was not sent")
				}
				c.Close()
				select {
				case <-body.asked:
					if !tc.asked && inTime() {
						t.Error("the client was asked for a body that nobody wants")
					}
				default:
					if tc.asked {
						t.Error("the client was not asked")
					}
				}
				body.Stop(message.Drain)
			})
		}
	})
}

// TestBackendBackPressure: nothing is taken from the client that the backend does not take.
func TestBackendBackPressure(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		_ = s.Conn.(*net.TCPConn).SetReadBuffer(256 << 10)
		body := newStream()
		piece := make([]byte, 64<<10)
		done := make(chan error, 1)
		go func() {
			var res message.Head
			if err := c.Do(nil, request("POST", 1<<40), body, never(), &res); err != nil {
				done <- fmt.Errorf("failed: %w", err)
				return
			}
			c.Finish()
			done <- nil
		}()
		s.head()
		taken := 0
		for stuck := false; !stuck; {
			select {
			case body.pieces <- piece:
				if taken += len(piece); taken > 64<<20 {
					t.Fatal("64 MiB were taken from the client, and none by the backend")
				}
			case <-time.After(200 * time.Millisecond):
				stuck = true
			}
		}
		s.say(ok)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

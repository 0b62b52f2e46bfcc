// What is sent again and what never is; timeouts; clients that leave.

package backend

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

// rude answers the first request of a connection and closes on the second, when it has read it.
func rude(s *server, _ int, c net.Conn, in *bufio.Reader) {
	if s.head(in) != "" {
		_, _ = io.WriteString(c, hello)
		s.head(in)
	}
}

// TestRetries: a request whose kept connection dies on it is sent again only if that cannot do harm.
func TestRetries(t *testing.T) {
	cases := []struct {
		name  string
		req   *message.Head
		body  *content
		again bool
	}{
		{"GET", get("/"), nil, true},
		{"HEAD", post("HEAD", -1), nil, true},
		{"OPTIONS", post("OPTIONS", -1), nil, true},
		{"DELETE", post("DELETE", -1), nil, true},
		{"PUT with its body in hand", post("PUT", 4), &content{p: "body"}, true},
		{"PUT with its body to come", post("PUT", 4), &content{p: "body", part: true}, false},
		{"POST", post("POST", 0), nil, false},
		{"POST with its body in hand", post("POST", 4), &content{p: "body"}, false},
		{"PATCH", post("PATCH", 0), nil, false},
		{"a method nobody knows", post("FROB", -1), nil, false},
	}
	transports(t, func(t *testing.T, o Options) {
		for _, tc := range cases {
			t.Run(tc.name, func(t *testing.T) {
				s := serve(t, rude)
				defer s.close()
				b := acquire(o, s.addr)
				defer b.Release()
				var res Response
				if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
					t.Fatal(err)
				}
				var body message.Body
				if tc.body != nil {
					body = &content{p: tc.body.p, part: tc.body.part}
				}
				_, err := ask(b, tc.req, body, Timeouts{}, &res)
				if tc.again && (err != nil || b.stats.Retried.Load() != 1 || s.requests() != 3) {
					t.Errorf("%v after %d requests, want a retry", err, s.requests())
				}
				if !tc.again && (result(err) != Broken || b.stats.Retried.Load() != 0 || s.requests() != 2) {
					t.Errorf("%v after %d requests, want no retry and %v", err, s.requests(), Broken)
				}
			})
		}
	})
}

// TestNoRetryOnceAnswered: not even a GET is repeated when a byte of an answer came, nor on a connection that was new.
func TestSingleForbidsRetries(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		s := serve(t, rude)
		defer s.close()
		b := acquire(o, s.addr)
		defer b.Release()
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Fatal(err)
		}
		_, err := ask(b, get("/"), nil, Timeouts{Single: true}, &res)
		if e, ok := err.(*Error); !ok || e.Result != Broken || !e.Sent || s.requests() != 2 { //nolint:errorlint // it promises an *Error
			t.Errorf("%v after %d requests, want the failure of the second", err, s.requests())
		}
	})
}

func TestNoRetryOnceAnswered(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		for name, script := range map[string]func(*server, int, net.Conn, *bufio.Reader){
			"a byte came": func(s *server, _ int, c net.Conn, in *bufio.Reader) {
				s.head(in)
				_, _ = io.WriteString(c, hello)
				s.head(in)
				_, _ = io.WriteString(c, "H")
			},
			"an interim response came": func(s *server, _ int, c net.Conn, in *bufio.Reader) {
				s.head(in)
				_, _ = io.WriteString(c, hello)
				s.head(in)
				_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
			},
			"new connection": func(s *server, n int, c net.Conn, in *bufio.Reader) {
				s.head(in)
				if s.requests() == 1 {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				}
			},
		} {
			s := serve(t, script)
			b := acquire(o, s.addr)
			var res Response
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
				t.Fatal(name, err)
			}
			if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != Broken || s.requests() != 2 {
				t.Errorf("%s: %v after %d requests, want broken after 2", name, err, s.requests())
			}
			b.Release()
			s.close()
		}
	})
}

// TestStaleConnectionsAreNoFailure: connections that the backend closed while idle, and such with bytes on them, are put aside for any request.
func TestStaleConnectionsAreNoFailure(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		parting := make(chan string)
		s := serve(t, func(s *server, _ int, c net.Conn, in *bufio.Reader) {
			s.head(in)
			_, _ = io.WriteString(c, hello)
			if bytes, more := <-parting; more {
				_, _ = io.WriteString(c, bytes)
				if bytes != "" {
					s.head(in) // stay, as one who has said too much
				}
			}
		})
		var last net.Conn
		dial := o.Dial
		o.Dial = func(ctx context.Context, to netip.AddrPort, l bool) (c net.Conn, err error) {
			c, err = dial(ctx, to, l)
			last = c
			return c, err
		}
		b := acquire(o, s.addr)
		var res Response
		for _, bytes := range []string{"", hello, "\n"} {
			if body, err := ask(b, post("POST", 4), &content{p: "body"}, Timeouts{}, &res); err != nil || body != "hello" {
				t.Fatal(body, err)
			}
			parting <- bytes
			patient.Arrived(t, last.(*net.TCPConn))
		}
		if body, err := ask(b, post("POST", 4), &content{p: "body"}, Timeouts{}, &res); err != nil || body != "hello" {
			t.Fatal(body, err)
		}
		if n := b.stats.Discarded.Load(); n != 3 {
			t.Errorf("%d connections discarded, want 3", n)
		}
		close(parting)
		b.Release()
		s.close()
	})
}

// TestSpeaksFirst: a backend that sends something before it was asked is no HTTP server, and is not dialled for ever.
func TestSpeaksFirst(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		s := serve(t, func(_ *server, _ int, c net.Conn, in *bufio.Reader) {
			_, _ = io.WriteString(c, "220 mail.example.com ESMTP\r\n")
			_, _ = in.ReadByte()
		})
		dial := o.Dial
		o.Dial = func(ctx context.Context, to netip.AddrPort, l bool) (net.Conn, error) {
			c, err := dial(ctx, to, l)
			if err == nil {
				patient.Arrived(t, c.(*net.TCPConn)) // the greeting
			}
			return c, err
		}
		b := acquire(o, s.addr)
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != Broken {
			t.Errorf("%v, want broken", err)
		}
		if n := b.stats.Opened.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		b.Release()
		s.close()
	})
}

// TestTimeouts: each limit ends the request where it is, with 504.
func TestTimeouts(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		s := serve(t, func(s *server, _ int, c net.Conn, in *bufio.Reader) { s.head(in); _, _ = in.ReadByte() })
		defer s.close()
		for name, limit := range map[string]func() Timeouts{
			"request": func() Timeouts { return Timeouts{Request: time.Now().Add(20 * time.Millisecond)} },
			"attempt": func() Timeouts { return Timeouts{Backend: 20 * time.Millisecond} },
			"both":    func() Timeouts { return Timeouts{Request: time.Now().Add(time.Hour), Backend: 20 * time.Millisecond} },
		} {
			b := acquire(o, s.addr)
			var res Response
			if _, err := ask(b, get("/"), nil, limit(), &res); result(err) != TimedOut {
				t.Errorf("%s: %v, want a timeout", name, err)
			}
			b.Release()
		}
	})
}

// TestTimeoutWhileDialling: our own limit says nothing of the endpoint.
func TestTimeoutWhileDialling(t *testing.T) {
	o := Options{Dial: func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	b := acquire(o, netip.MustParseAddrPort("127.0.0.1:1"))
	defer b.Release()
	var res Response
	_, err := ask(b, get("/"), nil, Timeouts{Request: time.Now().Add(10 * time.Millisecond)}, &res)
	if result(err) != TimedOut || b.stats.Ejected.Load() != 0 {
		t.Errorf("%v, %d ejections", err, b.stats.Ejected.Load())
	}
}

// TestClientLeaves: nothing goes on for a client that has left, be it dialling or waiting.
func TestClientLeaves(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		x := &client{}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		x.ctx = ctx
		s := serve(t, func(s *server, _ int, _ net.Conn, in *bufio.Reader) {
			s.head(in)
			x.leave()
			_, _ = in.ReadByte() // the end
		})
		b := acquire(o, s.addr)
		var res Response
		if err := b.RoundTrip(x, get("/"), nil, Timeouts{}, &res); result(err) != ClientGone {
			t.Errorf("%v, want the client gone", err)
		}
		s.close() // waits for the connection's end
		b.Release()

		o.Dial = func(ctx context.Context, _ netip.AddrPort, _ bool) (net.Conn, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		b = acquire(o, s.addr)
		if err := b.RoundTrip(x, get("/"), nil, Timeouts{}, &res); result(err) != ClientGone || b.stats.Ejected.Load() != 0 {
			t.Errorf("%v, want the client gone", err)
		}
		b.Release()
	})
}

// TestFinishAfterFailure: Finish is harmless where there is nothing to finish.
func TestFinishAfterFailure(t *testing.T) {
	b := acquire(Options{Dial: dialTCP}, refusing(t))
	defer b.Release()
	var res Response
	res.Finish()
	if err := b.RoundTrip(nil, get("/"), nil, Timeouts{}, &res); result(err) != ConnectFailed {
		t.Fatal(err)
	}
	res.Finish()
	res.Finish()
}

// Bodies as streams: both ways, in all framings, and what happens when they break off.

package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
)

func TestSmugglingIsAnsweredAndClosed(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, echo)
		for _, c := range smuggling {
			k := s.dial()
			k.send(c.in + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			got := k.all()
			if !strings.HasPrefix(got, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(got, "Connection: close\r\n") || strings.Count(got, "HTTP/1.1") != 1 {
				t.Errorf("%s: got %q", c.name, got)
			}
			if r := receive(t, s.handler.refused, "refusal"); r.status != 400 {
				t.Errorf("%s: handler was told %d %v", c.name, r.status, r.why)
			}
		}
	})
}

// TestBadChunkLater: what is malformed and arrives after the handler has begun is an error of the body.
func TestBadChunkLater(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		begun, got := make(chan struct{}), make(chan error, 1)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			close(begun)
			_, err := content(x.Body())
			got <- err
			respond(x, 400, "no\n")
		})
		k := s.dial()
		k.send(chunkedHead + "1\r\na")
		receive(t, begun, "request")
		k.send("XX0\r\n\r\n")
		if all := k.all(); !strings.HasPrefix(all, "HTTP/1.1 400") || !strings.Contains(all, "Connection: close") {
			t.Errorf("got %q", all)
		}
		var p *ParseError
		if err := receive(t, got, "end of the body"); !errors.As(err, &p) {
			t.Errorf("body ended with %v", err)
		}
	})
}

// TestPipelinedBehindStreamedBody: bytes that were read together with the end of a body are the next request.
func TestPipelinedBehindStreamedBody(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		begun := make(chan struct{}, 2)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			begun <- struct{}{}
			echo(x)
		})
		for _, size := range []int{1, 40 << 10} {
			k := s.dial()
			k.send(chunkedHead)
			receive(t, begun, "request")
			large := "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: " + strings.Repeat("y", size) + "\r\n\r\n"
			k.send("1\r\na\r\n0\r\n\r\n" + large)
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nPOST a /|a\n")
			if got := k.all(); !strings.Contains(got, "GET a /2|X=y") {
				t.Errorf("got %.100q", got)
			}
			receive(t, begun, "second request")
		}
	})
}

func TestContinue(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
	run(t, func(t *testing.T, mode Transport) {
		t.Run("is sent when the body is asked for", func(t *testing.T) {
			s := serve(t, mode, Limits{}, echo)
			k := s.dial()
			k.send(head)
			k.expect("HTTP/1.1 100 Continue\r\n\r\n")
			k.send("abc")
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST a /|abc\n")
			k.send("GET / HTTP/1.0\r\n\r\n")
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nGET  /|\n")
		})
		t.Run("is not sent when the body is in hand", func(t *testing.T) {
			s := serve(t, mode, Limits{}, echo)
			k := s.dial()
			k.send(head + "abc")
			k.expect("HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nPOST a /|abc\n")
		})
		t.Run("is not sent when nobody asks, and nothing follows", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 403, "no\n") })
			k := s.dial()
			k.send(head)
			if got, want := k.all(), "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
		t.Run("of a backend counts", func(t *testing.T) {
			s := serve(t, mode, Limits{}, func(x Exchange) {
				_ = x.Inform(&message.Head{Status: 100})
				echo(x)
			})
			k := s.dial()
			k.send(head)
			k.expect("HTTP/1.1 100 Continue\r\n\r\n")
			k.send("abc")
			k.expect("HTTP/1.1 200 OK\r\n")
		})
	})
}

func TestInform(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, func(x Exchange) {
			h := message.Head{Status: 103}
			h.Fields.Add([]byte("Link"), []byte("</x>"))
			if err := x.Inform(&h); err != nil {
				t.Error(err)
			}
			if x.Inform(&message.Head{Status: 101}) == nil {
				t.Error("101 passes for an interim response")
			}
			respond(x, 204, "")
		})
		k := s.dial()
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.expect("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		k.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
		k.expect("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
}

// TestResponseFraming: how a body travels for each kind of client, and how it ends when it breaks off.
func TestResponseFraming(t *testing.T) {
	broken := errors.New("broken")
	trailers := new(message.Fields)
	trailers.Add([]byte("T"), []byte("u"))
	large := strings.Repeat("x", 10000)
	for _, c := range []struct {
		name, version string
		status        int
		length        int64
		body          func() message.Body
		want          string
		fails         bool
	}{
		{"length", "1.1", 200, 4, func() message.Body { return list(io.EOF, "ab", "cd") }, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", false},
		{
			"large pieces", "1.1", 200, 20000, func() message.Body { return list(io.EOF, large, large) },
			"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + large + large, false,
		},
		{
			"unknown length", "1.1", 200, -2, func() message.Body { return list(io.EOF, "ab", "cdefghijklmnopqrst") },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n12\r\ncdefghijklmnopqrst\r\n0\r\n\r\n", false,
		},
		{
			"unknown length, large pieces", "1.1", 200, -2, func() message.Body { return list(io.EOF, large) },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + large + "\r\n0\r\n\r\n", false,
		},
		{
			"trailers", "1.1", 200, -2, func() message.Body { return &text{s: "ab", trailers: trailers} },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: u\r\n\r\n", false,
		},
		{
			"trailers behind a large piece", "1.1", 200, -2, func() message.Body { return &text{s: large, trailers: trailers} },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + large + "\r\n0\r\nT: u\r\n\r\n", false,
		},
		{
			"unknown length and empty", "1.1", 200, -2, func() message.Body { return &text{} },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false,
		},
		{
			"unknown length to HTTP/1.0", "1.0", 200, -2, func() message.Body { return list(io.EOF, "ab", "cd") },
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd", false,
		},
		{"no body", "1.1", 200, -1, func() message.Body { return nil }, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
		{"204", "1.1", 204, 4, func() message.Body { return list(io.EOF, "ab") }, "HTTP/1.1 204 No Content\r\n\r\n", false},
		{"304 tells the length", "1.1", 304, 4, func() message.Body { return nil }, "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", false},
		{"too short", "1.1", 200, 4, func() message.Body { return list(io.EOF, "ab") }, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", true},
		{"missing", "1.1", 200, 4, func() message.Body { return nil }, "", true},
		{"too long", "1.1", 200, 4, func() message.Body { return list(io.EOF, "abc", "de") }, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", true},
		{"broken", "1.1", 200, 4, func() message.Body { return list(broken, "ab") }, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab", true},
		{
			"broken, chunked", "1.1", 200, -2, func() message.Body { return list(broken, "ab") },
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", true,
		},
		{"interim status", "1.1", 103, 0, func() message.Body { return nil }, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(t *testing.T, mode Transport) {
				s := serve(t, mode, Limits{}, func(x Exchange) {
					err := x.Respond(&message.Head{Status: c.status, Length: c.length}, c.body())
					if (err != nil) != c.fails {
						t.Errorf("Respond: %v", err)
					}
					if x.Respond(&message.Head{Status: 200}, nil) == nil {
						t.Error("a second response is accepted")
					}
				})
				k := s.dial()
				k.send("GET / HTTP/" + c.version + "\r\nHost: a\r\n\r\n")
				k.expect(c.want)
				if c.fails || c.version == "1.0" {
					if rest := k.all(); rest != "" {
						t.Errorf("then came %q", rest)
					}
					return
				}
				k.send("GET / HTTP/1.0\r\n\r\n")
				if rest := k.all(); !strings.HasPrefix(rest, "HTTP/1.1 ") {
					t.Errorf("the next request got %.100q", rest)
				}
			})
		})
	}
}

// TestBrokenUntilClose: where the connection's end is the body's, a response that broke off ends in a reset.
func TestBrokenUntilClose(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		taken := make(chan struct{})
		s := serve(t, mode, Limits{}, func(x Exchange) {
			n := 0
			_ = x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, &pieces{next: func() ([]byte, error) {
				if n++; n == 1 {
					return []byte("half\n"), nil
				}
				<-taken
				return nil, errors.New("broken")
			}})
		})
		k := s.dial()
		k.send("GET / HTTP/1.0\r\n\r\n")
		k.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf\n")
		close(taken)
		if _, err := k.r.ReadByte(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("the half response ended with %v", err)
		}
	})
}

// TestHeadDoesNotWait: a response whose body takes its time begins at once, and every piece leaves as it comes.
func TestHeadDoesNotWait(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		events := make(chan string)
		s := serve(t, mode, Limits{}, func(x Exchange) {
			_ = x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, &pieces{next: func() ([]byte, error) {
				if e, ok := <-events; ok {
					return []byte(e), nil
				}
				return nil, io.EOF
			}})
			if x.Written() != 4 {
				t.Errorf("%d bytes written", x.Written())
			}
		})
		k := s.dial()
		k.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		events <- "1\n"
		k.expect("2\r\n1\n\r\n")
		events <- "2\n"
		k.expect("2\r\n2\n\r\n")
		close(events)
		k.expect("0\r\n\r\n")
	})
}

// TestBackPressure: a client that does not read stops its response, one that does not send is waited for, and all arrives.
func TestBackPressure(t *testing.T) {
	const total = 8 << 20
	run(t, func(t *testing.T, mode Transport) {
		s := serve(t, mode, Limits{}, func(x Exchange) {
			_ = x.Respond(&message.Head{Status: 200, Length: total}, x.Body()) // what is not sent cannot be answered
		})
		k := s.dial()
		fmt.Fprintf(k, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", total)
		sent := make(chan error, 1)
		go func() {
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = byte(i)
			}
			for range total / len(block) {
				if _, err := k.Write(block); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		k.expect(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", total))
		p := make([]byte, 1<<10)
		for n := 0; n < total; n += len(p) {
			if _, err := io.ReadFull(k.r, p); err != nil {
				t.Fatal(err)
			}
			if p[1] != 1 || p[1023] != 255 {
				t.Fatalf("byte %d is wrong", n)
			}
		}
		if err := receive(t, sent, "end of sending"); err != nil {
			t.Error(err)
		}
	})
}

// TestEarlyAnswer: a request that is answered before its body was read. The rest is dropped if it is small; otherwise the connection ends, after the client
// could read the answer.
func TestEarlyAnswer(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		for _, c := range []struct {
			name, framing string
			size          int
			keeps         bool
		}{
			{"small", "Content-Length: 100000", 100000, true},
			{"large", "Content-Length: 300000", 300000, false},
			{"small chunked", "Transfer-Encoding: chunked", 0x18000, true},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := serve(t, mode, Limits{}, func(x Exchange) { respond(x, 413, "no\n") })
				k := s.dial()
				k.send("POST / HTTP/1.1\r\nHost: a\r\n" + c.framing + "\r\n\r\n")
				if strings.HasPrefix(c.framing, "T") {
					k.send("18000\r\n" + strings.Repeat("x", c.size) + "\r\n0\r\n\r\n")
				} else {
					k.send(strings.Repeat("x", c.size))
				}
				if !c.keeps {
					k.expect("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
					return
				}
				k.expect("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nno\n")
				k.send("GET / HTTP/1.0\r\n\r\n")
				k.expect("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")
			})
		}
	})
}

// TestStopWhileReading: a body that another goroutine is waiting for can be stopped, and the connection goes on if the rest comes.
func TestStopWhileReading(t *testing.T) {
	run(t, func(t *testing.T, mode Transport) {
		waits, stopped := make(chan struct{}), make(chan struct{})
		s := serve(t, mode, Limits{}, func(x Exchange) {
			if x.Body() == nil {
				respond(x, 200, "next\n")
				return
			}
			got := make(chan error, 1)
			go func() {
				if p, err := x.Body().Next(); string(p) != "ab" || err != nil {
					t.Errorf("Next: %q, %v", p, err)
				}
				close(waits)
				_, err := x.Body().Next()
				got <- err
			}()
			<-waits
			respond(x, 200, "early\n")
			x.Body().Stop(message.Drain)
			if err := receive(t, got, "return of Next"); !errors.Is(err, ErrUnwanted) {
				t.Errorf("Next returned %v", err)
			}
			close(stopped)
		})
		k := s.dial()
		k.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
		k.expect("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nearly\n")
		receive(t, stopped, "end of the handler")
		k.send("cdGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		k.expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nnext\n")
	})
}

// What backends may answer, right and wrong.

package wire_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// How a script ends.
const (
	stays = iota
	closes
	resets
)

var responses = []struct {
	name   string
	method string // GET
	say    []string
	end    int

	// Either a failure before the head,
	fails    bool
	kind     wire.BackendFailure
	answered bool
	// or a response, with a body that is complete or breaks off.
	status int
	body   string
	breaks bool
	reuse  bool
	excess bool
}{
	{name: "length", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, status: 200, body: "hello", reuse: true},
	{name: "no content by length", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}, status: 200, reuse: true},
	{name: "head and body over many reads", say: []string{"HTT", "P/1.1 20", "0 OK\r\nContent-Le", "ngth: 11\r\n\r", "\nhe", "llo", " world"}, status: 200, body: "hello world", reuse: true},
	{name: "chunked", say: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"}, status: 200, body: "hello", reuse: true},
	{name: "chunked over many reads", say: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r", "\nh", "el\r\n", "2\r\nlo\r\n0", "\r\n", "\r\n"}, status: 200, body: "hello", reuse: true},
	{name: "until close", say: []string{"HTTP/1.1 200 OK\r\n\r\nhel", "lo"}, end: closes, status: 200, body: "hello"},
	{name: "until a reset breaks off", say: []string{"HTTP/1.1 200 OK\r\n\r\nhel", ""}, end: resets, status: 200, body: "hel", breaks: true},
	{name: "announces its close", say: []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"}, status: 200, body: "hello"},
	{name: "HTTP/1.0 closes", say: []string{"HTTP/1.0 200 OK\r\n\r\nhello"}, end: closes, status: 200, body: "hello"},
	{name: "HTTP/1.0 with a length closes", say: []string{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, status: 200, body: "hello"},
	{name: "HTTP/1.0 that keeps alive", say: []string{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"}, status: 200, body: "hello", reuse: true},
	{name: "HEAD has no body", method: "HEAD", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}, status: 200, reuse: true},
	{name: "HEAD with a body all the same", method: "HEAD", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"}, status: 200, excess: true},
	{name: "204", say: []string{"HTTP/1.1 204 No Content\r\n\r\n"}, status: 204, reuse: true},
	{name: "304 with a length", say: []string{"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"}, status: 304, reuse: true},
	{name: "answers twice", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"}, status: 200, body: "ok", excess: true},
	{name: "answers twice, chunked", say: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"}, status: 200, body: "ok", excess: true},
	{name: "one byte too many", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhello"}, status: 200, body: "hell", excess: true},
	{name: "an interim response announces a body", say: []string{"HTTP/1.1 103 Early Hints\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}, status: 200, body: "ok"},
	{name: "an interim response announces its close", say: []string{"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"}, status: 200, body: "ok"},
	{name: "200 fields", say: []string{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: b\r\n", 199) + "Content-Length: 0\r\n\r\n"}, status: 200, reuse: true},
	{name: "a body larger than any buffer", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("0123456789", 30000)}, status: 200, body: strings.Repeat("0123456789", 30000), reuse: true},

	{name: "vanishes", end: closes, fails: true, kind: wire.BackendBroken},
	{name: "resets", end: resets, fails: true, kind: wire.BackendBroken},
	{name: "half a status line", say: []string{"HTTP/1."}, end: closes, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "half a head", say: []string{"HTTP/1.1 200 OK\r\nContent-Le"}, end: closes, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "garbage", say: []string{"SSH-2.0-OpenSSH_9.2\r\n"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "HTTP/2", say: []string{"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "two lengths", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "length and chunked", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "huge head", say: []string{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "head without end", say: []string{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", 1000)}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "too many fields", say: []string{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 201) + "\r\n"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "interim responses without end", say: []string{strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000)}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "switches protocols unasked", say: []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"}, fails: true, kind: wire.BackendBroken, answered: true},
	{name: "dies after an interim response", say: []string{"HTTP/1.1 103 Early Hints\r\n\r\n"}, end: closes, fails: true, kind: wire.BackendBroken, answered: true},

	{name: "closes after the head", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"}, end: closes, status: 200, breaks: true},
	{name: "half a body", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"}, end: closes, status: 200, body: "hel", breaks: true},
	{name: "half a body, then reset", say: []string{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", ""}, end: resets, status: 200, body: "hel", breaks: true},
	{name: "chunked without the last chunk", say: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n"}, end: closes, status: 200, body: "hel", breaks: true},
	{name: "chunked and then garbage", say: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", "x\r\n"}, status: 200, body: "hel", breaks: true},
}

// TestBackendResponses: whatever a backend answers, it is either the whole response, or an error.
func TestBackendResponses(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		for _, tc := range responses {
			t.Run(tc.name, func(t *testing.T) {
				c, s := connect(t, portable)
				read := make(chan struct{})
				wait := s.run(func() {
					s.head()
					s.say(tc.say...)
					switch tc.end {
					case closes:
						s.Close()
					case resets:
						if len(tc.say) > 0 {
							<-read // a reset may destroy what was not read
						}
						s.reset()
					}
				})
				defer wait()
				method := tc.method
				if method == "" {
					method = "GET"
				}
				var res message.Head
				failure := c.Do(nil, request(method, message.LengthNone), nil, never(), &res)
				if tc.fails {
					if failure == nil {
						t.Fatalf("answered %d, want a failure", res.Status)
					}
					if failure.Kind != tc.kind || failure.Answered != tc.answered {
						t.Fatalf("kind %d, answered %v, want %d, %v (%v)", failure.Kind, failure.Answered, tc.kind, tc.answered, failure)
					}
					return
				}
				if failure != nil {
					t.Fatal(failure)
				}
				if res.Status != tc.status {
					t.Errorf("status %d, want %d", res.Status, tc.status)
				}
				var body string
				var err error
				if tc.end == resets {
					p, _ := c.Body().Next()
					body = string(p)
					close(read)
				}
				rest, err := readAll(c.Body())
				if body += rest; body != tc.body {
					t.Errorf("body of %d bytes %.40q, want %d bytes %.40q", len(body), body, len(tc.body), tc.body)
				}
				if tc.breaks != (err != nil) {
					t.Errorf("body ends with %v", err)
				}
				if reuse := c.Finish(); reuse != tc.reuse || c.Excess() != tc.excess {
					t.Errorf("reusable %v, excess %v, want %v, %v", reuse, c.Excess(), tc.reuse, tc.excess)
				}
				c.Close()
			})
		}
	})
}

// TestBackendBodyInHand: a response that came whole is in hand, without another read.
func TestBackendBodyInHand(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		for _, answer := range []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 7\r\n\r\n",
		} {
			c, s := connect(t, portable)
			wait := s.run(func() { s.head(); s.say(answer) })
			var res message.Head
			if err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res); err != nil {
				t.Fatal(err)
			}
			p, all := c.Body().InHand()
			if string(p) != "hello" || !all {
				t.Errorf("in hand %q, all %v", p, all)
			}
			if strings.Contains(answer, "X-Sum") {
				if tr := c.Body().Trailers(); tr == nil || string(tr.Get("x-sum")) != "7" {
					t.Errorf("trailers %v", tr)
				}
			}
			if !c.Finish() {
				t.Error("not reusable, though all was in hand")
			}
			c.Close()
			wait()
		}
	})
}

// TestBackendHeadOutlivesReads: the head stays valid while the body is read into the same memory.
func TestBackendHeadOutlivesReads(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() {
			s.head()
			s.say("HTTP/1.1 200 Fine\r\nX-Id: 42\r\nContent-Length: 200000\r\n\r\n", strings.Repeat("z", 200000))
		})
		defer wait()
		var res message.Head
		if err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(c.Body()); err != nil {
			t.Fatal(err)
		}
		if string(res.Fields.Get("x-id")) != "42" || string(res.Reason) != "Fine" {
			t.Errorf("head changed to %q %q", res.Reason, res.Fields.Get("x-id"))
		}
		if !c.Finish() {
			t.Error("not reusable")
		}
		c.Close()
	})
}

// TestBackendInterim: interim responses go to the client in order, 100 does not: the client's wire has its own.
func TestBackendInterim(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() {
			s.head()
			s.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
		defer wait()
		x := &exchange{}
		var res message.Head
		if err := c.Do(x, request("GET", message.LengthNone), nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(x.informed); strings.Count(got, "103") != 2 || strings.Index(got, "</a>") > strings.Index(got, "</b>") || strings.Contains(got, " 100 ") {
			t.Errorf("informed %q", got)
		}
		if !c.Finish() {
			t.Error("not reusable")
		}
		c.Close()
	})
}

// TestBackendStopLeavesConnectionUnfit: a response that was not read to its end never shares its connection.
func TestBackendStopLeavesConnectionUnfit(t *testing.T) {
	backends(t, func(t *testing.T, portable bool) {
		c, s := connect(t, portable)
		wait := s.run(func() { s.head(); s.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello") })
		defer wait()
		var res message.Head
		if err := c.Do(nil, request("GET", message.LengthNone), nil, never(), &res); err != nil {
			t.Fatal(err)
		}
		b := c.Body()
		b.Stop(message.ClientGone)
		if _, err := b.Next(); err == nil {
			t.Error("Next after Stop gives no error")
		}
		if c.Finish() {
			t.Error("reusable, with half a response on it")
		}
		var e *wire.BackendError
		if errors.As(c.Do(nil, request("GET", message.LengthNone), nil, never(), &res), &e); e == nil {
			t.Error("a closed connection answers")
		}
	})
}

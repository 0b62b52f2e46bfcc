// Responses end up with the requests that asked for them, or nowhere, whatever backends do.

package backend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// naughty answers requests with their own path, in one of many right and wrong ways.
//
// One wrong is left out, since no client of HTTP/1 can see through it: an answer that nobody asked for and that arrives after the next
// request was sent.
func naughty(s *server, _ int, c net.Conn, in *bufio.Reader) {
	for {
		h := s.head(in)
		if h == "" {
			return
		}
		line, _, _ := strings.Cut(h, "\r\n")
		path := strings.Fields(line)[1]
		if strings.Contains(h, "Content-Length: ") { // the body is the path, again
			p := make([]byte, len(path))
			if _, err := io.ReadFull(in, p); err != nil {
				return
			}
			if string(p) != path {
				path = "/body-of-another"
			}
		}
		if !misbehave(c, path) {
			return
		}
	}
}

// misbehave sends an answer and reports whether the connection goes on.
func misbehave(c net.Conn, path string) bool {
	plain := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\nContent-Length: %d\r\n\r\n%s", path, len(path), path)
	chunked := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", path, path[:1], len(path)-1, path[1:])
	cut := 1 + rand.IntN(len(plain)-1)
	say := func(p string) bool { _, err := io.WriteString(c, p); return err == nil }
	switch rand.IntN(16) {
	case 0: // twice
		return say(plain + plain)
	case 1:
		return say(chunked + plain)
	case 2: // half, then the end
		say(plain[:cut])
		return false
	case 3: // half, then a reset
		say(plain[:cut])
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	case 4: // a byte too many
		return say(plain + "\n")
	case 5: // garbage
		return say("\x16\x03\x01\x02\x00")
	case 6: // nothing
		return false
	case 7: // closes, and says so only by doing it
		say(plain)
		return false
	case 8:
		say(strings.Replace(plain, "X-Id", "Connection: close\r\nX-Id", 1))
		return false
	case 9: // until close
		say("HTTP/1.1 200 OK\r\nX-Id: " + path + "\r\n\r\n" + path)
		return false
	case 10: // slowly
		return say(plain[:cut]) && func() bool { time.Sleep(time.Millisecond); return say(plain[cut:]) }()
	case 11:
		return say("HTTP/1.1 103 Early Hints\r\nX-Id: " + path + "\r\n\r\n" + chunked)
	case 12, 13:
		return say(chunked)
	}
	return say(plain)
}

// TestResponsesReachTheirRequests: under random misbehaviour of two backends and clients that give up, every response that is complete is the one
// that was asked for.
func TestResponsesReachTheirRequests(t *testing.T) {
	requests := 4000
	if testing.Short() {
		requests = 400
	}
	transports(t, func(t *testing.T, o Options) {
		one, two := serve(t, naughty), serve(t, naughty)
		b := acquire(o, one.addr, two.addr)
		var next, complete, failed atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				var res Response
				for n := next.Add(1); n <= int64(requests); n = next.Add(1) {
					path := fmt.Sprintf("/%d-%s", n, strings.Repeat("x", rand.IntN(200)))
					if stressOne(t, b, path, &res) {
						complete.Add(1)
					} else {
						failed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		b.Release()
		one.close()
		two.close()
		if n := b.stats.HTTP1.Load(); n != 0 {
			t.Errorf("%d connections are still counted as open", n)
		}
		if c, f := complete.Load(), failed.Load(); c < int64(requests)/4 || f < int64(requests)/20 {
			t.Errorf("%d complete and %d failed of %d: that was not the test it should be", c, f, requests)
		}
		if b.stats.Excess.Load() == 0 || b.stats.Reused.Load() == 0 || b.stats.Discarded.Load() == 0 || b.stats.Retried.Load() == 0 {
			t.Errorf("something never happened: excess %d, reused %d, discarded %d, retried %d", b.stats.Excess.Load(),
				b.stats.Reused.Load(), b.stats.Discarded.Load(), b.stats.Retried.Load())
		}
	})
}

// stressOne does one exchange and reports whether it was complete.
func stressOne(t *testing.T, b *Backend, path string, res *Response) bool {
	req, body := get(path), message.Body(nil)
	limits := Timeouts{}
	switch rand.IntN(8) {
	case 0, 1:
		req.Method, req.Length = []byte("POST"), int64(len(path))
		body = &content{p: path, part: rand.IntN(2) == 0}
	case 2:
		limits.Backend = time.Duration(rand.IntN(int(2 * time.Millisecond)))
	}
	x := &client{ctx: t.Context()}
	if rand.IntN(8) == 0 {
		go func() { time.Sleep(time.Duration(rand.IntN(int(time.Millisecond)))); x.leave() }()
	}
	if b.RoundTrip(x, req, body, limits, res) != nil {
		return false
	}
	defer res.Finish()
	var got strings.Builder
	for {
		p, err := res.Body.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false
		}
		got.Write(p)
		if rand.IntN(100) == 0 {
			return false // this client has had enough
		}
	}
	if id := string(res.Head.Fields.Get("X-Id")); id != path || got.String() != path && res.Head.Length >= 0 || !strings.HasPrefix(path, got.String()) {
		t.Errorf("asked for %.40s, got the head of %.40s and the body of %.40s", path, id, got.String())
	}
	return true
}

func (x *client) Inform(h *message.Head) error { return nil }

// Tests of requests that come alone, and of what else the goroutine that serves them has to do.

package h2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// promptFunc is a wire.Prompt.
type promptFunc struct{ serveFunc }

func (promptFunc) ServesPromptly() {}

// forward is a handler that asks a backend.
func forward(c *BackendConn, between func(x wire.Exchange)) func(wire.Exchange) {
	return func(x wire.Exchange) {
		if !c.Reserve() {
			x.Abort(message.Shutdown)
			return
		}
		var res message.Head
		req := x.Request()
		req.Path = req.Target
		s, failure := c.Do(x, req, x.Body(), time.Time{}, &res)
		if failure != nil {
			x.Abort(message.ClientGone)
			return
		}
		defer s.Finish()
		between(x)
		_ = x.Respond(&res, s.Body())
	}
}

// unwoken reports whether a handler has gone without a goroutine of its own so far.
func unwoken(x wire.Exchange) bool {
	k := x.(*stream).coroutine
	return k != nil && !k.own
}

func TestRequestsThatComeAloneNeedNoGoroutine(t *testing.T) {
	c := standard(t, mirrorHandler)
	var alone atomic.Int32
	h := startPrompt(t, wire.Limits{}, forward(c, func(x wire.Exchange) {
		if unwoken(x) {
			alone.Add(1)
		}
	}))
	client := h.client()
	const requests = 50
	for i := range requests {
		path := fmt.Sprintf("/%d", i)
		if res, _ := h.do(client, "GET", path, nil); res.Header.Get("X-Path") != path {
			t.Fatalf("the answer for %s has %v", path, res.Header)
		}
	}
	// An answer may come in two reads, head and content; then its sending is a goroutine's, but not the wait for it.
	if n := alone.Load(); n != requests {
		t.Errorf("of %d requests %d had their answer without a goroutine", requests, n)
	}
}

// Whatever a handler waits for once it has called Block, the connection's other streams go on: here it waits for one of them.
func TestWhatMayWaitHoldsUpNobody(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := startPrompt(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) == "/slow" {
			wire.Block(x)
			wire.Block(x) // twice is once
			close(entered)
			<-release
		}
		_ = answer(x, 200, string(x.Request().Target))
	})
	client := h.client()
	done := make(chan string)
	go func() {
		_, text := h.do(client, "GET", "/slow", nil)
		done <- text
	}()
	<-entered
	if _, text := h.do(client, "GET", "/quick", nil); text != "/quick" {
		t.Errorf("got %q", text)
	}
	close(release)
	if text := <-done; text != "/slow" {
		t.Errorf("got %q", text)
	}
}

// A response of which not everything is there is sent by a goroutine: neither the client's nor the backend's other streams wait for the rest.
func TestResponsesInPiecesHoldUpNobody(t *testing.T) {
	release := make(chan struct{})
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		if r.URL.Path == "/slow" {
			_ = http.NewResponseController(w).Flush()
			<-release
		}
		_, _ = io.WriteString(w, "last")
	})
	h := startPrompt(t, wire.Limits{}, forward(c, func(wire.Exchange) {}))
	client := h.client()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://shop.example/slow", nil)
	if err != nil {
		t.Fatal(err)
	}
	slow, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	first := make([]byte, len("first "))
	if _, err := io.ReadFull(slow.Body, first); err != nil || string(first) != "first " {
		t.Fatalf("got %q, %v", first, err)
	}
	for range 3 {
		if _, text := h.do(client, "GET", "/quick", nil); text != "first last" {
			t.Errorf("got %q", text)
		}
	}
	close(release)
	if rest, err := io.ReadAll(slow.Body); err != nil || string(rest) != "last" {
		t.Errorf("got %q, %v", rest, err)
	}
}

// A client that takes its response slowly holds up neither the other streams of its connection nor those of the backend's.
func TestClientsWithoutWindowHoldUpNobody(t *testing.T) {
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, strings.Repeat("x", 200<<10)) // more than a client's window
		}
	})
	h := startPrompt(t, wire.Limits{}, forward(c, func(wire.Exchange) {}))
	client := h.client()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	f := http2.NewFramer(nc, nc)
	_, err = io.WriteString(nc, Preface)
	err = errors.Join(err, f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: encode(":method: GET", ":scheme: http", ":path: /large", ":authority: a.example"),
	}))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < DefaultWindow; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := frame.(*http2.DataFrame); ok {
			n += len(d.Data())
		}
	}
	patient.Until(t, "the response waits for the client", func() bool { return c.Load() == 1 })
	for range 3 {
		h.do(client, "GET", "/quick", nil)
	}
	err = f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 3, EndHeaders: true, EndStream: true, BlockFragment: encode(":method: GET", ":scheme: http", ":path: /quick", ":authority: a.example"),
	})
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); frame != nil && frame.Header().StreamID == 3 {
			return
		}
	}
	t.Error(err)
}

// narrow has sockets that take little at once.
func narrow(t *testing.T, c net.Conn) net.Conn {
	t.Helper()
	tcp := c.(*net.TCPConn)
	if err := errors.Join(tcp.SetReadBuffer(4<<10), tcp.SetWriteBuffer(4<<10)); err != nil {
		t.Fatal(err)
	}
	return c
}

// secured is a connection like one over TLS, but in plain text, and nothing of it leaves without waiting.
type secured struct{ *reluctant }

func (c secured) NetConn() net.Conn { return c.reluctant }

type reluctant struct {
	net.Conn
	held bool
	out  []byte
}

func (c *reluctant) Write(p []byte) (int, error) {
	if !c.held {
		return c.Conn.Write(p)
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

func (c *reluctant) Hold()                     { c.held = true }
func (c *reluctant) TryRelease() (bool, error) { return false, nil }

func (c *reluctant) Release() error {
	_, err := c.Conn.Write(c.out)
	c.held, c.out = false, c.out[:0]
	return err
}

// What a socket does not take at once is sent when it does, in one piece with what comes after it; the goroutine that would have written goes on
// meanwhile.
func TestSocketsThatAreFull(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testFullSocket(t, func(c net.Conn) net.Conn { return c }) })
	t.Run("over TLS", func(t *testing.T) {
		testFullSocket(t, func(c net.Conn) net.Conn { return secured{&reluctant{Conn: c}} })
	})
}

func testFullSocket(t *testing.T, over func(net.Conn) net.Conn) {
	text := strings.Repeat("0123456789abcdef", 3<<10) // less than a client's window
	var served atomic.Int32
	server := NewServer(Options{Handler: promptFunc{serveFunc{serve: func(x wire.Exchange) {
		_ = answer(x, 200, text)
		served.Add(1)
	}}}})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer narrow(t, nc).Close()
	end, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() { server.ServeConn(over(narrow(t, end)), netip.AddrPort{}, nil) })
	defer conns.Wait()
	defer server.Close()
	f := http2.NewFramer(nc, nc)
	const requests = 3 // whose answers fit what may wait to be written
	_, err = io.WriteString(nc, Preface)
	err = errors.Join(err, f.WriteSettings(), f.WriteWindowUpdate(0, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	for i := range requests {
		err := f.WriteHeaders(http2.HeadersFrameParam{
			StreamID: uint32(2*i + 1), EndHeaders: true, EndStream: true,
			BlockFragment: encode(":method: GET", ":scheme: http", ":path: /", ":authority: a.example"),
		})
		if err != nil {
			t.Fatal(err)
		}
		// Alone: the reader has taken it, and is free again, although nobody reads the answers.
		patient.Until(t, fmt.Sprintf("request %d is served", i), func() bool { return int(served.Load()) == i+1 })
	}
	got := map[uint32]int{}
	for left := requests; left > 0; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("%d answers missing: %v", left, err)
		}
		if d, ok := frame.(*http2.DataFrame); ok {
			n := got[d.StreamID]
			if string(d.Data()) != text[n:n+len(d.Data())] {
				t.Fatalf("stream %d: wrong content from %d on", d.StreamID, n)
			}
			got[d.StreamID] = n + len(d.Data())
			if d.StreamEnded() {
				left--
			}
		}
	}
	for i := range requests {
		if n := got[uint32(2*i+1)]; n != len(text) {
			t.Errorf("request %d: %d bytes", i, n)
		}
	}
}

// Clients with a connection each share few connections to a backend. They leave at any moment, and the backend answers late, in pieces, or not at all.
func TestRequestsThatComeAloneUnderStress(t *testing.T) {
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "reset":
			panic(http.ErrAbortHandler)
		case "late":
			time.Sleep(time.Millisecond)
		case "large":
			_, _ = io.WriteString(w, strings.Repeat("x", 200<<10))
		}
		_, _ = io.WriteString(w, r.URL.RawQuery)
	})
	h := startPrompt(t, wire.Limits{}, forward(c, func(wire.Exchange) {}))
	var clients sync.WaitGroup
	for i := range 16 {
		client := h.client()
		clients.Go(func() {
			for n := range 60 {
				what := []string{"", "late", "large", "reset", "leave"}[rand.IntN(5)]
				if err := ask(t, client, fmt.Sprintf("do=%s&is=%d-%d", what, i, n), what); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	patient.Until(t, "no stream is left", func() bool {
		_, streams := h.server.Active()
		return streams == 0 && c.Load() == 0
	})
}

func ask(t *testing.T, client *http.Client, query, what string) error {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://shop.example/?"+query, nil)
	if err != nil {
		return err
	}
	if what == "leave" {
		time.AfterFunc(time.Duration(rand.IntN(300))*time.Microsecond, leave)
	}
	res, err := client.Do(req)
	text := []byte(nil)
	if err == nil {
		text, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	switch {
	case what == "leave":
		return nil
	case what == "reset":
		if err == nil {
			return fmt.Errorf("%s: %d %q for a response that broke off", query, res.StatusCode, text)
		}
	case err != nil:
		return fmt.Errorf("%s: %w", query, err)
	case !strings.HasSuffix(string(text), query):
		return fmt.Errorf("%s: somebody else's answer: %q", query, text)
	}
	return nil
}

func TestSparesAreGivenUp(t *testing.T) {
	var s spares[int]
	var ended []int
	end := func(v int) { ended = append(ended, v) }
	for v := range 5 {
		s.keep(v)
	}
	s.trim(end) // all came since
	if len(ended) > 0 {
		t.Fatalf("gave up %v", ended)
	}
	a, _ := s.take()
	b, _ := s.take()
	if a != 4 || b != 3 {
		t.Errorf("took %d and %d, not what was kept last", a, b)
	}
	s.keep(b)
	s.keep(a)
	s.trim(end)
	if !slices.Equal(ended, []int{0, 1, 2}) {
		t.Errorf("gave up %v, not what was not needed", ended)
	}
	s.close(end)
	if !slices.Equal(ended, []int{0, 1, 2, 3, 4}) {
		t.Errorf("gave up %v in the end", ended)
	}
	if s.keep(7) {
		t.Error("kept something when closed")
	}
	if _, ok := s.take(); ok {
		t.Error("had something when closed")
	}
	if s.open(); !s.keep(8) {
		t.Error("did not keep anything when open again")
	}
}

func TestHabit(t *testing.T) {
	var h habit
	tried := func(times int, pays bool) (n int) {
		for range times {
			if h.try() {
				n++
				h.paid(pays)
			}
		}
		return n
	}
	if n := tried(1000, true); n != 1000 {
		t.Errorf("what pays is tried %d times of 1000", n)
	}
	if n := tried(inVain, false); n != inVain {
		t.Errorf("given up after %d times in vain", n)
	}
	if n := tried(1+leftOut, false); n != 1 {
		t.Errorf("tried %d times more", n)
	}
	if n := tried(10*(1+leftOut), false); n != 10 {
		t.Errorf("tried %d times of %d", n, 10*(1+leftOut))
	}
	if n := tried(100, true); n != 100 {
		t.Errorf("tried %d times of 100 once it pays again", n)
	}
}

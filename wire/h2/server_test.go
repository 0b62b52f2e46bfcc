// Tests of the server with another implementation's client: bodies, early answers, trailers, cancellation, draining.

package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
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

func TestMain(m *testing.M) { patient.Main(m) }

// harness is a server on loopback whose handler a test gives.
type harness struct {
	t       *testing.T
	server  *Server
	addr    string
	refused chan error
	floods  chan string
}

// serveFunc is a wire.Handler.
type serveFunc struct {
	serve   func(wire.Exchange)
	refused chan error
}

func (f serveFunc) Serve(x wire.Exchange) { f.serve(x) }

func (f serveFunc) Refused(_ *wire.Peer, _ int, why error) {
	select {
	case f.refused <- why:
	default:
	}
}

// start serves requests with serve, which may wait for whatever it likes.
func start(t *testing.T, lim wire.Limits, serve func(wire.Exchange)) *harness {
	t.Helper()
	return startPrompt(t, lim, func(x wire.Exchange) {
		wire.Block(x)
		serve(x)
	})
}

func startPrompt(t *testing.T, lim wire.Limits, serve func(wire.Exchange)) *harness {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, addr: l.Addr().String(), refused: make(chan error, 1000), floods: make(chan string, 1000)}
	h.server = NewServer(Options{
		Handler: promptFunc{serveFunc{serve, h.refused}}, Limits: lim, Flood: func(kind string) { h.floods <- kind },
	})
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { h.server.ServeConn(c, socketOf(l), nil) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		h.server.Close()
		conns.Wait()
	})
	return h
}

func anyConn(*conn) bool { return true }

func socketOf(l net.Listener) netip.AddrPort { return l.Addr().(*net.TCPAddr).AddrPort() }

// client returns a client of net/http's kind that uses one connection.
func (h *harness) client() *http.Client {
	t := &http.Transport{
		Protocols: &http.Protocols{},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, h.addr)
		},
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	h.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func (h *harness) do(c *http.Client, method, path string, body io.Reader) (*http.Response, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, "http://shop.example"+path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatalf("%s %s: reading the body: %v", method, path, err)
	}
	return res, string(text)
}

// content is a body in pieces, each of which Next gives.
type content struct {
	pieces   [][]byte
	trailers *message.Fields
	err      error // instead of io.EOF
	stopped  atomic.Int32
	gate     chan struct{} // each Next waits for it, if there is one
}

func text(s ...string) *content {
	c := &content{}
	for _, p := range s {
		c.pieces = append(c.pieces, []byte(p))
	}
	return c
}

func (c *content) InHand() ([]byte, bool) {
	switch {
	case c.gate != nil:
		return nil, false
	case len(c.pieces) == 0:
		return nil, c.err == nil
	}
	return c.pieces[0], len(c.pieces) == 1 && c.err == nil
}

func (c *content) Next() ([]byte, error) {
	if c.gate != nil {
		<-c.gate
	}
	if len(c.pieces) == 0 {
		if c.err != nil {
			return nil, c.err
		}
		return nil, io.EOF
	}
	p := c.pieces[0]
	c.pieces = c.pieces[1:]
	return p, nil
}

func (c *content) Trailers() *message.Fields { return c.trailers }
func (c *content) Stop(message.Reason)       { c.stopped.Add(1) }

// answer responds with a text.
func answer(x wire.Exchange, status int, s string) error {
	return x.Respond(&message.Head{Status: status, Length: int64(len(s))}, text(s))
}

// readBody reads a request's body to its end.
func readBody(b message.Body) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	var all []byte
	for {
		p, err := b.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, p...)
	}
}

func TestRequestsAndResponses(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		r := x.Request()
		switch string(r.Target) {
		case "/empty":
			x.Respond(&message.Head{Status: 204, Length: message.LengthNone}, nil)
		case "/protocol":
			answer(x, 200, x.Peer().Protocol)
		case "/pieces":
			x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, text("one ", "", "two ", strings.Repeat("x", 200<<10)))
		case "/trailers":
			b := text("content")
			b.trailers = &message.Fields{}
			b.trailers.Add([]byte("X-Sum"), []byte("42"))
			x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, b)
		case "/onlytrailers":
			b := &content{trailers: &message.Fields{}}
			b.trailers.Add([]byte("grpc-status"), []byte("7"))
			x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, b)
		case "/hints":
			hint := message.Head{Status: 103}
			hint.Fields.Add([]byte("Link"), []byte("</a.css>"))
			x.Inform(&hint)
			answer(x, 200, "done")
		case "/body":
			p, err := readBody(x.Body())
			sum := ""
			if f := x.Body().Trailers(); f != nil {
				sum = string(f.Get("x-sum"))
			}
			answer(x, 200, fmt.Sprintf("%d %v %s", len(p), err, sum))
		default:
			answer(x, 200, fmt.Sprintf("%s %s %s", r.Method, r.Authority, r.Target))
		}
	})
	c := h.client()
	if res, body := h.do(c, "GET", "/a?b", nil); body != "GET shop.example /a?b" || res.Header.Get("Date") == "" || res.ContentLength != int64(len(body)) {
		t.Errorf("got %q, %v", body, res)
	}
	if res, body := h.do(c, "HEAD", "/a", nil); body != "" || res.ContentLength != int64(len("HEAD shop.example /a")) {
		t.Errorf("HEAD got %q, %v", body, res)
	}
	if _, body := h.do(c, "GET", "/protocol", nil); body != "HTTP/2" {
		t.Errorf("the handler sees protocol %q", body)
	}
	if res, _ := h.do(c, "GET", "/empty", nil); res.StatusCode != http.StatusNoContent || res.ContentLength != 0 {
		t.Errorf("204 got %v", res)
	}
	if _, body := h.do(c, "GET", "/pieces", nil); len(body) != 8+200<<10 || !strings.HasPrefix(body, "one two xx") {
		t.Errorf("got %d bytes", len(body))
	}
	if res, body := h.do(c, "GET", "/trailers", nil); body != "content" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q and %v", body, res.Trailer)
	}
	if res, body := h.do(c, "GET", "/onlytrailers", nil); body != "" || res.Trailer.Get("grpc-status") != "7" {
		t.Errorf("got %q and %v", body, res.Trailer)
	}
	if _, body := h.do(c, "GET", "/hints", nil); body != "done" {
		t.Errorf("after 103: %q", body)
	}
	for _, n := range []int{1, 100, 5 << 20} {
		if _, body := h.do(c, "POST", "/body", bytes.NewReader(make([]byte, n))); body != fmt.Sprintf("%d <nil> ", n) {
			t.Errorf("upload of %d: %q", n, body)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://shop.example/body", io.LimitReader(zeros{}, 1000))
	req.Trailer = http.Header{"X-Sum": {"43"}}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(res.Body); string(got) != "1000 <nil> 43" {
		t.Errorf("upload with trailers: %q", got)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestManyStreamsAtOnce(t *testing.T) {
	const streams = 100
	var all sync.WaitGroup
	all.Add(streams)
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) != "/warm" {
			all.Done()
			all.Wait() // they are all here
		}
		answer(x, 200, strings.Repeat(string(x.Request().Target), 20000))
	})
	c := h.client()
	h.do(c, "GET", "/warm", nil) // reveals the limit on streams
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			path := fmt.Sprintf("/%d", i)
			if _, body := h.do(c, "GET", path, nil); body != strings.Repeat(path, 20000) {
				t.Errorf("stream %d got %d bytes", i, len(body))
			}
		})
	}
	wg.Wait()
}

func TestExpectContinue(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) == "/no" {
			answer(x, 403, "no")
			return
		}
		p, err := readBody(x.Body())
		answer(x, 200, fmt.Sprintf("%d %v %v", len(p), err, x.Request().ExpectContinue))
	})
	c := h.client()
	for path, want := range map[string]string{"/": "3 <nil> true", "/no": "no"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a"+path, strings.NewReader("abc"))
		req.Header.Set("Expect", "100-continue")
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := io.ReadAll(res.Body); string(got) != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestEarlyAnswerStopsTheUpload(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if x.Body() != nil {
			x.Body().Next()
		}
		answer(x, 413, "too much")
	})
	c := h.client()
	for range 3 {
		if res, body := h.do(c, "POST", "/", io.LimitReader(zeros{}, 1<<30)); res.StatusCode != http.StatusRequestEntityTooLarge || body != "too much" {
			t.Errorf("got %v, %q", res.Status, body)
		}
	}
	if res, _ := h.do(c, "GET", "/", nil); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error("the connection is of no more use")
	}
}

func TestBrokenResponsesNeverEndCleanly(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		switch string(x.Request().Target) {
		case "/error":
			b := text("half")
			b.err = errors.New("backend broke")
			x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, b)
		case "/short":
			x.Respond(&message.Head{Status: 200, Length: 10}, text("short"))
		case "/long":
			x.Respond(&message.Head{Status: 200, Length: 2}, text("long"))
		case "/abort":
			x.Abort(message.BackendFailed)
		case "/panic":
			panic("oh")
		case "/panic2":
			b := text("half")
			b.gate = make(chan struct{}, 1)
			b.gate <- struct{}{}
			b.err = errPanic
			x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, panicking{b})
		case "/nothing":
		}
	})
	c := h.client()
	for _, path := range []string{"/error", "/short", "/long", "/abort", "/panic2"} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a"+path, nil)
		res, err := c.Do(req)
		if err == nil {
			_, err = io.ReadAll(res.Body)
		}
		var reset http2.StreamError
		if !errors.As(err, &reset) || reset.Code != http2.ErrCodeInternal {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/panic", "/nothing"} {
		if res, _ := h.do(c, "GET", path, nil); res.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s: %v", path, res.Status)
		}
	}
}

var errPanic = errors.New("panic")

// panicking is a body that panics where content returns an error.
type panicking struct{ *content }

func (p panicking) Next() ([]byte, error) {
	if len(p.pieces) == 0 {
		panic("oh")
	}
	return p.content.Next()
}

// canceller is told of a client that leaves.
type canceller chan message.Reason

func (c canceller) Cancel(r message.Reason) { c <- r }

func TestClientsThatLeave(t *testing.T) {
	began, told := make(chan struct{}), make(canceller, 1)
	ended := make(chan error, 1)
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		ctx := x.Context()
		x.Watch(told)
		began <- struct{}{}
		<-ctx.Done()
		x.Watch(nil)
		_, err := readBody(x.Body())
		ended <- errors.Join(context.Cause(ctx), err, answer(x, 200, "too late"))
	})
	c := h.client()
	for _, method := range []string{"GET", "POST"} {
		ctx, cancel := context.WithCancel(t.Context())
		var body io.Reader
		if method == "POST" {
			r, w := io.Pipe()
			defer w.Close()
			body = r
		}
		req, _ := http.NewRequestWithContext(ctx, method, "http://a/", body)
		go func() {
			<-began
			cancel()
		}()
		if _, err := c.Do(req); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if r := <-told; r != message.ClientGone {
			t.Errorf("told of reason %d", r)
		}
		if err := <-ended; !errors.Is(err, wire.ErrClientGone) || !errors.Is(err, errBrokenOff) {
			t.Errorf("ended with %v", err)
		}
	}
	// The connection itself.
	k := h.dial()
	k.request(1, "GET", "/", true)
	<-began
	k.nc.Close()
	<-told
	<-ended
}

func TestWatchAfterTheClientLeft(t *testing.T) {
	began, left, told := make(chan struct{}), make(chan struct{}), make(canceller, 1)
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		ctx := x.Context()
		close(began)
		<-ctx.Done()
		x.Watch(told)
		<-told
		x.Watch(nil)
		x.Abort(message.ClientGone)
		close(left)
	})
	k := h.dial()
	k.request(1, "GET", "/", true)
	<-began
	k.send(AppendResetStream(nil, 1, Cancel))
	<-left
}

func TestDrainFinishesWhatIsUnderWay(t *testing.T) {
	began, goOn := make(chan struct{}, 10), make(chan struct{})
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) == "/slow" {
			began <- struct{}{}
			<-goOn
		}
		answer(x, 200, "done")
	})
	c := h.client()
	h.do(c, "GET", "/", nil)
	var slow sync.WaitGroup
	slow.Go(func() {
		if _, body := h.do(c, "GET", "/slow", nil); body != "done" {
			t.Errorf("got %q", body)
		}
	})
	<-began
	idle := h.client()
	h.do(idle, "GET", "/", nil)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		h.server.Drain(t.Context(), netip.AddrPort{})
	}()
	// The idle connection ends, and with it only it.
	for len(h.server.connections(anyConn)) > 1 {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	slow.Wait()
	<-drained
}

func TestDrainServesWhatWasOnItsWay(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) { answer(x, 200, "done") })
	k := h.dial()
	k.request(1, "GET", "/", true)
	k.await(FrameData, 1)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		h.server.Drain(t.Context(), netip.AddrPort{})
	}()
	if last, code, _ := k.await(FrameGoAway, 0).GoAway(); last != MaxWindow || code != NoError {
		t.Errorf("first GOAWAY has %d, %v", last, code)
	}
	ping := k.await(FramePing, 0)
	k.request(3, "GET", "/", true)
	k.await(FrameData, 3)
	k.send(AppendPing(nil, true, [8]byte(ping.Payload)))
	if last, code, _ := k.await(FrameGoAway, 0).GoAway(); last != 3 || code != NoError {
		t.Errorf("second GOAWAY has %d, %v", last, code)
	}
	k.nc.Close()
	<-drained
}

func TestDrainEndsInTime(t *testing.T) {
	began, told := make(chan struct{}), make(canceller, 1)
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		x.Watch(told)
		close(began)
		if r := <-told; r != message.Shutdown {
			t.Errorf("told of reason %d", r)
		}
		x.Watch(nil)
		x.Abort(message.Shutdown)
	})
	k := h.dial()
	k.request(1, "GET", "/", true)
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.server.Drain(ctx, netip.AddrPort{})
	if n := len(h.server.connections(anyConn)); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// A handler may find that the client is better off with another connection. What is under way goes on.
func TestAHandlerMayHaveItsClientLeave(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		x.Peer().Leave()
		x.Peer().Leave() // which says no more
		answer(x, 421, "elsewhere")
	})
	k := h.dial()
	k.request(1, "GET", "/", true)
	if last, code, _ := k.await(FrameGoAway, 0).GoAway(); last != MaxWindow || code != NoError {
		t.Errorf("first GOAWAY has %d, %v", last, code)
	}
	ping := k.await(FramePing, 0)
	k.await(FrameData, 1)
	k.send(AppendPing(nil, true, [8]byte(ping.Payload)))
	if last, code, _ := k.await(FrameGoAway, 0).GoAway(); last != 1 || code != NoError {
		t.Errorf("second GOAWAY has %d, %v", last, code)
	}
}

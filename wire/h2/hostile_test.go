// Tests of the server with clients that speak frames, and not all of them kindly.

package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// rawClient sends and receives frames.
type rawClient struct {
	t    *testing.T
	nc   net.Conn
	buf  []byte
	enc  *hpack.Encoder
	head bytes.Buffer

	scratch []byte // of skip
}

// dial connects, and sends preface and SETTINGS.
func (h *harness) dial() *rawClient {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute)) // a test that waits in vain
	c := &rawClient{t: h.t, nc: nc}
	c.enc = hpack.NewEncoder(&c.head)
	s := DefaultSettings()
	c.send(AppendSettingsAck(s.Append([]byte(Preface), false)))
	return c
}

func (c *rawClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Error(err)
	}
}

// try sends, and does not mind if the server has closed.
func (c *rawClient) try(b []byte) bool {
	_, err := c.nc.Write(b)
	return err == nil
}

func (c *rawClient) headers(stream uint32, end bool, lines ...string) []byte {
	c.head.Reset()
	for _, l := range lines {
		n := strings.IndexByte(l[1:], ':') + 1
		c.enc.WriteField(hpack.HeaderField{Name: l[:n], Value: strings.TrimPrefix(l[n+1:], " ")})
	}
	b := append(AppendBlockRoom(nil), c.head.Bytes()...)
	return FinishBlock(b, 0, stream, end, DefaultFrameSize)
}

func (c *rawClient) request(stream uint32, method, path string, end bool, fields ...string) {
	c.t.Helper()
	c.send(c.headers(stream, end, append([]string{":method: " + method, ":scheme: http", ":authority: a", ":path: " + path}, fields...)...))
}

// read returns the next frame.
func (c *rawClient) read() (Frame, error) {
	for {
		f, n, err := ParseFrame(c.buf, DefaultFrameSize)
		if n > 0 || err != nil {
			f.Payload = bytes.Clone(f.Payload)
			c.buf = c.buf[n:]
			return f, err
		}
		p := make([]byte, 16<<10)
		n, err = c.nc.Read(p)
		c.buf = append(c.buf, p[:n]...)
		if err != nil {
			return Frame{}, err
		}
	}
}

// await reads until a frame of a type comes on a stream, not counting acknowledgements.
func (c *rawClient) await(t FrameType, stream uint32) Frame {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatalf("waiting for a frame of type %d on stream %d: %v", t, stream, err)
		}
		if f.Type == t && f.Stream == stream && (t == FrameHeaders || t == FrameData || !f.Has(FlagAck)) {
			return f
		}
	}
}

// ended reads until GOAWAY and returns its code.
func (c *rawClient) ended() ErrCode {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Errorf("no GOAWAY: %v", err)
			return NoError
		}
		if f.Type == FrameGoAway {
			_, code, _ := f.GoAway()
			return code
		}
	}
}

// echo answers with what the request said.
func echo(x wire.Exchange) {
	p, err := readBody(x.Body())
	if err != nil {
		x.Abort(message.ClientGone)
		return
	}
	answer(x, 200, fmt.Sprintf("%s %s", x.Request().Target, p))
}

func TestFloods(t *testing.T) {
	window := func(stream, n uint32) []byte { return AppendWindowUpdate(nil, stream, n) }
	ping := AppendPing(nil, false, [8]byte{})
	settings := AppendFrameHead(nil, 0, FrameSettings, 0, 0)
	get := []string{":method: GET", ":scheme: http", ":authority: a", ":path: /slow"}
	for _, c := range []struct {
		kind string
		send func(c *rawClient, i uint32) []byte
	}{
		{"reset", func(c *rawClient, i uint32) []byte {
			return AppendResetStream(c.headers(2*i+1, true, get...), 2*i+1, Cancel)
		}},
		{"error", func(c *rawClient, i uint32) []byte {
			return append(c.headers(2*i+1, true, get...), window(2*i+1, 0)...)
		}},
		{"refused", func(c *rawClient, i uint32) []byte { return c.headers(2*i+1, true, get...) }},
		{"settings", func(*rawClient, uint32) []byte { return settings }},
		{"ping", func(*rawClient, uint32) []byte { return ping }},
		{"window", func(*rawClient, uint32) []byte { return window(0, 1) }},
		{"other", func(_ *rawClient, i uint32) []byte {
			return append(AppendFrameHead(nil, 5, FramePriority, 0, 2*i+1), 0, 0, 0, 0, 1)
		}},
		{"other", func(*rawClient, uint32) []byte { return AppendFrameHead(nil, 0, 0xee, 0, 0) }},
		{"empty", func(c *rawClient, i uint32) []byte {
			if i == 0 {
				return c.headers(1, false, get...)
			}
			return AppendData(nil, 1, nil, false)
		}},
		{"header", func(c *rawClient, i uint32) []byte {
			if i == 0 {
				return append(AppendFrameHead(nil, 1, FrameHeaders, 0, 1), 0x82)
			}
			return AppendFrameHead(nil, 0, FrameContinuation, 0, 1)
		}},
		{"closed", func(c *rawClient, i uint32) []byte {
			if i == 0 {
				return AppendResetStream(c.headers(1, true, get...), 1, Cancel)
			}
			return window(1, 1<<10)
		}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			h := start(t, wire.Limits{}, func(x wire.Exchange) {
				if string(x.Request().Target) == "/slow" {
					<-x.Context().Done()
					x.Abort(message.ClientGone)
					return
				}
				echo(x)
			})
			good, bad := h.dial(), h.dial()
			go func() {
				for i := range uint32(20000) {
					if !bad.try(c.send(bad, i)) {
						return
					}
				}
			}()
			ended := make(chan ErrCode, 1)
			go func() { ended <- bad.ended() }()
			// Another client is served meanwhile, and afterwards.
			for id, flooded := uint32(1), true; flooded; id += 2 {
				select {
				case code := <-ended:
					if flooded = false; code != EnhanceYourCalm {
						t.Errorf("the connection ended with %v", code)
					}
				default:
				}
				good.request(id, "GET", "/", true)
				good.await(FrameData, id)
			}
			// Streams that were reset count as open as long as their handlers have not returned.
			if kind := <-h.floods; kind != c.kind && (kind != "refused" || c.kind != "reset") {
				t.Errorf("counted as %q", kind)
			}
		})
	}
}

// TestUnreadAnswers floods with frames that have answers, and reads none.
func TestUnreadAnswers(t *testing.T) {
	h := start(t, wire.Limits{}, echo)
	c := h.dial()
	c.nc.(*net.TCPConn).SetReadBuffer(4 << 10)
	pings := bytes.Repeat(AppendPing(nil, false, [8]byte{}), 100)
	for c.try(pings) {
	}
	if kind := <-h.floods; kind != "ping" && kind != "unread" {
		t.Errorf("counted as %q", kind)
	}
}

func TestClosedWindowsHoldUpNobodyElse(t *testing.T) {
	const streams = 100
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		answer(x, 200, strings.Repeat("x", 10000))
	})
	c := h.dial()
	// Streams have no window at first.
	c.send(append(AppendFrameHead(nil, 6, FrameSettings, 0, 0), 0, 4, 0, 0, 0, 0))
	c.send(AppendWindowUpdate(nil, 0, 10<<20))
	for i := range uint32(streams) {
		c.request(2*i+1, "GET", "/", true)
	}
	for i := range uint32(streams - 1) { // all but the first get one
		c.send(AppendWindowUpdate(nil, 2*i+3, 10000))
	}
	got := map[uint32]int{}
	for done := 0; done < streams-1; {
		f, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == FrameData {
			if got[f.Stream] += len(f.Payload); f.Has(FlagEndStream) {
				done++
			}
		}
	}
	if got[1] != 0 {
		t.Errorf("%d bytes came without a window", got[1])
	}
	c.send(AppendWindowUpdate(nil, 1, 10000))
	c.await(FrameData, 1)
}

// TestTinyConnectionWindow gives the connection's window byte by byte: all streams get through, in turn.
func TestTinyConnectionWindow(t *testing.T) {
	const streams, size = 20, 40
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) == "/big" {
			answer(x, 200, strings.Repeat("x", DefaultWindow))
			return
		}
		answer(x, 200, strings.Repeat("y", size))
	})
	c := h.dial()
	c.request(1, "GET", "/big", true)
	for n := 0; n < DefaultWindow; {
		n += len(c.await(FrameData, 1).Payload)
	}
	for i := range uint32(streams) {
		c.request(2*i+3, "GET", "/", true)
	}
	for n := 0; n < streams*size; {
		c.send(AppendWindowUpdate(nil, 0, 1))
		f, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == FrameData {
			n += len(f.Payload)
		}
	}
}

// TestUploadsAreBounded lets a client send as much as it may while nobody consumes.
func TestUploadsAreBounded(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		if string(x.Request().Target) == "/b" {
			<-x.Context().Done()
			x.Abort(message.ClientGone)
			return
		}
		began <- struct{}{}
		<-goOn
		p, err := readBody(x.Body())
		if err != nil {
			t.Error(err)
		}
		answer(x, 200, fmt.Sprint(len(p)))
	})
	c := h.dial()
	c.request(1, "POST", "/a", false)
	<-began
	piece := make([]byte, DefaultFrameSize)
	for range uploadWindow / DefaultFrameSize {
		c.send(AppendData(nil, 1, piece, false))
	}
	close(goOn)
	if n := c.await(FrameWindowUpdate, 1).Uint32(); n == 0 || n > maxUploadWindow {
		t.Errorf("the window grew by %d", n)
	}
	c.send(AppendData(nil, 1, nil, true))
	if f := c.await(FrameData, 1); string(f.Payload) != fmt.Sprint(uploadWindow) {
		t.Errorf("got %q", f.Payload)
	}

	// Beyond the window.
	c.request(3, "POST", "/b", false)
	for range uploadWindow/DefaultFrameSize + 1 {
		c.try(AppendData(nil, 3, piece, false))
	}
	if f := c.await(FrameResetStream, 3); ErrCode(f.Uint32()) != FlowControlError {
		t.Errorf("stream reset with %v", ErrCode(f.Uint32()))
	}
}

func TestAnswersOfTheWire(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) { answer(x, 200, "no") })
	c := h.dial()
	c.request(1, "GET", "/"+strings.Repeat("x", 9000), true)
	if f := c.await(FrameData, 1); !strings.HasPrefix(string(f.Payload), "414 URI Too Long: ") || !f.Has(FlagEndStream) {
		t.Errorf("got %q", f.Payload)
	}
	c.request(3, "GET", "/", true, "x: "+strings.Repeat("y", 70<<10))
	if f := c.await(FrameData, 3); !strings.HasPrefix(string(f.Payload), "431 ") {
		t.Errorf("got %q", f.Payload)
	}
	if p, ok := errors.AsType[*wire.ParseError](<-h.refused); !ok || p.Status != 414 {
		t.Errorf("the handler was told of %v", p)
	}
	c.request(5, "GET", "/", true)
	if f := c.await(FrameData, 5); string(f.Payload) != "no" {
		t.Errorf("got %q", f.Payload)
	}
}

// TestPaces looks at what takes too long. Each has only its own limit, so that a machine that is late runs into no other.
func TestPaces(t *testing.T) {
	with := func(t *testing.T, lim wire.Limits) *harness {
		t.Helper()
		return start(t, lim, func(x wire.Exchange) { answer(x, 200, strings.Repeat("x", 100000)) })
	}
	t.Run("half a preface", func(t *testing.T) {
		nc, err := net.Dial("tcp", with(t, wire.Limits{HeadTime: 50 * time.Millisecond}).addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.Write([]byte(Preface[:10]))
		if _, err := io.ReadAll(nc); err != nil {
			t.Error(err)
		}
	})
	t.Run("half a header", func(t *testing.T) {
		c := with(t, wire.Limits{HeadTime: time.Second}).dial()
		c.send(append(AppendFrameHead(nil, 1, FrameHeaders, 0, 1), 0x82))
		if code := c.ended(); code != NoError {
			t.Error(code)
		}
	})
	t.Run("nothing", func(t *testing.T) {
		c := with(t, wire.Limits{KeepAlive: 200 * time.Millisecond}).dial()
		if code := c.ended(); code != NoError {
			t.Error(code)
		}
	})
	t.Run("a closed window", func(t *testing.T) {
		c := with(t, wire.Limits{WriteStall: 50 * time.Millisecond}).dial()
		c.request(1, "GET", "/", true)
		if f := c.await(FrameResetStream, 1); ErrCode(f.Uint32()) != Cancel {
			t.Error(ErrCode(f.Uint32()))
		}
	})
}

func TestSettingsMustBeAcknowledged(t *testing.T) {
	h := start(t, wire.Limits{}, echo)
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s := DefaultSettings()
	nc.Write(s.Append([]byte(Preface), false))
	c := &rawClient{t: t, nc: nc}
	for f := (Frame{}); f.Type != FrameSettings || !f.Has(FlagAck); {
		if f, err = c.read(); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range h.server.connections(anyConn) {
		for whole := false; !whole; runtime.Gosched() { // the reader may not have come that far
			k.mu.Lock()
			whole = k.unfinished == 0
			k.mu.Unlock()
		}
		k.look(h.server.now() + int64(settingsTime) + 1)
	}
	if code := c.ended(); code != SettingsTimeout {
		t.Error(code)
	}
}

func TestWebSocket(t *testing.T) {
	h := start(t, wire.Limits{}, func(x wire.Exchange) {
		r := x.Request()
		if string(r.Method) != "GET" || string(r.Upgrade) != "websocket" || x.Body() != nil || len(r.Fields.Get("sec-websocket-key")) != 24 {
			t.Errorf("request is %s", describe(r))
		}
		accept := text(string(r.Fields.Get("sec-websocket-key")))
		head := message.Head{Status: 101, Upgrade: r.Upgrade}
		head.Fields.Add([]byte("Sec-WebSocket-Accept"), []byte(WebSocketAccept(accept.pieces[0])))
		head.Fields.Add([]byte("X-Other"), []byte("y"))
		if string(r.Target) == "/wrong" {
			head.Fields.Set([]byte("sec-websocket-accept"), []byte("nonsense"))
		}
		d, err := x.Tunnel(&head)
		if err != nil {
			return
		}
		defer d.Close()
		var both sync.WaitGroup
		both.Go(func() { d.Write([]byte("hello ")) })
		both.Wait()
		if _, err := io.Copy(d, d); err != nil {
			t.Error(err)
		}
		d.CloseWrite()
	})
	c := h.dial()
	if f := c.await(FrameSettings, 0); !bytes.Contains(f.Payload, []byte{0, 8, 0, 0, 0, 1}) {
		t.Error("SETTINGS_ENABLE_CONNECT_PROTOCOL is not announced")
	}
	open := func(id uint32, path string) {
		c.send(c.headers(id, false, ":method: CONNECT", ":protocol: websocket", ":scheme: http", ":authority: a", ":path: "+path))
	}
	open(1, "/")
	f := c.await(FrameHeaders, 1)
	lines := decode(t, f.Payload)
	if all := strings.Join(lines, "\n"); !strings.HasPrefix(all, ":status: 200") || strings.Contains(all, "sec-websocket-accept") || !strings.Contains(all, "x-other: y") {
		t.Errorf("answer is %q", lines)
	}
	if f := c.await(FrameData, 1); string(f.Payload) != "hello " {
		t.Errorf("got %q", f.Payload)
	}
	c.send(AppendData(nil, 1, []byte("ping"), false))
	if f := c.await(FrameData, 1); string(f.Payload) != "ping" || f.Has(FlagEndStream) {
		t.Errorf("got %q", f.Payload)
	}
	c.send(AppendData(nil, 1, []byte("bye"), true))
	if f := c.await(FrameData, 1); string(f.Payload) != "bye" {
		t.Errorf("got %q", f.Payload)
	}
	if f := c.await(FrameData, 1); len(f.Payload) > 0 || !f.Has(FlagEndStream) {
		t.Errorf("the tunnel ends with %v", f)
	}
	open(3, "/wrong")
	if f := c.await(FrameResetStream, 3); ErrCode(f.Uint32()) != InternalError {
		t.Errorf("a backend that accepts nothing: %v", ErrCode(f.Uint32()))
	}
}

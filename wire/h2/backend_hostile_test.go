// Backends that break the rules: what it costs is their own stream where HTTP/2 allows it, their connection where it does not, and never
// more than the bounds of backend_limits.go.

package h2

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// scripted is a backend whose every frame is written by a test.
type scripted struct {
	*http2.Framer
	t       testing.TB
	nc      net.Conn
	encoder *hpack.Encoder
	buf     bytes.Buffer
}

// scriptedBackend returns a connection to a backend that runs script after the prefaces, and the stats of the connection.
func scriptedBackend(t testing.TB, script func(p *scripted), settings ...http2.Setting) (*BackendConn, *BackendStats) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	accepted := make(chan net.Conn, 1)
	wg.Go(func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		accepted <- nc
		defer nc.Close()
		p := &scripted{Framer: http2.NewFramer(nc, nc), t: t, nc: nc}
		p.AllowIllegalWrites = true
		p.SetMaxReadFrameSize(1 << 20)
		p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		p.encoder = hpack.NewEncoder(&p.buf)
		preface := make([]byte, len(Preface))
		for n := 0; n < len(preface); {
			k, err := nc.Read(preface[n:])
			if n += k; err != nil {
				return
			}
		}
		_ = p.WriteSettings(settings...)
		script(p)
	})
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	stats := &BackendStats{}
	c := NewBackendConn(nc, BackendOptions{Stats: stats})
	t.Cleanup(func() {
		c.Close()
		ln.Close()
		(<-accepted).Close()
		wg.Wait()
	})
	if err := c.Ready(nil); err != nil {
		t.Fatal(err)
	}
	return c, stats
}

// block encodes fields.
func (p *scripted) block(fields ...string) []byte {
	p.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(p.buf.Bytes())
}

func (p *scripted) head(stream uint32, end bool, fields ...string) {
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.block(fields...), EndHeaders: true, EndStream: end})
}

func (p *scripted) data(stream uint32, end bool, content string) {
	_ = p.WriteData(stream, end, []byte(content))
}

// await reads frames up to one that ok accepts.
func await[F http2.Frame](p *scripted, ok func(F) bool) (found F, err error) {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return found, err
		}
		if found, is := f.(F); is && ok(found) {
			return found, nil
		}
	}
}

// request waits for the next request and returns its stream; 0 at the end.
func (p *scripted) request() uint32 {
	f, err := await(p, func(*http2.MetaHeadersFrame) bool { return true })
	if err != nil {
		return 0
	}
	return f.StreamID
}

// drain reads until the end, and returns the last GOAWAY's code and all codes of RST_STREAM by stream.
func (p *scripted) drain() (away http2.ErrCode, resets map[uint32]http2.ErrCode) {
	resets = map[uint32]http2.ErrCode{}
	for {
		f, err := p.ReadFrame()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			away = f.ErrCode
		case *http2.RSTStreamFrame:
			resets[f.StreamID] = f.ErrCode
		}
		if err != nil {
			return away, resets
		}
	}
}

// Each breaks a rule that concerns one stream: that one fails, and the next request on the connection is answered.
func TestBackendStreamErrors(t *testing.T) {
	large := strings.Repeat("x", 9000)
	ok := []string{":status", "200"}
	for name, answer := range map[string]func(p *scripted, id uint32){
		"no status":                   func(p *scripted, id uint32) { p.head(id, true, "a", "b") },
		"two statuses":                func(p *scripted, id uint32) { p.head(id, true, ":status", "200", ":status", "200") },
		"status of two digits":        func(p *scripted, id uint32) { p.head(id, true, ":status", "20") },
		"status behind a field":       func(p *scripted, id uint32) { p.head(id, true, "a", "b", ":status", "200") },
		"pseudo-field of a request":   func(p *scripted, id uint32) { p.head(id, true, ":status", "200", ":path", "/") },
		"101":                         func(p *scripted, id uint32) { p.head(id, true, ":status", "101") },
		"interim response that ends":  func(p *scripted, id uint32) { p.head(id, true, ":status", "103") },
		"upper case":                  func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "A", "b") },
		"line break in a value":       func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "a", "b\r\nc: d") },
		"space in a name":             func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "a b", "c") },
		"connection":                  func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "connection", "close") },
		"transfer-encoding":           func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "transfer-encoding", "chunked") },
		"upgrade":                     func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "upgrade", "websocket") },
		"content-length that is none": func(p *scripted, id uint32) { p.head(id, true, ":status", "200", "content-length", "-1") },
		"two content-lengths": func(p *scripted, id uint32) {
			p.head(id, true, ":status", "200", "content-length", "1", "content-length", "2")
		},
		"content-length and no content": func(p *scripted, id uint32) {
			p.head(id, true, ":status", "200", "content-length", "1")
		},
		"more content than content-length": func(p *scripted, id uint32) {
			p.head(id, false, ":status", "200", "content-length", "3")
			p.data(id, true, "abcd")
		},
		"less content than content-length": func(p *scripted, id uint32) {
			p.head(id, false, ":status", "200", "content-length", "3")
			p.data(id, true, "ab")
		},
		"content before a header": func(p *scripted, id uint32) { p.data(id, true, "ab") },
		"trailers that do not end": func(p *scripted, id uint32) {
			p.head(id, false, ok...)
			p.head(id, false, "a", "b")
		},
		"trailers with a status": func(p *scripted, id uint32) {
			p.head(id, false, ok...)
			p.head(id, true, ":status", "200")
		},
		"too many fields": func(p *scripted, id uint32) {
			fields := ok
			for i := range 300 {
				fields = append(fields, fmt.Sprintf("f%d", i), "v")
			}
			p.head(id, true, fields...)
		},
		"header that is too large": func(p *scripted, id uint32) {
			fields := ok
			for i := range 8 {
				fields = append(fields, fmt.Sprintf("f%d", i), large)
			}
			block := p.block(fields...)
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:16000], EndStream: true})
			for block = block[16000:]; len(block) > 16000; block = block[16000:] {
				_ = p.WriteContinuation(id, false, block[:16000])
			}
			_ = p.WriteContinuation(id, true, block)
		},
		"interim responses without end": func(p *scripted, id uint32) {
			for range maxInterim + 1 {
				p.head(id, false, ":status", "103", "link", "</a>")
			}
		},
		"window update by 0": func(p *scripted, id uint32) { _ = p.WriteWindowUpdate(id, 0) },
		"window beyond what one can be": func(p *scripted, id uint32) {
			_ = p.WriteWindowUpdate(id, 1<<31-1)
		},
		"reset": func(p *scripted, id uint32) { _ = p.WriteRSTStream(id, http2.ErrCodeInternal) },
		"reset within the content": func(p *scripted, id uint32) {
			p.head(id, false, ok...)
			p.data(id, false, "half")
			_ = p.WriteRSTStream(id, http2.ErrCodeNo)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer patient.NoLeak(t, goleak.IgnoreCurrent())
			t.Run("", func(t *testing.T) {
				c, stats := scriptedBackend(t, func(p *scripted) {
					answer(p, p.request())
					id := p.request()
					p.head(id, true, ":status", "200")
					p.drain()
				})
				_, content, _, err := do(c, request("GET", "/"), nil)
				if f, ok := errors.AsType[*wire.BackendError](err); !ok || f.Kind != wire.BackendBroken || !f.Answered {
					t.Errorf("%q, %v", content, err)
				}
				if res, _, _, err := do(c, request("GET", "/"), nil); err != nil || res.Status != 200 {
					t.Errorf("the next request: %v", err)
				}
				if stats.Malformed.Load()+stats.Resets.Load() != 1 || stats.Faults.Load() != 0 {
					t.Errorf("malformed %d, resets %d, faults %d", stats.Malformed.Load(), stats.Resets.Load(), stats.Faults.Load())
				}
			})
		})
	}
}

// Each breaks a rule that concerns the connection: it ends, all its requests fail, and the backend is told why.
func TestBackendConnectionErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		code ErrCode
		do   func(p *scripted, id uint32)
	}{
		"garbage": {FrameSizeError, func(p *scripted, _ uint32) { _, _ = p.nc.Write(bytes.Repeat([]byte("garbage "), 100)) }},
		"HTTP/1.1 all of a sudden": {FrameSizeError, func(p *scripted, _ uint32) {
			_, _ = p.nc.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
		}},
		"frame that is too large": {FrameSizeError, func(p *scripted, id uint32) { _ = p.WriteRawFrame(http2.FrameData, 0, id, make([]byte, 20000)) }},
		"push": {ProtocolError, func(p *scripted, id uint32) {
			_ = p.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: p.block(":method", "GET"), EndHeaders: true})
		}},
		"stream that was not opened": {ProtocolError, func(p *scripted, id uint32) { p.head(id+2, true, ":status", "200") }},
		"stream of a server's":       {ProtocolError, func(p *scripted, _ uint32) { p.head(2, true, ":status", "200") }},
		"header block of another coder": {CompressionError, func(p *scripted, id uint32) {
			_ = p.WriteRawFrame(http2.FrameHeaders, 0x4, id, []byte{0xff, 0xff, 0xff})
		}},
		"frame within a header block": {ProtocolError, func(p *scripted, id uint32) {
			_ = p.WriteRawFrame(http2.FrameHeaders, 0, id, p.block(":status", "200"))
			_ = p.WritePing(false, [8]byte{})
		}},
		"continuation of nothing": {ProtocolError, func(p *scripted, id uint32) { _ = p.WriteContinuation(id, true, nil) }},
		"continuations without end": {EnhanceYourCalm, func(p *scripted, id uint32) {
			_ = p.WriteRawFrame(http2.FrameHeaders, 0, id, p.block(":status", "200"))
			for range 1000 {
				_ = p.WriteContinuation(id, false, nil)
			}
		}},
		"header block without end": {EnhanceYourCalm, func(p *scripted, id uint32) {
			_ = p.WriteRawFrame(http2.FrameHeaders, 0, id, p.block(":status", "200"))
			for range 40 {
				_ = p.WriteContinuation(id, false, bytes.Repeat(p.block("a", "b"), 3000))
			}
		}},
		"settings out of range": {FlowControlError, func(p *scripted, _ uint32) { _ = p.WriteSettings(http2.Setting{ID: 4, Val: 1 << 31}) }},
		"connect taken back": {ProtocolError, func(p *scripted, _ uint32) {
			_ = p.WriteSettings(http2.Setting{ID: 8, Val: 1}, http2.Setting{ID: 8, Val: 0})
		}},
		"window update by 0":       {ProtocolError, func(p *scripted, _ uint32) { _ = p.WriteWindowUpdate(0, 0) }},
		"window beyond all bounds": {FlowControlError, func(p *scripted, _ uint32) { _ = p.WriteWindowUpdate(0, 1<<31-1) }},
		"GOAWAY that takes back": {ProtocolError, func(p *scripted, id uint32) {
			_ = p.WriteGoAway(id, http2.ErrCodeNo, nil)
			_ = p.WriteGoAway(id+2, http2.ErrCodeNo, nil)
		}},
		"content beyond the end": {StreamClosed, func(p *scripted, id uint32) {
			out := append(AppendFrameHead(nil, 1, FrameHeaders, FlagEndHeaders, id), 0x88)
			_, _ = p.nc.Write(AppendData(AppendData(out, id, []byte("a"), true), id, []byte("b"), true))
		}},
		"a flood of SETTINGS": {EnhanceYourCalm, func(p *scripted, _ uint32) {
			for range 2 * maxQuiet {
				_ = p.WriteSettings()
			}
		}},
		"a flood of PINGs": {EnhanceYourCalm, func(p *scripted, _ uint32) {
			for range 2 * maxQuiet {
				_ = p.WritePing(false, [8]byte{})
			}
		}},
		"a flood of empty frames": {EnhanceYourCalm, func(p *scripted, id uint32) {
			p.head(id, false, ":status", "200")
			for range 2 * maxQuiet {
				p.data(id, false, "")
			}
		}},
		"a flood of priorities": {EnhanceYourCalm, func(p *scripted, id uint32) {
			for range 2 * maxQuiet {
				_ = p.WritePriority(id, http2.PriorityParam{Weight: 1})
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer patient.NoLeak(t, goleak.IgnoreCurrent())
			t.Run("", func(t *testing.T) {
				told := make(chan http2.ErrCode, 1)
				c, stats := scriptedBackend(t, func(p *scripted) {
					id := p.request()
					var wg sync.WaitGroup
					wg.Go(func() {
						away, _ := p.drain()
						told <- away
					})
					tc.do(p, id)
					wg.Wait()
				})
				_, _, _, err := do(c, request("GET", "/"), nil)
				if f, ok := errors.AsType[*wire.BackendError](err); !ok && name != "content beyond the end" || ok && f.Kind != wire.BackendBroken {
					t.Errorf("%v", err)
				}
				// Of a flood there is more on the way, which destroys what was sent last.
				if away := <-told; away != http2.ErrCode(tc.code) && (away != http2.ErrCodeNo || tc.code != EnhanceYourCalm) {
					t.Errorf("the backend was told %v, want %v", away, tc.code)
				}
				if c.Room() != 0 || stats.Faults.Load() != 1 {
					t.Errorf("room for %d streams, %d faults; want the connection to have ended", c.Room(), stats.Faults.Load())
				}
			})
		})
	}
}

// A backend that sends more than a stream's window loses the stream; one that sends more than the connection's, everything.
func TestBackendSendsBeyondItsWindow(t *testing.T) {
	c, stats := scriptedBackend(t, func(p *scripted) {
		id := p.request()
		p.head(id, false, ":status", "200")
		for range streamWindow/10_000 + 1 {
			p.data(id, false, string(make([]byte, 10_000)))
		}
		id = p.request()
		p.head(id, true, ":status", "200")
		p.drain()
	})
	if !c.Reserve() {
		t.Fatal("no stream")
	}
	var res message.Head
	s, failure := c.Do(nil, request("GET", "/"), nil, time.Time{}, &res)
	for stats.Malformed.Load() == 0 {
		runtime.Gosched()
	}
	if failure == nil {
		if p, _ := s.Body().InHand(); len(p) > streamWindow {
			t.Errorf("%d bytes are held", len(p))
		}
		s.Finish()
	}
	if _, _, _, err := do(c, request("GET", "/"), nil); err != nil {
		t.Error(err)
	}
}

// The backend shrinks its window while a body is on its way: no more is sent than it allows, and the rest when it allows it again.
func TestBackendShrinksItsWindow(t *testing.T) {
	const total = 100_000
	var got atomic.Int64
	c, _ := scriptedBackend(t, func(p *scripted) {
		id := p.request()
		_ = p.WriteWindowUpdate(0, 2*total)
		read := func(n int) {
			for sum := 0; sum < n; {
				f, err := await(p, func(*http2.DataFrame) bool { return true })
				if err != nil {
					return
				}
				sum += len(f.Data())
				got.Add(int64(len(f.Data())))
			}
		}
		read(40_000)                                           // the window, as SETTINGS gave it
		_ = p.WriteSettings(http2.Setting{ID: 4, Val: 10_000}) // 30,000 below zero
		_ = p.WriteWindowUpdate(id, 30_000)                    // zero
		_ = p.WritePing(false, [8]byte{1})                     // answered after all that was allowed
		f, err := await(p, func(f http2.Frame) bool {
			return f.Header().Type == http2.FramePing || f.Header().Type == http2.FrameData
		})
		if err != nil || f.Header().Type != http2.FramePing {
			p.t.Errorf("%v, %v: more was sent than the window allows", f, err)
			return
		}
		_ = p.WriteSettings(http2.Setting{ID: 4, Val: 60_000})
		read(50_000)
		_ = p.WriteWindowUpdate(id, total)
		read(total - 90_000)
		p.head(id, true, ":status", "200")
		p.drain()
	}, http2.Setting{ID: 4, Val: 40_000})
	req := request("PUT", "/")
	req.Length = total
	res, _, _, err := do(c, req, newPieces(strings.Repeat("x", total/2), strings.Repeat("y", total/2)))
	if err != nil || res.Status != 200 || got.Load() != total {
		t.Errorf("%v, %v after %d bytes", res, err, got.Load())
	}
}

// With one stream's window at zero, the others complete.
func TestBackendStarvesOneStream(t *testing.T) {
	c, _ := scriptedBackend(t, func(p *scripted) {
		for {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.MetaHeadersFrame:
				if f.PseudoValue("path") != "/starved" {
					_ = p.WriteWindowUpdate(f.StreamID, 10)
				}
			case *http2.DataFrame:
				if f.StreamEnded() {
					p.head(f.StreamID, true, ":status", "200")
				}
			}
		}
	}, http2.Setting{ID: 4, Val: 0})
	send := func(path string, deadline time.Time) *wire.BackendError {
		req := request("POST", path)
		req.Length = 10
		if !c.Reserve() {
			t.Fatal("no stream")
		}
		var res message.Head
		s, failure := c.Do(nil, req, newPieces("0123456789"), deadline, &res)
		if s != nil {
			s.Finish()
		}
		return failure
	}
	starved := make(chan *wire.BackendError, 1)
	go func() { starved <- send("/starved", time.Now().Add(time.Second)) }()
	for range 99 {
		if failure := send("/", time.Time{}); failure != nil {
			t.Fatal(failure)
		}
	}
	if f := <-starved; f == nil || f.Kind != wire.BackendTimeout {
		t.Errorf("%v", f)
	}
}

// A request that is still in memory when its connection breaks was not sent, and may be sent elsewhere. Then it must not leave after all, with the goodbye.
func TestBackendUnsentRequestsStayUnsent(t *testing.T) {
	c := unplugged()
	if _, ok := c.receive(AppendFrameHead(nil, 0, FrameSettings, 0, 0)); !ok {
		t.Fatal("SETTINGS are refused")
	}
	c.out, c.flushing = c.out[:0], true // somebody is at it
	c.Reserve()
	s, _, failure := c.open(nil, request("POST", "/"), nil, nil, true, nil, time.Time{})
	if failure != nil || len(c.out) == 0 {
		t.Fatal(failure)
	}
	if _, ok := c.receive(AppendFrameHead(nil, 0, FramePushPromise, 0, 1)); ok {
		t.Fatal("a push is taken")
	}
	if s.failure == nil || s.failure.Kind != wire.BackendStale {
		t.Errorf("the request failed with %v", s.failure)
	}
	if f, n, err := ParseFrame(c.out, DefaultFrameSize); f.Type != FrameGoAway || n != len(c.out) || err != nil {
		t.Errorf("%v comes first of %d bytes that leave, %v", f.Type, len(c.out), err)
	}
}

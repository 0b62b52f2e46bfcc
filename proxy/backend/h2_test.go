// What the tests of HTTP/2 share: backends that are scripted frame by frame.

package backend

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/patient"
)

// peer is one connection of a scripted backend of HTTP/2.
type peer struct {
	*http2.Framer
	c  net.Conn
	n  int // number of the connection
	mu sync.Mutex
	b  bytes.Buffer
	e  *hpack.Encoder
}

// serveHTTP2 runs a script on each connection, after the prefaces were exchanged. It is closed with the test.
func serveHTTP2(t testing.TB, script func(p *peer), settings ...http2.Setting) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				if p := newPeer(c, n, settings); p != nil {
					script(p)
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// newPeer exchanges prefaces.
func newPeer(c net.Conn, n int, settings []http2.Setting) *peer {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return nil
	}
	p := &peer{Framer: http2.NewFramer(c, c), c: c, n: n}
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.e = hpack.NewEncoder(&p.b)
	if p.WriteSettings(settings...) != nil {
		return nil
	}
	return p
}

// next returns the next frame that belongs to a request, and answers SETTINGS and PING. It returns nil at the end.
func (p *peer) next() http2.Frame {
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return nil
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = p.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				_ = p.WritePing(true, f.Data)
			}
		case *http2.WindowUpdateFrame:
		default:
			return f
		}
	}
}

// request returns the next request: the number of its stream, 0 at the end, and its path.
func (p *peer) request() (uint32, string) {
	for {
		switch f := p.next().(type) {
		case nil:
			return 0, ""
		case *http2.MetaHeadersFrame:
			return f.StreamID, f.PseudoValue("path")
		}
	}
}

// head sends a response's head, or trailers.
func (p *peer) head(stream uint32, end bool, fields ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.b.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = p.e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: p.b.Bytes(), EndHeaders: true, EndStream: end})
}

// answer sends a whole response.
func (p *peer) answer(stream uint32, content string) {
	p.head(stream, false, ":status", "200", "x-conn", string(rune('a'+p.n)))
	_ = p.WriteData(stream, true, []byte(content))
}

// politeHTTP2 answers every request with its path.
func politeHTTP2(p *peer) {
	for {
		id, path := p.request()
		if id == 0 {
			return
		}
		p.answer(id, path)
	}
}

// http2Backend acquires a backend of HTTP/2.
func http2Backend(o Options, endpoints ...netip.AddrPort) *Backend {
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	return NewRegistry(o).Acquire(Config{Key: "k", Endpoints: endpoints, Loopback: true, Protocol: HTTP2})
}

// leakFree runs a test and looks for goroutines left behind. What f gets lasts until its end.
func leakFree(t *testing.T, f func(t *testing.T)) {
	before := goleak.IgnoreCurrent()
	t.Run("", f)
	patient.NoLeak(t, before)
}

func has(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

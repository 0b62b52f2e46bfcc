// Requests over shared connections: how many there are, what is sent again, what WebSockets do, ALPN.

package backend

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

func TestSharedConnection(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		b := http2Backend(Options{}, serveHTTP2(t, politeHTTP2))
		defer b.Release()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				for j := range 50 {
					path := "/" + strconv.Itoa(i) + "/" + strconv.Itoa(j)
					var res Response
					if got, err := ask(b, get(path), nil, Timeouts{}, &res); got != path || err != nil {
						t.Errorf("%s: %q, %v", path, got, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := b.stats.Opened.Load(); n != 1 {
			t.Errorf("%d connections for 16 requests at once, want 1", n)
		}
		if s := &b.stats.HTTP2; s.Open.Load() != 1 || s.Active.Load() != 0 {
			t.Errorf("%d connections and %d streams are there, want 1 and 0", s.Open.Load(), s.Active.Load())
		}
		if n := b.stats.HTTP2.Streams.Load(); n != 800 {
			t.Errorf("%d streams, want 800", n)
		}
	})
}

// The backend's limit of streams is kept, and more connections are opened where it leaves no other way.
func TestSharedConnectionsByTheLimitOfStreams(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		var most atomic.Int32
		addr := serveHTTP2(t, func(p *peer) {
			open := int32(0)
			var waiting []uint32
			for {
				f := p.next()
				if f == nil {
					return
				}
				if h, ok := f.(*http2.MetaHeadersFrame); ok {
					open++
					most.Store(max(most.Load(), open))
					if waiting = append(waiting, h.StreamID); h.PseudoValue("path") == "/go" {
						for _, id := range waiting {
							open--
							p.answer(id, "x")
						}
						waiting = nil
					}
				}
			}
		}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3})
		b := http2Backend(Options{}, addr)
		defer b.Release()
		var wg sync.WaitGroup
		for range 9 {
			wg.Go(func() {
				var res Response
				if _, err := ask(b, get("/go"), nil, Timeouts{}, &res); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := most.Load(); n > 3 {
			t.Errorf("%d streams at once on a connection that allows 3", n)
		}
	})
}

// A request that the backend says it did not process is sent again, whatever its method; once its body was read it is not.
func TestSharedRefusals(t *testing.T) {
	refuse := func(away, late bool) func(p *peer) {
		return func(p *peer) {
			if p.n > 0 {
				politeHTTP2(p)
				return
			}
			id, _ := p.request()
			if late {
				p.next() // DATA: the body is being read
			}
			if away {
				_ = p.WriteGoAway(id-1, http2.ErrCodeNo, nil)
			} else {
				_ = p.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			}
			p.next()
		}
	}
	for _, tc := range []struct {
		name  string
		away  bool
		req   *message.Head
		body  *content
		t     Timeouts
		again bool
	}{
		{"GOAWAY, GET", true, get("/"), nil, Timeouts{}, true},
		{"GOAWAY, POST with its body in hand", true, post("POST", 4), &content{p: "body"}, Timeouts{}, true},
		{"GOAWAY, POST with its body to come", true, post("POST", 4), &content{p: "body", part: true}, Timeouts{}, false},
		{"REFUSED_STREAM, POST", false, post("POST", 0), nil, Timeouts{}, true},
		{"REFUSED_STREAM, but once only", false, post("POST", 0), nil, Timeouts{Single: true}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leakFree(t, func(t *testing.T) {
				b := http2Backend(Options{}, serveHTTP2(t, refuse(tc.away, tc.body != nil && tc.body.part)))
				defer b.Release()
				var body message.Body
				if tc.body != nil {
					body = tc.body
				}
				var res Response
				_, err := ask(b, tc.req, body, tc.t, &res)
				if tc.again && (err != nil || b.stats.Retried.Load() != 1) {
					t.Errorf("%v, want a retry", err)
				}
				if !tc.again && (result(err) != Refused || b.stats.Retried.Load() != 0) {
					t.Errorf("%v, want no retry and %v", err, Refused)
				}
			})
		})
	}
}

// A backend that refuses for ever is not asked for ever.
func TestSharedRefusalsEnd(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		b := http2Backend(Options{}, serveHTTP2(t, func(p *peer) {
			_ = p.WriteGoAway(0, http2.ErrCodeNo, nil)
			p.request()
		}))
		defer b.Release()
		var res Response
		_, err := ask(b, get("/"), nil, Timeouts{}, &res)
		if r := result(err); r != Refused && r != Broken && r != HandshakeFailed {
			t.Errorf("%v", err)
		}
	})
}

// After GOAWAY the streams that it spares go on; new requests use another connection.
func TestSharedGoAwaySparesStreams(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		spared := make(chan uint32, 1)
		finish := make(chan struct{})
		b := http2Backend(Options{}, serveHTTP2(t, func(p *peer) {
			if p.n > 0 {
				politeHTTP2(p)
				return
			}
			id, _ := p.request()
			_ = p.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			_ = p.WriteGoAway(id, http2.ErrCodeNo, nil)
			p.head(id, false, ":status", "200")
			spared <- id
			<-finish
			_ = p.WriteData(id, true, []byte("late"))
			p.next()
		}))
		defer b.Release()
		var first, second Response
		if err := b.RoundTrip(nil, get("/"), nil, Timeouts{}, &first); err != nil {
			t.Fatal(err)
		}
		defer first.Finish()
		<-spared
		patient.Until(t, "the connection is retired", func() bool { return b.stats.HTTP2.GoAways.Load() == 1 })
		if got, err := ask(b, get("/next"), nil, Timeouts{}, &second); got != "/next" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		close(finish)
		if p, err := first.Body.Next(); string(p) != "late" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
	})
}

// What does not speak HTTP/2 fails before a request is sent, and the next endpoint is tried.
func TestSharedNotHTTP2(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		s := serve(t, func(_ *server, _ int, c net.Conn, in *bufio.Reader) {
			_, _ = in.ReadString('\n')
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
			_, _ = io.Copy(io.Discard, in)
		})
		t.Cleanup(s.close)
		b := http2Backend(Options{}, s.addr)
		defer b.Release()
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != HandshakeFailed || !has(err, "does not speak HTTP/2") {
			t.Errorf("%v", err)
		}
		both := http2Backend(Options{}, s.addr, serveHTTP2(t, politeHTTP2))
		defer both.Release()
		for range 4 {
			if got, err := ask(both, get("/x"), nil, Timeouts{}, &res); got != "/x" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

// One that says nothing at all is given up after the handshake's time, with all who wait for it.
func TestSharedSilence(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		s := serve(t, func(_ *server, _ int, _ net.Conn, in *bufio.Reader) { _, _ = io.Copy(io.Discard, in) })
		t.Cleanup(s.close)
		b := http2Backend(Options{HandshakeTimeout: 50 * time.Millisecond}, s.addr)
		defer b.Release()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				var res Response
				if _, err := ask(b, get("/"), nil, Timeouts{}, &res); result(err) != HandshakeFailed {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
	})
}

// A client that leaves, or a timeout, ends the wait for a connection, and takes nobody else's away.
func TestSharedWaitEnds(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		addr := serveHTTP2(t, politeHTTP2)
		hold := make(chan struct{})
		b := http2Backend(Options{Dial: func(ctx context.Context, to netip.AddrPort, l bool) (net.Conn, error) {
			<-hold
			return dialTCP(ctx, to, l)
		}}, addr)
		defer b.Release()
		ctx, cancel := context.WithCancel(context.Background())
		left, stayed := make(chan error, 1), make(chan error, 1)
		go func() {
			var res Response
			left <- b.RoundTrip(&client{ctx: ctx}, get("/"), nil, Timeouts{}, &res)
		}()
		go func() {
			var res Response
			_, err := ask(b, get("/"), nil, Timeouts{}, &res)
			stayed <- err
		}()
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{Backend: 20 * time.Millisecond}, &res); result(err) != TimedOut {
			t.Errorf("%v, want a timeout", err)
		}
		cancel()
		if err := <-left; result(err) != ClientGone {
			t.Errorf("%v, want that the client is gone", err)
		}
		close(hold)
		if err := <-stayed; err != nil {
			t.Error(err)
		}
	})
}

// A WebSocket is opened by extended CONNECT where the backend takes it; else there is an answer that says why not.
func TestSharedWebSocket(t *testing.T) {
	upgrade := func() *message.Head {
		h := get("/socket")
		h.Upgrade = []byte("websocket")
		h.Fields.Add([]byte("Sec-WebSocket-Key"), []byte("dGhlIHNhbXBsZSBub25jZQ=="))
		return h
	}
	leakFree(t, func(t *testing.T) {
		heads := make(chan *http2.MetaHeadersFrame, 1)
		b := http2Backend(Options{}, serveHTTP2(t, func(p *peer) {
			h, ok := p.next().(*http2.MetaHeadersFrame)
			if !ok {
				return
			}
			heads <- h
			p.head(h.StreamID, false, ":status", "200")
			for {
				d, ok := p.next().(*http2.DataFrame)
				if !ok {
					return
				}
				_ = p.WriteData(d.StreamID, d.StreamEnded(), d.Data())
			}
		}, http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}))
		defer b.Release()
		var res Response
		if err := b.RoundTrip(nil, upgrade(), nil, Timeouts{}, &res); err != nil {
			t.Fatal(err)
		}
		defer res.Finish()
		h := <-heads
		if h.PseudoValue("method") != "CONNECT" || h.PseudoValue("protocol") != "websocket" || h.PseudoValue("path") != "/socket" {
			t.Errorf("the backend got %v", h.Fields)
		}
		if res.Head.Status != 101 || string(res.Head.Fields.Get("sec-websocket-accept")) != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" || res.Duplex == nil {
			t.Fatalf("%d, accept %q", res.Head.Status, res.Head.Fields.Get("sec-websocket-accept"))
		}
		if _, err := io.WriteString(res.Duplex, "hello"); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 3)
		if n, err := io.ReadFull(res.Duplex, p); n != 3 || err != nil {
			t.Errorf("%q, %v", p[:n], err)
		}
		if err := res.Duplex.CloseWrite(); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(res.Duplex); string(rest) != "lo" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
	leakFree(t, func(t *testing.T) {
		b := http2Backend(Options{}, serveHTTP2(t, politeHTTP2))
		defer b.Release()
		var res Response
		if err := b.RoundTrip(nil, upgrade(), nil, Timeouts{}, &res); result(err) != Broken || !has(err, "RFC 8441") {
			t.Errorf("%v", err)
		}
	})
}

// certified makes a certificate for a.example and the pool that trusts it.
func certified(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"a.example"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Over TLS the version is what ALPN chose: HTTP/2 where it is asked for alone or offered and taken, HTTP/1.1 for upgrades and for backends that know
// nothing else.
func TestSharedALPN(t *testing.T) {
	cert, pool := certified(t)
	for _, tc := range []struct {
		name     string
		protocol Protocol
		offers   []string
		upgrade  bool
		want     string // the protocol of the connection, or a part of the error
	}{
		{"HTTP/2", HTTP2, []string{"h2", "http/1.1"}, false, "h2"},
		{"HTTP/2 that the backend does not speak", HTTP2, []string{"http/1.1"}, false, "no application protocol"},
		{"HTTP/2, no ALPN", HTTP2, nil, false, "does not choose h2"},
		{"auto", Auto, []string{"h2", "http/1.1"}, false, "h2"},
		{"auto, HTTP/1.1 only", Auto, []string{"http/1.1"}, false, "http/1.1"},
		{"auto, no ALPN", Auto, nil, false, ""},
		{"auto, upgrade", Auto, []string{"h2", "http/1.1"}, true, "http/1.1"},
		{"HTTP/1.1", HTTP1, []string{"h2", "http/1.1"}, false, "http/1.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leakFree(t, func(t *testing.T) {
				s := serve(t, func(s *server, n int, c net.Conn, _ *bufio.Reader) {
					secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: tc.offers})
					if secured.Handshake() != nil {
						return
					}
					chosen := secured.ConnectionState().NegotiatedProtocol
					if chosen != "h2" {
						in := bufio.NewReader(secured)
						for s.head(in) != "" {
							_, _ = io.WriteString(secured, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(chosen))+"\r\n\r\n"+chosen)
						}
						return
					}
					if p := newPeer(secured, n, nil); p != nil {
						for id, _ := p.request(); id != 0; id, _ = p.request() {
							p.answer(id, chosen)
						}
					}
				})
				t.Cleanup(s.close)
				b := NewRegistry(Options{Dial: dialTCP, IdleTimeout: 100 * time.Millisecond}).Acquire(Config{
					Key: "k", Endpoints: []netip.AddrPort{s.addr}, Loopback: true, Protocol: tc.protocol,
					TLS: &TLS{Config: &tls.Config{ServerName: "a.example", RootCAs: pool, MinVersion: tls.VersionTLS12}, Policy: "the policy"},
				})
				defer b.Release()
				for range 3 {
					req := get("/")
					if tc.upgrade {
						req.Upgrade = []byte("websocket")
					}
					var res Response
					got, err := ask(b, req, nil, Timeouts{}, &res)
					if err != nil && !has(err, tc.want) || err == nil && got != tc.want {
						t.Errorf("%q, %v, want %q", got, err, tc.want)
					}
				}
			})
		})
	}
}

// A backend that wants to have a request over HTTP/1.1 gets it so, if that is its to choose, and the next one over HTTP/2 again.
func TestSharedHTTP1Required(t *testing.T) {
	cert, pool := certified(t)
	for _, protocol := range []Protocol{Auto, HTTP2} {
		leakFree(t, func(t *testing.T) {
			s := serve(t, func(s *server, n int, c net.Conn, _ *bufio.Reader) {
				secured := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
				if secured.Handshake() != nil {
					return
				}
				if secured.ConnectionState().NegotiatedProtocol == "http/1.1" {
					for in := bufio.NewReader(secured); s.head(in) != ""; {
						_, _ = io.WriteString(secured, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none")
					}
					return
				}
				p := newPeer(secured, n, nil)
				if p == nil {
					return
				}
				for id, path := p.request(); id != 0; id, path = p.request() {
					if path == "/own" {
						_ = p.WriteRSTStream(id, http2.ErrCodeHTTP11Required)
					} else {
						p.answer(id, "two")
					}
				}
			})
			t.Cleanup(s.close)
			b := NewRegistry(Options{Dial: dialTCP, IdleTimeout: 100 * time.Millisecond}).Acquire(Config{
				Key: "k", Endpoints: []netip.AddrPort{s.addr}, Loopback: true, Protocol: protocol,
				TLS: &TLS{Config: &tls.Config{ServerName: "a.example", RootCAs: pool, MinVersion: tls.VersionTLS12}, Policy: "the policy"},
			})
			defer b.Release()
			for _, path := range []string{"/", "/own", "/"} {
				var res Response
				got, err := ask(b, get(path), nil, Timeouts{}, &res)
				switch {
				case path == "/own" && protocol == HTTP2:
					if result(err) != Refused || !has(err, "HTTP_1_1_REQUIRED") {
						t.Errorf("HTTP/2 alone: %q, %v", got, err)
					}
				case err != nil || got != map[string]string{"/": "two", "/own": "one"}[path]:
					t.Errorf("%s: %q, %v", path, got, err)
				}
			}
		})
	}
}

// Idle connections are closed, and so are those of endpoints that go.
func TestSharedConnectionsEnd(t *testing.T) {
	leakFree(t, func(t *testing.T) {
		ended := make(chan struct{}, 2)
		addr := serveHTTP2(t, func(p *peer) {
			politeHTTP2(p)
			ended <- struct{}{}
		})
		b := http2Backend(Options{SharedIdleTimeout: time.Second}, addr)
		var res Response
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Error(err)
		}
		<-ended
		if _, err := ask(b, get("/"), nil, Timeouts{}, &res); err != nil {
			t.Error(err)
		}
		b.Release()
		<-ended
	})
}

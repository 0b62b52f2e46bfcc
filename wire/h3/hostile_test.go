// Clients that mean harm: what they may make the server hold, send and do.

package h3

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// ended waits for the end of a client's connection and says by which error of the server's.
func (c *rawClient) ended() ErrCode {
	c.t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		c.t.Fatal("the connection goes on")
	}
	broken, ok := errors.AsType[*quic.ApplicationError](context.Cause(c.Context()))
	if !ok {
		c.t.Fatalf("ended with %v", context.Cause(c.Context()))
	}
	return ErrCode(broken.ErrorCode)
}

// deaf is a socket whose owner does not hear what is sent to it, as one who lies about its address does not.
type deaf struct {
	net.PacketConn
	sent, received atomic.Int64
}

func (d *deaf) WriteTo(p []byte, to net.Addr) (int, error) {
	d.sent.Add(int64(len(p)))
	return d.PacketConn.WriteTo(p, to)
}

func (d *deaf) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := d.PacketConn.ReadFrom(p)
		if err != nil {
			return n, from, err
		}
		d.received.Add(int64(n))
	}
}

// half begins a handshake and never goes on with it.
func (s *server) half() *deaf {
	s.t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	d := &deaf{PacketConn: pc}
	tr := &quic.Transport{Conn: d}
	ctx, cancel := context.WithCancel(s.t.Context())
	var dialling sync.WaitGroup
	dialling.Go(func() {
		_, _ = tr.Dial(ctx, net.UDPAddrFromAddrPort(s.addr), &tls.Config{InsecureSkipVerify: true, ServerName: "example.test", NextProtos: []string{"h3"}}, nil)
	})
	s.t.Cleanup(func() {
		cancel()
		dialling.Wait()
		_ = tr.Close()
		_ = pc.Close()
	})
	return d
}

// Whoever has not shown to be at an address gets no more than three times what came from there, however long the certificate.
func TestNoAmplification(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	for i := range 500 {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("a-long-name-that-does-not-compress-%d.example.test", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := startWith(t, nil, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, Options{}, patience)
	d := s.half()
	patient.Until(t, "an answer", func() bool { return d.received.Load() > 1200 })
	patient.Until(t, "a second attempt", func() bool { return d.sent.Load() > 2*1200 })
	const packet = 1452 // by which the library may exceed the limit
	if received, sent := d.received.Load(), d.sent.Load(); received > 3*sent+packet {
		t.Errorf("%d bytes came for %d", received, sent)
	}
}

// While many handshakes stand still, clients have to prove their address, and are served.
func TestManyHandshakesDemandProofOfTheAddress(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") })
	for range maxHandshakes {
		s.half()
	}
	last := time.Now()
	patient.Until(t, "that many handshakes", func() bool {
		if time.Since(last) > time.Second { // the first of them are given up by and by
			s.half()
			last = time.Now()
		}
		return s.handshakes.Load() >= maxHandshakes
	})
	r := s.dial().open()
	r.send(get("/"))
	r.end()
	if got := r.fate(); got != "200" || s.Metrics().Retried.Load() == 0 {
		t.Errorf("%s, %d retries", got, s.Metrics().Retried.Load())
	}
	if open := s.Metrics().Connections.Load(); open != 1 {
		t.Errorf("%d connections: handshakes are none", open)
	}
}

// Beyond its limit an address gets no connection, until one of its connections has ended.
// A connection is not kept for a client that only sends PINGs; one with a request is.
func TestPingsKeepNoConnection(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	s := start(t, func(x wire.Exchange) {
		close(arrived)
		<-goOn
		say(x, 200, "late")
	})
	client := s.client()
	client.QUICConfig = &quic.Config{KeepAlivePeriod: 20 * time.Millisecond}
	answers := make(chan string, 1)
	go func() {
		_, text := do(t, client, s.request(http.MethodGet, "/", nil))
		answers <- text
	}()
	<-arrived
	var c *conn
	s.mu.Lock()
	for _, k := range s.sockets {
		for c = range k.conns {
		}
	}
	s.mu.Unlock()
	// later is when the timer goes off and nothing has begun or ended for long.
	later := func() {
		c.mu.Lock()
		c.rested = c.rested.Add(-time.Hour)
		c.mu.Unlock()
		c.lookAtRest()
	}
	later()
	close(goOn)
	if text := <-answers; text != "late" {
		t.Fatalf("%q", text)
	}
	patient.Until(t, "the request is done", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.active == 0
	})
	later()
	patient.Until(t, "the connection ends", func() bool { return s.Metrics().Connections.Load() == 0 })
}

func TestConnectionsOfAnAddressAreLimited(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") })
	address := netip.MustParseAddr("127.0.0.1")
	s.mu.Lock()
	s.perAddr[address] = maxPerAddress
	s.mu.Unlock()
	_, err := quic.DialAddr(t.Context(), s.addr.String(), &tls.Config{InsecureSkipVerify: true, ServerName: "example.test", NextProtos: []string{"h3"}}, nil)
	if refused, ok := errors.AsType[*quic.TransportError](err); !ok || refused.ErrorCode != quic.ConnectionRefused || s.Metrics().Refused.Load() == 0 {
		t.Errorf("%v, %d refused", err, s.Metrics().Refused.Load())
	}
	s = start(t, func(x wire.Exchange) { say(x, 200, "served") }) // to which no packet of the refused client's is under way
	s.mu.Lock()
	s.perAddr[address] = maxPerAddress - 1
	s.mu.Unlock()
	c := s.dial()
	_ = c.CloseWithError(quic.ApplicationErrorCode(NoError), "")
	patient.Until(t, "the connection is counted out", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.perAddr[address] == maxPerAddress-1
	})
}

// Making the server reset is as good as resetting.
func TestClientsThatHaveEverythingResetAreSentAway(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") })
	c := s.dial()
	for range 20 * restless {
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			break
		}
		_, _ = str.Write(get("/", "connection", "close"))
		_ = str.Close()
		str.CancelRead(quic.StreamErrorCode(NoError))
	}
	if got := c.ended(); got != ExcessiveLoad || s.flooded() != "reset" {
		t.Errorf("ended with %#x, floods: %s", uint64(got), s.flooded())
	}
}

// What means nothing may be sent, but not without end; nobody else notices.
func TestFloods(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := start(t, func(x wire.Exchange) {
		if string(x.Request().Target) == "/stuck" {
			<-release
			x.Abort(message.ClientGone)
			return
		}
		echoBody(x)
	})
	post := func(path string) []byte {
		return frame(frameHeaders, section(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", path))
	}
	request := func(first, again []byte) func(*rawClient, func() bool) {
		return func(c *rawClient, more func() bool) {
			r := c.open()
			r.send(first)
			for p := bytes.Repeat(again, 100); more(); {
				r.send(p)
			}
		}
	}
	good := s.dial()
	served := func() {
		t.Helper()
		r := good.open()
		r.send(append(post("/"), frame(frameData, []byte("hello"))...))
		r.end()
		if got := r.fate(); got != "200" {
			t.Errorf("beside a flood: %s", got)
		}
	}
	served()
	for _, f := range []struct {
		name, kind string
		send       func(c *rawClient, more func() bool)
	}{
		{"empty DATA frames", "empty", request(post("/"), frame(frameData, nil))},
		{"unknown frames behind a request", "other", request(post("/"), frame(0x21, nil))},
		{"unknown frames in front of a request", "other", request(nil, frame(0x21, []byte("x")))},
		{"unknown frames on the control stream", "other", func(c *rawClient, more func() bool) {
			control := c.uni(streamControl, frame(frameSettings, nil)...)
			for p := bytes.Repeat(frame(0x21, nil), 100); more(); {
				_, _ = control.Write(p)
			}
		}},
		{"GOAWAY again and again", "other", func(c *rawClient, more func() bool) {
			control := c.uni(streamControl, frame(frameSettings, nil)...)
			for p := bytes.Repeat(frame(frameGoAway, []byte{0}), 100); more(); {
				_, _ = control.Write(p)
			}
		}},
		{"unknown streams", "other", func(c *rawClient, more func() bool) {
			for more() {
				if u, err := c.OpenUniStreamSync(t.Context()); err == nil {
					_, _ = u.Write([]byte{0x21})
					_ = u.Close()
				}
			}
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			before := s.flooded()
			bad := s.dial()
			f.send(bad, func() bool { return bad.Context().Err() == nil })
			if got := bad.ended(); got != ExcessiveLoad {
				t.Errorf("ended with %#x", uint64(got))
			}
			if got := strings.TrimSpace(strings.TrimPrefix(s.flooded(), before)); got != f.kind {
				t.Errorf("floods: %q, want %q", got, f.kind)
			}
			served()
		})
	}
}

// QUIC lets a client open streams for those that were reset; the requests that are worked on stay few.
func TestRequestsThatAreWorkedOnAreLimited(t *testing.T) {
	var working, most atomic.Int64
	release := make(chan struct{})
	s := start(t, func(x wire.Exchange) {
		for n := working.Add(1); ; {
			if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
				break
			}
		}
		_, _ = x.Body().Next() // resets the stream
		<-release              // takes no notice of that
		working.Add(-1)
		x.Abort(message.ClientGone)
	})
	c := s.dial()
	post := frame(frameHeaders, section(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/", "content-length", "1"))
	wrong := frame(frameData, []byte("22"))
	for i := range int64(maxActive) {
		str, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = str.Write(post)
		patient.Until(t, "the request is worked on", func() bool { return working.Load() == i+1 })
		_, _ = str.Write(wrong)
		str.CancelRead(quic.StreamErrorCode(RequestCancelled))
	}
	str, err := c.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = str.Write(post)
	_, err = str.Read(make([]byte, 1))
	if broken, ok := errors.AsType[*quic.StreamError](err); !ok || broken.ErrorCode != quic.StreamErrorCode(RequestRejected) {
		t.Errorf("one more: %v", err)
	}
	close(release)
	if most.Load() > maxActive {
		t.Errorf("%d requests at once", most.Load())
	}
}

func TestBombsAreRefused(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		if b := x.Body(); b != nil {
			for {
				if _, err := b.Next(); err != nil {
					break
				}
			}
		}
		say(x, 200, "served")
	})
	// Index 85 of the static table stands for 76 bytes in two.
	indexed := append(appendSectionPrefix(nil), bytes.Repeat([]byte{0xff, 85 - 63}, 30_000)...)
	huffman := appendInteger(appendInteger(appendSectionPrefix(nil), 0x50, 4, 1), 0x80, 7, 60_000) // "0" in five bits
	huffman = append(huffman, make([]byte, 60_000)...)
	trailers := func(p []byte) []byte {
		return append(frame(frameHeaders, section(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/")), frame(frameHeaders, p)...)
	}
	excessive := fmt.Sprintf("stream %#x", uint64(ExcessiveLoad))
	for _, c := range []struct {
		name, want string
		sent       []byte
	}{
		{"short indices of long fields", "431", frame(frameHeaders, indexed)},
		{"strings that grow", "431", frame(frameHeaders, huffman)},
		{"a frame of a gigabyte", "431", quicvarint30(frameHeaders)},
		{"many fields", "431", get("/", strings.Split(strings.TrimSuffix(strings.Repeat("x,y,", 150), ","), ",")...)},
		{"long trailers", excessive, trailers(section("x", strings.Repeat("y", maxTrailers)))},
		{"trailers of short indices", excessive, trailers(append(appendSectionPrefix(nil), bytes.Repeat([]byte{0xff, 85 - 63}, 8000)...))},
		{"an integer without end", fmt.Sprintf("connection %#x", uint64(DecompressionFailed)), frame(frameHeaders, append([]byte{0, 0, 0xff}, bytes.Repeat([]byte{0xff}, 100)...))},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.dial().open()
			r.t = t
			r.send(c.sent)
			r.end()
			if got := r.fate(); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// quicvarint30 is the head of a frame that announces a gigabyte.
func quicvarint30(typ byte) []byte { return []byte{typ, 0xbf, 0xff, 0xff, 0xff, 0} }

// Uploads that nobody takes fill their own windows, and hold up no others.
func TestUploadsThatNobodyTakesHoldUpNoOthers(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := start(t, func(x wire.Exchange) {
		if string(x.Request().Target) == "/stuck" {
			<-release
			x.Abort(message.ClientGone)
			return
		}
		echoBody(x)
	})
	c := s.dial()
	const stuck = maxStreams - 1
	var full sync.WaitGroup
	for range stuck {
		r := c.open()
		r.headers(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/stuck")
		full.Go(func() { // until the window is full
			if err := r.SetWriteDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			n := 0
			for piece := make([]byte, 4<<10); n < 2<<20; n += len(piece) {
				if _, err := r.Write(frame(frameData, piece)); err != nil {
					break
				}
			}
			if n > 2*streamWindow {
				t.Errorf("%d bytes of an upload that nobody takes were taken", n)
			}
		})
	}
	full.Wait()
	r := c.open()
	want := strings.Repeat("on its way ", 20_000)
	r.headers(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/")
	go func() {
		r.send(frame(frameData, []byte(want)))
		r.end()
	}()
	if got := r.fate(); got != "200" {
		t.Fatal(got)
	}
	if text, err := r.content(); err != nil || text != want {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// A client that does not read gets no more than its window; nothing else piles up.
func TestAClientThatDoesNotReadHoldsUpItsResponse(t *testing.T) {
	var taken atomic.Int64
	ended := make(chan error, 1)
	s := start(t, func(x wire.Exchange) {
		ended <- x.Respond(&message.Head{Status: 200, Length: message.LengthUnknown}, &endless{taken: &taken})
	}, wire.Limits{WriteStall: 300 * time.Millisecond})
	r := s.dial().open()
	r.send(get("/"))
	r.end()
	if err := <-ended; err == nil {
		t.Error("an endless response has ended")
	}
	if n := taken.Load(); n > 4<<20 { // quic-go's clients grant 512 KiB
		t.Errorf("%d bytes were taken from the backend", n)
	}
}

// endless is a body without end.
type endless struct{ taken *atomic.Int64 }

func (e *endless) InHand() ([]byte, bool) { return nil, false }
func (e *endless) Next() ([]byte, error) {
	e.taken.Add(32 << 10)
	return make([]byte, 32<<10), nil
}
func (e *endless) Trailers() *message.Fields { return nil }
func (e *endless) Stop(message.Reason)       {}

// A tunnel may stand still for longer than a response.
func TestATunnelMayStandStill(t *testing.T) {
	const stall = 500 * time.Millisecond
	s := start(t, func(x wire.Exchange) {
		answer := message.Head{Status: 101, Length: message.LengthNone, Upgrade: []byte("websocket")}
		answer.Fields.Add([]byte("Sec-WebSocket-Accept"), []byte(acceptFor(x.Request())))
		d, err := x.Tunnel(&answer)
		if err != nil {
			t.Error(err)
			return
		}
		p := make([]byte, 10)
		for {
			n, err := d.Read(p)
			if err != nil {
				break
			}
			time.Sleep(stall * 3 / 2) // the deadline of the head's write would have passed
			if _, err := d.Write(p[:n]); err != nil {
				t.Errorf("after a pause: %v", err)
			}
		}
		_ = d.CloseWrite()
	}, wire.Limits{WriteStall: stall})
	r := s.dial().open()
	r.headers(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "example.test", ":path", "/", "sec-websocket-version", "13")
	if got := r.fate(); got != "200" {
		t.Fatal(got)
	}
	r.send(frame(frameData, []byte("ping")))
	r.end()
	if text, err := r.content(); text != "ping" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

// What a client sends before it knows that it should leave is served.
func TestRequestsThatCrossTheFirstGoAwayAreServed(t *testing.T) {
	for attempt := 1; !crosses(t); attempt++ {
		if attempt == 50 {
			t.Fatal("no request is served that crosses the first GOAWAY")
		}
	}
}

// crosses reports whether a request came soon enough behind the first GOAWAY to be served, as it does on a machine that is not busy.
func crosses(t *testing.T) bool {
	t.Helper()
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") })
	c := s.dial()
	control, err := c.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	in := reader{src: control, buf: make([]byte, 256)}
	if typ, err := in.varint(); err != nil || typ != streamControl {
		t.Fatal(typ, err)
	}
	next := func(want uint64) []byte {
		t.Helper()
		typ, err := in.next()
		if err != nil || typ != want {
			t.Fatalf("frame of type %d, %v", typ, err)
		}
		p, err := in.payload(nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	next(frameSettings)
	s.Follow(nil)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(t.Context(), s.addr)
	}()
	if p := next(frameGoAway); !bytes.Equal(p, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc}) {
		t.Errorf("the first GOAWAY says %x", p)
	}
	r := c.open()
	r.send(get("/"))
	r.end()
	if got := r.fate(); got != "200" {
		t.Logf("a request that crossed it: %s", got)
		_ = c.CloseWithError(quic.ApplicationErrorCode(NoError), "")
		<-drained
		return false
	}
	if p := next(frameGoAway); len(p) != 1 || p[0] != 4 {
		t.Errorf("the last GOAWAY says %x", p)
	}
	if _, err := c.OpenStream(); err != nil { // so late that the connection has ended
		<-drained
		return true
	}
	late := c.open()
	late.send(get("/"))
	late.end()
	if got := late.fate(); got != fmt.Sprintf("stream %#x", uint64(RequestRejected)) && got != fmt.Sprintf("connection %#x", uint64(NoError)) {
		t.Errorf("a request behind the last: %s", got)
	}
	<-drained
	return true
}

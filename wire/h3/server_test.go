// The server against a client of another make (quic-go's http3), through real UDP sockets on loopback.

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
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/listeners"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// Connections that were closed say goodbye for a moment longer.
func TestMain(m *testing.M) { patient.Main(m) }

// handler is a wire.Handler made of functions.
type handler struct {
	serve   func(wire.Exchange)
	mu      sync.Mutex
	refused []error
	faulty  bool // cannot be told of refused requests; guarded by mu
}

func (h *handler) Serve(x wire.Exchange) { h.serve(x) }

func (h *handler) Refused(_ *wire.Peer, _ int, why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, why)
	if h.faulty {
		panic("a fault")
	}
}

// certificate is a self-signed one for example.test.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// server is a Server under test.
type server struct {
	*Server
	t       testing.TB
	addr    netip.AddrPort
	handler *handler

	telling sync.Mutex // guards floods
	floods  []string   // kinds, one for each connection that was closed for one
}

// flooded is which kinds of floods there were.
func (s *server) flooded() string {
	s.telling.Lock()
	defer s.telling.Unlock()
	return strings.Join(s.floods, " ")
}

func start(t testing.TB, serve func(wire.Exchange), limits ...wire.Limits) *server {
	t.Helper()
	var o Options
	if len(limits) > 0 {
		o.Limits = limits[0]
	}
	return startWith(t, serve, certificate(t), o, patience)
}

// patience is how long the end of a request may take in most tests: on a busy machine it comes in another packet.
const patience = time.Minute

// startWith starts a server with more options, and another endWait.
func startWith(t testing.TB, serve func(wire.Exchange), cert tls.Certificate, o Options, wait time.Duration) *server {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}
	s := &server{t: t, handler: &handler{serve: serve}}
	o.Listen, o.Handler, o.TLS = listeners.ListenUDP, s.handler, func(netip.AddrPort) *tls.Config { return config }
	o.Flood = func(kind string) {
		s.telling.Lock()
		defer s.telling.Unlock()
		s.floods = append(s.floods, kind)
	}
	s.Server = NewServer(o)
	s.endWait = wait
	t.Cleanup(s.Close)
	s.bind()
	return s
}

// bind gives the server a socket. Another test may take a port that was found to be free: then it is another one.
func (s *server) bind() {
	s.t.Helper()
	for attempt := 0; ; attempt++ {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			s.t.Fatal(err)
		}
		s.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
		pc.Close()
		_, failed := s.Follow([]netip.AddrPort{s.addr})
		if failed == nil {
			return
		}
		if attempt == 10 {
			s.t.Fatal(failed)
		}
	}
}

// client returns a client whose connections all go to the server.
func (s *server) client() *http3.Transport {
	t := &http3.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "example.test"},
		Dial: func(ctx context.Context, _ string, tlsConf *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			c, err := quic.DialAddrEarly(ctx, s.addr.String(), tlsConf, conf)
			if err == nil { // the transport forgets connections on which a request has failed
				s.t.Cleanup(func() { _ = c.CloseWithError(quic.ApplicationErrorCode(NoError), "") })
			}
			return c, err
		},
	}
	s.t.Cleanup(func() { _ = t.Close() })
	return t
}

func (s *server) request(method, path string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "https://example.test"+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func do(t *testing.T, c *http3.Transport, r *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := c.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

// say answers with a text.
func say(x wire.Exchange, status int, text string, fields ...string) {
	h := message.Head{Status: status, Length: int64(len(text))}
	for i := 0; i < len(fields); i += 2 {
		h.Fields.Add([]byte(fields[i]), []byte(fields[i+1]))
	}
	content := message.Text(text)
	_ = x.Respond(&h, &content) // the client's end says whether it went well
}

// describe writes down a request's head.
func describe(h *message.Head) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s length=%d upgrade=%q trailers=%v\n", h.Method, h.Scheme, h.Authority, h.Target, h.Length, h.Upgrade, h.Trailers)
	for i := range h.Fields.Len() {
		f := h.Fields.At(i)
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	return b.String()
}

func TestARequestAndItsResponse(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		p := x.Peer()
		if p.TLS == nil || p.TLS.ServerName != "example.test" || p.TLS.Protocol != "h3" || !p.Remote.IsValid() || p.Local.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("peer %+v", p)
		}
		if x.Body() != nil {
			t.Error("a GET without content has a body")
		}
		say(x, 201, describe(x.Request()), "X-Answer", "yes", "Set-Cookie", "a=b")
	})
	r := s.request("GET", "/a/b?c=d", nil)
	r.Header.Set("X-Odd", "very")
	r.Header["Cookie"] = []string{"a=1", "b=2", "c=3"}
	r.Header.Set("User-Agent", "test")
	r.Header.Set("Accept-Encoding", "identity")
	res, text := do(t, s.client(), r)
	if res.StatusCode != http.StatusCreated || res.ContentLength != int64(len(text)) || res.Header.Get("X-Answer") != "yes" || res.Header.Get("Set-Cookie") != "a=b" || res.Header.Get("Date") == "" {
		t.Errorf("response %v", res)
	}
	for _, want := range []string{"GET https example.test /a/b?c=d length=-1 ", "\nx-odd: very\n", "\ncookie: a=1; b=2; c=3\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func echoBody(x wire.Exchange) {
	h := message.Head{Status: 200, Length: x.Request().Length}
	if h.Length == message.LengthNone {
		h.Length = 0
	}
	_ = x.Respond(&h, x.Body()) // the client's end says whether it went well
}

func TestContentInBothDirections(t *testing.T) {
	s := start(t, echoBody)
	c := s.client()
	large := bytes.Repeat([]byte("0123456789abcdef"), 300_000)
	for name, body := range map[string]io.Reader{
		"small, of known length":   strings.NewReader("hello"),
		"small, of unknown length": io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")),
		"large, of known length":   bytes.NewReader(large),
		"large, of unknown length": io.MultiReader(bytes.NewReader(large)),
	} {
		want := "hello"
		if strings.HasPrefix(name, "large") {
			want = string(large)
		}
		res, text := do(t, c, s.request("POST", "/", body))
		if res.StatusCode != http.StatusOK || text != want {
			t.Errorf("%s: %d, %d bytes", name, res.StatusCode, len(text))
		}
	}
}

func TestTrailersInBothDirections(t *testing.T) {
	s := start(t, echoBody)
	r := s.request("POST", "/", io.MultiReader(strings.NewReader("content")))
	r.Trailer = http.Header{"X-Sum": nil}
	r.Body = &closing{Reader: strings.NewReader("content"), then: func() { r.Trailer.Set("X-Sum", "42") }}
	r.ContentLength = -1
	res, text := do(t, s.client(), r)
	if text != "content" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("%q, trailers %v", text, res.Trailer)
	}
}

// closing calls a function at the end of a body.
type closing struct {
	io.Reader
	then func()
}

func (c *closing) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		c.then()
	}
	return n, err
}

func (c *closing) Close() error { return nil }

func TestInterimResponses(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		h := message.Head{Status: 103}
		h.Fields.Add([]byte("Link"), []byte("</style.css>"))
		if err := x.Inform(&h); err != nil {
			t.Error(err)
		}
		say(x, 200, "done")
	})
	var got []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got = append(got, fmt.Sprint(code, h.Get("Link")))
		return nil
	}})
	res, _ := do(t, s.client(), s.request("GET", "/", nil).WithContext(ctx))
	if res.StatusCode != http.StatusOK || len(got) != 1 || got[0] != "103</style.css>" {
		t.Errorf("%d, interim %v", res.StatusCode, got)
	}
}

func TestContentIsAskedForBy100(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		p, err := x.Body().Next()
		if err != nil {
			t.Error(err)
		}
		say(x, 200, string(p))
	})
	r := s.dial().open()
	r.headers(":method", "POST", ":scheme", "https", ":authority", "example.test", ":path", "/", "expect", "100-continue")
	if got := r.response(); got != ":status: 100\n" {
		t.Fatalf("asked with %q", got)
	}
	r.send(append(appendFrameHead(nil, frameData, 7), "content"...))
	r.end()
	if got := r.response(); !strings.HasPrefix(got, ":status: 200\n") {
		t.Errorf("answered with %q", got)
	}
	if text, err := r.content(); err != nil || text != "content" {
		t.Errorf("content %q, %v", text, err)
	}
}

func TestResponsesWithoutContent(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		h := message.Head{Status: 200, Length: 5}
		switch string(x.Request().Target) {
		case "/204":
			h.Status, h.Length = 204, message.LengthNone
		case "/304":
			h.Status = 304
		}
		hello := message.Text("hello")
		_ = x.Respond(&h, &hello) // the client's end says whether it went well
	})
	c := s.client()
	for _, want := range []struct {
		method, path string
		status       int
		length       string
	}{{"HEAD", "/", 200, "5"}, {"GET", "/204", 204, ""}, {"GET", "/304", 304, "5"}} {
		res, text := do(t, c, s.request(want.method, want.path, nil))
		if res.StatusCode != want.status || text != "" || res.Header.Get("Content-Length") != want.length {
			t.Errorf("%s %s: %d %q %v", want.method, want.path, res.StatusCode, text, res.Header)
		}
	}
}

// broken is a body that breaks off.
type broken struct{ message.Text }

func (b *broken) InHand() ([]byte, bool) { return b.Text, false }

func (b *broken) Next() ([]byte, error) {
	if p, err := b.Text.Next(); err == nil {
		return p, nil
	}
	return nil, errors.New("the backend is gone")
}

func TestAResponseThatBreaksOffDoesNotEndCleanly(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		length := message.LengthUnknown
		if string(x.Request().Target) == "/short" {
			length = 100
		}
		_ = x.Respond(&message.Head{Status: 200, Length: length}, &broken{message.Text("half")}) // the client's end says
	})
	for _, path := range []string{"/", "/short"} {
		res, err := s.client().RoundTrip(s.request("GET", path, nil))
		if err != nil {
			continue
		}
		if text, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("%s ended cleanly with %q", path, text)
		}
		res.Body.Close()
	}
}

type canceller chan message.Reason

func (c canceller) Cancel(r message.Reason) {
	select {
	case c <- r:
	default:
	}
}

func TestAClientThatLeavesCancels(t *testing.T) {
	came, ended := make(chan struct{}), make(chan struct{})
	s := start(t, func(x wire.Exchange) {
		defer close(ended)
		left := make(canceller, 1)
		x.Watch(left)
		close(came)
		if r := <-left; r != message.ClientGone {
			t.Errorf("cancelled because of %v", r)
		}
		<-x.Context().Done()
		x.Watch(nil)
		x.Abort(message.ClientGone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-came
		cancel()
	}()
	if res, err := s.client().RoundTrip(s.request("GET", "/", nil).WithContext(ctx)); err == nil {
		res.Body.Close()
		t.Error("answered")
	}
	<-ended
}

func TestAnEarlyAnswerStopsTheUpload(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 413, "too much") })
	res, text := do(t, s.client(), s.request("POST", "/", io.MultiReader(bytes.NewReader(make([]byte, 8<<20)))))
	if res.StatusCode != http.StatusRequestEntityTooLarge || text != "too much" {
		t.Errorf("%d %q", res.StatusCode, text)
	}
}

func TestTooLargeHeads(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "served") }, wire.Limits{HeadBytes: 8 << 10, Fields: 20, TargetBytes: 1 << 10})
	c := s.client()
	for name, change := range map[string]func(*http.Request){
		"431 field":  func(r *http.Request) { r.Header.Set("X-Big", strings.Repeat("~", 9<<10)) },
		"431 fields": func(r *http.Request) { r.Header["X-Many"] = strings.Split(strings.Repeat("a,", 40), ",") },
		"414 target": func(r *http.Request) { r.URL.Path = "/" + strings.Repeat("a", 2<<10) },
	} {
		r := s.request("GET", "/", nil)
		change(r)
		if res, text := do(t, c, r); fmt.Sprint(res.StatusCode) != name[:3] {
			t.Errorf("%s: %d %q", name, res.StatusCode, text)
		}
	}
	if _, text := do(t, c, s.request("GET", "/", nil)); text != "served" {
		t.Errorf("afterwards: %q", text)
	}
}

func TestAPanicEndsOneRequest(t *testing.T) {
	s := start(t, func(x wire.Exchange) {
		if string(x.Request().Target) == "/panic" {
			panic("oh")
		}
		say(x, 200, "well")
	})
	c := s.client()
	if res, err := c.RoundTrip(s.request("GET", "/panic", nil)); err == nil {
		res.Body.Close()
		t.Error("answered")
	}
	if _, text := do(t, c, s.request("GET", "/", nil)); text != "well" {
		t.Errorf("afterwards: %q", text)
	}
}

func TestAPanicOfTheWireEndsOneConnection(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, "well") })
	s.handler.mu.Lock()
	s.handler.faulty = true
	s.handler.mu.Unlock()
	other := s.dial()
	for _, c := range []struct {
		name string
		want ErrCode
		do   func(c *rawClient)
	}{
		{"a request is refused", InternalError, func(c *rawClient) {
			r := c.open()
			r.headers(":method", "GET", ":method", "GET")
			r.end()
		}},
		{"a request breaks its connection", FrameUnexpected, func(c *rawClient) { c.open().send(frame(frameGoAway, []byte{0})) }},
		{"the control stream ends", ClosedCriticalStream, func(c *rawClient) { _ = c.uni(streamControl, frame(frameSettings, nil)...).Close() }},
	} {
		client := s.dial()
		c.do(client)
		if got := client.ended(); got != c.want {
			t.Errorf("%s: ended with %#x, want %#x", c.name, uint64(got), uint64(c.want))
		}
		for _, client := range []*rawClient{other, s.dial()} {
			r := client.open()
			r.send(get("/"))
			r.end()
			if got := r.fate(); got != "200" {
				t.Errorf("%s: then another client gets %s", c.name, got)
			}
		}
	}
}

func TestDrainLetsRequestsFinishAndTakesNoMore(t *testing.T) {
	came, answer := make(chan struct{}, 1), make(chan struct{})
	s := start(t, func(x wire.Exchange) {
		if string(x.Request().Target) == "/slow" {
			came <- struct{}{}
			<-answer
		}
		say(x, 200, "answered")
	})
	c := s.client()
	slow := make(chan string, 1)
	go func() {
		res, err := c.RoundTrip(s.request("GET", "/slow", nil))
		if err != nil {
			slow <- err.Error()
			return
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body) // what came of it is compared
		slow <- string(text)
	}()
	<-came
	gone, _ := s.Follow(nil)
	if len(gone) != 1 || s.Serving(s.addr) {
		t.Errorf("gone %v, serving %v", gone, s.Serving(s.addr))
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.Drain(t.Context(), s.addr)
	}()
	select {
	case <-drained:
		t.Error("drained with a request under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(answer)
	if text := <-slow; text != "answered" {
		t.Errorf("the request under way: %q", text)
	}
	<-drained
	// The address is free again, and can be served again, as soon as nobody else on this machine happens to have it.
	patient.Until(t, "the address is free", func() bool {
		_, failed := s.Follow([]netip.AddrPort{s.addr})
		return failed == nil
	})
	if _, text := do(t, s.client(), s.request("GET", "/", nil)); text != "answered" {
		t.Errorf("afterwards: %q", text)
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	s := start(t, func(x wire.Exchange) { say(x, 200, string(x.Request().Target)) })
	c := s.client()
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 100 {
				path := fmt.Sprintf("/%d/%d", worker, i)
				res, err := c.RoundTrip(s.request("GET", path, nil))
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(text) != path {
					t.Errorf("%s answered with %q, %v", path, text, err)
				}
			}
		})
	}
	all.Wait()
}

// With early data, a request that is not safe waits for the end of the handshake, and one that is says that it came early.
func TestEarlyData(t *testing.T) {
	if raceEnabled {
		t.Skip("quic-go's client opens a stream while it takes in the server's parameters, and has no lock for both")
	}
	s := startWith(t, func(x wire.Exchange) {
		complete := false
		select {
		case <-x.(*exchange).c.quic.HandshakeComplete():
			complete = true
		default:
		}
		say(x, 200, fmt.Sprintf("%s complete=%v early=%s", x.Request().Method, complete, x.Request().Fields.Get("early-data")))
	}, certificate(t), Options{EarlyData: true}, patience)
	client := &tls.Config{
		InsecureSkipVerify: true, ServerName: "example.test", NextProtos: []string{"h3"}, ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	connect := func() *rawClient {
		c, err := quic.DialAddrEarly(t.Context(), s.addr.String(), client, &quic.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseWithError(quic.ApplicationErrorCode(NoError), "") })
		return &rawClient{t, c}
	}
	ask := func(c *rawClient, method string) string {
		r := c.open()
		r.headers(":method", method, ":scheme", "https", ":authority", "example.test", ":path", "/")
		r.end()
		if got := r.fate(); got != "200" {
			t.Fatalf("%s: %s", method, got)
		}
		text, err := r.content()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ask(connect(), "GET") // leaves a ticket
	early := 0
	for range 10 {
		c := connect()
		if text := ask(c, "POST"); text != "POST complete=true early=" {
			t.Fatalf("a request that changes something was answered early: %s", text)
		}
		c = connect()
		text := ask(c, "GET")
		if c.ConnectionState().Used0RTT {
			early++
		}
		if text == "GET complete=false early=" { // between the look that decides and the handler's the handshake may have ended
			t.Fatalf("answered %s", text)
		}
	}
	if early == 0 {
		t.Error("no connection used early data: the test shows nothing")
	}
}

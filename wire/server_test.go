// What all tests of the server share: a handler made of a function, a server on either transport, and clients that write raw bytes.

package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

func TestMain(m *testing.M) { patient.Main(m) }

// patience bounds every wait of a test that does not hang.
const patience = 30 * time.Second

// refusal is what a handler was told of a request that it never saw.
type refusal struct {
	status int
	why    error
}

// funcHandler is a Handler made of a function.
type funcHandler struct {
	serve   func(Exchange)
	refused chan refusal
}

func (h *funcHandler) Serve(x Exchange) { h.serve(x) }
func (h *funcHandler) Refused(_ *Peer, status int, why error) {
	h.refused <- refusal{status, why}
}

// testServer is a server with its listener.
type testServer struct {
	*Server
	t       testing.TB
	ln      net.Listener
	handler *funcHandler
	conns   sync.WaitGroup
	dressed func(net.Conn) net.Conn // returns what is served, or nil if that fails
}

// run runs a test once on each transport.
func run(t *testing.T, f func(t *testing.T, mode Transport)) {
	t.Helper()
	for name, mode := range map[string]Transport{"raw": Raw, "portable": Portable} {
		t.Run(name, func(t *testing.T) { f(t, mode) })
	}
}

// serve starts a server for a test and ends it with the test.
func serve(t testing.TB, mode Transport, lim Limits, h func(Exchange)) *testServer {
	t.Helper()
	s := listen(t, mode, lim, h)
	s.conns.Go(s.accept)
	return s
}

func listen(t testing.TB, mode Transport, lim Limits, h func(Exchange)) *testServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handler := &funcHandler{serve: h, refused: make(chan refusal, 1000)}
	s := &testServer{t: t, ln: ln, handler: handler}
	s.Server = NewServer(Options{Handler: handler, Limits: lim, Transport: mode})
	t.Cleanup(func() {
		_ = ln.Close()
		s.Close()
		s.conns.Wait()
	})
	return s
}

func (s *testServer) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.conns.Go(func() {
			if s.dressed != nil {
				if c = s.dressed(c); c == nil {
					return
				}
			}
			s.ServeConn(c, s.socket(), nil)
		})
	}
}

func (s *testServer) socket() netip.AddrPort { return s.ln.Addr().(*net.TCPAddr).AddrPort() }

// ask connects, sends, and waits for the first byte of the answer. A connection that was idle for too long before the bytes came is another try.
func (s *testServer) ask(request string) *client {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		k := s.dial()
		if _, err := io.WriteString(k.TCPConn, request); err != nil {
			continue
		}
		if _, err := k.r.Peek(1); err == nil {
			return k
		}
	}
	s.t.Fatal("no answer")
	return nil
}

// client is a connection to a test server.
type client struct {
	*net.TCPConn
	t testing.TB
	r *bufio.Reader
}

func (s *testServer) dial() *client { return s.dialFor(s.t) }

func (s *testServer) dialFor(t testing.TB) *client {
	t.Helper()
	c, err := net.Dial("tcp", s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{TCPConn: c.(*net.TCPConn), t: t, r: bufio.NewReader(c)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, s); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// all returns everything up to the end of the connection, without Date fields.
func (c *client) all() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("reading up to the end: %v, after %q", err, b)
	}
	return undated(string(b))
}

// expect reads as many bytes as want has, without the Date field behind the status line of a final response, and compares.
func (c *client) expect(want string) {
	c.t.Helper()
	got, line := "", 0
	for len(got) < len(want) {
		b, err := c.r.ReadByte()
		if err != nil {
			c.t.Fatalf("reading: %v, after %.200q, want %.200q", err, got, want)
		}
		got += string(b)
		if b != '\n' {
			continue
		}
		if s := got[line:]; strings.HasPrefix(s, "HTTP/1.1 ") && s[9] != '1' && len(got) < len(want) {
			if date, err := c.r.ReadString('\n'); !strings.HasPrefix(date, "Date: ") {
				c.t.Fatalf("no Date behind %q: %q, %v", s, date, err)
			}
		}
		line = len(got)
	}
	if got != want {
		c.t.Fatalf("got %.200q, want %.200q", got, want)
	}
}

func undated(s string) string {
	for {
		i := strings.Index(s, "\r\nDate: ")
		if i < 0 {
			return s
		}
		j := strings.Index(s[i+2:], "\r\n")
		s = s[:i] + s[i+2+j:]
	}
}

// text is a body that is all in hand.
type text struct {
	s        string
	given    bool
	trailers *message.Fields
}

func (b *text) InHand() ([]byte, bool) {
	if b.given {
		return nil, true
	}
	return []byte(b.s), true
}

func (b *text) Next() ([]byte, error) {
	if b.given || b.s == "" {
		return nil, io.EOF
	}
	b.given = true
	return []byte(b.s), nil
}
func (b *text) Trailers() *message.Fields { return b.trailers }
func (b *text) Stop(message.Reason)       { b.given = true }

// pieces is a body that comes in pieces and may end in an error.
type pieces struct {
	next    func() ([]byte, error)
	stopped []message.Reason
}

func (b *pieces) InHand() ([]byte, bool)    { return nil, false }
func (b *pieces) Next() ([]byte, error)     { return b.next() }
func (b *pieces) Trailers() *message.Fields { return nil }
func (b *pieces) Stop(r message.Reason)     { b.stopped = append(b.stopped, r) }

// list gives the pieces and then err.
func list(err error, p ...string) *pieces {
	return &pieces{next: func() ([]byte, error) {
		if len(p) == 0 {
			return nil, err
		}
		b := []byte(p[0])
		p = p[1:]
		return b, nil
	}}
}

// respond answers with a body of known length.
func respond(x Exchange, status int, body string) {
	h := message.Head{Status: status, Length: int64(len(body))}
	_ = x.Respond(&h, &text{s: body})
}

// content reads a whole body.
func content(b message.Body) (string, error) {
	if b == nil {
		return "", nil
	}
	var s strings.Builder
	for {
		p, err := b.Next()
		if errors.Is(err, io.EOF) {
			return s.String(), nil
		}
		if err != nil {
			return s.String(), err
		}
		s.Write(p)
	}
}

// echo answers with what it understood: method, authority, target, fields, content, trailers.
func echo(x Exchange) {
	r := x.Request()
	var b strings.Builder
	b.WriteString(string(r.Method) + " " + string(r.Authority) + " " + string(r.Target))
	for i := range r.Fields.Len() {
		b.WriteString("|" + string(r.Fields.At(i).Name) + "=" + string(r.Fields.At(i).Value))
	}
	s, err := content(x.Body())
	if err != nil {
		x.Abort(message.Reset)
		return
	}
	b.WriteString("|" + s)
	if x.Body() != nil {
		if f := x.Body().Trailers(); f != nil {
			for i := range f.Len() {
				b.WriteString("|" + string(f.At(i).Name) + "=" + string(f.At(i).Value))
			}
		}
	}
	b.WriteString("\n")
	respond(x, 200, b.String())
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive waits for a value.
func receive[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// What the tests of connections to backends share: a scripted backend, request bodies, a client that remembers.

package wire_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// backends runs a test on both transports, and looks for goroutines left behind.
func backends(t *testing.T, f func(t *testing.T, portable bool)) {
	for _, portable := range []bool{false, true} {
		name := "raw"
		if portable {
			name = "portable"
		}
		t.Run(name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			f(t, portable)
			patient.NoLeak(t, before)
		})
	}
}

// script is the backend's side of a connection, written down: what it reads and the bytes it says.
type script struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

// tcpPair returns the two ends of a connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// connect returns a connection and the other end of it.
func connect(t testing.TB, portable bool) (*wire.BackendConn, *script) {
	t.Helper()
	c, s := tcpPair(t)
	return wire.NewBackendConn(c, portable), &script{t, s, bufio.NewReader(s)}
}

// run plays a script beside the test and returns a function that waits for its end.
func (s *script) run(f func()) (wait func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	return func() { <-done }
}

// head reads a request's head and returns it.
func (s *script) head() string {
	var b strings.Builder
	for {
		line, err := s.in.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

// read reads exactly n bytes.
func (s *script) read(n int) string {
	p := make([]byte, n)
	n, _ = io.ReadFull(s.in, p)
	return string(p[:n])
}

// say sends pieces, with a pause between them so that they are likely to be read apart.
func (s *script) say(pieces ...string) {
	for i, p := range pieces {
		if i > 0 {
			time.Sleep(2 * time.Millisecond)
		}
		if _, err := io.WriteString(s, p); err != nil {
			return
		}
	}
}

// reset closes with RST.
func (s *script) reset() {
	_ = s.Conn.(*net.TCPConn).SetLinger(0)
	s.Close()
}

func request(method string, length int64) *message.Head {
	h := &message.Head{}
	h.Reset()
	h.Method, h.Scheme, h.Authority, h.Path = []byte(method), []byte("http"), []byte("shop.test"), []byte("/x")
	h.Length = length
	return h
}

// inHand is a request body that has arrived.
type inHand struct {
	p        string
	trailers *message.Fields
	given    atomic.Bool
}

func (b *inHand) InHand() ([]byte, bool) {
	if b.given.Load() {
		return nil, true
	}
	return []byte(b.p), true
}

func (b *inHand) Next() ([]byte, error) {
	if b.given.Load() {
		return nil, io.EOF
	}
	b.given.Store(true)
	return []byte(b.p), nil
}
func (b *inHand) Trailers() *message.Fields { return b.trailers }
func (b *inHand) Stop(message.Reason)       { b.given.Store(true) }

var errStopped = errors.New("stopped")

// stream is a request body whose pieces come through a channel: closed, it ends.
type stream struct {
	pieces   chan any // []byte or error
	first    []byte   // in hand
	asked    chan struct{}
	askOnce  sync.Once
	stopped  chan struct{}
	stopOnce sync.Once
	trailers *message.Fields
}

func newStream() *stream {
	return &stream{pieces: make(chan any), asked: make(chan struct{}), stopped: make(chan struct{})}
}

func (b *stream) InHand() ([]byte, bool) { return b.first, false }

func (b *stream) Next() ([]byte, error) {
	b.askOnce.Do(func() { close(b.asked) })
	if p := b.first; len(p) > 0 {
		b.first = nil
		return p, nil
	}
	select {
	case p, ok := <-b.pieces:
		if !ok {
			return nil, io.EOF
		}
		if err, bad := p.(error); bad {
			return nil, err
		}
		return p.([]byte), nil
	case <-b.stopped:
		return nil, errStopped
	}
}
func (b *stream) Trailers() *message.Fields { return b.trailers }
func (b *stream) Stop(message.Reason)       { b.stopOnce.Do(func() { close(b.stopped) }) }

// send gives the reader a piece, and reports whether it was taken.
func (b *stream) send(p any) bool {
	if s, ok := p.(string); ok {
		p = []byte(s)
	}
	select {
	case b.pieces <- p:
		return true
	case <-b.stopped:
		return false
	}
}

// exchange is a client's side that only remembers.
type exchange struct {
	wire.Exchange // nil: what is not defined here is not called

	deaf     bool
	mu       sync.Mutex
	informed []string
	watched  wire.Canceller
}

func (x *exchange) Inform(h *message.Head) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.deaf {
		return errStopped
	}
	x.informed = append(x.informed, string(wire.AppendResponseHead(nil, h, wire.Framing{}, 1)))
	return nil
}

func (x *exchange) Watch(c wire.Canceller) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watched = c
}

func (x *exchange) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.watched.Cancel(message.ClientGone)
}

func (x *exchange) Context() context.Context { return context.Background() }

// readAll reads a body to its end or an error.
func readAll(b message.Body) (string, error) {
	if b == nil {
		return "", nil
	}
	var all bytes.Buffer
	for {
		p, err := b.Next()
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(p)
	}
}

// never is the deadline of a test that would otherwise hang.
func never() time.Time { return time.Now().Add(time.Minute) }

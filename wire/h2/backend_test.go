// Tests of connections to backends against net/http's HTTP/2 server.

package h2

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
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

// standard serves h by net/http over h2c, and returns a connection to it.
func standard(tb testing.TB, h http.HandlerFunc) *BackendConn {
	tb.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	tb.Cleanup(s.Close)
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	c := NewBackendConn(nc, BackendOptions{})
	tb.Cleanup(c.Close)
	if err := c.Ready(nil); err != nil {
		tb.Fatal(err)
	}
	return c
}

func request(method, path string, fields ...string) *message.Head {
	h := &message.Head{}
	h.Reset()
	h.Method, h.Scheme, h.Authority, h.Path = []byte(method), []byte("https"), []byte("shop.example.com"), []byte(path)
	for i := 0; i < len(fields); i += 2 {
		h.Fields.Add([]byte(fields[i]), []byte(fields[i+1]))
	}
	return h
}

// pieces is a body that comes in pieces. What comes after the last is err, or the end.
type pieces struct {
	list     [][]byte
	whole    bool // all is in hand
	err      error
	trailers *message.Fields
	block    chan struct{} // Next waits for it after the last piece, if it is not nil
	once     sync.Once
	stopped  chan struct{}
}

func newPieces(list ...string) *pieces {
	b := &pieces{stopped: make(chan struct{})}
	for _, p := range list {
		b.list = append(b.list, []byte(p))
	}
	return b
}

func (b *pieces) InHand() ([]byte, bool) {
	if b.whole {
		return bytes.Join(b.list, nil), true
	}
	return nil, false
}

func (b *pieces) Next() ([]byte, error) {
	if len(b.list) == 0 {
		if b.block != nil {
			select {
			case <-b.block:
			case <-b.stopped:
				return nil, errors.New("stopped")
			}
		}
		if b.err != nil {
			return nil, b.err
		}
		return nil, io.EOF
	}
	p := b.list[0]
	b.list = b.list[1:]
	return p, nil
}
func (b *pieces) Trailers() *message.Fields { return b.trailers }
func (b *pieces) Stop(message.Reason)       { b.once.Do(func() { close(b.stopped) }) }

// do sends a request and reads the whole response.
func do(c *BackendConn, req *message.Head, body message.Body) (*message.Head, string, *message.Fields, error) {
	if !c.Reserve() {
		return nil, "", nil, errors.New("no stream")
	}
	var res message.Head
	s, failure := c.Do(nil, req, body, time.Time{}, &res)
	if failure != nil {
		return nil, "", nil, failure
	}
	defer s.Finish()
	content, trailers, err := readAll(s)
	kept := res
	kept.Fields = message.Fields{}
	for i := range res.Fields.Len() {
		f := res.Fields.At(i)
		kept.Fields.Add(bytes.Clone(f.Name), bytes.Clone(f.Value))
	}
	return &kept, content, trailers, err
}

func readAll(s *BackendStream) (string, *message.Fields, error) {
	body := s.Body()
	if body == nil {
		return "", nil, nil
	}
	var all strings.Builder
	for {
		p, err := body.Next()
		if errors.Is(err, io.EOF) {
			var trailers message.Fields
			if t := body.Trailers(); t != nil {
				for i := range t.Len() {
					trailers.Add(bytes.Clone(t.At(i).Name), bytes.Clone(t.At(i).Value))
				}
			}
			return all.String(), &trailers, nil
		}
		if err != nil {
			return all.String(), nil, err
		}
		all.Write(p)
	}
}

// mirrorHandler answers with what it received.
func mirrorHandler(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Sum")
	w.Header().Set("X-Proto", r.Proto)
	w.Header().Set("X-Path", r.RequestURI)
	w.Header().Set("X-Host", r.Host)
	w.Header().Set("X-Id", r.Header.Get("X-Id"))
	w.WriteHeader(http.StatusOK)
	h := sha256.New()
	_, _ = io.Copy(io.MultiWriter(w, h), r.Body)
	w.Header().Set("X-Sum", fmt.Sprintf("%x", h.Sum(nil)))
	if t := r.Trailer.Get("X-Tail"); t != "" {
		w.Header().Set("Trailer:X-Tail", t)
		w.Header().Set(http.TrailerPrefix+"X-Tail", t)
	}
}

func TestBackendExchange(t *testing.T) {
	defer patient.NoLeak(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		c := standard(t, mirrorHandler)
		res, content, _, err := do(c, request("GET", "/a", "X-Id", "7"), nil)
		if err != nil || res.Status != 200 || content != "" || string(res.Fields.Get("x-proto")) != "HTTP/2.0" ||
			string(res.Fields.Get("x-host")) != "shop.example.com" || string(res.Fields.Get("x-id")) != "7" {
			t.Errorf("GET: %v, %q, %v", res, content, err)
		}
		post := request("POST", "/b")
		post.HasQuery, post.Query, post.Length = true, []byte("q=1"), 10
		b := newPieces("0123456789")
		b.whole = true
		res, content, _, err = do(c, post, b)
		if err != nil || content != "0123456789" || string(res.Fields.Get("x-path")) != "/b?q=1" {
			t.Errorf("POST: %v, %q, %v", res, content, err)
		}
		stream := request("POST", "/c", "Trailer", "X-Tail")
		stream.Length = message.LengthUnknown
		b = newPieces("abc", "", "def")
		b.trailers = &message.Fields{}
		b.trailers.Add([]byte("X-Tail"), []byte("end"))
		_, content, trailers, err := do(c, stream, b)
		if err != nil || content != "abcdef" || string(trailers.Get("x-tail")) != "end" || !trailers.Has("x-sum") {
			t.Errorf("POST with trailers: %q, %v, %v", content, trailers, err)
		}
		res, content, _, err = do(c, request("HEAD", "/h"), nil)
		if err != nil || res.Status != 200 || content != "" {
			t.Errorf("HEAD: %v, %q, %v", res, content, err)
		}
	})
}

// A large body is sent and received at once, through windows that are much smaller.
func TestBackendLargeBodies(t *testing.T) {
	c := standard(t, mirrorHandler)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			piece := make([]byte, 100_000)
			for i := range piece {
				piece[i] = byte(rand.Uint32())
			}
			list, h := make([]string, 50), sha256.New()
			for i := range list {
				list[i] = string(piece)
				h.Write(piece)
			}
			req := request("PUT", "/large")
			req.Length = int64(len(piece) * len(list))
			_, content, trailers, err := do(c, req, newPieces(list...))
			if sum := sha256.Sum256([]byte(content)); err != nil || len(content) != int(req.Length) || !bytes.Equal(sum[:], h.Sum(nil)) {
				t.Errorf("%d bytes of %d, %v", len(content), req.Length, err)
			}
			if want := fmt.Sprintf("%x", h.Sum(nil)); trailers == nil || string(trailers.Get("x-sum")) != want {
				t.Error("the backend received something else")
			}
		})
	}
	wg.Wait()
}

// Many requests at once on one connection: every response belongs to its request.
func TestBackendResponsesAreNotMixedUp(t *testing.T) {
	c := standard(t, mirrorHandler)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 100 {
				id := fmt.Sprintf("%d-%d", i, j)
				req := request("POST", "/"+id, "X-Id", id)
				req.Length = message.LengthUnknown
				b := newPieces(id, strings.Repeat(id, rand.IntN(2000)))
				b.whole = rand.IntN(2) == 0
				want := string(bytes.Join(b.list, nil))
				res, content, _, err := do(c, req, b)
				if err != nil || string(res.Fields.Get("x-id")) != id || content != want {
					t.Errorf("%s: %v, %v", id, res, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := c.Load(); n != 0 {
		t.Errorf("%d streams in use after all", n)
	}
}

// A client that takes nothing of its response holds up nobody else.
func TestBackendSlowClientHoldsUpNobody(t *testing.T) {
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		n := 40 << 20
		if r.URL.Path == "/small" {
			n = 100_000
		}
		for n > 0 {
			k, err := w.Write(make([]byte, min(n, 64<<10)))
			if err != nil {
				return
			}
			n -= k
		}
	})
	var slow []*BackendStream
	for range 20 {
		if !c.Reserve() {
			t.Fatal("no stream")
		}
		var res message.Head
		s, err := c.Do(nil, request("GET", "/large"), nil, time.Time{}, &res)
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, s)
	}
	for range 50 {
		if _, content, _, err := do(c, request("GET", "/small"), nil); err != nil || len(content) != 100_000 {
			t.Fatalf("%d bytes, %v", len(content), err)
		}
	}
	for _, s := range slow {
		if p, _ := s.Body().InHand(); len(p) > streamWindow {
			t.Errorf("%d bytes are held for a client that takes nothing", len(p))
		}
		s.Finish()
	}
}

func TestBackendTimeoutAndCancel(t *testing.T) {
	var begun, left atomic.Int64
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		if r.URL.Path == "/half" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
		left.Add(1)
	})
	var res message.Head
	c.Reserve()
	_, err := c.Do(nil, request("GET", "/"), nil, time.Now().Add(20*time.Millisecond), &res)
	if err == nil || err.Kind != wire.BackendTimeout || err.Answered {
		t.Errorf("%+v, want a timeout", err)
	}
	var s *BackendStream
	for limit := 100 * time.Millisecond; s == nil; limit *= 2 { // until the backend is fast enough
		c.Reserve()
		s, err = c.Do(nil, request("GET", "/half"), nil, time.Now().Add(limit), &res)
		if err != nil && (err.Kind != wire.BackendTimeout || limit > patient.Limit) {
			t.Fatal(err)
		}
	}
	_, _, failed := readAll(s)
	if f, ok := errors.AsType[*wire.BackendError](failed); !ok || f.Kind != wire.BackendTimeout {
		t.Errorf("%v, want a timeout within the body", failed)
	}
	s.Finish()
	c.Reserve()
	s, err = c.Do(nil, request("GET", "/half"), nil, time.Time{}, &res)
	if err != nil {
		t.Fatal(err)
	}
	go s.Cancel(message.ClientGone)
	_, _, failed = readAll(s)
	if f, ok := errors.AsType[*wire.BackendError](failed); !ok || f.Kind != wire.BackendCancelled {
		t.Errorf("%v, want that it was cancelled", failed)
	}
	s.Finish()
	patient.Until(t, "the backend is told", func() bool { return begun.Load() == left.Load() })
}

// informed is an exchange that records interim responses.
type informed struct {
	wire.Exchange
	statuses []int
}

func (x *informed) Watch(wire.Canceller) {}
func (x *informed) Inform(h *message.Head) error {
	x.statuses = append(x.statuses, h.Status)
	return nil
}

func TestBackendInterim(t *testing.T) {
	c := standard(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.Copy(w, r.Body)
	})
	x := &informed{}
	c.Reserve()
	var res message.Head
	req := request("POST", "/")
	req.Length, req.ExpectContinue = 4, true
	s, err := c.Do(x, req, newPieces("body"), time.Time{}, &res)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Finish()
	content, _, failed := readAll(s)
	if failed != nil || content != "body" || fmt.Sprint(x.statuses) != "[103 103]" || res.Status != 200 {
		t.Errorf("%d %q after %v, %v", res.Status, content, x.statuses, failed)
	}
}

// An expectation that the backend answers with an error leaves the body with the client.
func TestBackendRefusesExpectation(t *testing.T) {
	c := standard(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	c.Reserve()
	var res message.Head
	req := request("POST", "/")
	req.Length, req.ExpectContinue = 4, true
	body := newPieces("body")
	began := time.Now()
	s, err := c.Do(nil, req, body, time.Time{}, &res)
	if err != nil || res.Status != 413 {
		t.Fatal(res.Status, err)
	}
	s.Finish()
	if len(body.list) != 1 && time.Since(began) < time.Second { // see wire.Gate
		t.Error("the body was read")
	}
}

// The client's body breaks off, or is not as long as its head says.
func TestBackendRequestBodyFails(t *testing.T) {
	c := standard(t, mirrorHandler)
	failing := newPieces("abc")
	failing.err = errors.New("gone")
	for name, b := range map[string]*pieces{"broken off": failing, "too long": newPieces("abc", "defghijklmn"), "too short": newPieces("abc")} {
		c.Reserve()
		req := request("PUT", "/")
		req.Length = 10
		var res message.Head
		s, err := c.Do(nil, req, b, time.Time{}, &res)
		if err == nil { // the response may have begun
			_, _, failed := readAll(s)
			err, _ = errors.AsType[*wire.BackendError](failed)
			s.Finish()
		}
		if err == nil || err.Kind != wire.BackendRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkBackend(b *testing.B) {
	c := standard(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req := request("GET", "/", "Accept", "*/*")
		var res message.Head
		for pb.Next() {
			if !c.Reserve() {
				b.Error("no stream")
				return
			}
			s, err := c.Do(nil, req, nil, time.Time{}, &res)
			if err != nil {
				b.Error(err)
				return
			}
			for {
				if _, err := s.Body().Next(); err != nil {
					break
				}
			}
			s.Finish()
		}
	})
}

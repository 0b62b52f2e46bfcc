// The same request by HTTP/1 and by HTTP/2 reaches the handler as the same message.

package h2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// seen is what a handler got: a head in one line, with names in lower case and hidden keys of WebSockets left out, and the content.
type seen struct{ head, body, trailers string }

// witness answers and tells what it got.
func witness(got chan<- seen) func(wire.Exchange) {
	return func(x wire.Exchange) {
		h := x.Request()
		s := seen{head: strings.ToLower(describe(h)) + fmt.Sprint(h.Minor, len(h.Path), x.Body() == nil)}
		p, err := readBody(x.Body())
		if s.body = string(p); err != nil {
			s.body = err.Error()
		}
		if x.Body() != nil && x.Body().Trailers() != nil {
			f := x.Body().Trailers()
			for i := range f.Len() {
				s.trailers += strings.ToLower(fmt.Sprintf("[%s: %s]", f.At(i).Name, f.At(i).Value))
			}
		}
		got <- s
		answer(x, 200, "seen")
	}
}

// spoken is one request in both languages.
type spoken struct {
	method, path, authority string
	fields, trailers        []string // lines
	pieces                  []string
	body, length            bool // there is a body, of announced length
}

func invent(r *rand.Rand) spoken {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	q := spoken{
		method: pick("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "M-SEARCH"), path: pick("/", "/a/b?c=d&e", "/%41/../x", "//x", "/?"),
		authority: pick("shop.example", "Shop.Example:8443", "[::1]:80", "127.0.0.1"),
	}
	for range r.IntN(6) {
		q.fields = append(q.fields, pick(
			"accept: */*", "x-empty:", "x-many: 1", "x-many: 2", "cookie: a=b", "te: trailers", "user-agent: a (b) c", "x-odd: \"é\", ;=",
			"x-forwarded-for: 1.2.3.4", "authorization: Basic eDp5", "via: 1.1 x", "x_under: y"))
	}
	slices.Sort(q.fields)
	q.fields = slices.CompactFunc(q.fields, func(a, b string) bool { return a == b && !strings.HasPrefix(a, "x-") }) // one cookie: crumbs are joined
	if q.body = r.IntN(2) == 0; q.body {
		for range r.IntN(4) {
			q.pieces = append(q.pieces, strings.Repeat("x", 1+r.IntN(3000)))
		}
		if q.length = r.IntN(2) == 0; q.length && len(strings.Join(q.pieces, "")) > 0 && r.IntN(3) == 0 {
			q.fields = append(q.fields, "expect: 100-continue")
		}
		if !q.length && r.IntN(2) == 0 {
			q.trailers = []string{"x-sum: 1", "content-type: forbidden", "x-forwarded-for: forbidden"}
		}
	}
	return q
}

func (q *spoken) one() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q.method, q.path, q.authority)
	for _, f := range q.fields {
		b.WriteString(f + "\r\n")
	}
	content := strings.Join(q.pieces, "")
	switch {
	case !q.body:
		b.WriteString("\r\n")
	case q.length:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(content), content)
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for _, p := range q.pieces {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
		}
		b.WriteString("0\r\n")
		for _, f := range q.trailers {
			b.WriteString(f + "\r\n")
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func (q *spoken) two(c *rawClient, id uint32) []byte {
	lines := append([]string{":method: " + q.method, ":scheme: http", ":path: " + q.path, ":authority: " + q.authority}, q.fields...)
	if q.length {
		lines = append(lines, fmt.Sprintf("content-length: %d", len(strings.Join(q.pieces, ""))))
	}
	b := c.headers(id, !q.body, lines...)
	for i, p := range q.pieces {
		b = AppendData(b, id, []byte(p), i == len(q.pieces)-1 && len(q.trailers) == 0)
	}
	switch {
	case len(q.trailers) > 0:
		b = append(b, c.headers(id, true, q.trailers...)...)
	case q.body && len(q.pieces) == 0:
		b = AppendData(b, id, nil, true)
	}
	return b
}

func TestBothVersionsGiveTheSameMessage(t *testing.T) {
	first, second := make(chan seen, 1), make(chan seen, 1)
	one := wire.NewServer(wire.Options{Handler: serveFunc{witness(first), make(chan error)}})
	defer one.Close()
	h := start(t, wire.Limits{}, witness(second))
	c := h.dial()
	drained := make(chan struct{})
	go func() { // answers and window updates do not matter
		defer close(drained)
		_, _ = io.Copy(io.Discard, c.nc)
	}()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range uint32(500) {
		q := invent(r)
		client, server := net.Pipe()
		go one.ServeConn(server, netip.AddrPort{}, nil)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := client.Write(q.one()); err != nil {
			t.Fatal(err)
		}
		c.send(q.two(c, 2*i+1))
		a, b := <-first, <-second
		client.Close()
		if a != b {
			t.Fatalf("seed %d: %+v\nHTTP/1: %+v\nHTTP/2: %+v", seed, q, a, b)
		}
	}
	c.nc.Close()
	<-drained
}

// reused is a response that allocates nothing.
type reused struct {
	head message.Head
	rest []byte
}

func (r *reused) InHand() ([]byte, bool)    { return r.rest, true }
func (r *reused) Trailers() *message.Fields { return nil }
func (r *reused) Stop(message.Reason)       {}
func (r *reused) Next() (p []byte, err error) {
	if p, r.rest = r.rest, nil; len(p) == 0 {
		return nil, io.EOF
	}
	return p, nil
}

var answers = sync.Pool{New: func() any { return new(reused) }}

func loopback(tb testing.TB) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return client, server
}

// skip reads a frame without keeping it.
func (c *rawClient) skip() (Frame, error) {
	for {
		f, n, err := ParseFrame(c.buf, DefaultFrameSize)
		if n > 0 || err != nil {
			c.buf = c.buf[n:]
			return f, err
		}
		if c.scratch == nil {
			c.scratch = make([]byte, 64<<10)
		}
		n = copy(c.scratch, c.buf)
		k, err := c.nc.Read(c.scratch[n:])
		if c.buf = c.scratch[:n+k]; err != nil {
			return Frame{}, err
		}
	}
}

// BenchmarkServer sends batches of ten requests on one connection, which leave and are answered together.
func BenchmarkServer(b *testing.B) {
	const batch = 10
	body := bytes.Repeat([]byte("x"), 128)
	s := NewServer(Options{Handler: serveFunc{func(x wire.Exchange) {
		a := answers.Get().(*reused)
		a.rest = body
		a.head.Status, a.head.Length = 200, int64(len(body))
		_ = x.Respond(&a.head, a)
		answers.Put(a)
	}, nil}})
	defer s.Close()
	client, server := loopback(b)
	go s.ServeConn(server, netip.AddrPort{}, nil)
	settings := DefaultSettings()
	hello := AppendSettingsAck(settings.Append([]byte(Preface), false))
	hello = AppendWindowUpdate(hello, 0, 1<<30)
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	block := func() []byte {
		head.Reset()
		for _, f := range []string{":method GET", ":scheme https", ":authority shop.example", ":path /", "user-agent h2load"} {
			name, value, _ := strings.Cut(f, " ")
			_ = enc.WriteField(hpack.HeaderField{Name: name, Value: value})
		}
		return bytes.Clone(head.Bytes())
	}
	frame := func(dst []byte, id uint32, p []byte) []byte {
		start := len(dst)
		return FinishBlock(append(AppendBlockRoom(dst), p...), start, id, true, DefaultFrameSize)
	}
	id := uint32(1)
	_, _ = client.Write(frame(hello, id, block())) // fills HPACK's table
	indexed := block()
	k := &rawClient{nc: client}
	ends := func(n int) {
		for n > 0 {
			f, err := k.skip()
			if err != nil {
				b.Fatal(err)
			}
			if f.Type == FrameData && f.Has(FlagEndStream) {
				n--
			}
		}
	}
	ends(1)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = out[:0]
		for range batch {
			id += 2
			out = frame(out, id, indexed)
		}
		if _, err := client.Write(out); err != nil {
			b.Fatal(err)
		}
		ends(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/request")
	client.Close()
}

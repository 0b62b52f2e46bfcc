// The same request by HTTP/1 and by HTTP/2 reaches the handler as the same message.

package h2

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/wicketgate/wicketgate/internal/spoken"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// two is a request's frames.
func two(q *spoken.Request, c *rawClient, id uint32) []byte {
	b := c.headers(id, !q.Body, q.Lines("http")...)
	for i, p := range q.Pieces {
		b = AppendData(b, id, []byte(p), i == len(q.Pieces)-1 && len(q.Trailers) == 0)
	}
	switch {
	case len(q.Trailers) > 0:
		b = append(b, c.headers(id, true, q.Trailers...)...)
	case q.Body && len(q.Pieces) == 0:
		b = AppendData(b, id, nil, true)
	}
	return b
}

func TestBothVersionsGiveTheSameMessage(t *testing.T) {
	first, second := make(chan spoken.Seen, 1), make(chan spoken.Seen, 1)
	one := wire.NewServer(wire.Options{Handler: serveFunc{spoken.Witness(first), make(chan error)}})
	defer one.Close()
	h := start(t, wire.Limits{}, spoken.Witness(second))
	c := h.dial()
	drained := make(chan struct{})
	go func() { // answers and window updates do not matter
		defer close(drained)
		_, _ = io.Copy(io.Discard, c.nc)
	}()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range uint32(500) {
		q := spoken.Invent(r)
		client, server := net.Pipe()
		go one.ServeConn(server, netip.AddrPort{}, nil)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		if _, err := client.Write(q.One()); err != nil {
			t.Fatal(err)
		}
		c.send(two(&q, c, 2*i+1))
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
	message.Text
	head message.Head
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
		a.Text = body
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

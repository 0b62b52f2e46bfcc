// What a request costs.

package wire

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
	"github.com/wicketgate/wicketgate/message"
)

// fixed is a body in hand that can be sent again and again.
type fixed struct {
	p     []byte
	given bool
}

func (b *fixed) InHand() ([]byte, bool) {
	if b.given {
		return nil, true
	}
	return b.p, true
}

func (b *fixed) Next() ([]byte, error) {
	if b.given {
		return nil, io.EOF
	}
	b.given = true
	return b.p, nil
}
func (b *fixed) Trailers() *message.Fields { return nil }
func (b *fixed) Stop(message.Reason)       { b.given = true }

// answering is a handler that allocates nothing for one connection at a time.
func answering(size int) func(Exchange) {
	h := message.Head{Status: 200, Length: int64(size)}
	h.Fields.Add([]byte("Content-Type"), []byte("text/plain"))
	body := &fixed{p: bytes.Repeat([]byte("x"), size)}
	return func(x Exchange) {
		body.given = false
		x.Watch(idleWatch{})
		_ = x.Respond(&h, body)
		x.Watch(nil)
	}
}

type idleWatch struct{}

func (idleWatch) Cancel(message.Reason) {}

// exchangeOnce sends a request and reads the whole response of a known size.
func exchangeOnce(tb testing.TB, k *client, in, p []byte) {
	if _, err := k.Write(in); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(k.TCPConn, p); err != nil {
		tb.Fatal(err)
	}
}

// responseSize asks once and returns room for a response of a fixed Content-Length.
func responseSize(tb testing.TB, k *client, in []byte) []byte {
	if _, err := k.Write(in); err != nil {
		tb.Fatal(err)
	}
	head, length := "", 0
	for !strings.HasSuffix(head, "\r\n\r\n") {
		line, err := k.r.ReadString('\n')
		if err != nil {
			tb.Fatal(err)
		}
		head += line
		if value, found := strings.CutPrefix(line, "Content-Length: "); found {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if _, err := k.r.Discard(length); err != nil {
		tb.Fatal(err)
	}
	_ = k.SetDeadline(time.Time{})
	return make([]byte, len(head)+length)
}

// TestNoAllocations: a request on a kept connection allocates nothing, Watch included.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	run(t, func(t *testing.T, mode Transport) {
		for name, in := range map[string]string{
			"GET": get, "POST": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "chunked": chunkedHead + "3\r\nabc\r\n0\r\n\r\n",
		} {
			s := serve(t, mode, Limits{}, answering(128))
			k := s.dial()
			p := responseSize(t, k, []byte(in))
			request := []byte(in)
			for range 10 {
				exchangeOnce(t, k, request, p)
			}
			// The pools may be emptied by a collection in between, hence not quite nothing.
			if n := testing.AllocsPerRun(500, func() { exchangeOnce(t, k, request, p) }); n > 0 {
				t.Errorf("%s: %v allocations a request", name, n)
			}
		}
	})
}

// TestIdleMemory: a connection that waits for its next request holds little.
func TestIdleMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const n = 500
	s := serve(t, Raw, Limits{}, answering(128))
	used := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // what the clients themselves hold
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	dial := func(address string) []net.Conn {
		conns := make([]net.Conn, n)
		for i := range conns {
			if conns[i], err = net.Dial("tcp", address); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conns[i].Close() })
		}
		return conns
	}
	p := responseSize(t, s.dial(), []byte(get))
	before := used()
	kept := dial(silent.Addr().String())
	clients := used() - before
	kept = append(kept, dial(s.ln.Addr().String())...)
	for _, c := range kept[n:] {
		if _, err := c.Write([]byte(get)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
	}
	var each int64
	defer func() { t.Logf("%d bytes an idle connection", each) }()
	patient.Until(t, "idle connections hold little", func() bool { // once their goroutines have seen that nothing follows
		each = (int64(used()-before) - 2*int64(clients)) / n
		return each <= 5<<10
	})
	runtime.KeepAlive(kept)
}

func BenchmarkServe(b *testing.B) {
	for _, size := range []int{128, 64 << 10} {
		for name, mode := range map[string]Transport{"raw": Raw, "portable": Portable} {
			b.Run(name+"/"+strconv.Itoa(size), func(b *testing.B) { benchmarkServe(b, mode, size) })
		}
	}
}

func benchmarkServe(b *testing.B, mode Transport, size int) {
	s := serve(b, mode, Limits{}, answering(size))
	k := s.dial()
	p := responseSize(b, k, []byte(get))
	request := []byte(get)
	b.ReportAllocs()
	for b.Loop() {
		exchangeOnce(b, k, request, p)
	}
}

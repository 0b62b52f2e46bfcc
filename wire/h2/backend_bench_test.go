// The fast path of connections to backends: how long it takes, and that it does not allocate. And the fuzzing of what backends send.

package h2

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// answerer is a backend that answers every request with five bytes, all requests of a read in one write.
func answerer(tb testing.TB) *BackendConn {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		answerAll(nc)
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
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

func answerAll(nc net.Conn) {
	own := DefaultSettings()
	own.MaxConcurrentStreams = 1000
	out := own.Append(nil, true)
	head := []byte{0x88, 0x0f, 0x0d, 0x01, '5'} // 200, content-length 5
	in, n := make([]byte, 64<<10), 0
	for skip := len(Preface); ; {
		if _, err := nc.Write(out); err != nil {
			return
		}
		out = out[:0]
		k, err := nc.Read(in[n:])
		if err != nil {
			return
		}
		n += k
		at := min(skip, n)
		skip -= at
		for {
			f, size, err := ParseFrame(in[at:n], DefaultFrameSize)
			if err != nil || size == 0 {
				break
			}
			at += size
			switch {
			case f.Type == FrameHeaders:
				out = append(AppendFrameHead(out, len(head), FrameHeaders, FlagEndHeaders, f.Stream), head...)
				out = AppendData(out, f.Stream, []byte("hello"), true)
			case f.Type == FrameSettings && !f.Has(FlagAck):
				out = AppendSettingsAck(out)
			}
		}
		n = copy(in, in[at:n])
	}
}

// once sends a request and reads its answer.
func once(tb testing.TB, c *BackendConn, req, res *message.Head) {
	if !c.Reserve() {
		tb.Fatal("no stream")
	}
	s, failure := c.Do(nil, req, nil, time.Time{}, res)
	if failure != nil {
		tb.Fatal(failure)
	}
	for {
		p, err := s.Body().Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || string(p) != "hello" {
			tb.Fatal(string(p), err)
		}
	}
	s.Finish()
}

func TestBackendFastPathDoesNotAllocate(t *testing.T) {
	c := answerer(t)
	req, res := request("GET", "/", "accept", "*/*"), &message.Head{}
	once(t, c, req, res)
	// The decoder of HPACK makes strings of the fields that are not in its tables: one here.
	if n := testing.AllocsPerRun(500, func() { once(t, c, req, res) }); n > 1 {
		t.Errorf("%v allocations a request", n)
	}
}

func BenchmarkBackendRoundTrip(b *testing.B) {
	c := answerer(b)
	b.Run("alone", func(b *testing.B) {
		b.ReportAllocs()
		req, res := request("GET", "/", "accept", "*/*"), &message.Head{}
		for b.Loop() {
			once(b, c, req, res)
		}
	})
	b.Run("32 at once", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			req, res := request("GET", "/", "accept", "*/*"), &message.Head{}
			for pb.Next() {
				once(b, c, req, res)
			}
		})
	})
}

// nowhere is a connection that swallows what is written and never gives anything.
type nowhere struct{ net.Conn }

func (nowhere) Read([]byte) (int, error)         { select {} }
func (nowhere) Write(p []byte) (int, error)      { return len(p), nil }
func (nowhere) SetWriteDeadline(time.Time) error { return nil }
func (nowhere) SetReadDeadline(time.Time) error  { return nil }
func (nowhere) Close() error                     { return nil }

// unplugged returns a connection without goroutines, whose output stays where it is.
func unplugged() *BackendConn {
	limits := wire.BackendLimits()
	c := &BackendConn{
		nc: nowhere{}, opt: BackendOptions{Stats: &BackendStats{}}, ready: make(chan struct{}), streams: make(map[uint32]*BackendStream), nextID: 1,
		lastID: maxStreamID, peer: DefaultSettings(), window: DefaultWindow, arrived: NewReceiveWindow(connWindow),
		blocks: NewBlockReader(&limits, DefaultHeaderSize), timer: time.NewTimer(time.Hour),
	}
	c.wake.L = &c.mu
	return c
}

// FuzzBackendReceive: whatever a backend sends, in whatever pieces, nobody panics, what is held stays within bounds, and no stream
// that got its whole response gets another.
func FuzzBackendReceive(f *testing.F) {
	answer := AppendFrameHead(nil, 1, FrameHeaders, FlagEndHeaders, 1)
	answer = AppendData(append(answer, 0x88), 1, []byte("hello"), true)
	f.Add(answer, uint8(3))
	f.Add(AppendResetStream(answer, 3, RefusedStream), uint8(200))
	f.Add(AppendGoAway(AppendWindowUpdate(answer, 0, 5), 1, NoError, ""), uint8(9))
	f.Add(AppendSettingsAck(append(AppendFrameHead(nil, 6, FrameSettings, 0, 0), 0, 4, 0, 0, 0, 0)), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, cut uint8) {
		c := unplugged()
		if _, ok := c.receive(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 4, 0}, 0)); !ok {
			t.Fatal("SETTINGS are refused")
		}
		var streams []*BackendStream
		for range 2 {
			c.Reserve()
			s, _, failure := c.open(nil, request("GET", "/"), nil, nil, true, nil, time.Time{})
			if failure != nil {
				t.Fatal(failure)
			}
			streams = append(streams, s)
		}
		for held := []byte(nil); len(in) > 0; {
			n := min(len(in), int(cut)+1)
			held, in = append(held, in[:n]...), in[n:]
			used, ok := c.receive(held)
			if held = held[used:]; !ok {
				break
			}
		}
		for _, s := range streams {
			if len(s.content) > streamWindow || len(s.interims) > maxInterim || len(c.out) > maxOwed+1<<20 {
				t.Fatalf("%d bytes and %d heads are held, %d to be sent", len(s.content), len(s.interims), len(c.out))
			}
			if s.received && s.headed && s.left > 0 {
				t.Fatal("an end before the content that was announced")
			}
			s.Finish()
		}
	})
}

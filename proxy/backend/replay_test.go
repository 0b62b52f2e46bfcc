// Bodies that are sent again: from a slow client, from one that stops, and longer than what is kept.

package backend

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wicketgate/wicketgate/message"
)

// drip is a client's body whose pieces come when the test sends them.
type drip struct {
	pieces  chan string
	fail    error // instead of the end
	stopped chan struct{}
	buf     []byte // reused, as what is lent is
}

func newDrip() *drip { return &drip{pieces: make(chan string, 8), stopped: make(chan struct{})} }

func (*drip) InHand() ([]byte, bool)    { return nil, false }
func (*drip) Trailers() *message.Fields { return nil }
func (d *drip) Stop(message.Reason)     { close(d.stopped) }

func (d *drip) Next() ([]byte, error) {
	for i := range d.buf {
		d.buf[i] = '!' // whoever still reads the last piece sees it
	}
	select {
	case p, ok := <-d.pieces:
		if !ok && d.fail != nil {
			return nil, d.fail
		}
		if !ok {
			return nil, io.EOF
		}
		d.buf = append(d.buf[:0], p...)
		return d.buf, nil
	case <-d.stopped:
		return nil, errors.New("stopped")
	}
}

// take reads as many bytes.
func take(t *testing.T, r *Replay, n int) string {
	t.Helper()
	var b strings.Builder
	for b.Len() < n {
		p, err := r.Next()
		if err != nil {
			t.Fatalf("after %d bytes: %v", b.Len(), err)
		}
		b.Write(p)
	}
	return b.String()
}

func TestReplayGoesOnWhereTheLastAttemptStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrip()
		r := NewReplay(d, message.LengthUnknown)
		d.pieces <- "abc"
		if got := take(t, r, 3); got != "abc" {
			t.Errorf("first attempt got %q", got)
		}
		waits := make(chan error)
		go func() { _, err := r.Next(); waits <- err }()
		synctest.Wait()
		if !r.Reserve() {
			t.Fatal("nothing speaks against another attempt")
		}
		if err := <-waits; !errors.Is(err, errAttemptOver) {
			t.Errorf("the attempt that was given up got %v", err)
		}
		r.Stop(message.Drain)
		d.pieces <- "def" // for nobody at present
		synctest.Wait()
		r.Rewind()
		if p, all := r.InHand(); string(p) != "abcdef" || all {
			t.Errorf("in hand %q, all %t", p, all)
		}
		close(d.pieces)
		if got := take(t, r, 6); got != "abcdef" {
			t.Errorf("second attempt got %q", got)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
		if !r.Reserve() {
			t.Fatal("all of the body is kept")
		}
		r.Rewind()
		if p, all := r.InHand(); string(p) != "abcdef" || !all {
			t.Errorf("in hand %q, all %t", p, all)
		}
		r.Close()
	})
}

func TestReplayKeepsNoMoreThanItsLimit(t *testing.T) {
	half := strings.Repeat("x", ReplayBytes/2)
	for _, tc := range []struct {
		name   string
		length int64
		pieces []string
		again  bool
	}{
		{"as much as is kept", message.LengthUnknown, []string{half, half}, true},
		{"one byte more", message.LengthUnknown, []string{half, half, "y"}, false},
		{"announced as too long", ReplayBytes + 1, []string{half, half, "y"}, false},
		{"announced", ReplayBytes, []string{half, half}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDrip()
				r := NewReplay(d, tc.length)
				whole := strings.Join(tc.pieces, "")
				for _, p := range tc.pieces {
					d.pieces <- p
				}
				close(d.pieces)
				if got := take(t, r, len(whole)); got != whole {
					t.Error("the body arrived changed")
				}
				if r.Reserve() != tc.again {
					t.Errorf("another attempt: %t", !tc.again)
				}
				if !tc.again && (r.kept != nil || r.rest != nil) {
					t.Error("memory is held for nothing")
				}
				r.Close()
			})
		})
	}
}

func TestReplayHoldsBackWhatDoesNotFitUntilItIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrip()
		r := NewReplay(d, message.LengthUnknown)
		d.pieces <- "abc"
		take(t, r, 3)
		go func() { _, _ = r.Next() }()
		synctest.Wait()
		r.Reserve()
		long := strings.Repeat("z", ReplayBytes)
		d.pieces <- long
		synctest.Wait()
		if !r.Reserve() {
			t.Fatal("the piece that does not fit was not sent yet")
		}
		r.Rewind()
		if got := take(t, r, 3+len(long)); got != "abc"+long {
			t.Error("the body arrived changed")
		}
		if r.Reserve() {
			t.Error("another attempt without the whole body")
		}
		r.Stop(message.Drain)
		select {
		case <-d.stopped:
		default:
			t.Error("nobody will want the rest, and the client's body was not told")
		}
	})
}

func TestReplayOfABodyThatBrokeOff(t *testing.T) {
	d := newDrip()
	d.fail = errors.New("cut")
	r := NewReplay(d, message.LengthUnknown)
	close(d.pieces)
	if _, err := r.Next(); !errors.Is(err, d.fail) {
		t.Errorf("got %v", err)
	}
	if r.Reserve() {
		t.Error("half a body is sent again")
	}
}

func TestReplayCloseEndsTheReadingOfASilentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDrip()
		r := NewReplay(d, message.LengthUnknown)
		go func() { _, _ = r.Next() }()
		synctest.Wait()
		r.Stop(message.Drain)
		select {
		case <-d.stopped:
			t.Error("the end of an attempt stopped the client's body")
		default:
		}
		r.Close()
		if r.reading {
			t.Error("the client is still read")
		}
	})
}

// A backend that answers before it has the body, to a client that sends nothing more until the second try.
func TestReplayThroughRoundTrip(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		got := make(chan string, 2)
		s := serve(t, func(s *server, n int, c net.Conn, in *bufio.Reader) {
			s.head(in)
			end := "c\r\n" // of the first piece
			if n > 0 {
				end = "0\r\n\r\n"
			}
			var p []byte
			for !strings.HasSuffix(string(p), end) {
				one, err := in.ReadByte()
				if err != nil {
					break
				}
				p = append(p, one)
			}
			got <- string(p)
			if n == 0 {
				_, _ = io.WriteString(c, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, in) // the rest would be welcome
				return
			}
			_, _ = io.WriteString(c, hello)
		})
		defer s.close()
		b := acquire(o, s.addr)
		defer b.Release()
		d := newDrip()
		d.pieces <- "abc"
		r := NewReplay(d, message.LengthUnknown)
		var res Response
		req := post("POST", int(message.LengthUnknown))
		if _, err := ask(b, req, r, Timeouts{}, &res); err != nil || res.Head.Status != 503 || !r.Reserve() {
			t.Fatalf("first attempt: %v, status %d", err, res.Head.Status)
		}
		d.pieces <- "def"
		close(d.pieces)
		r.Rewind()
		if _, err := ask(b, req, r, Timeouts{}, &res); err != nil || res.Head.Status != 200 {
			t.Fatalf("second attempt: %v, status %d", err, res.Head.Status)
		}
		r.Close()
		first, second := <-got, <-got
		if first != "3\r\nabc\r\n" {
			t.Errorf("first attempt sent %q", first)
		}
		if second != "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n" && second != "6\r\nabcdef\r\n0\r\n\r\n" {
			t.Errorf("second attempt sent %q", second)
		}
	})
}

// Bytes both ways: nothing lost, nothing changed, ends and failures passed on as what they are.

package stream

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wicketgate/wicketgate/internal/patient"
)

func TestBulkIsByteExactWithHalfCloses(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, echo))), nil)
		sent := make([]byte, 20<<20)
		_, _ = rand.Read(sent) // never fails
		var clients sync.WaitGroup
		for range 4 {
			c := g.client(t)
			clients.Go(func() {
				if _, err := c.Write(sent); err != nil {
					t.Error(err)
				}
				_ = c.CloseWrite()
			})
			clients.Go(func() {
				h := sha256.New()
				if n, err := io.Copy(h, c); err != nil || n != int64(len(sent)) {
					t.Errorf("%d bytes came back, %v", n, err)
				}
				if [32]byte(h.Sum(nil)) != sha256.Sum256(sent) {
					t.Error("other bytes came back")
				}
			})
		}
		clients.Wait()
		waitFor(t, "their end", func() bool { return g.count() == 0 })
		for _, direction := range []string{"in", "out"} {
			if n := g.value(t, "wicketgate_stream_bytes_total", direction); n != float64(4*len(sent)) {
				t.Errorf("%v bytes %s are counted", n, direction)
			}
		}
	})
}

// Pieces of all sizes: a direction goes to and fro between buffers and splice.
func TestPingPongOfAllSizes(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, echo))), nil)
		c := g.client(t)
		random := mathrand.New(mathrand.NewPCG(1, 2))
		for i := range 400 {
			n := 1 + random.IntN(200)
			if i%100 < 30 {
				n = 1 + random.IntN(2<<20)
			}
			piece := make([]byte, n)
			_, _ = rand.Read(piece)
			go func() { _, _ = c.Write(piece) }()
			got := make([]byte, n)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, piece) {
				t.Fatalf("piece %d of %d bytes: other bytes came back, %v", i, n, err)
			}
		}
	})
}

func TestTheServerMaySpeakFirst(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
			echo(c)
		}))), nil)
		c := g.client(t)
		got := make([]byte, 24)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "220 mail.example ESMTP\r\n" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The backend ends its direction first, and the client's goes on.
func TestTheBackendMayHalfClose(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		received := make(chan string, 1)
		g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "bye")
			_ = c.CloseWrite()
			all, _ := io.ReadAll(c)
			received <- string(all)
		}))), nil)
		c := g.client(t)
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := io.WriteString(c, "more to say"); err != nil {
			t.Error(err)
		}
		_ = c.CloseWrite()
		if got := <-received; got != "more to say" {
			t.Errorf("the backend received %q", got)
		}
		g.outcome(t, OK)
	})
}

// Bytes and their end have arrived when the gateway first looks: one edge tells of both.
func TestBytesAndEndInOneEdge(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		o.DrainTimeout = time.Hour
		ready := make(chan struct{})
		g := open(t, o, to(dialled(listen(t, echo))), func(*Connection) { <-ready })
		c := g.client(t)
		if _, err := io.WriteString(c, "all of it"); err != nil {
			t.Fatal(err)
		}
		_ = c.CloseWrite()
		close(ready)
		if got, err := io.ReadAll(c); err != nil || string(got) != "all of it" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// The kernel tells of bytes and of a reset in one edge, and the backend has nothing to say by which the reset would show.
func TestBytesAndResetInOneEdge(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		ready := make(chan struct{})
		got := make(chan string, 1)
		g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
			all, _ := io.ReadAll(c)
			got <- string(all)
		}))), func(*Connection) { <-ready })
		c := g.client(t)
		if _, err := io.WriteString(c, "so much"); err != nil {
			t.Fatal(err)
		}
		_ = c.SetLinger(0)
		_ = c.Close()
		close(ready)
		if s := <-got; s != "so much" {
			t.Errorf("the backend received %q", s)
		}
		g.outcome(t, ClientReset)
	})
}

func TestBackPressure(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		read := make(chan struct{})
		got := make(chan [32]byte, 1)
		g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
			<-read
			h := sha256.New()
			_, _ = io.Copy(h, c)
			got <- [32]byte(h.Sum(nil))
		}))), nil)
		c := g.client(t)
		h, piece := sha256.New(), make([]byte, 1<<20)
		stuck := 0
		for ; stuck < 256; stuck++ {
			_, _ = rand.Read(piece)
			_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Write(piece)
			_, _ = h.Write(piece[:n])
			if err != nil {
				break
			}
		}
		if stuck == 256 {
			t.Error("256 MiB were taken from the client while the backend read nothing")
		}
		close(read)
		_ = c.SetWriteDeadline(time.Now().Add(patient.Limit))
		n, err := c.Write(piece)
		_, _ = h.Write(piece[:n])
		if err != nil {
			t.Error(err)
		}
		_ = c.CloseWrite()
		if <-got != [32]byte(h.Sum(nil)) {
			t.Error("the backend received other bytes")
		}
	})
}

// A reset is passed on as one, in both directions, so that nobody takes half of something for all of it.
func TestResetsArePassedOn(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		t.Run("of the client", func(t *testing.T) {
			failed := make(chan error, 1)
			g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
				_, _ = io.WriteString(c, "hello")
				_, err := io.Copy(io.Discard, c)
				failed <- err
			}))), nil)
			c := g.client(t)
			_, _ = io.ReadFull(c, make([]byte, 5))
			_ = c.SetLinger(0)
			_ = c.Close()
			if err := <-failed; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the backend sees %v", err)
			}
			g.outcome(t, ClientReset)
		})
		t.Run("of the backend", func(t *testing.T) {
			g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, 5))
				_ = c.SetLinger(0)
			}))), nil)
			c := g.client(t)
			_, _ = io.WriteString(c, "hello")
			if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client sees %v", err)
			}
			g.outcome(t, BackendReset)
		})
	})
}

// A backend that answers and closes while the client is still sending is heard.
func TestAnEarlyAnswerIsHeard(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "no")
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, c)
		}))), nil)
		c := g.client(t)
		go func() { _, _ = io.Copy(c, strings.NewReader(strings.Repeat("x", 8<<20))); _ = c.CloseWrite() }()
		if got, err := io.ReadAll(c); err != nil || string(got) != "no" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// What was read before (a ClientHello) comes first.
func TestFirstBytesComeFirst(t *testing.T) {
	transports(t, func(t *testing.T, o Options) {
		g := open(t, o, to(dialled(listen(t, echo))), func(c *Connection) { c.First = []byte("first ") })
		c := g.client(t)
		_, _ = io.WriteString(c, "second")
		_ = c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != "first second" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

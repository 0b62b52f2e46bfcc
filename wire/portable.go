// The portable transport: net.Conn's own methods. TLS connections, other systems, and the reference for the raw transport in tests.

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// idleBuffer is what a connection that waits for a request holds: a pooled buffer would be held by all that wait.
	idleBuffer = 2 << 10
	// lastReadTime is how long a read that must not wait may take.
	lastReadTime = time.Millisecond
	// togetherTime is within which an end that is found when a watch begins came before it.
	togetherTime = 20 * time.Millisecond
)

type portable struct {
	c    *conn
	idle []byte // while run is at work

	// A goroutine that reads ahead to see the client leave. Guarded by conn.mu, except what it waits for.
	ahead    chan struct{} // closed when it has returned; nil: there is none
	stopping bool
	peeked   []byte
}

func newPortable(c *conn) transport { return &portable{c: c} }

// idleBuffers are those of connections that do not rest.
var idleBuffers = sync.Pool{New: func() any { return new([idleBuffer]byte) }}

func (t *portable) inside() bool { return false }

// hungUp is always false: a read that waits sees every end.
func (t *portable) hungUp() bool { return false }

func (t *portable) run() verdict {
	small := idleBuffers.Get().(*[idleBuffer]byte)
	defer idleBuffers.Put(small)
	t.idle = small[:]
	c := t.c
	for {
		if c.lastRead {
			_ = c.nc.SetReadDeadline(time.Now().Add(lastReadTime))
		}
		n, err := t.await()
		if err != nil {
			t.idle = nil
			if v := c.interrupted(err); v != park {
				return v
			}
			t.idle = small[:]
			continue
		}
		if c.received(n) == over {
			return over
		}
	}
}

// await puts the next bytes into the exchange.
func (t *portable) await() (int, error) {
	if p := t.takePeeked(); len(p) > 0 {
		return copy(t.c.acquire().space(), p), nil
	}
	if t.c.x != nil {
		return readOnce(t.c.nc, t.c.x.space())
	}
	n, err := readOnce(t.c.nc, t.idle)
	if err != nil {
		return 0, err
	}
	return copy(t.c.acquire().space(), t.idle[:n]), nil
}

// readOnce returns bytes or an error, never both nor neither.
func readOnce(c net.Conn, p []byte) (int, error) {
	for {
		n, err := c.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

func (t *portable) read(limit int) (*buffer, int, error) {
	b := getBuffer()
	if p := t.takePeeked(); len(p) > 0 {
		return b, copy(b[:], p), nil
	}
	n, err := readOnce(t.c.nc, b[:min(limit, bufferSize)])
	if err != nil {
		putBuffer(b)
		return nil, 0, err
	}
	return b, n, nil
}

func (t *portable) relay(w io.Writer) (int, error) { return relay(w, t.c.nc, t.idle) }

// relay moves what c gives next to w. It waits with a small buffer, and takes a large one for what follows when that was filled.
func relay(w io.Writer, c net.Conn, small []byte) (int, error) {
	n, err := readOnce(c, small)
	if err != nil {
		return 0, err
	}
	moved, err := w.Write(small[:n])
	if err != nil || n < len(small) {
		return moved, err
	}
	b := getBuffer()
	defer putBuffer(b)
	if n, err = readOnce(c, b[:]); err != nil {
		return moved, err
	}
	n, err = w.Write(b[:n])
	return moved + n, err
}

// send counts all of it as one step: how much of a write is done cannot be seen from outside.
func (t *portable) send(a, b, c []byte) error {
	k := t.c
	if k.begin(phaseWriting, k.s.clock.Load()) {
		return errStalled
	}
	err := t.write(a, b, c)
	if k.begin(phaseServing, k.s.clock.Load()) && err == nil {
		err = errStalled
	}
	return err
}

// write joins the pieces, which a TLS connection would otherwise send in records of their own.
func (t *portable) write(a, b, c []byte) error {
	if len(b)+len(c) == 0 {
		_, err := t.c.nc.Write(a)
		return err
	}
	joined, n := getBuffer(), 0
	defer putBuffer(joined)
	for _, p := range [...][]byte{a, b, c} {
		for len(p) > 0 {
			k := copy(joined[n:], p)
			p = p[k:]
			if n += k; n == len(joined) {
				if _, err := t.c.nc.Write(joined[:]); err != nil {
					return err
				}
				n = 0
			}
		}
	}
	_, err := t.c.nc.Write(joined[:n])
	return err
}

// arm starts to read ahead, unless the body is still to be read: then its reader sees the client leave.
func (t *portable) arm(*watches) bool {
	if !t.c.whole.Load() {
		return false
	}
	if t.ahead == nil && len(t.peeked) == 0 {
		t.ahead, t.stopping = make(chan struct{}), false
		go t.lookAhead(t.ahead)
	}
	return true
}

func (t *portable) lookAhead(done chan struct{}) {
	defer close(done)
	began := time.Now()
	var one [1]byte
	n, err := readOnce(t.c.nc, one[:])
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	switch {
	case n > 0:
		t.peeked = one[:]
	case t.stopping && errors.Is(err, os.ErrDeadlineExceeded), t.c.killed:
	case errors.Is(err, io.EOF) && time.Since(began) < togetherTime: // it came with the request: a half-close
	default:
		t.c.watch.leave()
	}
}

func (t *portable) stop() {
	c := t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	done := t.ahead
	if done == nil {
		return
	}
	t.stopping = true
	_ = c.nc.SetReadDeadline(past)
	c.mu.Unlock()
	<-done
	c.mu.Lock()
	t.ahead = nil
	if !c.killed {
		_ = c.nc.SetReadDeadline(time.Time{})
	}
}

// takePeeked returns what was read ahead.
func (t *portable) takePeeked() []byte {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	p := t.peeked
	t.peeked = nil
	return p
}

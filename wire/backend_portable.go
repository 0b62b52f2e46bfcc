// The portable transport towards backends: net.Conn's own reads and writes.

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"time"
)

type portableBackend struct {
	conn net.Conn
	look func() bool
	idle []byte // of relay
}

func newPortableBackend(c net.Conn) backendIO {
	if s, ok := c.(*secureBackend); ok {
		return &portableBackend{conn: c, look: s.quiet}
	}
	return &portableBackend{conn: c, look: lookAt(c)}
}

func (t *portableBackend) quiet() bool { return t.look() }

// inlineWrite is how much is written by the goroutine that awaits the response: what fits any socket's buffer, so that it cannot be kept
// from reading by a backend that does not read.
const inlineWrite = 16 << 10

func (t *portableBackend) start(_ *inbox, out *outbox, wait bool) (int, error) {
	if !wait || len(out.bytes) > inlineWrite {
		return 0, nil
	}
	n, err := t.conn.Write(out.bytes)
	if err == nil {
		out.release()
	}
	return n, err
}

func (t *portableBackend) fill(in *inbox) error {
	n, err := t.conn.Read(in.space())
	if n > 0 {
		in.got(n)
		return nil
	}
	return err
}

func (t *portableBackend) relay(w io.Writer) (int, error) {
	if t.idle == nil {
		t.idle = make([]byte, idleBuffer)
	}
	return relay(w, t.conn, t.idle)
}

// lookTime is how long to look for bytes where the only way to look is to read.
const lookTime = time.Millisecond

// lookByReading returns a function that reports whether nothing can be read from c.
func lookByReading(c net.Conn) func() bool {
	return func() bool {
		var p [1]byte
		if c.SetReadDeadline(time.Now().Add(lookTime)) != nil {
			return false
		}
		n, err := c.Read(p[:])
		return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && c.SetReadDeadline(time.Time{}) == nil
	}
}

// What a connection needs from the way its bytes travel, and the buffers they travel in.

package wire

import (
	"io"
	"sync"
)

// transport moves the bytes of one connection. Its methods are called by the goroutine that serves the connection, except read, which the
// goroutine that reads a request's body may call while another writes, and arm (the sweeper).
type transport interface {
	// run reads, hands what was read to conn.received, and returns when the connection is to be closed (over), or rests: then it has touched
	// nothing since.
	run() verdict
	// inside reports whether the caller is within a callback of run, where nothing may block on this connection's reading side.
	inside() bool
	// read blocks until there are bytes, at most limit of them, and lends them in a pooled buffer, nil with an error. Not to be called
	// inside.
	read(limit int) (*buffer, int, error)
	// relay blocks until there are bytes, writes them to w, and returns how many. Not to be called inside.
	relay(w io.Writer) (int, error)
	// send writes all of its arguments, in order, in as few system calls as it can.
	send(a, b, c []byte) error
	// arm begins to watch for the client's leaving, if it can now. The caller is the sweeper and holds conn.mu.
	arm(w *watches) bool
	// hungUp reports whether nothing but the end is left to read, and nobody was told.
	hungUp() bool
	// stop ends a watch that reads, if there is one, before others read.
	stop()
}

// bufferSize is how much of a body is read at once.
const bufferSize = 64 << 10

type buffer [bufferSize]byte

// buffers are held only while bytes are in hand.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func putBuffer(b *buffer) {
	if b != nil {
		buffers.Put(b)
	}
}

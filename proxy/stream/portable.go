// One direction by net.Conn's methods: TLS, and systems without anything better.

package stream

import (
	"net"
	"sync"
	"sync/atomic"
)

// portableSize is a little more than a full TLS record brings.
const portableSize = 32 << 10

var portableBuffers = sync.Pool{New: func() any { return new([portableSize]byte) }}

// copyPortable moves bytes until either side ends.
func copyPortable(to, from net.Conn, count *atomic.Int64) (ending, error) {
	buf, _ := portableBuffers.Get().(*[portableSize]byte)
	defer portableBuffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		if n > 0 {
			if _, failed := to.Write(buf[:n]); failed != nil {
				return endOfWriting(failed), failed
			}
			count.Add(int64(n))
		}
		if err != nil {
			how := endOfReading(err)
			if how == finished || how == cut {
				err = nil
			}
			return how, err
		}
	}
}

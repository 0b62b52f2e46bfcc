// Flow control (RFC 9113 section 5.2): the window that the peer gives, and the one that we give. Both are guarded by whoever guards their
// stream or connection.

package h2

// SendWindow is how many bytes of content may be sent. It is negative after the peer has shrunk its initial window by more than was
// left.
type SendWindow int64

// Add enlarges the window by what a WINDOW_UPDATE says, or changes it by what a new initial window differs from the old. It returns false if it
// becomes larger than windows may be: an error of the peer's (FLOW_CONTROL_ERROR).
func (w *SendWindow) Add(n int64) bool {
	*w += SendWindow(n)
	return *w <= MaxWindow
}

// Take takes up to n bytes out of the window of a stream and that of its connection, and returns how many that was.
func Take(stream, conn *SendWindow, n int) int {
	n = int(max(0, min(SendWindow(n), *stream, *conn)))
	*stream -= SendWindow(n)
	*conn -= SendWindow(n)
	return n
}

// ReceiveWindow is how many bytes of content the peer may send. It follows consumption: bytes that nobody has taken from us yet are
// not asked for again, so that what is held is bounded by the window.
//
// For example with a window of 100: 60 bytes arrive, 40 are left to the peer. Once 50 of the 60 are consumed an update says 50, and the peer may
// send 90, which together with the 10 that still lie here makes 100.
type ReceiveWindow struct {
	size    int // what we may hold
	left    int // what the peer may still send
	unasked int // consumed, and not yet given back to the peer
}

// NewReceiveWindow returns a window of which the peer knows that it has that size.
func NewReceiveWindow(size int) ReceiveWindow { return ReceiveWindow{size: size, left: size} }

// Size is how much the peer may have sent that is not consumed.
func (w *ReceiveWindow) Size() int { return w.size }

// Arrived counts received bytes, padding included. It returns false if the peer was not allowed to send them.
func (w *ReceiveWindow) Arrived(n int) bool {
	w.left -= n
	return w.left >= 0
}

// Consumed counts bytes that are not held any more. It returns the increment that the peer should be told of now, or 0: small ones are gathered
// until a quarter of the window has come together.
func (w *ReceiveWindow) Consumed(n int) uint32 {
	w.unasked += n
	if w.unasked == 0 || w.unasked < w.size/4 {
		return 0
	}
	return w.announce()
}

// Grow enlarges the window to size and returns the increment that the peer is to be told of, or 0.
func (w *ReceiveWindow) Grow(size int) uint32 {
	if size <= w.size {
		return 0
	}
	w.unasked += size - w.size
	w.size = size
	return w.announce()
}

func (w *ReceiveWindow) announce() uint32 {
	n := w.unasked
	w.left += n
	w.unasked = 0
	return uint32(n)
}

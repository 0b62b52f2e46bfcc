// What a mirror still has to take of a request's body: a ring of bounded size between the goroutine that reads the client and the one that
// sends to the mirror. The first does not wait for the second, apart from hiccups (feed.room); a mirror that lets the ring run over loses the request.

package proxy

import (
	"errors"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/message"
)

// mirrorBuffer is how many bytes of a body a mirror may be behind.
const mirrorBuffer = 64 << 10

// mirrorGrace is how long a whole body may wait for mirrors that need their turn on the processor, on top of a 64th of the time it takes.
const mirrorGrace = 2 * time.Millisecond

var (
	errMirrorSlow    = errors.New("the mirror does not keep up")
	errMirrorAborted = errors.New("the request broke off")
	errMirrorDone    = errors.New("the mirror wants no more")
)

// feed is the body of a mirrored request. write, end and fail are called by whoever reads the original, the methods of message.Body by the
// sender; each side is one goroutine at a time.
type feed struct {
	mu       sync.Mutex
	arrived  sync.Cond // something came for Next
	ring     []byte    // mirrorBuffer bytes, or nil while there was no content
	start, n int       // the part of the ring that is filled
	lent     int       // how much of it Next lent out
	began    time.Time // when the first content came
	waited   time.Duration
	ended    bool
	err      error // why nothing more comes or is taken
	trailers message.Fields
	// idle is told when the sender begins (true) and ceases (false) to wait for content. Nil: nobody is.
	idle func(bool)
}

func newFeed() *feed {
	f := &feed{}
	f.arrived.L = &f.mu
	return f
}

// whole gives all there will be of a body at once. It returns false if that is too much.
func (f *feed) whole(p []byte, trailers *message.Fields) bool {
	if len(p) > mirrorBuffer {
		return false
	}
	f.ring = append([]byte(nil), p...)
	f.n = len(p)
	f.end(trailers)
	return true
}

// write adds a copy of p, which is no longer than the ring. It returns false if it does not fit; then the mirror gets nothing more.
func (f *feed) write(p []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.ended {
		return true // not the fault of the ring
	}
	if f.ring == nil {
		f.ring = make([]byte, mirrorBuffer)
		f.began = time.Now()
	}
	if !f.room(len(p)) {
		f.stop(errMirrorSlow)
		return false
	}
	if f.err != nil {
		return true
	}
	at := (f.start + f.n) % len(f.ring)
	first := copy(f.ring[at:], p)
	copy(f.ring, p[first:])
	f.n += len(p)
	f.arrived.Signal()
	return true
}

// room reports whether there is room for n bytes. If not, the sender may only need its turn on the processor: room lets it have that, but for no longer
// than the grace and a 64th of the time since the body began. The caller holds mu.
func (f *feed) room(n int) bool {
	if n <= len(f.ring)-f.n {
		return true
	}
	from := time.Now()
	allowed := mirrorGrace + from.Sub(f.began)/64 - f.waited
	fits := false
	for !fits && time.Since(from) < allowed {
		f.mu.Unlock()
		runtime.Gosched()
		f.mu.Lock()
		fits = n <= len(f.ring)-f.n || f.err != nil
	}
	f.waited += time.Since(from)
	return fits
}

// end says that the body is complete. It copies the trailers.
func (f *feed) end(trailers *message.Fields) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.ended {
		return
	}
	f.ended = true
	if trailers != nil {
		for i := range trailers.Len() {
			t := trailers.At(i)
			f.trailers.Add(append([]byte(nil), t.Name...), append([]byte(nil), t.Value...))
		}
	}
	f.arrived.Signal()
}

// fail says that the rest will not come. It reports whether that matters.
func (f *feed) fail() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.ended {
		return false
	}
	f.stop(errMirrorAborted)
	return true
}

// stop ends both sides. The caller holds mu.
func (f *feed) stop(err error) {
	if f.err == nil {
		f.err = err
	}
	f.arrived.Signal()
}

// piece is what is filled without a break. The caller holds mu.
func (f *feed) piece() []byte {
	return f.ring[f.start:min(f.start+f.n, len(f.ring))]
}

// InHand implements message.Body.
func (f *feed) InHand() ([]byte, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, false
	}
	p := f.piece()
	return p, f.ended && len(p) == f.n
}

// Next implements message.Body.
func (f *feed) Next() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lent > 0 {
		f.start = (f.start + f.lent) % len(f.ring)
		f.n -= f.lent
		f.lent = 0
	}
	if f.waits() && f.idle != nil {
		f.idle(true)
		defer f.idle(false)
	}
	for f.waits() {
		f.arrived.Wait()
	}
	switch {
	case f.err != nil:
		return nil, f.err
	case f.n == 0:
		return nil, io.EOF
	}
	p := f.piece()
	f.lent = len(p)
	return p, nil
}

// waits reports whether there is nothing for Next to return. The caller holds mu.
func (f *feed) waits() bool { return f.err == nil && !f.ended && f.n == 0 }

// Trailers implements message.Body.
func (f *feed) Trailers() *message.Fields {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trailers.Len() == 0 {
		return nil
	}
	return &f.trailers
}

// Stop implements message.Body.
func (f *feed) Stop(message.Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stop(errMirrorDone)
}

// teePiece is how much of a body is passed on at a time, so that mirrors may be several pieces behind.
const teePiece = mirrorBuffer / 4

// tee is a request's body that also goes to mirrors as it is read. Like every body it belongs to one goroutine, Stop apart.
type tee struct {
	message.Body
	mirrors []*reflection
	rest    []byte // of what the body lent
}

// InHand implements message.Body. It never says that this is all: whoever sent it and were done would never call Next, from which alone the mirrors
// get what arrived after they were made.
func (t *tee) InHand() ([]byte, bool) {
	if len(t.rest) > 0 {
		return t.rest, false
	}
	p, _ := t.Body.InHand()
	return p, false
}

// Next implements message.Body.
func (t *tee) Next() (p []byte, err error) {
	if p = t.rest; len(p) == 0 {
		p, err = t.Body.Next()
	}
	n := min(len(p), teePiece)
	p, t.rest = p[:n], p[n:]
	for _, m := range t.mirrors {
		switch {
		case errors.Is(err, io.EOF):
			m.body.end(t.Body.Trailers())
		case err != nil:
			m.abort()
		default:
			m.write(p)
		}
	}
	return p, err
}

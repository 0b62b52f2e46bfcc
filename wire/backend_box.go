// The memory that an exchange's bytes pass through: large pieces from a pool, held only while bytes are in hand.

package wire

import "sync"

// A slab holds more than the usual body, so that head and body of a response are read, and leave, in one piece.
const slabSize = 96 << 10

type slab [slabSize]byte

var slabs = sync.Pool{New: func() any { return new(slab) }}

// inbox holds what was read and not yet taken: mem[r:w]. The zero value is empty and has no memory.
type inbox struct {
	mem   *slab
	r, w  int
	total int // bytes read in this exchange
}

func (b *inbox) len() int      { return b.w - b.r }
func (b *inbox) bytes() []byte { return b.mem[b.r:b.w] }

// space returns where to read to. It takes memory if there is none.
func (b *inbox) space() []byte {
	if b.mem == nil {
		b.mem = slabs.Get().(*slab)
	}
	return b.mem[b.w:]
}

// got records that n bytes were read to space.
func (b *inbox) got(n int) { b.w += n; b.total += n }

// shift moves what is in the box to its beginning, to make room.
func (b *inbox) shift() {
	b.r, b.w = 0, copy(b.mem[:], b.mem[b.r:b.w])
}

// empty forgets what is in the box, and what was lent of it.
func (b *inbox) empty() { b.r, b.w = 0, 0 }

// idle gives the memory back if nothing is in it: nothing is held while waiting.
func (b *inbox) idle() {
	if b.w == 0 {
		b.release()
	}
}

func (b *inbox) release() {
	if b.mem != nil {
		slabs.Put(b.mem)
	}
	b.mem, b.r, b.w = nil, 0, 0
}

// outbox holds what is sent first: a request's head, and what of its body goes with it. The zero value is empty and has no memory.
type outbox struct {
	mem   *slab
	bytes []byte // in mem, unless the head was too large for it
}

// open takes memory and returns it, empty, to be appended to and then stored in bytes.
func (b *outbox) open() []byte {
	b.mem = slabs.Get().(*slab)
	return b.mem[:0]
}

func (b *outbox) release() {
	if b.mem != nil {
		slabs.Put(b.mem)
	}
	b.mem, b.bytes = nil, nil
}

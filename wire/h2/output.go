// What is to be sent: appended by whoever has something, written by a flusher, as much as has come together, in one write.
//
// The flusher lets all goroutines that can run go first (one runtime.Gosched), so that the answers of one batch of requests leave
// together, as long as that brings anything (habit.go). Content is appended only as long as little is waiting to be written: streams that find no room, or no room in the connection's window, queue up,
// and the first in the queue is woken when there is some. Whoever was woken wakes the next when it is done or has to wait again, so that
// nobody is overtaken for long and a window of a few bytes does not wake them all.

package h2

import (
	"errors"
	"runtime"
	"sync"
)

const (
	// outputLimit is how much may wait to be written before streams wait.
	outputLimit = 128 << 10
	// controlLimit is how much more may come together in answers to frames that the client sends and does not read the answers of.
	controlLimit = 64 << 10
	// keptOutput is the size up to which buffers are used again.
	keptOutput = outputLimit + controlLimit
)

// batcher is a connection under TLS that can gather records: between Hold and Release, what is written to it waits. TryRelease writes what leaves without
// waiting, and reports whether Release has nothing left to do.
type batcher interface {
	Hold()
	TryRelease() (bool, error)
	Release() error
}

// output is the sending side of a connection, guarded by conn.mu.
type output struct {
	out      []byte // frames that are to be written
	mem      *[]byte
	lent     *[]byte // mem of what is being written, of the flusher
	flushing bool    // there is a flusher
	writing  int64   // since when it has been writing; 0: it is not
	encoded  bool    // a field block was sent
	head     *stream
	tail     *stream
	yields   habit // to others before a write
}

var outputs = sync.Pool{New: func() any { return new([]byte) }}

// buffer returns what is to be appended to. The caller holds mu, stores the result in out, and calls wake.
func (c *conn) buffer() []byte {
	if c.out == nil && c.mem == nil {
		c.mem = outputs.Get().(*[]byte)
		c.out = (*c.mem)[:0]
	}
	return c.out
}

// wake makes sure that what is in out will be written. The caller holds mu.
func (c *conn) wake() {
	if !c.flushing && !c.failed {
		c.flushing = true
		c.s.workers.start((*flusher)(c))
	}
}

// flusher is the job of writing a connection's output.
type flusher conn

func (f *flusher) run() { (*conn)(f).flush() }

// flush writes until nothing is left to be written. There is one flusher at a time: who sets flushing calls it.
func (c *conn) flush() {
	for b := c.gathered(); b != nil; b = c.gathered() {
		if !c.wrote(b, c.write(b)) {
			return
		}
	}
}

// tryFlush is flush for who must not wait: what the socket does not take at once it leaves to a worker.
func (c *conn) tryFlush() {
	b := c.gathered()
	if b == nil {
		return
	}
	switch n, err := c.tryWrite(b); {
	case err == nil && n < len(b):
		c.s.workers.start(&torn{c, b, n})
	case c.wrote(b, err):
		c.s.workers.start((*flusher)(c))
	}
}

// tryWrite is write without waiting. It returns how much of b was written; under TLS all of b or nothing, when what is left is in records.
func (c *conn) tryWrite(b []byte) (int, error) {
	if c.held == nil {
		return c.io.TryWrite(b)
	}
	c.held.Hold()
	if _, err := c.nc.Write(b); err != nil {
		return 0, errors.Join(err, c.held.Release())
	}
	all, err := c.held.TryRelease()
	if !all {
		return 0, nil
	}
	return len(b), err
}

// torn is the job of writing what tryWrite left of b, which is behind at, or in records.
type torn struct {
	c  *conn
	b  []byte
	at int
}

func (t *torn) run() {
	c := t.c
	err := error(nil)
	if c.held == nil {
		_, err = c.io.Write(t.b[t.at:])
	} else {
		err = c.held.Release()
	}
	if c.wrote(t.b, err) {
		c.flush()
	}
}

// gathered takes what is to be written, or ends the flush and returns nil.
func (c *conn) gathered() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.yields.try() {
		before := len(c.out)
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
		c.yields.paid(len(c.out) > before)
	}
	if len(c.out) == 0 || c.failed {
		c.endFlush()
		return nil
	}
	b := c.out
	c.out, c.mem, c.lent = nil, nil, c.mem
	c.writing = c.s.clock.Load()
	c.wakeNext()
	return b
}

// wrote is what follows a write of b. It reports whether there is more to be written; if not, the flush is over.
func (c *conn) wrote(b []byte, err error) bool {
	mem := c.lent
	c.lent = nil
	if *mem = nil; cap(b) <= keptOutput {
		*mem = b
	}
	outputs.Put(mem)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = 0
	if err != nil {
		c.failed = true
		c.stopReading(err)
		c.wakeAll()
	}
	if len(c.out) > 0 && err == nil {
		return true
	}
	c.endFlush()
	return false
}

// endFlush says that there is no flusher any more. The caller holds mu.
func (c *conn) endFlush() {
	c.flushing = false
	if c.mem != nil && len(c.out) == 0 {
		outputs.Put(c.mem)
		c.out, c.mem = nil, nil
	}
	c.quiet.Broadcast()
}

// write sends bytes, under TLS all records of them in one system call.
func (c *conn) write(b []byte) error {
	if c.held == nil {
		_, err := c.io.Write(b)
		return err
	}
	c.held.Hold()
	_, err := c.nc.Write(b)
	if e := c.held.Release(); err == nil {
		err = e
	}
	return err
}

// room is how many bytes of content may be appended now. The caller holds mu.
func (c *conn) room() int { return outputLimit - len(c.out) }

// enqueue has a stream wait until the connection can take something of it. The caller holds mu.
func (c *conn) enqueue(s *stream) {
	s.queued, s.next = true, nil
	if c.tail == nil {
		c.head = s
	} else {
		c.tail.next = s
	}
	c.tail = s
}

// wakeNext wakes the first stream that waits, if there is something for it. The caller holds mu.
func (c *conn) wakeNext() {
	if s := c.head; s != nil && c.send > 0 && c.room() > 0 {
		c.dequeue()
		s.writable.Signal()
	}
}

func (c *conn) dequeue() {
	s := c.head
	if c.head = s.next; c.head == nil {
		c.tail = nil
	}
	s.queued, s.next = false, nil
}

// unqueue takes a stream that has failed out of the queue. The caller holds mu.
func (c *conn) unqueue(s *stream) {
	before := (*stream)(nil)
	for q := c.head; q != nil; before, q = q, q.next {
		if q != s {
			continue
		}
		if before == nil {
			c.head = s.next
		} else {
			before.next = s.next
		}
		if c.tail == s {
			c.tail = before
		}
	}
	s.queued, s.next = false, nil
}

// wakeAll wakes all who wait, because the connection has failed. The caller holds mu.
func (c *conn) wakeAll() {
	for c.head != nil {
		c.dequeue()
	}
	for _, s := range c.streams {
		s.writable.Signal()
		s.readable.Broadcast()
	}
	c.quiet.Broadcast()
}

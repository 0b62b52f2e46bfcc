// One direction by system calls within the callbacks of RawConns: what package net's Read and Write would do, without the read that only says
// that there is nothing yet, and with a buffer only while there is something in it.
//
// Inside a callback of the source's RawConn.Read the direction reads what is there and writes it to the sink, and returns false when nothing
// is left: that parks the goroutine until the poller sees the source readable again. The poller is told of edges, and an edge may stand for bytes and an end at
// once; a read that takes the bytes must not park on the end. So the kernel is asked to say with each read whether there is more (TCP_INQ, which
// counts an end as more). Before that, and where it does not know that option, every read is followed by another one until there is nothing. A reset that came together with
// bytes is not counted; the sweeper makes a silent connection read once more (set.go).
//
// A sink that takes no more is waited for outside of the source's callback, so that the source can be interrupted meanwhile.
//
// After fullReads full buffers in a row a direction is taken for bulk and goes on by splice (splice_linux.go), until it pauses.

package stream

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// rawFlows: directions between plain sockets can be raw.
const rawFlows = true

const (
	// bufferSize is that of the buffers that bytes pass through. Larger ones leave the processor's nearest cache.
	bufferSize = 64 << 10
	// fullReads is after how many full buffers in a row copying costs more than splicing.
	fullReads = 8
	// announceAfter is after how many reads the kernel is asked to announce what follows: until then a direction reads once more instead, which is
	// less for connections that carry one question and its answer.
	announceAfter = 2
	// tcpINQ is TCP_INQ of linux/tcp.h, as a socket option and as the type of its control message.
	tcpINQ = 36
)

type buffer [bufferSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// step says why a callback was left.
type step uint8

const (
	waiting step = iota // it was not: the deadline passed, or the descriptor was closed
	stalled             // the sink takes no more for now
	bulk                // buffers were full: splice
	small               // spliced pieces were small: back to buffers
	over                // how and err say why
)

// rawFlow is one direction. It belongs to the goroutine that runs it, and is used again for another one then.
type rawFlow struct {
	flow
	oob [64]byte
	message

	readable, spliceable, once, drained, unpiped func(uintptr) bool // made once
}

// flow is what a rawFlow knows of its direction.
type flow struct {
	control  *control
	from     net.Conn
	in, out  syscall.RawConn
	count    *atomic.Int64
	reads    int  // how many brought something, up to announceAfter
	announce bool // reads say whether there is more
	spliced  bool // the present mode
	splices  bool // splice works here

	buf     *buffer
	pending []byte // of buf: read and not written yet
	full    int    // full buffers in a row
	pipe    *pipe
	piped   int // bytes in pipe

	step step
	how  ending
	err  error

	werr error // of the write callbacks
}

var flows = sync.Pool{New: func() any {
	f := new(rawFlow)
	f.readable, f.spliceable, f.once, f.drained, f.unpiped = f.onReadable, f.onSpliceable, f.onWritable, f.onDrained, f.onUnpiped
	return f
}}

// newRawFlow returns nil if a side has no descriptor of its own to work on.
func newRawFlow(c *conn, to, from net.Conn, count *atomic.Int64) *rawFlow {
	source, ok := from.(syscall.Conn)
	sink, also := to.(syscall.Conn)
	if !ok || !also {
		return nil
	}
	in, err := source.SyscallConn()
	if err != nil {
		return nil
	}
	out, err := sink.SyscallConn()
	if err != nil {
		return nil
	}
	f, _ := flows.Get().(*rawFlow)
	f.flow = flow{control: &c.control, from: from, in: in, out: out, count: count, splices: true}
	c.lookable()
	return f
}

// run moves everything.
func (f *rawFlow) run() (ending, error) {
	defer f.free()
	for {
		f.step = waiting
		callback := f.readable
		if f.spliced {
			callback = f.spliceable
		}
		err := f.in.Read(callback)
		switch f.step {
		case waiting:
			if !f.control.resume(f.from) {
				return ended, err
			}
		case stalled:
			if failed := f.wait(); failed != nil {
				return endOfWriting(failed), failed
			}
		case bulk:
			f.spliced, f.full = true, 0
		case small:
			f.spliced, f.full = false, 0
		case over:
			return f.how, f.err
		}
	}
}

// wait blocks until the sink has taken what is in hand.
func (f *rawFlow) wait() error {
	callback := f.drained
	if f.spliced {
		callback = f.unpiped
	}
	f.werr = nil
	if err := f.out.Write(callback); err != nil {
		return err
	}
	return f.werr
}

// free gives back what the direction holds, and f itself.
func (f *rawFlow) free() {
	if f.buf != nil {
		buffers.Put(f.buf)
	}
	if f.pipe != nil {
		f.pipe.free(f.piped == 0)
	}
	f.flow = flow{}
	flows.Put(f)
}

// end leaves the callback for good.
func (f *rawFlow) end(how ending, err error) bool {
	f.step, f.how, f.err = over, how, err
	return true
}

// onReadable moves what is there through a buffer. It returns false to park.
func (f *rawFlow) onReadable(fd uintptr) bool {
	if f.buf == nil {
		f.buf, _ = buffers.Get().(*buffer)
	}
	for {
		n, more, no := f.read(fd)
		switch {
		case no == syscall.EAGAIN:
			f.park()
			return false
		case no != 0:
			return f.end(broken, no)
		case n == 0:
			return f.end(finished, nil)
		}
		f.count.Add(int64(n))
		if f.reads < announceAfter {
			if f.reads++; f.reads == announceAfter {
				f.announce = sysAnnounce(fd)
			}
		}
		f.pending = f.buf[:n]
		if err := f.write(); err != nil {
			return f.end(endOfWriting(err), err)
		}
		if len(f.pending) > 0 {
			f.step = stalled
			return true
		}
		if n < bufferSize {
			f.full = 0
		} else if f.full++; f.full >= fullReads && f.splices {
			f.park()
			f.step = bulk
			return true
		}
		if !more {
			f.park()
			return false
		}
	}
}

// park gives the buffer back.
func (f *rawFlow) park() {
	buffers.Put(f.buf)
	f.buf = nil
}

// read reads once. more: another read would bring bytes or the end, as far as is known.
func (f *rawFlow) read(fd uintptr) (n int, more bool, no syscall.Errno) {
	if !f.announce {
		n, no = sysRead(fd, f.buf[:])
		return n, true, no
	}
	n, noob, no := f.receive(fd, f.buf[:])
	if no != 0 || noob < syscall.CmsgLen(4) {
		return n, true, no
	}
	head := (*syscall.Cmsghdr)(unsafe.Pointer(&f.oob[0]))
	if head.Level != syscall.IPPROTO_TCP || head.Type != tcpINQ {
		return n, true, 0
	}
	left := *(*int32)(unsafe.Pointer(&f.oob[syscall.CmsgLen(0)]))
	return n, left > 0, 0
}

// write writes pending as far as the sink takes it, without waiting.
func (f *rawFlow) write() error {
	f.werr = nil
	if err := f.out.Write(f.once); err != nil {
		return err
	}
	return f.werr
}

// onWritable tries once.
func (f *rawFlow) onWritable(fd uintptr) bool {
	if f.spliced {
		f.unpipe(fd)
	} else {
		f.put(fd)
	}
	return true
}

// onDrained goes on until nothing is pending.
func (f *rawFlow) onDrained(fd uintptr) bool {
	f.put(fd)
	return len(f.pending) == 0 || f.werr != nil
}

func (f *rawFlow) put(fd uintptr) {
	for len(f.pending) > 0 {
		n, no := sysWrite(fd, f.pending)
		if no == syscall.EAGAIN {
			return
		}
		if no != 0 {
			f.werr = no
			return
		}
		f.pending = f.pending[n:]
	}
}

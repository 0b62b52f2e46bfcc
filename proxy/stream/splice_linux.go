// One direction by splice: bytes go from socket to socket through a pipe in the kernel, and are not copied into this process and out again.
//
// A direction holds a pipe only while there is something in it: an idle connection that was busy once costs no descriptors.

package stream

import "syscall"

const (
	// pipeSize is how much a pipe is asked to hold. The kernel may grant less to a user with many of them.
	pipeSize = 1 << 20
	// smallPiece: what came less than this at a time, for smallPieces times in a row, is cheaper to copy.
	smallPiece  = 16 << 10
	smallPieces = 8
	// idlePipes are kept for the next direction that wants one.
	idlePipes = 32
	// Flags of splice: move pages if possible, do not wait for the pipe.
	spliceFlags = 0x1 | 0x2
	setPipeSize = 1031 // F_SETPIPE_SZ
)

// pipe is a pipe of the kernel. It belongs to one direction at a time, or to the idle ones.
type pipe struct{ read, write int }

var pipes = make(chan *pipe, idlePipes)

// newPipe returns an idle pipe or a new one.
func newPipe() (*pipe, error) {
	select {
	case p := <-pipes:
		return p, nil
	default:
	}
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, err
	}
	// If it is not granted the pipe holds 64 KiB.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(ends[0]), setPipeSize, pipeSize)
	return &pipe{read: ends[0], write: ends[1]}, nil
}

// free gives the pipe back, or closes it if there is something left in it.
func (p *pipe) free(empty bool) {
	if empty {
		select {
		case pipes <- p:
			return
		default:
		}
	}
	_ = syscall.Close(p.read)
	_ = syscall.Close(p.write)
}

// onSpliceable moves what is there through a pipe. It returns false to park.
func (f *rawFlow) onSpliceable(fd uintptr) bool {
	if f.pipe == nil {
		p, err := newPipe()
		if err != nil { // no descriptors left: buffers need none
			f.splices, f.step = false, small
			return true
		}
		f.pipe = p
	}
	for {
		n, no := sysSplice(int(fd), f.pipe.write, pipeSize)
		switch {
		case no == syscall.EAGAIN:
			f.pipe.free(true)
			f.pipe = nil
			return false
		case no == syscall.EINVAL || no == syscall.ENOSYS: // not for this kind of socket, or forbidden
			f.splices, f.step = false, small
			return true
		case no != 0:
			return f.end(broken, no)
		case n == 0:
			return f.end(finished, nil)
		}
		f.count.Add(int64(n))
		f.piped = n
		f.werr = nil
		if err := f.out.Write(f.once); err != nil {
			return f.end(endOfWriting(err), err)
		}
		switch {
		case f.werr != nil:
			return f.end(endOfWriting(f.werr), f.werr)
		case f.piped > 0:
			f.step = stalled
			return true
		}
		if n >= smallPiece {
			f.full = 0
		} else if f.full++; f.full >= smallPieces {
			f.pipe.free(true)
			f.pipe, f.step = nil, small
			return true
		}
	}
}

// onUnpiped goes on until the pipe is empty.
func (f *rawFlow) onUnpiped(fd uintptr) bool {
	f.unpipe(fd)
	return f.piped == 0 || f.werr != nil
}

func (f *rawFlow) unpipe(fd uintptr) {
	for f.piped > 0 {
		n, no := sysSplice(f.pipe.read, int(fd), f.piped)
		if no == syscall.EAGAIN {
			return
		}
		if no != 0 {
			f.werr = no
			return
		}
		f.piped -= n
	}
}

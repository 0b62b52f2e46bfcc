// System calls on non-blocking descriptors, tried again when a signal came between. An Errno of 0 is success.

package stream

import (
	"errors"
	"syscall"
)

// sysSplice moves up to size bytes from one descriptor to another, of which one is a pipe.
func sysSplice(from, to, size int) (int, syscall.Errno) {
	for {
		n, err := syscall.Splice(from, nil, to, nil, size, spliceFlags)
		if no := errno(err); no != syscall.EINTR {
			return int(max(n, 0)), no
		}
	}
}

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if no, ok := errors.AsType[syscall.Errno](err); ok {
		return no
	}
	return syscall.EIO // package syscall has no other errors here
}

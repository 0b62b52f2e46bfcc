// Gathering records: crypto/tls writes each record by itself, which for an answer of some size is a system call for every 16 KiB.

package tls

import (
	"net"
	"sync"
)

// records is the connection under a tls.Conn. Between Hold and Release what is written to it is gathered and then leaves in one
// write. tls.Conn.NetConn returns it. It is as safe for concurrent use as any net.Conn.
type records struct {
	net.Conn
	mu   sync.Mutex
	held bool
	out  []byte
}

// gathered are buffers for what is held.
var gathered = sync.Pool{New: func() any { return new([]byte) }}

// keptRecords is the size up to which such buffers are used again.
const keptRecords = 256 << 10

// Write implements net.Conn.
func (r *records) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.held {
		return r.Conn.Write(p)
	}
	if r.out == nil {
		r.out = (*gathered.Get().(*[]byte))[:0]
	}
	r.out = append(r.out, p...)
	return len(p), nil
}

// Hold makes writes wait.
func (r *records) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
}

// Release writes what has been gathered.
func (r *records) Release() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.drop()
	if len(r.out) == 0 {
		return nil
	}
	_, err := r.Conn.Write(r.out)
	return err
}

// TryRelease writes of what has been gathered as much as leaves without waiting, and reports whether that was all. If it was not, what is left, and what
// is written meanwhile, waits for Release.
func (r *records) TryRelease() (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.Conn.(interface{ TryWrite(p []byte) (int, error) })
	if !ok {
		return len(r.out) == 0, nil
	}
	n, err := t.TryWrite(r.out)
	if err == nil && n < len(r.out) {
		r.out = r.out[:copy(r.out, r.out[n:])]
		return false, nil
	}
	r.drop()
	return true, err
}

// drop forgets what was gathered, and writes wait no longer. The caller holds mu.
func (r *records) drop() {
	if out := r.out; out != nil && cap(out) <= keptRecords {
		gathered.Put(&out)
	}
	r.out, r.held = nil, false
}

// NetConn is the connection below, for those who neither read nor write.
func (r *records) NetConn() net.Conn { return r.Conn }

// SetLinger has the same meaning as for a *net.TCPConn, which may be further below.
func (r *records) SetLinger(seconds int) error {
	for c := r.Conn; ; {
		if t, ok := c.(interface{ SetLinger(int) error }); ok {
			return t.SetLinger(seconds)
		}
		below, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = below.NetConn()
	}
}

// The accept loop of one socket.

package listeners

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Back-off between attempts to accept while the process or the machine has no room for another connection.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// socket is one open listening TCP socket.
type socket struct {
	addr     netip.AddrPort
	listener net.Listener
	handle   func(net.Conn, netip.AddrPort)
	log      *slog.Logger
	done     chan struct{}
	once     sync.Once
}

// Close implements Socket.
func (s *socket) Close() {
	s.once.Do(func() {
		close(s.done)
		_ = s.listener.Close() // nothing is left to be done about a socket that does not close
	})
}

// Serve hands out connections until the socket is closed. Running out of descriptors or memory does not end it: it waits, a
// little longer each time, and says so once when that begins and once when it is over.
func (s *socket) Serve() {
	var pause time.Duration
	var since time.Time
	for {
		c, err := s.listener.Accept()
		if err == nil {
			if pause > 0 {
				s.log.Info("accepting connections again", "address", s.addr, "after", time.Since(since))
				pause = 0
			}
			s.handle(c, s.addr)
			continue
		}
		if s.closed() || errors.Is(err, net.ErrClosed) {
			return
		}
		if errors.Is(err, syscall.ECONNABORTED) {
			continue // the client was gone before its turn came
		}
		if pause == 0 {
			since = time.Now()
			s.log.Error("cannot accept connections, trying again until it works", "address", s.addr, "error", err, "hint", hint(err))
		}
		pause = min(max(2*pause, firstPause), lastPause)
		if !s.wait(pause) {
			return
		}
	}
}

// hint says what a person can do about an error of Accept.
func hint(err error) string {
	switch {
	case errors.Is(err, syscall.EMFILE):
		return "the process has too many files open: raise its limit (ulimit -n, LimitNOFILE=)"
	case errors.Is(err, syscall.ENFILE):
		return "the machine has too many files open: raise fs.file-max"
	}
	return "none"
}

func (s *socket) closed() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// wait pauses and reports whether the socket is still open after it.
func (s *socket) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
		return false
	case <-t.C:
		return true
	}
}

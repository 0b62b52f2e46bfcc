// Clients that leave while a backend is dialled.

package stream

import (
	"sync"
	"syscall"
	"time"
)

// patience is how long a dial may take before the client is watched. Most are done by then.
const patience = 100 * time.Millisecond

// watch looks out, once a dial takes long, for a reset of the client's connection, and cancels the dial then. A client that has only closed its own
// direction may still want to hear what the backend says. stop ends it, waits for it, and reports whether the client has gone.
func (c *conn) watch() (stop func() (gone bool)) {
	source, ok := c.in.Client.(syscall.Conn)
	if !ok || !canSeeResets {
		return func() bool { return false }
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	gone := false
	var running sync.WaitGroup
	running.Add(1)
	timer := time.AfterFunc(patience, func() {
		defer running.Done()
		// The callback is asked at every event of the socket, and before the first.
		_ = raw.Read(func(fd uintptr) bool {
			gone = hasReset(fd)
			return gone
		})
		if gone {
			c.cancel()
		}
	})
	return func() bool {
		if timer.Stop() {
			return false
		}
		_ = c.in.Client.SetReadDeadline(past())
		running.Wait()
		c.resume(c.in.Client)
		return gone
	}
}

// Bytes and the end of the stream in one segment.

package wire

import "golang.org/x/sys/unix"

// sendLast sends bytes and the end of the stream together, in one segment.
func (c *client) sendLast(s string) {
	c.t.Helper()
	rc, err := c.SyscallConn()
	if err != nil {
		c.t.Fatal(err)
	}
	if failed := rc.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_CORK, 1) }); failed != nil || err != nil {
		c.t.Fatal(failed, err)
	}
	c.send(s)
	_ = c.CloseWrite()
}

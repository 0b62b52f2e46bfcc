// A connection for who reads and writes it as any other, crypto/tls above all, with the input and output of IO.

package wire

import "net"

// Direct returns c, or a connection that does the same with raw system calls where that is possible. Its NetConn is c.
func Direct(c net.Conn) net.Conn {
	raw, ok := NewIO(c).(direct)
	if !ok {
		return c
	}
	return &directConn{Conn: c, direct: raw}
}

// direct is an IO that can also read once.
type direct interface {
	IO
	// Read is as of a net.Conn.
	Read(p []byte) (int, error)
}

// directConn is what Direct returns.
type directConn struct {
	net.Conn
	direct direct
}

func (c *directConn) Read(p []byte) (int, error)  { return c.direct.Read(p) }
func (c *directConn) Write(p []byte) (int, error) { return c.direct.Write(p) }

// TryWrite is as of an IO.
func (c *directConn) TryWrite(p []byte) (int, error) { return c.direct.TryWrite(p) }

// NetConn is the connection below, for those who neither read nor write.
func (c *directConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the direction to the other side.
func (c *directConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

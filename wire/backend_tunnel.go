// A connection that has switched protocols: two byte streams.

package wire

import (
	"io"
	"net"
)

// backendDuplex is the backend's side of a tunnel. Reading and writing may be concurrent.
type backendDuplex struct{ c *BackendConn }

// Read gives first what had come together with the response.
func (d *backendDuplex) Read(p []byte) (int, error) {
	if in := &d.c.in; in.mem != nil {
		n := copy(p, in.bytes())
		if in.r += n; in.len() == 0 {
			in.release()
		}
		if n > 0 {
			return n, nil
		}
	}
	return d.c.conn.Read(p)
}

func (d *backendDuplex) Write(p []byte) (int, error) { return d.c.conn.Write(p) }

// WriteTo moves everything the backend sends to w, in the kernel where both are sockets.
func (d *backendDuplex) WriteTo(w io.Writer) (int64, error) {
	var moved int64
	if in := &d.c.in; in.mem != nil {
		n, err := w.Write(in.bytes())
		moved = int64(n)
		if in.r += n; err != nil {
			return moved, err
		}
		in.release()
	}
	n, err := io.Copy(w, d.c.conn)
	return moved + n, err
}

// ReadFrom sends everything that r gives, in the kernel where both are sockets.
func (d *backendDuplex) ReadFrom(r io.Reader) (int64, error) { return io.Copy(d.c.conn, r) }

// CloseWrite ends our half of the tunnel.
func (d *backendDuplex) CloseWrite() error {
	if c, ok := d.c.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil // without half-close the end comes with Close
}

// Close ends both halves: reads and writes that wait return an error.
func (d *backendDuplex) Close() error { return d.c.conn.Close() }

// NetConn is the connection below, for whoever can move bytes between descriptors. What Read has still in hand comes before
// it.
func (d *backendDuplex) NetConn() net.Conn { return d.c.conn }

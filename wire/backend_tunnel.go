// A connection to a backend that has switched protocols: two byte streams.

package wire

import (
	"io"
	"net"
)

// backendDuplex implements Spliceable. Reading and writing may be done by two goroutines.
type backendDuplex struct {
	conn     net.Conn
	io       backendIO
	buffered []byte // came together with the response
}

func (d *backendDuplex) Read(p []byte) (int, error) {
	if len(d.buffered) > 0 {
		n := copy(p, d.buffered)
		d.buffered = d.buffered[n:]
		return n, nil
	}
	return d.conn.Read(p)
}

func (d *backendDuplex) Write(p []byte) (int, error) { return d.conn.Write(p) }

// WriteTo is how io.Copy reads: see tunnel.WriteTo.
func (d *backendDuplex) WriteTo(w io.Writer) (int64, error) {
	return relayAll(w, d.Buffered(), d.io.relay)
}

func (d *backendDuplex) CloseWrite() error {
	if c, ok := d.conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return d.conn.Close()
}

func (d *backendDuplex) Close() error { return d.conn.Close() }

// Buffered implements Spliceable.
func (d *backendDuplex) Buffered() []byte {
	b := d.buffered
	d.buffered = nil
	return b
}

// NetConn implements Spliceable.
func (d *backendDuplex) NetConn() net.Conn { return d.conn }

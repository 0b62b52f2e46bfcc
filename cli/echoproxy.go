// echo behind the PROXY protocol: connections begin with a header that says whose they are.

package cli

import (
	"net"
	"sync"
	"time"

	"github.com/wicketgate/wicketgate/wire/proxyproto"
)

// echoHeaderTimeout bounds how long a connection may take to send its header.
const echoHeaderTimeout = 10 * time.Second

// echoListener accepts connections that have to begin with a header of the PROXY protocol. Whoever is to be echoed may send any header: it protects
// nothing.
type echoListener struct{ net.Listener }

func (l echoListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &echoConn{Conn: c}, nil
}

// echoConn reads the header when something is first asked of it, so that a slow client keeps no other from being accepted. It may be used by several
// goroutines.
type echoConn struct {
	net.Conn
	once   sync.Once
	from   net.Addr // the client's, by the header
	failed error
}

func (c *echoConn) introduce() error {
	c.once.Do(func() {
		c.from = c.Conn.RemoteAddr()
		if c.failed = c.Conn.SetReadDeadline(time.Now().Add(echoHeaderTimeout)); c.failed != nil {
			return
		}
		header, err := proxyproto.Read(c.Conn)
		if err != nil {
			c.failed = err
			return
		}
		if !header.Local {
			c.from = net.TCPAddrFromAddrPort(header.Source)
		}
		c.failed = c.Conn.SetReadDeadline(time.Time{})
	})
	return c.failed
}

func (c *echoConn) Read(p []byte) (int, error) {
	if err := c.introduce(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *echoConn) Write(p []byte) (int, error) {
	if err := c.introduce(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *echoConn) RemoteAddr() net.Addr {
	_ = c.introduce() // Read and Write tell
	return c.from
}

// TLS towards backends: the handshake, and looking for unread bytes under it.
//
// On a TLS connection bytes that wait on the socket need not be a response: after a handshake of TLS 1.3 backends send session tickets. So the look
// before a request lets TLS itself read what is there, without waiting: tickets are taken in, and only what is left after that (data, an
// alert, the end) makes the connection unfit. For this the socket below TLS has a mode in which a read that would wait fails as if a
// deadline had passed, an error after which crypto/tls goes on.

package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// SecureBackend does the handshake of a client on c and returns the connection to be given to NewBackendConn, or to its like of HTTP/2. ctx ends the handshake, and nothing
// later. After an error c is closed.
func SecureBackend(ctx context.Context, c net.Conn, config *tls.Config) (net.Conn, error) {
	socket := &patientSocket{Conn: Direct(c), now: readNow(c)}
	s := &secureBackend{Conn: tls.Client(socket, config), socket: socket}
	if err := s.HandshakeContext(ctx); err != nil {
		_ = c.Close() // the handshake's error says it all
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return s, nil
}

// BackendALPN is what the backend chose by ALPN on a connection of SecureBackend's: "" if nothing.
func BackendALPN(c net.Conn) string {
	if s, ok := c.(*secureBackend); ok {
		return s.ConnectionState().NegotiatedProtocol
	}
	return ""
}

// secureBackend is a TLS connection that can be looked at.
type secureBackend struct {
	*tls.Conn
	socket *patientSocket
}

// Read tells an end that the backend announced from one that anybody on the way may have made, and by which a body that only the end delimits
// would be cut short unnoticed (RFC 9112 section 9.8). crypto/tls takes both for the same.
func (s *secureBackend) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, io.EOF) && s.socket.ended {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// quiet reports whether nothing but TLS's own messages waits to be read, and takes those in.
func (s *secureBackend) quiet() bool {
	var p [1]byte
	s.socket.impatient = true
	n, err := s.Read(p[:])
	s.socket.impatient = false
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// patientSocket is the socket below TLS. impatient and ended belong to the goroutine that reads.
type patientSocket struct {
	net.Conn
	now       func(p []byte) (int, error) // reads without waiting
	impatient bool
	ended     bool // TLS has read the end of the stream
}

func (s *patientSocket) Read(p []byte) (n int, err error) {
	if s.impatient {
		n, err = s.now(p)
	} else {
		n, err = s.Conn.Read(p)
	}
	s.ended = errors.Is(err, io.EOF)
	return n, err
}

// farewell bounds how long a connection that is closed waits to say so. crypto/tls would wait for 5 s where a backend does not read.
const farewell = 100 * time.Millisecond

// SetWriteDeadline is what crypto/tls calls before its last message, and what stops an upload.
func (s *patientSocket) SetWriteDeadline(t time.Time) error {
	if end := time.Now().Add(farewell); t.After(end) {
		t = end
	}
	return s.Conn.SetWriteDeadline(t)
}

// readSoon returns a function that reads with next to no patience, where the only way to look is to wait.
func readSoon(c net.Conn) func([]byte) (int, error) {
	return func(p []byte) (int, error) {
		if err := c.SetReadDeadline(time.Now().Add(lookTime)); err != nil {
			return 0, err
		}
		n, err := c.Read(p)
		if reset := c.SetReadDeadline(time.Time{}); err == nil {
			err = reset
		}
		return n, err
	}
}

// Handshakes: one configuration for the life of the process, so that session tickets outlive reloads.

package tls

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// DefaultHandshakeTimeout is how long a client may take from the accepted connection to the end of its handshake.
const DefaultHandshakeTimeout = 10 * time.Second

// HTTP2 is the name of HTTP/2 in ALPN.
const HTTP2 = "h2"

// Options configure a Server.
type Options struct {
	// Current gives the table that is in force. It is asked at every handshake, concurrently, and may return nil while nothing is served.
	Current func() *Certificates
	// Timeout bounds a handshake; zero means DefaultHandshakeTimeout.
	Timeout time.Duration
	Log     *slog.Logger
	// Challenge, if set, gives the certificate that answers a TLS-ALPN-01 challenge for a name, or nil. It may block a little.
	Challenge func(ctx context.Context, name string) *tls.Certificate
	// OnDemand, if set, gives the certificates of names that listeners have on demand.
	OnDemand OnDemand
	// Done, if set, is told of every handshake: Succeeded or why it failed, as a word for a metric's label.
	Done func(Outcome)
}

// Outcome says how a handshake ended.
type Outcome string

// The outcomes.
const (
	Succeeded     Outcome = "ok"
	NoCertificate Outcome = "no_certificate"     // no listener has a certificate for the server name
	BadClient     Outcome = "client_certificate" // the client showed no certificate where one is demanded, or none that is valid
	Challenged    Outcome = "challenge"          // a certificate authority looked at the answer to its challenge
	TimedOut      Outcome = "timeout"
	NotTLS        Outcome = "not_tls" // plain HTTP, or something else
	ClientLeft    Outcome = "client_left"
	Failed        Outcome = "failed" // no common version or cipher, an alert from the client, garbage
)

// HandshakeError says why a handshake failed.
type HandshakeError struct {
	Outcome    Outcome
	ServerName string // what the client asked for, if it came that far
	Err        error
}

func (e *HandshakeError) Error() string {
	if e.Outcome == NoCertificate {
		return fmt.Sprintf("no listener here has a certificate for the server name %q", e.ServerName)
	}
	return e.Err.Error()
}

// Unwrap returns what crypto/tls said.
func (e *HandshakeError) Unwrap() error { return e.Err }

// Server does the handshakes of all sockets. It is safe for concurrent use.
type Server struct {
	config  *tls.Config
	current func() *Certificates
	timeout time.Duration
	log     *slog.Logger
	done    func(Outcome)

	challenge func(context.Context, string) *tls.Certificate
	onDemand  OnDemand
}

// NewServer makes a Server.
func NewServer(o Options) *Server {
	s := &Server{current: o.Current, timeout: o.Timeout, log: o.Log, done: o.Done, challenge: o.Challenge, onDemand: o.OnDemand}
	if s.timeout == 0 {
		s.timeout = DefaultHandshakeTimeout
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.done == nil {
		s.done = func(Outcome) {}
	}
	s.config = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{HTTP2, "http/1.1"},
		GetCertificate:     certificate,
		GetConfigForClient: s.configFor,
		// Full records from the first byte on: small first records serve browsers on slow links, and cost system calls everywhere else.
		DynamicRecordSizingDisabled: true,
	}
	return s
}

// Terminates says whether a connection that the socket bound to bind accepted begins with a handshake.
func (s *Server) Terminates(c net.Conn, bind netip.AddrPort) bool {
	table := s.current()
	return table != nil && table.at(bind, localAddr(c)) != nil
}

// hello travels in a handshake's context to the choice of the certificate and back.
type hello struct {
	names  *names // nil: nothing is served there any more
	demand OnDemand
	name   string
	missed bool
	// protocols, unless foreign is false, replace the Server's: the application on the connection is not ours.
	protocols []string
	foreign   bool
}

type helloKey struct{}

// certificate is the GetCertificate of every handshake. Without a certificate it returns neither that nor an error: crypto/tls then sends
// the alert unrecognized_name (RFC 6066 section 3), which says what is wrong, where an error would make it internal_error.
func certificate(info *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h, ok := info.Context().Value(helloKey{}).(*hello)
	if !ok {
		return nil, errors.New("handshake outside of a Server")
	}
	h.name = info.ServerName
	var cert *tls.Certificate
	if h.names != nil {
		cert = h.names.listener(info.ServerName).certificate(info, h.demand, true)
	}
	h.missed = cert == nil
	return cert, nil
}

// Handshake performs the server's side of a handshake on a connection that the socket bound to bind accepted. It blocks until that is
// done or the timeout has passed. On an error, always a *HandshakeError, it has closed the connection and logged why.
func (s *Server) Handshake(c net.Conn, bind netip.AddrPort) (*tls.Conn, error) {
	return s.handshake(c, bind, &hello{})
}

// HandshakeFor is Handshake for an application that is not HTTP: the client is told to speak the first of its protocols that is in
// protocols (RFC 7301), and nothing of protocols if that is empty.
func (s *Server) HandshakeFor(c net.Conn, bind netip.AddrPort, protocols []string) (*tls.Conn, error) {
	return s.handshake(c, bind, &hello{protocols: protocols, foreign: true})
}

func (s *Server) handshake(c net.Conn, bind netip.AddrPort, h *hello) (*tls.Conn, error) {
	h.demand = s.onDemand
	if table := s.current(); table != nil {
		h.names = table.at(bind, localAddr(c))
	}
	// The deadline does what a context's would, without a goroutine a handshake.
	_ = c.SetDeadline(time.Now().Add(s.timeout)) // a dead connection fails in the handshake
	under := c
	if !h.foreign {
		under = &records{Conn: c}
	}
	secure := tls.Server(under, s.config)
	err := secure.HandshakeContext(context.WithValue(context.Background(), helloKey{}, h))
	if err == nil {
		err = c.SetDeadline(time.Time{})
	}
	if err == nil && secure.ConnectionState().NegotiatedProtocol == challengeProtocol {
		err = errChallenge
	}
	if err == nil {
		s.done(Succeeded)
		return secure, nil
	}
	failed := &HandshakeError{Outcome: classify(err, h), ServerName: h.name, Err: err}
	refusePlain(err)
	_ = c.Close()
	s.done(failed.Outcome)
	s.log.Debug("TLS handshake failed", "client", c.RemoteAddr(), "socket", bind, "server_name", h.name, "outcome", failed.Outcome, "error", failed)
	return nil, failed
}

func localAddr(c net.Conn) netip.Addr {
	switch a := c.LocalAddr().(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case *net.UDPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func classify(err error, h *hello) Outcome {
	switch {
	case errors.Is(err, errChallenge):
		return Challenged
	case h.missed:
		return NoCertificate
	case errors.Is(err, os.ErrDeadlineExceeded):
		return TimedOut
	case badClient(err):
		return BadClient
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ClientLeft
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return NotTLS
	}
	return Failed
}

// refusePlain tells a client that speaks plain HTTP to a TLS port what went wrong, in plain HTTP.
func refusePlain(err error) {
	record, ok := errors.AsType[tls.RecordHeaderError](err)
	if !ok || record.Conn == nil {
		return
	}
	for _, method := range [...]string{"GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO", "CONNE"} {
		if bytes.HasPrefix(record.RecordHeader[:], []byte(method)) {
			const text = "This port speaks HTTPS: the address begins with https://\n"
			// Nothing is to be done about a client that does not read it.
			_, _ = fmt.Fprintf(record.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
				"Connection: close\r\n\r\n%s", len(text), text)
			return
		}
	}
}

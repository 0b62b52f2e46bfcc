// Package backend is the side of the proxy that faces backends: endpoints, their health, balancing between them, and pools of connections to
// them. It outlives snapshots: backends are found again by key, so a reload keeps connections and what is known of health.
//
// One request goes: pick an endpoint (balance.go), take an idle connection of it (pool.go) or dial (roundtrip.go), exchange (wire.BackendConn),
// and give the connection back when the response is finished. With HTTP/2 it takes a stream of a connection that others use as well (shared.go). An endpoint that cannot be reached is left out for a while (health.go). A
// backend that is given by name finds its endpoints in the background (resolve.go).
package backend

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

// Config says what a backend is. Two equal Keys in successive snapshots are the same backend, with whatever else changed.
type Config struct {
	Key       string
	Endpoints []netip.AddrPort
	// Sockets are paths of Unix sockets, which are endpoints as well.
	Sockets []string
	// Hosts are destinations by name, where there are neither Endpoints nor Sockets. The endpoints are the addresses of all of them.
	Hosts []Host
	// Loopback: addresses of this machine may be dialled, because an object or flag names them.
	Loopback bool
	// TLS is spoken to the endpoints; nil: plaintext. It is the same for equal Keys.
	TLS *TLS
	// Protocol is what the endpoints speak. It is the same for equal Keys.
	Protocol Protocol
	// Introduce is the version of the PROXY protocol whose header connections begin with; 0: none. It is the same for equal Keys.
	Introduce int
}

// Host is a destination by name.
type Host struct {
	Names []string // absolute DNS names, to try in order
	Port  uint16
	// Public: addresses of any network are believed; otherwise only those of private ones.
	Public bool
}

func (h Host) equal(o Host) bool {
	return h.Port == o.Port && h.Public == o.Public && slices.Equal(h.Names, o.Names)
}

// TLS says how connections are secured. It is not changed once it was given to Acquire.
type TLS struct {
	Config *tls.Config // every endpoint has a session cache of its own; NextProtos is set by Config.Protocol
	Policy string      // names in errors what demands it
}

// Timeouts bound one forwarded request; zero means no bound. The times hold until the last byte of the response's body was read.
type Timeouts struct {
	Request time.Time     // the whole request ends here
	Backend time.Duration // one attempt, from its dial on
	// Single: no part of the request is sent twice, not even after a kept connection turned out to be dead.
	Single bool
}

// Response is a backend's answer. It is reusable: the caller keeps one for each exchange (sync.Pool) and passes it to RoundTrip.
// What it points to is valid until Finish. It belongs to the goroutine that called RoundTrip.
type Response struct {
	Head message.Head
	Body message.Body // nil: none
	// Duplex is set with status 101. Finish closes it.
	Duplex wire.Duplex
	// Endpoint answered, or, where it is a Unix socket, the one at the path Socket; Attempts counts the endpoints that were tried.
	Endpoint netip.AddrPort
	Socket   string
	Attempts int
	// ID is that endpoint's, and Prefer, which the caller sets, that of the endpoint to choose while it is there and takes connections; 0: any.
	ID, Prefer uint64

	// The exchange has a connection of HTTP/1.1 for itself, or a stream of HTTP/2.
	conn   *wire.BackendConn
	stream *h2.BackendStream
	lane   *lane
}

// Finish ends the exchange: a stream is reset unless it is complete; a connection of HTTP/1.1 goes back to the pool if the response was received to its end and the backend keeps the
// connection, and is closed otherwise. An upload that is still going on (the backend answered early) is stopped. Head, Body and Duplex
// must not be used afterwards. Calling it again, or after RoundTrip failed, does nothing.
func (r *Response) Finish() {
	c, l := r.conn, r.lane
	if c == nil {
		r.finishStream()
		return
	}
	r.conn, r.lane, r.Body, r.Duplex = nil, nil, nil, nil
	defer l.leave()
	if !c.Finish() {
		if c.Excess() {
			l.endpoint.stats.Excess.Add(1)
		}
		return
	}
	l.put(c)
}

func (r *Response) finishStream() {
	if s, l := r.stream, r.lane; s != nil {
		r.stream, r.lane, r.Body, r.Duplex = nil, nil, nil, nil
		s.Finish()
		l.leave()
	}
}

// Result classifies why there is no response. See Error.
type Result uint8

// The results, each with the status that the client gets.
const (
	NoEndpoint      Result = iota // 503: none is ready, or its name does not resolve
	ConnectFailed                 // 503
	HandshakeFailed               // 502: the endpoint does not speak TLS, or its certificate is not to be trusted
	Broken                        // 502: reset, garbage, half a head
	Refused                       // 503: endpoints said, several times, that they would not process the request
	TimedOut                      // 504
	ClientGone                    // nobody to answer
	RequestFailed                 // the client's body broke off or was malformed: 400 or nothing
)

// Error is what RoundTrip returns when no response head arrived.
type Error struct {
	Result   Result
	Endpoint netip.AddrPort // zero if none was chosen, or if it is a Unix socket
	Socket   string
	// Sent: a part of the request may have reached the endpoint, which may have acted on it.
	Sent bool
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

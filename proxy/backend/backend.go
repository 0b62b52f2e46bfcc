// Package backend is the side of the proxy that faces backends: endpoints, their health, balancing between them, and pools of connections to
// them. It outlives snapshots: backends are found again by key, so a reload keeps connections and what is known of health.
package backend

import (
	"net/netip"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// Config says what a backend is. Two equal Keys in successive snapshots are the same backend, with whatever else changed.
type Config struct {
	Key       string
	Endpoints []netip.AddrPort
	// Names are absolute DNS names to try in order, where there are no Endpoints; Port goes with them.
	Names []string
	Port  uint16
	// Loopback: addresses of this machine may be dialled, because an object or flag names them.
	Loopback bool
}

// Timeouts bound one forwarded request; zero means none.
type Timeouts struct {
	Request time.Time     // the whole request ends here
	Backend time.Duration // one attempt
}

// Response is a backend's answer. It is reusable: the caller keeps one for each exchange (sync.Pool) and passes it to RoundTrip.
type Response struct {
	Head message.Head
	Body message.Body // nil: none
	// Duplex is set with status 101.
	Duplex wire.Duplex
	// Endpoint answered; Attempts counts the endpoints that were tried.
	Endpoint netip.AddrPort
	Attempts int
}

// Result classifies why there is no response. See Error.
type Result uint8

// The results, each with the status that the client gets.
const (
	NoEndpoint    Result = iota // 503: none is ready, or its name does not resolve
	ConnectFailed               // 503
	Broken                      // 502: reset, garbage, half a head
	TimedOut                    // 504
	ClientGone                  // nobody to answer
	RequestFailed               // the client's body broke off or was malformed: 400 or nothing
)

// Error is what RoundTrip returns when no response head arrived.
type Error struct {
	Result   Result
	Endpoint netip.AddrPort // zero if none was chosen
	Err      error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Destinations of datagrams. There is nothing to connect to: what is shared with requests and streams is the choice of the endpoint and its health,
// which is known from what comes back. An ICMP message that nobody listens there is a failure, an answer is a success.

package backend

import (
	"errors"
	"net/netip"
)

// errNotFound says that a backend's names have not been looked up, or do not resolve.
var errNotFound = errors.New("the backend's name has no address yet")

// errUnixDatagrams says that an endpoint is a Unix socket.
var errUnixDatagrams = errors.New("a Unix socket is no destination for datagrams: use a Service or an ip endpoint")

// Destination is an endpoint that was chosen for datagrams. The zero value is none.
type Destination struct{ e *endpoint }

// Destination chooses the endpoint whose turn it is. Others than avoid come first; avoid is chosen all the same if there is no other one. It does not
// block: a backend whose names have not been looked up yet has no endpoint. An error is an *Error.
func (b *Backend) Destination(avoid Destination) (Destination, error) {
	var tried []*endpoint
	if avoid.e != nil {
		tried = append(tried, avoid.e)
	}
	var refused error
	for {
		e := b.pick(tried)
		if e == nil && refused == nil && avoid.e != nil && avoid.e.backend == b && !avoid.Gone() {
			e = avoid.e
			avoid = Destination{}
		}
		if e == nil {
			break
		}
		err := b.sendable(e)
		if err == nil {
			return Destination{e}, nil
		}
		e.stats.Failed.Add(1)
		e.failed(err)
		refused = err
		tried = append(tried, e)
	}
	switch {
	case refused != nil:
		return Destination{}, &Error{Result: ConnectFailed, Err: refused}
	case b.names.Load() != nil:
		return Destination{}, &Error{Result: NoEndpoint, Err: errNotFound}
	}
	return Destination{}, &Error{Result: NoEndpoint, Err: errNoEndpoint}
}

// sendable says why no datagrams may be sent to an endpoint, or nil.
func (b *Backend) sendable(e *endpoint) error {
	allowed := b.registry.opt.Datagrams
	switch {
	case !e.addr.IsValid():
		return errUnixDatagrams
	case allowed == nil:
		return nil
	}
	return allowed(e.addr, b.loopback.Load())
}

// Addr is where the datagrams go.
func (d Destination) Addr() netip.AddrPort { return d.e.addr }

// Of reports whether the destination is one of b's, a *Backend.
func (d Destination) Of(b any) bool { return d.e != nil && any(d.e.backend) == b }

// Gone reports whether the backend does not have the endpoint any more.
func (d Destination) Gone() bool { return d.e == nil || d.e.pool.closed.Load() }

// Failed records that nobody listens there.
func (d Destination) Failed(why error) {
	if exhausted(why) {
		return
	}
	d.e.stats.Failed.Add(1)
	d.e.failed(why)
	if n := d.e.backend.names.Load(); n != nil {
		n.hurry()
	}
}

// Opened counts a session that has begun.
func (d Destination) Opened() { d.e.stats.Opened.Add(1) }

// Answered records that somebody does.
func (d Destination) Answered() { d.e.restore() }

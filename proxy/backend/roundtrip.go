// One request: choosing, dialling, sending, and what to do when that fails.
//
// What may be tried again, and what never is:
//
//   - An endpoint that cannot be connected to, or with which the TLS handshake fails: the next one, at once, each at most once.
//   - A kept connection that is found dead, or with bytes on it, before anything was sent: another one. Nothing was sent, so this
//     is not a retry, and any request may do it.
//   - A kept connection that breaks after the request was sent and before any byte of an answer: the backend may have closed it just then, or
//     may have died of the request. One retry on a new connection, if the method is idempotent (RFC 9110 section 9.2.2) and the
//     body is none or still all in hand. Timeouts.Single forbids it.
//   - A request that the backend says it did not process (HTTP/2: GOAWAY, REFUSED_STREAM): another connection, for a few times, if the body
//     is none or still all in hand. Timeouts.Single forbids it.
//   - Everything else is an error: a new connection that breaks, half an answer, garbage, a timeout.

package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
	"github.com/wicketgate/wicketgate/wire/h2"
)

var errNoEndpoint = errors.New("the backend has no endpoint")

// RoundTrip sends a request and waits for the head of its response, which it stores in res together with the body. x is the exchange that
// the request came with: interim responses go to it, and when its client leaves, the request is broken off. It may be nil. body is
// read by a goroutine of its own if it is not all in hand, until it ends or res.Finish returns.
//
// An error is an *Error, and res needs no Finish then. After success Finish must be called once.
func (b *Backend) RoundTrip(x wire.Exchange, req *message.Head, body message.Body, t Timeouts, res *Response) error {
	res.Head.Reset()
	res.Body, res.Duplex, res.Endpoint, res.Socket, res.Attempts, res.ID = nil, nil, netip.AddrPort{}, "", 0, 0
	a := attempt{b: b, x: x, t: t, res: res}
	var e *endpoint
	for {
		if e == nil {
			if e = b.choose(res.Prefer, a.tried); e == nil {
				if err := a.none(); err != nil {
					return err
				}
				continue
			}
			res.Attempts++
		}
		failure, err := a.exchange(e, req, body)
		switch {
		case err != nil:
			if err.Result != ConnectFailed && err.Result != HandshakeFailed || a.tired {
				return err
			}
			e = nil
		case failure == nil:
			if a.reused {
				e.stats.Reused.Add(1)
				e.restore()
			}
			res.Endpoint, res.Socket, res.ID = e.addr, e.path, e.id
			return nil
		default:
			if err := a.again(e, failure, req); err != nil {
				return err
			}
			if failure.Kind == wire.BackendRefused {
				e = nil // it may be going: others first
			}
		}
	}
}

// exchange sends the request to e and waits for the head of the response. The error says that there was no connection to send it on, the
// failure what became of it otherwise.
func (a *attempt) exchange(e *endpoint, req *message.Head, body message.Body) (*wire.BackendError, *Error) {
	l := e.laneOf(a.origin())
	failure, err := a.travel(l, req, body)
	if failure != nil || err != nil {
		l.leave()
	} else {
		a.res.lane = l
	}
	return failure, err
}

// origin is whose connection the request came by, if connections are opened for somebody.
func (a *attempt) origin() *wire.Origin {
	if a.b.introduce == 0 || a.x == nil {
		return nil
	}
	if p := a.x.Peer(); p != nil {
		return p.Origin
	}
	return nil
}

// travel is exchange on a lane of the endpoint.
func (a *attempt) travel(l *lane, req *message.Head, body message.Body) (*wire.BackendError, *Error) {
	res, e := a.res, l.endpoint
	if a.began(); !a.http1 && e.shares(req) {
		conn, err := l.shared.join(a, a.avoid)
		if err != nil {
			return nil, a.missed(e, err)
		}
		if conn != nil {
			return a.share(conn, req, body)
		}
	}
	wire.Block(a.x)
	conn, err := a.connect(l)
	if err != nil {
		return nil, err
	}
	failure := conn.Do(a.x, req, body, a.deadline(), &res.Head)
	if failure == nil {
		res.conn, res.Body, res.Duplex = conn, conn.Body(), conn.Duplex()
	}
	return failure, nil
}

// share sends the request on a stream of a shared connection.
func (a *attempt) share(conn *h2.BackendConn, req *message.Head, body message.Body) (*wire.BackendError, *Error) {
	if len(req.Upgrade) > 0 && !conn.Connects() {
		conn.Unreserve()
		return nil, &Error{Result: Broken, Err: errNoConnect}
	}
	res := a.res
	stream, failure := conn.Do(a.x, req, body, a.deadline(), &res.Head)
	if failure != nil {
		a.avoid = conn
		return failure, nil
	}
	res.stream, res.Body, res.Duplex = stream, stream.Body(), stream.Duplex()
	return nil, nil
}

// attempt is the state of one RoundTrip. It lives on its stack.
type attempt struct {
	b   *Backend
	x   wire.Exchange
	t   Timeouts
	res *Response

	tried    []*endpoint // could not be connected to
	last     *Error      // of them
	started  time.Time   // the present attempt, if it is timed
	dialling time.Time   // the first dial that failed
	tired    bool        // too much time went into dials that failed
	awaited  bool        // the first lookup
	reused   bool        // the connection was a kept one
	refusals int         // exchanges that came to nothing because the backend did not begin them
	avoid    *h2.BackendConn
	fresh    bool // no kept connection any more: this is the retry
	http1    bool // the backend demands HTTP/1.1 for this request
}

// none says what to do without an endpoint to try: give up with an error, or look again because the first lookup is over.
func (a *attempt) none() error {
	if a.last != nil {
		return a.last
	}
	n := a.b.names.Load()
	if n == nil || a.awaited {
		return &Error{Result: NoEndpoint, Err: errNoEndpoint}
	}
	a.awaited = true
	wire.Block(a.x)
	ctx, cancel := a.context(a.b.registry.opt.LookupTimeout)
	defer cancel()
	if err := n.await(ctx); err != nil {
		return &Error{Result: a.result(NoEndpoint), Err: err}
	}
	return nil
}

// began starts the clock of an attempt that is timed.
func (a *attempt) began() {
	if a.t.Backend > 0 && a.started.IsZero() {
		a.started = time.Now()
	}
}

// connect returns a connection of a lane: a kept one, or a new one.
func (a *attempt) connect(l *lane) (*wire.BackendConn, *Error) {
	if !a.fresh {
		if c := l.pool.take(); c != nil {
			a.reused = true
			return c, nil
		}
	}
	a.reused = false
	return a.dial(l)
}

func (a *attempt) dial(l *lane) (*wire.BackendConn, *Error) {
	e := l.endpoint
	began := time.Now()
	c, why, err := a.open(l)
	if err == nil {
		e.stats.Opened.Add(1)
		e.restore()
		return e.speakHTTP1(c), nil
	}
	failure := &Error{Result: a.result(why), Endpoint: e.addr, Socket: e.path, Err: fmt.Errorf("connecting to %s: %w", e, err)}
	switch failure.Result {
	case ClientGone:
		return nil, failure
	case TimedOut: // ours ran out, which says nothing of the endpoint
		e.stats.Failed.Add(1)
		return nil, failure
	}
	e.unreachable(failure)
	if a.dialling.IsZero() {
		a.dialling = began
	}
	return nil, a.missed(e, failure)
}

// open dials and does the handshake of TLS. Of what fails it says which of the two it was.
func (a *attempt) open(l *lane) (net.Conn, Result, error) {
	r, e := a.b.registry, l.endpoint
	ctx, cancel := a.context(r.opt.ConnectTimeout)
	defer cancel()
	c, err := l.connect(ctx)
	if err != nil || e.tls1 == nil {
		return c, ConnectFailed, err
	}
	patience, stop := a.context(r.opt.HandshakeTimeout)
	defer stop()
	c, err = e.secure(patience, c, e.tls1)
	return c, HandshakeFailed, err
}

// missed remembers that there was no connection to e, and returns why.
func (a *attempt) missed(e *endpoint, failure *Error) *Error {
	if failure.Result != ConnectFailed && failure.Result != HandshakeFailed {
		return failure
	}
	if a.dialling.IsZero() {
		a.dialling = time.Now()
	}
	a.tried, a.last, a.started = append(a.tried, e), failure, time.Time{}
	a.tired = time.Since(a.dialling) >= maxConnecting*a.b.registry.opt.ConnectTimeout
	return failure
}

// unreachable records that a dial, or the handshakes after it, failed.
func (e *endpoint) unreachable(failure *Error) {
	e.stats.Failed.Add(1)
	if exhausted(failure.Err) {
		return
	}
	e.failed(errors.Unwrap(failure.Err))
	if n := e.backend.names.Load(); n != nil {
		n.hurry()
	}
}

// exhausted reports whether a dial failed for want of descriptors or memory here: that says nothing of the endpoint.
func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// maxConnecting is how many connect timeouts a request may spend on endpoints that do not answer at all.
const maxConnecting = 3

// context returns the exchange's context, which ends no later than after d and at the request's deadline.
func (a *attempt) context(d time.Duration) (context.Context, context.CancelFunc) {
	ctx := context.Background()
	if a.x != nil {
		ctx = a.x.Context()
	}
	end := time.Now().Add(d)
	if own := a.deadline(); !own.IsZero() && own.Before(end) {
		end = own
	}
	return context.WithDeadline(ctx, end)
}

// deadline is the end of this attempt; zero if there is none.
func (a *attempt) deadline() time.Time {
	d := a.t.Request
	if a.t.Backend > 0 && !a.started.IsZero() {
		if end := a.started.Add(a.t.Backend); d.IsZero() || end.Before(d) {
			d = end
		}
	}
	return d
}

// result is the reason of a failure to connect or to look up: the client's leaving or our own timeout, if it was that, else r.
func (a *attempt) result(r Result) Result {
	if a.x != nil && a.x.Context().Err() != nil {
		return ClientGone
	}
	if d := a.deadline(); !d.IsZero() && !time.Now().Before(d) {
		return TimedOut
	}
	return r
}

// again decides whether the request is sent once more; if not, it returns the error.
func (a *attempt) again(e *endpoint, f *wire.BackendError, req *message.Head) error {
	switch f.Kind {
	case wire.BackendStale:
		if a.avoid == nil && a.reused || a.avoid != nil && a.refused() {
			e.stats.Discarded.Add(1)
			return nil
		}
	case wire.BackendRefused:
		if a.elsewhere(f) {
			e.stats.Retried.Add(1)
			return nil
		}
	case wire.BackendBroken:
		if a.reused && !a.fresh && !a.t.Single && harmless(f, req) {
			e.stats.Retried.Add(1)
			a.fresh = true
			return nil
		}
	}
	return &Error{
		Result: resultOf(f), Endpoint: e.addr, Socket: e.path, Sent: f.Kind != wire.BackendRefused, Err: fmt.Errorf("endpoint %s: %w", e, f),
	}
}

// elsewhere reports whether a request that a backend of HTTP/2 did not process may be sent once more: on another connection, or over HTTP/1.1 if
// the backend demands that and its protocol was left to the handshake.
func (a *attempt) elsewhere(f *wire.BackendError) bool {
	if errors.Is(f.Err, h2.ErrHTTP1Required) {
		if a.b.protocol != Auto {
			return false
		}
		a.http1 = true
	}
	return !f.Consumed && !a.t.Single && a.refused()
}

// harmless reports whether a request that broke off may be repeated: it does no harm twice, nothing was answered, and its body is still there.
func harmless(f *wire.BackendError, req *message.Head) bool {
	return !f.Answered && !f.Consumed && Idempotent(req.Method)
}

// resultOf is what a failure comes to for the client.
func resultOf(f *wire.BackendError) Result {
	switch f.Kind {
	case wire.BackendTimeout:
		return TimedOut
	case wire.BackendCancelled:
		return ClientGone
	case wire.BackendRequest:
		if errors.Is(f.Err, wire.ErrClientGone) {
			return ClientGone
		}
		return RequestFailed
	case wire.BackendRefused:
		return Refused
	default:
		return Broken
	}
}

// maxRefusals is how often a request may come to a shared connection that does not take it.
const maxRefusals = 4

// refused counts a connection that did not take the request, and reports whether another may be tried.
func (a *attempt) refused() bool {
	a.refusals++
	return a.refusals <= maxRefusals
}

// Idempotent reports whether RFC 9110 section 9.2.2 defines the method as one that may be repeated.
func Idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

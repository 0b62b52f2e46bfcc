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
//   - Everything else is an error: a new connection that breaks, half an answer, garbage, a timeout.

package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

var errNoEndpoint = errors.New("the backend has no endpoint")

// RoundTrip sends a request and waits for the head of its response, which it stores in res together with the body. x is the exchange that
// the request came with: interim responses go to it, and when its client leaves, the request is broken off. It may be nil. body is
// read by a goroutine of its own if it is not all in hand, until it ends or res.Finish returns.
//
// An error is an *Error, and res needs no Finish then. After success Finish must be called once.
func (b *Backend) RoundTrip(x wire.Exchange, req *message.Head, body message.Body, t Timeouts, res *Response) error {
	res.Head.Reset()
	res.Body, res.Duplex, res.Endpoint, res.Attempts = nil, nil, netip.AddrPort{}, 0
	a := attempt{b: b, x: x, t: t, res: res}
	var e *endpoint
	for {
		if e == nil {
			if e = b.pick(a.tried); e == nil {
				if err := a.none(); err != nil {
					return err
				}
				continue
			}
			res.Attempts++
		}
		conn, err := a.connect(e)
		if err != nil {
			if err.Result != ConnectFailed && err.Result != HandshakeFailed || a.tired {
				return err
			}
			e = nil
			continue
		}
		failure := conn.Do(x, req, body, a.deadline(), &res.Head)
		if failure == nil {
			if a.reused {
				e.stats.Reused.Add(1)
				e.restore()
			}
			res.conn, res.endpoint, res.Endpoint = conn, e, e.addr
			res.Body, res.Duplex = conn.Body(), conn.Duplex()
			return nil
		}
		if err := a.again(e, failure, req); err != nil {
			return err
		}
	}
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
	fresh    bool        // no kept connection any more: this is the retry
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
	ctx, cancel := a.context(a.b.registry.opt.LookupTimeout)
	defer cancel()
	if err := n.await(ctx); err != nil {
		return &Error{Result: a.result(NoEndpoint), Err: err}
	}
	return nil
}

// connect returns a connection to e: a kept one, or a new one.
func (a *attempt) connect(e *endpoint) (*wire.BackendConn, *Error) {
	if a.t.Backend > 0 && a.started.IsZero() {
		a.started = time.Now()
	}
	if !a.fresh {
		if c := e.pool.take(); c != nil {
			a.reused = true
			return c, nil
		}
	}
	a.reused = false
	return a.dial(e)
}

func (a *attempt) dial(e *endpoint) (*wire.BackendConn, *Error) {
	r := a.b.registry
	ctx, cancel := a.context(r.opt.ConnectTimeout)
	defer cancel()
	began := time.Now()
	c, err := r.opt.Dial(ctx, e.addr, a.b.loopback.Load())
	why := ConnectFailed
	if err == nil && e.tls != nil {
		why = HandshakeFailed
		c, err = a.secure(e, c)
	}
	if err == nil {
		e.stats.Opened.Add(1)
		e.restore()
		return wire.NewBackendConn(c, r.opt.Portable), nil
	}
	failure := &Error{Result: a.result(why), Endpoint: e.addr, Err: fmt.Errorf("connecting to %s: %w", e.addr, err)}
	if failure.Result == ClientGone {
		return nil, failure
	}
	e.stats.Failed.Add(1)
	if failure.Result == TimedOut {
		return nil, failure // ours ran out, which says nothing of the endpoint
	}
	if !exhausted(err) {
		e.failed(err)
		if n := a.b.names.Load(); n != nil {
			n.hurry()
		}
	}
	a.tried, a.last, a.started = append(a.tried, e), failure, time.Time{}
	if a.dialling.IsZero() {
		a.dialling = began
	}
	a.tired = time.Since(a.dialling) >= maxConnecting*r.opt.ConnectTimeout
	return nil, failure
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

// again decides whether the request is sent once more, to the same endpoint; if not, it returns the error.
func (a *attempt) again(e *endpoint, f *wire.BackendError, req *message.Head) error {
	if f.Kind == wire.BackendStale && a.reused {
		e.stats.Discarded.Add(1)
		return nil
	}
	if f.Kind == wire.BackendBroken && a.reused && !f.Answered && !f.Consumed && !a.t.Single && Idempotent(req.Method) {
		e.stats.Retried.Add(1)
		a.fresh = true
		return nil
	}
	out := &Error{Endpoint: e.addr, Sent: true, Err: fmt.Errorf("endpoint %s: %w", e.addr, f)}
	switch f.Kind {
	case wire.BackendTimeout:
		out.Result = TimedOut
	case wire.BackendCancelled:
		out.Result = ClientGone
	case wire.BackendRequest:
		out.Result = RequestFailed
	default:
		out.Result = Broken
	}
	return out
}

// Idempotent reports whether RFC 9110 section 9.2.2 defines the method as one that may be repeated.
func Idempotent(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// Retries by a rule's retry stanza (GEP-1731), in place of an answer that the client would not like.
//
// A request is sent again, to the same backendRef and as often as attempts says, only while the client has had no final response (interim
// ones may have passed), while the body can be sent again (backend.Replay), and after one of these:
//
//	what the try came to                            is tried again
//	no connection could be made                     with every method: nothing was sent
//	the backend said that it did not process it     with every method (HTTP/2: GOAWAY, REFUSED_STREAM)
//	a status that codes lists                       with every method: the route's author says that it may be
//	timeouts.backendRequest ran out                 with idempotent methods (RFC 9110 section 9.2.2); before anything was sent, with every one
//	the connection broke, or half an answer came    with idempotent methods, if codes lists 502, which is what the client would get
//
// The last two leave open whether the backend did what it was asked, so a POST or PATCH is never repeated after them. A backend without any
// endpoint, a request whose client has left or whose body failed, and one whose timeouts.request has run out are not tried again.
//
// The wait before retry n grows from the base interval to ten times that, doubling, and is shortened at random by up to half, so
// that clients whose requests failed together do not come back together. A retry that could not begin before timeouts.request ends is
// not waited for: the client gets what there is. Where the backend has a budget of retries (budget.go) that is spent, it gets 503. So it does after the last try: its status and content, or our own answer for its failure.

package proxy

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// retryReason is why a request is sent again; it is a label of wicketgate_http_retries_total.
type retryReason uint8

const (
	retryNone retryReason = iota // it is not
	retryConnect
	retryCode
	retryTimeout
	retryBroken
	retryReasons // their number
)

// String is the value of the label.
func (r retryReason) String() string {
	return [retryReasons]string{"none", "connect", "code", "timeout", "broken"}[r]
}

// persist is backend.RoundTrip for a rule with a retry stanza. What it keeps of the body is given up when the call ends, because the upload may go
// on while the response does.
func (c *call) persist(r *gateway.Retry, t backend.Timeouts) error {
	body := c.body()
	if r.Attempts == 0 {
		t.Single = true
		return c.share.backend.RoundTrip(c.x, c.req, body, t, &c.res)
	}
	wire.Block(c.x)
	if body != nil {
		c.replay = backend.NewReplay(body, c.req.Length)
		body = c.replay
	}
	for n := 1; ; n++ {
		err := c.share.backend.RoundTrip(c.x, c.req, body, t, &c.res)
		why := c.retryable(r, err)
		if why == retryNone || n > r.Attempts {
			return err
		}
		wait := backoff(r.Backoff, n, rand.Int64N)
		if late := !t.Request.IsZero() && !time.Now().Add(wait).Before(t.Request); late || c.replay != nil && !c.replay.Reserve() {
			c.counts.retryWithheld(c.conn.shard)
			return err
		}
		if err == nil {
			c.res.Finish() // the connection is kept if the answer is all in hand
		}
		if b := c.share.budget; b != nil && !b.retry() {
			c.counts.retryWithheld(c.conn.shard)
			return errBudget
		}
		if err := c.pause(wait); err != nil {
			return err
		}
		if c.replay != nil {
			c.replay.Rewind()
		}
		c.counts.retried(c.conn.shard, why)
	}
}

// errBudget is why a client is answered with 503 instead of being served by one more try, as the specification of retry budgets demands.
var errBudget = errors.New("the backend's budget of retries is spent")

// retryable says why the outcome of a try asks for another one.
func (c *call) retryable(r *gateway.Retry, err error) retryReason {
	if err == nil {
		if slices.Contains(r.Codes, c.res.Head.Status) {
			return retryCode
		}
		return retryNone
	}
	e, ok := errors.AsType[*backend.Error](err)
	switch {
	case !ok:
	case e.Result == backend.ConnectFailed, e.Result == backend.HandshakeFailed, e.Result == backend.Refused:
		return retryConnect
	case e.Result == backend.TimedOut && (!e.Sent || backend.Idempotent(c.req.Method)):
		return retryTimeout
	case e.Result == backend.Broken && backend.Idempotent(c.req.Method) && slices.Contains(r.Codes, statusBadGateway):
		return retryBroken
	}
	return retryNone
}

// pause waits, unless the client leaves.
func (c *call) pause(d time.Duration) error {
	ctx := c.x.Context()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		if ctx.Err() == nil {
			return nil
		}
	case <-ctx.Done():
	}
	return &backend.Error{Result: backend.ClientGone, Endpoint: c.res.Endpoint, Socket: c.res.Socket, Err: context.Cause(ctx)}
}

// maxBackoff is the longest wait, in base intervals.
const maxBackoff = 10

// backoff is the wait before the n-th retry, counted from 1. random returns a number from 0 to below its argument.
func backoff(base time.Duration, n int, random func(int64) int64) time.Duration {
	limit := base
	if longest := base * maxBackoff; longest/maxBackoff == base {
		limit = longest
	}
	wait := base
	for ; n > 1 && wait < limit; n-- {
		wait = min(2*wait, limit)
	}
	if half := int64(wait / 2); half > 0 {
		wait -= time.Duration(random(half + 1))
	}
	return wait
}

// endReplay gives up what was kept of the body. The response is finished.
func (c *call) endReplay() {
	c.replay.Close()
	c.replay = nil
}

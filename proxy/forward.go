// To the backend and back.

package proxy

import (
	"errors"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
)

// exchange forwards the request and the response, and returns the status that the client got.
func (c *call) exchange() int {
	var t backend.Timeouts
	if r := c.match.rule.patient; r != nil {
		timeouts := &r.Timeouts
		if timeouts.Request > 0 {
			t.Request = c.x.Arrived().Add(timeouts.Request)
		}
		t.Backend = timeouts.BackendRequest
	}
	if c.grpc {
		t.Request = c.deadline(t.Request)
	}
	if c.share.session != nil {
		c.resume()
	}
	if err := c.roundTrip(t); err != nil {
		return c.failed(err)
	}
	defer c.res.Finish()
	if c.res.Head.Status == statusSwitching {
		return c.upgrade()
	}
	c.share.filters.response.apply(&c.res.Head)
	c.match.rule.filters.response.apply(&c.res.Head)
	if c.share.session != nil {
		c.remember(&c.res.Head)
	}
	if c.grpc {
		return c.respondGRPC()
	}
	c.permit(&c.res.Head)
	return c.respond(&c.res.Head, c.res.Body)
}

// roundTrip gets a response, by several tries if the rule has a retry stanza.
func (c *call) roundTrip(t backend.Timeouts) error {
	if c.share.budget != nil {
		c.share.budget.request()
	}
	if r := c.match.rule.patient; r != nil && r.Retry != nil {
		return c.persist(r.Retry, t)
	}
	return c.share.backend.RoundTrip(c.x, c.req, c.body(), t, &c.res)
}

// failed answers for a backend that did not.
func (c *call) failed(err error) int {
	if errors.Is(err, errBudget) {
		return c.refuse(statusUnavailable, errBudget.Error(), nil)
	}
	var e *backend.Error
	if !errors.As(err, &e) {
		return c.refuse(statusBadGateway, "the backend failed", err)
	}
	c.res.Endpoint, c.res.Socket = e.Endpoint, e.Socket
	switch e.Result {
	case backend.NoEndpoint:
		return c.refuse(statusUnavailable, "the backend has no ready endpoint", e.Err)
	case backend.ConnectFailed:
		return c.refuse(statusUnavailable, "no endpoint of the backend accepts connections", e.Err)
	case backend.HandshakeFailed:
		return c.refuse(statusBadGateway, "TLS with the backend failed", e.Err)
	case backend.Refused:
		return c.refuse(statusUnavailable, "the backend refused the request without processing it", e.Err)
	case backend.TimedOut:
		return c.refuse(statusTimeout, "the backend did not answer in time", e.Err)
	case backend.ClientGone:
		c.x.Abort(message.ClientGone)
		c.why = "the client left before the backend answered"
		c.log(statusClientGone, c.why, e.Err)
		return statusClientGone
	case backend.RequestFailed:
		return c.refuse(statusBadRequest, "the request's body broke off or is malformed", e.Err)
	default:
		return c.refuse(statusBadGateway, "the backend broke off or answered nonsense", e.Err)
	}
}

// Answers of our own.

package proxy

import (
	"errors"
	"log/slog"

	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/wire"
)

// The statuses that the proxy itself gives or looks at (RFC 9110 section 15).
const (
	statusSwitching       = 101
	statusOK              = 200
	statusNoContent       = 204
	statusMultipleChoices = 300
	statusFound           = 302
	statusNotModified     = 304
	statusBadRequest      = 400
	statusForbidden       = 403
	statusNotFound        = 404
	statusTooLarge        = 413
	statusMisdirected     = 421
	statusClientGone      = 499 // never sent: what metrics and logs call a request whose client left before it had an answer
	statusInternalError   = 500
	statusNotImplemented  = 501
	statusBadGateway      = 502
	statusUnavailable     = 503
	statusTimeout         = 504
)

// answers are the bodies of error answers. They tell a client what it can do and nothing of what is behind the gateway; the log has
// the rest.
var answers = map[int][]byte{
	statusBadRequest:     []byte("bad request: the host, the path or a header is not valid\n"),
	statusForbidden:      []byte("this request is not allowed\n"),
	statusTooLarge:       []byte("the content of this request is too large\n"),
	statusNotFound:       []byte("no route matches this request\n"),
	statusMisdirected:    []byte("this host is not served on this connection: open another one for it\n"),
	statusInternalError:  []byte("the route for this request is not usable as configured\n"),
	statusNotImplemented: []byte("this is no forward proxy\n"),
	statusBadGateway:     []byte("the backend gave no valid answer\n"),
	statusUnavailable:    []byte("no backend is available for this request\n"),
	statusTimeout:        []byte("the backend did not answer in time\n"),
}

// refuse answers with an error, logs why, and returns the status that was sent: to a gRPC call that is for a GRPCRoute, if for anybody, it is
// in grpc-status.
func (c *call) refuse(status int, why string, err error) int {
	c.why = why
	body := answers[status]
	if c.grpc {
		if code, ok := grpcStatus(status); ok {
			c.log(status, why, err)
			return c.refuseGRPC(code, body)
		}
	}
	c.own.Reset()
	c.own.Status, c.own.Length = status, int64(len(body))
	c.own.Fields.Add(nameContentType, plainText)
	c.permit(&c.own)
	c.txt = body
	c.log(status, why, err)
	return c.respond(&c.own, &c.txt)
}

// respond sends a response and returns its status. What goes wrong from here on cannot be answered any more: the wire has ended the
// connection or stream so that the client knows that it has not everything.
func (c *call) respond(h *message.Head, body message.Body) int {
	c.advertise(h)
	if c.granted != nil {
		change(&h.Fields, c.granted)
	}
	err := c.x.Respond(h, body)
	if err == nil {
		return h.Status
	}
	var broken *wire.BackendError
	if errors.As(err, &broken) && broken.Kind != wire.BackendCancelled {
		c.why = "the backend broke off its response"
		c.write(slog.LevelWarn, h.Status, c.why, err)
	} else {
		c.why = "the client did not take the whole response"
		c.write(slog.LevelInfo, h.Status, c.why, err)
	}
	return h.Status
}

// Refused implements wire.Handler: the wire answered by itself, before there was a request to speak of.
func (p *Proxy) Refused(peer *wire.Peer, status int, why error) {
	shard := p.connection(peer).shard
	s := p.enter(shard)
	defer s.life.leave(shard)
	if status != 0 {
		s.life.unbound.start(shard)
		s.life.unbound.done(shard, status, 0)
	}
	p.errors.refused(peer, status, why)
	if l := p.opt.AccessLog; l != nil {
		recordRefused(l, peer, status, why)
	}
}

// The ExternalAuth filter (GEP-1494), and its form over HTTP (auth_grpc.go has the other): a service is asked whether a request may pass, before anything of it is forwarded.
//
// The question is a request with the client's method, host, path (behind the filter's prefix) and query, its Authorization, the fields that allowedHeaders
// names, and, where forwardBody says so, its body, which is kept meanwhile; a longer one is refused with 413. The answer is
//
//	200                 go on; fields of the answer are put into the request
//	3xx, 4xx, 5xx       the client gets the answer, with its fields and content
//	anything else       403
//	none                503
//
// so nothing passes without a 200. What the service says of the user (allowedResponseHeaders) cannot be made up by a client: such a field of the request
// is removed where the service does not give it, unless the service was shown it; nor does it stand in the request's trailer. Interim responses of the service are its own affair.

package proxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/gateway"
	"github.com/wicketgate/wicketgate/message"
	"github.com/wicketgate/wicketgate/proxy/backend"
	"github.com/wicketgate/wicketgate/wire"
)

// authTimeout is how long the service may take.
const authTimeout = 5 * time.Second

// auth is an ExternalAuth filter, compiled.
type auth struct {
	backend upstream
	prefix  []byte
	shown   []string // names of fields that the service sees, in lower case
	taken   []string // those that are taken over from it; none: all that are not about the answer itself
	body    int      // how much of a body it sees

	grpc      bool   // it is asked over gRPC: prefix and taken are empty, and no names in shown are all
	secure    bool   // and over TLS
	authority []byte // under this name
}

// compileAuth compiles a filter. The reason is why nothing may pass.
func (c *compiler) compileAuth(source *gateway.ExternalAuth, r *rule) (a *auth, unusable string) {
	if source == nil {
		return nil, ""
	}
	t := source.Target
	if source.Unusable != "" || t == nil {
		return nil, cmp.Or(source.Unusable, "the authorization service leads nowhere")
	}
	id := presented(t, r.identity)
	if id != nil && id.Unusable != "" {
		return nil, id.Unusable
	}
	spec, kind := source.Spec, gatewayv1.Kind("HTTPRoute")
	a = &auth{secure: t.TLS != nil}
	switch {
	case spec.ExternalAuthProtocol == gatewayv1.HTTPRouteExternalAuthHTTPProtocol && spec.HTTPAuthConfig != nil:
		if err := compileInquiry(a, spec.HTTPAuthConfig); err != nil {
			return nil, err.Error()
		}
	case spec.ExternalAuthProtocol == gatewayv1.HTTPRouteExternalAuthGRPCProtocol && spec.GRPCAuthConfig != nil:
		compileCheck(a, source, r)
		kind = "GRPCRoute"
	default:
		return nil, "ExternalAuth has neither http nor grpc for its protocol"
	}
	if spec.ForwardBody != nil {
		a.body = int(spec.ForwardBody.MaxSize)
	}
	h := c.holding(t, id, protocolOf(kind, t))
	a.backend, r.held = h.upstream, append(r.held, h)
	return a, ""
}

// compileInquiry adds to a filter what HTTP needs.
func compileInquiry(a *auth, spec *gatewayv1.HTTPAuthConfig) error {
	prefix, err := message.NormalizePath([]byte("/"+strings.TrimPrefix(spec.Path, "/")), true)
	if err != nil {
		return fmt.Errorf("http.path of ExternalAuth is not a path: %w", err)
	}
	a.prefix, a.shown = bytes.TrimRight(prefix, "/"), []string{"authorization"}
	for _, name := range spec.AllowedRequestHeaders {
		a.shown = append(a.shown, strings.ToLower(name))
	}
	for _, name := range spec.AllowedResponseHeaders {
		a.taken = append(a.taken, strings.ToLower(name))
	}
	return nil
}

// inquiry is the client's exchange as far as the service is concerned: its interim responses are not for the client.
type inquiry struct{ wire.Exchange }

// Inform implements wire.Exchange.
func (inquiry) Inform(*message.Head) error { return nil }

// pass asks the service of these filters, if they have one; see authorize and check.
func (c *call) pass(f *filters) int {
	if f.auth == nil {
		return 0
	}
	wire.Block(c.x)
	if f.auth.grpc {
		return c.check(f.auth)
	}
	return c.authorize(f.auth)
}

// authDeadline is when a service that is asked now must have answered.
func (c *call) authDeadline() time.Time {
	end := time.Now().Add(authTimeout)
	if d := c.match.rule.source.Timeouts.Request; d > 0 {
		if whole := c.x.Arrived().Add(d); whole.Before(end) {
			return whole
		}
	}
	return end
}

// authorize asks the service, and returns 0 if the request may pass. Else it has been answered, with the status that is returned.
func (c *call) authorize(a *auth) int {
	var body message.Body
	var ask message.Head
	ask.Reset()
	if a.body > 0 {
		kept, status := c.keep(a.body)
		if status != 0 {
			return status
		}
		if ask.Length = int64(len(kept)); len(kept) > 0 {
			body = (*message.Text)(&kept)
		}
	} else {
		ask.Length = 0
	}
	ask.Method, ask.Authority, ask.Query, ask.HasQuery = c.req.Method, c.req.Authority, c.req.Query, c.req.HasQuery
	ask.Scheme = c.req.Scheme
	ask.Path = append(slices.Clone(a.prefix), c.sent...)
	for i := range c.req.Fields.Len() {
		if f := c.req.Fields.At(i); names(a.shown, f.Name) {
			ask.Fields.Add(f.Name, f.Value)
		}
	}
	t := backend.Timeouts{Request: c.authDeadline()}
	var res backend.Response
	if err := a.backend.RoundTrip(inquiry{c.x}, &ask, body, t, &res); err != nil {
		return c.unauthorized(err)
	}
	defer res.Finish()
	if res.Head.Status == statusOK {
		c.take(a, &res.Head)
		return 0
	}
	if res.Head.Status < statusMultipleChoices {
		return c.refuse(statusForbidden, "the authorization service answered with a status that allows nothing", nil)
	}
	c.why = "the authorization service refused"
	c.permit(&res.Head)
	return c.respond(&res.Head, res.Body)
}

// unauthorized answers for a service that did not.
func (c *call) unauthorized(err error) int {
	if e, ok := errors.AsType[*backend.Error](err); ok && e.Result == backend.ClientGone {
		return c.failed(err)
	}
	return c.refuse(statusUnavailable, "the authorization service did not answer", err)
}

// take puts what the service said into the request.
func (c *call) take(a *auth, answer *message.Head) {
	for _, name := range a.taken {
		if !slices.Contains(a.shown, name) || answer.Fields.Has(name) {
			c.req.Fields.Remove(name)
		}
		c.vouched = append(c.vouched, name)
	}
	var replaced []string
	for i := range answer.Fields.Len() {
		f := answer.Fields.At(i)
		name := strings.ToLower(string(f.Name))
		if slices.Contains(reserved, name) || len(a.taken) > 0 && !slices.Contains(a.taken, name) || len(a.taken) == 0 && ownField(name) {
			continue
		}
		if !slices.Contains(replaced, name) {
			replaced, c.vouched = append(replaced, name), append(c.vouched, name)
			c.req.Fields.Remove(name)
		}
		c.req.Fields.Add(bytes.Clone(f.Name), bytes.Clone(f.Value))
	}
}

// ownField says whether a field, in lower case, is about an answer and its content, and would be wrong in a request.
func ownField(name string) bool {
	switch name {
	case "date", "server", "set-cookie", "etag", "last-modified", "vary", "expires", "age", "alt-svc", "accept-ranges", "cache-control":
		return true
	}
	return strings.HasPrefix(name, "content-")
}

// names reports whether a list of names in lower case has this one.
func names(list []string, name []byte) bool {
	for _, n := range list {
		if message.Equal(name, n) {
			return true
		}
	}
	return false
}

// keep reads the request's body, which is forwarded from memory then, and returns it. The status is that of an answer where that cannot be.
func (c *call) keep(limit int) (content []byte, status int) {
	if c.stored != nil { // by the rule's filter
		if len(c.stored.content) > limit {
			return nil, c.refuse(statusTooLarge, "the body is longer than the authorization service may see", nil)
		}
		return c.stored.content, 0
	}
	body := c.x.Body()
	if body == nil {
		return nil, 0
	}
	if c.req.Length > int64(limit) {
		return nil, c.refuse(statusTooLarge, "the body is longer than the authorization service may see", nil)
	}
	if p, all := body.InHand(); all && len(p) <= limit {
		return bytes.Clone(p), 0
	}
	for {
		p, err := body.Next()
		switch {
		case errors.Is(err, io.EOF):
			c.stored = &stored{content: content, trailers: body.Trailers()}
			c.req.ExpectContinue = false // it has been asked for
			return content, 0
		case err != nil:
			return nil, c.refuse(statusBadRequest, "the request's body broke off or is malformed", err)
		case len(content)+len(p) > limit:
			return nil, c.refuse(statusTooLarge, "the body is longer than the authorization service may see", nil)
		}
		content = append(content, p...)
	}
}

// source is the request's body, which may have been read already.
func (c *call) source() message.Body {
	if c.stored != nil {
		c.stored.Text = c.stored.content
		return c.stored
	}
	return c.x.Body()
}

// stored is a body in memory.
type stored struct {
	message.Text // what of content is left
	content      []byte
	trailers     *message.Fields
}

var _ message.Body = (*stored)(nil)

func (s *stored) Trailers() *message.Fields { return s.trailers }

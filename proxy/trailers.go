// The trailer fields of requests. Backends may merge them into the header (RFC 9110 section 6.5.1), so whatever a client cannot say in the
// header it cannot say in the trailer either.

package proxy

import (
	"bytes"

	"github.com/wicketgate/wicketgate/message"
)

// screened is a request's body whose trailers pass the policy for header names and the rule's header filters. Like every body it belongs to one
// goroutine.
type screened struct {
	message.Body
	underscore Underscore
	modifiers  [2]*headerModifier
	vouched    []string // names of fields that an authorization service has the say of, in lower case
}

// body is the request's body as the backend gets it, and with it the mirrors.
func (c *call) body() message.Body {
	b := c.screen()
	if b == nil || len(c.tee.mirrors) == 0 {
		return b
	}
	c.tee.Body = b
	return &c.tee
}

// screen is the request's body with its trailers screened. A body whose length the head tells may have some, too: HTTP/2 and HTTP/3 end either kind alike.
func (c *call) screen() message.Body {
	b := c.source()
	if b == nil {
		return nil
	}
	underscore := c.proxy.opt.Underscore
	if c.grpc {
		underscore = AllowUnderscore
	}
	c.content = screened{b, underscore, [2]*headerModifier{c.match.rule.filters.request, c.share.filters.request}, c.vouched}
	return &c.content
}

// Trailers implements message.Body.
func (s *screened) Trailers() *message.Fields {
	t := s.Body.Trailers()
	if t == nil {
		return nil
	}
	t.Filter(func(f message.Field) bool {
		return !isForwarding(f.Name) && !s.modifiers[0].names(f.Name) && !s.modifiers[1].names(f.Name) && !names(s.vouched, f.Name) &&
			(s.underscore == AllowUnderscore || bytes.IndexByte(f.Name, '_') < 0)
	})
	if t.Len() == 0 {
		return nil
	}
	return t
}

// names reports whether a modifier sets or removes a field. What it adds to, others may add to as well.
func (m *headerModifier) names(name []byte) bool {
	if m == nil {
		return false
	}
	for _, removed := range m.remove {
		if message.Equal(name, removed) {
			return true
		}
	}
	for i := range m.set {
		if message.EqualFold(name, m.set[i].Name) {
			return true
		}
	}
	return false
}

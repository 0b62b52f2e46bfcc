// The RequestHeaderModifier and ResponseHeaderModifier filters.
//
// Fields that frame a message or belong to one connection are the wire's: a filter that names one of them does not touch it, and Compile says
// so (Snapshot.Problems). They are Connection, Content-Length, Expect, HTTP2-Settings, Keep-Alive, Proxy-Connection, TE, Trailer,
// Transfer-Encoding and Upgrade. Host is no header field here but the request's authority: setting it in a request rewrites it, as
// URLRewrite's hostname does; adding to it or removing it is refused like the fields above. Everything else may be changed, the
// forwarding fields (X-Forwarded-For and so on) included: filters run after those are set.

package proxy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
)

// headerModifier changes header fields: removals first, then settings, then additions. nil changes nothing.
type headerModifier struct {
	set, add []message.Field
	remove   []string // lower case
	// host replaces a request's authority; nil: it is kept.
	host []byte
}

// reserved are the fields that no filter changes, in lower case.
var reserved = []string{
	"connection", "content-length", "expect", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

// compileHeaderModifier makes a modifier of a filter. refused are names that the filter may not change and that are left out; an error means that
// the filter cannot be carried out. Of several entries for one name only the first counts, as the Gateway API demands.
func compileHeaderModifier(f *gatewayv1.HTTPHeaderFilter, request bool) (m *headerModifier, refused []string, err error) {
	m = &headerModifier{}
	var errs []error
	accept := func(name string, set bool) bool {
		lower := strings.ToLower(name)
		switch {
		case !message.ValidFieldName([]byte(name)):
			errs = append(errs, fmt.Errorf("%q is not a header name", name))
			return false
		case slices.Contains(reserved, lower), lower == "host" && (!set || !request):
			refused = append(refused, name)
			return false
		}
		return true
	}
	collect := func(list []gatewayv1.HTTPHeader, set bool) (out []message.Field) {
		for _, h := range list {
			if !accept(string(h.Name), set) || slices.ContainsFunc(out, func(o message.Field) bool {
				return strings.EqualFold(string(o.Name), string(h.Name))
			}) {
				continue
			}
			value := []byte(strings.TrimSpace(h.Value)) // a YAML block scalar ends with a newline
			if !message.ValidFieldValue(value) {
				errs = append(errs, fmt.Errorf("the value for header %s has a control character", h.Name))
				continue
			}
			out = append(out, message.Field{Name: []byte(h.Name), Value: value})
		}
		return out
	}
	m.set, m.add = collect(f.Set, true), collect(f.Add, false)
	for _, name := range f.Remove {
		if accept(name, false) {
			m.remove = append(m.remove, strings.ToLower(name))
		}
	}
	if err := m.takeHost(); err != nil {
		errs = append(errs, err)
	}
	if len(m.set)+len(m.add)+len(m.remove) == 0 && m.host == nil {
		m = nil
	}
	return m, refused, errors.Join(errs...)
}

// takeHost turns a setting of Host into a new authority.
func (m *headerModifier) takeHost() error {
	at := slices.IndexFunc(m.set, func(f message.Field) bool { return message.Equal(f.Name, "host") })
	if at < 0 {
		return nil
	}
	m.host = m.set[at].Value
	m.set = slices.Delete(m.set, at, at+1)
	if _, _, ok := message.SplitAuthority(m.host); !ok {
		return fmt.Errorf("%q is not a host", m.host)
	}
	return nil
}

// apply changes a head. It keeps pointers into the modifier, whose bytes nobody writes to.
func (m *headerModifier) apply(h *message.Head) {
	if m == nil {
		return
	}
	for _, name := range m.remove {
		h.Fields.Remove(name)
	}
	for i := range m.set {
		h.Fields.Set(m.set[i].Name, m.set[i].Value)
	}
	for i := range m.add {
		h.Fields.Add(m.add[i].Name, m.add[i].Value)
	}
	if m.host != nil {
		h.Authority = m.host
	}
}

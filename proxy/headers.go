// The RequestHeaderModifier and ResponseHeaderModifier filters.
//
// Fields that frame a message or belong to one connection are the wire's, and Host is the request's authority, which URLRewrite changes. The graph
// calls rules that name them unusable; should one get here, it is an error here as well, never a field that backend and gateway
// understand differently. Everything else may be changed, the forwarding fields (X-Forwarded-For and so on) included: filters run after those
// are set.

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
}

// reserved are the fields that no filter changes, in lower case.
var reserved = []string{
	"connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
	"transfer-encoding", "upgrade",
}

// compileHeaderModifier makes a modifier of a filter. Of several entries for one name in a list only the first counts, as the Gateway API
// demands.
func compileHeaderModifier(f *gatewayv1.HTTPHeaderFilter) (*headerModifier, error) {
	set, err := compileFields(f.Set)
	add, err2 := compileFields(f.Add)
	errs := []error{err, err2}
	m := &headerModifier{set: set, add: add}
	for _, name := range f.Remove {
		errs = append(errs, checkName(name))
		m.remove = append(m.remove, strings.ToLower(name))
	}
	return m, errors.Join(errs...)
}

func compileFields(list []gatewayv1.HTTPHeader) (out []message.Field, err error) {
	var errs []error
	for _, h := range list {
		name, value := []byte(h.Name), []byte(strings.TrimSpace(h.Value)) // a YAML block scalar ends with a newline
		errs = append(errs, checkName(string(h.Name)))
		if !message.ValidFieldValue(value) {
			errs = append(errs, fmt.Errorf("the value for header %s has a control character", h.Name))
		}
		if !slices.ContainsFunc(out, func(o message.Field) bool { return message.EqualFold(o.Name, name) }) {
			out = append(out, message.Field{Name: name, Value: value})
		}
	}
	return out, errors.Join(errs...)
}

func checkName(name string) error {
	if !message.ValidFieldName([]byte(name)) {
		return fmt.Errorf("%q is not a header name", name)
	}
	if slices.Contains(reserved, strings.ToLower(name)) {
		return fmt.Errorf("header %s cannot be changed", name)
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
}

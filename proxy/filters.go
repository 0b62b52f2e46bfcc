// The filters of a rule or a backendRef, compiled, and their order.
//
// Each kind of filter is there at most once, and the order does not follow the list in the YAML but is always this one:
//
//  1. the forwarding fields are set (forwarded.go), so that filters may change them and matches see them
//  2. CORS answers a preflight request, which ends it (cors.go); the rule's, or else that of the backendRef chosen
//  3. the rule's ExternalAuth, which ends it unless the request may pass (auth.go); then, once a backendRef is chosen, its own
//  4. the rule's RequestRedirect, which ends it
//  5. the rule's RequestHeaderModifier and URLRewrite, then the backendRef's
//     RequestMirror copies the request once the header has been changed at its level; rewrites are not for mirrors (mirror.go)
//  6. the response comes; the backendRef's ResponseHeaderModifier, then the rule's, then CORS
//
// A redirect's answer passes the rule's ResponseHeaderModifier and CORS, too. Error answers of our own pass CORS alone, so that scripts learn
// the status: what a backend's answers are marked with (how long to cache them, for one) is wrong for them. Where both levels rewrite, the backendRef's path replaces the
// path that the client sent, not the rule's result.

package proxy

import (
	"fmt"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/wicketgate/wicketgate/message"
)

// filters are what one list of filters says. All rules and backendRefs without filters share one (compiler.sharing).
type filters struct {
	request, response *headerModifier
	redirect          *redirect
	hostname          []byte // URLRewrite's; nil: kept
	path              *pathModifier
	cors              *cors
	mirrors           []*mirror
	auth              *auth
}

// none reports whether there are no filters.
func (f *filters) none() bool {
	return f.request == nil && f.response == nil && f.redirect == nil && f.hostname == nil && f.path == nil && f.cors == nil && len(f.mirrors) == 0 && f.auth == nil
}

// filterError is a filter that cannot be carried out.
type filterError struct {
	index int
	field string // below the filter: "requestHeaderModifier"
	err   error
}

// compileFilters compiles a list. onBackend says that it is a backendRef's, where redirects have no place. The graph has checked filters already;
// what is wrong with one here makes its rule or share unusable.
func compileFilters(list []gatewayv1.HTTPRouteFilter, onBackend bool) (out filters, errs []filterError) {
	for i := range list {
		f := &list[i]
		field := ""
		var err error
		switch {
		case f.RequestHeaderModifier != nil:
			field = "requestHeaderModifier"
			out.request, err = compileHeaderModifier(f.RequestHeaderModifier)
		case f.ResponseHeaderModifier != nil:
			field = "responseHeaderModifier"
			out.response, err = compileHeaderModifier(f.ResponseHeaderModifier)
		case f.URLRewrite != nil:
			field = "urlRewrite.path"
			out.path, err = compilePathModifier(f.URLRewrite.Path)
			if f.URLRewrite.Hostname != nil && *f.URLRewrite.Hostname != "" {
				out.hostname = []byte(*f.URLRewrite.Hostname)
			}
		case f.RequestRedirect != nil && !onBackend:
			field = "requestRedirect.path"
			out.redirect, err = compileRedirect(f.RequestRedirect)
		case f.RequestMirror != nil, f.ExternalAuth != nil: // the graph has resolved where they lead: see compiler.mirrors, compiler.compileAuth
		case f.CORS != nil:
			field = "cors.allowOrigins"
			out.cors, err = compileCORS(f.CORS)
		default:
			field, err = "type", fmt.Errorf("filter %s is not served here", f.Type)
		}
		if err != nil {
			errs = append(errs, filterError{i, field, err})
		}
	}
	return out, errs
}

// rewrite applies URLRewrite and the request's header changes. path is the path as the client sent it; buf is memory for the new one.
func (f *filters) rewrite(h *message.Head, path []byte, prefix int, buf []byte) []byte {
	f.request.apply(h)
	if f.hostname != nil {
		h.Authority = f.hostname
	}
	if f.path != nil {
		buf = f.path.appendPath(buf[:0], path, prefix)
		h.Path = buf
	}
	return buf
}

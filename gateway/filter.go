// Filters of rules and backendRefs: which are served, as data, and what of each is checked beyond its schema.

package gateway

import (
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// checkFilters checks the filters of a rule and of its backendRefs. A filter that cannot be served makes the whole rule Unusable, also if
// it stands at a backendRef: no request is served as if it were not there. matches are the spec's.
func checkFilters(rule *Rule, matches []gatewayv1.HTTPRouteMatch, dropped *faults) {
	checkFilterList(rule, matches, rule.Filters, "filters", dropped)
	redirects := func(f gatewayv1.HTTPRouteFilter) bool { return f.Type == gatewayv1.HTTPRouteFilterRequestRedirect }
	for i, backend := range rule.Backends {
		path := "backendRefs[" + strconv.Itoa(i) + "].filters"
		checkFilterList(rule, matches, backend.Filters, path, dropped)
		if at := slices.IndexFunc(backend.Filters, redirects); at >= 0 {
			rule.drop(dropped, reasonUnsupportedValue, path+"["+strconv.Itoa(at)+"]",
				"RequestRedirect answers a request before a backend is chosen for it: move it to the rule's filters")
		}
	}
	if len(rule.Backends) > 0 && slices.ContainsFunc(rule.Filters, redirects) {
		rule.drop(dropped, reasonIncompatible, "filters", "RequestRedirect answers the request itself: remove backendRefs, or the filter")
	}
}

// checkFilterList checks the filters of one list, each alone and then against each other.
func checkFilterList(rule *Rule, matches []gatewayv1.HTTPRouteMatch, list []gatewayv1.HTTPRouteFilter, path string, dropped *faults) {
	if len(list) == 0 {
		return
	}
	seen := map[gatewayv1.HTTPRouteFilterType]bool{}
	for i := range list {
		f, at := &list[i], path+"["+strconv.Itoa(i)+"]"
		if message := checkFilter(matches, f); message != "" {
			rule.drop(dropped, reasonUnsupportedValue, at, message)
		}
		if seen[f.Type] && f.Type != gatewayv1.HTTPRouteFilterRequestMirror {
			rule.drop(dropped, reasonIncompatible, at, string(f.Type)+" appears twice: put everything into one")
		}
		seen[f.Type] = true
	}
	if seen[gatewayv1.HTTPRouteFilterRequestRedirect] && seen[gatewayv1.HTTPRouteFilterURLRewrite] {
		rule.drop(dropped, reasonIncompatible, path, "RequestRedirect and URLRewrite exclude each other: remove one")
	}
}

// checkFilter says why one filter cannot be served.
func checkFilter(matches []gatewayv1.HTTPRouteMatch, f *gatewayv1.HTTPRouteFilter) string {
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
		return checkHeaderFilter(f.RequestHeaderModifier, true)
	case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		return checkHeaderFilter(f.ResponseHeaderModifier, false)
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		return checkRedirect(matches, f.RequestRedirect)
	case gatewayv1.HTTPRouteFilterURLRewrite:
		if f.URLRewrite == nil {
			return "urlRewrite is missing"
		}
		return checkPathModifier(matches, f.URLRewrite.Path)
	case gatewayv1.HTTPRouteFilterCORS:
		return checkCORS(f.CORS)
	case gatewayv1.HTTPRouteFilterRequestMirror:
		return checkMirror(f.RequestMirror)
	case gatewayv1.HTTPRouteFilterExternalAuth:
		return checkExternalAuth(f.ExternalAuth)
	case gatewayv1.HTTPRouteFilterExtensionRef:
		if f.ExtensionRef == nil {
			return "extensionRef is missing"
		}
		return string(f.ExtensionRef.Kind) + " " + string(f.ExtensionRef.Name) + kindGroup(string(f.ExtensionRef.Group)) +
			" is not a filter that is known, and requests are not served without it: remove it"
	}
	return "filter " + strconv.Quote(string(f.Type)) + " is not known"
}

// fixedHeader says why a filter cannot change a header field, by its name in lower case. Such fields frame the message or belong to one
// connection, and the gateway writes them itself.
func fixedHeader(lower string, request bool) string {
	switch lower {
	case "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings":
		return "it belongs to the connection and is written by the gateway"
	case "host":
		if request {
			return "use filter URLRewrite with hostname to change it"
		}
		return "responses have none"
	}
	return ""
}

// checkHeaderFilter refuses fields that cannot be changed, and several kinds of action for one field ("Only one action for a given
// header name is permitted"). Within one list the first of equivalent names counts, as the specification says of HTTPHeader.
func checkHeaderFilter(f *gatewayv1.HTTPHeaderFilter, request bool) string {
	if f == nil {
		return "the modifier is missing"
	}
	actions := map[string]string{}
	check := func(action, field string) string {
		lower := strings.ToLower(field)
		if why := fixedHeader(lower, request); why != "" {
			return "header " + field + " cannot be changed: " + why
		}
		if other, ok := actions[lower]; ok && other != action {
			return "header " + field + " is in both " + other + " and " + action + ": keep one"
		}
		actions[lower] = action
		return ""
	}
	for _, h := range f.Set {
		if message := check("set", string(h.Name)); message != "" {
			return message
		}
	}
	for _, h := range f.Add {
		if message := check("add", string(h.Name)); message != "" {
			return message
		}
	}
	for _, h := range f.Remove {
		if message := check("remove", h); message != "" {
			return message
		}
	}
	return checkHeaderNames(f.Remove) // the schema has no pattern for these
}

// checkRedirect checks the values of a redirect that the specification enumerates.
func checkRedirect(matches []gatewayv1.HTTPRouteMatch, f *gatewayv1.HTTPRequestRedirectFilter) string {
	if f == nil {
		return "requestRedirect is missing"
	}
	if scheme := deref(f.Scheme, "http"); scheme != "http" && scheme != "https" {
		return "scheme " + strconv.Quote(scheme) + " is not known: use http or https"
	}
	if code := deref(f.StatusCode, 302); !slices.Contains([]int{301, 302, 303, 307, 308}, code) {
		return "statusCode " + strconv.Itoa(code) + " is not a redirect: use 301, 302, 303, 307 or 308"
	}
	return checkPathModifier(matches, f.Path)
}

// checkPathModifier checks a path of a redirect or rewrite. A prefix can only be replaced where all of the rule's matches have one:
// the specification demands exactly one match, of type PathPrefix.
func checkPathModifier(matches []gatewayv1.HTTPRouteMatch, p *gatewayv1.HTTPPathModifier) string {
	if p == nil {
		return ""
	}
	switch p.Type {
	case gatewayv1.FullPathHTTPPathModifier:
		if p.ReplaceFullPath == nil {
			return "replaceFullPath is missing"
		}
		return checkReplacement("replaceFullPath", *p.ReplaceFullPath)
	case gatewayv1.PrefixMatchHTTPPathModifier:
		if p.ReplacePrefixMatch == nil {
			return "replacePrefixMatch is missing"
		}
		if len(matches) > 1 || len(matches) == 1 && *defaultPath(matches[0].Path).Type != gatewayv1.PathMatchPathPrefix {
			return "ReplacePrefixMatch needs exactly one match in the rule, with a path of type PathPrefix"
		}
		return checkReplacement("replacePrefixMatch", *p.ReplacePrefixMatch)
	}
	return "path modifier " + strconv.Quote(string(p.Type)) + " is not known: use ReplaceFullPath or ReplacePrefixMatch"
}

// checkReplacement refuses a path that could not stand in a request or a Location: the schema bounds its length only.
func checkReplacement(field, path string) string {
	switch {
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return field + " " + strconv.Quote(path) + " has characters that must be percent-encoded"
	case strings.Contains(path, "%00"):
		return field + " " + strconv.Quote(path) + " has %00, which no path may have"
	}
	return ""
}

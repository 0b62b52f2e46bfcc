// ExternalAuth filters (GEP-1494): where a service is asked whether a request may pass. No request passes without its word: a filter that cannot be
// served, or whose reference does not resolve, makes its rule or backendRef answer with 500.

package gateway

import (
	"slices"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// ExternalAuth is an ExternalAuth filter of a rule or of a backendRef.
type ExternalAuth struct {
	Spec *gatewayv1.HTTPExternalAuthFilter
	// Unusable says why every request is answered with 500; empty if it is fine.
	Unusable string
	Target   *Target // nil if Unusable
}

// MaxAuthBody is the longest body that is shown to an authorization service, because it is kept in memory.
const MaxAuthBody = 1 << 20

// checkExternalAuth says why an ExternalAuth filter cannot be served, whatever it refers to.
func checkExternalAuth(f *gatewayv1.HTTPExternalAuthFilter) string {
	if f == nil {
		return "externalAuth is missing"
	}
	if f.ForwardBody != nil && f.ForwardBody.MaxSize > MaxAuthBody {
		return "forwardBody.maxSize is more than " + strconv.Itoa(MaxAuthBody) + " bytes, which is the most that is kept of a body"
	}
	switch f.ExternalAuthProtocol {
	case gatewayv1.HTTPRouteExternalAuthHTTPProtocol:
		return checkAuthHTTP(f)
	case gatewayv1.HTTPRouteExternalAuthGRPCProtocol:
		return checkAuthGRPC(f)
	}
	return "protocol " + strconv.Quote(string(f.ExternalAuthProtocol)) + " of ExternalAuth is not known: use HTTP or GRPC"
}

func checkAuthGRPC(f *gatewayv1.HTTPExternalAuthFilter) string {
	switch {
	case f.GRPCAuthConfig == nil:
		return "grpc is missing: it goes with protocol GRPC, and may be empty"
	case f.HTTPAuthConfig != nil:
		return "http goes with protocol HTTP: remove it, or change the protocol"
	}
	return checkHeaderNames(f.GRPCAuthConfig.AllowedRequestHeaders)
}

func checkAuthHTTP(f *gatewayv1.HTTPExternalAuthFilter) string {
	switch {
	case f.HTTPAuthConfig == nil:
		return "http is missing: it goes with protocol HTTP, and may be empty"
	case f.GRPCAuthConfig != nil:
		return "grpc goes with protocol GRPC: remove it, or change the protocol"
	}
	if message := checkReplacement("http.path", f.HTTPAuthConfig.Path); message != "" {
		return message
	}
	if message := checkHeaderNames(slices.Concat(f.HTTPAuthConfig.AllowedRequestHeaders, f.HTTPAuthConfig.AllowedResponseHeaders)); message != "" {
		return message
	}
	for _, named := range f.HTTPAuthConfig.AllowedResponseHeaders {
		if why := fixedHeader(strings.ToLower(named), true); why != "" {
			return "header " + named + " cannot be taken over from the authorization service: " + why
		}
	}
	return ""
}

// checkHeaderNames says which of a list is no name of a header.
func checkHeaderNames(list []string) string {
	for _, named := range list {
		if named == "" || strings.ContainsFunc(named, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r) }) {
			return strconv.Quote(named) + " is not the name of a header"
		}
	}
	return ""
}

// newAuth resolves the ExternalAuth filters of a rule and of its backendRefs.
func (b *builder) newAuth(rule *Rule, set *ruleSet) {
	rule.Auth = b.authOf(rule, rule.Filters, "filters", set)
	for i, backend := range rule.Backends {
		backend.Auth = b.authOf(rule, backend.Filters, "backendRefs["+strconv.Itoa(i)+"].filters", set)
	}
}

// authOf resolves the ExternalAuth filter of one list, at path below the rule; nil if there is none.
func (b *builder) authOf(rule *Rule, list []gatewayv1.HTTPRouteFilter, path string, set *ruleSet) *ExternalAuth {
	for i := range list {
		f := list[i].ExternalAuth
		if list[i].Type != gatewayv1.HTTPRouteFilterExternalAuth || checkExternalAuth(f) != "" {
			continue
		}
		a := &ExternalAuth{Spec: f}
		field := rule.field(path + "[" + strconv.Itoa(i) + "].externalAuth.backendRef")
		found := b.resolve(rule, &f.BackendRef)
		if found.reason != "" {
			a.Unusable = "the authorization service cannot be asked: " + found.message
			set.refs.add(typeResolvedRefs, found.reason, field, found.message)
			return a
		}
		a.Target = found.target
		if !slices.Contains(set.sources, found.source) {
			set.sources = append(set.sources, found.source)
		}
		if note := found.noteFor(rule.Object.Kind); note != "" {
			b.warn(rule.Object, field, note)
		}
		return a
	}
	return nil
}

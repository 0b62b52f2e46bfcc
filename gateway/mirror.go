// RequestMirror filters: where each leads and which share of the requests it gets (GEP-3171).
//
// A mirror whose reference is invalid is left out, and the rule is served without it: "this BackendRef is invalid and must be dropped from the
// Gateway", and ResolvedRefs tells. No client is the worse for a mirror that is missing.

package gateway

import (
	"slices"
	"strconv"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Mirror is one RequestMirror filter of a rule or of a backendRef.
type Mirror struct {
	Spec *gatewayv1.HTTPRequestMirrorFilter
	// Unusable says why nothing is mirrored; empty if it is fine.
	Unusable string
	Target   *Target // nil if Unusable
	// Numerator of Denominator requests are mirrored, chosen at random. 0 <= Numerator <= Denominator, which is not 0.
	Numerator, Denominator int32
}

// checkMirror says why a RequestMirror filter makes no sense, whatever it refers to.
func checkMirror(f *gatewayv1.HTTPRequestMirrorFilter) string {
	if f == nil {
		return "requestMirror is missing"
	}
	if f.Percent != nil && f.Fraction != nil {
		return "percent and fraction exclude each other: remove one"
	}
	if n, d := mirrored(f); n < 0 || d <= 0 || n > d {
		return "the share of requests to be mirrored is not between none and all of them"
	}
	return ""
}

// mirrored is the share of the requests that a mirror gets.
func mirrored(f *gatewayv1.HTTPRequestMirrorFilter) (numerator, denominator int32) {
	switch {
	case f.Fraction != nil:
		return f.Fraction.Numerator, deref(f.Fraction.Denominator, 100)
	case f.Percent != nil:
		return *f.Percent, 100
	}
	return 1, 1
}

// newMirrors resolves the RequestMirror filters of a rule and of its backendRefs.
func (b *builder) newMirrors(rule *Rule, set *ruleSet) {
	rule.Mirrors = b.mirrorsOf(rule, rule.Filters, "filters", set)
	for i, backend := range rule.Backends {
		backend.Mirrors = b.mirrorsOf(rule, backend.Filters, "backendRefs["+strconv.Itoa(i)+"].filters", set)
	}
	redirects := func(f gatewayv1.HTTPRouteFilter) bool { return f.Type == gatewayv1.HTTPRouteFilterRequestRedirect }
	if len(rule.Mirrors) > 0 && slices.ContainsFunc(rule.Filters, redirects) {
		b.warn(rule.Object, rule.field("filters"), "nothing is mirrored: requests that RequestRedirect answers are not forwarded to anyone")
	}
}

// mirrorsOf resolves the RequestMirror filters of one list, at path below the rule.
func (b *builder) mirrorsOf(rule *Rule, list []gatewayv1.HTTPRouteFilter, path string, set *ruleSet) (out []*Mirror) {
	for i := range list {
		f := list[i].RequestMirror
		if list[i].Type != gatewayv1.HTTPRouteFilterRequestMirror || checkMirror(f) != "" {
			continue
		}
		m := &Mirror{Spec: f}
		m.Numerator, m.Denominator = mirrored(f)
		out = append(out, m)
		field := rule.field(path + "[" + strconv.Itoa(i) + "].requestMirror.backendRef")
		found := b.resolve(rule, &f.BackendRef)
		if found.reason != "" {
			m.Unusable = found.message
			set.refs.add(typeResolvedRefs, found.reason, field, found.message)
			continue
		}
		m.Target = found.target
		if !slices.Contains(set.sources, found.source) {
			set.sources = append(set.sources, found.source)
		}
		switch {
		case found.empty != "":
			b.warn(rule.Object, field, found.empty+": nothing is mirrored")
		case found.note != "":
			b.warn(rule.Object, field, found.note)
		}
	}
	return out
}

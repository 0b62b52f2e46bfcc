// Rules of GRPCRoutes: matches by service, method and header. Filters are a subset of an HTTPRoute's and are taken as those.

package gateway

import (
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// newGRPCRule makes one rule of a GRPCRoute, and appends it to the route if requests can match it.
func (b *builder) newGRPCRule(r *Route, spec *gatewayv1.GRPCRouteRule, index int, set *ruleSet) {
	rule := newRule(r, spec.Name, index)
	rule.Filters = grpcFilters(spec.Filters)
	for i := range spec.BackendRefs {
		rule.Backends = append(rule.Backends, newBackend(&spec.BackendRefs[i].BackendRef, grpcFilters(spec.BackendRefs[i].Filters)))
	}
	before := len(set.dropped)
	rule.GRPCMatches = checkGRPCMatches(rule, spec.Matches, &set.dropped)
	checkFilters(rule, nil, &set.dropped)
	rule.Session = checkSession(rule, spec.SessionPersistence, &set.dropped) //nolint:staticcheck // deprecated is not the same as gone
	b.resolveBackends(rule, set)
	b.newMirrors(rule, set)
	b.settle(rule, set.dropped[before:], set)
	if len(rule.GRPCMatches) > 0 {
		r.Rules = append(r.Rules, rule)
	}
}

// grpcFilters gives filters of a GRPCRoute the form of an HTTPRoute's. Their types have the same names.
func grpcFilters(list []gatewayv1.GRPCRouteFilter) []gatewayv1.HTTPRouteFilter {
	if len(list) == 0 {
		return nil
	}
	out := make([]gatewayv1.HTTPRouteFilter, 0, len(list))
	for i := range list {
		f := &list[i]
		out = append(out, gatewayv1.HTTPRouteFilter{
			Type:                   gatewayv1.HTTPRouteFilterType(f.Type),
			RequestHeaderModifier:  f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier,
			RequestMirror:          f.RequestMirror,
			ExtensionRef:           f.ExtensionRef,
		})
	}
	return out
}

// checkGRPCMatches gives the matches of a rule without those that are faulty: the spec's own slice if that is all of them, and for a rule without
// any the one that every request matches.
func checkGRPCMatches(rule *Rule, spec []gatewayv1.GRPCRouteMatch, dropped *faults) []gatewayv1.GRPCRouteMatch {
	if len(spec) == 0 {
		return []gatewayv1.GRPCRouteMatch{{}}
	}
	var valid []gatewayv1.GRPCRouteMatch
	for i := range spec {
		if path, message := checkGRPCMatch(&spec[i]); message != "" {
			rule.drop(dropped, reasonUnsupportedValue, "matches["+strconv.Itoa(i)+"]."+path, message)
			continue
		}
		valid = append(valid, spec[i])
	}
	if len(valid) == len(spec) {
		return spec
	}
	return valid
}

// checkGRPCMatch says which field of a match cannot be served, and why; both are empty if all can.
func checkGRPCMatch(m *gatewayv1.GRPCRouteMatch) (path, message string) {
	if m.Method != nil {
		if path, message = checkGRPCMethod(m.Method); message != "" {
			return path, message
		}
	}
	for i, h := range m.Headers {
		if message := checkValue(string(deref(h.Type, gatewayv1.GRPCHeaderMatchExact)), h.Value); message != "" {
			return "headers[" + strconv.Itoa(i) + "]", message
		}
	}
	return "", ""
}

// checkGRPCMethod checks service and method, each of which may be left out. The schema refuses names with a slash only where it
// knows the type.
func checkGRPCMethod(m *gatewayv1.GRPCMethodMatch) (path, message string) {
	var check func(string) string
	switch named := deref(m.Type, gatewayv1.GRPCMethodMatchExact); named {
	case gatewayv1.GRPCMethodMatchRegularExpression:
		check = checkPattern
	case gatewayv1.GRPCMethodMatchExact:
		check = func(text string) string {
			if strings.Contains(text, "/") {
				return strconv.Quote(text) + " has a slash: write service and method apart"
			}
			return ""
		}
	default:
		return "method.type", "method type " + strconv.Quote(string(named)) + " is not known: use Exact or RegularExpression"
	}
	if message := check(deref(m.Service, "")); message != "" {
		return "method.service", message
	}
	return "method.method", check(deref(m.Method, ""))
}
